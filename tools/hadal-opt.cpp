//===- hadal-opt.cpp - passes over IR -------------------------------------===//
//
// hadal-opt: run passes over IR, as mlir-opt does, with hadal's dialects and passes. --list names
// these, a line each.
//
//===----------------------------------------------------------------------===//

#include "dialects/Dialects.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "passes/Pipelines.h"
#include "tools/Completion.h"
#include "tools/OutOfMemory.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

/// The options of LLVM, MLIR and the tool, and one for each pass and pipeline.
static hadal::CompletedTool completedTool() {
  hadal::CompletedTool tool;
  tool.name = "hadal-opt";
  for (const auto &[name, option] : llvm::cl::getRegisteredOptions()) {
    // --help shows help-list, which is hidden until --help runs.
    if (name.empty() ||
        (option->getOptionHiddenFlag() != llvm::cl::NotHidden && name != "help-list"))
      continue;
    hadal::CompletedOption completed;
    completed.names.push_back((name.size() == 1 ? "-" : "--") + name.str());
    llvm::StringRef description = option->HelpStr;
    if (const auto *pass = mlir::PassInfo::lookup(name))
      description = pass->getPassDescription();
    else if (const auto *pipeline = mlir::PassPipelineInfo::lookup(name))
      description = pipeline->getPassDescription();
    else if (option->getValueExpectedFlag() == llvm::cl::ValueRequired)
      completed.value = option->ValueStr.contains("filename") ? hadal::CompletedValue::File
                                                              : hadal::CompletedValue::Text;
    completed.description = description.split('\n').first.str();
    tool.options.push_back(std::move(completed));
  }
  llvm::sort(tool.options, [](const auto &a, const auto &b) { return a.names < b.names; });
  return tool;
}

int main(int argc, char **argv) {
  hadal::sayWhereMemoryEnds("hadal-opt");
  llvm::cl::SetVersionPrinter(
      [](llvm::raw_ostream &out) { out << HADAL_VERSION "\nLLVM " LLVM_VERSION_STRING "\n"; });
  hadal::registerHadalPasses();
  for (int i = 1; i < argc; ++i)
    if (llvm::StringRef(argv[i]) == "--list") {
      hadal::listHadalPasses(llvm::outs());
      return 0;
    }
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::registerAllPasses();
  hadal::registerHadalDialects(registry);
  constexpr const char *about =
      "hadal's optimizer driver; --list names hadal's passes and pipelines\n";
  if (argc > 1 && argv[1] == llvm::StringRef(hadal::kCompletion)) {
    mlir::registerAndParseCLIOptions(1, argv, about, registry);
    return hadal::writeCompletion({argv + 2, argv + argc}, completedTool());
  }
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, about, registry));
}
