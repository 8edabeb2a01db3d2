#include "tools/inspect/VerifyRanks.h"

#include "runtime/module/Verify.h"

using namespace hadal;

static std::string mebibytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f MiB", double(bytes) / (1 << 20));
  return text;
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
  return text;
}
