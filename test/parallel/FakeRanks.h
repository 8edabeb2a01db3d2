//===- FakeRanks.h - a training job over ranks, written by hand ---------===//
//
// A model of four layers whose sums depend on their order: each token's pair of numbers is scaled,
// goes to an expert (on another rank, perhaps) and back. The embedding is the head too. The same
// model for every layout: pipeline, experts, data.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TEST_PARALLEL_FAKERANKS_H
#define HADAL_TEST_PARALLEL_FAKERANKS_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace hadal::fake {

inline constexpr int64_t ranksVocabulary = 64, ranksLayers = 4, ranksExperts = 4,
                         ranksSequence = 12;

struct RanksShape {
  uint32_t pp = 1, ep = 1, dp = 1;
  std::string schedule = "1f1b"; ///< dualpipe: of two ranks; dualpipev
  bool pairs = false;            ///< a forward chunk is issued with the backward chunk after it
  bool overlap = true;
  bool split = false; ///< backward chunks as I and W
  int64_t microBatches = 16, sumGroups = 8;
  bool fast = false;    ///< sums over ranks in the engine's order
  int64_t capacity = 0; ///< of exchanges, in rows
  int64_t work = 0;     ///< nanoseconds that each segment with weights takes, for measurements
};

/// The module's FlatBuffer, with the kernels' shared object inside.
std::vector<std::byte> ranksPayload(const RanksShape &shape);

} // namespace hadal::fake

#endif // HADAL_TEST_PARALLEL_FAKERANKS_H
