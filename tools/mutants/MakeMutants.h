//===- MakeMutants.h - kernels with one synchronization less --------------===//

#ifndef HADAL_TOOLS_MUTANTS_MAKEMUTANTS_H
#define HADAL_TOOLS_MUTANTS_MAKEMUTANTS_H

#include "runtime/Tensor.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <string>
#include <vector>

namespace hadal {

/// A kernel without one of its synchronizations.
struct Mutant {
  std::string kernel;
  std::string kind;     ///< synchronizationOf (dialects/hopper/Hopper.h)
  std::string location; ///< the op that is dropped, and the line of --emit=hopper that it is in
  std::string code;     ///< a shared object for the emulated device; empty until it is made
};

/// All mutants of the kernels in `hopper`, the text of --emit=hopper, with their code for the
/// emulated device.
llvm::Expected<std::vector<Mutant>> makeMutants(llvm::StringRef hopper);

/// What a public function of a .mlir file takes.
struct FunctionInputs {
  std::string function;
  /// In order; sizes that the function leaves open are `openSize`.
  struct Input {
    ElementType element;
    Shape shape;
  };
  std::vector<Input> inputs;
};
/// The public functions in the text of a .mlir file. An error where one takes something that is not
/// a tensor of floats or integers.
llvm::Expected<std::vector<FunctionInputs>> functionsOf(llvm::StringRef text, int64_t openSize);

} // namespace hadal

#endif // HADAL_TOOLS_MUTANTS_MAKEMUTANTS_H
