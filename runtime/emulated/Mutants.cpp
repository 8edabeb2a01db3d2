//===- Mutants.cpp - kernels with one synchronization less, run beside --===//

#include "runtime/emulated/Mutants.h"

#include "runtime/File.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace hadal::emulated {

std::unique_ptr<Mutants> Mutants::ofEnvironment() {
  const char *path = std::getenv("HADAL_EMULATOR_MUTANTS");
  if (!path)
    return nullptr;
  auto made = std::make_unique<Mutants>();
  made->path = path;
  std::ifstream file(path);
  std::string word, rest;
  while (file >> word && std::getline(file >> std::ws, rest)) {
    if (word == "seeds") {
      made->seeds = std::strtoull(rest.c_str(), nullptr, 10);
      continue;
    }
    Mutant &mutant = made->mutants.emplace_back();
    mutant.kernel = word;
    mutant.path = rest;
  }
  return made;
}

bool Mutants::wants(const std::string &kernel) const {
  return std::any_of(mutants.begin(), mutants.end(), [&](const Mutant &mutant) {
    return mutant.kernel == kernel && mutant.isOpen();
  });
}

Mutants::Snapshot Mutants::take(const std::vector<GlobalRanges::Range> &ranges) {
  Snapshot snapshot;
  for (const GlobalRanges::Range &range : ranges)
    snapshot.emplace_back(reinterpret_cast<const char *>(range.begin),
                          reinterpret_cast<const char *>(range.end));
  return snapshot;
}

void Mutants::restore(const std::vector<GlobalRanges::Range> &ranges, const Snapshot &snapshot) {
  for (size_t i = 0; i < ranges.size(); ++i)
    std::memcpy(reinterpret_cast<void *>(ranges[i].begin), snapshot[i].data(), snapshot[i].size());
}

/// Whether memory is as in the snapshot.
static bool equals(const std::vector<GlobalRanges::Range> &ranges,
                   const Mutants::Snapshot &snapshot) {
  for (size_t i = 0; i < ranges.size(); ++i)
    if (std::memcmp(reinterpret_cast<const void *>(ranges[i].begin), snapshot[i].data(),
                    snapshot[i].size()) != 0)
      return false;
  return true;
}

void Mutants::load(Mutant &mutant) {
  Result<MappedFile> file = MappedFile::open(mutant.path);
  cuda::CUresult result = cuda::CUDA_SUCCESS;
  if (file.ok())
    mutant.image = Image::load(file->bytes().data(), mutant.report, result);
  else
    mutant.report = file.error().message;
}

void Mutants::attempt(Mutant &mutant, const std::vector<GlobalRanges::Range> &ranges,
                      const Snapshot &before, const Snapshot &after, bool oneCluster,
                      const Rerun &rerun) {
  if (!mutant.image)
    load(mutant);
  Function *function = mutant.image ? mutant.image->find(mutant.kernel) : nullptr;
  ++mutant.launches;
  for (uint64_t seed = 0; function && mutant.outcome == "none" && seed < seeds; ++seed) {
    restore(ranges, before);
    // With one cluster twice as often: it shows more.
    std::string failure = rerun(*function, seed, oneCluster && seed % 3 != 2, mutant.report);
    if (!failure.empty())
      mutant.outcome = failure;
    else if (!equals(ranges, after))
      mutant.outcome = "wrong";
  }
  if (mutant.outcome != "none")
    mutant.image.reset();
}

void Mutants::attempt(const Function &kernel, const std::vector<GlobalRanges::Range> &ranges,
                      const Snapshot &before, const Rerun &rerun) {
  Snapshot after = take(ranges);
  restore(ranges, before);
  std::string report;
  bool oneCluster = rerun(kernel, 0, true, report).empty() && equals(ranges, after);
  for (Mutant &mutant : mutants)
    if (mutant.kernel == kernel.name && mutant.isOpen())
      attempt(mutant, ranges, before, after, oneCluster, rerun);
  restore(ranges, after);
  write();
}

void Mutants::write() const {
  std::ofstream file(path + ".outcomes");
  for (const Mutant &mutant : mutants)
    file << mutant.outcome << ' ' << mutant.launches << ' ' << mutant.report << '\n';
}

} // namespace hadal::emulated
