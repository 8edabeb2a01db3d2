//===- Golden.cpp -------------------------------------------------------===//

#include "Golden.h"

#include "llvm/ADT/APFloat.h"

#include <gtest/gtest.h>

#include <cstring>

namespace hadal::frontend {

static Array toArray(const StoredTensor &tensor, const std::byte *bytes) {
  Array array = Array::zeros(tensor.shape);
  auto small = [&](const llvm::fltSemantics &semantics, unsigned bits, uint64_t value) {
    return llvm::APFloat(semantics, llvm::APInt(bits, value)).convertToDouble();
  };
  for (size_t i = 0; i < array.data.size(); ++i) {
    uint64_t raw = 0;
    std::memcpy(&raw, bytes + i * byteSize(tensor.element), byteSize(tensor.element));
    switch (tensor.element) {
    case ElementType::F32: array.data[i] = llvm::bit_cast<float>(static_cast<uint32_t>(raw)); break;
    case ElementType::BF16: array.data[i] = small(llvm::APFloat::BFloat(), 16, raw); break;
    case ElementType::F8E4M3: array.data[i] = small(llvm::APFloat::Float8E4M3FN(), 8, raw); break;
    case ElementType::I32: array.data[i] = static_cast<int32_t>(raw); break;
    case ElementType::I64: array.data[i] = static_cast<double>(static_cast<int64_t>(raw)); break;
    default: ADD_FAILURE() << tensor.name;
    }
  }
  return array;
}

Array readArray(const Safetensors &file, llvm::StringRef name) {
  const StoredTensor *tensor = file.find(std::string_view(name));
  return tensor ? toArray(*tensor, file.data(*tensor)) : Array();
}

Array readParameter(const Checkpoint &checkpoint, const ParameterDescription &parameter) {
  Array all;
  if (parameter.isStacked())
    all.shape.push_back(parameter.count);
  all.shape.insert(all.shape.end(), parameter.shape.begin(), parameter.shape.end());
  for (int64_t i = 0; i < parameter.count; ++i) {
    auto entry = checkpoint.find(parameter.nameOf(i));
    Array one = toArray(*entry->tensor, entry->data());
    all.data.insert(all.data.end(), one.data.begin(), one.data.end());
  }
  return all;
}

} // namespace hadal::frontend
