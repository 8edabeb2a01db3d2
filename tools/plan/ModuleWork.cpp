//===- ModuleWork.cpp - a step's work, from a module --------------===//

#include "tools/plan/ModuleWork.h"

#include "runtime/LaunchPlaces.h"
#include "runtime/module/RankSizes.h"

#include <algorithm>
#include <cstdio>
#include <set>

using namespace hadal;
using namespace hadal::plan;

Result<Layout> plan::layoutOf(const Module &module) {
  const fb::Training *t = module.tables().training();
  if (!t || !t->ranks())
    return invalidArgument(
        module.path() +
        ": wants a module for training on many ranks (hadal-compile --mode=train --pp=...)");
  const fb::Ranks &r = *t->ranks();
  Layout l;
  l.schedule = r.schedule()->str();
  l.pp = r.pp(), l.ep = r.ep(), l.dp = r.dp(), l.nodes = r.nodes();
  l.sequences = t->micro_batches() * t->micro_batch();
  l.sequence = t->sequence();
  l.microBatch = t->micro_batch();
  l.products = t->precision()->str();
  l.precision = l.products == "fp8" ? Precision::Fp8 : Precision::Bf16;
  // GPUs of a cluster file have no rates for f32.
  if (l.products == "fp32")
    l.products += " at the rates of bf16";
  return l;
}

namespace {

class StageReader {
public:
  StageReader(const fb::Module &module, const LaunchPlaces &places, const fb::Stage &stage,
              Precision precision)
      : module(module), places(places), ranks(*module.training()->ranks()), stage(stage),
        precision(precision), registers(balancedRegisters(module, stage)) {}

  Result<StageWork> read();
  double attentionFlops = 0; ///< of the forward program

private:
  Result<Parts> parts(uint32_t program, bool weightGrad);
  Result<Part> exchange(const fb::Program &program, const fb::Exchange &exchange) const;
  Status addCall(const fb::Program &caller, const fb::Call &call, bool weightGrad, Part &part);
  Status addCommands(const fb::Program &program,
                     const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> &commands,
                     const NamedRegisters &values, double times, bool weightGrad, Part &part);
  Result<Kernels> launch(const fb::Program &program, const fb::Launch &launch,
                         const NamedRegisters &values, bool weightGrad) const;
  Result<double> bindingBytes(const fb::Program &program, const fb::Binding &binding,
                              const NamedRegisters &values) const;
  Status addParameters(StageWork &work) const;
  Status addActivations(StageWork &work) const;

  const fb::Module &module;
  const LaunchPlaces &places;
  const fb::Ranks &ranks;
  const fb::Stage &stage;
  Precision precision;
  NamedRegisters registers;
};

/// What kernels of that name are; the compiler names them after the op they come from.
struct Named {
  const char *prefix;
  KernelKind kind;
  bool routed;
};
constexpr Named kernelNames[] = {{"matmul", KernelKind::Gemm, false},
                                 {"grouped_matmul", KernelKind::GroupedGemm, true},
                                 {"moe_grouped_weight_grad", KernelKind::GroupedWeightGrad, true},
                                 {"mla_attention_grad", KernelKind::AttentionGrad, false},
                                 {"mla_attention", KernelKind::Attention, false}};

/// An upper bound of what a launch touches: each of its buffers once.
Result<double> StageReader::bindingBytes(const fb::Program &program, const fb::Binding &binding,
                                         const NamedRegisters &values) const {
  switch (binding.space()) {
  case fb::Space_Argument:
    return double(HADAL_TRY(argumentBytes(program, binding.index(), values)));
  case fb::Space_Temporary:
    return double(HADAL_TRY(
        evaluateIn(program, *program.temporaries()->Get(binding.index())->bytes(), values)));
  default:
    return 0; // States are read in part (rows of the embedding) or small beside what a launch makes
              // of them.
  }
}

Result<Kernels> StageReader::launch(const fb::Program &program, const fb::Launch &launch,
                                    const NamedRegisters &values, bool weightGrad) const {
  std::string symbol = module.kernels()->Get(launch.kernel())->symbol()->str();
  Kernels k;
  k.precision = precision;
  k.flops = double(HADAL_TRY(evaluateIn(program, *launch.flops(), values)));
  if (k.flops <= 0) {
    for (const fb::Binding *binding : *launch.bindings())
      k.bytes += HADAL_TRY(bindingBytes(program, *binding, values));
    return k;
  }
  k.kind = KernelKind::Gemm;
  for (const Named &named : kernelNames)
    if (symbol.rfind(named.prefix, 0) == 0) {
      k.kind = named.kind;
      k.routed = named.routed;
      break;
    }
  // "matmul_48x96_4" is a product with sums of length 96. Weight gradients sum over rows.
  long long n = 0, length = 0;
  size_t digits = symbol.find_first_of("0123456789");
  if (digits != std::string::npos &&
      std::sscanf(symbol.c_str() + digits, "%lldx%lld", &n, &length) == 2)
    k.length = double(length);
  else
    k.length = double(registers.find("tokens")->second);
  if (weightGrad && k.kind <= KernelKind::GroupedGemm)
    k.kind = k.kind == KernelKind::Gemm ? KernelKind::WeightGrad : KernelKind::GroupedWeightGrad;
  return k;
}

Status
StageReader::addCommands(const fb::Program &program,
                         const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> &commands,
                         const NamedRegisters &values, double times, bool weightGrad, Part &part) {
  for (const fb::Command *command : commands) {
    if (const fb::Launch *each = command->action_as_Launch()) {
      Kernels k = HADAL_TRY(launch(program, *each, values, weightGrad));
      k.flops *= times, k.bytes *= times, k.launches *= times;
      part.kernels.push_back(k);
      if (int64_t layer = places.of(*each).layer; layer >= 0) {
        part.firstLayer = part.firstLayer < 0 ? layer : std::min(part.firstLayer, layer);
        part.lastLayer = std::max(part.lastLayer, layer);
      }
    } else if (const fb::Copy *copy = command->action_as_Copy()) {
      double bytes = double(HADAL_TRY(evaluateIn(program, *copy->bytes(), values)));
      part.kernels.push_back(
          {KernelKind::Elementwise, precision, 0, 2 * bytes * times, 0, times, false});
    } else if (const fb::Repeat *repeat = command->action_as_Repeat()) {
      double count = double(HADAL_TRY(evaluateIn(program, *repeat->count(), values)));
      HADAL_TRY(addCommands(program, *repeat->body(), values, times * count, weightGrad, part));
    } else if (const fb::SkipIfZero *skip = command->action_as_SkipIfZero()) {
      if (HADAL_TRY(evaluateIn(program, *skip->value(), values)))
        HADAL_TRY(addCommands(program, *skip->body(), values, times, weightGrad, part));
    }
  }
  return {};
}

Status StageReader::addCall(const fb::Program &caller, const fb::Call &call, bool weightGrad,
                            Part &part) {
  const fb::Program &callee = *module.programs()->Get(call.program());
  NamedRegisters values;
  for (uint32_t i = 0; i < callee.registers()->size(); ++i)
    values[callee.registers()->Get(i)->str()] =
        HADAL_TRY(evaluateIn(caller, *call.registers()->Get(i), registers));
  return addCommands(callee, *callee.commands(), values, 1, weightGrad, part);
}

/// An exchange whose parts are further apart than a node has ranks goes between nodes.
Result<Part> StageReader::exchange(const fb::Program &program, const fb::Exchange &e) const {
  Part part{"exchange", Lane::Exchange, {}};
  double bytes = double(HADAL_TRY(argumentBytes(program, e.source(), registers)));
  bool between = ranks.nodes() > 1 && e.stride() * e.parts() > ranks.ep() / ranks.nodes();
  (between ? part.nodeBytes : part.linkBytes) = bytes;
  // On the way back the two buffers of counts change places.
  for (const fb::Command *command : *program.commands())
    if (const fb::ExchangeCounts *counts = command->action_as_ExchangeCounts())
      if (counts->receive() == e.send_counts())
        part.exchange = ExchangeKind::Combine;
  part.name = part.exchange == ExchangeKind::Combine ? "combine" : "dispatch";
  return part;
}

/// Commands of both streams as one chain in their order: the streams wait for each other at nearly
/// every step.
Result<Parts> StageReader::parts(uint32_t number, bool weightGrad) {
  const fb::Program &program = *module.programs()->Get(number);
  Parts parts;
  for (const fb::Command *command : *program.commands()) {
    if (const fb::Call *call = command->action_as_Call()) {
      Part part{module.programs()->Get(call->program())->name()->str(), Lane::Compute, {}};
      HADAL_TRY(addCall(program, *call, weightGrad, part));
      parts.push_back(std::move(part));
    } else if (const fb::Exchange *each = command->action_as_Exchange()) {
      parts.push_back(HADAL_TRY(exchange(program, *each)));
    } else if (const fb::ExchangeCounts *counts = command->action_as_ExchangeCounts()) {
      Part part{"counts", Lane::Exchange, {}};
      bool between =
          ranks.nodes() > 1 && counts->stride() * counts->parts() > ranks.ep() / ranks.nodes();
      (between ? part.nodeBytes : part.linkBytes) = 8.0 * counts->segments() * counts->parts();
      parts.push_back(std::move(part));
    }
  }
  return parts;
}

Status StageReader::addParameters(StageWork &work) const {
  std::set<uint32_t> found;
  for (const fb::Accumulator *a : *stage.accumulators())
    if (a->trainable() >= 0)
      found.insert(uint32_t(a->trainable()));
  for (uint32_t i : found) {
    const fb::Trainable &t = *module.training()->trainables()->Get(i);
    (t.sharded() ? work.expertParameters : work.replicatedParameters) +=
        double(t.packed_elements()) * t.count();
  }
  return {};
}

/// What the forward program writes and a later one reads.
Status StageReader::addActivations(StageWork &work) const {
  std::set<std::string> later;
  for (uint32_t number : {stage.input_grad(), stage.weight_grad()})
    for (const fb::Argument *argument : *module.programs()->Get(number)->arguments())
      later.insert(argument->name()->str());
  const fb::Program &forward = *module.programs()->Get(stage.forward());
  for (uint32_t i = 0; i < forward.arguments()->size(); ++i) {
    const fb::Argument &argument = *forward.arguments()->Get(i);
    if (argument.output() && later.count(argument.name()->str()))
      work.activationBytes += double(HADAL_TRY(argumentBytes(forward, i, registers)));
  }
  return {};
}

Result<StageWork> StageReader::read() {
  StageWork work;
  work.firstLayer = stage.first_layer();
  work.layers = stage.layers();
  work.forward = HADAL_TRY(parts(stage.forward(), false));
  work.inputGrad = HADAL_TRY(parts(stage.input_grad(), false));
  work.weightGrad = HADAL_TRY(parts(stage.weight_grad(), true));
  // The program of weight gradients begins when that of the input gradient has ended.
  for (Part &part : work.weightGrad)
    part.after = int(work.inputGrad.size()) - 1;
  for (const Part &part : work.forward)
    for (const Kernels &k : part.kernels)
      attentionFlops += k.kind == KernelKind::Attention ? k.flops : 0;
  for (uint32_t number : {stage.forward(), stage.input_grad()})
    for (const fb::Command *command : *module.programs()->Get(number)->commands())
      if (const fb::Send *send = command->action_as_Send())
        work.messageBytes = std::max(work.messageBytes,
                                     double(HADAL_TRY(argumentBytes(*module.programs()->Get(number),
                                                                    send->argument(), registers))));
  HADAL_TRY(addParameters(work));
  HADAL_TRY(addActivations(work));
  return work;
}

} // namespace

Result<StepWork> plan::workOf(const Module &module) {
  Layout layout = HADAL_TRY(layoutOf(module));
  const fb::Module &tables = module.tables();
  const fb::Training &t = *tables.training();
  StepWork work;
  double attention = 0;
  LaunchPlaces places(module);
  for (const fb::Stage *stage : *t.ranks()->stages()) {
    StageReader reader(tables, places, *stage, layout.precision);
    work.stages.push_back(HADAL_TRY(reader.read()));
    attention += reader.attentionFlops;
  }
  work.model = module.path();
  work.tokens = double(layout.sequences * layout.sequence);
  work.messagesAtOnce = true;
  work.overlap = t.ranks()->overlap();
  work.weightBytes = 4, work.gradientBytes = 4, work.masterBytes = 0, work.momentBytes = 8;
  for (const fb::State *state : *tables.states())
    if (state->name()->string_view().rfind("first_moment.", 0) == 0 &&
        state->element() == fb::ElementType_BF16)
      work.momentBytes = 4;
  if (const fb::Model *m = tables.model()) {
    work.expertsPerRank = double(m->experts()) / double(layout.ep);
    work.expertRanks = double(layout.ep);
    work.expertNodes = double(layout.nodes);
    work.sequencesPerExchange = double(layout.microBatch * layout.ep);
    double core = 3 * attention / double(layout.microBatch * layout.sequence) *
                  double(m->layers()) / double(m->layers() + t.mtp_depth());
    double linear = 6 * double(m->active_parameter_count() - m->hidden_size());
    work.tokenFlopsCausal = linear + core;
    work.tokenFlopsFull = linear + 2 * core;
  }
  return work;
}
