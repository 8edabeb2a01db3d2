//===- Fiber.h - stacks that a worker switches between ------------------===//
//
// A fiber is a stack with a place where its code goes on. Switching takes a call that saves the
// registers which a call must keep (19 ns for a pair on x86-64, where ucontext takes 355). A fiber
// stays with the thread of the host that made it.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_EMULATED_FIBER_H
#define HADAL_RUNTIME_EMULATED_FIBER_H

#include <cstddef>

namespace hadal::emulated {

/// Memory of a stack, with a page below it that nothing may touch.
class Stack {
public:
  Stack();
  Stack(const Stack &) = delete;
  ~Stack();

  bool ok() const { return base != nullptr; }
  std::byte *top() const { return base + bytes; }
  /// Whether an address lies in the page below, where a stack that is too deep ends up.
  bool overflows(const void *address) const;

  static constexpr size_t bytes = size_t(1) << 18;

private:
  std::byte *base = nullptr;
};

/// Code on a stack of its own.
struct Fiber {
  Stack stack;
  void *place = nullptr; ///< the stack pointer, while it does not run

  /// Makes the next switch to the fiber call `body`, which never returns.
  void prepare(void (*body)());
};

/// Goes on at `to` (a Fiber's place, or what another switch stored) and stores at `from` where to
/// come back to.
extern "C" void hadalEmulatedSwitch(void **from, void *to) __attribute__((visibility("hidden")));

} // namespace hadal::emulated

#endif // HADAL_RUNTIME_EMULATED_FIBER_H
