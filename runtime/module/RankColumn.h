//===- RankColumn.h - a column of ranks, symbolically -----------*- C++ -*-===//
//
// Symbolic execution of a column of pipeline ranks: rules 3 to 6 of Verify.h.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MODULE_RANKCOLUMN_H
#define HADAL_RUNTIME_MODULE_RANKCOLUMN_H

#include "runtime/module/ChunkPrograms.h"

#include <array>
#include <deque>
#include <map>

namespace hadal::verify {

/// Executes the orders of `ranks` over the chunk programs of its stages. One thread at a time.
class RankColumn {
public:
  RankColumn(const fb::Ranks &ranks, const std::vector<ChunkPrograms> &stages);
  /// A program of inference over ranks, once: `one` has it alone, as the forward program of its
  /// only stage.
  explicit RankColumn(const std::vector<ChunkPrograms> &one);
  Status run();

private:
  /// Two streams for each of two chunks side by side; what a command has after it is how far each
  /// of these lanes had come.
  static constexpr size_t laneCount = 4;
  using Clock = std::array<uint32_t, laneCount>;
  struct Stamp {
    uint32_t lane = 0, time = 0;
    bool before(const Clock &clock) const { return clock[lane] >= time; }
  };

  struct Value {
    bool written = false, released = false;
    Stamp stamp;
    uint32_t users = 0; ///< chunks to come that have it as an argument
  };

  /// A run of a program for a micro-batch.
  struct Run {
    uint32_t stage, direction, microBatch;
    StageProgram program;
    std::vector<Value> *values; ///< of the micro-batch, which its other runs have too
    std::map<uint32_t, Clock> events;
    size_t left = 0; ///< steps
  };

  /// One stream of one slot in an item: steps of one run, or of an input gradient's and then a
  /// weight gradient's.
  struct Queue {
    std::vector<std::pair<uint32_t, const ChunkStep *>> steps; ///< with the run
    size_t at = 0;
    bool ended() const { return at == steps.size(); }
  };

  /// A chunk, or a pair of them.
  struct Item {
    size_t first, count; ///< chunks of the order
    std::vector<Run> runs;
    std::array<Queue, laneCount> queues;
    std::vector<Stamp> exchanges[2]; ///< by slot
  };

  struct Rank {
    std::vector<Item> items;
    std::array<size_t, 2> at = {}; ///< item of each stream
    std::array<Clock, laneCount> clocks = {};
    std::map<std::pair<uint32_t, uint32_t>, std::vector<Value>>
        values;                   ///< by direction and micro-batch, then number
    std::vector<Stamp> exchanges; ///< of items that have ended on both streams
    size_t ended = 0;
  };

  /// From one stage to another in a direction, by the programs of a kind.
  struct Channel {
    uint32_t from, to, direction;
    StageProgram program;
    auto operator<=>(const Channel &) const = default;
  };
  struct Message {
    uint32_t microBatch, ordinal, value; ///< a value of the sender
  };

  void plan(uint32_t rank);
  void addRuns(Item &item, const fb::Chunk &chunk, uint32_t rank, uint32_t slot);
  void addRun(Item &item, Run run, uint32_t rank, uint32_t slot);
  Result<bool> advance(uint32_t rank, uint32_t stream);
  Result<bool> step(uint32_t rank, Item &item, uint32_t lane);
  Status take(const Run &run, const ChunkStep &step, const Message &message) const;
  Status use(uint32_t rank, Item &item, Run &run, const ChunkStep &step, uint32_t lane);
  Status exchange(Rank &rank, Item &item, uint32_t lane);
  void end(Run &run);
  Status findDeadlock() const;
  Status findLeftovers() const;
  uint32_t way(const Run &run) const;
  const ChunkProgram &programOf(const Run &run) const {
    return stages[run.stage].programs[static_cast<size_t>(run.program)];
  }
  std::string place(uint32_t rank, const Item &item, const Run &run, const ChunkStep &step) const;

  const fb::Ranks *ranks; ///< null: one program
  const std::vector<ChunkPrograms> &stages;
  std::vector<Rank> all;
  std::map<Channel, std::deque<Message>> channels; ///< messages under way
};

} // namespace hadal::verify

#endif // HADAL_RUNTIME_MODULE_RANKCOLUMN_H
