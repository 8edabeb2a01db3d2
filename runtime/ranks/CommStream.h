//===- CommStream.h - stream 1 of the chunks in flight ------------------===//
//
// Issues the communication of chunks when what it needs is there: the driver's thread does so at
// the borders of calls and while it waits, a thread of the stream's own moves messages on while the
// driver's computes. Commands of a chunk begin in their order; an exchange's sizes are known when
// its counts have come.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_RANKS_COMMSTREAM_H
#define HADAL_RUNTIME_RANKS_COMMSTREAM_H

#include "runtime/Trace.h"
#include "runtime/comm/Comm.h"
#include "runtime/ranks/MicroBatchValues.h"
#include "runtime/ranks/RankLayout.h"
#include "runtime/ranks/StreamComm.h"

#include <condition_variable>
#include <list>
#include <mutex>
#include <set>
#include <thread>

namespace hadal {

/// A chunk program that runs: F, I or W of a micro-batch. Both threads use it, under the stream's
/// mutex.
struct ChunkRun {
  ChunkRun(std::string name, const PlannedProgram &program, MicroBatchValues &values)
      : name(std::move(name)), program(program), values(values) {}

  std::string name; ///< "F0.3"
  const PlannedProgram &program;
  MicroBatchValues &values;
  size_t next[2] = {0, 0};     ///< place in the list of each stream
  std::set<uint32_t> recorded; ///< events

  /// Commands from this one on have to wait; 0 while the chunk is only looked at for what it
  /// receives first.
  uint32_t limit = 0;
  bool isAhead = true;

  /// A command that waits for messages.
  struct Arrival {
    uint32_t command;
    std::vector<std::pair<unsigned, Message>> open; ///< by the rank that sends
    std::vector<uint32_t> values;                   ///< that are written
    std::vector<std::shared_ptr<std::byte>> held;
    int64_t beginNs;
    Trace::Ends ends;
  };
  std::list<Arrival> arrivals;
  std::vector<std::pair<uint32_t, uint32_t>>
      records; ///< events that wait for the arrivals of commands before theirs: event, command

  bool isDone(unsigned stream) const { return next[stream] == program.streams[stream].size(); }
  /// All commands of stream 1 before `command` have happened, but for what others have not yet
  /// taken.
  bool hasArrived(uint32_t command) const;
  bool isFinished() const { return isDone(0) && isDone(1) && arrivals.empty() && records.empty(); }
};

class CommStream {
public:
  /// All of them must outlive the stream. The trace may be null.
  CommStream(const RankLayout &layout, Comm &comm, Device &device, MemoryPool &pool, Trace *trace);
  ~CommStream();

  /// The mutex of all chunks in flight.
  std::unique_lock<std::mutex> lock() { return std::unique_lock(mutex); }

  // Under the lock:
  void add(ChunkRun &run) { active.push_back(&run); }
  void remove(ChunkRun &run) { active.remove(&run); }
  /// Issues and takes note of what there is.
  Status poll();
  /// Lets others work for a moment, then polls. The error of what failed.
  Status wait(std::unique_lock<std::mutex> &lock);
  /// What a chunk waits for, as "command 4: receives 'hidden' from rank 1", and the rank; none
  /// where it waits for nobody.
  std::optional<std::pair<unsigned, std::string>> firstMissing(const ChunkRun &run) const;
  /// Messages that the other side has not taken.
  bool hasSends() const { return !sends.empty(); }
  std::pair<unsigned, std::string> firstSend() const;

  /// "command 4: sends 'hidden'".
  static std::string describe(const ChunkRun &run, uint32_t command);

private:
  struct Sending {
    unsigned to;
    Message message;
    std::shared_ptr<std::byte> held;
    std::string what;
    bool isTraced; ///< an exchange is shown once, by what arrives
    int64_t beginNs;
    uint32_t tag;
  };
  void work();
  bool isBusy() const;
  Result<bool> moveOn();
  Result<bool> advance(ChunkRun &run);
  Result<bool> collect(ChunkRun &run);
  Result<bool> issue(ChunkRun &run, uint32_t command);
  Status send(ChunkRun &run, uint32_t command, unsigned to, uint32_t tag, const std::byte *data,
              uint64_t bytes, std::shared_ptr<std::byte> held);
  Result<bool> issueSend(ChunkRun &run, uint32_t at, const fb::Send &send);
  Result<bool> issueReceive(ChunkRun &run, uint32_t at, const fb::Receive &receive);
  Result<bool> issueCounts(ChunkRun &run, uint32_t at, const fb::ExchangeCounts &exchange);
  Result<bool> issueExchange(ChunkRun &run, uint32_t at, const fb::Exchange &exchange);
  Status finish(ChunkRun &run, const ChunkRun::Arrival &arrival);
  Status copy(DeviceAddress to, DeviceAddress from, uint64_t bytes);
  Result<std::vector<int32_t>> countsIn(const MicroBatchValues::Value &value, uint64_t count);
  Error failedAt(const ChunkRun &run, uint32_t command, const Error &error) const;
  int64_t now() const { return trace ? trace->now() : 0; }

  const RankLayout &layout;
  StreamComm comm;
  Device &device;
  MemoryPool &pool;
  Trace *trace;

  std::mutex mutex;
  std::condition_variable forThread;
  std::list<ChunkRun *> active;
  std::list<Sending> sends;
  std::unique_ptr<Stream> stream; ///< of the device, once there is something to do on it
  Status failed;
  bool mainWaits = false, stopping = false, sleeps = false;
  Pause pause; ///< of the driver's thread
  std::thread thread;
};

} // namespace hadal

#endif // HADAL_RUNTIME_RANKS_COMMSTREAM_H
