//===- Gradients.cpp - hadal-run gradients ------------------------------===//

#include "runtime/CheckpointFit.h"
#include "runtime/DataDigest.h"
#include "tools/Progress.h"
#include "tools/run/Commands.h"
#include "tools/run/TensorFiles.h"

using namespace hadal;
using namespace hadal::run;

namespace {
struct Parts {
  std::unique_ptr<Session> session;
  std::optional<Checkpoint> checkpoint;
  std::optional<Trainables> trainables;
  std::unique_ptr<Trainer> trainer;
  std::vector<TrainingRow> rows;
};

/// Reads and checks all but the weights.
Status prepare(const GradientsOptions &options, std::optional<Module> carried, Job &job,
               Parts &parts, std::vector<Fact> &facts) {
  parts.session = HADAL_TRY(Session::open(options, std::move(carried)));
  Session &session = *parts.session;
  HADAL_TRY(trainingOf(session.module()));
  HADAL_TRY(job.take(session.module()));
  parts.rows = HADAL_TRY(readTrainingRows(options.input, session.module()));
  parts.checkpoint.emplace(HADAL_TRY(Checkpoint::open(options.weights)));
  HADAL_TRY(checkConfig(session.module(), *parts.checkpoint));
  if (job.isOne())
    return {};
  session.addFacts(facts);
  facts.push_back({"weights", dataDigestOf(*parts.checkpoint)});
  facts.push_back({"rows of --input", digestOfRows(parts.rows)});
  return {};
}

Status load(Job &job, Parts &parts) {
  Session &session = *parts.session;
  HADAL_TRY(session.load());
  parts.trainables.emplace(HADAL_TRY(job.trainablesOf(session.executor())));
  {
    Progress progress("packing weights", job.isFirst());
    HADAL_TRY(parts.trainables->load(
        *parts.checkpoint, [&](uint64_t done, uint64_t total) { progress.show(done, total); }));
  }
  HADAL_TRY(parts.trainables->checkFinite());
  parts.trainer =
      HADAL_TRY(job.trainerOf(session.executor(), *parts.trainables, session.traceWanted()));
  return {};
}

/// On the first rank: writes the file. On the others: gives what it wants.
Status write(const GradientsOptions &options, Job &job, Parts &parts, const StepResult &result) {
  const Trainables &trainables = *parts.trainables;
  std::vector<SafetensorsWriter::Planned> plan = {{"loss", ElementType::F32, {1}}};
  std::vector<const TrainedTensor *> tensors;
  for (const TrainedTensor &tensor : trainables.tensors())
    if (trainables.has(Values::Gradient, tensor)) {
      plan.push_back({tensor.name, ElementType::F32, tensor.shape});
      tensors.push_back(&tensor);
    }
  if (!job.isFirst()) {
    for (const TrainedTensor *tensor : tensors)
      HADAL_TRY(job.tensors()->give(Values::Gradient, *tensor));
    return {};
  }
  OwnTensors own(*parts.trainables);
  TensorReader &reader = job.tensors() ? static_cast<TensorReader &>(*job.tensors()) : own;
  SafetensorsWriter writer = HADAL_TRY(SafetensorsWriter::create(options.output, plan));
  HADAL_TRY(writer.write(&result.loss));
  for (const TrainedTensor *tensor : tensors)
    HADAL_TRY(writer.write(HADAL_TRY(reader.read(Values::Gradient, *tensor)).data));
  return writer.commit();
}
} // namespace

Status run::gradients(const GradientsOptions &options, std::optional<Module> carried) {
  auto job = HADAL_TRY(Job::open(options.job, "hadal-run"));
  Parts parts;
  std::vector<Fact> facts;
  Status prepared = prepare(options, std::move(carried), *job, parts, facts);
  HADAL_TRY(job->agree(prepared, "prepares", facts));
  HADAL_TRY(job->agree(load(*job, parts), "loads"));
  auto result = parts.trainer->gradients(1, parts.rows);
  if (!result.ok())
    return job->failedStep(result.error());
  Status status = job->writeTrace(parts.session->tracing(), options.trace);
  if (status.ok())
    status = write(options, *job, parts, *result);
  return status ? status : Status(job->stop(status.error()));
}
