//===- ChunkPrograms.h - what a stage's chunk programs read and write ------===//
//
// The commands of the three chunk programs of a stage, or of a program of inference over ranks, as
// verifyRanks and others look at them: values by number, whether a command reads or writes them,
// events, peers.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MODULE_CHUNKPROGRAMS_H
#define HADAL_RUNTIME_MODULE_CHUNKPROGRAMS_H

#include "runtime/module/ChunkKind.h"
#include "runtime/module/RankSizes.h"
#include "runtime/module/StagePlan.h"

#include <vector>

namespace hadal::verify {

/// Something that one command of a chunk makes and others use: a micro-batch's buffer, or a
/// register that an exchange of counts sets.
struct ChunkValue {
  std::string name;
  bool isRegister = false;
  bool isInput = false; ///< the driver gives it
  fb::ElementType element = fb::ElementType_F32;
  std::vector<uint64_t>
      bytes; ///< with balanced registers, and with several others for comparing sizes
};

struct ChunkStep {
  uint32_t stream = 0;
  uint32_t command = 0; ///< its number in the program
  fb::Action action = fb::Action_NONE;
  std::vector<uint32_t> reads, writes; ///< numbers of values
  uint32_t event = 0;                  ///< of Record and Wait
  uint32_t stage = 0;                  ///< of Send and Receive
  uint32_t ordinal = 0; ///< among the program's sends to, or receives from, this stage
};

struct ChunkProgram {
  std::string name;
  std::vector<ChunkStep> steps;
  std::vector<uint32_t> arguments; ///< numbers of values
};

struct ChunkPrograms {
  std::vector<ChunkValue> values;
  ChunkProgram programs[stageProgramCount]; ///< by StageProgram
};

/// Reads the chunk programs of a stage of a module that checkRanks has passed, and checks what each
/// of them says for itself:
///  - commands keep no values but arguments;
///  - an argument has the same type and shape in all programs of the stage, and is an output
///    exactly where a command writes it;
///  - a call, exchange or message fits the sizes of its arguments, whatever the registers are;
///  - exchanges go by counts that one exchange of counts has made, with its parts, segments and
///    stride, there or back;
///  - an event is recorded once and waited for by the other stream;
///  - registers are the driver's or set by an exchange of counts.
/// InvalidFile: "program stage1.forward, command 3: ...".
Result<ChunkPrograms> readChunkPrograms(const fb::Module &module, const fb::Stage &stage);

/// The same for a program that ranks run together, in inference: as its forward program alone.
/// The driver gives the arguments that are no outputs, and the registers that no exchange of counts
/// sets.
Result<ChunkPrograms> readInferenceProgram(const fb::Module &module, const fb::Program &program);

/// Whether the driver of a training job gives a value of this name to every micro-batch:
/// "token_ids", "mtp.1.targets"
/// ...
bool isMicroBatchInput(std::string_view name);

} // namespace hadal::verify

#endif // HADAL_RUNTIME_MODULE_CHUNKPROGRAMS_H
