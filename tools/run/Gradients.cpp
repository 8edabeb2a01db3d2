//===- Gradients.cpp - hadal-run gradients ------------------------------===//

#include "runtime/CheckpointFit.h"
#include "runtime/DataDigest.h"
#include "tools/CommandLine.h"
#include "tools/Progress.h"
#include "tools/run/Commands.h"
#include "tools/run/GradientComparison.h"
#include "tools/run/TensorFiles.h"

#include <cstdio>
#include <functional>
#include <map>

using namespace hadal;
using namespace hadal::run;

namespace {

/// One of the modules whose gradients are asked for.
struct Parts {
  std::unique_ptr<Session> session;
  std::optional<Checkpoint> checkpoint;
  std::optional<Trainables> trainables;
  std::unique_ptr<Trainer> trainer;
  std::vector<TrainingRow> rows;
};

/// Gradients by the names of their tensors.
using Gradients = std::map<std::string, std::vector<float>>;

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

/// The same of both modules: what is wrong with the second is said before the first one runs.
Status prepare(const GradientsOptions &options, std::optional<Module> carried, Job &job,
               Parts &parts, Parts &reference, std::vector<Fact> &facts) {
  if (!options.reference.empty()) {
    GradientsOptions other = options;
    other.module = options.reference;
    Module module = HADAL_TRY(Module::open(other.module));
    other.device.clear(); // that is the first module's
    if (deviceOf(module) != "emulated")
      other.emulatorSeed.reset();
    HADAL_TRY(prepare(other, std::move(module), job, reference, facts));
  }
  // Last, because the job is then the first module's.
  HADAL_TRY(prepare(options, std::move(carried), job, parts, facts));
  return reference.session ? checkSameTensors(parts.session->module(), reference.session->module())
                           : Status();
}

Status load(Job &job, Parts &parts) {
  Session &session = *parts.session;
  HADAL_TRY(job.take(session.module()));
  HADAL_TRY(session.load(job.shard()));
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

std::vector<const TrainedTensor *> tensorsOf(const Trainables &trainables) {
  std::vector<const TrainedTensor *> tensors;
  for (const TrainedTensor &tensor : trainables.tensors())
    if (trainables.has(Values::Gradient, tensor))
      tensors.push_back(&tensor);
  return tensors;
}

/// On the first rank: calls for each gradient, in order. On the others: gives what it wants.
Status visit(Job &job, Parts &parts,
             const std::function<Status(const TrainedTensor &, std::span<const float>)> &take) {
  OwnTensors own(*parts.trainables);
  TensorReader &reader = job.tensors() ? static_cast<TensorReader &>(*job.tensors()) : own;
  for (const TrainedTensor *tensor : tensorsOf(*parts.trainables)) {
    if (!job.isFirst()) {
      HADAL_TRY(job.tensors()->give(Values::Gradient, *tensor));
      continue;
    }
    TensorView view = HADAL_TRY(reader.read(Values::Gradient, *tensor));
    HADAL_TRY(take(*tensor,
                   {static_cast<const float *>(view.data), size_t(*elementCount(tensor->shape))}));
  }
  return {};
}

/// Writes the file that was asked for, if any, and keeps what is to be compared, at the first rank.
Status write(const GradientsOptions &options, Job &job, Parts &parts, const StepResult &result,
             Gradients &kept) {
  std::optional<SafetensorsWriter> writer;
  if (job.isFirst() && !options.output.empty()) {
    std::vector<SafetensorsWriter::Planned> plan = {{"loss", ElementType::F32, {1}}};
    for (const TrainedTensor *tensor : tensorsOf(*parts.trainables))
      plan.push_back({tensor->name, ElementType::F32, tensor->shape});
    writer.emplace(HADAL_TRY(SafetensorsWriter::create(options.output, plan)));
    HADAL_TRY(writer->write(&result.loss));
  }
  HADAL_TRY(
      visit(job, parts, [&](const TrainedTensor &tensor, std::span<const float> values) -> Status {
        if (!options.reference.empty())
          kept[tensor.name].assign(values.begin(), values.end());
        return writer ? writer->write(values.data()) : Status();
      }));
  return writer ? writer->commit() : Status();
}

/// Runs the second module, and tells how far the first one's gradients are from its.
Status compare(const GradientsOptions &options, Job &job, Parts &reference,
               const std::string &module, float loss, const Gradients &gradients) {
  auto result = reference.trainer->gradients(1, reference.rows);
  if (!result.ok())
    return job.failedStep(result.error());
  GradientComparison comparison;
  comparison.addLosses(loss, result->loss);
  Status visited = visit(
      job, reference, [&](const TrainedTensor &tensor, std::span<const float> values) -> Status {
        comparison.add(tensor.name, tensor.shape, gradients.at(tensor.name), values);
        return {};
      });
  if (!visited.ok())
    return job.stop(visited.error());
  if (job.isFirst()) {
    std::string text =
        options.json ? comparison.json(module, options.reference) : comparison.table();
    std::fputs(text.c_str(), printed());
  }
  return {};
}

} // namespace

Status run::gradients(const GradientsOptions &options, std::optional<Module> carried) {
  auto job = HADAL_TRY(Job::open(options.job, "hadal-run"));
  Parts reference;
  Gradients kept;
  std::string module;
  float loss = 0;
  {
    Parts parts;
    std::vector<Fact> facts;
    Status prepared = prepare(options, std::move(carried), *job, parts, reference, facts);
    HADAL_TRY(job->agree(prepared, "prepares", facts));
    HADAL_TRY(job->agree(load(*job, parts), "loads"));
    auto result = parts.trainer->gradients(1, parts.rows);
    if (!result.ok())
      return job->failedStep(result.error());
    loss = result->loss;
    module = parts.session->module().path();
    Status status = job->writeTrace(parts.session->tracing(), options.trace);
    if (status.ok())
      status = write(options, *job, parts, *result, kept);
    if (!status.ok())
      return job->stop(status.error());
  } // the first module's memory goes before the second one's comes
  if (!reference.session)
    return {};
  HADAL_TRY(job->agree(load(*job, reference), "loads the module to compare with"));
  return compare(options, *job, reference, module, loss, kept);
}
