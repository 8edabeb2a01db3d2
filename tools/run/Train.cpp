//===- Train.cpp - hadal-run train ---------------------------------===//

#include "runtime/session/StopSignal.h"
#include "runtime/training/CheckpointFiles.h"
#include "tools/run/TrainingRun.h"

using namespace hadal;
using namespace hadal::run;
using Clock = std::chrono::steady_clock;

Status Training::writeCheckpoint(int64_t step, bool isBest) {
  if (!job.isFirst()) {
    Status status = visitReads(*trainables, checkpoint ? &*checkpoint : nullptr, checkpointLayout(),
                               [&](Values values, const TrainedTensor &tensor) {
                                 return job.tensors()->give(values, tensor);
                               });
    trainables->release();
    return status;
  }
  progress.step = step;
  progress.data = batches->position();
  progress.settings = settings();
  return isBest ? checkpoints->writeBest(*trainables, progress, companions)
                : checkpoints->write(*trainables, progress, companions);
}

Status Training::step(int64_t number, std::optional<TrainingDisplay> &display) {
  int64_t microBatches = ramp.at(number, trainer->microBatches(), trainer->sumGroups());
  std::vector<TrainingRow> rows = HADAL_TRY(batches->next(microBatches * trainer->rowsOfBatch()));
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
  LoggedStep logged = this->logged(*result, HADAL_TRY(validate(number, display)));
  if (number == firstStep)
    logged.configChange = configChange;
  HADAL_TRY(log->add(logged));
  if (display)
    display->show(logged);
  if (logged.validationLoss && !options.checkpointDir.empty() &&
      (!progress.best || *logged.validationLoss < progress.best->loss)) {
    progress.best = BestStep{number, *logged.validationLoss};
    HADAL_TRY(writeCheckpoint(number, /*isBest=*/true));
  }
  bool isLast = number == optimizer.totalSteps;
  if (!isLast)
    stopSignal = HADAL_TRY(job.largest(StopSignal::noted(), "asks whether to stop"));
  isLast |= stopSignal != 0;
  bool isSaved = !options.checkpointDir.empty() &&
                 (isLast || (options.checkpointEvery && number % options.checkpointEvery == 0));
  if (isSaved)
    HADAL_TRY(writeCheckpoint(number));
  // A page that goes to a stream is written once.
  bool isRefreshed = (isSaved || secondsSince(reported) > 20) && !isStream(options.html);
  if (isLast || isRefreshed)
    HADAL_TRY(writeReport());
  return {};
}

/// The files that the first rank writes.
Status Training::openOutputs() {
  if (!options.checkpointDir.empty() && job.isFirst()) {
    checkpoints.emplace(
        HADAL_TRY(Checkpoints::open(options.checkpointDir, options.keep, checkpointLayout())));
    companions.config = table.config_json()->str();
    if (!tokenizerFolder.empty())
      companions.tokenizer = HADAL_TRY(readTokenizerFiles(tokenizerFolder));
    companions.source = checkpoint ? &*checkpoint : nullptr;
    companions.reader = job.tensors();
  }
  log.emplace(HADAL_TRY(TrainingLog::open(job.isFirst() ? options.log : "", progress.step)));
  return {};
}

Status Training::run() {
  HADAL_TRY(job.agree(openOutputs(), "opens its outputs"));
  if (progress.step == optimizer.totalSteps) { // killed after its last checkpoint
    say("%s: all %lld steps are done\n", resumed.c_str(), static_cast<long long>(progress.step));
    return writeReport();
  }
  if (options.checkpointDir.empty())
    say("%s: nothing of this run will be kept\n", "no --checkpoint-dir");
  StopSignal::defer();
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
  for (int64_t number = firstStep; number <= optimizer.totalSteps && !stopSignal; ++number)
    if (Status status = step(number, display); !status) {
      if (display)
        display->clear();
      (void)writeReport(); // as far as it came; the error is the one to tell
      return status;
    }
  if (display)
    display->clear();
  HADAL_TRY(job.writeTrace(session.tracing(), options.trace));
  HADAL_TRY(writeStats(secondsSince(begin), session.executor().totals().flops - flopsBefore));
  if (!stopSignal)
    return {};
  tellStop();
  StopSignal::obey(stopSignal);
  return job.agree(
      {},
      "ends"); // mpirun kills the others when the first one has ended with a status other than 0
}

/// After a signal: how to go on.
void Training::tellStop() const {
  int64_t step = log->steps().back().step;
  std::string to = options.checkpointDir.empty()
                       ? "nothing of it is kept, for it has no --checkpoint-dir"
                       : "--resume " + options.checkpointDir + " goes on from there";
  say("stopped by %s after step %lld of %lld; %s\n", StopSignal::nameOf(stopSignal).c_str(),
      static_cast<long long>(step), static_cast<long long>(optimizer.totalSteps), to.c_str());
}

Status run::train(const TrainOptions &options, std::optional<Module> carried) {
  auto job = HADAL_TRY(Job::open(options.job, "hadal-run"));
  std::unique_ptr<Session> session;
  std::optional<Training> training;
  std::vector<Fact> facts;
  Status opened = [&]() -> Status {
    session = HADAL_TRY(Session::open(options, std::move(carried)));
    const fb::Training &table = *HADAL_TRY(trainingOf(session->module()));
    HADAL_TRY(job->take(session->module()));
    training.emplace(options, *job, *session, table, *session->module().model());
    session->addFacts(facts);
    return training->choose();
  }();
  HADAL_TRY(job->agree(opened, "opens the module", facts));
  HADAL_TRY(job->agree(training->verify(), "verifies the checkpoint"));
  facts.clear();
  opened = training->openWeights(facts);
  HADAL_TRY(job->agree(opened, "opens the weights", facts));
  // The first rank fills the cache of tokens, the others find it there.
  opened = job->isFirst() ? training->openData() : Status();
  HADAL_TRY(job->agree(opened, "waits for the data"));
  if (!job->isFirst())
    opened = training->openData();
  facts.clear();
  if (opened.ok())
    facts = {training->dataFact()};
  HADAL_TRY(job->agree(opened, "opens the data", facts));
  HADAL_TRY(job->agree(training->load(), "loads"));
  return training->run();
}
