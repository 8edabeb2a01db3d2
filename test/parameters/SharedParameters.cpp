//===- SharedParameters.cpp - a training and a generation module, one store ===//
//
//     SharedParameters TRAIN.hadal GENERATE.hadal CHECKPOINT OUT.safetensors
//     SharedParameters --ranks TRAIN.hadal GENERATE.hadal CHECKPOINT
//
// Sessions of both modules on one machine: generation reads what training has. Its logits are those
// of the same weights read from files, to the bit, before a step and after it, whichever of two
// readers lays them out; parameters that lie alike in both are there once. Prints how many bytes
// that saves. --ranks: the same before a step with experts on two ranks, which have a shard each.
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/InProcessComm.h"
#include "runtime/device/CpuDevice.h"
#include "runtime/inference/Logits.h"
#include "runtime/ranks/ExpertRanks.h"
#include "runtime/session/Session.h"
#include "runtime/training/Trainer.h"
#include "runtime/training/ranks/SumPlan.h"

#include <cstdio>
#include <cstring>
#include <thread>

using namespace hadal;

namespace {

Result<std::vector<float>> logitsOf(Executor &executor, RowShare share = {}) {
  std::vector<std::vector<int32_t>> rows = {{3, 1, 4, 1, 5}, {9, 2, 6}};
  for (auto &[name, tensor] : HADAL_TRY(computeLogits(executor, rows, {false, nullptr, share})))
    if (name == "logits")
      return std::vector<float>(tensor.as<float>().begin(), tensor.as<float>().end());
  return notFound("no logits");
}

Result<std::vector<float>> logitsOfFile(const Module &module, Device &device,
                                        const std::string &path) {
  WeightStore weights =
      HADAL_TRY(WeightStore::load(module, device, HADAL_TRY(Checkpoint::open(path))));
  return logitsOf(*HADAL_TRY(Executor::create(module, device, weights)));
}

Status equal(const std::vector<float> &a, const std::vector<float> &b, const char *when) {
  if (!a.empty() && a.size() == b.size() && !std::memcmp(a.data(), b.data(), a.size() * 4))
    return {};
  return invalidArgument(std::string(when) + ": the logits are not those of the files");
}

Status writeWeights(Trainables &trainables, const std::string &path) {
  std::vector<SafetensorsWriter::Planned> plan;
  for (const TrainedTensor &tensor : trainables.tensors())
    plan.push_back({tensor.name, ElementType::F32, tensor.shape});
  SafetensorsWriter writer = HADAL_TRY(SafetensorsWriter::create(path, plan));
  for (const TrainedTensor &tensor : trainables.tensors())
    HADAL_TRY(writer.write(HADAL_TRY(trainables.unpack(Values::Weight, tensor)).data));
  return writer.commit();
}

Status train(Trainer &trainer, const fb::Training &table, int64_t vocabulary) {
  std::vector<TrainingRow> rows(size_t(trainer.rowsOfStep()));
  for (size_t r = 0; r < rows.size(); ++r)
    for (int64_t t = 0; t < table.sequence(); ++t)
      rows[r].tokens.push_back(int32_t((int64_t(r) * 7 + t * t) % vocabulary));
  OptimizerSettings settings;
  HADAL_TRY(trainer.step(1, rows, settings));
  return {};
}

SessionOptions optionsOf(const char *module) {
  SessionOptions options;
  options.module = module;
  options.threads = 1;
  return options;
}

std::shared_ptr<Machine> newMachine() {
  return std::make_shared<Machine>(std::make_unique<CpuDevice>(1), 1);
}

Status check(char **argv) {
  auto machine = newMachine();
  ParameterStore &store = *machine->parameters;
  auto training = HADAL_TRY(Session::open(optionsOf(argv[1]), std::nullopt, machine)),
       generation = HADAL_TRY(Session::open(optionsOf(argv[2]), std::nullopt, machine)),
       second = HADAL_TRY(Session::open(optionsOf(argv[2]), std::nullopt, machine));
  const Module &served = generation->module();
  HADAL_TRY(training->load());
  Trainables trainables = HADAL_TRY(Trainables::create(training->executor()));
  HADAL_TRY(trainables.load(HADAL_TRY(Checkpoint::open(argv[3]))));
  uint64_t before = store.bytes();

  TrainedWeights source(training->module(), trainables);
  HADAL_TRY(generation->load(source));
  uint64_t both = store.bytes();
  HADAL_TRY(second->load(source));
  if (store.bytes() != both)
    return invalidArgument("a second reader has memory of its own");
  auto other = std::make_shared<ParameterStore>();
  WeightStore apart = HADAL_TRY(WeightStore::load(served, *machine->device, other, source));
  uint64_t saved = before + other->bytes() - both;
  if (!saved)
    return invalidArgument("no parameter is shared");
  std::vector<float> first = HADAL_TRY(logitsOf(generation->executor()));
  HADAL_TRY(
      equal(first, HADAL_TRY(logitsOfFile(served, *machine->device, argv[3])), "before the step"));

  auto trainer = HADAL_TRY(Trainer::create(training->executor(), trainables));
  HADAL_TRY(train(*trainer, *training->module().tables().training(),
                  training->module().model()->vocab_size()));
  // The reader that did not lay them out first does so now, for both.
  HADAL_TRY(second->refresh());
  HADAL_TRY(writeWeights(trainables, argv[4]));
  std::vector<float> now = HADAL_TRY(logitsOf(second->executor()));
  HADAL_TRY(
      equal(now, HADAL_TRY(logitsOfFile(served, *machine->device, argv[4])), "after the step"));
  if (equal(first, now, ""))
    return invalidArgument("the step has changed no logit");
  HADAL_TRY(equal(now, HADAL_TRY(logitsOf(generation->executor())), "for the other reader"));
  auto unshared = HADAL_TRY(Executor::create(served, *machine->device, apart));
  HADAL_TRY(apart.refresh());
  HADAL_TRY(equal(now, HADAL_TRY(logitsOf(*unshared)), "in a store of its own"));
  std::printf("%llu of %llu bytes are shared\n", static_cast<unsigned long long>(saved),
              static_cast<unsigned long long>(other->bytes()));
  return {};
}

/// Sessions that read one checkpoint pack it once; another one cannot take its memory.
Status checkFiles(const char *module, const char *checkpoint, const char *changed) {
  auto machine = newMachine();
  auto open = [&] { return Session::open(optionsOf(module), std::nullopt, machine); };
  std::vector<std::unique_ptr<Session>> sessions;
  for (int i = 0; i < 2; ++i) {
    sessions.push_back(HADAL_TRY(open()));
    HADAL_TRY(sessions.back()->openWeights(checkpoint));
    int64_t packed = 0;
    HADAL_TRY(sessions.back()->load(0, [&](uint64_t, uint64_t) { ++packed; }));
    if ((packed == 0) != (i == 1))
      return invalidArgument("session " + std::to_string(i) + " packs " + std::to_string(packed) +
                             " tensors");
  }
  HADAL_TRY(equal(HADAL_TRY(logitsOf(sessions[0]->executor())),
                  HADAL_TRY(logitsOf(sessions[1]->executor())), "of one checkpoint"));
  auto third = HADAL_TRY(open());
  HADAL_TRY(third->openWeights(changed));
  Status status = third->load();
  if (status ||
      status.error().message.find("the store has it of another checkpoint") == std::string::npos)
    return invalidArgument("another checkpoint: " +
                           (status ? std::string("is taken") : status.error().message));
  return {};
}

/// One of two ranks, with its share of the experts.
Status checkRank(char **argv, Comm &comm) {
  auto machine = newMachine();
  auto training = HADAL_TRY(Session::open(optionsOf(argv[0]), std::nullopt, machine)),
       generation = HADAL_TRY(Session::open(optionsOf(argv[1]), std::nullopt, machine)),
       fromFile = HADAL_TRY(Session::open(optionsOf(argv[1]), std::nullopt));
  const fb::Training &table = *training->module().tables().training();
  RankLayout layout = HADAL_TRY(RankLayout::of(table, comm.rank()));
  SumPlan plan = SumPlan::of(training->module().tables(), layout);
  unsigned shard = layout.epOf(comm.rank());
  HADAL_TRY(training->load(shard));
  Trainables trainables =
      HADAL_TRY(Trainables::create(training->executor(), plan.sharesOf(table, layout)));
  HADAL_TRY(trainables.load(HADAL_TRY(Checkpoint::open(argv[2]))));
  uint64_t before = machine->parameters->bytes();
  bool hasShard = false;
  for (const fb::State *state : *training->module().tables().states())
    if (auto key = parameterOf(training->module().tables(), *state, shard))
      hasShard = hasShard || (key->shard == 1 && machine->parameters->isState(*key));
  if (hasShard != (comm.rank() == 1))
    return invalidArgument("rank " + std::to_string(comm.rank()) + " has another's shard");

  TrainedWeights source(training->module(), trainables);
  HADAL_TRY(generation->load(source, shard));
  HADAL_TRY(fromFile->openWeights(argv[2]));
  HADAL_TRY(fromFile->load(shard));
  if (machine->parameters->bytes() <= before)
    return invalidArgument("nothing was laid out");
  RowShare share{comm.rank(), comm.size()};
  std::vector<std::vector<float>> logits;
  for (Session *session : {generation.get(), fromFile.get()}) {
    ExpertRanks ranks(session->executor(), comm, nullptr, Comm::Seconds(60));
    session->executor().setRanks(&ranks);
    logits.push_back(HADAL_TRY(logitsOf(session->executor(), share)));
  }
  return equal(logits[0], logits[1], "with a share of the experts");
}

Status checkRanks(char **argv) {
  InProcessWorld world(2);
  std::vector<Status> said(2);
  std::vector<std::thread> threads;
  for (unsigned rank = 0; rank < 2; ++rank)
    threads.emplace_back([&, rank] {
      auto comm = world.comm(rank);
      said[rank] = checkRank(argv, *comm);
    });
  for (std::thread &thread : threads)
    thread.join();
  return said[0] ? said[1] : said[0];
}

} // namespace

int main(int argc, char **argv) {
  Status status = argc == 5 ? Status() : Status(invalidArgument("wants four arguments"));
  if (status && std::strcmp(argv[1], "--ranks") == 0) {
    status = checkRanks(argv + 2);
  } else if (status) {
    status = check(argv);
    if (status)
      status = checkFiles(argv[2], argv[3], argv[4]);
  }
  if (!status)
    std::fprintf(stderr, "SharedParameters: %s\n", status.error().message.c_str());
  return status ? 0 : 1;
}
