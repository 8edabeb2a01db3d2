//===- PrecisionTable.cpp - in which precision a step computes ------------===//

#include "passes/quantize/PrecisionTable.h"
#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "passes/analysis/GraphQueries.h"
#include "passes/analysis/Products.h"
#include "passes/autodiff/Saved.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace hadal;

namespace {

/// What is said of one tensor.
struct Precision {
  std::string format, tile = "-", scale = "-";
};

/// A line; `operands` are two of a product, one of what is kept.
struct Line {
  StringRef direction;
  SmallVector<Precision, 2> operands;
  std::string sum = "-";
  int64_t bytes = 0;
  std::string tensor; ///< of what is kept: what made it, and its shape

  bool isInCodes() const {
    return llvm::all_of(operands, [](const Precision &p) { return p.scale != "-"; });
  }
};

constexpr StringRef kKept = "kept";

class Table {
public:
  Table(func::FuncOp f, ArrayRef<int64_t> registers)
      : f(f), halves(f), saved(savedValues(f, halves)), sizes(f, registers) {}
  std::string print();

private:
  fp8::QuantizeOp quantizerOf(Value codesOrScale);
  Precision precisionOf(Value v, Value scale, StringRef tile, Operation *reader);
  void addProduct(const Product &product);
  void addGradient(const WeightGradient &gradient);
  void addKept(OpResult v);
  int64_t bytesOf(ArrayRef<Value> values) {
    int64_t bytes = 0;
    for (Value v : values)
      bytes += v ? sizes.bytesOf(v) : 0;
    return bytes;
  }

  func::FuncOp f;
  Halves halves;
  llvm::SetVector<Value> saved;
  MicroBatchSizes sizes;
  llvm::MapVector<StringRef, std::vector<Line>> lines; ///< by part
};

} // namespace

static std::string sizeOf(int64_t size) { return size ? std::to_string(size) : "*"; }

static std::string tileOf(int64_t rows, int64_t columns) {
  return sizeOf(rows) + "x" + sizeOf(columns);
}

/// The quantizer that made codes or scales, perhaps before they travelled, or, of a weight, in the
/// program that fills its state. Null where none is known.
fp8::QuantizeOp Table::quantizerOf(Value v) {
  while (Operation *op = v ? v.getDefiningOp() : nullptr) {
    if (auto quantize = dyn_cast<fp8::QuantizeOp>(op))
      return quantize;
    if (auto load = dyn_cast<ml_program::GlobalLoadOp>(op)) {
      Value stored;
      f->getParentOfType<ModuleOp>().walk([&](ml_program::GlobalStoreOp store) {
        if (store.getGlobal() == load.getGlobal())
          stored = store.getValue();
      });
      v = stored;
      continue;
    }
    Type element = getElementTypeOrSelf(v.getType());
    if (!op->getNumOperands() || getElementTypeOrSelf(op->getOperand(0).getType()) != element)
      return {};
    v = op->getOperand(0);
  }
  return {};
}

static std::string nameOf(Type element) {
  if (isa<Float8E4M3FNType>(element))
    return "e4m3";
  if (isa<Float8E5M2Type>(element))
    return "e5m2";
  std::string name;
  llvm::raw_string_ostream(name) << element;
  return name;
}

/// What the scales of codes are of.
static void addTile(Precision &p, fp8::QuantizeOp made) {
  p.tile = tileOf(made.getBlock()[0], made.getBlock()[1]);
  p.scale = made.getPow2() ? "pow2" : "f32";
}

/// Of an operand; `tile` is that of codes, which have a scale.
Precision Table::precisionOf(Value v, Value scale, StringRef tile, Operation *reader) {
  Precision p{nameOf(getElementTypeOrSelf(v.getType()))};
  if (p.format == "f32" && isHeldByBf16(reader))
    p.format = "bf16"; // f32 numbers that are rounded to it
  if (!scale)
    return p;
  // A scale may stand for more than the product's tile: a gradient's in 128 x 128.
  p.tile = tile.str(), p.scale = "f32";
  if (fp8::QuantizeOp made = quantizerOf(scale))
    addTile(p, made);
  return p;
}

/// "hopper, 128": how the parts of a sum are formed, and after how many products they are promoted.
static std::string sumOf(Value scale, Accumulate accumulate, int64_t interval) {
  if (!scale)
    return "f32";
  return (accumulate == Accumulate::Hopper ? "hopper, " : "f32, ") +
         (interval ? std::to_string(interval) : std::string("never"));
}

void Table::addProduct(const Product &p) {
  bool isDgrad = halves.isBackward(p.op);
  Line line{isDgrad ? "Dgrad" : "Fprop"};
  line.operands = {
      precisionOf(p.left, p.leftScale, tileOf(1, p.blockK), p.op),
      precisionOf(p.right, p.scale,
                  p.rightN < p.rightK ? tileOf(p.blockN, p.blockK) : tileOf(p.blockK, p.blockN),
                  p.op)};
  line.sum = sumOf(p.leftScale, p.accumulate, p.interval);
  line.bytes = bytesOf({p.left, p.leftScale, p.right, p.scale});
  lines[job::partOf(p.op)].push_back(std::move(line));
}

void Table::addGradient(const WeightGradient &g) {
  Line line{"Wgrad"};
  line.operands = {precisionOf(g.gradient, g.gradientScale, tileOf(g.tile, 1), g.op),
                   precisionOf(g.rows, g.rowsScale, tileOf(g.tile, 1), g.op)};
  line.sum = sumOf(g.rowsScale, g.accumulate, g.interval);
  line.bytes = bytesOf({g.gradient, g.gradientScale, g.rows, g.rowsScale});
  lines[job::partOf(g.op)].push_back(std::move(line));
}

/// "moe.plan.offsets 7": a part keeps several tensors.
static std::string tensorOf(OpResult v) {
  std::string text = v.getOwner()->getName().getStringRef().str();
  if (auto named = dyn_cast<OpAsmOpInterface>(v.getOwner()))
    named.getAsmResultNames([&](Value first, StringRef name) {
      if (first == v)
        text += "." + name.str();
    });
  llvm::raw_string_ostream out(text);
  auto sizes = llvm::map_range(cast<RankedTensorType>(v.getType()).getShape(), [](int64_t size) {
    return ShapedType::isDynamic(size) ? std::string("?") : std::to_string(size);
  });
  out << " " << llvm::join(sizes, "x");
  return text;
}

/// A tensor that the backward half reads; codes with their scales.
void Table::addKept(OpResult v) {
  Operation *op = v.getOwner();
  Precision p{nameOf(getElementTypeOrSelf(v.getType()))};
  Line line{kKept};
  line.bytes = bytesOf(v);
  line.tensor = tensorOf(v);
  fp8::QuantizeOp made = quantizerOf(v);
  if (made && p.format == "f32") {
    if (v == made.getScale() && saved.contains(made.getQ()))
      return;           // a line of both
    p.format = "scale"; // of codes that travel
  } else if (made) {
    if (v == made.getQ() && saved.contains(made.getScale()))
      line.bytes += bytesOf(made.getScale());
    p.format = fp8::nameOf(made.codeFormat()).str();
    addTile(p, made);
  }
  line.operands = {std::move(p)};
  lines[job::partOf(op)].push_back(std::move(line));
}

/// "e4m3", or "e4m3, f32" of two operands that differ.
static std::string joined(const Line &line, std::string Precision::*what) {
  std::string text = line.operands.front().*what;
  if (line.operands.size() > 1 && line.operands.back().*what != text)
    text += ", " + line.operands.back().*what;
  return text;
}

std::string Table::print() {
  // Parts in order of the forward half, which stands first.
  for (Operation &op : f.getBody().front()) {
    if (op.hasAttr(job::kRecomputedAttr))
      continue;
    if (auto product = matchProduct(&op))
      addProduct(*product);
    else if (auto gradient = matchWeightGradient(&op))
      addGradient(*gradient);
    for (OpResult v : op.getResults())
      if (saved.contains(v))
        addKept(v);
  }
  constexpr StringRef form = "{0,-48}{1,-11}{2,-12}{3,-18}{4,-11}{5,-13}{6,12}{7}\n";
  std::string text;
  llvm::raw_string_ostream out(text);
  out << llvm::formatv(form.data(), "part of the model", "direction", "format", "tile", "scale",
                       "sum", "bytes", "  kept tensor");
  int64_t products = 0, inCodes = 0, kept = 0, keptInCodes = 0;
  for (auto &[part, ofPart] : lines) {
    llvm::stable_sort(ofPart, [](const Line &a, const Line &b) {
      auto place = [](const Line &line) { return line.direction == kKept; };
      return place(a) < place(b);
    });
    for (const Line &line : ofPart) {
      bool isKept = line.direction == kKept;
      out << llvm::formatv(form.data(), part.empty() ? StringRef("(unnamed)") : part,
                           line.direction, joined(line, &Precision::format),
                           joined(line, &Precision::tile), joined(line, &Precision::scale),
                           line.sum, line.bytes, line.tensor.empty() ? "" : "  " + line.tensor);
      (isKept ? kept : products) += isKept ? line.bytes : 1;
      (isKept ? keptInCodes : inCodes) += !line.isInCodes() ? 0 : isKept ? line.bytes : 1;
    }
  }
  out << llvm::formatv("{0} products, {1} of codes; {2} bytes kept for the backward half, {3} of "
                       "them codes\n",
                       products, inCodes, kept, keptInCodes);
  return text;
}

std::string hadal::precisionTable(func::FuncOp f, ArrayRef<int64_t> registers) {
  return Table(f, registers).print();
}
