// Makes mutants of a compiled module for many ranks, and says which of them are caught before they
// run:
//     hadal-mutants MODULE PER_KIND SEED [FILE]
// Exit status 1 if one is neither caught nor shown to compute the same. FILE gets a mutant that
// lacks a wait, and is caught.

#include "test/schedule/Mutants.h"

#include "runtime/module/Verify.h"

#include <cstdio>
#include <cstdlib>

using namespace hadal;

int main(int argc, char **argv) {
  if (argc != 4 && argc != 5)
    return std::fprintf(stderr, "hadal-mutants MODULE PER_KIND SEED [FILE]\n"), 1;
  Result<Module> opened = Module::open(argv[1]);
  Status status = opened.ok() ? verifyModule(*opened) : Status(opened.error());
  if (!status.ok())
    return std::fprintf(stderr, "%s\n", status.error().message.c_str()), 1;
  Result<MappedFile> file = MappedFile::open(argv[1]);
  if (!file.ok())
    return std::fprintf(stderr, "%s\n", file.error().message.c_str()), 1;
  std::unique_ptr<objects::ModuleT> module(
      objects::GetModule(file->bytes().data() + moduleBytes({}).size())->UnPack());
  if (argc == 5)
    if (Status written = fake::writeMutant(*module, "drop a wait", argv[4]); !written.ok())
      return std::fprintf(stderr, "%s\n", written.error().message.c_str()), 1;
  module->codes[0]->bytes = {0}; // large, and not looked at
  fake::MutantReport report = fake::tryMutants(*module, std::strtoul(argv[2], nullptr, 10),
                                               std::strtoul(argv[3], nullptr, 10));
  for (const auto &[kind, counts] : report.kinds)
    std::printf("%4zu of %4zu caught: %s\n", counts.second, counts.first, kind.c_str());
  for (const std::string &line : report.equivalent)
    std::printf("equivalent: %s\n", line.c_str());
  for (const std::string &line : report.survived)
    std::printf("SURVIVED: %s\n", line.c_str());
  std::printf("%zu caught, %zu equivalent, %zu survived\n", report.caught, report.equivalent.size(),
              report.survived.size());
  return report.survived.empty() ? 0 : 1;
}
