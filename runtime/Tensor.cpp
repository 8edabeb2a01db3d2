//===- Tensor.cpp - element types, shapes, host tensors -------------------===//

#include "runtime/Tensor.h"
#include "runtime/Abi.h"

#include <cstdlib>
#include <cstring>
#include <new>

namespace hadal {

static constexpr std::string_view names[elementTypeCount] = {
    "F32",  "F64", "BF16",    "F16",     "F8_E4M3", "I8",  "I32", "I64", "U8",
    "BOOL", "I16", "F8_E5M2", "F8_E8M0", "U16",     "U32", "U64", "C64", "an unknown type"};

std::string_view elementTypeName(ElementType type) { return names[static_cast<unsigned>(type)]; }

std::optional<ElementType> parseElementType(std::string_view name) {
  for (unsigned i = 0; i < static_cast<unsigned>(ElementType::Other); ++i)
    if (names[i] == name)
      return static_cast<ElementType>(i);
  return std::nullopt;
}

std::string toString(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

std::optional<int64_t> elementCount(std::span<const int64_t> shape) {
  int64_t count = 1;
  bool empty = false;
  for (int64_t size : shape) {
    if (size < 0)
      return std::nullopt;
    empty |= size == 0;
    if (size && __builtin_mul_overflow(count, size, &count))
      return std::nullopt;
  }
  return empty ? 0 : count;
}

std::optional<uint64_t> byteCount(ElementType type, std::span<const int64_t> shape) {
  auto count = elementCount(shape);
  int64_t bytes;
  if (!count || __builtin_mul_overflow(*count, static_cast<int64_t>(byteSize(type)), &bytes))
    return std::nullopt;
  return static_cast<uint64_t>(bytes);
}

void Tensor::Free::operator()(void *p) const { std::free(p); }

Result<Tensor> Tensor::create(ElementType element, Shape shape) {
  auto bytes = byteCount(element, shape);
  if (!bytes)
    return invalidArgument("a tensor wants a shape that fits into memory, got " + toString(shape));
  Tensor tensor;
  tensor.type = element;
  tensor.count = *elementCount(shape);
  tensor.sizes = std::move(shape);
  uint64_t rounded = (*bytes / HADAL_ALIGNMENT + 1) * HADAL_ALIGNMENT;
  void *memory = std::aligned_alloc(HADAL_ALIGNMENT, rounded);
  if (!memory)
    return outOfMemory("cannot allocate " + std::to_string(*bytes) + " bytes");
  std::memset(memory, 0, rounded);
  tensor.memory.reset(memory);
  return tensor;
}

Tensor::Tensor(ElementType element, Shape shape) {
  auto made = create(element, std::move(shape));
  if (!made)
    throw std::bad_alloc();
  *this = std::move(*made);
}

} // namespace hadal
