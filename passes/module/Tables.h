//===- Tables.h - what the writers of the module's tables share -*- C++ -*-===//

#ifndef HADAL_PASSES_MODULE_TABLES_H
#define HADAL_PASSES_MODULE_TABLES_H

#include "dialects/exec/Exec.h"
#include "mlir/IR/BuiltinOps.h"
#include "runtime/module/Module_generated.h"
#include "llvm/ADT/StringMap.h"

namespace hadal {

template <typename T> using Offsets = std::vector<flatbuffers::Offset<T>>;

using StringsOffset =
    flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>>;
inline StringsOffset strings(flatbuffers::FlatBufferBuilder &b,
                             llvm::ArrayRef<mlir::StringAttr> names) {
  std::vector<std::string> out;
  for (mlir::StringAttr name : names)
    out.push_back(name.str());
  return b.CreateVectorOfStrings(out);
}
inline StringsOffset strings(flatbuffers::FlatBufferBuilder &b, mlir::ArrayAttr names) {
  return strings(b, llvm::to_vector(names.getAsRange<mlir::StringAttr>()));
}

/// Programs are numbered in the order of the module. One thread at a time.
class ProgramNumbers {
public:
  explicit ProgramNumbers(mlir::ModuleOp module) : module(module) {
    for (auto program : module.getOps<exec::ProgramOp>())
      numbers.try_emplace(program.getSymName(), numbers.size());
  }
  /// The number of the program that `reader`, a table of the module, names.
  mlir::FailureOr<uint32_t> of(llvm::StringRef name, llvm::StringRef reader) const {
    auto known = numbers.find(name);
    if (known == numbers.end())
      return mlir::ModuleOp(module).emitError()
             << reader << " wants the name of a program, got \"" << name << "\"";
    return known->second;
  }

private:
  mlir::ModuleOp module;
  llvm::StringMap<uint32_t> numbers;
};

} // namespace hadal

#endif // HADAL_PASSES_MODULE_TABLES_H
