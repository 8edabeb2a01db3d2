//===- ChunkKind.h - what a chunk of a pipeline computes ------------------===//
//
// The words of schedules, module files, compiler and runners for the work of a stage on one
// micro-batch. Source: DeepSeek-V3, arXiv:2412.19437, section 3.2.1, which splits a backward chunk
// into "backward for input" and "backward for weights" as ZeroBubble (arXiv:2401.10241) does.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MODULE_CHUNKKIND_H
#define HADAL_RUNTIME_MODULE_CHUNKKIND_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace hadal {

/// The programs of a pipeline stage (table Stage), in the order in which a micro-batch passes them.
enum class StageProgram : uint8_t { Forward, InputGrad, WeightGrad };
inline constexpr StageProgram stagePrograms[] = {StageProgram::Forward, StageProgram::InputGrad,
                                                 StageProgram::WeightGrad};
inline constexpr size_t stageProgramCount = 3;

/// As functions, programs and tables spell it.
constexpr const char *identifierOf(StageProgram program) {
  constexpr const char *names[] = {"forward", "input_grad", "weight_grad"};
  return names[static_cast<size_t>(program)];
}

/// For people.
constexpr const char *toString(StageProgram program) {
  constexpr const char *names[] = {"forward", "input gradient", "weight gradient"};
  return names[static_cast<size_t>(program)];
}

/// What a chunk of an order runs: one of a stage's programs, or as Backward input gradient and
/// weight gradient. Values as in Module.fbs.
enum class ChunkKind : uint8_t { Forward, Backward, InputGrad, WeightGrad };

/// The programs of a chunk, in running order.
constexpr std::span<const StageProgram> programsOf(ChunkKind kind) {
  size_t first = kind == ChunkKind::Forward ? 0 : kind == ChunkKind::WeightGrad ? 2 : 1;
  return std::span(stagePrograms).subspan(first, kind == ChunkKind::Backward ? 2 : 1);
}

/// "F0.3": kind (F, B, I or W), direction and micro-batch, as an order names a chunk.
inline std::string chunkName(ChunkKind kind, uint32_t direction, uint32_t microBatch) {
  return "FBIW"[static_cast<size_t>(kind)] + std::to_string(direction) + "." +
         std::to_string(microBatch);
}

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_CHUNKKIND_H
