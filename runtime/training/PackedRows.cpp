//===- PackedRows.cpp - documents packed into rows, shuffled ------------===//

#include "runtime/training/PackedRows.h"

#include <algorithm>

using namespace hadal;

Result<FillInMiddle> FillInMiddle::of(const Tokenizer &tokenizer) {
  static constexpr const char *spellings[][3] = {
      {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"},
      {"<|fim_begin|>", "<|fim_hole|>", "<|fim_end|>"},
      {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},
      {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},
  };
  for (const auto &spelling : spellings) {
    int32_t ids[3];
    bool isThere = true;
    for (int i = 0; i < 3; ++i) {
      std::vector<int32_t> one = HADAL_TRY(tokenizer.encode(spelling[i]));
      isThere &= one.size() == 1;
      ids[i] = one.size() == 1 ? one[0] : 0;
    }
    if (isThere)
      return FillInMiddle{ids[0], ids[1], ids[2]};
  }
  return invalidArgument("fill-in-the-middle: the tokenizer has no <|fim_begin|>, <|fim_hole|> and "
                         "<|fim_end|>, nor another spelling of them");
}

Result<std::unique_ptr<PackedRows>> PackedRows::create(TokenFile tokens,
                                                       const PackingOptions &options) {
  std::unique_ptr<PackedRows> result(new PackedRows(std::move(tokens), options));
  HADAL_TRY(result->beginEpoch(0));
  return result;
}

/// Numbers that depend on seed, epoch, what they are for, and which of these.
uint64_t PackedRows::random(uint64_t what, uint64_t number) const {
  return mixBits(mixBits(mixBits(options.seed) ^ epoch) ^ mixBits(what) ^ number);
}

namespace {
enum Draw : uint64_t { DocumentOrder = 1, RowOrder, Skip, FimChoice, FimCut, FimOtherCut };
} // namespace

PackedRows::Shape PackedRows::shapeOf(uint64_t document) const {
  uint64_t length = tokens.document(document).size();
  Shape shape{length + options.endOfSequence.has_value()};
  if (options.fimRate > 0 && length > 1 &&
      static_cast<double>(random(FimChoice, document) >> 11) <
          options.fimRate * static_cast<double>(uint64_t(1) << 53)) {
    uint64_t a = random(FimCut, document) % (length + 1),
             b = random(FimOtherCut, document) % (length + 1);
    shape.isSplit = true;
    shape.middle = std::min(a, b);
    shape.suffix = std::max(a, b);
    shape.length += 3;
  }
  return shape;
}

int32_t PackedRows::tokenOf(uint64_t document, const Shape &shape, uint64_t at) const {
  std::span<const int32_t> all = tokens.document(document);
  if (options.endOfSequence && at + 1 == shape.length)
    return *options.endOfSequence;
  if (!shape.isSplit)
    return all[at];
  // begin, [0, middle), hole, [suffix, length), end, [middle, suffix)
  uint64_t suffixLength = all.size() - shape.suffix;
  if (at == 0)
    return options.fim->begin;
  if (--at < shape.middle)
    return all[at];
  at -= shape.middle;
  if (at == 0)
    return options.fim->hole;
  if (--at < suffixLength)
    return all[shape.suffix + at];
  at -= suffixLength;
  return at == 0 ? options.fim->end : all[shape.middle + at - 1];
}

Status PackedRows::beginEpoch(uint64_t number) {
  epoch = number;
  row = 0;
  documentOrder.emplace(tokens.documents(), random(DocumentOrder, 0));
  ends.clear();
  uint64_t total = 0;
  for (uint64_t i = 0; i < tokens.documents(); ++i)
    ends.push_back(total += shapeOf((*documentOrder)(i)).length);
  uint64_t length = static_cast<uint64_t>(options.rowTokens);
  if (total < length)
    return invalidArgument("the data has " + std::to_string(total) + " tokens, a row has " +
                           std::to_string(length));
  skipped = std::min(random(Skip, 0) % length, total - length);
  rowCount = (total - skipped) / length;
  rowOrder.emplace(rowCount, random(RowOrder, 0));
  return {};
}

TrainingRow PackedRows::rowAt(uint64_t number) const {
  uint64_t length = static_cast<uint64_t>(options.rowTokens),
           at = skipped + (*rowOrder)(number)*length;
  uint64_t place = std::upper_bound(ends.begin(), ends.end(), at) - ends.begin();
  TrainingRow result;
  result.tokens.reserve(length);
  for (; result.tokens.size() < length; ++place) {
    uint64_t document = (*documentOrder)(place), begin = place ? ends[place - 1] : 0;
    Shape shape = shapeOf(document);
    if (options.maskDocuments && !result.tokens.empty())
      result.starts.push_back(static_cast<int32_t>(result.tokens.size()));
    for (; at < ends[place] && result.tokens.size() < length; ++at)
      result.tokens.push_back(tokenOf(document, shape, at - begin));
  }
  return result;
}

Result<std::vector<TrainingRow>> PackedRows::next(int64_t count) {
  std::vector<TrainingRow> rows;
  while (static_cast<int64_t>(rows.size()) < count) {
    if (row == rowCount)
      HADAL_TRY(beginEpoch(epoch + 1));
    rows.push_back(rowAt(row++));
  }
  HADAL_TRY(tokens.checkSize());
  return rows;
}

DataPosition PackedRows::position() const {
  std::string key = tokens.key() + "-" + std::to_string(options.rowTokens) +
                    (options.maskDocuments ? "-masked" : "");
  if (options.endOfSequence)
    key += "-eos" + std::to_string(*options.endOfSequence);
  if (options.fimRate > 0)
    key += "-fim" + std::to_string(options.fimRate);
  return {key, options.seed, epoch, row};
}

Status PackedRows::seek(const DataPosition &position) {
  options.seed = position.seed;
  HADAL_TRY(beginEpoch(position.epoch));
  if (position.row > rowCount)
    return invalidArgument("the data has " + std::to_string(rowCount) +
                           " rows in an epoch, wants row " + std::to_string(position.row));
  row = position.row;
  return {};
}

//===----------------------------------------------------------------------===//
// ValidationRows
//===----------------------------------------------------------------------===//

Result<ValidationRows> ValidationRows::create(TokenFile tokens, const PackingOptions &options) {
  ValidationRows result(std::move(tokens), options);
  uint64_t total = 0, length = static_cast<uint64_t>(options.rowTokens);
  for (uint64_t i = 0; i < result.tokens.documents(); ++i)
    result.ends.push_back(total +=
                          result.tokens.document(i).size() + options.endOfSequence.has_value());
  for (uint64_t row = 0; row * length < total; ++row)
    if (TrainingRow one = result.rowAt(row); MicroBatch({&one, 1}, 0).counts().predictions[0] > 0)
      result.rows.push_back(row);
  if (result.rows.empty())
    return invalidArgument("the validation data has nothing to predict: " + std::to_string(total) +
                           " tokens");
  return result;
}

TrainingRow ValidationRows::rowAt(uint64_t number) const {
  uint64_t length = static_cast<uint64_t>(options.rowTokens), at = number * length;
  uint64_t document = std::upper_bound(ends.begin(), ends.end(), at) - ends.begin();
  TrainingRow result;
  for (; result.tokens.size() < length && document < ends.size(); ++document) {
    std::span<const int32_t> all = tokens.document(document);
    uint64_t begin = document ? ends[document - 1] : 0;
    if (options.maskDocuments && !result.tokens.empty())
      result.starts.push_back(static_cast<int32_t>(result.tokens.size()));
    for (; at < ends[document] && result.tokens.size() < length; ++at)
      result.tokens.push_back(at - begin < all.size() ? all[at - begin] : *options.endOfSequence);
  }
  if (result.tokens.size() < length) {
    result.labels = result.tokens;
    result.labels.resize(length, -1);
    result.tokens.resize(length, result.tokens.back());
  }
  return result;
}
