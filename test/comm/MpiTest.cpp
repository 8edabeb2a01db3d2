// The conformance checks over MPI; mpirun starts this. Exit status 1 and a line for what is wrong.

#include "runtime/comm/DelayedComm.h"
#include "runtime/comm/MpiComm.h"
#include "test/comm/CommTest.h"

#include <cstdio>
#include <cstdlib>

using namespace hadal;

int main() {
  auto opened = openMpi();
  if (!opened.ok()) {
    std::fprintf(stderr, "MpiTest: %s\n", opened.error().message.c_str());
    return 1;
  }
  std::unique_ptr<Comm> comm = std::move(*opened);
  if (comm->size() != Launch::ofThisProcess().ranks) {
    std::fprintf(stderr, "MpiTest: MPI has %u ranks, the variables say %u\n", comm->size(),
                 Launch::ofThisProcess().ranks);
    return 1;
  }
  if (const char *delay = std::getenv("DELAY_US"))
    comm =
        std::make_unique<DelayedComm>(std::move(comm), std::chrono::microseconds(std::atol(delay)));
  for (const test::CommCheck &check : test::commChecks())
    if (std::string problem = check.run(*comm); !problem.empty()) {
      std::fprintf(stderr, "MpiTest: rank %u: %s: %s\n", comm->rank(), check.name, problem.c_str());
      comm->abort(problem);
      return 1;
    }
  if (comm->rank() == 0)
    std::printf("all passed on %u ranks\n", comm->size());
  return 0;
}
