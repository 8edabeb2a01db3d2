//===- Sections.cpp - a chunk's function in sections, cut at its exchanges -===//
//
// An op goes to the first section in which all that it reads is there, but chains that write in
// place stay together.
//
//===----------------------------------------------------------------------===//

#include "passes/programs/Sections.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/job/Job.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "passes/analysis/GraphQueries.h"
#include "passes/analysis/Sizes.h"
#include "passes/programs/FormPrograms.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace hadal;

bool hadal::isExchange(Operation *op) {
  return isa_and_nonnull<moe::ExchangeOp, moe::ExchangeCountsOp>(op);
}

static StringAttr stateOf(DictionaryAttr attributes) {
  return attributes ? attributes.getAs<StringAttr>(kStateAttr) : StringAttr();
}

LogicalResult hadal::checkCuttable(func::FuncOp f) {
  if (f.isExternal() || !f.getBody().hasOneBlock())
    return f.emitError("wants a body of one block to be cut into chunks");
  auto registers = f->getAttrOfType<ArrayAttr>(kRegistersAttr);
  for (unsigned i = 0; i < f.getNumArguments(); ++i) {
    DictionaryAttr attributes = f.getArgAttrDict(i);
    bool isNamed = stateOf(attributes) || f.getArgAttrOfType<StringAttr>(i, kNameAttr);
    if (!isNamed || !isa<RankedTensorType>(f.getArgumentTypes()[i]))
      return f.emitError() << "argument " << i
                           << " wants to be a ranked tensor that has exec.name or exec.state";
    if (auto shape = f.getArgAttrOfType<AffineMapAttr>(i, kShapeAttr);
        shape && shape.getValue().getNumSymbols() && !registers)
      return f.emitError() << "argument " << i << " wants exec.registers, which its exec.shape ("
                           << shape << ") is over";
  }
  for (auto exchange : f.getOps<moe::ExchangeOp>())
    if (exchange.getRows() && !registerOf(exchange.getRows()))
      return exchange.emitOpError("wants rows of moe.exchange_counts, or a moe.count, to be cut");
  for (auto [i, type] : llvm::enumerate(f.getResultTypes()))
    if (!f.getResultAttr(i, job::kLossAttr) && !isa<RankedTensorType>(type))
      return f.emitError() << "result " << i << " wants to be a ranked tensor, got " << type;
  return success();
}

namespace {

class Cutter {
public:
  /// The chunk `name`, whose values without a name are called KIND.NUMBER. `shapes` holds the sizes
  /// of values that earlier chunks of the stage have handed on.
  Cutter(func::FuncOp f, std::string name, StringRef kind, llvm::StringMap<AffineMap> &shapes)
      : f(f), block(f.getBody().front()), name(std::move(name)), kind(kind), shapes(shapes),
        b(f.getContext()) {}

  LogicalResult run() {
    dropLosses();
    readShapes();
    materializeResults();
    place();
    // Sections read counts from registers; exchanges, also of counts, are commands of the chunk.
    for (auto counts : llvm::to_vector(block.getOps<moe::ExchangeCountsOp>()))
      counts.cutCounts([](OpOperand &use) { return !isExchange(use.getOwner()); });
    nameValues();
    if (failed(noteShapes()))
      return failure();
    b.setInsertionPoint(f);
    f.setSymName(name + ".uncut");
    auto chunk = func::FuncOp::create(b, f.getLoc(), name, f.getFunctionType());
    chunk->setDiscardableAttrs(f->getDiscardableAttrDictionary());
    chunk->setAttr(job::kChunkAttr, b.getUnitAttr());
    chunk.setPrivate();
    for (unsigned i = 0; i < f.getNumArguments(); ++i)
      chunk.setArgAttrs(i, f.getArgAttrDict(i));
    for (unsigned i = 0; i < f.getNumResults(); ++i)
      chunk.setResultAttrs(i, f.getResultAttrDict(i));
    Block *body = chunk.addEntryBlock();
    for (auto [from, to] : llvm::zip(block.getArguments(), body->getArguments()))
      chunkValues.map(from, to);
    OpBuilder at = OpBuilder::atBlockEnd(body);
    for (int64_t s = 0; s < sections; ++s) {
      if (failed(section(s, at)))
        return failure();
      for (Operation &op : block.without_terminator())
        if (isExchange(&op) && depth[&op] == s) {
          for (Value v : op.getOperands())
            if (auto count = v.getDefiningOp<moe::CountOp>(); count && !chunkValues.contains(v))
              at.clone(*count, chunkValues);
          Operation *copy = at.clone(op, chunkValues);
          copy->setAttr(kNameAttr, names.lookup(op.getResult(0)));
          copy->setAttr(kShapeAttr, AffineMapAttr::get(
                                        shapes.lookup(names.lookup(op.getResult(0)).getValue())));
        }
    }
    SmallVector<Value> returned;
    for (Value v : block.getTerminator()->getOperands())
      returned.push_back(chunkValues.lookup(v));
    func::ReturnOp::create(at, f.getLoc(), returned);
    // Some arguments were there for their size.
    llvm::BitVector unread(chunk.getNumArguments());
    for (BlockArgument argument : chunk.getArguments())
      unread[argument.getArgNumber()] =
          argument.use_empty() && !chunk.getArgAttr(argument.getArgNumber(), job::kStageAttr);
    (void)chunk.eraseArguments(unread);
    f.erase();
    return success();
  }

private:
  bool isStateResult(unsigned i) { return bool(stateOf(f.getResultAttrDict(i))); }

  /// A loss was there to be differentiated; what is kept of it adds up in a state.
  void dropLosses() {
    Operation *terminator = block.getTerminator();
    llvm::BitVector dropped(f.getNumResults());
    for (unsigned i = 0; i < f.getNumResults(); ++i)
      if (f.getResultAttr(i, job::kLossAttr))
        dropped.set(i);
    terminator->eraseOperands(dropped);
    (void)f.eraseResults(dropped);
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
      if (isOpTriviallyDead(&op))
        op.erase();
  }

  void readShapes() {
    if (auto given = f->getAttrOfType<ArrayAttr>(kRegistersAttr))
      registers = given.size();
    for (BlockArgument argument : block.getArguments()) {
      unsigned i = argument.getArgNumber();
      auto type = cast<RankedTensorType>(argument.getType());
      if (stateOf(f.getArgAttrDict(i)))
        continue;
      auto name = f.getArgAttrOfType<StringAttr>(i, kNameAttr);
      names[argument] = name;
      auto given = f.getArgAttrOfType<AffineMapAttr>(i, kShapeAttr);
      AffineMap map = given ? given.getValue() : shapes.lookup(name.getValue());
      if (StringRef of = name.getValue(); !map && of.consume_front("gradient."))
        map = shapes.lookup(of);
      if (map) // sharding may have added registers since
        map = AffineMap::get(0, registers, map.getResults(), b.getContext());
      if (f.getArgAttr(i, job::kStageAttr)) {
        if (shapes.contains(name.getValue()))
          f.removeArgAttr(i, job::kStageAttr); // an earlier chunk has received it
        else
          shapes[name.getValue()] = map;
      }
      if (!map)
        continue; // static
      f.setArgAttr(i, kShapeAttr, AffineMapAttr::get(map));
      for (int64_t d = 0; d < type.getRank(); ++d)
        sizes.set(argument, d, map.getResult(d));
    }
  }

  /// Every result becomes what an op makes, each its own.
  void materializeResults() {
    Operation *terminator = block.getTerminator();
    DenseSet<Value> seen;
    for (OpOperand &operand : terminator->getOpOperands()) {
      Operation *op = operand.get().getDefiningOp();
      if (op && !isCloned(op) && seen.insert(operand.get()).second)
        continue;
      auto part = job::partAttrOf(rootOf(operand.get()).getDefiningOp());
      job::setPart(returnCopy(operand), part);
    }
  }

  /// What `v` is made of, looking through what each section makes anew.
  void rootsOf(Value v, llvm::SetVector<Value> &roots) {
    Operation *op = v.getDefiningOp();
    if (!op || !isCloned(op)) {
      roots.insert(v);
      return;
    }
    if (isa<tensor::DimOp>(op))
      return; // a size is no reading: any value of that size has it
    for (Value read : readsOf(op, block))
      rootsOf(read, roots);
  }

  /// The first section that can read `v`.
  int64_t availableIn(Value v) {
    Operation *maker = v.getDefiningOp();
    return maker ? depth[maker] + (isExchange(maker) ? 1 : 0) : 0;
  }

  /// Notes the sizes that `v` has.
  void noteSizes(Value v) {
    auto type = dyn_cast<RankedTensorType>(v.getType());
    for (int64_t d = 0; type && d < type.getRank(); ++d)
      if (auto size = sizes.dim(v, d); type.isDynamicDim(d) && succeeded(size)) {
        std::pair<Value, int64_t> &known = sizeSources[*size];
        if (!known.first || availableIn(v) < availableIn(known.first))
          known = {v, d};
      }
  }

  /// The value that has the size first, and which of its dimensions; null where none has.
  std::pair<Value, int64_t> sizeSourceOf(tensor::DimOp dimOp) {
    auto size = sizes.index(dimOp.getResult());
    return failed(size) ? std::pair<Value, int64_t>() : sizeSources.lookup(*size);
  }

  /// The sizes that `v` is made of.
  void dimsOf(Value v, SmallVector<tensor::DimOp> &dims) {
    Operation *op = v.getDefiningOp();
    if (!op || !isCloned(op))
      return;
    if (auto dimOp = dyn_cast<tensor::DimOp>(op))
      dims.push_back(dimOp);
    else
      for (Value read : readsOf(op, block))
        dimsOf(read, dims);
  }

  void place() {
    for (BlockArgument argument : block.getArguments())
      noteSizes(argument);
    for (Operation &op : block.without_terminator()) {
      if (isCloned(&op))
        continue;
      int64_t at = 0;
      llvm::SetVector<Value> roots;
      SmallVector<tensor::DimOp> dims;
      for (Value v : readsOf(&op, block)) {
        rootsOf(v, roots);
        dimsOf(v, dims);
      }
      for (Value root : roots)
        at = std::max(at, availableIn(root));
      for (tensor::DimOp dimOp : dims)
        if (Value source = sizeSourceOf(dimOp).first)
          at = std::max(at, availableIn(source));
      depth[&op] = at;
      sections = std::max(sections, at + 1);
      for (Value v : op.getResults())
        noteSizes(v);
    }
    // Ops that write one after the other into the same memory stay together.
    for (Operation &op : llvm::reverse(block.without_terminator()))
      if (OpOperand *destination = depth.contains(&op) ? destinationOf(&op) : nullptr)
        if (Operation *before = destination->get().getDefiningOp();
            before && depth.contains(before) && !isExchange(before) &&
            destination->get().hasOneUse())
          depth[before] = depth[&op];
  }

  void nameValues() {
    Operation *terminator = block.getTerminator();
    for (OpOperand &operand : terminator->getOpOperands())
      names[operand.get()] =
          f.getResultAttrOfType<StringAttr>(operand.getOperandNumber(), kNameAttr);
    int64_t next = 0;
    for (Operation &op : block.without_terminator()) {
      if (isCloned(&op))
        continue;
      for (Value v : op.getResults())
        if (StringAttr &known = names[v]; isa<RankedTensorType>(v.getType()) && !known)
          known = b.getStringAttr(kind + "." + std::to_string(next++));
    }
  }

  FailureOr<AffineMap> shapeOf(Value v) {
    SmallVector<AffineExpr> results;
    for (int64_t d = 0; d < cast<RankedTensorType>(v.getType()).getRank(); ++d) {
      auto size = sizes.dim(v, d);
      if (failed(size))
        return emitError(v.getLoc()) << "dimension " << d
                                     << " of what one chunk hands on to another is no function of "
                                        "the sizes of a micro-batch";
      results.push_back(*size);
    }
    return AffineMap::get(0, registers, results, b.getContext());
  }

  /// Sizes of all that may cross: results and what is read in another section.
  LogicalResult noteShapes() {
    auto note = [&](Value v) -> LogicalResult {
      auto shape = shapeOf(v);
      if (failed(shape))
        return failure();
      shapes[names.lookup(v).getValue()] = *shape;
      return success();
    };
    DenseSet<Value> written;
    for (auto [i, v] : llvm::enumerate(block.getTerminator()->getOperands())) {
      if (isStateResult(i)) {
        written.insert(v);
        continue;
      }
      if (failed(note(v)))
        return failure();
      crossing.insert(v);
    }
    for (Operation &op : block.without_terminator()) {
      if (isExchange(&op))
        for (Value v : op.getResults())
          if (isa<RankedTensorType>(v.getType()) && failed(note(v)))
            return failure();
      if (isCloned(&op))
        continue;
      llvm::SetVector<Value> roots;
      SmallVector<tensor::DimOp> dims;
      for (Value v : readsOf(&op, block)) {
        rootsOf(v, roots);
        dimsOf(v, dims);
      }
      for (tensor::DimOp dimOp : dims)
        if (Value source = sizeSourceOf(dimOp).first)
          roots.insert(source);
      for (Value root : roots) {
        Operation *maker = root.getDefiningOp();
        if (maker && !isExchange(maker) && (depth[maker] != depth[&op] || isExchange(&op))) {
          if (written.contains(root))
            return op.emitOpError()
                   << "reads a state on the other side of an exchange from what writes it";
          crossing.insert(root);
          if (failed(note(root)))
            return failure();
        }
      }
    }
    return success();
  }

  /// A section while its function is written.
  struct Section {
    int64_t number;
    func::FuncOp part;
    OpBuilder at;                    ///< at the function's end
    IRMapping map = {};              ///< to the function's values
    SmallVector<Value> inputs = {};  ///< in the order of its arguments
    SmallVector<Value> outputs = {}; ///< that other sections or the chunk read
    SmallVector<Value> states = {};  ///< that it hands on, after all outputs
    SmallVector<Value> here = {};    ///< values at hand, which tell sizes
  };

  void addInput(Section &s, Value v) {
    unsigned place = s.part.getNumArguments();
    NamedAttrList attributes;
    if (auto argument = dyn_cast<BlockArgument>(v);
        argument && stateOf(f.getArgAttrDict(argument.getArgNumber()))) {
      attributes = f.getArgAttrDict(argument.getArgNumber());
    } else {
      attributes.set(kNameAttr, names.lookup(v));
      auto type = cast<RankedTensorType>(v.getType());
      if (AffineMap shape = shapes.lookup(names.lookup(v).getValue());
          shape && !type.hasStaticShape())
        attributes.set(kShapeAttr, AffineMapAttr::get(shape));
      else if (argument)
        if (Attribute given = f.getArgAttr(argument.getArgNumber(), kShapeAttr))
          attributes.set(kShapeAttr, given);
    }
    (void)s.part.insertArgument(place, v.getType(), attributes.getDictionary(b.getContext()),
                                v.getLoc());
    s.map.map(v, s.part.getArgument(place));
    s.inputs.push_back(v);
  }

  /// A size, from a value that is here anyway where there is one.
  bool sizeHere(Section &s, tensor::DimOp dimOp) {
    auto size = sizes.index(dimOp.getResult());
    if (failed(size))
      return false;
    auto take = [&](Value known, int64_t d) {
      Value same = tensor::DimOp::create(s.at, dimOp.getLoc(), s.map.lookup(known), d);
      s.map.map(dimOp.getResult(), same);
      return true;
    };
    for (Value known : s.here)
      for (int64_t d = 0; d < cast<RankedTensorType>(known.getType()).getRank(); ++d)
        if (auto same = sizes.dim(known, d);
            s.map.contains(known) && succeeded(same) && *same == *size)
          return take(known, d);
    auto [source, d] = sizeSourceOf(dimOp);
    if (!source)
      return false;
    addInput(s, source);
    s.here.push_back(source);
    return take(source, d);
  }

  /// Brings `v` into the section: as an argument, or as a copy of what makes it.
  void bring(Section &s, Value v) {
    if (s.map.contains(v))
      return;
    Operation *op = v.getDefiningOp();
    if (!op || !isCloned(op)) {
      addInput(s, v);
      s.here.push_back(v);
      return;
    }
    if (auto dimOp = dyn_cast<tensor::DimOp>(op); dimOp && sizeHere(s, dimOp))
      return;
    for (Value read : readsOf(op, block))
      bring(s, read);
    s.at.clone(*op, s.map);
  }

  /// Copies the section's ops, with what they read, and the stores of what they make.
  void fill(Section &s, ArrayRef<Operation *> mine) {
    // Operands with memory first: sizes are then found among them.
    for (Operation *op : mine) {
      llvm::SetVector<Value> roots;
      for (Value v : readsOf(op, block))
        rootsOf(v, roots);
      for (Value root : roots)
        if (Operation *maker = root.getDefiningOp();
            !maker || depth[maker] != s.number || isExchange(maker))
          bring(s, root);
    }
    for (Operation *op : mine) {
      for (Value v : readsOf(op, block))
        bring(s, v);
      s.at.clone(*op, s.map);
      for (Value v : op->getResults()) {
        if (isa<RankedTensorType>(v.getType()))
          s.here.push_back(v);
        if (crossing.contains(v))
          s.outputs.push_back(v);
      }
    }
    for (auto store : block.getOps<ml_program::GlobalStoreOp>()) {
      llvm::SetVector<Value> roots;
      rootsOf(store.getValue(), roots);
      Operation *maker = roots.empty() ? nullptr : roots.front().getDefiningOp();
      if (!maker || depth[maker] != s.number)
        continue;
      bring(s, store.getValue());
      s.at.clone(*store, s.map);
    }
  }

  /// Returns outputs and then states from the section's function.
  void close(Section &s) {
    SmallVector<Value> returned;
    for (Value v : s.outputs)
      returned.push_back(s.map.lookup(v));
    SmallVector<DictionaryAttr> written;
    for (auto [i, v] : llvm::enumerate(block.getTerminator()->getOperands()))
      if (Operation *maker = v.getDefiningOp();
          isStateResult(i) && maker && depth.contains(maker) && depth[maker] == s.number) {
        returned.push_back(s.map.lookup(v));
        s.states.push_back(v);
        written.push_back(f.getResultAttrDict(i));
      }
    func::ReturnOp::create(s.at, f.getLoc(), returned);
    s.part.setType(b.getFunctionType(s.part.getArgumentTypes(), ValueRange(returned).getTypes()));
    for (auto [i, v] : llvm::enumerate(s.outputs)) {
      s.part.setResultAttr(i, kNameAttr, names.lookup(v));
      s.part.setResultAttr(i, kShapeAttr,
                           AffineMapAttr::get(shapes.lookup(names.lookup(v).getValue())));
    }
    for (auto [i, attributes] : llvm::enumerate(written))
      s.part.setResultAttrs(s.outputs.size() + i, attributes);
  }

  /// The function of section `number`, and its call at the chunk's end.
  LogicalResult section(int64_t number, OpBuilder &chunk) {
    SmallVector<Operation *> mine;
    for (Operation &op : block.without_terminator())
      if (depth.contains(&op) && !isExchange(&op) && depth[&op] == number)
        mine.push_back(&op);
    if (mine.empty())
      return success();
    b.setInsertionPoint(f);
    auto part = func::FuncOp::create(b, f.getLoc(), name + "." + std::to_string(number),
                                     b.getFunctionType({}, {}));
    if (Attribute given = f->getAttr(kRegistersAttr))
      part->setAttr(kRegistersAttr, given);
    Section s{number, part, OpBuilder::atBlockEnd(part.addEntryBlock())};
    fill(s, mine);
    close(s);
    SmallVector<Value> operands;
    for (Value v : s.inputs) {
      if (!chunkValues.contains(v))
        return emitError(v.getLoc())
               << name << "." << number << " reads " << names.lookup(v)
               << ", which a later part makes (part "
               << (v.getDefiningOp() ? depth.lookup(v.getDefiningOp()) : -1) << ")";
      operands.push_back(chunkValues.lookup(v));
    }
    auto call = func::CallOp::create(chunk, f.getLoc(), part, operands);
    s.outputs.append(s.states);
    for (auto [v, result] : llvm::zip(s.outputs, call.getResults()))
      chunkValues.map(v, result);
    return success();
  }

  func::FuncOp f;
  Block &block;
  std::string name;
  std::string kind;
  llvm::StringMap<AffineMap> &shapes;
  OpBuilder b;
  unsigned registers = 0;
  Sizes sizes;
  DenseMap<Operation *, int64_t> depth;
  int64_t sections = 1;
  /// Of each size the value, and which of its dimensions, that is there first.
  DenseMap<AffineExpr, std::pair<Value, int64_t>> sizeSources;
  DenseMap<Value, StringAttr> names;
  llvm::DenseSet<Value> crossing;
  IRMapping chunkValues;
};

} // namespace

LogicalResult hadal::cutFunction(func::FuncOp f, const std::string &name, StringRef kind,
                                 llvm::StringMap<AffineMap> &shapes) {
  return Cutter(f, name, kind, shapes).run();
}
