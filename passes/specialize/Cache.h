//===- Cache.h - what makers of programs agree on ---------------*- C++ -*-===//
//
// What the passes that make programs of inference agree on: names of arguments, and how an
// attention's keys and values come from the latent that the cache holds.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_SPECIALIZE_CACHE_H
#define HADAL_PASSES_SPECIALIZE_CACHE_H

#include "dialects/mla/Mla.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "runtime/module/Names.h"

namespace hadal {

/// `exec.name` of @forward's arguments, first in each program. A function that has names::argument
/// slots, too, appends its rows to the cache, at these places; one with a page table attends to the
/// cache.
inline constexpr llvm::StringRef kForwardArguments[] = {
    names::argument::tokenIds, names::argument::positions, names::argument::offsets,
    names::argument::logitRowIds};

/// The argument of `f` whose exec.name is `name`; null where there is none.
mlir::BlockArgument argumentNamed(mlir::func::FuncOp f, llvm::StringRef name);

/// Holds `f` to a body of one block.
mlir::LogicalResult checkOneBlock(mlir::func::FuncOp f);

/// Makes `values` with `attributes` the results of `f`, which has one block, and erases what only
/// the results before needed.
void setResults(mlir::func::FuncOp f, mlir::ValueRange values,
                llvm::ArrayRef<mlir::DictionaryAttr> attributes);

/// Erases ops of `f` whose results nothing uses.
void eraseUnused(mlir::func::FuncOp f);

/// The latent [T, rk], and the projection [heads * (dn + dv), rk] that an attention's keys and
/// values are made of.
struct Expansion {
  mlir::Value latent, weights;
};
/// Fails, with a diagnostic, where keys and values are no slices of one such product.
mlir::FailureOr<Expansion> traceExpansion(mla::AttentionOp attention);

} // namespace hadal

#endif // HADAL_PASSES_SPECIALIZE_CACHE_H
