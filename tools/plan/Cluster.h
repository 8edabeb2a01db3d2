//===- Cluster.h - a cluster file -----------------------------------------===//
//
// JSON; examples/clusters/README.md says what each figure means. Every figure is wanted, none is
// guessed.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TOOLS_PLAN_CLUSTER_H
#define HADAL_TOOLS_PLAN_CLUSTER_H

#include "runtime/Result.h"
#include "tools/plan/Work.h"

#include <array>
#include <string>
#include <string_view>

namespace hadal::plan {

/// Rates in bytes per second, times in seconds.
struct Link {
  double rate = 0;
  double latency = 0;
};

/// A product over sums of length K reaches efficiency * K / (K + halfLength) of the peak of the SMs
/// it runs on.
struct KernelRate {
  double efficiency = 0;
  double halfLength = 0;
};

/// What a link gives to an exchange: with the GPU for itself, and beside kernels, where it also
/// waits `overhead` for SMs and for the other ranks.
struct ExchangeRate {
  double alone = 0;
  double beside = 0;
  double overhead = 0;
};

struct Cluster {
  std::string name;
  int64_t gpus = 0, gpusPerNode = 0;
  double pricePerGpuHour = 0;
  double sms = 0, communicationSms = 0;
  double memoryBytes = 0, memoryRate = 0;
  std::array<double, 2> peak{}; ///< by Precision
  double kernelGap = 0;         ///< between two kernels of a stream
  Link nvlink, ib;
  std::array<std::array<KernelRate, 2>, kernelKinds> kernels{}; ///< by kind and precision
  std::array<ExchangeRate, 2> dispatch{}, combine{};            ///< over NVLink, over InfiniBand
  double sequenceLoadVariation =
      0; ///< of an expert's load from sequence to sequence: standard deviation over mean

  const ExchangeRate &exchange(ExchangeKind kind, bool betweenNodes) const {
    return (kind == ExchangeKind::Dispatch ? dispatch : combine)[betweenNodes];
  }
};

/// `name` begins each message: "c.json: links.ib.gbps wants a positive number, got -1", "c.json:
/// wants gpu.sms".
Result<Cluster> parseCluster(std::string_view text, const std::string &name);

} // namespace hadal::plan

#endif // HADAL_TOOLS_PLAN_CLUSTER_H
