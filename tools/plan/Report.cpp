//===- Report.cpp - a plan as text and as a JSON line -------------===//

#include "tools/plan/Report.h"

#include "tools/plan/Published.h"

#include <nlohmann/json.hpp>

#include <algorithm>
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
  return format("pp %lld x ep %lld x dp %lld, %lld node%s to an expert-parallel group; %s, %lld "
                "micro-batches of %lld "
                "x %lld tokens, %s",
                (long long)l.pp, (long long)l.ep, (long long)l.dp, (long long)l.nodes,
                l.nodes == 1 ? "" : "s", l.schedule.c_str(), (long long)l.microBatches(),
                (long long)l.microBatch, (long long)l.sequence,
                l.products.empty() ? l.precision == Precision::Fp8 ? "fp8" : "bf16"
                                   : l.products.c_str());
}

std::string plan::title(const Plan &plan) {
  std::string text = plan.work.model + " on " + plan.cluster.name;
  if (plan.layout.world() < plan.cluster.gpus)
    text += format(", %lld GPUs of them", (long long)plan.layout.world());
  return text;
}

namespace {

struct Row {
  const char *name;
  double Rows::*seconds;
};
constexpr Row rowNames[] = {{"1F", &Rows::forward},  {"bubble", &Rows::bubble},
                            {"1B", &Rows::backward}, {"1W", &Rows::weight},
                            {"1F1B", &Rows::pairs},  {"optimizer", &Rows::optimizer}};

std::string line(const char *name, const char *pattern, double simulated, const double *published) {
  std::string text = format("  %-22s ", name) + format(pattern, simulated);
  if (published)
    text += format("  ") + format(pattern, *published) +
            format("   %+6.1f %%", 100 * (simulated / *published - 1));
  return text + "\n";
}

/// Seconds, or what makes them readable.
struct Unit {
  const char *name;
  double scale;
};
Unit timeUnit(double seconds) {
  return seconds >= 1 ? Unit{"s", 1} : seconds >= 1e-3 ? Unit{"ms", 1e3} : Unit{"us", 1e6};
}
Unit byteUnit(double bytes) { return bytes >= 1e9 ? Unit{"GB", 1e-9} : Unit{"MB", 1e-6}; }

std::string table(const Plan &plan) {
  PublishedStep there;
  Unit unit = timeUnit(plan.result.seconds());
  bool beside = isPublishedStep(plan);
  auto or0 = [&](const double &figure) { return beside ? &figure : nullptr; };
  std::string text = beside ? "                         simulated   Table 4   residual\n"
                            : "                         simulated\n";
  for (const Row &row : rowNames)
    text += line(format("%s (%s)", row.name, unit.name).c_str(), "%9.2f",
                 plan.result.mean.*row.seconds * unit.scale, or0(there.rows.*row.seconds));
  text += line(format("time/step (%s)", unit.name).c_str(), "%9.3f",
               plan.result.seconds() * unit.scale, or0(there.seconds));
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
  size_t ranks = plan.result.ranks.size();
  double pairs = 0, exposed = 0;
  for (const RankResult &rank : plan.result.ranks)
    pairs += rank.pairs / double(ranks), exposed += rank.exposed / double(ranks);
  Unit unit = timeUnit(plan.result.seconds());
  auto range = [&](double Rows::*row) {
    double low = m.*row, high = m.*row;
    for (const RankResult &rank : plan.result.ranks)
      low = std::min(low, rank.rows.*row), high = std::max(high, rank.rows.*row);
    return format("%.2f to %.2f", low * unit.scale, high * unit.scale);
  };
  auto in = [&](double seconds) { return format("%.2f", seconds * unit.scale); };
  std::string text = std::string("rows are means over pipeline ranks; in ") + unit.name +
                     ", by rank and by cause:\n";
  text += "  1F         " + range(&Rows::forward) +
          "; exchanges of chunks that run alone hide behind nothing, which costs " + in(exposed) +
          " in all rows\n";
  text += "  bubble     " + range(&Rows::bubble) + "; by the formula for equal stages " +
          in(b.formulaBubble) + "; waiting for messages adds " + in(b.messageBubble) +
          ", stages of unequal length " + in(b.unevenBubble) + "\n";
  text += "  1B         " + range(&Rows::backward) + "; " + in(b.weightsInside) +
          " of it are weight gradients of whole backward chunks\n";
  text += "  1W         " + range(&Rows::weight) + "; weight gradients that run alone\n";
  text += "  1F1B       " + range(&Rows::pairs) +
          format("; %.1f pairs a rank; one of a middle stage takes %.1f ms, %.1f ms with equal "
                 "loads of experts\n",
                 pairs, 1e3 * b.pairSeconds, 1e3 * b.balancedPairSeconds);
  text += "  optimizer  " + range(&Rows::optimizer) +
          "; ranks whose stages have fewer parameters wait for the others\n";
  return text;
}

std::string stages(const Plan &plan) {
  bool pairs = hasPairs(plan.schedule);
  std::string text =
      std::string("stage    layers   F (ms)  I (ms)  W (ms)") + (pairs ? "  F&B (ms)\n" : "\n");
  Timing timing(plan.cluster, plan.work, hasPairs(plan.schedule));
  std::string last;
  size_t first = 0;
  auto flush = [&](size_t end) {
    if (!last.empty())
      text += (end - first > 1 ? format("%2zu-%-2zu", first, end - 1) : format("%2zu   ", first)) +
              last;
  };
  for (size_t i = 0; i < plan.work.stages.size(); ++i) {
    const StageWork &s = plan.work.stages[i];
    std::string now = format(
        "  %6lld  %7.1f %7.1f %7.1f", (long long)s.layers, 1e3 * timing.chunk(s.forward).seconds,
        1e3 * timing.chunk(s.inputGrad).seconds, 1e3 * timing.chunk(s.weightGrad).seconds);
    now +=
        pairs ? format("  %8.1f\n", 1e3 * timing.pair(s.forward, s.inputGrad, s.weightGrad).seconds)
              : "\n";
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
  Unit unit = byteUnit(plan.largestMemory());
  std::string text = format(
      "memory of a rank (%s)  weights  gradients  optimizer  activations    all\n", unit.name);
  for (size_t r = 0; r < plan.result.ranks.size(); ++r) {
    const Memory &m = plan.result.ranks[r].memory;
    // Ranks that are like the one before are not repeated.
    if (r > 0 && r + 1 < plan.result.ranks.size() &&
        m.sum() == plan.result.ranks[r - 1].memory.sum())
      continue;
    text += format("  pipeline rank %-3zu      %6.1f     %6.1f     %6.1f       %6.1f %6.1f\n", r,
                   m.weights * unit.scale, m.gradients * unit.scale, m.optimizer * unit.scale,
                   m.activations * unit.scale, m.sum() * unit.scale);
  }
  double most = plan.largestMemory();
  return text + format("  %s in %.0f GB (kernels' own buffers and fragmentation are not counted)\n",
                       most <= plan.cluster.memoryBytes ? "fits" : "DOES NOT FIT",
                       plan.cluster.memoryBytes / 1e9);
}

} // namespace

Result<std::string> plan::toText(const WorkSource &source, const Plan &plan) {
  Timing timing(plan.cluster, plan.work, hasPairs(plan.schedule));
  std::string text = title(plan) + "\n" + toString(plan.layout) + "\n\n" + table(plan) + "\n";
  if (plan.schedule.name == "dualpipe" && plan.schedule.ranks > 2)
    text += explain(plan, HADAL_TRY(breakDown(source, plan))) + "\n";
  text += stages(plan);
  if (timing.rankLoad() > 1)
    text += format(
        "the busiest expert-parallel rank has %.3f of the mean's rows, the busiest node %.3f\n",
        timing.rankLoad(), timing.nodeLoad());
  text += "\n" + memory(plan) + "\n";
  double hours = plan.gpuHours(1e12);
  text +=
      format("cost of a trillion tokens: %.1f K GPU hours, %.3f million USD at %.2f USD an hour\n",
             hours / 1e3, hours * plan.cluster.pricePerGpuHour / 1e6, plan.cluster.pricePerGpuHour);
  return text;
}

/// Of one micro-batch in all stages.
static double microBatchFlops(const Plan &plan, Parts StageWork::*parts) {
  double sum = 0;
  for (const StageWork &stage : plan.work.stages)
    sum += flopsOf(stage.*parts);
  return sum;
}

nlohmann::ordered_json plan::toJson(const Plan &plan) {
  nlohmann::ordered_json rows;
  for (const Row &row : rowNames)
    rows[row.name] = plan.result.mean.*row.seconds;
  nlohmann::ordered_json ranks = nlohmann::ordered_json::array();
  for (const RankResult &rank : plan.result.ranks)
    ranks.push_back({{"pairs", rank.pairs},
                     {"exposed_seconds", rank.exposed},
                     {"memory_bytes", rank.memory.sum()}});
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
          {"micro_batch_flops",
           {{"forward", microBatchFlops(plan, &StageWork::forward)},
            {"input_grad", microBatchFlops(plan, &StageWork::inputGrad)},
            {"weight_grad", microBatchFlops(plan, &StageWork::weightGrad)}}},
          {"ranks", ranks}};
}
