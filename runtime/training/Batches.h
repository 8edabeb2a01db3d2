//===- Batches.h - where the rows of a step come from -------------------===//

#ifndef HADAL_RUNTIME_TRAINING_BATCHES_H
#define HADAL_RUNTIME_TRAINING_BATCHES_H

#include "runtime/Result.h"
#include "runtime/training/MicroBatch.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace hadal {

/// How far into the data a run has come. The same position over the same data gives the same rows.
struct DataPosition {
  std::string key; ///< of the data and how it is cut: positions of another key mean nothing
  uint64_t seed = 0, epoch = 0, row = 0;
};

/// One thread at a time.
class Batches {
public:
  virtual ~Batches() = default;

  /// The next `count` rows.
  virtual Result<std::vector<TrainingRow>> next(int64_t count) = 0;

  virtual DataPosition position() const = 0;

  /// Goes to a position that has this data's key. InvalidArgument when the data has no such row.
  virtual Status seek(const DataPosition &position) = 0;
};

/// The same rows over and over.
class FixedRows final : public Batches {
public:
  explicit FixedRows(std::vector<TrainingRow> rows) : rows(std::move(rows)) {}

  Result<std::vector<TrainingRow>> next(int64_t count) override {
    if (count != static_cast<int64_t>(rows.size()))
      return invalidArgument("a step wants " + std::to_string(count) + " rows, there are " +
                             std::to_string(rows.size()));
    return rows;
  }
  DataPosition position() const override { return {"rows", 0, 0, 0}; }
  Status seek(const DataPosition &) override { return {}; }

private:
  std::vector<TrainingRow> rows;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_BATCHES_H
