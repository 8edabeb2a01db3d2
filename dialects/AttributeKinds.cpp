//===- AttributeKinds.cpp - what attributes hold that no op declares --------===//

#include "dialects/AttributeKinds.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/DenseSet.h"

using namespace mlir;
using namespace hadal;

static constexpr int64_t largestSize = int64_t(1) << 40;

static bool isSize(int64_t n) { return n >= 0 && n <= largestSize; }

static const char *describe(AttributeKind kind) {
  switch (kind) {
  case AttributeKind::Unit: return "an attribute without a value";
  case AttributeKind::Integer: return "an integer";
  case AttributeKind::Size: return "an integer from 0 to 2^40";
  case AttributeKind::String: return "a string";
  case AttributeKind::Map: return "an affine map of symbols";
  case AttributeKind::Symbol: return "the name of a symbol";
  case AttributeKind::Sizes: return "array<i64> of integers from 0 to 2^40";
  case AttributeKind::Strings: return "different strings";
  case AttributeKind::Types: return "types";
  }
  llvm_unreachable("all kinds are above");
}

static bool isOfKind(Attribute value, AttributeKind kind) {
  auto all = [&](auto holds) {
    auto list = dyn_cast<ArrayAttr>(value);
    return list && llvm::all_of(list, holds);
  };
  switch (kind) {
  case AttributeKind::Unit: return isa<UnitAttr>(value);
  case AttributeKind::Integer:
  case AttributeKind::Size: {
    auto integer = dyn_cast<IntegerAttr>(value);
    if (!integer || isa<BoolAttr>(value) || integer.getType().isUnsignedInteger())
      return false;
    auto n = integer.getValue().trySExtValue();
    return n && (kind == AttributeKind::Integer || isSize(*n));
  }
  case AttributeKind::String: return isa<StringAttr>(value);
  case AttributeKind::Map: {
    auto map = dyn_cast<AffineMapAttr>(value);
    return map && map.getValue().getNumDims() == 0;
  }
  case AttributeKind::Symbol: return isa<FlatSymbolRefAttr>(value);
  case AttributeKind::Sizes:
    return isa<DenseI64ArrayAttr>(value) &&
           llvm::all_of(cast<DenseI64ArrayAttr>(value).asArrayRef(), isSize);
  case AttributeKind::Strings: {
    llvm::DenseSet<Attribute> seen;
    return all([&](Attribute a) { return isa<StringAttr>(a) && seen.insert(a).second; });
  }
  case AttributeKind::Types: return all([](Attribute a) { return isa<TypeAttr>(a); });
  }
  llvm_unreachable("all kinds are above");
}

LogicalResult hadal::verifyAttributeKind(function_ref<InFlightDiagnostic()> error,
                                         const llvm::Twine &name, Attribute value,
                                         AttributeKind kind) {
  if (isOfKind(value, kind))
    return success();
  return error() << name << " wants to be " << describe(kind) << ", got " << value;
}
