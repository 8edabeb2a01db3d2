//===- Targets.cpp - the table of targets ---------------------------------===//
//
// The one file outside a target's folder that names it.
//
//===------------------------------------------------------------------------===//

#include "passes/targets/Target.h"
#include "passes/targets/cpu/CpuTarget.h"
#include "passes/targets/hopper/HopperTarget.h"
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
    // What a pass makes for it needs no assembler.
    for (StringRef name : hopperTargetNames())
      entries[name.str()].make = [name] { return makeHopperTarget(name, "off"); };
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

/// What `entry` makes, made once.
static llvm::Expected<const Target *> targetOf(Entry &entry) {
  if (!entry.target) {
    auto made = entry.make();
    if (!made)
      return made.takeError();
    entry.target = std::move(*made);
  }
  return entry.target.get();
}

llvm::Expected<const Target *> hadal::findTarget(StringRef name) {
  std::lock_guard lock(table().mutex);
  if (auto known = table().entries.find(name); known != table().entries.end())
    return targetOf(known->second);
  if (isHopperTarget(name)) // with tiers
    return findTarget(name, "", "off");
  return llvm::createStringError("wants a target (" + llvm::join(targetNames(), ", ") + "), got " +
                                 name);
}

llvm::Expected<const Target *> hadal::findTarget(StringRef name, StringRef tiers,
                                                 StringRef assembler) {
  if (!isHopperTarget(name)) {
    auto target = findTarget(name);
    if (target && !tiers.empty())
      return llvm::createStringError("has no tiers of kernels");
    if (target && assembler != "auto")
      return llvm::createStringError("has no assembler of its own");
    return target;
  }
  static std::map<std::string, Entry> bounded; // by name, tiers and assembler
  std::string whole = tiers.empty() ? name.str() : (name + ":" + tiers).str();
  std::lock_guard lock(table().mutex);
  Entry &entry = bounded[whole + "\n" + assembler.str()];
  entry.make = [whole, assembler = assembler.str()] { return makeHopperTarget(whole, assembler); };
  return targetOf(entry);
}

const Target *hadal::findTarget(ModuleOp module, StringRef name) {
  auto found = findTarget(name);
  if (found)
    return *found;
  module.emitError(llvm::toString(found.takeError()));
  return nullptr;
}
