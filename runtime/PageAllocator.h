//===- PageAllocator.h - which pages of the latent cache are free -------===//

#ifndef HADAL_RUNTIME_PAGEALLOCATOR_H
#define HADAL_RUNTIME_PAGEALLOCATOR_H

#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <vector>

namespace hadal {

/// Hands out page numbers, the lowest free one first, so that a run's pages depend on its requests
/// only.
class PageAllocator {
public:
  explicit PageAllocator(int64_t pages = 0) { grow(pages); }

  /// Adds pages up to `pages` in all; fewer than now changes nothing.
  void grow(int64_t pages) {
    for (; count < pages; ++count)
      free.push(static_cast<int32_t>(count));
  }

  int64_t pageCount() const { return count; }
  int64_t freeCount() const { return static_cast<int64_t>(free.size()); }

  /// None when all pages are in use.
  std::optional<int32_t> take() {
    if (free.empty())
      return std::nullopt;
    int32_t page = free.top();
    free.pop();
    return page;
  }

  /// Gives back pages that were taken.
  void give(const std::vector<int32_t> &pages) {
    for (int32_t page : pages)
      free.push(page);
  }

private:
  int64_t count = 0;
  std::priority_queue<int32_t, std::vector<int32_t>, std::greater<>> free;
};

} // namespace hadal

#endif // HADAL_RUNTIME_PAGEALLOCATOR_H
