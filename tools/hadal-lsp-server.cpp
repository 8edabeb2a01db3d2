//===- hadal-lsp-server.cpp - what an editor asks about .mlir files -------===//
//
// hadal-lsp-server: what an editor asks about .mlir files with hadal's dialects: errors while one
// types, definitions and uses, what an op is. It speaks the language server protocol on standard
// input and output, as mlir-lsp-server does.
//
//===----------------------------------------------------------------------===//

#include "dialects/Dialects.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/LogicalResult.h"
#include "llvm/Support/raw_ostream.h"

int main(int argc, char **argv) {
  llvm::cl::SetVersionPrinter(
      [](llvm::raw_ostream &out) { out << HADAL_VERSION "\nLLVM " LLVM_VERSION_STRING "\n"; });
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  hadal::registerHadalDialects(registry);
  return llvm::failed(mlir::MlirLspServerMain(argc, argv, registry));
}
