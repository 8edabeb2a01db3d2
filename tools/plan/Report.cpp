#include "tools/plan/Report.h"

#include "tools/plan/Published.h"

#include <nlohmann/json.hpp>

#include <cstdarg>
#include <cstdio>

using namespace hadal;
using namespace hadal::plan;

std::string plan::format(const char *pattern, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text, sizeof text, pattern, arguments);
  va_end(arguments);
  return text;
}

std::string plan::toString(const Layout &l) {
  return format("pp %lld x ep %lld x dp %lld, %lld node%s to an expert-parallel group; %s, %lld micro-batches of %lld x %lld tokens, %s", (long long)l.pp,
                (long long)l.ep, (long long)l.dp, (long long)l.nodes, l.nodes == 1 ? "" : "s", l.schedule.c_str(), (long long)l.microBatches(),
                (long long)l.microBatch, (long long)l.sequence, l.precision == Precision::Fp8 ? "fp8" : "bf16");
}

namespace {

struct Row {
  const char *name;
  double Rows::*seconds;
};
constexpr Row rowNames[] = {{"1F", &Rows::forward}, {"bubble", &Rows::bubble}, {"1B", &Rows::backward}, {"1W", &Rows::weight}, {"1F1B", &Rows::pairs},
                            {"optimizer", &Rows::optimizer}};

std::string line(const char *name, const char *pattern, double simulated, const double *published) {
  std::string text = format("  %-22s ", name) + format(pattern, simulated);
  if (published)
    text += format("  ") + format(pattern, *published) + format("   %+6.1f %%", 100 * (simulated / *published - 1));
  return text + "\n";
}

std::string table(const Plan &plan) {
  PublishedStep there;
  bool beside = isPublishedStep(plan);
  auto or0 = [&](const double &figure) { return beside ? &figure : nullptr; };
  std::string text = beside ? "                         simulated   Table 4   residual\n" : "                         simulated\n";
  for (const Row &row : rowNames)
    text += line(format("%s (s)", row.name).c_str(), "%9.2f", plan.result.mean.*row.seconds, or0(there.rows.*row.seconds));
  text += line("time/step (s)", "%9.3f", plan.result.seconds(), or0(there.seconds));
  double dayHere = plan.tokensPerDay() / 1e9, dayThere = there.tokensPerDay / 1e9;
  text += line("tokens/day (B)", "%9.2f", dayHere, or0(dayThere));
  text += line("TFLOPS, non-causal", "%9.1f", plan.flops(false) / 1e12, or0(there.teraflopsFull));
  text += line("TFLOPS, causal", "%9.1f", plan.flops(true) / 1e12, or0(there.teraflopsCausal));
  double full = 100 * there.mfuFull, causal = 100 * there.mfuCausal;
  text += line("MFU, non-causal (%)", "%9.2f", 100 * plan.mfu(false), or0(full));
  text += line("MFU, causal (%)", "%9.2f", 100 * plan.mfu(true), or0(causal));
  return text;
}

std::string explain(const Plan &plan, const Breakdown &b) {
  const Rows &m = plan.result.mean;
  double pairs = 0, low = 1e9, high = 0, forwardLow = 1e9, forwardHigh = 0, weightLow = 1e9, weightHigh = 0, exposed = 0;
  for (const RankResult &rank : plan.result.ranks) {
    pairs += rank.pairs / double(plan.result.ranks.size());
    exposed += rank.exposed / double(plan.result.ranks.size());
    low = std::min(low, rank.rows.pairs), high = std::max(high, rank.rows.pairs);
    forwardLow = std::min(forwardLow, rank.rows.forward), forwardHigh = std::max(forwardHigh, rank.rows.forward);
    weightLow = std::min(weightLow, rank.rows.weight), weightHigh = std::max(weightHigh, rank.rows.weight);
  }
  std::string text = "rows are means over pipeline ranks; they differ by rank:\n";
  text += format("  1F         %.2f to %.2f s; exchanges of chunks that run alone hide behind nothing: %.2f s a rank in all rows together\n", forwardLow,
                 forwardHigh, exposed);
  text += format("  bubble     %.2f s by the formula for equal stages; waiting for messages adds %.2f s, stages of unequal length %.2f s\n", b.formulaBubble,
                 b.messageBubble, b.unevenBubble);
  text += format("  1W         %.2f to %.2f s: weight gradients that run alone; those of a whole backward chunk (%.2f s in 1B) are not counted here\n",
                 weightLow, weightHigh, m.backward);
  if (plan.result.mean.pairs > 0)
    text += format("  1F1B       %.1f pairs a rank, %.2f to %.2f s; a pair of a middle stage takes %.1f ms, %.1f ms with equal loads of experts\n", pairs, low,
                   high, 1e3 * b.pairSeconds, 1e3 * b.balancedPairSeconds);
  return text;
}

std::string stages(const Plan &plan) {
  std::string text = "stage    layers   F (ms)  I (ms)  W (ms)  F&B (ms)\n";
  Timing timing(plan.cluster, plan.work, true);
  std::string last;
  size_t first = 0;
  auto flush = [&](size_t end) {
    if (!last.empty())
      text += (end - first > 1 ? format("%2zu-%-2zu", first, end - 1) : format("%2zu   ", first)) + last;
  };
  for (size_t i = 0; i < plan.work.stages.size(); ++i) {
    const StageWork &s = plan.work.stages[i];
    std::string now = format("  %6lld  %7.1f %7.1f %7.1f  %8.1f\n", (long long)s.layers, 1e3 * timing.chunk(s.forward).seconds,
                             1e3 * timing.chunk(s.inputGrad).seconds, 1e3 * timing.chunk(s.weightGrad).seconds,
                             1e3 * timing.pair(s.forward, s.inputGrad, s.weightGrad).seconds);
    if (now != last) {
      flush(i);
      last = now;
      first = i;
    }
  }
  flush(plan.work.stages.size());
  return text;
}

std::string memory(const Plan &plan) {
  std::string text = "memory of a rank (GB)  weights  gradients  optimizer  activations    all\n";
  for (size_t r = 0; r < plan.result.ranks.size(); ++r) {
    const Memory &m = plan.result.ranks[r].memory;
    // Ranks that are like the one before are not repeated.
    if (r > 0 && r + 1 < plan.result.ranks.size() && m.sum() == plan.result.ranks[r - 1].memory.sum())
      continue;
    text += format("  pipeline rank %-3zu      %6.1f     %6.1f     %6.1f       %6.1f %6.1f\n", r, m.weights / 1e9, m.gradients / 1e9, m.optimizer / 1e9,
                   m.activations / 1e9, m.sum() / 1e9);
  }
  double most = plan.largestMemory();
  return text + format("  %s in %.0f GB (kernels' own buffers and fragmentation are not counted)\n",
                       most <= plan.cluster.memoryBytes ? "fits" : "DOES NOT FIT", plan.cluster.memoryBytes / 1e9);
}

} // namespace

Result<std::string> plan::toText(const WorkSource &source, const Plan &plan) {
  Timing timing(plan.cluster, plan.work, true);
  std::string text = plan.work.model + " on " + plan.cluster.name + "\n" + toString(plan.layout) + "\n\n" + table(plan) + "\n";
  if (plan.schedule.name == "dualpipe" && plan.schedule.ranks > 2)
    text += explain(plan, HADAL_TRY(breakDown(source, plan))) + "\n";
  text += stages(plan);
  if (timing.rankLoad() > 1)
    text += format("the busiest expert-parallel rank has %.3f of the mean's rows, the busiest node %.3f\n", timing.rankLoad(), timing.nodeLoad());
  text += "\n" + memory(plan) + "\n";
  double hours = plan.gpuHours(1e12);
  text += format("cost of a trillion tokens: %.1f K GPU hours, %.3f million USD at %.2f USD an hour\n", hours / 1e3, hours * plan.cluster.pricePerGpuHour / 1e6,
                 plan.cluster.pricePerGpuHour);
  return text;
}

nlohmann::ordered_json plan::toJson(const Plan &plan) {
  nlohmann::ordered_json rows;
  for (const Row &row : rowNames)
    rows[row.name] = plan.result.mean.*row.seconds;
  nlohmann::ordered_json ranks = nlohmann::ordered_json::array();
  for (const RankResult &rank : plan.result.ranks)
    ranks.push_back({{"pairs", rank.pairs}, {"exposed_seconds", rank.exposed}, {"memory_bytes", rank.memory.sum()}});
  const Layout &l = plan.layout;
  return {{"step_seconds", plan.result.seconds()},
          {"tokens_per_day", plan.tokensPerDay()},
          {"mfu_causal", plan.mfu(true)},
          {"mfu_non_causal", plan.mfu(false)},
          {"rows", rows},
          {"schedule", l.schedule},
          {"pp", l.pp},
          {"ep", l.ep},
          {"dp", l.dp},
          {"micro_batches", l.microBatches()},
          {"memory_bytes", plan.largestMemory()},
          {"fits", plan.largestMemory() <= plan.cluster.memoryBytes},
          {"gpu_hours_per_trillion_tokens", plan.gpuHours(1e12)},
          {"usd_per_trillion_tokens", plan.gpuHours(1e12) * plan.cluster.pricePerGpuHour},
          {"ranks", ranks}};
}
