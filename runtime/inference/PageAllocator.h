//===- PageAllocator.h - which pages of the latent cache are free -------===//

#ifndef HADAL_RUNTIME_INFERENCE_PAGEALLOCATOR_H
#define HADAL_RUNTIME_INFERENCE_PAGEALLOCATOR_H

#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <vector>

namespace hadal {

/// Hands out page numbers, the lowest free one first, so that a run's pages depend on its requests
/// only. A page may have several users, and is free when the last one has given it back. One thread
/// at a time.
class PageAllocator {
public:
  explicit PageAllocator(int64_t pages = 0) { grow(pages); }

  /// Adds pages up to `pages` in all; fewer than now changes nothing.
  void grow(int64_t pages) {
    for (; pageCount() < pages; users.push_back(0))
      free.push(static_cast<int32_t>(pageCount()));
  }

  int64_t pageCount() const { return static_cast<int64_t>(users.size()); }
  int64_t freeCount() const { return static_cast<int64_t>(free.size()); }

  /// None when all pages are in use.
  std::optional<int32_t> take() {
    if (free.empty())
      return std::nullopt;
    int32_t page = free.top();
    free.pop();
    users[page] = 1;
    return page;
  }

  /// One user more of a page that is in use.
  void share(int32_t page) { ++users[page]; }

  /// A user gives back pages.
  void give(const std::vector<int32_t> &pages) {
    for (int32_t page : pages)
      if (--users[page] == 0)
        free.push(page);
  }

private:
  std::vector<int32_t> users; ///< of each page
  std::priority_queue<int32_t, std::vector<int32_t>, std::greater<>> free;
};

} // namespace hadal

#endif // HADAL_RUNTIME_INFERENCE_PAGEALLOCATOR_H
