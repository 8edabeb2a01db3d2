// hadal-opt: run passes over IR, as mlir-opt does, with hadal's dialects and passes.
#include "dialects/Dialects.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "passes/Pipelines.h"
#include "tools/OutOfMemory.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

int main(int argc, char **argv) {
  hadal::sayWhereMemoryEnds("hadal-opt");
  llvm::cl::SetVersionPrinter(
      [](llvm::raw_ostream &out) { out << HADAL_VERSION "\nLLVM " LLVM_VERSION_STRING "\n"; });
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::registerAllPasses();
  hadal::registerHadalDialects(registry);
  hadal::registerHadalPasses();
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "hadal's optimizer driver\n", registry));
}
