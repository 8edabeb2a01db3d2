//===- MpiComm.cpp - ranks that mpirun started ----------------------------===//

#include "runtime/comm/MpiComm.h"

#include "runtime/comm/MpiTable.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <dlfcn.h>
#include <mutex>
#include <unistd.h>
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

std::string folderOfProgram() {
  char path[4096];
  ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  std::string text(path, length > 0 ? size_t(length) : 0);
  return text.substr(0, text.rfind('/'));
}

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
  for (const char *variable : {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"})
    if (std::getenv(variable) && launch.ranks > 1) {
      launch.rank = number(variable);
      break;
    }
  launch.rankHere = launch.rank % launch.ranksHere;
  for (const char *variable : {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"})
    if (std::getenv(variable) && launch.ranks > 1) {
      launch.rankHere = number(variable);
      break;
    }
  return launch;
}

Result<std::unique_ptr<Comm>> hadal::openMpi() {
  std::string folder = folderOfProgram(), problem;
  void *library = nullptr;
  // MPI's own plug-ins look for its symbols among the global ones.
  for (const std::string &path : {folder + "/libhadal-mpi.so", folder + "/../lib/libhadal-mpi.so",
                                  std::string("libhadal-mpi.so")}) {
    if (path.find('/') != std::string::npos && ::access(path.c_str(), R_OK) != 0)
      continue;
    library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (library)
      break;
    if (const char *text = ::dlerror(); text && problem.empty())
      problem = text;
  }
  auto *open =
      library ? reinterpret_cast<const HadalMpi *(*)()>(::dlsym(library, "hadalMpi")) : nullptr;
  if (!open)
    return unsupported("started as one of " + std::to_string(Launch::ofThisProcess().ranks) +
                       " ranks, and libhadal-mpi.so cannot be loaded: " + problem);
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
