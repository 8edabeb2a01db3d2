//===- LaunchPlaces.cpp - which layer of the model a launch belongs to ----===//

#include "runtime/LaunchPlaces.h"

#include <charconv>
#include <limits>
#include <vector>

using namespace hadal;

/// Reads a number that ends the text or stands before a dot, and drops both.
static int64_t takeNumber(std::string_view &text) {
  int64_t number = -1;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  size_t length = size_t(end - text.data());
  if (error != std::errc() || number < 0 || (length < text.size() && text[length] != '.'))
    return -1;
  text.remove_prefix(std::min(text.size(), length + 1));
  return number;
}

LaunchPlace hadal::placeOf(std::string_view name) {
  constexpr std::string_view layers = "layers.", ending = ".weight";
  std::string_view tensor = name;
  if (tensor.size() > ending.size() && tensor.ends_with(ending))
    tensor.remove_suffix(ending.size());
  for (size_t at = tensor.find(layers); at != tensor.npos; at = tensor.find(layers, at + 1)) {
    std::string_view rest = tensor.substr(at + layers.size());
    if (at > 0 && tensor[at - 1] != '.')
      continue;
    if (int64_t layer = takeNumber(rest); layer >= 0)
      return {layer, rest};
  }
  for (std::string_view kept : {"cache.", "loads."})
    if (std::string_view rest = name; rest.starts_with(kept)) {
      rest.remove_prefix(kept.size());
      return {takeNumber(rest), {}};
    }
  if (tensor.size() == name.size())
    return {};
  return {-1, tensor.substr(tensor.rfind('.') + 1)};
}

namespace {

/// A launch in the order in which it runs.
struct Step {
  const fb::Program *program;
  const fb::Launch *launch;
  LaunchPlace place;
  bool isNamed() const { return place.layer >= 0 || !place.tensor.empty(); }
  /// Ascends from the embedding over the model's layers and its head to those of MTP.
  double depth(int64_t layers) const {
    return place.layer >= 0                 ? double(place.layer)
           : place.tensor == "embed_tokens" ? -1
                                            : double(layers) - 0.5;
  }
};

class Walk {
public:
  explicit Walk(const fb::Module &module)
      : module(module), isCalled(module.programs()->size()), isDone(module.programs()->size()) {
    for (const fb::Program *program : *module.programs())
      findCalls(*program->commands());
  }

  /// Launches of a program and of those that it calls; none where something else calls it.
  std::vector<Step> stepsFrom(uint32_t program) {
    steps.clear();
    if (!isCalled[program])
      enter(program, 0);
    return std::move(steps);
  }

private:
  using Commands = flatbuffers::Vector<flatbuffers::Offset<fb::Command>>;
  static constexpr int deepest = 64;

  void findCalls(const Commands &commands) {
    for (const fb::Command *command : commands)
      if (const fb::Call *call = command->action_as_Call())
        isCalled[call->program()] = true;
      else if (const Commands *body = bodyOf(*command))
        findCalls(*body);
  }
  static const Commands *bodyOf(const fb::Command &command) {
    if (const fb::Repeat *repeat = command.action_as_Repeat())
      return repeat->body();
    const fb::SkipIfZero *skip = command.action_as_SkipIfZero();
    return skip ? skip->body() : nullptr;
  }
  /// Each program once: a launch has one place.
  void enter(uint32_t number, int depth) {
    if (isDone[number] || depth > deepest)
      return;
    isDone[number] = true;
    const fb::Program &program = *module.programs()->Get(number);
    enter(program, *program.commands(), depth);
  }
  void enter(const fb::Program &program, const Commands &commands, int depth) {
    for (const fb::Command *command : commands)
      if (const fb::Launch *launch = command->action_as_Launch())
        steps.push_back({&program, launch, ownPlace(*launch)});
      else if (const fb::Call *call = command->action_as_Call())
        enter(call->program(), depth + 1);
      else if (const Commands *body = bodyOf(*command))
        enter(program, *body, depth);
  }

  /// By what it binds: a tensor says more than a cache.
  LaunchPlace ownPlace(const fb::Launch &launch) const {
    LaunchPlace place;
    for (const fb::Binding *binding : *launch.bindings()) {
      LaunchPlace one = placeOf(nameOf(*binding));
      if (place.tensor.empty() && (one.layer >= 0 || place.layer < 0))
        place = one;
    }
    return place;
  }
  std::string_view nameOf(const fb::Binding &binding) const {
    switch (binding.space()) {
    case fb::Space_Parameter:
      return module.parameters()->Get(binding.index())->name()->string_view();
    case fb::Space_Weight: return module.weights()->Get(binding.index())->name()->string_view();
    case fb::Space_State: return module.states()->Get(binding.index())->name()->string_view();
    default: return {};
    }
  }

  const fb::Module &module;
  std::vector<bool> isCalled, isDone;
  std::vector<Step> steps;
};

} // namespace

/// Whether `next` binds what `step`, the launch before, writes: its last buffer.
static bool feeds(const Step &step, const Step &next) {
  if (step.program != next.program || step.launch->bindings()->size() == 0)
    return false;
  const fb::Binding &written = *step.launch->bindings()->Get(step.launch->bindings()->size() - 1);
  for (const fb::Binding *read : *next.launch->bindings())
    if (read->space() == written.space() && read->index() == written.index())
      return true;
  return false;
}

/// Gives launches without a name the layer of their neighbours.
static void fill(std::vector<Step> &steps, int64_t layers) {
  std::vector<const Step *> after(steps.size()); // the next that has a name of its own
  const Step *next = nullptr;
  for (size_t i = steps.size(); i-- > 0;) {
    after[i] = next;
    if (steps[i].isNamed())
      next = &steps[i];
  }
  const Step *before = nullptr;
  for (size_t i = 0; i < steps.size(); ++i) {
    Step &step = steps[i];
    if (step.isNamed()) {
      before = &step;
      continue;
    }
    const Step *chosen = before ? before : after[i];
    if (before && after[i]) {
      bool descends = after[i]->depth(layers) < before->depth(layers);
      bool isNext = after[i] == &step + 1 && feeds(step, *after[i]);
      if (descends || isNext)
        chosen = after[i];
    }
    // Of a place outside of layers only the tensor is known, and this launch has none.
    if (chosen && chosen->place.layer >= 0)
      step.place.layer = chosen->place.layer;
  }
}

LaunchPlaces::LaunchPlaces(const Module &module) {
  int64_t layers = module.model() ? module.model()->layers() : std::numeric_limits<int32_t>::max();
  Walk walk(module.tables());
  for (uint32_t i = 0; i < module.tables().programs()->size(); ++i) {
    std::vector<Step> steps = walk.stepsFrom(i);
    fill(steps, layers);
    for (const Step &step : steps)
      places[step.launch] = step.place;
  }
}
