//===- Shapes.h - named sizes of an op's operands and results ---*- C++ -*-===//
//
// What the verifiers and the shape reification of hadal's dialects share: an op's sizes have names
// ("T", "nh"), and one name means one size wherever it stands.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_DIALECTS_SHAPES_H
#define HADAL_DIALECTS_SHAPES_H

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Operation.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

#include <string>
#include <utility>

namespace hadal {

/// Writes down what verifiers say of sizes while it lives, on its thread: dimension `dim` of
/// `value` is `more` above the size `name`. Where sizes are dynamic nothing holds them to it but
/// who runs the op.
class SizeNotes {
public:
  struct Note {
    mlir::Value value;
    unsigned dim;
    std::string name;
    int64_t more;
  };
  SizeNotes() : before(std::exchange(current, this)) {}
  ~SizeNotes() { current = before; }
  SizeNotes(const SizeNotes &) = delete;

  llvm::SmallVector<Note> notes;

private:
  friend class NamedSizes;
  SizeNotes *before;
  static inline thread_local SizeNotes *current = nullptr;
};

/// The sizes of one op while it is verified. Names given as `dynamic` may be "?"; every other size
/// is static and >= 1.
class NamedSizes {
public:
  NamedSizes(mlir::Operation *op, std::initializer_list<llvm::StringRef> dynamic) : op(op) {
    for (llvm::StringRef name : dynamic)
      mayBeDynamic.insert(name);
  }

  /// Holds `value`'s shape against one name per dimension ("E+1" is one more than "E"). A name seen
  /// for the first time takes the size found. Emits "wants dimension 1 of q_rope (5) to be nh (4)"
  /// where they differ.
  llvm::LogicalResult match(llvm::StringRef what, mlir::Value value,
                            llvm::ArrayRef<llvm::StringRef> names) {
    auto type = llvm::cast<mlir::RankedTensorType>(value.getType());
    for (auto [dim, spelled] : llvm::enumerate(names)) {
      llvm::StringRef name = spelled;
      int64_t more = name.consume_back("+1") ? 1 : 0;
      int64_t size = type.getDimSize(dim);
      if (SizeNotes::current)
        SizeNotes::current->notes.push_back({value, static_cast<unsigned>(dim), name.str(), more});
      if (mlir::ShapedType::isDynamic(size)) {
        if (mayBeDynamic.contains(name))
          continue;
        return op->emitOpError() << "wants dimension " << dim << " of " << what << " (" << name
                                 << ") to be static, got " << type;
      }
      if (size - more < (mayBeDynamic.contains(name) ? 0 : 1))
        return op->emitOpError() << "wants dimension " << dim << " of " << what << " (" << size
                                 << ") to be at least "
                                 << (mayBeDynamic.contains(name) ? more : more + 1);
      auto [known, fresh] = sizes.try_emplace(name, size - more);
      if (!fresh && known->second != size - more)
        return op->emitOpError() << "wants dimension " << dim << " of " << what << " (" << size
                                 << ") to be " << spelled << " (" << known->second + more << ")";
    }
    return llvm::success();
  }

  /// Gives `name` the size that an attribute says.
  void set(llvm::StringRef name, int64_t size) { sizes[name] = size; }

  /// The size called `name`, or ShapedType::kDynamic when no operand or result says it.
  int64_t operator[](llvm::StringRef name) const {
    auto known = sizes.find(name);
    return known == sizes.end() ? mlir::ShapedType::kDynamic : known->second;
  }

private:
  mlir::Operation *op;
  llvm::StringSet<> mayBeDynamic;
  llvm::StringMap<int64_t> sizes;
};

/// Groups of rows that go to E experts, E known: offsets [G+1], G a multiple of E; active [G].
template <typename Op> llvm::LogicalResult verifyGroups(Op op, NamedSizes &sizes) {
  if (failed(sizes.match("offsets", op.getOffsets(), {"G+1"})))
    return llvm::failure();
  if (sizes["G"] % sizes["E"] != 0)
    return op.emitOpError() << "wants the groups of offsets (" << sizes["G"]
                            << ") to be a multiple of E (" << sizes["E"] << ")";
  return sizes.match("active", op.getActive(), {"G"});
}

/// Holds a grouped product to what all of them want, `sizes` knowing E, N and K of its weights:
/// verifyGroups; source [R]; rows [R, K], or [T, K] with source; result [R, N]. N and K change
/// places where it has `transpose`.
template <typename Op> llvm::LogicalResult verifyGroupedProduct(Op op, NamedSizes &sizes) {
  if (failed(verifyGroups(op, sizes)))
    return llvm::failure();
  if (op.getSource() && failed(sizes.match("source", op.getSource(), {"R"})))
    return llvm::failure();
  llvm::StringRef summed = op.getTranspose() ? "N" : "K", kept = op.getTranspose() ? "K" : "N";
  if (failed(sizes.match("rows", op.getRows(), {op.getSource() ? "T" : "R", summed})))
    return llvm::failure();
  return sizes.match("result", op.getResult(), {"R", kept});
}

/// The size of `value` along `dim`: an attribute where the type says it, else a tensor.dim made by
/// `builder`.
inline mlir::OpFoldResult sizeOf(mlir::OpBuilder &builder, mlir::Value value, int64_t dim) {
  return mlir::tensor::getMixedSize(builder, value.getLoc(), value, dim);
}

/// A result's shape: `found` gives the dynamic sizes, the type gives the others.
inline llvm::SmallVector<mlir::OpFoldResult>
shapeOf(mlir::OpBuilder &builder, mlir::Value result,
        llvm::function_ref<mlir::OpFoldResult(int64_t)> found) {
  auto type = llvm::cast<mlir::RankedTensorType>(result.getType());
  llvm::SmallVector<mlir::OpFoldResult> shape;
  for (int64_t dim = 0; dim < type.getRank(); ++dim) {
    if (!type.isDynamicDim(dim)) {
      shape.push_back(builder.getIndexAttr(type.getDimSize(dim)));
      continue;
    }
    // A dynamic size is given as a value even where an operand knows it: type and reified shape
    // then agree.
    shape.push_back(mlir::getValueOrCreateConstantIndexOp(builder, result.getLoc(), found(dim)));
  }
  return shape;
}

/// A result whose leading size is that of `value`, the others being static.
inline llvm::SmallVector<mlir::OpFoldResult> leadingShapeOf(mlir::OpBuilder &builder,
                                                            mlir::Value result, mlir::Value value) {
  return shapeOf(builder, result, [&](int64_t) { return sizeOf(builder, value, 0); });
}

} // namespace hadal

#endif // HADAL_DIALECTS_SHAPES_H
