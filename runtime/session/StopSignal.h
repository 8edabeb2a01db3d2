//===- StopSignal.h - what a signal does to a run -----------------------===//
//
// SIGINT, SIGTERM, SIGHUP (where it is not ignored, as nohup does) and SIGUSR1 (which mpirun passes
// on to its ranks without killing them) stop a run. At once, with exit status 128 + the signal, no
// half-written file, and from one rank of several the line that says what it was doing; or, once a
// training run takes its steps, after the step: the first signal is noted, the second stops at
// once.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_SESSION_STOPSIGNAL_H
#define HADAL_RUNTIME_SESSION_STOPSIGNAL_H

#include <string>

namespace hadal::StopSignal {

/// At the start of the program.
void install();

/// This process is one rank of several: `prefix`, such as "hadal-run: rank 1: ", begins the line
/// that it says.
void nameRank(const std::string &prefix);

/// From now on the first signal is noted, and a reader of the display that leaves stops nothing.
void defer();

/// The signal that was noted; 0: none.
int noted();

/// What has to be said has been said: SIGTERM, which mpirun sends then, is ignored.
void ignore();

/// As before install().
void restore();

/// "SIGTERM".
std::string nameOf(int signal);

/// The run has obeyed: what main() returns if all else went well. 0 when no run has.
void obey(int signal);
int exitStatus();

} // namespace hadal::StopSignal

#endif // HADAL_RUNTIME_SESSION_STOPSIGNAL_H
