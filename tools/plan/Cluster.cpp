//===- Cluster.cpp - machines and their rates ---------------------===//

#include "tools/plan/Cluster.h"

#include "runtime/Json.h"

#include <cmath>

using namespace hadal;
using namespace hadal::plan;

namespace {

/// Reads figures by their path; the first that is missing or wrong is remembered.
class Reader {
public:
  Reader(const nlohmann::json &root, const std::string &name) : root(root), name(name) {}

  double positive(const std::string &path, double scale = 1) { return number(path, false) * scale; }
  double notNegative(const std::string &path, double scale = 1) {
    return number(path, true) * scale;
  }
  /// Of something, at most all of it.
  double share(const std::string &path) {
    double value = number(path, false);
    if (!failure && value > 1)
      fail(path + " wants a share from 0 to 1, got " + at(path)->dump());
    return value;
  }
  int64_t count(const std::string &path) {
    double value = number(path, false);
    if (!failure && (value != std::floor(value) || value > 1e7))
      fail(path + " wants a whole number up to 10,000,000, got " + at(path)->dump());
    return failure ? 1 : int64_t(value);
  }
  std::string text(const std::string &path) {
    const nlohmann::json *value = at(path);
    if (!value)
      fail("wants " + path);
    else if (!value->is_string())
      fail(path + " wants a string, got " + value->dump());
    return failure ? std::string() : value->get<std::string>();
  }
  bool has(const std::string &path) const { return at(path) != nullptr; }
  void fail(const std::string &message) {
    if (!failure)
      failure = invalidFile(name + ": " + message);
  }
  std::optional<Error> failure;

private:
  const nlohmann::json *at(const std::string &path) const {
    const nlohmann::json *value = &root;
    for (size_t begin = 0; begin <= path.size();) {
      size_t end = std::min(path.find('/', begin), path.size());
      std::string key = path.substr(begin, end - begin);
      if (!value->is_object() || !value->contains(key))
        return nullptr;
      value = &(*value)[key];
      begin = end + 1;
    }
    return value;
  }
  double number(const std::string &path, bool zero) {
    const nlohmann::json *value = at(path);
    if (!value) {
      fail("wants " + path);
      return 1;
    }
    double figure = value->is_number() ? value->get<double>() : NAN;
    if (!std::isfinite(figure) || figure < 0 || (figure == 0 && !zero)) {
      fail(
          path +
          (zero ? " wants a number that is not negative, got " : " wants a positive number, got ") +
          value->dump());
      return 1;
    }
    return figure;
  }

  const nlohmann::json &root;
  std::string name;
};

constexpr double giga = 1e9, micro = 1e-6;

ExchangeRate readExchange(Reader &reader, const std::string &path) {
  return {reader.positive(path + "/alone_gbps", giga),
          reader.positive(path + "/beside_kernels_gbps", giga),
          reader.notNegative(path + "/overhead_us", micro)};
}

} // namespace

Result<Cluster> plan::parseCluster(std::string_view text, const std::string &name) {
  nlohmann::json root = HADAL_TRY(parseJsonObject(text, name));
  Reader read(root, name);
  Cluster c;
  c.name = read.text("name");
  c.gpus = read.count("gpus");
  c.gpusPerNode = read.count("gpus_per_node");
  if (!read.failure && c.gpus % c.gpusPerNode)
    read.fail("gpus (" + std::to_string(c.gpus) + ") wants to be a multiple of gpus_per_node (" +
              std::to_string(c.gpusPerNode) + ")");
  c.pricePerGpuHour = read.notNegative("usd_per_gpu_hour");
  c.sms = double(read.count("gpu/sms"));
  c.communicationSms = read.notNegative("gpu/communication_sms");
  if (!read.failure && c.communicationSms >= c.sms)
    read.fail("gpu/communication_sms wants to be less than gpu/sms");
  c.memoryBytes = read.positive("gpu/memory_gb", giga);
  c.memoryRate = read.positive("gpu/memory_gbps", giga);
  c.peak[int(Precision::Bf16)] = read.positive("gpu/peak_tflops/bf16", 1e12);
  c.peak[int(Precision::Fp8)] = read.positive("gpu/peak_tflops/fp8", 1e12);
  c.kernelGap = read.notNegative("gpu/kernel_gap_us", micro);
  c.nvlink = {read.positive("links/nvlink/gbps", giga),
              read.notNegative("links/nvlink/latency_us", micro)};
  c.ib = {read.positive("links/ib/gbps", giga), read.notNegative("links/ib/latency_us", micro)};

  static const char *const products[] = {"gemm", "grouped_gemm", "weight_grad",
                                         "grouped_weight_grad"};
  for (int kind = 0; kind < 4; ++kind)
    for (int precision = 0; precision < 2; ++precision) {
      std::string path = std::string("kernels/") + products[kind] + (precision ? "/fp8" : "/bf16");
      c.kernels[kind][precision] = {read.share(path + "/efficiency"),
                                    read.notNegative(path + "/half_length")};
    }
  // Attention's core is never computed in FP8 (V3 §3.3.1); elementwise kernels are limited by
  // memory.
  static const char *const others[] = {"attention", "attention_grad", "elementwise"};
  for (int kind = 4; kind < 7; ++kind)
    c.kernels[kind][0] = c.kernels[kind][1] = {
        read.share(std::string("kernels/") + others[kind - 4] + "/efficiency"), 0};

  for (int ib = 0; ib < 2; ++ib) {
    std::string link = ib ? "/ib" : "/nvlink";
    c.dispatch[ib] = readExchange(read, "exchanges/dispatch" + link);
    c.combine[ib] = readExchange(read, "exchanges/combine" + link);
  }
  c.sequenceLoadVariation = read.notNegative("routing/sequence_load_variation");
  if (!read.failure && c.sequenceLoadVariation >
                           1000) // of a mean: more is no routing, and would be simulated for long
    read.fail("routing/sequence_load_variation wants at most 1000");
  if (read.failure)
    return *read.failure;
  return c;
}
