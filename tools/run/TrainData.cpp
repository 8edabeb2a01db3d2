//===- TrainData.cpp - the data of a training run ------------------===//

#include "runtime/training/DataFiles.h"
#include "tools/Progress.h"
#include "tools/run/TensorFiles.h"
#include "tools/run/TrainingRun.h"

using namespace hadal;
using namespace hadal::run;

/// The tokens of what an option names.
Result<TokenFile> Training::openTokens(const char *option, const std::vector<std::string> &names) {
  DataFiles data = HADAL_TRY(findDataFiles(names));
  if (!data.passedOver.empty())
    say("%s: takes %zu files, not %s%s: name a file to take it whatever its ending\n", option,
        data.files.size(), data.passedOver.front().c_str(),
        data.passedOver.size() > 1
            ? (" and " + std::to_string(data.passedOver.size() - 1) + " more").c_str()
            : "");
  Progress shown("tokenizing", job.isFirst());
  return TokenFile::open(data.files, tokenizerFolder,
                         options.tokenCache.empty() ? defaultCacheFolder() : options.tokenCache,
                         [&](uint64_t done, uint64_t total) { shown.show(done, total); });
}

Status Training::openData() {
  if (!options.input.empty()) {
    if (options.maskDocuments || options.fimRate > 0 || options.dataSeed)
      return invalidArgument("--mask-documents, --fim-rate and --data-seed: want --data");
    auto rows = HADAL_TRY(readTrainingRows(options.input, session.module()));
    rowsDigest = digestOfRows(rows);
    batches = std::make_unique<FixedRows>(std::move(rows));
    if (options.validation.empty())
      return {};
  }
  if (tokenizerFolder.empty())
    return invalidArgument(std::string(options.data.empty() ? "--val-data" : "--data") +
                           ": wants the folder of a tokenizer.json: --tokenizer");
  if (table.sequence() > model.max_positions())
    return invalidArgument("rows have " + std::to_string(table.sequence()) +
                           " tokens, the model has " + std::to_string(model.max_positions()) +
                           " positions");
  Tokenizer tokenizer = HADAL_TRY(Tokenizer::open(tokenizerFolder));
  if (tokenizer.idCount() > model.vocab_size())
    return invalidArgument(tokenizerFolder + "/tokenizer.json: has " +
                           std::to_string(tokenizer.idCount()) + " ids, the model has " +
                           std::to_string(model.vocab_size()));
  PackingOptions packing;
  packing.rowTokens = table.sequence();
  packing.seed = options.dataSeed.value_or(0);
  packing.maskDocuments = options.maskDocuments;
  packing.endOfSequence = tokenizer.eosToken();
  if (!packing.endOfSequence && model.eos_token_ids()->size() &&
      model.eos_token_ids()->Get(0) < model.vocab_size())
    packing.endOfSequence = static_cast<int32_t>(model.eos_token_ids()->Get(0));
  if (!options.validation.empty())
    validation.emplace(HADAL_TRY(
        ValidationRows::create(HADAL_TRY(openTokens("--val-data", options.validation)), packing)));
  if (options.data.empty())
    return {};
  packing.fimRate = options.fimRate;
  if (options.fimRate > 0)
    packing.fim = HADAL_TRY(FillInMiddle::of(tokenizer));
  batches = HADAL_TRY(PackedRows::create(HADAL_TRY(openTokens("--data", options.data)), packing));
  return {};
}
