//===- Compare.h - inputs and checks for one op -----------------*- C++ -*-===//
//
// hadal-compare makes inputs for an op and holds a program's results against test/reference. An
// op's case says which settings it takes, how to draw its arguments, and what its results have to
// be.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_TEST_EXEC_COMPARE_H
#define HADAL_TEST_EXEC_COMPARE_H

#include "runtime/Result.h"
#include "runtime/Tensor.h"
#include "test/reference/Reference.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace hadal::compare {

using reference::Integers;
using reference::Reals;

/// The settings `key=value` of a command line: sizes for making inputs, attributes for checking.
class Settings {
public:
  std::map<std::string, std::string> values;

  int64_t integer(const std::string &key, std::optional<int64_t> otherwise = std::nullopt) const;
  double real(const std::string &key, std::optional<double> otherwise = std::nullopt) const;
  bool flag(const std::string &key) const { return integer(key, 0) != 0; }
  /// "3,1,7"
  std::vector<int64_t> integers(const std::string &key) const;
  std::string text(const std::string &key, const std::string &otherwise) const;
};

/// Ends the process with one line on stderr: the tests' only way to fail.
[[noreturn]] void fail(const std::string &message);

/// A small generator with a fixed sequence for a seed (splitmix64): the same inputs on every
/// machine.
class Random {
public:
  /// `mantissa`: most bits of a number's mantissa, the leading one included.
  explicit Random(uint64_t seed, int mantissa = 24) : mantissa(mantissa), state(seed) {}
  uint64_t bits();
  /// Uniform in [0, limit).
  int64_t below(int64_t limit) {
    return static_cast<int64_t>(bits() % static_cast<uint64_t>(limit));
  }
  /// Uniform in [low, high), an f32.
  float between(float low, float high);
  /// `count` different numbers of [0, limit).
  std::vector<int64_t> distinct(int64_t count, int64_t limit);

private:
  int mantissa;
  uint64_t state;
};

/// The tensors arg0, arg1, ... in the order they are added.
class Inputs {
public:
  std::vector<Tensor> tensors;

  void addReals(const Reals &values, ElementType element = ElementType::F32);
  void addIntegers(const Integers &values, ElementType element = ElementType::I32);
  /// Uniform in [-1, 1).
  void addRandom(Random &random, std::vector<int64_t> shape,
                 ElementType element = ElementType::F32);
};

/// A tensor's elements as numbers; fails on other types.
Reals toReals(const Tensor &from);
Integers toIntegers(const Tensor &from);

/// Named tensors of a file, read as numbers.
class Tensors {
public:
  static Tensors open(const std::string &path);
  bool has(const std::string &name) const { return tensors.contains(name); }
  Reals reals(const std::string &name) const;
  Integers integers(const std::string &name) const;
  const Tensor &tensor(const std::string &name) const;

private:
  std::string path;
  std::map<std::string, Tensor> tensors;
};

/// How far a product may be from one chain of fused multiply-adds: not at all, or with
/// `products=tiles` by the roundings of both, for AMX tiles sum `depth` terms in another order. One
/// of the six products of bf16 missing would show at 2e-6 where depth is small. On a GPU tensor
/// cores cut each sum of 16 terms off at the 24th bit of the largest, where tiles round.
double chainTolerance(const Settings &settings, int64_t depth);

/// Arguments and results of one call, and what became of the comparison.
class Check {
public:
  Check(Tensors arguments, Tensors results)
      : arguments(std::move(arguments)), results(std::move(results)) {}

  Reals real(unsigned argument) const { return arguments.reals("arg" + std::to_string(argument)); }
  Integers integer(unsigned argument) const {
    return arguments.integers("arg" + std::to_string(argument));
  }
  std::optional<Integers> optionalInteger(unsigned argument) const;
  Reals result(unsigned number) const { return results.reals("result" + std::to_string(number)); }

  /// |got - wanted| <= tolerance * the largest |wanted|, everywhere. Tolerance 0: equal to the bit
  /// (but for the sign of zero). Fails with the first element that differs, the shapes where they
  /// do, or a NaN that only one has. `most` takes the place of a smaller maximum: where terms of
  /// that size cancel, exact zeros come out as their rounding.
  void close(unsigned result, const Reals &wanted, double tolerance, double most = 0) const;
  /// The same of one of several, of which each has a promised order of the sums.
  void closeToOne(unsigned result, const std::vector<Reals> &wanted, double tolerance) const;
  void equal(unsigned result, const Reals &wanted) const { close(result, wanted, 0); }
  void equal(unsigned result, const Integers &wanted) const;
  /// The same numbers to the bit, infinities and signs of zero too, and NaN where NaN is wanted.
  void same(unsigned result, const Reals &wanted) const;

private:
  Tensors arguments, results;
};

/// One op: the settings it takes, how its arguments are drawn, what its results have to be.
struct Case {
  std::string op;
  std::vector<std::string> keys;
  std::function<void(const Settings &, Random &, Inputs &)> make;
  std::function<void(const Settings &, const Check &)> check;
};

std::vector<Case> attentionCases();
std::vector<Case> expertCases();
std::vector<Case> fp8Cases();
std::vector<Case> layerCases();
std::vector<Case> productCases();
std::vector<Case> stepCases();

} // namespace hadal::compare

#endif // HADAL_TEST_EXEC_COMPARE_H
