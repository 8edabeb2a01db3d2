//===- Faults.cpp - signals that a kernel raises ------------------------===//

#include "runtime/emulated/Faults.h"

#include "runtime/emulated/Cluster.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ucontext.h>

namespace hadal::emulated {

static constexpr int caught[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
static struct sigaction before[64];

static thread_local int signalNumber;
static thread_local void *signalAddress;

/// Runs on the fiber, in place of the instruction that faulted.
[[noreturn]] static void faulted() {
  Cluster &here = Cluster::here();
  std::string thread = here.name(here.self().agent);
  if (here.runningFiber()->stack.overflows(signalAddress))
    here.fail(Failure::Trap, "the stack of " + thread + " is full");
  if (signalNumber == SIGSEGV || signalNumber == SIGBUS) {
    char text[64];
    std::snprintf(text, sizeof text, "access of %p by ", signalAddress);
    here.fail(Failure::IllegalAddress, text + thread);
  }
  here.fail(Failure::Trap, signalNumber == SIGFPE ? "division by zero by " + thread
                                                  : "an instruction that traps, by " + thread);
  std::abort(); // fail does not come back
}

static void handle(int number, siginfo_t *info, void *raw) {
  Cluster *cluster = Cluster::current();
  if (!cluster) {
    ::sigaction(number, &before[number], nullptr); // the instruction faults again, on the old terms
    return;
  }
  signalNumber = number;
  signalAddress = info->si_addr;
  auto *context = static_cast<ucontext_t *>(raw);
  std::byte *top = cluster->runningFiber()->stack.top();
#if defined(__x86_64__)
  context->uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(&faulted);
  context->uc_mcontext.gregs[REG_RSP] = reinterpret_cast<greg_t>(top - 8);
#else
  context->uc_mcontext.pc = reinterpret_cast<uintptr_t>(&faulted);
  context->uc_mcontext.sp = reinterpret_cast<uintptr_t>(top);
#endif
}

void catchFaults() {
  struct sigaction action = {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (int number : caught)
    ::sigaction(number, &action, &before[number]);
}

void prepareThreadForFaults() {
  static thread_local bool prepared = false;
  if (prepared)
    return;
  prepared = true;
  constexpr size_t bytes = 1 << 16;
  stack_t stack = {};
  stack.ss_sp = std::malloc(bytes); // for as long as the thread lives
  stack.ss_size = bytes;
  ::sigaltstack(&stack, nullptr);
}

} // namespace hadal::emulated
