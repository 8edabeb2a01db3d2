//===- Compare.cpp - the same step under other schedules or layouts ---===//

#include "tools/plan/Compare.h"

#include "tools/plan/Report.h"

#include <algorithm>

using namespace hadal;
using namespace hadal::plan;

std::vector<Candidate> plan::compareSchedules(const WorkSource &source, const Layout &layout,
                                              const Cluster &cluster) {
  std::vector<Candidate> all;
  for (const char *name : {"1f1b", "zb1p", "dualpipev", "dualpipe"}) {
    Layout other = layout;
    other.schedule = name;
    all.push_back({other, makePlan(source, other, cluster)});
  }
  // DualPipeV on half the ranks has the stages that the others have.
  Layout half = layout;
  half.schedule = "dualpipev";
  half.pp /= 2;
  half.dp *= 2;
  if (layout.pp % 2 == 0)
    all.insert(all.begin() + 3, {half, makePlan(source, half, cluster)});
  return all;
}

static bool fits(const Plan &plan) { return plan.largestMemory() <= plan.cluster.memoryBytes; }

std::vector<Candidate> plan::compareLayouts(const WorkSource &source, const Layout &layout,
                                            const Cluster &cluster) {
  std::vector<Candidate> all;
  int64_t world = layout.world();
  for (int64_t pp = 1; pp <= world; pp *= 2)
    for (int64_t ep = 1; pp * ep <= world; ep *= 2) {
      if (world % (pp * ep))
        continue;
      Layout other = layout;
      other.pp = pp;
      other.ep = ep;
      other.dp = world / (pp * ep);
      other.nodes = std::max<int64_t>(1, ep / cluster.gpusPerNode);
      if (auto plan = makePlan(source, other, cluster); plan.ok())
        all.push_back({other, std::move(plan)});
    }
  std::stable_sort(all.begin(), all.end(), [](const Candidate &a, const Candidate &b) {
    const Plan &p = **a.plan, &q = **b.plan;
    return fits(p) != fits(q) ? fits(p) : p.result.seconds() < q.result.seconds();
  });
  return all;
}

std::string plan::toText(const std::vector<Candidate> &candidates) {
  std::string text = "schedule    pp   ep   dp   step (s)  bubble (s)  tokens/day (B)  MFU, causal "
                     " memory (GB)  K GPU "
                     "h / T tokens  M USD / T tokens\n";
  std::string without;
  for (const Candidate &c : candidates) {
    if (!c.plan.ok()) {
      without += c.layout.schedule +
                 format(" on pp %lld, ep %lld, dp %lld: ", (long long)c.layout.pp,
                        (long long)c.layout.ep, (long long)c.layout.dp) +
                 c.plan.error().message + "\n";
      continue;
    }
    text += format("%-9s %4lld %4lld %4lld  ", c.layout.schedule.c_str(), (long long)c.layout.pp,
                   (long long)c.layout.ep, (long long)c.layout.dp);
    const Plan &p = **c.plan;
    double hours = p.gpuHours(1e12);
    text += format("%9.3f  %10.2f  %14.2f  %9.2f %%  %10.1f%s  %18.1f  %16.3f\n",
                   p.result.seconds(), p.result.mean.bubble, p.tokensPerDay() / 1e9,
                   100 * p.mfu(true), p.largestMemory() / 1e9, fits(p) ? " " : "!", hours / 1e3,
                   hours * p.cluster.pricePerGpuHour / 1e6);
  }
  for (const Candidate &c : candidates)
    if (c.plan.ok() && !fits(**c.plan)) {
      text += format("!: more than the %.0f GB of a GPU\n", (*c.plan)->cluster.memoryBytes / 1e9);
      break;
    }
  return text + without;
}
