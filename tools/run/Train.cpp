//===- Train.cpp - hadal-run train --------------------------------------===//

#include "runtime/parallel/PredictMemory.h"
#include "runtime/training/CheckpointFiles.h"
#include "runtime/training/Checkpoints.h"
#include "runtime/training/PackedRows.h"
#include "runtime/training/Trainer.h"
#include "tools/run/Commands.h"
#include "tools/run/Progress.h"
#include "tools/run/TensorFiles.h"
#include "tools/run/TrainingLog.h"
#include "tools/run/TrainingReport.h"

#include <algorithm>
#include <filesystem>

using namespace hadal;
using namespace hadal::run;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

namespace {

double secondsSince(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

bool isFile(const std::string &path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

/// One run of the command, in the order of its functions.
class Training {
public:
  Training(const TrainOptions &options, Job &job, Session &session, const fb::Training &table, const fb::Model &model)
      : options(options), job(job), session(session), table(table), model(model), optimizer(options.optimizer) {}

  Status choose();
  Status openData();
  Status load();
  Status run();

private:
  Status openOutputs();
  Status runSteps();
  Status step(int64_t number, std::optional<TrainingDisplay> &display);
  Status writeCheckpoint(int64_t step);
  Status writeReport();
  Status writeStats(double runSeconds, int64_t flops);
  Json settings() const;

  /// Tells the user something, once for all ranks.
  template <typename... Arguments> void say(const char *pattern, Arguments... arguments) const {
    if (job.isFirst())
      std::fprintf(stderr, pattern, arguments...);
  }

  const TrainOptions &options;
  Job &job;
  Session &session;
  const fb::Training &table;
  const fb::Model &model;
  OptimizerSettings optimizer;

  std::string resumed;           ///< checkpoint to go on from; empty: none
  std::string source;            ///< checkpoint of the first weights; empty: drawn
  std::string tokenizerFolder;   ///< empty: none
  std::optional<Checkpoint> checkpoint; ///< of `source`, for the tensors that are not trained
  std::unique_ptr<Batches> batches;
  std::optional<Trainables> trainables;
  std::unique_ptr<Trainer> trainer;
  std::optional<Checkpoints> checkpoints;
  std::optional<TrainingLog> log;
  TrainingProgress progress;
  Clock::time_point reported;
  int64_t firstStep = 1, tokens = 0;
  double seconds = 0;
  std::vector<double> stepSeconds;
};

/// Which weights, which optimizer, and that all outputs can be written.
Status Training::choose() {
  for (const std::string *path : {&options.log, &options.html})
    HADAL_TRY(checkFolderOf(*path));
  if (options.stats != "-")
    HADAL_TRY(checkFolderOf(options.stats));
  if (!options.weights.empty() && options.initSeed)
    return invalidArgument("--weights and --init-seed: give one of them");
  if (!options.resume.empty()) {
    if (auto newest = newestCheckpoint(options.resume))
      resumed = source = *newest;
    else if (!std::filesystem::is_directory(options.resume) && options.resume != options.checkpointDir)
      return notFound(options.resume + ": no such folder");
    else if (options.weights.empty() && !options.initSeed)
      return notFound(options.resume + ": holds no checkpoint; give --weights or --init-seed to begin");
    else
      say("%s: holds no checkpoint yet: beginning at step 1\n", options.resume.c_str());
  }
  if (resumed.empty()) {
    if (options.weights.empty() && !options.initSeed)
      return invalidArgument("wants weights to begin with: --weights, --init-seed or --resume");
    source = options.weights;
    if (!options.checkpointDir.empty())
      if (auto found = checkpointsUnder(options.checkpointDir); !found.empty())
        return invalidArgument(options.checkpointDir + ": holds " + std::filesystem::path(found.back()).filename().string() +
                               " of an earlier run; give --resume to go on from it, or another folder");
  }
  if (options.checkpointEvery && options.checkpointDir.empty())
    return invalidArgument("--checkpoint-every: wants --checkpoint-dir");
  if (!options.tokenizer.empty())
    tokenizerFolder = options.tokenizer;
  else if (!resumed.empty() && isFile(resumed + "/tokenizer.json"))
    tokenizerFolder = resumed;
  else if (!options.weights.empty() && isFile(weightsFolder(options) + "/tokenizer.json"))
    tokenizerFolder = weightsFolder(options);

  if (optimizer.schedule == Schedule::Report)
    optimizer.holdSteps = options.hold.value_or(optimizer.totalSteps / 3 * 2);
  if (optimizer.clip == 0)
    optimizer.clip = 1e30;
  return {};
}

Status Training::openData() {
  if (!options.input.empty()) {
    if (options.maskDocuments || options.fimRate > 0)
      return invalidArgument("--mask-documents and --fim-rate: want --data");
    batches = std::make_unique<FixedRows>(HADAL_TRY(readTrainingRows(options.input, session.module())));
    return {};
  }
  if (tokenizerFolder.empty())
    return invalidArgument("--data: wants the folder of a tokenizer.json: --tokenizer");
  if (table.sequence() > model.max_positions())
    return invalidArgument("rows have " + std::to_string(table.sequence()) + " tokens, the model has " + std::to_string(model.max_positions()) +
                           " positions");
  Tokenizer tokenizer = HADAL_TRY(Tokenizer::open(tokenizerFolder));
  if (tokenizer.idCount() > model.vocab_size())
    return invalidArgument(tokenizerFolder + "/tokenizer.json: has " + std::to_string(tokenizer.idCount()) + " ids, the model has " +
                           std::to_string(model.vocab_size()));
  PackingOptions packing;
  packing.rowTokens = table.sequence();
  packing.seed = options.dataSeed.value_or(0);
  packing.maskDocuments = options.maskDocuments;
  packing.endOfSequence = tokenizer.eosToken();
  if (!packing.endOfSequence && model.eos_token_ids()->size() && model.eos_token_ids()->Get(0) < model.vocab_size())
    packing.endOfSequence = static_cast<int32_t>(model.eos_token_ids()->Get(0));
  packing.fimRate = options.fimRate;
  if (options.fimRate > 0)
    packing.fim = HADAL_TRY(FillInMiddle::of(tokenizer));
  Progress shown("tokenizing", job.isFirst());
  TokenFile file = HADAL_TRY(TokenFile::open(options.data, tokenizerFolder, options.tokenCache.empty() ? defaultCacheFolder() : options.tokenCache,
                                             [&](uint64_t done, uint64_t total) { shown.show(done, total); }));
  batches = HADAL_TRY(PackedRows::create(std::move(file), packing));
  return {};
}

/// Weights, and where to go on.
Status Training::load() {
  if (!source.empty())
    checkpoint.emplace(HADAL_TRY(Checkpoint::open(source)));
  HADAL_TRY(session.load());
  trainables.emplace(HADAL_TRY(job.trainablesOf(session.executor())));
  const std::vector<TrainedTensor> &all = trainables->tensors();
  auto keepsAverage = [&](const TrainedTensor &tensor) { return trainables->has(Values::Average, tensor); };
  if (optimizer.averageDecay > 0 && std::none_of(all.begin(), all.end(), keepsAverage))
    return invalidArgument("--average-decay: " + session.module().path() + " keeps no averages of its weights");
  trainer = HADAL_TRY(job.trainerOf(session.executor(), *trainables, session.traceWanted()));

  Progress shown(source.empty() ? "drawing weights" : "packing weights", job.isFirst());
  auto show = [&](uint64_t done, uint64_t total) { shown.show(done, total); };
  if (!resumed.empty()) {
    progress = HADAL_TRY(resumeFrom(resumed, *checkpoint, *trainables, show));
    if (progress.step > optimizer.totalSteps)
      return invalidArgument(resumed + ": has done " + std::to_string(progress.step) + " steps, --steps wants " +
                             std::to_string(optimizer.totalSteps) + " in all");
    DataPosition here = batches->position();
    if (progress.data.key != here.key)
      say("%s: was trained on other data or rows: beginning with the first of these\n", resumed.c_str());
    else if (options.dataSeed && *options.dataSeed != progress.data.seed)
      say("%s: was trained in the order of data seed %llu: beginning with the first row of the new order\n", resumed.c_str(),
                   static_cast<unsigned long long>(progress.data.seed));
    else
      HADAL_TRY(batches->seek(progress.data));
  } else if (!source.empty()) {
    HADAL_TRY(trainables->load(*checkpoint, show));
    trainables->startAverages();
  } else {
    HADAL_TRY(trainables->draw(*options.initSeed, show));
    trainables->startAverages();
  }
  firstStep = progress.step + 1;
  return {};
}

Json Training::settings() const {
  static constexpr const char *schedules[] = {"constant", "cosine", "report"};
  return {{"steps", optimizer.totalSteps},
          {"lr", optimizer.rate},
          {"schedule", schedules[static_cast<int>(optimizer.schedule)]},
          {"warmup", optimizer.warmupSteps},
          {"final_lr", optimizer.finalRate},
          {"hold", optimizer.holdSteps},
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
          {"precision", table.precision()->str()}};
}

Status Training::writeCheckpoint(int64_t step) {
  if (!job.isFirst()) {
    Status status = visitReads(*trainables, checkpoint ? &*checkpoint : nullptr,
                               [&](Values values, const TrainedTensor &tensor) { return job.tensors()->give(values, tensor); });
    trainables->release();
    return status;
  }
  progress.step = step;
  progress.data = batches->position();
  progress.settings = settings();
  CheckpointCompanions companions;
  companions.config = table.config_json()->str();
  companions.tokenizerFolder = tokenizerFolder;
  companions.source = checkpoint ? &*checkpoint : nullptr;
  companions.reader = job.tensors();
  return checkpoints->write(*trainables, progress, companions);
}

Status Training::writeReport() {
  if (options.html.empty() || !job.isFirst())
    return {};
  const std::vector<StepResult> &steps = log->steps();
  auto fixed = [](const char *pattern, double value) {
    char text[64];
    std::snprintf(text, sizeof text, pattern, value);
    return std::string(text);
  };
  ReportFacts facts = {{"Module", std::filesystem::path(session.module().path()).filename().string()},
                       {"Parameters", fixed("%.2f M", double(model.parameter_count()) * 1e-6) + ", " +
                                          fixed("%.2f M", double(model.active_parameter_count()) * 1e-6) + " active"},
                       {"Layers", std::to_string(model.layers())},
                       {"Step", std::to_string(steps.empty() ? 0 : steps.back().step) + " of " + std::to_string(optimizer.totalSteps)},
                       {"Batch", std::to_string(table.micro_batches()) + " × " + std::to_string(table.micro_batch()) + " rows of " +
                                     std::to_string(table.sequence()) + " tokens"},
                       {"Precision", table.precision()->str()},
                       {"Tokens in this run", std::to_string(tokens)},
                       {"Time", readableSeconds(seconds)},
                       {"Speed", fixed("%.0f tokens/s", seconds > 0 ? double(tokens) / seconds : 0)},
                       {"Peak memory", readableBytes(peakBytes())}};
  if (!steps.empty())
    facts.insert(facts.begin() + 4, {"Last loss", fixed("%.4f", steps.back().loss)});
  std::string page = trainingReport("Training of a " + model.model_type()->str() + " model", facts, steps,
                                    {table.moe_layers()->begin(), table.moe_layers()->end()});
  reported = Clock::now();
  return writeFile(options.html, std::as_bytes(std::span(page)));
}

Status Training::step(int64_t number, std::optional<TrainingDisplay> &display) {
  std::vector<TrainingRow> rows = HADAL_TRY(batches->next(trainer->rowsOfStep()));
  auto begin = Clock::now();
  auto result = trainer->step(number, rows, optimizer);
  if (!result.ok()) {
    if (display)
      display->clear();
    return job.failedStep(result.error());
  }
  stepSeconds.push_back(secondsSince(begin));
  seconds += stepSeconds.back();
  tokens += result->tokens;
  HADAL_TRY(log->add(*result));
  if (display)
    display->show(*result);
  bool isLast = number == optimizer.totalSteps;
  if (!options.checkpointDir.empty() && (isLast || (options.checkpointEvery && number % options.checkpointEvery == 0)))
    HADAL_TRY(writeCheckpoint(number));
  if (isLast || secondsSince(reported) > 20)
    HADAL_TRY(writeReport());
  return {};
}

/// The files that the first rank writes.
Status Training::openOutputs() {
  if (!options.checkpointDir.empty() && job.isFirst())
    checkpoints.emplace(HADAL_TRY(Checkpoints::open(options.checkpointDir, options.keep)));
  log.emplace(HADAL_TRY(TrainingLog::open(job.isFirst() ? options.log : "", progress.step)));
  return {};
}

Status Training::run() {
  HADAL_TRY(job.agree(openOutputs(), "opens its outputs"));
  if (progress.step == optimizer.totalSteps) { // killed behind its last checkpoint
    say("%s: all %lld steps are done\n", resumed.c_str(), static_cast<long long>(progress.step));
    return writeReport();
  }
  Status status = runSteps();
  // An error without text is told by now, or by another rank.
  return status.ok() || status.error().message.empty() ? status : Status(job.stop(status.error()));
}

Status Training::runSteps() {
  auto begin = Clock::now();
  reported = begin;
  int64_t flopsBefore = session.executor().totals().flops;
  std::optional<TrainingDisplay> display;
  if (job.isFirst())
    display.emplace(firstStep, optimizer.totalSteps);
  for (int64_t number = firstStep; number <= optimizer.totalSteps; ++number)
    if (Status status = step(number, display); !status) {
      if (display)
        display->clear();
      (void)writeReport(); // as far as it came; the error is the one to tell
      return status;
    }
  if (display)
    display->clear();
  HADAL_TRY(job.writeTrace(session.tracing(), options.trace));
  return writeStats(secondsSince(begin), session.executor().totals().flops - flopsBefore);
}

Status Training::writeStats(double runSeconds, int64_t flops) {
  const StepResult &last = log->steps().back();
  uint64_t peak = peakBytes(), states = session.executor().stateBytes(), temporaries = session.executor().temporaryBytes();
  Json ranks = Json::array();
  if (ParallelTrainer *parallel = job.parallelTrainer()) {
    // What this process has taken for what predictMemory() predicts, before its libraries and threads.
    uint64_t touched = session.executor().touchedStateBytes(), accounted = Buffer::peakBytes() - states + touched;
    Json mine = {{"peak_bytes", peak}, {"accounted_bytes", accounted}, {"state_bytes", touched}, {"temporary_bytes", temporaries}, {"value_bytes", parallel->valueBytes()},
                 {"waited_seconds", parallel->waitedSeconds()}, {"reductions", parallel->reductions()}, {"flops", flops}};
    for (const std::string &text : HADAL_TRY(job.gather(mine.dump(), "collects figures")))
      ranks.push_back(Json::parse(text.empty() ? "{}" : text));
  }
  if (!job.isFirst())
    return {};
  uint64_t predicted = table.predicted_peak_bytes();
  if (!ranks.empty()) {
    std::vector<RankMemory> memory = HADAL_TRY(predictMemory(session.module(), RowsOfExperts::Balanced));
    for (size_t rank = 0; rank < ranks.size(); ++rank) {
      ranks[rank]["predicted_peak_bytes"] = memory[rank].total() + rankProcessBytes;
      for (const auto &[name, bytes] : memory[rank].parts())
        ranks[rank]["predicted"][std::string(name)] = bytes;
      ranks[rank]["predicted_bytes"] = memory[rank].total();
    }
    predicted = memory[0].total() + rankProcessBytes;
  }
  std::fprintf(stderr, "%lld steps, %lld tokens in %s (%.0f tokens/s), loss %.4f, peak memory %s%s, %u threads\n",
               static_cast<long long>(optimizer.totalSteps - firstStep + 1), static_cast<long long>(tokens),
               readableSeconds(runSeconds).c_str(), seconds > 0 ? static_cast<double>(tokens) / seconds : 0,
               static_cast<double>(last.loss), readableBytes(peak).c_str(),
               predicted ? (" (predicted " + readableBytes(predicted) + ")").c_str() : "",
               session.threads());
  if (options.stats.empty())
    return {};
  // The first step allocates; the median leaves it and other disturbances out.
  std::vector<double> sorted = stepSeconds;
  std::nth_element(sorted.begin(), sorted.begin() + sorted.size() / 2, sorted.end());
  double median = sorted[sorted.size() / 2];
  Json figures = {{"steps", optimizer.totalSteps - firstStep + 1},
                  {"tokens", tokens},
                  {"seconds", seconds},
                  {"median_step_seconds", median},
                  {"median_tokens_per_second", static_cast<double>(last.tokens) / median},
                  {"flops", flops},
                  {"peak_bytes", peak},
                  {"predicted_peak_bytes", predicted},
                  {"state_bytes", states},
                  {"temporary_bytes", temporaries},
                  {"threads", session.threads()},
                  {"total_seconds", secondsSince(options.start)}};
  if (!ranks.empty())
    figures["ranks"] = ranks;
  std::string line = figures.dump() + "\n";
  if (options.stats == "-") {
    std::fputs(line.c_str(), stderr);
    return {};
  }
  return writeFile(options.stats, std::as_bytes(std::span(line)));
}

} // namespace

Status run::train(const TrainOptions &options, std::optional<Module> carried) {
  auto job = HADAL_TRY(Job::open(options.job, "hadal-run"));
  std::unique_ptr<Session> session;
  std::optional<Training> training;
  HADAL_TRY(job->agree(
      [&]() -> Status {
        session = HADAL_TRY(Session::open(options, std::move(carried)));
        const fb::Training &table = *HADAL_TRY(trainingOf(session->module()));
        HADAL_TRY(job->take(session->module()));
        training.emplace(options, *job, *session, table, *session->module().model());
        return training->choose();
      }(),
      "opens the module"));
  // The first rank fills the cache of tokens, the others find it there.
  Status opened = job->isFirst() ? training->openData() : Status();
  HADAL_TRY(job->agree(opened, "waits for the data"));
  if (!job->isFirst())
    opened = training->openData();
  if (opened.ok())
    opened = training->load();
  HADAL_TRY(job->agree(opened, "loads"));
  return training->run();
}
