//===- AddSampling.cpp - programs from logits to tokens and probabilities -===//
//
// A program launches one kernel, which holds one op of the dialect sample. No graph has them: the
// driver decides after each step what is done with its logits.
//
//===----------------------------------------------------------------------===//

#include "dialects/exec/Exec.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/sample/Sample.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "passes/Passes.h"
#include "runtime/module/Names.h"

namespace hadal {
#define GEN_PASS_DEF_EXECADDSAMPLING
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

/// Sizes of a port: constants, or one of these.
enum Size : int64_t { Rows = -1, RowsPlusOne = -2, Further = -3 /* the program's 2nd register */ };

struct Port {
  StringRef name;
  SmallVector<int64_t> shape;
  Type element;
  bool isOutput = false;
  StringRef required = ""; ///< of an input: "values", ids of the vocabulary, or "offsets" into the
                           ///< further register's tokens
};

/// A program of one launch over rows.
class RowProgram {
public:
  /// `ports`: inputs, then outputs. `further`: a register beside "rows".
  RowProgram(ModuleOp module, int64_t vocabulary, StringRef name, ArrayRef<Port> ports,
             StringRef further = "")
      : module(module), vocabulary(vocabulary), name(name), ports(ports), further(further),
        b(module.getLoc(), module.getContext()) {}

  /// Adds the program and its kernel, which holds `Op`. `intoOutputs`: the op has destinations,
  /// the outputs.
  template <typename Op> void add(bool intoOutputs = false);

private:
  AffineMap map(ArrayRef<AffineExpr> results) {
    return AffineMap::get(0, further.empty() ? 1 : 2, results, b.getContext());
  }
  AffineExpr sizeOf(int64_t size);
  func::FuncOp kernel(bool intoOutputs);
  void program(func::FuncOp kernel);

  ModuleOp module;
  int64_t vocabulary;
  StringRef name;
  ArrayRef<Port> ports;
  StringRef further;
  ImplicitLocOpBuilder b;
};

} // namespace

AffineExpr RowProgram::sizeOf(int64_t size) {
  AffineExpr rows = b.getAffineSymbolExpr(0);
  return size == Rows          ? rows
         : size == RowsPlusOne ? rows + 1
         : size == Further     ? b.getAffineSymbolExpr(1)
                               : b.getAffineConstantExpr(size);
}

/// The kernel without its body.
func::FuncOp RowProgram::kernel(bool intoOutputs) {
  SmallVector<Type> arguments, results;
  for (const Port &port : ports) {
    auto dims = llvm::map_to_vector(
        port.shape, [](int64_t size) { return size < 0 ? ShapedType::kDynamic : size; });
    auto type = RankedTensorType::get(dims, port.element);
    if (!port.isOutput || intoOutputs)
      arguments.push_back(type);
    if (port.isOutput)
      results.push_back(type);
  }
  b.setInsertionPointToEnd(module.getBody());
  auto kernel =
      func::FuncOp::create(b, (name + "_rows").str(), b.getFunctionType(arguments, results));
  kernel.setPrivate();
  kernel->setAttr(kKernelAttr, b.getUnitAttr());
  if (intoOutputs)
    for (auto i : llvm::seq<unsigned>(results.size()))
      kernel.setArgAttr(arguments.size() - results.size() + i, kInPlaceAttr,
                        b.getI64IntegerAttr(i));
  b.setInsertionPointToEnd(kernel.addEntryBlock());
  return kernel;
}

void RowProgram::program(func::FuncOp kernel) {
  b.setInsertionPointToEnd(module.getBody());
  SmallVector<StringRef> registers{names::reg::rows};
  if (!further.empty())
    registers.push_back(further);
  auto program = exec::ProgramOp::create(b, name, b.getStrArrayAttr(registers));
  b.setInsertionPointToEnd(&program.getBody().emplaceBlock());
  SmallVector<Value> buffers;
  SmallVector<AffineMap> scalars; // each dynamic size of the kernel's tensors, in order
  for (const Port &port : ports) {
    auto shape = llvm::map_to_vector(port.shape, [&](int64_t size) { return sizeOf(size); });
    for (int64_t size : port.shape)
      if (size < 0)
        scalars.push_back(map(sizeOf(size)));
    buffers.push_back(exec::ArgumentOp::create(b, exec::BufferType::get(b.getContext()), port.name,
                                               map(shape), port.element, port.isOutput));
    if (!port.required.empty()) {
      int64_t below = port.required == "values" ? vocabulary : int64_t(Further);
      exec::RequireOp::create(b, port.required, buffers.back(), map(b.getAffineConstantExpr(0)),
                              map(sizeOf(below)), Value());
    }
  }
  exec::LaunchOp::create(b, kernel.getSymName(), buffers, b.getAffineMapArrayAttr(scalars),
                         ArrayAttr(), ArrayAttr(), AffineMapAttr(), IntegerAttr());
}

template <typename Op> void RowProgram::add(bool intoOutputs) {
  func::FuncOp f = kernel(intoOutputs);
  auto op = Op::create(b, f.getResultTypes(), ValueRange(f.getArguments()));
  func::ReturnOp::create(b, op->getResults());
  program(f);
}

namespace {

struct AddSampling : public hadal::impl::ExecAddSamplingBase<AddSampling> {
  using ExecAddSamplingBase::ExecAddSamplingBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (vocabulary < 1) {
      module.emitError() << "exec-add-sampling wants a positive vocabulary, got "
                         << vocabulary.getValue();
      return signalPassFailure();
    }
    Type f32 = Float32Type::get(&getContext()), i32 = IntegerType::get(&getContext(), 32);
    Port logits{names::argument::logits, {Rows, vocabulary}, f32};
    auto program = [&](StringRef name, ArrayRef<Port> ports, StringRef further = "") {
      return RowProgram(module, vocabulary, name, ports, further);
    };
    program(names::program::argmax, {logits, {names::argument::tokenIds, {Rows}, i32, true}})
        .add<sample::ArgmaxOp>();
    program(names::program::sample, {logits,
                                     {names::argument::temperature, {Rows}, f32},
                                     {names::argument::topK, {Rows}, i32},
                                     {names::argument::topP, {Rows}, f32},
                                     {names::argument::minP, {Rows}, f32},
                                     {names::argument::uniform, {Rows}, f32},
                                     {names::argument::tokenIds, {Rows}, i32, true}})
        .add<sample::ChooseOp>();
    program(names::program::nll, {logits,
                                  {names::argument::targets, {Rows}, i32, false, "values"},
                                  {names::argument::nll, {Rows}, f32, true}})
        .add<sample::NllOp>();
    program(names::program::logProbabilities,
            {logits,
             {names::argument::tokenIds, {Rows}, i32, false, "values"},
             {names::argument::logProbability, {Rows}, f32, true},
             {names::argument::topIds, {Rows, Further}, i32, true},
             {names::argument::topLogProbabilities, {Rows, Further}, f32, true}},
            names::reg::top)
        .add<sample::LogProbabilitiesOp>(/*intoOutputs=*/true);
    program(names::program::penalize,
            {logits,
             {names::argument::penalty, {Rows}, f32},
             {names::argument::offsets, {RowsPlusOne}, i32, false, "offsets"},
             {names::argument::seen, {Further}, i32, false, "values"},
             {names::argument::penalized, {Rows, vocabulary}, f32, true}},
            names::reg::seenTokens)
        .add<sample::PenalizeOp>();
  }
};

} // namespace
