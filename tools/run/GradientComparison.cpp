//===- GradientComparison.cpp - how far gradients lie apart -------------===//

#include "tools/run/GradientComparison.h"

#include "runtime/training/Trainables.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>

using namespace hadal;
using namespace hadal::run;

//===----------------------------------------------------------------------===//
// Sums
//===----------------------------------------------------------------------===//

void PairSums::add(std::span<const float> left, std::span<const float> right) {
  for (size_t i = 0; i < left.size(); ++i) {
    double a = left[i], b = right[i];
    values += a * a;
    reference += b * b;
    products += a * b;
    differences += (a - b) * (a - b);
  }
}

PairSums &PairSums::operator+=(const PairSums &other) {
  values += other.values;
  reference += other.reference;
  products += other.products;
  differences += other.differences;
  return *this;
}

double PairSums::norm() const { return std::sqrt(values); }
double PairSums::referenceNorm() const { return std::sqrt(reference); }

double PairSums::relativeError() const {
  if (differences == 0)
    return 0;
  return reference == 0 ? std::numeric_limits<double>::infinity()
                        : std::sqrt(differences / reference);
}

double PairSums::cosine() const {
  if (values == 0 || reference == 0)
    return values == reference;
  // One root: equal tensors have exactly 1. Rounding may lead beyond it.
  return std::clamp(products / std::sqrt(values * reference), -1.0, 1.0);
}

//===----------------------------------------------------------------------===//
// What is told
//===----------------------------------------------------------------------===//

void GradientComparison::add(const std::string &name, const std::vector<int64_t> &shape,
                             std::span<const float> values, std::span<const float> reference) {
  tensors.push_back({name, shape, {}});
  tensors.back().sums.add(values, reference);
}

std::vector<const GradientComparison::Tensor *> GradientComparison::worstFirst() const {
  std::vector<const Tensor *> sorted;
  for (const Tensor &tensor : tensors)
    sorted.push_back(&tensor);
  std::stable_sort(sorted.begin(), sorted.end(), [](const Tensor *left, const Tensor *right) {
    return left->sums.relativeError() > right->sums.relativeError();
  });
  return sorted;
}

PairSums GradientComparison::all() const {
  PairSums sums;
  for (const Tensor &tensor : tensors)
    sums += tensor.sums;
  return sums;
}

/// The figures of a line, in front of what they are of.
static std::string figures(const PairSums &sums) {
  char line[96];
  std::snprintf(line, sizeof line, "%14.6g  %11.8f  %12.6g  %14.6g  ", sums.relativeError(),
                sums.cosine(), sums.norm(), sums.referenceNorm());
  return line;
}

std::string GradientComparison::table() const {
  std::string text = "relative error       cosine          norm  reference norm  gradient of\n";
  for (const Tensor *tensor : worstFirst())
    text += figures(tensor->sums) + tensor->name + "\n";
  char rest[128];
  std::snprintf(rest, sizeof rest, "all %zu tensors; loss %.9g, reference %.9g\n", tensors.size(),
                losses.first, losses.second);
  return text + figures(all()) + rest;
}

static nlohmann::ordered_json figuresOf(const PairSums &sums) {
  return {{"relative_error", sums.relativeError()}, // infinity is null in JSON
          {"cosine", sums.cosine()},
          {"norm", sums.norm()},
          {"reference_norm", sums.referenceNorm()}};
}

std::string GradientComparison::json(const std::string &module,
                                     const std::string &reference) const {
  nlohmann::ordered_json line = {{"module", module},
                                 {"reference", reference},
                                 {"loss", losses.first},
                                 {"reference_loss", losses.second}};
  line.update(figuresOf(all()));
  line["tensors"] = nlohmann::ordered_json::array();
  for (const Tensor *tensor : worstFirst()) {
    nlohmann::ordered_json one = {{"name", tensor->name}, {"shape", tensor->shape}};
    one.update(figuresOf(tensor->sums));
    line["tensors"].push_back(std::move(one));
  }
  return line.dump() + "\n";
}

//===----------------------------------------------------------------------===//
// Whether two modules can be compared
//===----------------------------------------------------------------------===//

/// Of each parameter with a gradient: how many tensors of which shape it stands for, on all ranks.
static Result<std::map<std::string, Shape>> trainedBy(const Module &module) {
  const fb::Training &training = *HADAL_TRY(trainingOf(module));
  int64_t shards = training.ranks() ? training.ranks()->ep() : 1;
  std::map<std::string, Shape> trained;
  for (const fb::Trainable *trainable : *training.trainables()) {
    if (trainable->correction())
      continue;
    Shape shape(trainable->shape()->begin(), trainable->shape()->end());
    int64_t count = trainable->count() * (trainable->sharded() ? shards : 1);
    if (trainable->name()->str().find("{}") != std::string::npos)
      shape.insert(shape.begin(), count);
    trained[trainable->name()->str()] = std::move(shape);
  }
  return trained;
}

Status run::checkSameTensors(const Module &one, const Module &other) {
  std::map<std::string, Shape> left = HADAL_TRY(trainedBy(one)),
                               right = HADAL_TRY(trainedBy(other));
  auto lacks = [](const Module &module, const std::string &name, const Module &trains) {
    return invalidArgument(module.path() + ": trains no '" + name + "', which " + trains.path() +
                           " trains; compile both of the same layers");
  };
  for (const auto &[name, shape] : left) {
    auto found = right.find(name);
    if (found == right.end())
      return lacks(other, name, one);
    if (found->second != shape)
      return invalidArgument(one.path() + ": " + name + " is " + toString(shape) + ", in " +
                             other.path() + " " + toString(found->second));
  }
  for (const auto &[name, shape] : right)
    if (!left.count(name))
      return lacks(one, name, other);
  return {};
}
