//===- InferenceRanks.cpp - an inference module on its ranks, as threads ===//
//
//   InferenceRanks CHECKPOINT ONE.hadal OTHER.hadal ...
//
// What `logits --dump` gives is on each module's ranks what it is on the first's, to the bit, also
// where ranks have no rows, and on devices whose memory no host sees. A rank that stays silent is
// named in time. Tables that fit no ranks are refused.
//
//===--------------------------------------------------------------------===//

#include "runtime/comm/InProcessComm.h"
#include "runtime/device/CpuDevice.h"
#include "runtime/inference/Logits.h"
#include "runtime/module/Check.h"
#include "runtime/ranks/ExpertRanks.h"
#include "test/device/HiddenDevice.h"

#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <thread>

using namespace hadal;

namespace {

int failures = 0;

void claim(const std::string &what, bool holds, const std::string &detail = "") {
  if (!holds)
    std::printf("FAIL %s: %s\n", what.c_str(), detail.c_str());
  failures += !holds;
}

using Results = std::vector<std::pair<std::string, Tensor>>;

Result<Results> logitsOf(const Module &module, Device &device, const std::string &checkpoint,
                         RowShare share, Comm &comm, int64_t rows, double timeout) {
  WeightStore store = HADAL_TRY(
      WeightStore::load(module, device, HADAL_TRY(Checkpoint::open(checkpoint)), {}, share.rank));
  auto executor = HADAL_TRY(Executor::create(module, device, store));
  ExpertRanks ranks(*executor, comm, nullptr, Comm::Seconds(timeout));
  executor->setRanks(&ranks);
  std::vector<std::vector<int32_t>> tokens(rows, std::vector<int32_t>(7));
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < 7; ++i)
      tokens[row][i] = int32_t((row * 131 + i * i * 17 + i) % module.model()->vocab_size());
  return computeLogits(*executor, tokens, {true, nullptr, share});
}

struct RunOptions {
  unsigned awake = ~0u; ///< only the first ranks run
  double timeout = 60;
  bool isHidden = false; ///< on devices whose memory no host sees
};

/// The bytes of all results, by name, ranks one after another; or the first error.
Result<std::map<std::string, std::string>> run(const Module &module, const std::string &checkpoint,
                                               int64_t rows, RunOptions options = {}) {
  unsigned count = module.tables().inference() ? module.tables().inference()->ep() : 1;
  InProcessWorld world(count);
  std::vector<Result<Results>> results;
  for (unsigned rank = 0; rank < count; ++rank)
    results.push_back(Results());
  std::vector<std::thread> threads;
  for (unsigned rank = 0; rank < std::min(count, options.awake); ++rank)
    threads.emplace_back([&, rank] {
      auto comm = world.comm(rank);
      CpuDevice cpu(1);
      test::HiddenDevice hidden;
      Device &device = options.isHidden ? static_cast<Device &>(hidden) : cpu;
      results[rank] =
          logitsOf(module, device, checkpoint, {rank, count}, *comm, rows, options.timeout);
      if (options.isHidden && hidden.operations() == 0)
        results[rank] = ioError("nothing ran on the hidden device");
    });
  for (std::thread &thread : threads)
    thread.join();
  std::map<std::string, std::string> all;
  for (auto &one : results)
    for (auto &[name, tensor] : HADAL_TRY(std::move(one)))
      all[name].append(static_cast<const char *>(tensor.data()), tensor.bytes());
  return all;
}

/// What is said of a module whose table of inference is changed.
std::string refusal(const std::string &path,
                    const std::function<void(flatbuffers::Table *, fb::Inference &)> &change) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> all{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::vector<char> payload(all.begin() + 24, all.end());
  const fb::Module &tables = *flatbuffers::GetRoot<fb::Module>(payload.data());
  auto *inference = const_cast<fb::Inference *>(tables.inference());
  change(reinterpret_cast<flatbuffers::Table *>(inference), *inference);
  Status status = checkTables(tables);
  return status ? "nothing" : status.error().message;
}

void set(const flatbuffers::Vector<uint32_t> *list, uint32_t value) {
  const_cast<flatbuffers::Vector<uint32_t> *>(list)->Mutate(0, value);
}

/// Tables that fit no ranks are refused.
void checkRefusals(const std::string &path) {
  auto wants = [&](const std::string &said,
                   const std::function<void(flatbuffers::Table *, fb::Inference &)> &change) {
    std::string message = refusal(path, change);
    claim("a table is refused with '" + said + "'",
          message.find("the table of inference: " + said) == 0, message);
  };
  using Table = flatbuffers::Table;
  wants("has impossible numbers of ranks", [](Table *table, fb::Inference &) {
    table->SetField<uint32_t>(fb::Inference::VT_EP, 1, 0);
  });
  wants("program prefill, command ", [](Table *table, fb::Inference &inference) {
    table->SetField<uint32_t>(fb::Inference::VT_EP, inference.ep() / 2 * 3, 0);
  });
  wants("shards parameter 9999, which is no stack",
        [](Table *, fb::Inference &inference) { set(inference.sharded(), 9999); });
  wants("program prefill hands out argument 0, which is no output",
        [](Table *, fb::Inference &inference) { set(inference.programs()->Get(0)->outputs(), 0); });
  wants("names program 9999", [](Table *, fb::Inference &inference) {
    auto *program = const_cast<fb::InferenceProgram *>(inference.programs()->Get(0));
    reinterpret_cast<Table *>(program)->SetField<uint32_t>(fb::InferenceProgram::VT_PROGRAM, 9999,
                                                           0);
  });
}

} // namespace

int main(int argc, char **argv) {
  std::string checkpoint = argv[1];
  std::map<int64_t, std::map<std::string, std::string>> wanted;
  for (int i = 2; i < argc; ++i) {
    auto module = Module::open(argv[i]);
    claim(argv[i], module.ok(), module.ok() ? "" : module.error().message);
    if (!module.ok())
      continue;
    for (int64_t rows : {1, 5}) {
      std::string what = std::string(argv[i]) + " on " + std::to_string(rows) + " rows";
      auto got = run(*module, checkpoint, rows);
      claim(what, got.ok(), got.ok() ? "" : got.error().message);
      if (!got.ok())
        continue;
      if (i == 2)
        wanted[rows] = *got;
      claim(what + " has the same bits", *got == wanted[rows]);
    }
    if (i == 2)
      continue;
    auto hidden = run(*module, checkpoint, 5, {.isHidden = true});
    claim(argv[i] + std::string(" has the same bits where no host sees the memory"),
          hidden.ok() && *hidden == wanted[5], hidden.ok() ? "" : hidden.error().message);
    checkRefusals(argv[i]);
    auto alone = run(*module, checkpoint, 1, {.awake = 1, .timeout = 0.5});
    std::string said = alone.ok() ? "nothing" : alone.error().message;
    claim("a silent rank is named",
          said.find("rank 0: 0.5 s without an answer from rank ") == 0 &&
              said.find(": run 1, inspect, command ") != std::string::npos,
          said);
  }
  return failures ? 1 : 0;
}
