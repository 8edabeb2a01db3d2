//===- Fiber.cpp - the switch between stacks ----------------------------===//

#include "runtime/emulated/Fiber.h"

#include <cstdint>
#include <cstring>
#include <sys/mman.h>

asm(R"(
.text
.p2align 4
.hidden hadalEmulatedSwitch
.globl hadalEmulatedSwitch
.type hadalEmulatedSwitch, @function
hadalEmulatedSwitch:)"
#if defined(__x86_64__)
    R"(
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret)"
#elif defined(__aarch64__)
    R"(
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret)"
#else
#error "the emulated device switches stacks on x86-64 and AArch64 only"
#endif
    R"(
.size hadalEmulatedSwitch, .-hadalEmulatedSwitch
)");

namespace hadal::emulated {

static constexpr size_t guardBytes = 1 << 16; // as large as any page

Stack::Stack() {
  void *memory = ::mmap(nullptr, guardBytes + bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    return;
  ::mprotect(memory, guardBytes, PROT_NONE);
  base = static_cast<std::byte *>(memory) + guardBytes;
}

Stack::~Stack() {
  if (base)
    ::munmap(base - guardBytes, guardBytes + bytes);
}

bool Stack::overflows(const void *address) const {
  auto *at = static_cast<const std::byte *>(address);
  return at >= base - guardBytes && at < base;
}

void Fiber::prepare(void (*body)()) {
  auto *words = reinterpret_cast<void **>(stack.top());
#if defined(__x86_64__)
  // Six registers and the address to return to; at the body's first instruction the stack is as
  // after a call, 8 below a multiple of 16.
  words -= 8;
  std::memset(words, 0, 8 * sizeof(void *));
  words[6] = reinterpret_cast<void *>(body);
#else
  words -= 20;
  std::memset(words, 0, 20 * sizeof(void *));
  words[11] = reinterpret_cast<void *>(body); // x30
#endif
  place = words;
}

} // namespace hadal::emulated
