//===- MicroBatch.cpp - rows of tokens as the inputs of a training program =//

#include "runtime/training/MicroBatch.h"
#include "runtime/module/Names.h"

#include <algorithm>
#include <string>

using namespace hadal;

void PredictionCounts::add(const PredictionCounts &other) {
  predictions.resize(other.predictions.size(), 0);
  for (size_t i = 0; i < predictions.size(); ++i)
    predictions[i] += other.predictions[i];
  sequences += other.sequences;
}

MicroBatch::MicroBatch(std::span<const TrainingRow> rows, int64_t depthCount)
    : depths(depthCount + 1) {
  count.predictions.assign(depths.size(), 0);
  for (const TrainingRow &row : rows) {
    int32_t begin = 0;
    for (int32_t start : row.starts) {
      addSequence(row, begin, start);
      begin = start;
    }
    addSequence(row, begin, static_cast<int32_t>(row.tokens.size()));
  }
}

void MicroBatch::addSequence(const TrainingRow &row, int32_t begin, int32_t end) {
  const std::vector<int32_t> &labels = row.labels.empty() ? row.tokens : row.labels;
  ++count.sequences;
  int32_t above = 0; // first row of the sequence in depth d-1
  for (int32_t d = 0; d < static_cast<int32_t>(depths.size()); ++d) {
    Depth &depth = depths[d];
    int32_t first = depth.offsets.back(), length = std::max(end - begin - d, 0);
    for (int32_t i = 0; i < length; ++i) {
      if (d > 0)
        depth.rows.push_back(above + i);
      depth.tokenIds.push_back(row.tokens[begin + i + d]);
      depth.positions.push_back(i);
      int32_t next = begin + i + d + 1, target = next < end ? labels[next] : -1;
      depth.targets.push_back(target);
      count.predictions[d] += target >= 0;
      depth.attended += i + 1;
    }
    depth.offsets.push_back(first + length);
    above = first;
  }
}

Status MicroBatch::visit(
    const std::vector<int32_t> &stepCounts,
    const std::function<Status(const std::string &, int64_t)> &registerOf,
    const std::function<Status(const std::string &, const TensorView &)> &inputOf) const {
  HADAL_TRY(registerOf(names::reg::sequences, count.sequences));
  HADAL_TRY(inputOf(names::argument::counts, TensorView::of(stepCounts)));
  for (size_t d = 0; d < depths.size(); ++d) {
    const Depth &depth = depths[d];
    std::string prefix = d ? names::ofDepth(d) : "";
    HADAL_TRY(registerOf(prefix + names::reg::tokens, static_cast<int64_t>(depth.tokenIds.size())));
    HADAL_TRY(registerOf(prefix + names::reg::attended, depth.attended));
    if (d)
      HADAL_TRY(inputOf(prefix + names::argument::mainRows, TensorView::of(depth.rows)));
    HADAL_TRY(inputOf(prefix + names::argument::tokenIds, TensorView::of(depth.tokenIds)));
    HADAL_TRY(inputOf(prefix + names::argument::positions, TensorView::of(depth.positions)));
    HADAL_TRY(inputOf(prefix + names::argument::targets, TensorView::of(depth.targets)));
    HADAL_TRY(inputOf(prefix + names::argument::offsets, TensorView::of(depth.offsets)));
  }
  return {};
}

Status MicroBatch::bind(ProgramRun &run, const std::vector<int32_t> &stepCounts) const {
  // A program has the registers that its sizes depend on.
  return visit(
      stepCounts,
      [&](const std::string &name, int64_t value) {
        return run.hasRegister(name) ? run.setRegister(name, value) : Status();
      },
      [&](const std::string &name, const TensorView &view) { return run.bind(name, view); });
}
