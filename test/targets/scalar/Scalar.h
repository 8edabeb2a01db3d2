//===- Scalar.h - a target of one lane --------------------------*- C++ -*-===//

#ifndef HADAL_TEST_TARGETS_SCALAR_SCALAR_H
#define HADAL_TEST_TARGETS_SCALAR_SCALAR_H

namespace hadal {

/// Adds target=scalar to the table of targets.
void registerScalar();

} // namespace hadal

#endif // HADAL_TEST_TARGETS_SCALAR_SCALAR_H
