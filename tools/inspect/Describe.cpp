//===- Describe.cpp - a module as JSON ----------------------------------===//

#include "tools/inspect/Describe.h"

#include "runtime/module/Expr.h"

#include <map>

using namespace hadal;
using namespace hadal::inspect;

namespace {

using Names = std::vector<std::string_view>;

std::span<const int64_t> codeOf(const fb::Expr *expr) {
  return {expr->code()->data(), expr->code()->size()};
}

/// A number, or text over register names.
Json size(const fb::Expr *expr, const Names &registers) {
  std::span<const int64_t> code = codeOf(expr);
  if (code.size() == 2 && static_cast<ExprOp>(code[0]) == ExprOp::Constant)
    return code[1];
  return toString(code, registers);
}

template <typename Exprs> Json sizes(const Exprs *exprs, const Names &registers) {
  Json list = Json::array();
  for (const fb::Expr *expr : *exprs)
    list.push_back(size(expr, registers));
  return list;
}

Names namesOf(const flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>> *strings) {
  Names names;
  for (const auto *text : *strings)
    names.push_back(text->string_view());
  return names;
}

std::string elementName(fb::ElementType type) {
  return std::string(elementTypeName(elementType(type)));
}

/// The commands of one program; counts launches of each kernel as it goes.
class Commands {
public:
  Commands(const fb::Module &module, const fb::Program &program, std::vector<int64_t> &launches)
      : module(module), program(program), names(namesOf(program.registers())), launches(launches) {}

  Json list(const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> *commands) {
    Json all = Json::array();
    for (const fb::Command *command : *commands)
      all.push_back(one(*command));
    return all;
  }

  const Names &registers() const { return names; }

private:
  /// "weight layers.0.mlp", "temporary 3"; with an offset, "+ 64".
  Json place(const fb::Binding *binding) {
    uint32_t i = binding->index();
    Json out;
    switch (binding->space()) {
    case fb::Space_Parameter: out["parameter"] = module.parameters()->Get(i)->name()->str(); break;
    case fb::Space_Weight: out["weight"] = module.weights()->Get(i)->name()->str(); break;
    case fb::Space_State: out["state"] = module.states()->Get(i)->name()->str(); break;
    case fb::Space_Argument: out["argument"] = program.arguments()->Get(i)->name()->str(); break;
    case fb::Space_Constant: out["constant"] = module.constants()->Get(i)->name()->str(); break;
    case fb::Space_Temporary: out["temporary"] = i; break;
    }
    if (binding->element())
      if (Json element = size(binding->element(), names); element != 0)
        out["element"] = element;
    if (binding->offset())
      if (Json offset = size(binding->offset(), names); offset != 0)
        out["offset"] = offset;
    return out;
  }

  template <typename Bindings> Json places(const Bindings *bindings) {
    Json all = Json::array();
    for (const fb::Binding *binding : *bindings)
      all.push_back(place(binding));
    return all;
  }

  Json one(const fb::Command &command) {
    Json out;
    switch (command.action_type()) {
    case fb::Action_Launch: {
      const fb::Launch &launch = *command.action_as_Launch();
      ++launches[launch.kernel()];
      out["launch"] = module.kernels()->Get(launch.kernel())->symbol()->str();
      out["bindings"] = places(launch.bindings());
      out["scalars"] = sizes(launch.scalars(), names);
      out["tasks"] = size(launch.tasks(), names);
      if (launch.flops())
        out["flops"] = size(launch.flops(), names);
      break;
    }
    case fb::Action_Copy: {
      const fb::Copy &copy = *command.action_as_Copy();
      out["copy"] = size(copy.bytes(), names);
      out["bindings"] = Json::array({place(copy.destination()), place(copy.source())});
      break;
    }
    case fb::Action_Call: {
      const fb::Call &call = *command.action_as_Call();
      out["call"] = module.programs()->Get(call.program())->name()->str();
      out["registers"] = sizes(call.registers(), names);
      out["bindings"] = places(call.arguments());
      break;
    }
    case fb::Action_Repeat: {
      const fb::Repeat &repeat = *command.action_as_Repeat();
      out["repeat"] = size(repeat.count(), names);
      out["register"] = std::string(names[repeat.register_()]);
      out["body"] = list(repeat.body());
      break;
    }
    case fb::Action_SkipIfZero: {
      const fb::SkipIfZero &skip = *command.action_as_SkipIfZero();
      out["skip_if_zero"] = size(skip.value(), names);
      out["body"] = list(skip.body());
      break;
    }
    case fb::Action_Record: out["record"] = command.action_as_Record()->event(); break;
    case fb::Action_Wait: out["wait"] = command.action_as_Wait()->event(); break;
    case fb::Action_Send:
      out["send"] = nameOf(command.action_as_Send()->argument());
      out["stage"] = command.action_as_Send()->stage();
      break;
    case fb::Action_Receive:
      out["receive"] = nameOf(command.action_as_Receive()->argument());
      out["stage"] = command.action_as_Receive()->stage();
      break;
    case fb::Action_ExchangeCounts: {
      const fb::ExchangeCounts &exchange = *command.action_as_ExchangeCounts();
      out["exchange_counts"] = nameOf(exchange.receive());
      out["send"] = nameOf(exchange.send());
      addGroup(out, exchange);
      out["rows"] = std::string(names[exchange.rows()]);
      out["choices"] = std::string(names[exchange.choices()]);
      break;
    }
    case fb::Action_Exchange: {
      const fb::Exchange &exchange = *command.action_as_Exchange();
      out["exchange"] = nameOf(exchange.destination());
      out["source"] = nameOf(exchange.source());
      out["send_counts"] = nameOf(exchange.send_counts());
      out["receive_counts"] = nameOf(exchange.receive_counts());
      addGroup(out, exchange);
      out["row_bytes"] = exchange.row_bytes();
      if (exchange.capacity())
        out["capacity"] = exchange.capacity();
      break;
    }
    case fb::Action_NONE: break;
    }
    if (command.stream())
      out["stream"] = command.stream();
    return out;
  }

  std::string nameOf(uint32_t argument) const {
    return program.arguments()->Get(argument)->name()->str();
  }

  template <typename Exchange> static void addGroup(Json &out, const Exchange &exchange) {
    out["parts"] = exchange.parts();
    out["segments"] = exchange.segments();
    out["stride"] = exchange.stride();
  }

  const fb::Module &module;
  const fb::Program &program;
  Names names;
  std::vector<int64_t> &launches;
};

Json describeModel(const fb::Model &model) {
  Json out;
  out["model_type"] = model.model_type()->str();
  out["vocab_size"] = model.vocab_size();
  out["hidden_size"] = model.hidden_size();
  out["layers"] = model.layers();
  out["kv_lora_rank"] = model.latent();
  out["qk_rope_head_dim"] = model.rope_dim();
  out["experts"] = model.experts();
  out["experts_per_token"] = model.experts_per_token();
  if (model.expert_groups() > 1) {
    out["expert_groups"] = model.expert_groups();
    out["groups_per_token"] = model.groups_per_token();
  }
  out["moe_layers"] = std::vector<int64_t>(model.moe_layers()->begin(), model.moe_layers()->end());
  out["max_positions"] = model.max_positions();
  out["page_tokens"] = model.page_tokens();
  out["eos_token_ids"] =
      std::vector<int64_t>(model.eos_token_ids()->begin(), model.eos_token_ids()->end());
  if (model.bos_token_id() >= 0)
    out["bos_token_id"] = model.bos_token_id();
  out["parameters"] = model.parameter_count();
  out["active_parameters"] = model.active_parameter_count();
  if (const auto *configuration = model.configuration()) {
    Json values = Json::object();
    for (const fb::Setting *setting : *configuration)
      values[setting->name()->str()] = setting->value()->str();
    out["configuration"] = std::move(values);
  }
  return out;
}

Json describeTraining(const fb::Training &training) {
  Json out;
  out["micro_batch"] = training.micro_batch();
  out["sequence"] = training.sequence();
  out["micro_batches"] = training.micro_batches();
  bool isFast = training.ranks() && training.ranks()->fast_reduction();
  out["reduction"] = isFast ? "fast" : "ordered";
  if (!isFast)
    out["sum_groups"] = training.sum_groups();
  out["mtp_depth"] = training.mtp_depth();
  out["mtp_weight"] = training.mtp_weight();
  out["balance_weight"] = training.balance_weight();
  out["bias_step"] = training.bias_step();
  out["precision"] = training.precision()->str();
  if (!training.ranks()) // of many, each has its own
    out["predicted_peak_bytes"] = training.predicted_peak_bytes();
  out["moe_layers"] =
      std::vector<int64_t>(training.moe_layers()->begin(), training.moe_layers()->end());
  out["trainables"] = Json::array();
  for (const fb::Trainable *trainable : *training.trainables())
    out["trainables"].push_back(
        {{"name", trainable->name()->str()},
         {"shape", std::vector<int64_t>(trainable->shape()->begin(), trainable->shape()->end())},
         {"count", trainable->count()},
         {"layout", trainable->layout()->str()},
         {"packed_elements", trainable->packed_elements()},
         {"aliases", namesOf(trainable->aliases())},
         {"correction", trainable->correction()},
         {"init_mean", trainable->init_mean()},
         {"init_std", trainable->init_std()}});
  return out;
}

Json describeProgram(const fb::Module &module, const fb::Program &program,
                     std::vector<int64_t> &launches) {
  Commands commands(module, program, launches);
  Json out;
  out["name"] = program.name()->str();
  out["registers"] = commands.registers();
  out["arguments"] = Json::array();
  for (const fb::Argument *argument : *program.arguments())
    out["arguments"].push_back({{"name", argument->name()->str()},
                                {"dtype", elementName(argument->element())},
                                {"shape", sizes(argument->shape(), commands.registers())},
                                {"output", argument->output()}});
  out["temporaries"] = Json::array();
  for (const fb::Temporary *temporary : *program.temporaries())
    out["temporaries"].push_back(
        {{"bytes", size(temporary->bytes(), commands.registers())}, {"slot", temporary->slot()}});
  out["slots"] = program.slot_count();
  out["commands"] = commands.list(program.commands());
  return out;
}

Json describeTarget(const fb::Target &target) {
  return {{"family", target.family()->str()},
          {"processor", target.processor()->str()},
          {"features", namesOf(target.features())}};
}

const char *formatName(fb::CodeFormat format) {
  switch (format) {
  case fb::CodeFormat_SharedObject: return "shared object";
  case fb::CodeFormat_Ptx: return "PTX";
  case fb::CodeFormat_Cubin: return "cubin";
  }
  return "?";
}

/// What a launch of the kernel is.
Json describeShape(const fb::Kernel &kernel) {
  const fb::Grid *grid = kernel.shape_as_Grid();
  if (!grid)
    return {{"scratch_bytes", kernel.shape_as_CpuTasks()->scratch_bytes()}};
  Json out = {{"tier", kernel.tier()->str()},
              {"threads", grid->threads()},
              {"tasks_per_block", grid->tasks_per_block()},
              {"cluster", grid->cluster()},
              {"shared_bytes", grid->shared_bytes()},
              {"scratch_bytes", grid->scratch_bytes()},
              {"tensor_maps", grid->tensor_maps() ? grid->tensor_maps()->size() : 0}};
  if (grid->persistent())
    out["persistent"] = true;
  if (grid->loads_by_threads())
    out["loads_by_threads"] = true;
  return out;
}

/// What the assembler said of the kernel.
Json describeStatistics(const fb::KernelStatistics &statistics) {
  auto texts = [](const auto *list) { return list ? namesOf(list) : Names(); };
  return {
      {"registers", statistics.registers()},       {"spill_bytes", statistics.spill_bytes()},
      {"shared_bytes", statistics.shared_bytes()}, {"blocks_per_sm", statistics.blocks_per_sm()},
      {"warnings", texts(statistics.warnings())},  {"opcodes", texts(statistics.opcodes())}};
}

Json describeKernel(const fb::Kernel &kernel, int64_t launches) {
  Json out = {{"name", kernel.symbol()->str()}, {"symbol", kernel.symbol()->str()},
              {"code", kernel.code()},          {"bindings", kernel.bindings()},
              {"scalars", kernel.scalars()},    {"launches", launches}};
  out.update(describeShape(kernel));
  if (kernel.cubin() >= 0)
    out["cubin"] = kernel.cubin();
  if (kernel.statistics())
    out.update(describeStatistics(*kernel.statistics()));
  return out;
}

/// `cpu.panels(outputs = 32, ...)`; empty: as stored.
std::string describeLayout(const fb::Layout *layout) {
  if (!layout)
    return "";
  std::string numbers;
  if (layout->numbers())
    for (const fb::LayoutNumber *number : *layout->numbers())
      numbers += (numbers.empty() ? "" : ", ") + number->name()->str() + " = " +
                 std::to_string(number->value());
  return layout->name()->str() + (numbers.empty() ? "" : "(" + numbers + ")");
}

} // namespace

Json inspect::describe(const Module &opened) {
  const fb::Module &module = opened.tables();
  Json out;
  out["file"] = opened.path();
  out["producer"] = module.producer()->str();
  out["target"] = describeTarget(*module.codes()->Get(0)->target());
  out["codes"] = Json::array();
  for (const fb::Code *code : *module.codes()) {
    out["codes"].push_back({{"target", describeTarget(*code->target())},
                            {"format", formatName(code->format())},
                            {"bytes", code->bytes()->size()}});
    if (const flatbuffers::String *assembler = code->assembler()) {
      out["codes"].back()["assembler"] = assembler->str();
      out["target"]["ptxas"] = assembler->str();
    }
  }
  if (const fb::Model *model = module.model()) {
    out["cache_elements_per_token"] = model->cache_elements_per_token();
    out["model"] = describeModel(*model);
  }
  if (const fb::Training *training = module.training())
    out["training"] = describeTraining(*training);
  if (const fb::Inference *inference = module.inference()) {
    out["inference"] = {{"ep", inference->ep()},
                        {"nodes", inference->nodes()},
                        {"programs", Json::array()},
                        {"sharded", Json::array()}};
    for (const fb::InferenceProgram *program : *inference->programs())
      out["inference"]["programs"].push_back(
          module.programs()->Get(program->program())->name()->str());
    for (uint32_t index : *inference->sharded())
      out["inference"]["sharded"].push_back(module.parameters()->Get(index)->name()->str());
  }

  std::vector<int64_t> launches(module.kernels()->size());
  Json programs = Json::array();
  for (const fb::Program *program : *module.programs())
    programs.push_back(describeProgram(module, *program, launches));
  out["kernels"] = Json::array();
  for (size_t i = 0; i < launches.size(); ++i)
    out["kernels"].push_back(describeKernel(*module.kernels()->Get(i), launches[i]));
  out["programs"] = std::move(programs);
  Names stateRegisters = namesOf(module.state_registers());
  out["states"] = Json::array();
  for (const fb::State *state : *module.states())
    out["states"].push_back({{"name", state->name()->str()},
                             {"dtype", elementName(state->element())},
                             {"shape", sizes(state->shape(), stateRegisters)},
                             {"layout", describeLayout(state->layout())}});
  out["weights"] = Json::array();
  for (const fb::Weight *weight : *module.weights())
    out["weights"].push_back({{"name", weight->name()->str()},
                              {"bytes", weight->bytes()},
                              {"layout", describeLayout(weight->layout())}});
  out["constants"] = Json::array();
  for (const fb::Constant *constant : *module.constants())
    out["constants"].push_back(
        {{"name", constant->name()->str()}, {"bytes", constant->bytes()->size()}});
  out["parameters"] = Json::array();
  for (const fb::Parameter *parameter : *module.parameters())
    out["parameters"].push_back(
        {{"name", parameter->name()->str()},
         {"dtype", elementName(parameter->element())},
         {"shape", std::vector<int64_t>(parameter->shape()->begin(), parameter->shape()->end())},
         {"count", parameter->count()}});
  return out;
}
