//===- TrainData.cpp - the data of a training run ------------------===//

#include "runtime/training/DataFiles.h"
#include "runtime/training/PackedRows.h"
#include "tools/Progress.h"
#include "tools/run/TensorFiles.h"
#include "tools/run/TrainingRun.h"

using namespace hadal;
using namespace hadal::run;

Status Training::openData() {
  if (!options.input.empty()) {
    if (options.maskDocuments || options.fimRate > 0)
      return invalidArgument("--mask-documents and --fim-rate: want --data");
    batches = std::make_unique<FixedRows>(HADAL_TRY(readTrainingRows(options.input, session.module())));
    return {};
  }
  if (tokenizerFolder.empty())
    return invalidArgument("--data: wants the folder of a tokenizer.json: --tokenizer");
  if (table.sequence() > model.max_positions())
    return invalidArgument("rows have " + std::to_string(table.sequence()) + " tokens, the model has " + std::to_string(model.max_positions()) +
                           " positions");
  Tokenizer tokenizer = HADAL_TRY(Tokenizer::open(tokenizerFolder));
  if (tokenizer.idCount() > model.vocab_size())
    return invalidArgument(tokenizerFolder + "/tokenizer.json: has " + std::to_string(tokenizer.idCount()) + " ids, the model has " +
                           std::to_string(model.vocab_size()));
  PackingOptions packing;
  packing.rowTokens = table.sequence();
  packing.seed = options.dataSeed.value_or(0);
  packing.maskDocuments = options.maskDocuments;
  packing.endOfSequence = tokenizer.eosToken();
  if (!packing.endOfSequence && model.eos_token_ids()->size() && model.eos_token_ids()->Get(0) < model.vocab_size())
    packing.endOfSequence = static_cast<int32_t>(model.eos_token_ids()->Get(0));
  packing.fimRate = options.fimRate;
  if (options.fimRate > 0)
    packing.fim = HADAL_TRY(FillInMiddle::of(tokenizer));
  DataFiles data = HADAL_TRY(findDataFiles(options.data));
  if (!data.passedOver.empty())
    say("--data: takes %zu files, not %s%s: name a file to train on it whatever its ending\n", data.files.size(), data.passedOver.front().c_str(),
        data.passedOver.size() > 1 ? (" and " + std::to_string(data.passedOver.size() - 1) + " more").c_str() : "");
  Progress shown("tokenizing", job.isFirst());
  TokenFile file = HADAL_TRY(TokenFile::open(data.files, tokenizerFolder, options.tokenCache.empty() ? defaultCacheFolder() : options.tokenCache,
                                             [&](uint64_t done, uint64_t total) { shown.show(done, total); }));
  batches = HADAL_TRY(PackedRows::create(std::move(file), packing));
  return {};
}
