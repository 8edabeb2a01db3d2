//===- Faults.h - kernels that touch no memory of theirs ----------------===//

#ifndef HADAL_RUNTIME_EMULATED_FAULTS_H
#define HADAL_RUNTIME_EMULATED_FAULTS_H

namespace hadal::emulated {

/// Makes signals that a kernel's own instructions raise (no such memory, trap, division by zero)
/// failures of its launch. Signals from elsewhere go where they went before. Once a process.
void catchFaults();
/// For each thread of the host that runs kernels: a stack for the signal handler.
void prepareThreadForFaults();

} // namespace hadal::emulated

#endif // HADAL_RUNTIME_EMULATED_FAULTS_H
