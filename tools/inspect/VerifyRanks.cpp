#include "tools/inspect/VerifyRanks.h"

#include "runtime/module/Verify.h"
#include "runtime/parallel/PredictMemory.h"

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
  std::string whose = first == last ? "rank " + std::to_string(first) : "ranks " + std::to_string(first) + " to " + std::to_string(last);
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
    while (last + 1 < balanced.size() && balanced[last + 1] == balanced[first] && worst[last + 1] == worst[first])
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

Result<std::string> inspect::verifyText(const Module &module) {
  const fb::Training *training = module.tables().training();
  if (!training || !training->ranks())
    return invalidArgument(module.path() + ": has nothing to verify: it is not for training on many ranks");
  std::vector<RankPeak> peaks;
  HADAL_TRY(verifyRanks(module, &peaks));
  const fb::Ranks &ranks = *training->ranks();
  uint64_t chunks = 0, commands = 0;
  for (const fb::Order *order : *ranks.orders())
    chunks += order->chunks()->size();
  for (const fb::Stage *stage : *ranks.stages())
    for (uint32_t program : {stage->forward(), stage->input_grad(), stage->weight_grad()})
      commands += module.tables().programs()->Get(program)->commands()->size();
  std::string text = module.path() + ": " + std::to_string(ranks.pp()) + " pipeline ranks of " +
                     std::to_string(chunks) + " chunks, " + std::to_string(commands) +
                     " commands in the chunk programs of " + std::to_string(ranks.stages()->size()) +
                     " stages: verified\n";
  for (size_t rank = 0; rank < peaks.size(); ++rank)
    text += "pipeline rank " + std::to_string(rank) + ": values of micro-batches take at most " +
            mebibytes(peaks[rank].bytes) + " (" + std::to_string(peaks[rank].values) + " values, at item " +
            std::to_string(peaks[rank].item) + ", " + peaks[rank].chunk + ")\n";
  return text + HADAL_TRY(memoryText(module));
}
