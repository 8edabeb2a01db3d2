//===- Session.cpp - a module with its weights, ready to run ------------===//

#include "runtime/session/Session.h"

#include "runtime/CheckpointFit.h"
#include "runtime/DataDigest.h"
#include "runtime/GenerationConfig.h"
#include "runtime/comm/MpiComm.h"
#include "runtime/device/ThreadPool.h"
#include "runtime/module/Verify.h"

#include <algorithm>
#include <filesystem>
#include <utility>

using namespace hadal;

std::string hadal::weightsFolder(const std::string &weights) {
  std::error_code ignored;
  if (std::filesystem::is_directory(weights, ignored))
    return weights;
  std::string folder = std::filesystem::path(weights).parent_path().string();
  return folder.empty() ? "." : folder;
}

Result<std::vector<int64_t>> hadal::eosTokensOf(const std::string &weights,
                                                const fb::Model &model) {
  if (!weights.empty())
    if (auto ids = HADAL_TRY(eosOfFolder(weightsFolder(weights), model.vocab_size())))
      return *ids;
  auto *ids = model.eos_token_ids();
  return ids ? std::vector<int64_t>(ids->begin(), ids->end()) : std::vector<int64_t>();
}

Result<std::unique_ptr<Session>> Session::open(const SessionOptions &options,
                                               std::optional<Module> carried,
                                               std::shared_ptr<Machine> machine) {
  HADAL_TRY(checkFolderOf(options.output));
  HADAL_TRY(checkFolderOf(options.trace));
  Module module = carried ? std::move(*carried) : HADAL_TRY(Module::open(options.module));
  bool isShared = machine != nullptr;
  if (!isShared)
    machine = HADAL_TRY(Machine::open(options, module));
  std::unique_ptr<Session> session(
      new Session(std::move(module), options, std::move(machine), isShared));
  HADAL_TRY(checkTargets(*session->machine->device, session->opened));
  HADAL_TRY(verifyModule(session->opened));
  return session;
}

static unsigned defaultThreads() {
  return std::max(1u, ThreadPool::availableThreads() / Launch::ofThisProcess().ranksHere);
}

Machine::Machine(std::unique_ptr<Device> device, unsigned threads)
    : device(std::move(device)), threads(threads) {}

Result<std::shared_ptr<Machine>> Machine::open(const SessionOptions &options,
                                               const Module &module) {
  DeviceOptions wanted;
  wanted.device = options.device.empty() ? deviceOf(module) : options.device;
  if (wanted.device == "cpu")
    wanted.threads = options.threads ? options.threads : defaultThreads();
  else
    wanted.threads = 1;
  wanted.emulatorSeed = options.emulatorSeed;
  wanted.timeoutSeconds = options.deviceTimeout;
  wanted.rankHere = Launch::ofThisProcess().rankHere;
  return std::make_shared<Machine>(HADAL_TRY(openDevice(wanted)), wanted.threads);
}

Status Session::openWeights(const std::string &weights) {
  std::string before = std::exchange(options.weights, weights);
  Status status = openWeights();
  if (!status)
    options.weights = std::move(before);
  return status;
}

Status Session::openWeights() {
  if (options.weights.empty() || opened.tables().training())
    return {};
  Checkpoint source = HADAL_TRY(Checkpoint::open(options.weights));
  HADAL_TRY(checkConfig(opened, source));
  checkpoint.emplace(std::move(source));
  return {};
}

void Session::addFacts(std::vector<Fact> &facts) const {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(opened.checksum()));
  facts.push_back({"a module", text});
  if (!checkpoint)
    return;
  facts.push_back({"weights", dataDigestOf(*checkpoint)});
}

Status Session::load(unsigned part, const WeightStore::Progress &progress) {
  auto start = std::chrono::steady_clock::now();
  if (!checkpoint)
    HADAL_TRY(openWeights());
  if (opened.tables().training()) {
    // Nothing to pack.
    weights = WeightStore(machine->parameters, part);
  } else if (auto source = std::exchange(checkpoint, std::nullopt)) {
    weights = HADAL_TRY(WeightStore::load(opened, *machine->device, std::move(*source), progress,
                                          part, isShared ? machine->parameters : nullptr));
  } else if (auto *parameters = opened.tables().parameters(); parameters && parameters->size()) {
    return invalidArgument(opened.path() + ": reads " + std::to_string(parameters->size()) +
                           " parameters; give their checkpoint with --weights");
  }
  return endLoad(start);
}

Status Session::load(TensorSource &source, unsigned part) {
  auto start = std::chrono::steady_clock::now();
  weights =
      HADAL_TRY(WeightStore::load(opened, *machine->device, machine->parameters, source, part));
  return endLoad(start);
}

Status Session::endLoad(std::chrono::steady_clock::time_point start) {
  runner = HADAL_TRY(Executor::create(opened, *machine->device, weights));
  HADAL_TRY(runner->setMemoryCheck(options.checkMemory));
  if (!options.trace.empty())
    runner->setTrace(&trace);
  seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {};
}

Status Session::writeTrace() const {
  return options.trace.empty() ? Status() : trace.write(options.trace);
}
