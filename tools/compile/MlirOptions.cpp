//===- MlirOptions.cpp - what hadal-compile has of mlir-opt ---------------===//

#include "tools/compile/MlirOptions.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/Location.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassInstrumentation.h"
#include "mlir/Support/Timing.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

#include <mutex>
#include <utility>
#include <vector>

using namespace mlir;
using namespace hadal;

bool MlirOptions::take(int &argc, char **argv) {
  registerPassManagerCLOptions();
  registerAsmPrinterCLOptions();
  registerMLIRContextCLOptions();
  registerDefaultTimingManagerCLOptions();
  std::vector<const char *> theirs{"hadal-compile"};
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    StringRef word = argv[i], name = word.ltrim('-');
    if (!word.starts_with("-") || !name.starts_with("mlir-")) {
      argv[kept++] = argv[i];
      continue;
    }
    theirs.push_back(argv[i]);
    // A value may be a word of its own.
    auto &known = llvm::cl::getRegisteredOptions();
    auto option = known.find(name);
    if (option != known.end() && i + 1 < argc &&
        option->second->getValueExpectedFlag() == llvm::cl::ValueRequired)
      theirs.push_back(argv[++i]);
  }
  argc = kept;
  found = theirs.size() > 1;
  return !found ||
         llvm::cl::ParseCommandLineOptions(int(theirs.size()), theirs.data(), "", &llvm::errs());
}

namespace {
/// Names each pass once, however many functions it runs on.
struct SayPasses : PassInstrumentation {
  void runBeforePass(Pass *pass, Operation *) override {
    std::lock_guard lock(mutex);
    if (pass->getArgument().empty() || pass->getArgument() == last)
      return;
    last = pass->getArgument().str();
    llvm::errs() << "hadal-compile: " << last << "\n";
  }
  std::mutex mutex;
  std::string last;
};
} // namespace

LogicalResult MlirOptions::apply(PassManager &pm, bool isVerbose) const {
  if (isVerbose)
    pm.addInstrumentation(std::make_unique<SayPasses>());
  if (!found)
    return success();
  applyDefaultTimingPassManagerCLOptions(pm);
  return applyPassManagerCLOptions(pm);
}

Diagnostics::Diagnostics(MLIRContext &context, llvm::SourceMgr &sources)
    : inFiles(sources, &context, llvm::errs()), elsewhere(&context, [this](Diagnostic &diagnostic) {
        if (diagnostic.getSeverity() != DiagnosticSeverity::Error || std::exchange(isTold, true))
          return success();
        if (diagnostic.getLocation()->findInstanceOf<FileLineColLoc>())
          return failure(); // the other one prints it
        llvm::errs() << "hadal-compile: " << diagnostic.getLocation() << ": " << diagnostic << "\n";
        return success();
      }) {}
