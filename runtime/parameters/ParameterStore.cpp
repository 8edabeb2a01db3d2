//===- ParameterStore.cpp - parameters, whichever modules use them ------===//

#include "runtime/parameters/ParameterStore.h"
#include "runtime/module/Names.h"

#include <cstdio>

using namespace hadal;

std::string hadal::layoutText(const fb::Layout *layout) {
  if (!layout)
    return "as stored";
  std::string text = layout->name() ? layout->name()->str() : "";
  if (const auto *numbers = layout->numbers())
    for (const fb::LayoutNumber *number : *numbers)
      text += " " + number->name()->str() + "=" + std::to_string(number->value());
  return text;
}

static constexpr std::string_view prefix = names::state::weight;

std::optional<ParameterKey> hadal::parameterOf(const fb::Module &module, const fb::State &state,
                                               uint32_t shard) {
  std::string_view name = state.name()->string_view();
  if (!module.training() || !name.starts_with(prefix))
    return std::nullopt;
  name.remove_prefix(prefix.size());
  for (const fb::Trainable *trainable : *module.training()->trainables())
    if (trainable->name()->string_view() == name) {
      // A layout that the state does not describe is the trainable's, by its name.
      std::string_view own = trainable->layout()->string_view();
      bool isNamed = !state.layout() && !own.starts_with("plain.");
      return ParameterKey{std::string(name),
                          isNamed ? std::string(own) : layoutText(state.layout()),
                          trainable->sharded() ? shard : 0};
    }
  return std::nullopt;
}

ParameterKey hadal::parameterOf(const Module &module, const fb::Weight &weight, uint32_t shard) {
  std::string_view name = weight.name()->string_view();
  if (name.starts_with(prefix))
    name.remove_prefix(prefix.size());
  // What is not described is known to this module alone.
  return {std::string(name),
          weight.layout() ? layoutText(weight.layout())
                          : "as module " + std::to_string(module.checksum()) + " packs it",
          shard};
}

Result<std::shared_ptr<DeviceBuffer>> ParameterStore::hold(Device &wanted, const ParameterKey &key,
                                                           uint64_t bytes) {
  if (device && device != &wanted)
    return invalidArgument(key.name + ": lies on another device");
  auto found = stored.find(key);
  if (found == stored.end()) {
    auto parameter =
        std::make_shared<DeviceBuffer>(HADAL_TRY(allocateFor(key.name, wanted, bytes)));
    device = &wanted;
    found = stored.emplace(key, Stored{std::move(parameter), {}}).first;
  }
  const std::shared_ptr<DeviceBuffer> &memory = found->second.memory;
  if (memory->bytes() != bytes)
    return invalidArgument(key.name + ": wants " + std::to_string(bytes) + " bytes " + key.layout +
                           ", the store has " + std::to_string(memory->bytes()));
  return memory;
}

Result<std::shared_ptr<DeviceBuffer>>
ParameterStore::holdState(Device &wanted, const ParameterKey &key, uint64_t bytes) {
  std::shared_ptr<DeviceBuffer> memory = HADAL_TRY(hold(wanted, key, bytes));
  Stored &held = stored.at(key);
  if (!held.content.origin.empty())
    return invalidArgument(key.name + ": the store has packed weights there already");
  held.isState = true;
  return memory;
}

bool ParameterStore::isState(const ParameterKey &key) const {
  auto found = stored.find(key);
  return found != stored.end() && found->second.isState;
}

ParameterContent ParameterStore::content(const ParameterKey &key) const {
  auto found = stored.find(key);
  return found == stored.end() ? ParameterContent() : found->second.content;
}

void ParameterStore::setContent(const ParameterKey &key, ParameterContent content) {
  if (auto found = stored.find(key); found != stored.end())
    found->second.content = std::move(content);
}

std::string ParameterStore::name() const {
  char text[32];
  std::snprintf(text, sizeof text, "store %p", static_cast<const void *>(this));
  return text;
}

uint64_t ParameterStore::version(const std::string &name) const {
  auto found = versions.find(name);
  return found == versions.end() ? 0 : found->second;
}

uint64_t ParameterStore::bytes() const {
  uint64_t sum = 0;
  for (const auto &[key, parameter] : stored)
    sum += parameter.memory->bytes();
  return sum;
}
