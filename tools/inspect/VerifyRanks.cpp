//===- VerifyRanks.cpp - hadal-inspect --verify -------------------===//

#include "tools/inspect/VerifyRanks.h"

#include "runtime/module/Dataflow.h"
#include "runtime/module/Verify.h"
#include "runtime/training/ranks/PredictMemory.h"

#include <algorithm>

using namespace hadal;

static std::string mebibytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f MiB", double(bytes) / (1 << 20));
  return text;
}

/// A line for ranks that need the same.
static std::string memoryLine(size_t first, size_t last, const RankMemory &memory, uint64_t worst) {
  std::string parts;
  for (const auto &[name, bytes] : memory.parts())
    if (bytes) {
      std::string spelled(name);
      std::replace(spelled.begin(), spelled.end(), '_', ' ');
      parts += (parts.empty() ? "" : ", ") + spelled + " " + mebibytes(bytes);
    }
  std::string whose = first == last
                          ? "rank " + std::to_string(first)
                          : "ranks " + std::to_string(first) + " to " + std::to_string(last);
  std::string text = whose + ": memory " + mebibytes(memory.total()) + " (" + parts + ")";
  return text + (worst > memory.total() ? ", at most " + mebibytes(worst) : "") + "\n";
}

/// Peak memory of every rank.
static Result<std::string> memoryText(const Module &module) {
  std::vector<RankMemory> balanced = HADAL_TRY(predictMemory(module, RowsOfExperts::Balanced));
  std::vector<RankMemory> worst = HADAL_TRY(predictMemory(module, RowsOfExperts::Worst));
  std::string text;
  bool routes = false;
  for (size_t first = 0; first < balanced.size();) {
    size_t last = first;
    while (last + 1 < balanced.size() && balanced[last + 1] == balanced[first] &&
           worst[last + 1] == worst[first])
      ++last;
    text += memoryLine(first, last, balanced[first], worst[first].total());
    routes = routes || worst[first].total() > balanced[first].total();
    first = last + 1;
  }
  text += "beside that each rank's process takes about " + mebibytes(rankProcessBytes);
  if (routes)
    text += "; rows of experts are balanced, or at most all that can come to one rank";
  return text + "\n";
}

static std::string count(uint64_t number, const std::string &what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

static uint64_t launchesIn(const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> &commands) {
  uint64_t launches = 0;
  for (const fb::Command *command : commands)
    if (command->action_as_Launch())
      ++launches;
    else if (const fb::Repeat *repeat = command->action_as_Repeat())
      launches += launchesIn(*repeat->body());
    else if (const fb::SkipIfZero *skip = command->action_as_SkipIfZero())
      launches += launchesIn(*skip->body());
  return launches;
}

/// What was looked at in every program, on one rank and on many.
static std::string programsText(const fb::Module &module) {
  uint64_t launches = 0, temporaries = 0, slots = 0;
  for (const fb::Program *program : *module.programs()) {
    launches += launchesIn(*program->commands());
    temporaries += program->temporaries()->size(), slots += program->slot_count();
  }
  bool isKnown = std::all_of(module.kernels()->begin(), module.kernels()->end(),
                             [](const fb::Kernel *kernel) { return isDescribed(*kernel); });
  std::string text =
      count(module.programs()->size(), "program") + ", " + std::to_string(launches) +
      (launches == 1 ? " launch" : " launches") + " of " +
      count(module.kernels()->size(), "kernel") + ", " +
      (temporaries == 1 ? "1 temporary" : std::to_string(temporaries) + " temporaries") + " in " +
      count(slots, "slot") + ": ";
  text += isKnown ? "temporaries are written before they are read and share no slot while they "
                    "live, outputs are written, launches stay within buffers"
                  : "indices and sizes are in range; kernels do not say what they read and write, "
                    "so launches were not looked into";
  return text + (module.dataflow() && module.dataflow()->size()
                     ? "; each program computes what the compiler meant\n"
                     : "\n");
}

static std::string ranksText(const Module &module) {
  const fb::Ranks &ranks = *module.tables().training()->ranks();
  uint64_t chunks = 0, commands = 0;
  for (const fb::Order *order : *ranks.orders())
    chunks += order->chunks()->size();
  for (const fb::Stage *stage : *ranks.stages())
    for (uint32_t program : {stage->forward(), stage->input_grad(), stage->weight_grad()})
      commands += module.tables().programs()->Get(program)->commands()->size();
  return std::to_string(ranks.pp()) + " pipeline ranks of " + std::to_string(chunks) + " chunks, " +
         std::to_string(commands) + " commands in the chunk programs of " +
         std::to_string(ranks.stages()->size()) + " stages";
}

static std::string inferenceText(const fb::Module &module) {
  const fb::Inference &inference = *module.inference();
  uint64_t commands = 0;
  for (const fb::InferenceProgram *program : *inference.programs())
    commands += module.programs()->Get(program->program())->commands()->size();
  return "inference on " + std::to_string(inference.ep()) + " ranks, " + std::to_string(commands) +
         " commands in " + count(inference.programs()->size(), "program") +
         " that ranks run together";
}

Result<std::string> inspect::verifyText(const Module &module) {
  const fb::Module &tables = module.tables();
  HADAL_TRY(verifyModule(module));
  bool trains = tables.training() && tables.training()->ranks();
  std::vector<RankPeak> peaks;
  if (trains)
    peaks = HADAL_TRY(predictPeaks(module));
  std::string text = module.path() + ": " +
                     (trains               ? ranksText(module)
                      : tables.inference() ? inferenceText(tables)
                                           : "one rank") +
                     ": verified\n";
  text += programsText(tables);
  for (size_t rank = 0; rank < peaks.size(); ++rank)
    text += "pipeline rank " + std::to_string(rank) + ": values of micro-batches take at most " +
            mebibytes(peaks[rank].bytes) + " (" + std::to_string(peaks[rank].values) +
            " values, at item " + std::to_string(peaks[rank].item) + ", " + peaks[rank].chunk +
            ")\n";
  return trains ? text + HADAL_TRY(memoryText(module)) : Result<std::string>(text);
}
