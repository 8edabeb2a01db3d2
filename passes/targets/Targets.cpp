//===- Targets.cpp - the table of targets ---------------------------------===//
//
// The one file outside a target's folder that names it.
//
//===------------------------------------------------------------------------===//

#include "passes/targets/Target.h"
#include "passes/targets/cpu/CpuTarget.h"
#include "llvm/ADT/StringExtras.h"

#include <map>
#include <mutex>

using namespace mlir;
using namespace hadal;

namespace {

struct Entry {
  MakeTarget make;
  std::unique_ptr<const Target> target; ///< once it has been asked for
};

struct Table {
  Table() {
    for (StringRef name : cpuTargetNames())
      entries[name.str()].make = [name] { return makeCpuTarget(name); };
  }
  std::map<std::string, Entry, std::less<>> entries;
  std::recursive_mutex mutex; ///< guards `entries`; a target may be made of another
};

Table &table() {
  static Table targets;
  return targets;
}

} // namespace

void hadal::registerTarget(std::string name, MakeTarget make) {
  std::lock_guard lock(table().mutex);
  table().entries[std::move(name)].make = std::move(make);
}

std::vector<std::string> hadal::targetNames() {
  std::lock_guard lock(table().mutex);
  std::vector<std::string> names;
  for (const auto &[name, entry] : table().entries)
    names.push_back(name);
  return names;
}

llvm::Expected<const Target *> hadal::findTarget(StringRef name) {
  {
    std::lock_guard lock(table().mutex);
    auto known = table().entries.find(name);
    if (known != table().entries.end()) {
      Entry &entry = known->second;
      if (!entry.target) {
        auto made = entry.make();
        if (!made)
          return made.takeError();
        entry.target = std::move(*made);
      }
      return entry.target.get();
    }
  }
  return llvm::createStringError("wants a target (" + llvm::join(targetNames(), ", ") + "), got " +
                                 name);
}

const Target *hadal::findTarget(ModuleOp module, StringRef name) {
  auto found = findTarget(name);
  if (found)
    return *found;
  module.emitError(llvm::toString(found.takeError()));
  return nullptr;
}
