//===- MakePrograms.cpp - prefill, inspect and decode, made of @forward --===//

#include "dialects/exec/Exec.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/Passes.h"
#include "passes/specialize/Cache.h"

namespace hadal {
#define GEN_PASS_DEF_HADALMAKEPROGRAMS
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

/// The rows of a call.
enum class Rows {
  Sequences, ///< whole sequences, one after the other; `offsets` says where each begins
  Newest,    ///< the newest token of each sequence
};
/// What attention reads.
enum class Reads {
  OwnRows, ///< the rows of the call
  Cache,   ///< the latent cache, by a page table
};
enum class Results { Logits, All };
/// Who chooses experts.
enum class Experts { Routed, Given };

struct Program {
  StringRef name;
  Rows rows;
  Reads reads;
  Results results;
  Experts experts;
};

/// The programs of inference.
constexpr Program kPrograms[] = {
    {names::program::prefill, Rows::Sequences, Reads::OwnRows, Results::Logits, Experts::Routed},
    {names::program::inspect, Rows::Sequences, Reads::OwnRows, Results::All, Experts::Routed},
    {names::program::inspectRouted, Rows::Sequences, Reads::OwnRows, Results::All, Experts::Given},
    {names::program::decode, Rows::Newest, Reads::Cache, Results::Logits, Experts::Routed},
};

/// Makes one program of a copy of @forward.
class ProgramMaker {
public:
  ProgramMaker(func::FuncOp forward, const Program &program)
      : program(program), b(forward), f(cast<func::FuncOp>(b.clone(*forward))) {}

  LogicalResult make() {
    f.setSymName(program.name);
    f.setPublic();
    setRegisters();
    if (program.rows == Rows::Newest && failed(takeAllRows()))
      return failure();
    addArgument(names::argument::slots, vectorOf(b.getI32Type()), shape({symbol(0)}));
    if (program.reads == Reads::Cache)
      addArgument(
          names::argument::pageTable,
          RankedTensorType::get({ShapedType::kDynamic, ShapedType::kDynamic}, b.getI32Type()),
          shape({symbol(0), symbol(1)}));
    if (program.experts == Experts::Given)
      giveExperts();
    if (program.results == Results::Logits)
      keepLogits();
    return success();
  }

private:
  static RankedTensorType vectorOf(Type element) {
    return RankedTensorType::get(ShapedType::kDynamic, element);
  }
  AffineExpr symbol(unsigned i) { return b.getAffineSymbolExpr(i); }
  AffineMapAttr shape(ArrayRef<AffineExpr> sizes) {
    return AffineMapAttr::get(AffineMap::get(0, registers, sizes, b.getContext()));
  }

  /// What a driver says of a call, and the sizes of the arguments in it.
  void setRegisters() {
    SmallVector<StringRef> all{names::reg::tokens, names::reg::sequences, names::reg::attended,
                               names::reg::logitRows};
    if (program.rows == Rows::Newest)
      all = {names::reg::tokens, names::reg::tablePages, names::reg::attended};
    registers = all.size();
    f->setAttr(kRegistersAttr, b.getStrArrayAttr(all));
    SmallVector<AffineMapAttr> sizes{shape({symbol(0)}), shape({symbol(0)})};
    if (program.rows == Rows::Sequences)
      sizes.append({shape({symbol(1) + 1}), shape({symbol(3)})});
    for (auto [name, size] : llvm::zip(kForwardArguments, sizes))
      f.setArgAttr(argumentNamed(f, name).getArgNumber(), kShapeAttr, size);
  }

  Value addArgument(StringRef name, Type type, AffineMapAttr sizes) {
    unsigned i = f.getNumArguments();
    auto attributes = b.getDictionaryAttr(
        {b.getNamedAttr(kNameAttr, b.getStringAttr(name)), b.getNamedAttr(kShapeAttr, sizes)});
    (void)f.insertArgument(i, type, attributes, f.getLoc());
    return f.getArgument(i);
  }

  /// With one row per sequence all rows want logits: the choice of the last rows goes.
  LogicalResult takeAllRows() {
    BlockArgument chosen = argumentNamed(f, names::argument::logitRowIds);
    for (Operation *user : llvm::make_early_inc_range(chosen.getUsers())) {
      if (isa<tensor::DimOp>(user)) {
        OpBuilder at(user);
        user->replaceAllUsesWith(
            ValueRange{tensor::DimOp::create(at, user->getLoc(),
                                             argumentNamed(f, names::argument::tokenIds), 0)
                           .getResult()});
        user->erase();
        continue;
      }
      auto gather = dyn_cast<linalg::GenericOp>(user);
      tensor::ExtractOp extract;
      if (gather)
        gather.getBody()->walk([&](tensor::ExtractOp op) { extract = op; });
      if (!extract || extract.getTensor().getType() != gather.getResult(0).getType())
        return user->emitOpError("wants to be the choice of the rows whose logits are computed");
      gather.getResult(0).replaceAllUsesWith(extract.getTensor());
      gather.erase();
    }
    (void)f.eraseArgument(chosen.getArgNumber());
    return success();
  }

  /// The choice of experts becomes an argument of each layer that routes.
  void giveExperts() {
    Operation *terminator = f.getBody().front().getTerminator();
    for (auto route : llvm::to_vector(f.getOps<moe::RouteOp>())) {
      std::string name = "routes";
      for (auto [i, v] : llvm::enumerate(terminator->getOperands()))
        if (v == route.getExperts()) { // router.k.topk_ids
          if (auto result = f.getResultAttrOfType<StringAttr>(i, kNameAttr))
            name = (names::argument::routes + result.getValue().split('.').second.split('.').first)
                       .str();
        }
      auto type = cast<RankedTensorType>(route.getExperts().getType());
      Value given =
          addArgument(name, type, shape({symbol(0), b.getAffineConstantExpr(type.getDimSize(1))}));
      route.getForcedMutable().assign(given);
    }
  }

  void keepLogits() {
    Operation *terminator = f.getBody().front().getTerminator();
    SmallVector<Value> values;
    SmallVector<DictionaryAttr> attributes;
    for (auto [i, v] : llvm::enumerate(terminator->getOperands()))
      if (auto name = f.getResultAttrOfType<StringAttr>(i, kNameAttr);
          name && name.getValue() == names::argument::logits) {
        values.push_back(v);
        attributes.push_back(b.getDictionaryAttr(b.getNamedAttr(kNameAttr, name)));
      }
    setResults(f, values, attributes);
  }

  const Program &program;
  OpBuilder b;
  func::FuncOp f;
  unsigned registers = 0;
};

struct MakePrograms : public hadal::impl::HadalMakeProgramsBase<MakePrograms> {
  void runOnOperation() override {
    auto forward = getOperation().lookupSymbol<func::FuncOp>("forward");
    if (!forward)
      return;
    if (failed(checkOneBlock(forward)))
      return signalPassFailure();
    for (StringRef name : kForwardArguments)
      if (!argumentNamed(forward, name)) {
        forward.emitError() << "wants an argument whose exec.name is " << name;
        return signalPassFailure();
      }
    for (const Program &program : kPrograms)
      if (failed(ProgramMaker(forward, program).make()))
        return signalPassFailure();
    forward.erase();
  }
};
} // namespace
