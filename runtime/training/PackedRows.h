//===- PackedRows.h - documents packed into rows, shuffled --------------===//
//
// An epoch takes the documents in an order of its own, one after the other, each closed by the
// end-of-sequence token where there is one; leaves out a few tokens at the front, so that rows
// begin elsewhere in every epoch; cuts the rest into rows of T tokens; and gives the rows in an
// order of its own. Everything follows from seed and epoch, so that a place in the data is three
// numbers.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_PACKEDROWS_H
#define HADAL_RUNTIME_TRAINING_PACKEDROWS_H

#include "runtime/training/Batches.h"
#include "runtime/training/Permutation.h"
#include "runtime/training/TokenFile.h"

#include <memory>
#include <optional>

namespace hadal {

/// The tokens around the parts of a document whose middle is to be filled in, in the order prefix,
/// suffix, middle: `begin` prefix `hole` suffix `end` middle. Source: DeepSeek-V3,
/// arXiv:2412.19437, section 4.1.
struct FillInMiddle {
  int32_t begin, hole, end;

  /// As a tokenizer spells them (DeepSeek's, or <|fim_prefix|> <|fim_suffix|> <|fim_middle|> and
  /// the like).
  static Result<FillInMiddle> of(const Tokenizer &tokenizer);
};

struct PackingOptions {
  int64_t rowTokens = 0;
  uint64_t seed = 0;
  bool maskDocuments = false; ///< documents in a row do not see each other
  std::optional<int32_t> endOfSequence;
  double fimRate = 0;              ///< of documents
  std::optional<FillInMiddle> fim; ///< where fimRate is above 0
};

/// One thread at a time.
class PackedRows final : public Batches {
public:
  /// InvalidArgument when the documents do not fill one row.
  static Result<std::unique_ptr<PackedRows>> create(TokenFile tokens,
                                                    const PackingOptions &options);

  Result<std::vector<TrainingRow>> next(int64_t count) override;
  DataPosition position() const override;
  Status seek(const DataPosition &position) override;

  uint64_t rowsOfEpoch() const { return rowCount; }

private:
  PackedRows(TokenFile tokens, const PackingOptions &options)
      : tokens(std::move(tokens)), options(options) {}

  /// A document as this epoch has it.
  struct Shape {
    uint64_t length;
    bool isSplit = false;            ///< for filling in
    uint64_t middle = 0, suffix = 0; ///< where these begin in the document
  };
  Status beginEpoch(uint64_t number);
  uint64_t random(uint64_t what, uint64_t number) const;
  Shape shapeOf(uint64_t document) const;
  int32_t tokenOf(uint64_t document, const Shape &shape, uint64_t at) const;
  TrainingRow rowAt(uint64_t number) const;

  TokenFile tokens;
  PackingOptions options;
  uint64_t epoch = 0, row = 0, rowCount = 0, skipped = 0;
  std::vector<uint64_t> ends; ///< of the documents in this epoch's order, in tokens
  std::optional<Permutation> documentOrder, rowOrder;
};

/// All documents in the order of their files, each closed as in training, cut into rows that all
/// begin at the first token: what a model is judged by. The last row is filled up with tokens that
/// predict nothing. Nothing is shuffled, left out or filled in. One thread at a time.
class ValidationRows {
public:
  /// Of the options: rowTokens, maskDocuments, endOfSequence. InvalidArgument where no row has two
  /// tokens of a document.
  static Result<ValidationRows> create(TokenFile tokens, const PackingOptions &options);

  /// Rows that predict something.
  uint64_t count() const { return rows.size(); }
  TrainingRow row(uint64_t number) const { return rowAt(rows[number]); }
  /// Of the data: losses on data of another key are not to be compared.
  const std::string &key() const { return tokens.key(); }

private:
  ValidationRows(TokenFile tokens, const PackingOptions &options)
      : tokens(std::move(tokens)), options(options) {}
  TrainingRow rowAt(uint64_t number) const;

  TokenFile tokens;
  PackingOptions options;
  std::vector<uint64_t> ends; ///< of the documents, in tokens
  std::vector<uint64_t> rows; ///< those that predict something
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_PACKEDROWS_H
