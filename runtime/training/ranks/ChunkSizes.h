//===- ChunkSizes.h - what a rank's chunks take and give back -----------===//
//
// A pipeline rank's order of chunks with sizes in place of memory, as ChunkRunner, MemoryPool and
// Executor have it with memory.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_RANKS_CHUNKSIZES_H
#define HADAL_RUNTIME_TRAINING_RANKS_CHUNKSIZES_H

#include "runtime/ranks/ChunkWindow.h"
#include "runtime/ranks/PoolSizes.h"
#include "runtime/ranks/RankLayout.h"

#include <map>
#include <string>

namespace hadal {

/// Temporaries: Executor's memory for each depth of calls.
class Arenas {
public:
  explicit Arenas(const fb::Module &module) : module(module) {}

  /// A run of a program, and of what it calls.
  Status add(const fb::Program &program, const std::vector<int64_t> &registers, size_t depth);
  /// A call out of a program with these registers.
  Status call(const fb::Call &call, const std::vector<int64_t> &registers, size_t depth);
  uint64_t bytes() const;

private:
  Status addCalls(const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> &commands,
                  const std::vector<int64_t> &registers, size_t depth);

  const fb::Module &module;
  std::vector<uint64_t> depths;
};

/// A stage's programs with the sizes of their values.
struct SizedStage {
  StagePlan plan;
  std::vector<int64_t> registers[stageProgramCount]; ///< of each program
  std::vector<uint64_t> bytes;                       ///< of each value
};

/// What a pipeline rank holds of micro-batches' values where it holds most.
struct RankPeak {
  uint64_t bytes = 0;
  uint64_t item = 0; ///< of its order
  uint64_t values = 0;
  std::string chunk; ///< "F0.3+B1.1"
};

/// The order of chunks of a pipeline rank: which values there are, one after the other. A call
/// takes one tick, a message one and exchanged rows two, so that chunks of the window run side by
/// side much as ChunkRunner has it, where that depends on when messages come. One thread at a time.
class ChunkSizes {
public:
  ChunkSizes(const fb::Module &module, const RankLayout &layout,
             const std::vector<SizedStage> &stages, unsigned pp)
      : arenas(module), module(module), ranks(*module.training()->ranks()), layout(layout),
        stages(stages), pp(pp), window(ranks.orders()->Get(pp), ranks.overlap()) {}

  Status run();
  /// The most that the order may hold, whenever messages come: while an item runs the others of its
  /// window may have all that they write, and an item's memory is given back at its end.
  RankPeak most() const;
  uint64_t valueBytes() const { return pool.peakBytes(); }
  Arenas arenas;

private:
  struct MicroBatchSizes {
    std::vector<uint64_t> values; ///< of buffers by number of the value, 0: not there
    size_t ended = 0;             ///< programs
  };
  struct SizedChunk : ChunkState {
    const SizedStage *stage;
    MicroBatchSizes *sizes;
    uint32_t at = 0;                          ///< command
    uint64_t arrival = 0;                     ///< of what stream 1 has issued
    std::map<uint32_t, uint64_t> events = {}; ///< when they are recorded
  };

  template <typename What>
  void eachProgram(const fb::Order &order, uint32_t first, const What &what) const;
  std::vector<SizedChunk> prepare(const fb::Order &order, uint32_t first);
  const PlannedProgram &programOf(const SizedChunk &chunk) const {
    return chunk.plan->programs[size_t(chunk.programs.back())];
  }
  void take(SizedChunk &chunk, uint32_t argument);
  Result<ChunkProgress> advance(SizedChunk &chunk);
  ChunkProgress endProgram(SizedChunk &chunk);

  const fb::Module &module;
  const fb::Ranks &ranks;
  const RankLayout &layout;
  const std::vector<SizedStage> &stages;
  unsigned pp;
  PoolSizes pool;
  std::map<std::pair<unsigned, unsigned>, MicroBatchSizes> microBatches; ///< by stage and number
  ChunkWindow<SizedChunk> window;
  uint64_t now = 0;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_RANKS_CHUNKSIZES_H
