//===- Timing.cpp - what chunks take on a cluster -----------------===//

#include "tools/plan/Timing.h"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace hadal;
using namespace hadal::plan;

/// Abramowitz and Stegun, 26.2.23; off by less than 4.5e-4.
static double normalQuantile(double upper) {
  double t = std::sqrt(-2 * std::log(upper));
  return t - (2.515517 + t * (0.802853 + t * 0.010328)) /
                 (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
}

double plan::largestOfNormals(double n) {
  return n < 2 ? 0 : std::max(0.0, normalQuantile(1 - (n - 0.375) / (n + 0.25)));
}

Timing::Timing(const Cluster &cluster, const StepWork &work, bool reserved)
    : cluster(cluster), reserved(reserved) {
  if (work.expertsPerRank <= 0 || work.expertRanks < 2 || work.sequencesPerExchange <= 0)
    return;
  // An expert's load in an exchange is a mean over its sequences; a rank's is the mean over its
  // experts too.
  auto load = [&](double places, double experts) {
    return 1 + largestOfNormals(places) * cluster.sequenceLoadVariation /
                   std::sqrt(work.sequencesPerExchange * experts);
  };
  loadOfRank = load(work.expertRanks, work.expertsPerRank);
  loadOfNode = load(work.expertNodes, work.expertsPerRank * work.expertRanks / work.expertNodes);
}

double Timing::seconds(const Kernels &k, bool beside) const {
  double time = 0;
  if (k.flops > 0) {
    const KernelRate &rate = cluster.kernels[int(k.kind)][int(k.precision)];
    // The grid of a persistent product is set once; other kernels take the SMs that are free.
    bool less = k.kind <= KernelKind::GroupedWeightGrad ? reserved : beside;
    double sms = less ? cluster.sms - cluster.communicationSms : cluster.sms;
    double efficiency =
        rate.efficiency * (rate.halfLength > 0 ? k.length / (k.length + rate.halfLength) : 1);
    time += k.flops / (cluster.peak[int(k.precision)] * sms / cluster.sms * efficiency);
  }
  time +=
      k.bytes / (cluster.memoryRate * cluster.kernels[int(KernelKind::Elementwise)][0].efficiency);
  return (k.routed ? loadOfRank : 1) * time + k.launches * cluster.kernelGap;
}

double Timing::seconds(const Part &part, bool beside) const {
  double time = 0;
  for (const Kernels &kernels : part.kernels)
    time += seconds(kernels, beside);
  if (part.lane != Lane::Exchange)
    return time;
  // What crosses nodes is spread inside them at the same time (V3 §3.2.2): the slower of both
  // counts.
  double slower = 0;
  for (bool ib : {false, true}) {
    double bytes = ib ? part.nodeBytes * loadOfNode : part.linkBytes * loadOfRank;
    if (bytes <= 0)
      continue;
    const ExchangeRate &rate = cluster.exchange(part.exchange, ib);
    double latency = (ib ? cluster.ib : cluster.nvlink).latency;
    slower = std::max(
        slower, latency + (beside ? rate.overhead + bytes / rate.beside : bytes / rate.alone));
  }
  return time + slower;
}

ChunkTiming Timing::chunk(const Parts &parts) const {
  ChunkTiming t;
  for (const Part &part : parts) {
    double took = seconds(part, false);
    t.parts.push_back({&part, t.seconds, t.seconds + took, false});
    t.seconds += took;
    if (part.lane == Lane::Exchange)
      t.exposed += took;
  }
  t.outputAt = t.gradientAt = t.seconds;
  return t;
}

/// `more` after what `t` has.
static void append(ChunkTiming &t, const ChunkTiming &more) {
  for (PartSpan span : more.parts)
    t.parts.push_back({span.part, span.begin + t.seconds, span.end + t.seconds, true});
  t.seconds += more.seconds;
  t.exposed += more.exposed;
}

ChunkTiming Timing::backward(const Parts &inputGrad, const Parts &weightGrad) const {
  ChunkTiming t = chunk(inputGrad);
  for (PartSpan &span : t.parts)
    span.backward = true;
  append(t, chunk(weightGrad));
  return t;
}

ChunkTiming Timing::oneAfterTheOther(const Parts &forward, const Parts &inputGrad,
                                     const Parts &weightGrad) const {
  ChunkTiming t = chunk(forward), back = backward(inputGrad, weightGrad);
  t.gradientAt = t.seconds + back.gradientAt;
  append(t, back);
  return t;
}

ChunkTiming Timing::pair(const Parts &forward, const Parts &inputGrad,
                         const Parts &weightGrad) const {
  constexpr double never = std::numeric_limits<double>::infinity();
  ChunkTiming t;
  std::vector<double> doneGrad(inputGrad.size(), never);
  std::vector<bool> filled(weightGrad.size());
  size_t nextForward = 0, nextGrad = 0, fillersLeft = weightGrad.size();
  double readyForward = 0, readyGrad = 0, lane[2] = {0, 0}, computed = 0;
  auto place = [&](const Part &part, double ready, bool backward) {
    double &free = lane[int(part.lane)], begin = std::max(free, ready), took = seconds(part, true);
    free = begin + took;
    if (part.lane == Lane::Compute)
      computed += took;
    t.parts.push_back({&part, begin, free, backward});
    t.seconds = std::max(t.seconds, free);
    return free;
  };
  while (nextForward < forward.size() || nextGrad < inputGrad.size() || fillersLeft) {
    // The chain whose next part may begin first goes on; the one that has been ready for longest
    // where both may.
    double beginForward = nextForward < forward.size()
                              ? std::max(readyForward, lane[int(forward[nextForward].lane)])
                              : never;
    double beginGrad = nextGrad < inputGrad.size()
                           ? std::max(readyGrad, lane[int(inputGrad[nextGrad].lane)])
                           : never;
    bool takeForward =
        beginForward < beginGrad || (beginForward == beginGrad && readyForward <= readyGrad);
    const Part *chosen = std::min(beginForward, beginGrad) == never ? nullptr
                         : takeForward                              ? &forward[nextForward]
                                                                    : &inputGrad[nextGrad];
    // A weight gradient fills the time until a chain can compute again.
    double computeAt = never;
    if (nextForward < forward.size() && forward[nextForward].lane == Lane::Compute)
      computeAt = std::min(computeAt, beginForward);
    if (nextGrad < inputGrad.size() && inputGrad[nextGrad].lane == Lane::Compute)
      computeAt = std::min(computeAt, beginGrad);
    size_t filler = weightGrad.size();
    for (size_t i = 0; i < weightGrad.size() && filler == weightGrad.size(); ++i)
      if (!filled[i] && (weightGrad[i].after < 0 || doneGrad[weightGrad[i].after] <= lane[0]))
        filler = i;
    bool idle = computeAt > lane[0] && (!chosen || chosen->lane == Lane::Compute ||
                                        std::min(beginForward, beginGrad) >= lane[0]);
    if (filler < weightGrad.size() && (idle || !chosen)) {
      place(weightGrad[filler], 0, true);
      filled[filler] = true;
      --fillersLeft;
    } else if (!chosen) {
      // Only weight gradients are left, and the first waits for an input gradient that ends later
      // than the lane is free.
      lane[0] = t.seconds;
    } else if (takeForward) {
      readyForward = t.outputAt = place(*chosen, readyForward, false);
      ++nextForward;
    } else {
      readyGrad = t.gradientAt = doneGrad[nextGrad] = place(*chosen, readyGrad, true);
      ++nextGrad;
    }
  }
  t.exposed = t.seconds - computed;
  return t;
}
