//===- TrainFigures.cpp - what a training run says of itself -------===//

#include "runtime/module/Names.h"
#include "runtime/training/ranks/PredictMemory.h"
#include "tools/Page.h"
#include "tools/run/DeviceFigures.h"
#include "tools/run/TrainingReport.h"
#include "tools/run/TrainingRun.h"

#include <algorithm>
#include <filesystem>

using namespace hadal;
using namespace hadal::run;
using Json = nlohmann::ordered_json;

/// The element type of the optimizer's moments, as --moments spells it.
static const char *momentsOf(const Module &module) {
  for (const fb::State *state : *module.tables().states())
    if (state->name()->string_view().starts_with(names::state::firstMoment))
      return elementType(state->element()) == ElementType::BF16 ? "bf16" : "fp32";
  return "fp32";
}

Json Training::settings() const {
  Json settings = {{"steps", optimizer.totalSteps},
                   {"lr", optimizer.rate},
                   {"schedule", scheduleName(optimizer.schedule)},
                   {"warmup", optimizer.warmupSteps},
                   {"final_lr", optimizer.finalRate},
                   {"last_lr", optimizer.lastRate},
                   {"hold", optimizer.holdSteps},
                   {"batch_ramp", options.batchRamp},
                   {"val_data", validation ? validation->key() : ""},
                   {"weight_decay", optimizer.weightDecay},
                   {"clip", options.optimizer.clip},
                   {"beta1", optimizer.beta1},
                   {"beta2", optimizer.beta2},
                   {"epsilon", optimizer.epsilon},
                   {"average_decay", optimizer.averageDecay},
                   {"micro_batch", table.micro_batch()},
                   {"micro_batches", table.micro_batches()},
                   {"sequence", table.sequence()},
                   {"mtp_weight", table.mtp_weight()},
                   {"balance_weight", table.balance_weight()},
                   {"bias_step", table.bias_step()},
                   {"precision", table.precision()->str()},
                   {"moments", momentsOf(session.module())}};
  if (!configChange.empty())
    settings["config_change"] = configChange;
  return settings;
}

/// What of the model's work a token is: 6 operations a parameter that takes part (2 forward, 4
/// backward), as is usual; attention's scores are not counted.
static double teraflops(const fb::Model &model, double tokensPerSecond) {
  return 6e-12 * static_cast<double>(model.active_parameter_count()) * tokensPerSecond;
}

LoggedStep Training::logged(const StepResult &result, std::optional<float> validationLoss) const {
  LoggedStep step{result, validationLoss, 0, std::nullopt, peakBytes(), {}};
  step.teraflops = static_cast<float>(teraflops(model, step.tokensPerSecond()));
  if (options.peakTeraflops > 0)
    step.utilization = step.teraflops / static_cast<float>(options.peakTeraflops);
  return step;
}

Status Training::writeReport() {
  if (options.html.empty() || !job.isFirst())
    return {};
  const std::vector<LoggedStep> &steps = log->steps();
  double speed = seconds > 0 ? double(tokens) / seconds : 0;
  PageFacts facts = {
      {"Module", std::filesystem::path(session.module().path()).filename().string()},
      {"Parameters", formatted("%.2f M", double(model.parameter_count()) * 1e-6) + ", " +
                         formatted("%.2f M", double(model.active_parameter_count()) * 1e-6) +
                         " active"},
      {"Layers", std::to_string(model.layers())},
      {"Step", std::to_string(steps.empty() ? 0 : steps.back().step) + " of " +
                   std::to_string(optimizer.totalSteps)},
      {"Batch", std::to_string(table.micro_batches()) + " × " +
                    std::to_string(table.micro_batch()) + " rows of " +
                    std::to_string(table.sequence()) + " tokens"},
      {"Precision", table.precision()->str()},
      {"Tokens in this run", std::to_string(tokens)},
      {"Time", readableSeconds(seconds)},
      {"Speed", formatted("%.0f tokens/s", speed)},
      {"Work", formatted("%.3g TFLOP/s", teraflops(model, speed)) +
                   (options.peakTeraflops > 0
                        ? formatted(", %.1f %% of the peak (MFU)",
                                    100 * teraflops(model, speed) / options.peakTeraflops)
                        : "")},
      {job.isOne() ? "Peak memory" : "Peak memory of rank 0", readableBytes(peakBytes())}};
  if (!steps.empty())
    facts.insert(facts.begin() + 4, {"Last loss", formatted("%.4f", steps.back().loss)});
  auto validated = std::find_if(steps.rbegin(), steps.rend(), [](const LoggedStep &step) {
    return step.validationLoss.has_value();
  });
  if (validated != steps.rend())
    facts.insert(facts.begin() + 5,
                 {"Validation loss",
                  formatted("%.4f", *validated->validationLoss) + " at step " +
                      std::to_string(validated->step) +
                      (progress.best ? formatted(", best %.4f", progress.best->loss) + " at step " +
                                           std::to_string(progress.best->step)
                                     : "")});
  if (!configChange.empty())
    facts.push_back({"Configuration", configChange});
  std::string page =
      trainingReport("Training of a " + model.model_type()->str() + " model", facts, steps,
                     {table.moe_layers()->begin(), table.moe_layers()->end()});
  reported = std::chrono::steady_clock::now();
  return writeFile(options.html, std::as_bytes(std::span(page)));
}

Status Training::writeStats(double runSeconds, int64_t flops) {
  const LoggedStep &last = log->steps().back();
  uint64_t peak = peakBytes(), states = session.executor().stateBytes(),
           temporaries = session.executor().temporaryBytes();
  Json ranks = Json::array();
  if (ParallelTrainer *parallel = job.parallelTrainer()) {
    // What this process has taken for what predictMemory() predicts, before its libraries and
    // threads.
    uint64_t touched = session.executor().touchedStateBytes(),
             accounted = session.device().peakBytes() - states + touched;
    Json mine = {{"peak_bytes", peak},
                 {"accounted_bytes", accounted},
                 {"state_bytes", touched},
                 {"temporary_bytes", temporaries},
                 {"value_bytes", parallel->valueBytes()},
                 {"waited_seconds", parallel->waitedSeconds()},
                 {"reductions", parallel->reductions()},
                 {"flops", flops}};
    for (const std::string &text : HADAL_TRY(job.gather(mine.dump(), "collects figures")))
      ranks.push_back(Json::parse(text.empty() ? "{}" : text));
  }
  if (!job.isFirst())
    return {};
  uint64_t predicted = table.predicted_peak_bytes();
  if (!ranks.empty()) {
    std::vector<RankMemory> memory =
        HADAL_TRY(predictMemory(session.module(), RowsOfExperts::Balanced));
    for (size_t rank = 0; rank < ranks.size(); ++rank) {
      ranks[rank]["predicted_peak_bytes"] = memory[rank].total() + rankProcessBytes;
      for (const auto &[name, bytes] : memory[rank].parts())
        ranks[rank]["predicted"][std::string(name)] = bytes;
      ranks[rank]["predicted_bytes"] = memory[rank].total();
    }
    predicted = memory[0].total() + rankProcessBytes;
  }
  char text[256];
  std::snprintf(text, sizeof text,
                "%lld steps, %lld tokens in %s (%.0f tokens/s), loss %.4f, peak memory %s%s, %s",
                static_cast<long long>(stepSeconds.size()), static_cast<long long>(tokens),
                readableSeconds(runSeconds).c_str(),
                seconds > 0 ? static_cast<double>(tokens) / seconds : 0,
                static_cast<double>(last.loss), readableBytes(peak).c_str(),
                predicted ? (" (predicted " + readableBytes(predicted) + ")").c_str() : "",
                placeOf(session).c_str());
  sayOnStderr(text);
  if (options.stats.empty())
    return {};
  // The first step allocates; the median leaves it and other disturbances out.
  std::vector<double> sorted = stepSeconds;
  std::nth_element(sorted.begin(), sorted.begin() + sorted.size() / 2, sorted.end());
  double median = sorted[sorted.size() / 2];
  Json figures = {{"steps", stepSeconds.size()},
                  {"tokens", tokens},
                  {"seconds", seconds},
                  {"median_step_seconds", median},
                  {"median_tokens_per_second", static_cast<double>(last.tokens) / median},
                  {"median_tflops", teraflops(model, static_cast<double>(last.tokens) / median)},
                  {"flops", flops},
                  {"peak_bytes", peak},
                  {"predicted_peak_bytes", predicted},
                  {"state_bytes", states},
                  {"temporary_bytes", temporaries},
                  {"total_seconds", secondsSince(options.start)}};
  addDevice(session, figures);
  if (!ranks.empty())
    figures["ranks"] = ranks;
  std::string line = figures.dump() + "\n";
  return writeFile(options.stats, std::as_bytes(std::span(line)));
}
