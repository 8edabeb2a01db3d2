//===- Job.h - this process as one rank of a job ---------------===//

#ifndef HADAL_RUNTIME_SESSION_JOB_H
#define HADAL_RUNTIME_SESSION_JOB_H

#include "runtime/comm/InProcessComm.h"
#include "runtime/ranks/ExpertRanks.h"
#include "runtime/ranks/Gather.h"
#include "runtime/ranks/RowShare.h"
#include "runtime/session/Session.h"
#include "runtime/training/Manifest.h"
#include "runtime/training/ranks/ParallelTrainer.h"
#include "runtime/training/ranks/TensorGather.h"

#include <functional>
#include <memory>
#include <optional>

namespace hadal {

/// How ranks deal with each other.
struct JobOptions {
  double rankTimeout = 60; ///< seconds that a rank waits for another in a step or a run
  int64_t linkDelayUs = 0; ///< added to every message
  std::vector<Fact> words; ///< the command and its options, which all ranks must have alike
};

/// The ranks that run one command together: those that mpirun started, or this process alone. All
/// of them come by the same calls in the same order. One thread at a time.
class Job {
public:
  /// Finds the other ranks, and compares what they were told with them: within the rank timeout, or
  /// the process ends by a line. `program` begins the line that a rank says when it is stopped from
  /// outside.
  static Result<std::unique_ptr<Job>> open(const JobOptions &options, const std::string &program);
  ~Job();

  /// Whether the module wants as many ranks as there are: "t.hadal wants 8 ranks: mpirun -n 8
  /// hadal-run ...". What comes is about this module, until another one is taken.
  Status take(const Module &module);

  unsigned rank() const { return comm->rank(); }
  bool isFirst() const { return comm->rank() == 0; }
  bool isOne() const { return comm->size() == 1; }

  /// For what may take as long as it likes: whether it worked on all ranks. The first one has the
  /// error, the others one without text, for nobody has to say it twice.
  Status agree(const Status &mine, const char *what);

  /// The same, and whether all run on the same things.
  Status agree(const Status &mine, const char *what, const std::vector<Fact> &facts);

  /// An error of this rank alone: says it and stops all ranks. Does not come back where there are
  /// others.
  Error stop(const Error &error);

  /// Of an inference module over ranks: lets its programs run, until the job ends.
  void runWith(Executor &executor, Trace *trace);

  /// Which of the shares of sharded parameters is this rank's.
  unsigned shard() const { return table ? layout.epOf(rank()) : inference ? rank() : 0; }

  /// The rows of a batch that are this rank's, where rows go over the ranks.
  RowShare share() const { return {rank(), inference ? comm->size() : 1}; }

  /// Whether it is so on any rank.
  Result<bool> any(bool mine);

  /// The largest number that a rank gives.
  Result<int> largest(int mine, const char *what);

  /// On all ranks: which part this rank has of what the ranks of its machine do together.
  Result<PartOfWork> partOfMachine();

  /// On all ranks: tensors of which each has its share of `rows` rows, along the first dimension,
  /// where `wide` says how many of its rows a row is (of a tensor's name), become whole at the
  /// first one.
  Status gatherRows(std::vector<std::pair<std::string, Tensor>> &tensors, int64_t rows,
                    const std::function<int64_t(const std::string &)> &wide = {});

  Result<Trainables> trainablesOf(Executor &executor);
  Result<std::unique_ptr<Trainer>> trainerOf(Executor &executor, Trainables &trainables,
                                             Trace *trace);

  /// An error of a step: that of all ranks is told by the first one.
  Error failedStep(const Error &error);

  /// On all ranks: the trace of all of them, into a file.
  Status writeTrace(const Trace &trace, const std::string &path);

  /// What each rank says, at the first one.
  Result<std::vector<std::string>> gather(const std::string &mine, const char *what);

  /// Where the tensors of all ranks are read from; null where one rank has all.
  TensorGather *tensors() { return gathered ? &*gathered : nullptr; }

  /// Of a job over ranks; null else.
  ParallelTrainer *parallelTrainer() { return parallel; }

private:
  Job(const JobOptions &options, std::string program)
      : options(options), program(std::move(program)) {}
  Error sayTogether(const Error &error);
  Status compareWords();
  Comm::Seconds patience() const {
    return Comm::Seconds(std::max(3600.0, 10 * options.rankTimeout));
  }

  JobOptions options;
  std::string program;
  std::unique_ptr<InProcessWorld> alone; ///< where there are no others
  std::unique_ptr<Comm> comm;
  const fb::Training *table = nullptr; ///< with ranks; null else
  RankLayout layout;
  SumPlan plan;
  std::optional<TensorGather> gathered;
  ParallelTrainer *parallel = nullptr;
  const fb::Inference *inference = nullptr; ///< null: one rank
  Executor *inferring = nullptr;
  std::unique_ptr<ExpertRanks> experts;
};

} // namespace hadal

#endif // HADAL_RUNTIME_SESSION_JOB_H
