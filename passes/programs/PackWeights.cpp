// Packed weights of a program: the right operands of its products, and stacks that are read as they
// are.
#include "dialects/exec/Exec.h"
#include "dialects/fp8/Fp8.h"
#include "passes/programs/ProgramBuilder.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace hadal;

/// Stacked tensors that are read as they are lie one after the other.
FailureOr<Value> ProgramBuilder::stackedBuffer(ml_program::GlobalLoadConstOp load) {
  exec::ParameterOp parameter = shared.parameter(load);
  std::string name = ("weight." + parameter.getSource()).str();
  if (!shared.symbols.lookup(name)) {
    auto type = cast<RankedTensorType>(parameter.getType());
    int64_t elements = type.getNumElements();
    OpBuilder at = OpBuilder::atBlockBegin(shared.module.getBody());
    int64_t bytes = elements * elementBytes(type.getElementType());
    shared.insert(
        exec::WeightOp::create(at, f.getLoc(), name, bytes * parameter.getCount(), "as stored"));
    exec::ProgramOp pack = shared.packProgram();
    OpBuilder p = OpBuilder::atBlockEnd(&pack.getBody().front());
    auto buffer = exec::BufferType::get(f.getContext());
    Value from = exec::GetOp::create(p, f.getLoc(), buffer,
                                     FlatSymbolRefAttr::get(parameter.getSymNameAttr()));
    Value to =
        exec::GetOp::create(p, f.getLoc(), buffer, FlatSymbolRefAttr::get(p.getStringAttr(name)));
    AffineMap count =
        AffineMap::get(0, 1, getAffineConstantExpr(parameter.getCount(), f.getContext()));
    auto repeat = exec::RepeatOp::create(p, f.getLoc(), 0, count);
    p.setInsertionPointToEnd(&repeat.getBody().emplaceBlock());
    func::FuncOp kernel = copyKernel(shared.module, type.getElementType(), elements, shared.shape);
    AffineExpr e = getAffineSymbolExpr(0, f.getContext()),
               zero = getAffineConstantExpr(0, f.getContext());
    auto one = [&](AffineExpr x) { return AffineMap::get(0, 1, x, f.getContext()); };
    exec::LaunchOp::create(
        p, f.getLoc(), kernel.getSymName(), ValueRange{from, to}, p.getAffineMapArrayAttr({}),
        p.getAffineMapArrayAttr({one(e), one(zero)}),
        p.getAffineMapArrayAttr({one(zero), one(e * bytes)}), AffineMapAttr(), IntegerAttr());
  }
  return get(b.getStringAttr(name));
}

FailureOr<StringAttr> ProgramBuilder::packedParameter(ArrayRef<Product> products,
                                                      ArrayRef<MatrixView> views,
                                                      PanelLayout layout) {
  std::string key;
  llvm::raw_string_ostream out(key);
  SmallVector<exec::ParameterOp> parameters, scales;
  for (const MatrixView &v : views) {
    parameters.push_back(shared.parameter(v.base.getDefiningOp<ml_program::GlobalLoadConstOp>()));
    scales.push_back(v.scale
                         ? shared.parameter(v.scale.getDefiningOp<ml_program::GlobalLoadConstOp>())
                         : exec::ParameterOp());
    out << parameters.back().getSymName() << ' ' << v.offset << ' ' << v.nStride << ' ' << v.kStride
        << ' ' << v.batchStride << ';';
  }
  out << layout.panel << ' ' << layout.n << ' ' << layout.k;
  StringAttr &known = shared.weights[key];
  if (known)
    return known;

  int64_t batch = products[0].batch, total = layout.bytes() * batch;
  std::string name = ("weight." + parameters[0].getSource()).str();
  for (int i = 1; shared.symbols.lookup(name); ++i)
    name = ("weight." + parameters[0].getSource() + "." + Twine(i)).str();
  OpBuilder at = OpBuilder::atBlockBegin(shared.module.getBody());
  std::string text = llvm::formatv("{0}{1} panels of [{2}][{3}] {4}",
                                   batch > 1 ? llvm::formatv("{0} x ", batch).str() : "",
                                   layout.panels(), layout.paddedK(), layout.panel, layout.element);
  auto weight = shared.insert(exec::WeightOp::create(at, f.getLoc(), name, total, text));
  known = weight.getSymNameAttr();

  exec::ProgramOp pack = shared.packProgram();
  MLIRContext *context = f.getContext();
  auto buffer = exec::BufferType::get(context);
  auto one = [&](AffineExpr x) { return AffineMap::get(0, 1, x, context); };
  AffineExpr zero = getAffineConstantExpr(0, context), e = getAffineSymbolExpr(0, context);
  for (auto [half, v] : llvm::enumerate(views)) {
    exec::ParameterOp parameter = parameters[half];
    auto type = cast<RankedTensorType>(parameter.getType());
    bool repeated = parameter.getCount() > 1;
    PackJob job{v,
                layout,
                int64_t(half),
                repeated ? 1 : batch,
                type.getElementType(),
                type.getNumElements()};
    if (repeated)
      job.view.batchStride = 0;
    func::FuncOp kernel = packKernel(shared.module, job, shared.shape);
    OpBuilder p = OpBuilder::atBlockEnd(&pack.getBody().front());
    SmallVector<Value> bound{
        exec::GetOp::create(p, f.getLoc(), buffer,
                            FlatSymbolRefAttr::get(parameter.getSymNameAttr())),
        exec::GetOp::create(p, f.getLoc(), buffer, FlatSymbolRefAttr::get(known))};
    SmallVector<AffineMap> elements{one(repeated ? e : zero), one(zero)},
        offsets{one(zero), one(repeated ? e * layout.bytes() : zero)};
    if (scales[half]) {
      bound.push_back(exec::GetOp::create(p, f.getLoc(), buffer,
                                          FlatSymbolRefAttr::get(scales[half].getSymNameAttr())));
      elements.push_back(one(zero)), offsets.push_back(one(zero));
    }
    if (repeated) {
      auto repeat = exec::RepeatOp::create(
          p, f.getLoc(), 0, one(getAffineConstantExpr(parameter.getCount(), context)));
      p.setInsertionPointToEnd(&repeat.getBody().emplaceBlock());
    }
    exec::LaunchOp::create(p, f.getLoc(), kernel.getSymName(), bound, p.getAffineMapArrayAttr({}),
                           p.getAffineMapArrayAttr(elements), p.getAffineMapArrayAttr(offsets),
                           AffineMapAttr(), IntegerAttr());
  }
  return known;
}

FailureOr<Value> ProgramBuilder::packedBuffer(ArrayRef<Product> products, Operation *reader) {
  SmallVector<MatrixView> views;
  for (const Product &product : products) {
    auto view = traceRight(product);
    if (failed(view))
      return reader->emitError("wants weights of static shape, or static slices of such");
    views.push_back(*view);
  }
  Type element = cast<RankedTensorType>(products[0].right.getType()).getElementType();
  PanelLayout layout =
      PanelLayout::of(products[0].n, products[0].k, element, products.size(), shared.shape);
  if (llvm::all_of(views, [](MatrixView &v) {
        return v.base.getDefiningOp<ml_program::GlobalLoadConstOp>() != nullptr;
      })) {
    auto weight = packedParameter(products, views, layout);
    if (failed(weight))
      return failure();
    return get(*weight);
  }
  // A tensor of this run: pack it here.
  MLIRContext *context = f.getContext();
  AffineMap bytes = map(getAffineConstantExpr(layout.bytes() * products[0].batch, context));
  Value packed = exec::TemporaryOp::create(b, reader->getLoc(), exec::BufferType::get(context),
                                           bytes, IntegerAttr());
  for (auto [half, view] : llvm::enumerate(views)) {
    auto from = bufferOf(throughReshapes(view.base), reader);
    if (failed(from))
      return failure();
    SmallVector<Value> bound{*from, packed};
    if (view.scale) {
      auto scale = bufferOf(view.scale, reader);
      if (failed(scale))
        return failure();
      bound.push_back(*scale);
    }
    auto type = cast<RankedTensorType>(view.base.getType());
    PackJob job{view,
                layout,
                int64_t(half),
                products[0].batch,
                type.getElementType(),
                type.getNumElements()};
    func::FuncOp kernel = packKernel(shared.module, job, shared.shape);
    exec::LaunchOp::create(b, reader->getLoc(), kernel.getSymName(), bound,
                           b.getAffineMapArrayAttr({}), ArrayAttr(), ArrayAttr(), AffineMapAttr(),
                           IntegerAttr());
  }
  return packed;
}

bool hadal::isPackedAway(ArrayRef<Operation *> group) {
  auto dequantize = dyn_cast<fp8::DequantizeOp>(group.front());
  if (!dequantize || group.size() > 1 ||
      cast<RankedTensorType>(dequantize.getQ().getType()).getRank() != 2)
    return false;
  SmallVector<Operation *> readers(dequantize->getUsers().begin(), dequantize->getUsers().end());
  while (!readers.empty()) {
    Operation *reader = readers.pop_back_val();
    if (isView(reader)) {
      readers.append(reader->getUsers().begin(), reader->getUsers().end());
      continue;
    }
    auto product = matchProduct(reader);
    if (!product)
      return false;
    auto view = traceRight(*product);
    if (failed(view) || view->base != dequantize.getQ())
      return false;
  }
  return true;
}
