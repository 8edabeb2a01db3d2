//===- AttributeKinds.h - what attributes hold that no op declares -*- C++ -*-===//
//
// Facts between the frontend, passes and the module file stand in attributes with a dialect's
// prefix. A dialect's verifier holds each that it knows to its kind, so that a pass may take it for
// what it is; that one is there at all, its readers check.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_DIALECTS_ATTRIBUTEKINDS_H
#define HADAL_DIALECTS_ATTRIBUTEKINDS_H

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace hadal {

enum class AttributeKind {
  Unit,
  Integer, ///< 64 bits at most, signed
  Size,    ///< 0 .. 2^40
  String,
  Map,     ///< an affine map without dimensions
  Symbol,  ///< @name
  Sizes,   ///< array<i64: ...>, each 0 .. 2^40
  Strings, ///< all different
  Types,
};

/// Holds `value` to `kind`; `error` makes the diagnostic: "hadal.use wants to be an integer from 0
/// to 2^40, got "2"".
llvm::LogicalResult verifyAttributeKind(llvm::function_ref<mlir::InFlightDiagnostic()> error,
                                        const llvm::Twine &name, mlir::Attribute value,
                                        AttributeKind kind);

} // namespace hadal

#endif // HADAL_DIALECTS_ATTRIBUTEKINDS_H
