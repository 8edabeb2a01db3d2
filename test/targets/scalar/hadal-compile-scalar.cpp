//===- hadal-compile-scalar.cpp - modules for target=scalar ----------------===//
//
//     hadal-compile-scalar FOLDER --mode=generate -o FILE
//
// hadal-compile, as far as the goldens need it, with one more target in the table.
//
//===------------------------------------------------------------------------===//

#include "dialects/Dialects.h"
#include "frontend/BuildGraph.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "passes/module/Compile.h"
#include "test/targets/scalar/Scalar.h"
#include "llvm/Support/raw_ostream.h"

using namespace hadal;

static int fail(llvm::StringRef message) {
  llvm::errs() << "hadal-compile-scalar: " << message << "\n";
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 5 || llvm::StringRef(argv[2]) != "--mode=generate" ||
      llvm::StringRef(argv[3]) != "-o")
    return fail("wants FOLDER --mode=generate -o FILE");
  registerScalar();
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::registerAllToLLVMIRTranslations(registry);
  registerHadalDialects(registry);
  mlir::MLIRContext context(registry);
  auto model = frontend::readModelDescription(argv[1]);
  if (!model)
    return fail(llvm::toString(model.takeError()));
  auto graph = frontend::buildGraph(context, *model);
  if (mlir::failed(graph))
    return 1;
  CompileOptions options;
  options.target = "scalar";
  options.output = argv[4];
  if (llvm::Error error = compile(**graph, options))
    return fail(llvm::toString(std::move(error)));
  return 0;
}
