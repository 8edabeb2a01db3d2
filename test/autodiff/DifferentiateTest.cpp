//===- DifferentiateTest.cpp - gradients against finite differences -----===//
//
// Every rule of --hadal-differentiate, in f64. Each function of Inputs/*.mlir is differentiated,
// both are evaluated in double by GraphInterpreter, and each element of each gradient is held
// against a central difference of the sum that the gradient is of. Arguments say their sizes
// (test.shape) and integers their values (test.values); all else is drawn at random.
//
//===--------------------------------------------------------------------===//

#include "test/interpreter/GraphInterpreter.h"

#include "dialects/Dialects.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/job/Job.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <random>

using namespace mlir;
using namespace hadal::frontend;

namespace {

std::mt19937_64 generator;

Array draw(std::vector<int64_t> shape) {
  Array array = Array::zeros(std::move(shape));
  std::normal_distribution<double> normal(0, 0.8);
  for (double &x : array.data)
    x = normal(generator);
  return array;
}

class Function {
public:
  Function(ModuleOp module, func::FuncOp f)
      : loss(f), gradient(module.lookupSymbol<func::FuncOp>((f.getSymName() + "_gradient").str())) {
    for (unsigned i = 0; i < gradient.getNumArguments(); ++i)
      arguments.push_back(argument(i));
    for (auto global : module.getOps<ml_program::GlobalOp>())
      parameters[global.getSymName().str()] =
          draw(cast<RankedTensorType>(global.getType()).getShape());
  }

  std::vector<Array> evaluate(func::FuncOp f, size_t count) {
    GraphInterpreter interpreter([&](StringRef name) { return parameters.at(name.str()); });
    auto results = interpreter.evaluate(f, {arguments.begin(), arguments.begin() + count});
    EXPECT_EQ(interpreter.complaint, "");
    return results;
  }

  /// What the gradient is of: the first result, or the marked results times what comes in for them.
  double objective() {
    std::vector<Array> results = evaluate(loss, loss.getNumArguments());
    double sum = 0;
    unsigned incoming = loss.getNumArguments();
    for (unsigned i = 0; i < results.size(); ++i) {
      if (!loss.getResultAttr(i, hadal::job::kGradientAttr))
        continue;
      const Array &weights = arguments[incoming++];
      for (size_t j = 0; j < weights.data.size(); ++j)
        sum += weights.data[j] * results[i].data[j];
    }
    return incoming == loss.getNumArguments() ? results[0].data[0] : sum;
  }

  void check() {
    // Incoming gradients are as large as the results.
    std::vector<Array> results = evaluate(loss, loss.getNumArguments());
    for (unsigned i = 0, incoming = loss.getNumArguments(); i < results.size(); ++i)
      if (loss.getResultAttr(i, hadal::job::kGradientAttr))
        arguments[incoming++] = draw(results[i].shape);
    std::vector<Array> all = evaluate(gradient, arguments.size());
    ASSERT_EQ(all.size(), gradient.getNumResults());
    unsigned checked = 0;
    for (unsigned i = 0; i < gradient.getNumResults(); ++i) {
      if (auto of = gradient.getResultAttrOfType<FlatSymbolRefAttr>(i, hadal::job::kGradientOfAttr))
        compare(of.getValue().str(), parameters.at(of.getValue().str()), all[i]);
      else if (auto place = gradient.getResultAttrOfType<IntegerAttr>(
                   i, hadal::job::kGradientOfArgumentAttr))
        compare("argument " + std::to_string(place.getInt()), arguments[place.getInt()], all[i]);
      else
        continue;
      ++checked;
    }
    EXPECT_GT(checked, 0u);
    checkSplit(all);
  }

  /// The three parts of --hadal-split-backward, one after the other, give what the whole gives, to
  /// the bit.
  void checkSplit(const std::vector<Array> &all) {
    OwningOpRef<ModuleOp> split(cast<ModuleOp>(gradient->getParentOfType<ModuleOp>()->clone()));
    PassManager passes(split->getContext());
    passes.addPass(hadal::createHadalSplitBackward());
    ASSERT_TRUE(succeeded(passes.run(*split)));
    std::map<std::string, Array> handed;
    std::vector<const Array *> left;
    for (const Array &value : all)
      left.push_back(&value);
    for (llvm::StringRef kind : {hadal::job::kGradientOfArgumentAttr, hadal::job::kGradientOfAttr})
      std::stable_partition(left.begin(), left.end(), [&](const Array *value) {
        return !gradient.getResultAttr(value - all.data(), kind);
      });
    for (const char *part : {"_forward", "_input_grad", "_weight_grad"}) {
      auto f = split->lookupSymbol<func::FuncOp>((loss.getSymName() + part).str());
      ASSERT_TRUE(f) << part;
      std::vector<Array> given;
      for (unsigned i = 0; i < f.getNumArguments(); ++i) {
        auto number = f.getArgAttrOfType<IntegerAttr>(i, hadal::job::kArgumentAttr);
        given.push_back(number
                            ? arguments.at(number.getInt())
                            : handed.at(f.getArgAttrOfType<StringAttr>(i, hadal::kNameAttr).str()));
      }
      GraphInterpreter interpreter([&](StringRef name) { return parameters.at(name.str()); });
      std::vector<Array> got = interpreter.evaluate(f, given);
      EXPECT_EQ(interpreter.complaint, "");
      for (unsigned i = 0; i < got.size(); ++i) {
        auto name = f.getResultAttrOfType<StringAttr>(i, hadal::kNameAttr);
        if (name &&
            (name.getValue().starts_with("saved.") || name.getValue().starts_with("kept."))) {
          handed[name.str()] = got[i];
          continue;
        }
        ASSERT_FALSE(left.empty());
        EXPECT_EQ(got[i].data, left.front()->data) << part << " result " << i;
        left.erase(left.begin());
      }
    }
    EXPECT_TRUE(left.empty());
  }

private:
  Array argument(unsigned i) {
    auto type = cast<RankedTensorType>(gradient.getArgument(i).getType());
    std::vector<int64_t> shape(type.getShape());
    if (auto given = gradient.getArgAttrOfType<DenseI64ArrayAttr>(i, "test.shape"))
      shape.assign(given.asArrayRef().begin(), given.asArrayRef().end());
    if (auto given = gradient.getArgAttrOfType<DenseI64ArrayAttr>(i, "test.values")) {
      if (shape.size() == 1)
        shape[0] = given.size();
      Array array = Array::zeros(shape);
      EXPECT_EQ(array.data.size(), static_cast<size_t>(given.size()));
      std::copy(given.asArrayRef().begin(), given.asArrayRef().end(), array.data.begin());
      return array;
    }
    return ShapedType::isDynamicShape(shape) ? Array() : draw(shape);
  }

  /// The four-point difference errs by h^4 of the fifth derivative and by 1e-16 / h: 1e-8 of the
  /// largest element is safe for both.
  void compare(const std::string &name, Array &place, const Array &got) {
    ASSERT_EQ(got.shape, place.shape) << name;
    constexpr double h = 1e-3;
    std::vector<double> wanted;
    double largest = 1e-3;
    for (double &x : place.data) {
      double middle = x;
      auto at = [&](double step) {
        x = middle + step * h;
        return objective();
      };
      wanted.push_back((8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h));
      x = middle;
      largest = std::max(largest, std::abs(wanted.back()));
    }
    for (size_t i = 0; i < wanted.size(); ++i)
      EXPECT_NEAR(got.data[i], wanted[i], 1e-8 * largest) << name << " at " << i;
    EXPECT_GT(largest, 1e-3) << name << " has no gradient at all";
  }

  func::FuncOp loss, gradient;
  std::vector<Array> arguments;
  std::map<std::string, Array> parameters;
};

class FiniteDifferences : public testing::TestWithParam<std::string> {};

TEST_P(FiniteDifferences, MeetTheGradient) {
  DialectRegistry registry;
  hadal::registerHadalDialects(registry);
  registry.insert<arith::ArithDialect, func::FuncDialect, linalg::LinalgDialect, math::MathDialect,
                  ml_program::MLProgramDialect, tensor::TensorDialect>();
  MLIRContext context(registry);
  auto module = parseSourceFile<ModuleOp>(
      std::string(HADAL_TEST_AUTODIFF "/") + GetParam() + ".mlir", &context);
  ASSERT_TRUE(module);
  std::vector<std::string> names;
  for (auto f : module->getOps<func::FuncOp>())
    names.push_back(f.getSymName().str());
  PassManager passes(&context);
  passes.addPass(hadal::createHadalDifferentiate());
  ASSERT_TRUE(succeeded(passes.run(*module)));
  for (const std::string &name : names) {
    SCOPED_TRACE(name);
    generator.seed(11);
    Function(*module, module->lookupSymbol<func::FuncOp>(name)).check();
  }
}

std::vector<std::string> inputs() {
  std::vector<std::string> names;
  for (const auto &entry : std::filesystem::directory_iterator(HADAL_TEST_AUTODIFF))
    names.push_back(entry.path().stem());
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Autodiff, FiniteDifferences, testing::ValuesIn(inputs()),
                         [](const auto &info) { return info.param; });

} // namespace
