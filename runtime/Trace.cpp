//===- Trace.cpp - a timeline of launches ---------------------------------===//

#include "runtime/Trace.h"

#include "runtime/TraceEvents.h"

#include <algorithm>

namespace hadal {

/// A trace's events as a text.
class TraceText {
public:
  TraceText(const Trace &trace, unsigned rank, int64_t shiftNs)
      : trace(trace), rank(rank), shiftNs(shiftNs) {}

  std::string all() {
    out.nameProcess(rank, "rank " + std::to_string(rank));
    addLaunches();
    if (!trace.waits.empty())
      out.nameThread(rank, Waits, "waits");
    for (const Trace::Named &e : trace.waits)
      add("wait", Waits, e.name, e.beginNs, e.endNs);
    addLanes(trace.chunks, "chunk", "chunks", argsOfChunk);
    addLanes(trace.comm, "comm", "communication", argsOfComm);
    return out.text();
  }

private:
  using Args = TraceEvents::Args;
  /// Threads; chunks and communication have as many as they need.
  enum Thread : unsigned { Programs, Layers, Kernels, Waits, FirstLane };

  void add(const char *category, unsigned thread, std::string_view name, int64_t beginNs,
           int64_t endNs, Args args = Args::object()) {
    out.add(rank, thread, category, name, double(beginNs + shiftNs) / 1000,
            double(endNs - beginNs) / 1000, std::move(args));
  }

  void addLaunches() {
    if (trace.events.empty())
      return;
    out.nameThread(rank, Programs, "programs");
    out.nameThread(rank, Layers, "layers");
    out.nameThread(rank, Kernels, "kernels");
    for (const Trace::Event &e : trace.events) {
      if (!e.isKernel) {
        add("program", Programs, e.name, e.beginNs, e.endNs,
            {{"flops", e.flops}, {"launches", e.count}});
        endLayer();
        continue;
      }
      Args args = Args::object();
      if (e.place.layer >= 0)
        args["layer"] = e.place.layer;
      if (!e.place.tensor.empty())
        args["tensor"] = e.place.tensor;
      args["flops"] = e.flops;
      args["tasks"] = e.count;
      add("kernel", Kernels, e.name, e.beginNs, e.endNs, std::move(args));
      if (std::string name = e.place.text(); name != layer.name) {
        endLayer();
        layer = {std::move(name), e.beginNs, e.endNs, 0};
      }
      layer.endNs = e.endNs;
      layer.flops += e.flops;
    }
    endLayer();
  }

  void endLayer() {
    if (!layer.name.empty())
      add("layer", Layers, layer.name, layer.beginNs, layer.endNs, {{"flops", layer.flops}});
    layer = {};
  }

  static Args argsOfChunk(const Trace::Named &e) {
    if (e.of.stage < 0)
      return Args::object();
    Args args = {{"stage", e.of.stage}};
    if (e.of.layers > 0)
      args["layers"] = std::to_string(e.of.firstLayer) + " to " +
                       std::to_string(e.of.firstLayer + e.of.layers - 1);
    return args;
  }
  static Args argsOfComm(const Trace::Named &e) {
    return {{"tag", e.ends.tag}, {"to", e.ends.to}, {"from", e.ends.from}};
  }

  /// Events of one thread may not overlap: each goes to the first that is free when it begins.
  void addLanes(const std::vector<Trace::Named> &all, const char *category, const char *name,
                Args (*argsOf)(const Trace::Named &)) {
    std::vector<const Trace::Named *> ordered;
    for (const Trace::Named &e : all)
      ordered.push_back(&e);
    std::stable_sort(
        ordered.begin(), ordered.end(),
        [](const Trace::Named *a, const Trace::Named *b) { return a->beginNs < b->beginNs; });
    std::vector<int64_t> ends;
    for (const Trace::Named *e : ordered) {
      size_t lane = 0;
      while (lane < ends.size() && ends[lane] > e->beginNs)
        ++lane;
      if (lane == ends.size()) {
        ends.push_back(0);
        out.nameThread(rank, nextLane + unsigned(lane), name);
      }
      ends[lane] = e->endNs;
      add(category, nextLane + unsigned(lane), e->name, e->beginNs, e->endNs, argsOf(*e));
    }
    nextLane += unsigned(ends.size());
  }

  struct LayerSpan {
    std::string name;
    int64_t beginNs = 0, endNs = 0, flops = 0;
  };
  const Trace &trace;
  unsigned rank, nextLane = FirstLane;
  int64_t shiftNs;
  LayerSpan layer; ///< the launches of one layer so far
  TraceEvents out;
};

std::string Trace::eventsText(unsigned rank, int64_t shiftNs) const {
  return TraceText(*this, rank, shiftNs).all();
}

Status Trace::write(const std::string &path, std::span<const std::string> others) const {
  std::vector<std::string> texts = {eventsText(0)};
  texts.insert(texts.end(), others.begin(), others.end());
  return writeTraceFile(path, "a run", texts);
}

} // namespace hadal
