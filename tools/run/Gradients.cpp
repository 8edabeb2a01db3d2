//===- Gradients.cpp - hadal-run gradients ------------------------------===//

#include "runtime/training/Trainer.h"
#include "tools/run/Commands.h"
#include "tools/run/Progress.h"
#include "tools/run/TensorFiles.h"

using namespace hadal;
using namespace hadal::run;

Status run::gradients(const GradientsOptions &options, std::optional<Module> carried) {
  auto session = HADAL_TRY(Session::open(options, std::move(carried)));
  HADAL_TRY(trainingOf(session->module()));
  std::vector<TrainingRow> rows = HADAL_TRY(readTrainingRows(options.input, session->module()));
  Checkpoint checkpoint = HADAL_TRY(Checkpoint::open(options.weights));
  HADAL_TRY(session->load());
  Trainables trainables = HADAL_TRY(Trainables::create(session->executor()));
  {
    Progress progress("packing weights");
    HADAL_TRY(trainables.load(checkpoint, [&](uint64_t done, uint64_t total) { progress.show(done, total); }));
  }
  auto trainer = HADAL_TRY(Trainer::create(session->executor(), trainables));
  StepResult result = HADAL_TRY(trainer->gradients(1, rows));
  HADAL_TRY(session->writeTrace());

  std::vector<SafetensorsWriter::Planned> plan = {{"loss", ElementType::F32, {1}}};
  for (const TrainedTensor &tensor : trainables.tensors())
    if (trainables.has(Values::Gradient, tensor))
      plan.push_back({tensor.name, ElementType::F32, tensor.shape});
  SafetensorsWriter writer = HADAL_TRY(SafetensorsWriter::create(options.output, plan));
  HADAL_TRY(writer.write(&result.loss));
  for (const TrainedTensor &tensor : trainables.tensors())
    if (trainables.has(Values::Gradient, tensor))
      HADAL_TRY(writer.write(HADAL_TRY(trainables.unpack(Values::Gradient, tensor)).data));
  return writer.commit();
}
