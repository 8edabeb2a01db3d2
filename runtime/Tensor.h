//===- Tensor.h - element types, shapes, host tensors -------------------===//
//
// Dense row-major tensors in host memory. Nothing here computes with elements.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TENSOR_H
#define HADAL_RUNTIME_TENSOR_H

#include "runtime/Result.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

/// The values up to F8E8M0 are those of hadal.fb.ElementType in Module.fbs. The others occur in
/// files only: nothing here computes with them. `Other` is any that is not known by name, of one
/// byte for want of a better size; what the file calls it and how many bytes it takes stand in
/// StoredTensor.
enum class ElementType : uint8_t {
  F32,
  F64,
  BF16,
  F16,
  F8E4M3,
  I8,
  I32,
  I64,
  U8,
  Bool,
  I16,
  F8E5M2,
  F8E8M0,
  U16,
  U32,
  U64,
  C64,
  Other
};
inline constexpr unsigned elementTypeCount = 18;

/// Bytes of one element.
constexpr uint64_t byteSize(ElementType type) {
  constexpr uint8_t sizes[elementTypeCount] = {4, 8, 2, 2, 1, 1, 4, 8, 1,
                                               1, 2, 1, 1, 2, 4, 8, 8, 1};
  return sizes[static_cast<unsigned>(type)];
}

/// The name that safetensors uses: "F32", "BF16", "F8_E4M3", "I64", "BOOL", ...
std::string_view elementTypeName(ElementType type);

/// The element type with that safetensors name; none for others, so never Other.
std::optional<ElementType> parseElementType(std::string_view name);

/// Sizes of the dimensions, outermost first; none for a scalar.
using Shape = std::vector<int64_t>;

/// "[3, 128]"; "[]" for a scalar.
std::string toString(std::span<const int64_t> shape);

/// The product of the dimensions; none if a dimension is negative or the product overflows 63 bits.
std::optional<int64_t> elementCount(std::span<const int64_t> shape);

/// elementCount times byteSize; none as elementCount.
std::optional<uint64_t> byteCount(ElementType type, std::span<const int64_t> shape);

template <typename T> struct ElementTypeOf;
template <> struct ElementTypeOf<float> { static constexpr ElementType value = ElementType::F32; };
template <> struct ElementTypeOf<double> { static constexpr ElementType value = ElementType::F64; };
template <> struct ElementTypeOf<int8_t> { static constexpr ElementType value = ElementType::I8; };
template <> struct ElementTypeOf<int16_t> {
  static constexpr ElementType value = ElementType::I16;
};
template <> struct ElementTypeOf<int32_t> {
  static constexpr ElementType value = ElementType::I32;
};
template <> struct ElementTypeOf<int64_t> {
  static constexpr ElementType value = ElementType::I64;
};
template <> struct ElementTypeOf<uint8_t> { static constexpr ElementType value = ElementType::U8; };

/// A tensor in memory that somebody else owns. As a program's input it is only read.
struct TensorView {
  ElementType element = ElementType::F32;
  Shape shape;
  void *data = nullptr;

  /// Bytes of the whole tensor (its shape is one that elementCount accepts).
  uint64_t bytes() const { return byteCount(element, shape).value_or(0); }

  /// A view of existing memory; `data.size()` is the product of `shape`. Without a shape it has one
  /// dimension.
  template <typename T> static TensorView of(std::span<T> data, Shape shape = {}) {
    if (shape.empty())
      shape = {static_cast<int64_t>(data.size())};
    using Element = std::remove_const_t<T>;
    return {ElementTypeOf<Element>::value, std::move(shape), const_cast<Element *>(data.data())};
  }
  template <typename T> static TensorView of(const std::vector<T> &data, Shape shape = {}) {
    return of(std::span<const T>(data), std::move(shape));
  }
};

/// A tensor that owns its memory (HADAL_ALIGNMENT bytes aligned). Move-only.
class Tensor {
public:
  Tensor() = default;

  /// A zeroed tensor. The shape must be one that elementCount accepts and that fits into memory;
  /// see create.
  Tensor(ElementType element, Shape shape);

  /// A zeroed tensor, or an error for a shape that overflows or does not fit into memory.
  static Result<Tensor> create(ElementType element, Shape shape);

  ElementType element() const { return type; }
  const Shape &shape() const { return sizes; }
  int64_t dim(size_t i) const { return sizes[i]; }
  int64_t size() const { return count; } ///< elements
  uint64_t bytes() const { return static_cast<uint64_t>(count) * byteSize(type); }
  void *data() { return memory.get(); }
  const void *data() const { return memory.get(); }

  /// The elements as T, which must be this tensor's element type.
  template <typename T> std::span<T> as() {
    assert(ElementTypeOf<T>::value == type);
    return {static_cast<T *>(data()), static_cast<size_t>(count)};
  }
  template <typename T> std::span<const T> as() const {
    assert(ElementTypeOf<T>::value == type);
    return {static_cast<const T *>(data()), static_cast<size_t>(count)};
  }

  TensorView view() const { return {type, sizes, memory.get()}; }

private:
  struct Free {
    void operator()(void *p) const;
  };
  ElementType type = ElementType::F32;
  Shape sizes = {0};
  int64_t count = 0;
  std::unique_ptr<void, Free> memory;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TENSOR_H
