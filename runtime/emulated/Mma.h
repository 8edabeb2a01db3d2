//===- Mma.h - matrix products of a warpgroup under way -----------------===//

#ifndef HADAL_RUNTIME_EMULATED_MMA_H
#define HADAL_RUNTIME_EMULATED_MMA_H

#include "runtime/emulated/Clock.h"

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <vector>

namespace hadal::emulated {

struct Thread;

/// Threads that wait for one another to call the same function.
struct Gathering {
  const char *what = nullptr;
  int32_t at = -1;
  uint32_t mask = 0; ///< of a warp's lanes
  std::vector<Thread *> threads;
};

inline constexpr uint32_t warpgroupThreads = 128;

/// What a thread gives to a product.
struct MmaOperands {
  int32_t element = 0, accumulate = 0, transpose = 0, at = -1;
  uint64_t a = 0, b = 0;
  const uint32_t *aRegisters = nullptr;
  float *d = nullptr;
  uint32_t n = 0;
};

/// A thread's part in the products of its warpgroup.
struct MmaState {
  bool fenced = false;
  uint32_t committed = 0; ///< groups
  MmaOperands operands;
};

/// Registers that products write and no wait has returned.
struct MmaProduct {
  uint32_t n = 0, group = 0;
  int32_t at = -1;
  std::array<float *, warpgroupThreads> d{};
  std::bitset<warpgroupThreads> returned;
  std::vector<float> values; ///< [64, n]
};

/// A warpgroup's products.
struct MmaGroup {
  Gathering gathering;
  std::vector<std::unique_ptr<MmaProduct>> inFlight;
  Epoch epoch = 0;                ///< of the agents of its four warps
  std::vector<Epoch> groupEpochs; ///< of the last product of each group
};

/// A product in flight that the thread has not waited for; null where there is none.
const MmaProduct *productInFlight(const MmaGroup &group, const Thread &thread);

} // namespace hadal::emulated

#endif // HADAL_RUNTIME_EMULATED_MMA_H
