//===- Array.h - tensors of the interpreter -----------------------------===//

#ifndef HADAL_TEST_INTERPRETER_ARRAY_H
#define HADAL_TEST_INTERPRETER_ARRAY_H

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace hadal::frontend {

/// A tensor, or a scalar when the shape is empty. Integers are held exactly.
struct Array {
  std::vector<int64_t> shape;
  std::vector<double> data;

  static Array zeros(std::vector<int64_t> shape) {
    int64_t count = 1;
    for (int64_t size : shape)
      count *= size;
    return {std::move(shape), std::vector<double>(count)};
  }
  int64_t dim(std::size_t i) const { return shape[i]; }
};

} // namespace hadal::frontend

#endif // HADAL_TEST_INTERPRETER_ARRAY_H
