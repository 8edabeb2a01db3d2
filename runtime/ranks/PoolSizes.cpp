//===- PoolSizes.cpp - which buffers a pool of memory has -----------------===//

#include "runtime/ranks/PoolSizes.h"

#include <algorithm>
#include <iterator>

using namespace hadal;

/// Sizes that differ by a few rows, as those of routed tokens do, share buffers.
static uint64_t rounded(uint64_t bytes) {
  uint64_t step = 256;
  while (step * 16 < bytes)
    step *= 2;
  return std::max(step, (bytes + step - 1) / step * step);
}

PoolSizes::Choice PoolSizes::take(uint64_t bytes) {
  uint64_t wanted = rounded(bytes);
  auto found = free.lower_bound(wanted);
  // Where there is but one at a time, one buffer serves all.
  if (found != free.end() && (*found <= wanted + wanted / 2 || taken == 0)) {
    Choice choice{*found, false, {}};
    free.erase(found);
    taken += choice.size;
    mostTaken = std::max(mostTaken, taken);
    return choice;
  }
  Choice choice{wanted, true, {}};
  taken += wanted;
  mostTaken = std::max(mostTaken, taken);
  all += wanted;
  // What is a little too small first: it was for the same value, perhaps.
  while (!free.empty() && all > mostTaken + mostTaken / 16) {
    auto at = free.lower_bound(wanted);
    at = at == free.begin() ? at : std::prev(at);
    choice.dropped.push_back(*at);
    all -= *at;
    free.erase(at);
  }
  peak = std::max(peak, all);
  return choice;
}

void PoolSizes::giveBack(uint64_t size) {
  taken -= size;
  free.insert(size);
}
