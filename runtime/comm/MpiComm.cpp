//===- MpiComm.cpp - ranks that mpirun started ----------------------------===//

#include "runtime/comm/MpiComm.h"

#include "runtime/SharedLibrary.h"
#include "runtime/comm/MpiTable.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <vector>

using namespace hadal;

namespace {

unsigned number(const char *variable) {
  const char *text = std::getenv(variable);
  long value = text ? std::atol(text) : 0;
  return value > 0 && value < (1 << 24) ? unsigned(value) : 0;
}

class MpiComm final : public Comm {
public:
  MpiComm(const HadalMpi &mpi, int number, int count)
      : mpi(mpi), number(unsigned(number)), count(unsigned(count)) {}
  ~MpiComm() override {
    // The others may be gone after an error: only a whole run ends in order.
    char error[HADAL_MPI_ERROR_BYTES];
    if (!isAborted)
      mpi.finish(error);
  }

  unsigned rank() const override { return number; }
  unsigned size() const override { return count; }

  Result<Message> send(unsigned to, uint32_t tag, const void *data, uint64_t bytes) override {
    std::lock_guard lock(mutex);
    char error[HADAL_MPI_ERROR_BYTES];
    void *request;
    if (mpi.send(int(to), int(tag), data, bytes, &request, error))
      return failed(error);
    return Message{reinterpret_cast<uintptr_t>(request)};
  }
  Result<Message> receive(unsigned from, uint32_t tag, void *data, uint64_t bytes) override {
    std::lock_guard lock(mutex);
    char error[HADAL_MPI_ERROR_BYTES];
    void *request;
    if (mpi.receive(int(from), int(tag), data, bytes, &request, error))
      return failed(error);
    return Message{reinterpret_cast<uintptr_t>(request)};
  }
  Result<Message> reduce(std::span<const unsigned> ranks, unsigned root, ElementType element,
                         void *data, int64_t elements, const Addition &) override {
    HADAL_TRY(checkReduction(ranks, root, element, elements));
    std::vector<int> numbers(ranks.begin(), ranks.end());
    auto at = int(std::find(ranks.begin(), ranks.end(), root) - ranks.begin());
    std::lock_guard lock(mutex);
    char error[HADAL_MPI_ERROR_BYTES];
    void *request;
    if (mpi.reduce(numbers.data(), int(numbers.size()), at, element == ElementType::I32, data,
                   elements, &request, error))
      return failed(error);
    return Message{reinterpret_cast<uintptr_t>(request)};
  }
  Result<bool> test(Message message) override {
    std::lock_guard lock(mutex);
    char error[HADAL_MPI_ERROR_BYTES];
    int done = 0;
    if (mpi.test(reinterpret_cast<void *>(message.number), &done, error))
      return failed(error);
    return done != 0;
  }
  void abort(const std::string &) override {
    isAborted = true;
    mpi.abort();
  }

private:
  Error failed(const char *error) const {
    return ioError("rank " + std::to_string(number) + ": " + error);
  }

  const HadalMpi &mpi;
  unsigned number, count;
  std::mutex mutex;
  std::atomic<bool> isAborted{false};
};

} // namespace

Launch Launch::ofThisProcess() {
  Launch launch;
  for (const char *variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"})
    if (unsigned ranks = number(variable)) {
      launch.ranks = launch.ranksHere = ranks;
      break;
    }
  for (const char *variable :
       {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_TASKS_PER_NODE"})
    if (unsigned ranks = number(variable)) {
      launch.ranksHere = ranks;
      break;
    }
  auto rankOf = [&](std::initializer_list<const char *> variables, unsigned otherwise) {
    for (const char *variable : variables)
      if (std::getenv(variable) && launch.ranks > 1)
        return number(variable);
    return otherwise;
  };
  launch.rank = rankOf({"OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"}, 0);
  launch.rankHere = rankOf({"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"},
                           launch.rank % launch.ranksHere);
  return launch;
}

Result<std::unique_ptr<Comm>> hadal::openMpi() {
  // MPI's own plug-ins look for its symbols among the global ones.
  SharedLibrary library(placesOf("libhadal-mpi.so"), RTLD_NOW | RTLD_GLOBAL);
  auto open = library.find<const HadalMpi *(*)()>("hadalMpi");
  if (!open)
    return unsupported("started as one of " + std::to_string(Launch::ofThisProcess().ranks) +
                       " ranks, and libhadal-mpi.so cannot be loaded: " + library.problem());
  const HadalMpi *table = open();
  if (table->version != HADAL_MPI_VERSION)
    return unsupported("libhadal-mpi.so is of version " + std::to_string(table->version) +
                       ", this program wants " + std::to_string(HADAL_MPI_VERSION));
  char error[HADAL_MPI_ERROR_BYTES];
  int rank = 0, size = 0;
  if (table->start(&rank, &size, error))
    return ioError(error);
  return std::unique_ptr<Comm>(std::make_unique<MpiComm>(*table, rank, size));
}
