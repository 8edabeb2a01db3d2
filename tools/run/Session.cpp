//===- Session.cpp - a module with its weights, ready to run ------------===//

#include "tools/run/Session.h"

#include "runtime/CheckpointFit.h"
#include "runtime/DataDigest.h"
#include "runtime/comm/MpiComm.h"
#include "runtime/module/Verify.h"
#include "tools/Progress.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <unistd.h>

using namespace hadal;
using namespace hadal::run;

Status run::checkFolderOf(const std::string &path) {
  if (path.empty() || path == "-")
    return {};
  if (isStream(path))
    return ::access(path.c_str(), W_OK) == 0 ? Status()
                                             : Status(ioError(path + ": " + std::strerror(errno)));
  std::string folder = std::filesystem::path(path).parent_path().string();
  if (folder.empty())
    folder = ".";
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored))
    return ioError(path + ": there is no folder '" + folder + "'");
  if (::access(folder.c_str(), W_OK) != 0)
    return ioError(path + ": the folder '" + folder + "' cannot be written to");
  if (std::filesystem::is_directory(path, ignored))
    return ioError(path + ": is a folder");
  return {};
}

std::string run::weightsFolder(const SessionOptions &options) {
  std::error_code ignored;
  if (std::filesystem::is_directory(options.weights, ignored))
    return options.weights;
  std::string folder = std::filesystem::path(options.weights).parent_path().string();
  return folder.empty() ? "." : folder;
}

Result<std::unique_ptr<Session>> Session::open(const SessionOptions &options,
                                               std::optional<Module> carried) {
  HADAL_TRY(checkFolderOf(options.output));
  HADAL_TRY(checkFolderOf(options.trace));
  Module module = carried ? std::move(*carried) : HADAL_TRY(Module::open(options.module));
  std::unique_ptr<Session> session(new Session(std::move(module), options));
  HADAL_TRY(checkTargets(session->device, session->opened));
  HADAL_TRY(verifyModule(session->opened));
  if (Status started = session->device.started(); !started)
    return Error{started.error().code, "--threads: " + started.error().message};
  return session;
}

unsigned Session::defaultThreads() {
  return std::max(1u, ThreadPool::availableThreads() / Launch::ofThisProcess().ranksHere);
}

Status Session::openWeights() {
  if (options.weights.empty() || opened.tables().training())
    return {};
  checkpoint.emplace(HADAL_TRY(Checkpoint::open(options.weights)));
  return checkConfig(opened, *checkpoint);
}

void Session::addFacts(std::vector<Fact> &facts) const {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(opened.checksum()));
  facts.push_back({"a module", text});
  if (!checkpoint)
    return;
  DataDigest digest;
  digest.add(*checkpoint);
  facts.push_back({"weights", digest.text()});
}

Status Session::load(unsigned part) {
  auto start = std::chrono::steady_clock::now();
  if (!checkpoint)
    HADAL_TRY(openWeights());
  if (opened.tables().training()) {
    // Nothing to pack.
  } else if (checkpoint) {
    Progress progress("packing weights");
    weights = HADAL_TRY(WeightStore::load(
        opened, device, std::move(*checkpoint),
        [&](uint64_t done, uint64_t total) { progress.show(done, total); }, part));
  } else if (auto *parameters = opened.tables().parameters(); parameters && parameters->size()) {
    return invalidArgument(opened.path() + ": reads " + std::to_string(parameters->size()) +
                           " parameters; give their checkpoint with --weights");
  }
  runner = HADAL_TRY(Executor::create(opened, device, weights));
  HADAL_TRY(runner->setMemoryCheck(options.checkMemory));
  if (!options.trace.empty())
    runner->setTrace(&trace);
  seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {};
}

Status Session::writeTrace() const {
  return options.trace.empty() ? Status() : trace.write(options.trace);
}
