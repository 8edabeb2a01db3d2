//===- RowShare.h - which rows of a batch are a rank's -------------------===//

#ifndef HADAL_RUNTIME_RANKS_ROWSHARE_H
#define HADAL_RUNTIME_RANKS_ROWSHARE_H

#include <algorithm>
#include <cstdint>

namespace hadal {

/// Each of `ranks` has consecutive rows, the first ones one more where they do not come out even.
struct RowShare {
  unsigned rank = 0, ranks = 1;

  int64_t first(int64_t rows) const { return firstOf(rank, rows); }
  int64_t count(int64_t rows) const { return countOf(rank, rows); }
  int64_t firstOf(unsigned which, int64_t rows) const {
    return which * (rows / ranks) + std::min<int64_t>(which, rows % ranks);
  }
  int64_t countOf(unsigned which, int64_t rows) const {
    return rows / ranks + (int64_t(which) < rows % ranks);
  }
  /// Of the rank that has most.
  int64_t most(int64_t rows) const { return countOf(0, rows); }
};

} // namespace hadal

#endif // HADAL_RUNTIME_RANKS_ROWSHARE_H
