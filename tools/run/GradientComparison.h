//===- GradientComparison.h - how far gradients lie apart ---------------===//

#ifndef HADAL_TOOLS_RUN_GRADIENTCOMPARISON_H
#define HADAL_TOOLS_RUN_GRADIENTCOMPARISON_H

#include "runtime/Result.h"
#include "runtime/module/Module.h"

#include <span>
#include <string>
#include <utility>
#include <vector>

namespace hadal::run {

/// Sums over pairs of elements, in f64: of values, and of what they are compared with.
struct PairSums {
  double values = 0, reference = 0; ///< of squares
  double products = 0, differences = 0;

  void add(std::span<const float> values, std::span<const float> reference);
  PairSums &operator+=(const PairSums &other);

  double norm() const;
  double referenceNorm() const;
  /// Norm of the differences by that of the reference: 0 where both are zero, infinite where only
  /// the reference is.
  double relativeError() const;
  /// 1 where both are zero, 0 where one is.
  double cosine() const;
};

/// Tensors of two gradients, one after another, and what is reported of them. One thread at a time.
class GradientComparison {
public:
  void addLosses(float loss, float reference) { losses = {loss, reference}; }
  void add(const std::string &name, const std::vector<int64_t> &shape,
           std::span<const float> values, std::span<const float> reference);

  /// A line per tensor, the largest relative error first, and one of all tensors together, under
  /// the names of the columns.
  std::string table() const;
  /// The same as one line of JSON; a relative error that is infinite is null.
  std::string json(const std::string &module, const std::string &reference) const;

private:
  struct Tensor {
    std::string name;
    std::vector<int64_t> shape;
    PairSums sums;
  };
  std::vector<const Tensor *> worstFirst() const;
  PairSums all() const;

  std::vector<Tensor> tensors;
  std::pair<float, float> losses;
};

/// Whether two training modules have gradients of the same tensors: "b.hadal: trains no
/// 'model.norm.weight', which a.hadal trains", "a.hadal: model.norm.weight is [64], in b.hadal
/// [32]".
Status checkSameTensors(const Module &one, const Module &other);

} // namespace hadal::run

#endif // HADAL_TOOLS_RUN_GRADIENTCOMPARISON_H
