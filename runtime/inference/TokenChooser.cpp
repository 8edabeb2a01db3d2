//===- TokenChooser.cpp - the next token of each row of logits ----------===//

#include "runtime/inference/TokenChooser.h"
#include "runtime/module/Names.h"

#include <algorithm>

using namespace hadal;

float hadal::drawUniform(uint64_t seed, uint64_t step) {
  // Source: Steele et al., 2014, SplitMix64, twice: once to spread the seed, once for the step.
  auto mix = [](uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
  };
  return static_cast<float>(mix(mix(seed) ^ step) >> 40) * 0x1p-24f;
}

static Status checkRange(const SamplingOptions &options) {
  if (!(options.temperature >= 0) || options.temperature > 1e6f)
    return invalidArgument("temperature: wants a number from 0 on, got " +
                           std::to_string(options.temperature));
  if (!(options.topP > 0 && options.topP <= 1))
    return invalidArgument("top-p: wants a number above 0 and up to 1, got " +
                           std::to_string(options.topP));
  if (options.topK < 0)
    return invalidArgument("top-k: wants a number from 0 on, got " + std::to_string(options.topK));
  if (!(options.minP >= 0 && options.minP <= 1))
    return invalidArgument("min-p: wants a number from 0 to 1, got " +
                           std::to_string(options.minP));
  if (!(options.repetitionPenalty > 0) || options.repetitionPenalty > 1e6f)
    return invalidArgument("repetition-penalty: wants a number above 0, got " +
                           std::to_string(options.repetitionPenalty));
  return {};
}

Status TokenChooser::accept(const SamplingOptions &options) {
  HADAL_TRY(checkRange(options));
  auto prepare = [&](std::optional<ProgramRun> &run, const char *program) -> Status {
    if (!run)
      run.emplace(HADAL_TRY(executor.prepare(program)));
    return {};
  };
  if (penalizes(options))
    HADAL_TRY(prepare(penalize, names::program::penalize));
  return options.temperature > 0 ? prepare(sample, names::program::sample)
                                 : prepare(argmax, names::program::argmax);
}

Result<DeviceView> TokenChooser::penalized(const DeviceView &logits,
                                           std::span<const RowChoice> rows) {
  penalties.clear();
  offsets.assign(1, 0);
  allSeen.clear();
  for (const RowChoice &row : rows) {
    penalties.push_back(row.sampling->repetitionPenalty);
    if (penalizes(*row.sampling))
      allSeen.insert(allSeen.end(), row.seen.begin(), row.seen.end());
    offsets.push_back(static_cast<int32_t>(allSeen.size()));
  }
  HADAL_TRY(penalize->setRegister(names::reg::rows, logits.shape[0]));
  HADAL_TRY(penalize->setRegister(names::reg::seenTokens, static_cast<int64_t>(allSeen.size())));
  HADAL_TRY(penalize->bind(names::argument::logits, logits));
  HADAL_TRY(penalize->bind(names::argument::penalty, TensorView::of(penalties)));
  HADAL_TRY(penalize->bind(names::argument::offsets, TensorView::of(offsets)));
  HADAL_TRY(penalize->bind(names::argument::seen, TensorView::of(allSeen)));
  HADAL_TRY(penalize->execute());
  return penalize->outputOnDevice(names::argument::penalized);
}

/// Chooses for the rows without a temperature.
Status TokenChooser::takeLikeliest(const DeviceView &logits, std::span<const RowChoice> rows) {
  HADAL_TRY(argmax->setRegister(names::reg::rows, logits.shape[0]));
  HADAL_TRY(argmax->bind(names::argument::logits, logits));
  HADAL_TRY(argmax->execute());
  auto *ids =
      static_cast<const int32_t *>(HADAL_TRY(argmax->output(names::argument::tokenIds)).data);
  for (size_t row = 0; row < rows.size(); ++row)
    if (!(rows[row].sampling->temperature > 0))
      chosen[row] = ids[row];
  return {};
}

/// Chooses for the rows with a temperature; the others draw along, with one of 1.
Status TokenChooser::draw(const DeviceView &logits, std::span<const RowChoice> rows) {
  temperatures.clear(), topKs.clear(), topPs.clear(), minPs.clear(), uniform.clear();
  for (const RowChoice &row : rows) {
    const SamplingOptions &options = *row.sampling;
    temperatures.push_back(options.temperature > 0 ? options.temperature : 1);
    topKs.push_back(options.topK ? options.topK : INT32_MAX);
    topPs.push_back(options.topP);
    minPs.push_back(options.minP);
    uniform.push_back(row.uniform);
  }
  HADAL_TRY(sample->setRegister(names::reg::rows, logits.shape[0]));
  HADAL_TRY(sample->bind(names::argument::logits, logits));
  HADAL_TRY(sample->bind(names::argument::temperature, TensorView::of(temperatures)));
  HADAL_TRY(sample->bind(names::argument::topK, TensorView::of(topKs)));
  HADAL_TRY(sample->bind(names::argument::topP, TensorView::of(topPs)));
  HADAL_TRY(sample->bind(names::argument::minP, TensorView::of(minPs)));
  HADAL_TRY(sample->bind(names::argument::uniform, TensorView::of(uniform)));
  HADAL_TRY(sample->execute());
  auto *ids =
      static_cast<const int32_t *>(HADAL_TRY(sample->output(names::argument::tokenIds)).data);
  for (size_t row = 0; row < rows.size(); ++row)
    if (rows[row].sampling->temperature > 0)
      chosen[row] = ids[row];
  return {};
}

Result<std::span<const int32_t>> TokenChooser::choose(const DeviceView &logits,
                                                      std::span<const RowChoice> rows) {
  auto any = [&](auto &&is) {
    return std::any_of(rows.begin(), rows.end(),
                       [&](const RowChoice &row) { return is(*row.sampling); });
  };
  DeviceView from = logits;
  if (any([](const SamplingOptions &options) { return penalizes(options); }))
    from = HADAL_TRY(penalized(logits, rows));
  chosen.resize(rows.size());
  if (any([](const SamplingOptions &options) { return !(options.temperature > 0); }))
    HADAL_TRY(takeLikeliest(from, rows));
  if (any([](const SamplingOptions &options) { return options.temperature > 0; }))
    HADAL_TRY(draw(from, rows));
  return std::span<const int32_t>(chosen);
}

Result<LogProbabilities> LogProbabilities::create(Executor &executor, int64_t vocabulary,
                                                  int64_t top) {
  if (top < 1 || top > vocabulary)
    return invalidArgument("logprobs: wants 1 to " + std::to_string(vocabulary) + " tokens, got " +
                           std::to_string(top));
  return LogProbabilities(HADAL_TRY(executor.prepare(names::program::logProbabilities)), top);
}

Result<LogProbabilities::Rows> LogProbabilities::of(const DeviceView &logits,
                                                    std::span<const int32_t> tokens) {
  HADAL_TRY(run.setRegister(names::reg::rows, logits.shape[0]));
  HADAL_TRY(run.setRegister(names::reg::top, count));
  HADAL_TRY(run.bind(names::argument::logits, logits));
  HADAL_TRY(run.bind(names::argument::tokenIds, TensorView::of(tokens)));
  HADAL_TRY(run.execute());
  size_t rows = tokens.size(), all = rows * static_cast<size_t>(count);
  auto floats = [&](const char *name, size_t count) -> Result<std::span<const float>> {
    return std::span(static_cast<const float *>(HADAL_TRY(run.output(name)).data), count);
  };
  auto *ids = static_cast<const int32_t *>(HADAL_TRY(run.output(names::argument::topIds)).data);
  return Rows{HADAL_TRY(floats(names::argument::logProbability, rows)), std::span(ids, all),
              HADAL_TRY(floats(names::argument::topLogProbabilities, all))};
}
