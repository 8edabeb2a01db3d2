//===- Compare.cpp - settings, random inputs, comparisons -------------------===//

#include "test/exec/Compare.h"
#include "runtime/Safetensors.h"

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <sstream>

using namespace hadal;
using namespace hadal::compare;

void compare::fail(const std::string &message) {
  std::fprintf(stderr, "hadal-compare: %s\n", message.c_str());
  std::exit(1);
}

//===----------------------------------------------------------------------===//
// Settings
//===----------------------------------------------------------------------===//

int64_t Settings::integer(const std::string &key, std::optional<int64_t> otherwise) const {
  auto known = values.find(key);
  if (known == values.end() && otherwise)
    return *otherwise;
  if (known == values.end())
    fail("wants " + key + "=N");
  return std::strtoll(known->second.c_str(), nullptr, 10);
}

double Settings::real(const std::string &key, std::optional<double> otherwise) const {
  auto known = values.find(key);
  if (known == values.end() && otherwise)
    return *otherwise;
  if (known == values.end())
    fail("wants " + key + "=X");
  return std::strtod(known->second.c_str(), nullptr);
}

std::vector<int64_t> Settings::integers(const std::string &key) const {
  std::istringstream items(text(key, ""));
  std::vector<int64_t> numbers;
  for (std::string item; std::getline(items, item, ',');)
    numbers.push_back(std::strtoll(item.c_str(), nullptr, 10));
  if (numbers.empty())
    fail("wants " + key + "=N,N,...");
  return numbers;
}

std::string Settings::text(const std::string &key, const std::string &otherwise) const {
  auto known = values.find(key);
  return known == values.end() ? otherwise : known->second;
}

//===----------------------------------------------------------------------===//
// Random
//===----------------------------------------------------------------------===//

uint64_t Random::bits() {
  uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

float Random::between(float low, float high) {
  float unit = static_cast<float>(bits() >> 40) * 0x1p-24f;
  float value = low + (high - low) * unit;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) & (~0u << (24 - mantissa)));
}

std::vector<int64_t> Random::distinct(int64_t count, int64_t limit) {
  std::vector<int64_t> all(static_cast<size_t>(limit));
  std::iota(all.begin(), all.end(), 0);
  for (int64_t i = 0; i < count; ++i)
    std::swap(all[i], all[i + below(limit - i)]);
  all.resize(static_cast<size_t>(count));
  return all;
}

//===----------------------------------------------------------------------===//
// Numbers and tensors
//===----------------------------------------------------------------------===//

/// Round to nearest even; the inputs have no NaN.
static uint16_t toBf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float fromBf16(uint16_t half) {
  uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

void Inputs::addReals(const Reals &values, ElementType element) {
  Tensor &tensor = tensors.emplace_back(element, values.shape);
  for (int64_t i = 0; i < values.size(); ++i) {
    float value = static_cast<float>(values.values[i]);
    if (element == ElementType::F32)
      static_cast<float *>(tensor.data())[i] = value;
    else if (element == ElementType::BF16)
      static_cast<uint16_t *>(tensor.data())[i] = toBf16(value);
    else if (element == ElementType::F64)
      static_cast<double *>(tensor.data())[i] = value;
    else
      fail("makes no reals of type " + std::string(elementTypeName(element)));
  }
}

void Inputs::addIntegers(const Integers &values, ElementType element) {
  Tensor &tensor = tensors.emplace_back(element, values.shape);
  for (int64_t i = 0; i < values.size(); ++i) {
    if (element == ElementType::I32)
      static_cast<int32_t *>(tensor.data())[i] = static_cast<int32_t>(values.values[i]);
    else if (element == ElementType::F8E4M3 || element == ElementType::F8E5M2 ||
             element == ElementType::I8)
      static_cast<uint8_t *>(tensor.data())[i] = static_cast<uint8_t>(values.values[i]);
    else
      fail("makes no integers of type " + std::string(elementTypeName(element)));
  }
}

void Inputs::addRandom(Random &random, std::vector<int64_t> shape, ElementType element) {
  Reals values(std::move(shape));
  for (double &value : values.values)
    value = random.between(-1, 1);
  addReals(values, element);
}

Tensors Tensors::open(const std::string &path) {
  Result<Safetensors> file = Safetensors::open(path);
  if (!file)
    fail(file.error().message);
  Tensors result;
  result.path = path;
  for (const StoredTensor &stored : file->tensors()) {
    Result<Tensor> tensor = file->read(stored.name);
    if (!tensor)
      fail(tensor.error().message);
    result.tensors.emplace(stored.name, std::move(*tensor));
  }
  return result;
}

const Tensor &Tensors::tensor(const std::string &name) const {
  auto known = tensors.find(name);
  if (known == tensors.end())
    fail(path + ": no tensor '" + name + "'");
  return known->second;
}

double compare::chainTolerance(const Settings &settings, int64_t depth) {
  if (settings.text("device", "cpu") == "gpu")
    return 5e-7 + static_cast<double>(depth) * 0x1p-27;
  return settings.text("products", "fma") == "tiles" ? 5e-7 + static_cast<double>(depth) * 0x1p-30
                                                     : 0;
}

Reals compare::toReals(const Tensor &from) {
  Reals result(from.shape());
  for (int64_t i = 0; i < from.size(); ++i) {
    if (from.element() == ElementType::F32)
      result.values[i] = static_cast<const float *>(from.data())[i];
    else if (from.element() == ElementType::BF16)
      result.values[i] = fromBf16(static_cast<const uint16_t *>(from.data())[i]);
    else if (from.element() == ElementType::F64)
      result.values[i] = static_cast<const double *>(from.data())[i];
    else
      fail("wants F32, BF16 or F64, is " + std::string(elementTypeName(from.element())));
  }
  return result;
}

Integers compare::toIntegers(const Tensor &from) {
  Integers result(from.shape());
  for (int64_t i = 0; i < from.size(); ++i) {
    if (from.element() == ElementType::I32)
      result.values[i] = static_cast<const int32_t *>(from.data())[i];
    else if (from.element() == ElementType::F8E4M3 || from.element() == ElementType::F8E5M2 ||
             from.element() == ElementType::I8) // bytes of codes
      result.values[i] = static_cast<const uint8_t *>(from.data())[i];
    else
      fail("wants I32 or F8_E4M3, is " + std::string(elementTypeName(from.element())));
  }
  return result;
}

Reals Tensors::reals(const std::string &name) const { return toReals(tensor(name)); }

Integers Tensors::integers(const std::string &name) const { return toIntegers(tensor(name)); }

//===----------------------------------------------------------------------===//
// Check
//===----------------------------------------------------------------------===//

std::optional<Integers> Check::optionalInteger(unsigned argument) const {
  if (!arguments.has("arg" + std::to_string(argument)))
    return std::nullopt;
  return integer(argument);
}

static void compareShapes(const std::string &name, const std::vector<int64_t> &got,
                          const std::vector<int64_t> &wanted) {
  if (got != wanted)
    fail(name + " wants shape " + toString(wanted) + ", got " + toString(got));
}

/// "result0[3, 7]" for a flat index.
static std::string elementName(const std::string &name, const std::vector<int64_t> &shape,
                               int64_t flat) {
  std::vector<int64_t> index(shape.size());
  for (size_t dim = shape.size(); dim-- > 0; flat /= shape[dim])
    index[dim] = flat % shape[dim];
  return name + toString(index);
}

void Check::close(unsigned result, const Reals &wanted, double tolerance, double most) const {
  std::string name = "result" + std::to_string(result);
  Reals got = results.reals(name);
  compareShapes(name, got.shape, wanted.shape);
  double worst = 0;
  for (double value : wanted.values)
    most = std::isnan(value) ? most : std::max(most, std::abs(value));
  for (int64_t i = 0; i < wanted.size(); ++i) {
    if (std::isnan(wanted.values[i]) && std::isnan(got.values[i]))
      continue;
    double difference = std::abs(got.values[i] - wanted.values[i]);
    worst = std::max(worst, difference);
    if (difference <= tolerance * most)
      continue;
    char line[160];
    std::snprintf(line, sizeof line, " wants %.9g within %.3g of the maximum %.3g, got %.9g",
                  wanted.values[i], tolerance, most, got.values[i]);
    fail(elementName(name, wanted.shape, i) + line);
  }
  std::printf("%s: %lld elements, worst difference %.3g of the maximum\n", name.c_str(),
              static_cast<long long>(wanted.size()), most > 0 ? worst / most : 0);
}

void Check::closeToOne(unsigned result, const std::vector<Reals> &wanted, double tolerance) const {
  Reals got = this->result(result);
  auto isClose = [&](const Reals &one) {
    double most = 0;
    for (double value : one.values)
      most = std::isnan(value) ? most : std::max(most, std::abs(value));
    for (int64_t i = 0; i < one.size() && i < got.size(); ++i)
      if (!(std::abs(got.values[i] - one.values[i]) <= tolerance * most) &&
          !(std::isnan(got.values[i]) && std::isnan(one.values[i])))
        return false;
    return true;
  };
  auto found = std::find_if(wanted.begin(), wanted.end(), isClose);
  close(result, found == wanted.end() ? wanted.back() : *found, tolerance); // and says what differs
}

void Check::same(unsigned result, const Reals &wanted) const {
  std::string name = "result" + std::to_string(result);
  Reals got = results.reals(name);
  compareShapes(name, got.shape, wanted.shape);
  for (int64_t i = 0; i < wanted.size(); ++i) {
    double want = wanted.values[i], value = got.values[i];
    if (std::isnan(want) ? !std::isnan(value)
                         : want != value || std::signbit(want) != std::signbit(value))
      fail(elementName(name, wanted.shape, i) + " wants " + std::to_string(want) + ", got " +
           std::to_string(value));
  }
  std::printf("%s: %lld elements, the same\n", name.c_str(), static_cast<long long>(wanted.size()));
}

void Check::equal(unsigned result, const Integers &wanted) const {
  std::string name = "result" + std::to_string(result);
  Integers got = results.integers(name);
  compareShapes(name, got.shape, wanted.shape);
  for (int64_t i = 0; i < wanted.size(); ++i)
    if (got.values[i] != wanted.values[i])
      fail(elementName(name, wanted.shape, i) + " wants " + std::to_string(wanted.values[i]) +
           ", got " + std::to_string(got.values[i]));
  std::printf("%s: %lld elements, equal\n", name.c_str(), static_cast<long long>(wanted.size()));
}
