//===- Job.cpp - this process as one rank of a job -------------===//

#include "runtime/session/Job.h"

#include "runtime/comm/DelayedComm.h"
#include "runtime/comm/MpiComm.h"
#include "runtime/ranks/Gather.h"
#include "runtime/ranks/Tags.h"
#include "runtime/session/StopSignal.h"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>
#include <unistd.h>

using namespace hadal;

static std::string bootId() {
  std::string text(64, 0);
  if (std::FILE *file = std::fopen("/proc/sys/kernel/random/boot_id", "r")) {
    text.resize(std::fread(text.data(), 1, text.size(), file));
    std::fclose(file);
  }
  return text;
}

namespace {
/// Ends the process with a line when MPI has not started in time: a rank that was stopped before
/// never comes, and the others would wait for it without end. mpirun ends them all then.
class StartLimit {
public:
  StartLimit(double seconds, std::string who)
      : thread([this, seconds, who] {
          std::unique_lock lock(mutex);
          if (started.wait_for(lock, std::chrono::duration<double>(seconds),
                               [&] { return isStarted; }))
            return;
          char line[256];
          std::snprintf(line, sizeof line,
                        "%s%g s without all ranks at the start: one of them has not come\n",
                        who.c_str(), seconds);
          (void)!::write(STDERR_FILENO, line, std::strlen(line));
          ::_exit(1);
        }) {}
  ~StartLimit() {
    {
      std::lock_guard lock(mutex);
      isStarted = true;
    }
    started.notify_all();
    thread.join();
  }

private:
  std::mutex mutex;
  std::condition_variable started;
  bool isStarted = false;
  std::thread thread; ///< last: it uses the others
};
} // namespace

Result<std::unique_ptr<Job>> Job::open(const JobOptions &options, const std::string &program) {
  std::unique_ptr<Job> job(new Job(options, program));
  Launch launch = Launch::ofThisProcess();
  if (launch.ranks > 1) {
    // Before MPI starts: ranks meet there for the first time, and one of them may never come.
    std::string who = program + ": rank " + std::to_string(launch.rank) + ": ";
    StopSignal::nameRank(who);
    StartLimit limit(options.rankTimeout, who);
    job->comm = HADAL_TRY(openMpi());
  } else {
    job->alone = std::make_unique<InProcessWorld>(1);
    job->comm = job->alone->comm(0);
  }
  if (options.linkDelayUs > 0)
    job->comm = std::make_unique<DelayedComm>(std::move(job->comm),
                                              std::chrono::microseconds(options.linkDelayUs));
  HADAL_TRY(job->compareWords());
  return job;
}

Status Job::compareWords() {
  if (isOne())
    return {};
  auto all =
      compare(*comm, {}, options.words, Comm::Seconds(options.rankTimeout), "compares its options");
  if (!all.ok())
    return stop(all.error());
  return all->ok() ? Status() : Status(sayTogether(all->error()));
}

Job::~Job() {
  if (inferring)
    inferring->setRanks(nullptr);
  if (comm && !isOne())
    StopSignal::restore();
}

Status Job::take(const Module &module) {
  // What belongs to a module that was taken before.
  gathered.reset();
  parallel = nullptr;
  const fb::Training *training = module.tables().training();
  table = training && training->ranks() ? training : nullptr;
  inference = module.tables().inference();
  unsigned wanted = HADAL_TRY(ranksOf(module));
  if (wanted != comm->size() && isOne())
    return invalidArgument(module.path() + " wants " + std::to_string(wanted) +
                           " ranks: mpirun -n " + std::to_string(wanted) + " " + program + " ...");
  if (wanted != comm->size())
    return invalidArgument(module.path() + " is for " + std::to_string(wanted) +
                           (wanted == 1 ? " rank" : " ranks") + ", mpirun started " +
                           std::to_string(comm->size()));
  if (!table)
    return {};
  layout = HADAL_TRY(RankLayout::of(*table, rank()));
  plan = SumPlan::of(module.tables(), layout);
  return {};
}

Status Job::agree(const Status &mine, const char *what) {
  if (isOne())
    return mine;
  Status all = hadal::agree(*comm, mine, patience(), what);
  return all.ok() ? all : sayTogether(all.error());
}

Status Job::agree(const Status &mine, const char *what, const std::vector<Fact> &facts) {
  if (isOne())
    return mine;
  auto all = compare(*comm, mine, facts, patience(), what);
  if (!all.ok())
    return stop(all.error());
  return all->ok() ? Status() : Status(sayTogether(all->error()));
}

/// What all ranks know one of them says. None ends before: mpirun ends the others then, perhaps
/// before they have said it.
Error Job::sayTogether(const Error &error) {
  if (isFirst()) {
    std::fprintf(stderr, "%s: %s\n", program.c_str(), error.message.c_str());
    std::fflush(stderr);
  }
  (void)hadal::agree(*comm, {}, patience(), "ends");
  return {error.code, ""};
}

Error Job::stop(const Error &error) {
  if (isOne())
    return error;
  std::string prefix = "rank " + std::to_string(rank()) + ": ";
  std::fprintf(stderr, "%s: %s%s\n", program.c_str(),
               error.message.starts_with(prefix) ? "" : prefix.c_str(), error.message.c_str());
  std::fflush(stderr);
  StopSignal::ignore(); // it has been said
  comm->abort(error.message);
  return {error.code, ""};
}

void Job::runWith(Executor &executor, Trace *trace) {
  if (!inference)
    return;
  experts =
      std::make_unique<ExpertRanks>(executor, *comm, trace, Comm::Seconds(options.rankTimeout));
  executor.setRanks(experts.get());
  inferring = &executor;
}

Result<bool> Job::any(bool mine) {
  if (isOne())
    return mine;
  auto all = HADAL_TRY(gatherAll(*comm, mine ? "1" : "", Comm::Seconds(options.rankTimeout),
                                 "asks whether there is more to run"));
  return std::any_of(all.begin(), all.end(), [](const std::string &one) { return !one.empty(); });
}

Result<int> Job::largest(int mine, const char *what) {
  if (isOne())
    return mine;
  std::vector<std::string> all =
      HADAL_TRY(gatherAll(*comm, std::to_string(mine), Comm::Seconds(options.rankTimeout), what));
  int largest = mine;
  for (const std::string &one : all)
    largest = std::max(largest, std::atoi(one.c_str()));
  return largest;
}

Status Job::gatherRows(std::vector<std::pair<std::string, Tensor>> &tensors, int64_t rows,
                       const std::function<int64_t(const std::string &)> &wide) {
  if (isOne())
    return {};
  uint32_t tag = stepTag(StepTag::Tensor);
  for (auto &[name, tensor] : tensors) {
    std::string what = "collects " + name;
    if (!isFirst()) {
      HADAL_TRY(sendNow(*comm, 0, tag, tensor.data(), tensor.bytes(), patience(), what));
      continue;
    }
    int64_t each = wide ? wide(name) : 1;
    Shape shape = tensor.shape();
    shape[0] = rows * each;
    Tensor whole = HADAL_TRY(Tensor::create(tensor.element(), std::move(shape)));
    uint64_t rowBytes = whole.bytes() / uint64_t(rows);
    auto *to = static_cast<std::byte *>(whole.data());
    std::memcpy(to, tensor.data(), tensor.bytes());
    RowShare all = share();
    for (unsigned rank = 1; rank < comm->size(); ++rank)
      HADAL_TRY(receiveNow(*comm, rank, tag, to + uint64_t(all.firstOf(rank, rows)) * rowBytes,
                           uint64_t(all.countOf(rank, rows)) * rowBytes, patience(), what));
    tensor = std::move(whole);
  }
  return {};
}

Result<PartOfWork> Job::partOfMachine() {
  if (isOne())
    return PartOfWork();
  std::vector<std::string> all =
      HADAL_TRY(gatherAll(*comm, bootId(), patience(), "counts the ranks of a machine"));
  PartOfWork part{0, 0};
  for (unsigned other = 0; other < all.size(); ++other)
    if (all[other] == all[rank()]) {
      part.index += other < rank();
      ++part.count;
    }
  return part;
}

Result<Trainables> Job::trainablesOf(Executor &executor) {
  return Trainables::create(executor, table ? plan.sharesOf(*table, layout) : TensorShares());
}

Result<std::unique_ptr<Trainer>> Job::trainerOf(Executor &executor, Trainables &trainables,
                                                Trace *trace) {
  if (!table)
    return Trainer::create(executor, trainables);
  ParallelOptions parallelOptions;
  parallelOptions.timeout = Comm::Seconds(options.rankTimeout);
  parallelOptions.overlap = table->ranks()->overlap();
  auto trainer = HADAL_TRY(
      ParallelTrainer::create(executor, trainables, plan, layout, *comm, trace, parallelOptions));
  parallel = trainer.get();
  gathered.emplace(trainables, *comm, Comm::Seconds(10 * options.rankTimeout));
  return std::unique_ptr<Trainer>(std::move(trainer));
}

Error Job::failedStep(const Error &error) {
  if (isOne())
    return error;
  if (parallel && parallel->failedTogether())
    return sayTogether(error);
  return stop(error);
}

Result<std::vector<std::string>> Job::gather(const std::string &mine, const char *what) {
  return gatherAtFirst(*comm, mine, patience(), what);
}

/// Nanoseconds to add to this machine's clock to have that of the first rank: what the quickest of
/// some questions says.
static Result<int64_t> clockOffset(Comm &comm, Comm::Seconds timeout) {
  using Clock = std::chrono::steady_clock;
  auto now = [] { return Clock::now().time_since_epoch() / std::chrono::nanoseconds(1); };
  constexpr int questions = 16;
  uint32_t tag = stepTag(StepTag::Clock);
  const char *what = "compares clocks";
  int64_t best = INT64_MAX, offset = 0;
  if (comm.rank() != 0) {
    for (int i = 0; i < questions; ++i) {
      int64_t begin = now(), theirs = 0;
      HADAL_TRY(sendNow(comm, 0, tag, &begin, sizeof begin, timeout, what));
      HADAL_TRY(receiveNow(comm, 0, tag, &theirs, sizeof theirs, timeout, what));
      int64_t end = now();
      if (end - begin < best)
        best = end - begin, offset = theirs - (begin + end) / 2;
    }
    return offset;
  }
  for (unsigned rank = 1; rank < comm.size(); ++rank)
    for (int i = 0; i < questions; ++i) {
      int64_t asked;
      HADAL_TRY(receiveNow(comm, rank, tag, &asked, sizeof asked, timeout, what));
      int64_t here = now();
      HADAL_TRY(sendNow(comm, rank, tag, &here, sizeof here, timeout, what));
    }
  return 0;
}

Status Job::writeTrace(const Trace &trace, const std::string &path) {
  if (path.empty())
    return {};
  if (isOne())
    return trace.write(path);
  // Ranks of one machine have one clock; where there are more machines, all compare theirs with the
  // first one's.
  std::string mine = bootId();
  mine.append(reinterpret_cast<const char *>(std::vector<int64_t>{trace.startNs()}.data()),
              sizeof(int64_t));
  std::vector<std::string> all =
      HADAL_TRY(gatherAll(*comm, mine, patience(), "begins to collect the trace"));
  auto machine = [](const std::string &text) {
    return text.substr(0, text.size() - sizeof(int64_t));
  };
  int64_t firstStart;
  std::memcpy(&firstStart, all[0].data() + all[0].size() - sizeof firstStart, sizeof firstStart);
  bool isOneMachine = std::all_of(all.begin(), all.end(), [&](const std::string &text) {
    return machine(text) == machine(all[0]);
  });
  int64_t offset = isOneMachine ? 0 : HADAL_TRY(clockOffset(*comm, patience()));
  std::string text =
      isFirst() ? "" : trace.eventsText(rank(), trace.startNs() + offset - firstStart);
  std::vector<std::string> texts = HADAL_TRY(gather(text, "collects the trace"));
  return isFirst() ? trace.write(path, texts) : Status();
}
