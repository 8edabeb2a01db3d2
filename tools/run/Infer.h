//===- Infer.h - what generate, logits and score have alike -------------===//

#ifndef HADAL_TOOLS_RUN_INFER_H
#define HADAL_TOOLS_RUN_INFER_H

#include "runtime/session/Job.h"
#include "runtime/session/Session.h"

#include <functional>
#include <optional>
#include <vector>

namespace hadal::run {

/// A command of inference, in the order of its functions.
struct Inference {
  /// Reads and checks the input, and adds what it is to the facts.
  std::function<Status(Job &, Session &, std::vector<Fact> &)> prepare;
  /// With the weights loaded: what the work needs; may be none.
  std::function<Status(Job &, Session &)> begin;
  /// Where programs run over ranks.
  std::function<Status(Job &, Session &)> work;
};

/// Runs one. Each rank opens the module (`carried`: the executable's own) and its weights' headers
/// and prepares; when all have done so, on the same data, they load and begin, and when all have
/// done that they work. An error is said once, one in the work by the rank that has it, and stops
/// all.
Status infer(const SessionOptions &options, const JobOptions &jobOptions,
             std::optional<Module> carried, const Inference &command);

} // namespace hadal::run

#endif // HADAL_TOOLS_RUN_INFER_H
