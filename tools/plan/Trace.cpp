#include "tools/plan/Report.h"
#include "tools/plan/Timelines.h"

using namespace hadal;
using namespace hadal::plan;

namespace {

class Trace {
public:
  void name(size_t rank, int thread, const char *what, const std::string &value) {
    add(format(R"({"ph":"M","pid":%zu,"tid":%d,"name":"%s","args":{"name":"%s"}})", rank, thread,
               what, value.c_str()));
  }
  void event(size_t rank, int thread, const char *category, const std::string &value, double begin,
             double end) {
    add(format(R"({"ph":"X","pid":%zu,"tid":%d,"cat":"%s","name":"%s","ts":%.3f,"dur":%.3f})", rank,
               thread, category, value.c_str(), 1e6 * begin, 1e6 * (end - begin)));
  }
  std::string close() { return text + "\n]}\n"; }

private:
  void add(const std::string &event) {
    text += first ? "\n" : ",\n";
    text += event;
    first = false;
  }
  std::string text = R"({"displayTimeUnit":"ms","traceEvents":[)";
  bool first = true;
};

} // namespace

std::string plan::toTrace(const Plan &plan) {
  Trace trace;
  for (size_t r = 0; r < plan.result.ranks.size(); ++r) {
    trace.name(r, 0, "process_name", format("pipeline rank %zu", r));
    static const char *const threads[] = {"forward", "backward", "compute", "exchange"};
    for (int t = 0; t < 4; ++t)
      trace.name(r, t, "thread_name", threads[t]);
    const RankResult &rank = plan.result.ranks[r];
    const schedule::Order &order = plan.schedule.orders[r];
    for (size_t i = 0; i < order.size(); ++i) {
      const ItemSpan &span = rank.spans[i];
      trace.event(r, order[i].kind != schedule::Kind::Forward, "chunk", toString(order[i]),
                  span.begin, span.end);
      bool secondOfPair = span.paired && !order[i].paired;
      if (secondOfPair)
        continue;
      for (const PartSpan &part : span.timing->parts)
        trace.event(r, 2 + int(part.part->lane), "part",
                    part.part->name + (part.backward ? " (B)" : " (F)"), span.begin + part.begin,
                    span.begin + part.end);
    }
    trace.event(r, 2, "optimizer", "optimizer", plan.result.pipelineSeconds,
                plan.result.pipelineSeconds + rank.rows.optimizer);
  }
  return trace.close();
}
