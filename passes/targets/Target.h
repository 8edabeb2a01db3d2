//===- Target.h - how kernels lie in memory and how they run --------------===//
//
// A pass says what is computed, a target says how it lies and how it runs, a device runs it. All
// that passes and the module file know of a target is here; each target has a folder beside this
// file, which Targets.cpp alone names.
//
// Threads: a target does not change, and may be asked from several threads at once.
//
//===------------------------------------------------------------------------===//

#ifndef HADAL_PASSES_TARGETS_TARGET_H
#define HADAL_PASSES_TARGETS_TARGET_H

#include "dialects/exec/Exec.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/Error.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace hadal {

/// What a device is asked for before it takes code.
struct Processor {
  std::string triple; ///< LLVM's, as "x86_64-unknown-linux-gnu"
  std::string name;   ///< of the processor, for people and for what code is tuned for
  std::vector<std::string> features; ///< that code may use, by LLVM's names
};

/// Forms of code: for a device (a binary is a shared object), or for people.
enum class CodeForm { Binary, Ptx, Assembly, LlvmIr, Disassembly };

/// One kernel as its device's assembler made it, and what that said.
struct AssembledKernel {
  std::string code; ///< a cubin; empty: nothing assembled it
  uint32_t registers = 0, spillBytes = 0, sharedBytes = 0;
  std::vector<std::string> warnings, opcodes;
};

/// Code of some kernels: an entry for each of them under its name.
struct CodeObject {
  CodeForm form;
  std::string bytes;
  std::vector<AssembledKernel> assembled; ///< one for each kernel, in their order; or none at all
};

/// A kernel's code by itself, and the kernel's name; an empty name is for one without an entry.
struct NamedPart {
  llvm::StringRef name, bytes;
  exec::LaunchAttr launch;   ///< null where there is no kernel
  llvm::StringRef assembled; ///< what Target::assemble made of it; empty without
};

/// Told how many of a module's kernels have code; called from one thread at a time.
using CodeProgress = std::function<void(size_t done, size_t total)>;

class Target {
public:
  virtual ~Target() = default;

  /// The name that the passes' option `target` takes. Targets of one name make equal kernels; their
  /// code may use other features.
  virtual llvm::StringRef name() const = 0;

  virtual const Processor &processor() const = 0;

  /// What the module file says that code is for: the triple's processors, or a kind of device.
  virtual std::string family() const {
    return llvm::StringRef(processor().triple).split('-').first.str();
  }
  /// What turns its code into a device's, and its version ("ptxas 13.0.88"); empty: nothing does.
  virtual std::string assembler() const { return ""; }

  /// Whether it has units that multiply matrices, which --products=tiles asks for. Their sums have
  /// an order of their own.
  virtual bool hasMatrixUnits() const { return false; }
  /// This target, but for these units.
  virtual const Target &withoutMatrixUnits() const { return *this; }

  /// How a tensor of this type is to lie in memory, by what reads it: operands that hold a trained
  /// tensor, or one that reads a copy of its own (an exec.relayout). Null: as stored.
  virtual exec::LayoutAttr layoutOf(mlir::RankedTensorType type,
                                    llvm::ArrayRef<mlir::OpOperand *> readers) const = 0;

  /// Whether `producer`, which `consumer` reads, runs in its kernel.
  virtual bool sharesKernel(mlir::Operation *producer, mlir::Operation *consumer) const = 0;

  /// Replaces a kernel on tensors by one of the same name on memory, which says how it is launched
  /// (dialects/exec/KernelAttributes.h). A failure has been reported.
  virtual mlir::LogicalResult lower(mlir::func::FuncOp kernelOnTensors) const = 0;

  /// The passes from a module of lowered kernels, and nothing else, to what `emit` takes.
  virtual void addCodePasses(mlir::OpPassManager &pm) const = 0;

  /// Whether emit() makes code of this form.
  virtual bool emits(CodeForm form) const {
    return form == CodeForm::Binary || form == CodeForm::Assembly || form == CodeForm::LlvmIr;
  }
  /// The code of all kernels of a module that the code passes have been over.
  virtual llvm::Expected<CodeObject> emit(mlir::ModuleOp kernels, CodeForm form) const = 0;

  /// The same in two steps, so that parts can be kept and used again. First a binary for each
  /// kernel, in their order; one that is empty where there is no kernel. Whatever a kernel's name,
  /// its part is the same.
  virtual llvm::Expected<std::vector<std::string>>
  emitParts(mlir::ModuleOp kernels, const CodeProgress &progress) const = 0;
  /// What the assembler makes of each part that has a name, one after the other or several at a
  /// time; opaque, for link() and for a cache. Only of a target that has one.
  virtual llvm::Expected<std::vector<std::string>> assemble(llvm::ArrayRef<NamedPart> parts,
                                                            const CodeProgress &progress) const {
    return std::vector<std::string>(parts.size());
  }
  /// Then one piece of code of parts.
  virtual llvm::Expected<CodeObject> link(llvm::ArrayRef<NamedPart> parts) const = 0;
};

/// The target of this name; "host" is the one for this machine's processor. An error lists the
/// names that there are. Targets live as long as the program.
llvm::Expected<const Target *> findTarget(llvm::StringRef name);

/// The same, with what a command line says of GPUs. `tiers`: which kernels there may be, such as
/// "serial,rows"; empty: all. `assembler`: "auto", "off" or a path. A target without tiers and
/// assembler wants "" and "auto".
llvm::Expected<const Target *> findTarget(llvm::StringRef name, llvm::StringRef tiers,
                                          llvm::StringRef assembler);

/// For a pass with the option `target`: the same, and null where `module` has an error instead.
const Target *findTarget(mlir::ModuleOp module, llvm::StringRef name);

/// All names, ascending.
std::vector<std::string> targetNames();

/// Adds a target, made when it is first asked for. Before any pass runs; for programs that bring
/// one of their own.
using MakeTarget = std::function<llvm::Expected<std::unique_ptr<const Target>>()>;
void registerTarget(std::string name, MakeTarget make);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_TARGET_H
