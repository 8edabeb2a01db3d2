//===- CommTest.h - what every communicator must do ---------------------===//
//
// Each check is run by all ranks of a world at the same time, and returns what is wrong, or
// nothing.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TEST_COMM_COMMTEST_H
#define HADAL_TEST_COMM_COMMTEST_H

#include "runtime/comm/Comm.h"

#include <string>
#include <vector>

namespace hadal::test {

struct CommCheck {
  const char *name;
  std::string (*run)(Comm &comm);
};

/// All checks, in an order that all ranks keep to.
const std::vector<CommCheck> &commChecks();

} // namespace hadal::test

#endif // HADAL_TEST_COMM_COMMTEST_H
