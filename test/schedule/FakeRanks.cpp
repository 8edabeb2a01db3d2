#include "test/schedule/FakeRanks.h"

#include "runtime/module/Dataflow.h"
#include "runtime/module/Expr.h"
#include "runtime/schedule/Schedule.h"

#include <cstdio>
#include <cstdlib>

using namespace hadal;
using namespace hadal::fake;
using namespace hadal::objects;

namespace {

constexpr int64_t hidden = 8, experts = 8, perToken = 2, tokens = 16;

/// A size: a constant, or a register times a constant.
struct Size {
  int64_t factor = 1;
  std::string reg;
};
using Shape = std::vector<Size>;

class StageWriter {
public:
  StageWriter(ModuleT &module, const RanksRequest &request, uint32_t stage, uint32_t last)
      : module(module), request(request), stage(stage), last(last) {}

  std::unique_ptr<StageT> build() {
    auto table = std::make_unique<StageT>();
    table->first_layer = stage, table->layers = 1;
    forward(), table->forward = finish("forward");
    inputGrad(), table->input_grad = finish("input_grad");
    weightGrad(), table->weight_grad = finish("weight_grad");
    auto accumulator = std::make_unique<AccumulatorT>();
    accumulator->state = "gradient.w" + std::to_string(stage);
    accumulator->trainable = int32_t(stage);
    table->accumulators.push_back(std::move(accumulator));
    return table;
  }

  /// The way there alone, as a program of inference.
  uint32_t inference(const std::string &name) {
    forward();
    program->name = name;
    module.programs.push_back(std::move(program));
    return uint32_t(module.programs.size() - 1);
  }

private:
  static constexpr uint32_t compute = 0, talk = 1;

  void forward() {
    begin();
    std::string in = "hidden." + std::to_string(stage), out = "hidden." + std::to_string(stage + 1);
    if (stage > 0) {
      receive(in, rows(), stage - 1);
      follow(compute);
    }
    uint32_t hops = request.nodes > 1 ? 2 : 1;
    call("route", stage > 0 ? std::vector<std::string>{in} : std::vector<std::string>{"token_ids"},
         {"sends.1"}, {{in0(), inShape()}, {"sends.1", sent(1)}});
    std::string there = "sends.1";
    for (uint32_t hop = 1; hop <= hops; ++hop) {
      call("counts" + std::to_string(hop), {there}, {"from." + std::to_string(hop)},
           {{there, hop == 1 ? sent(1) : came(1)}, {"from." + std::to_string(hop), counts(hop)}});
      if (hop == 2) {
        call("spread", {there}, {"sends.2"}, {{there, came(1)}, {"sends.2", sent(2)}});
        there = "sends.2";
      }
      follow(talk);
      exchangeCounts(hop);
      exchange("came." + std::to_string(hop), came(hop), there, sent(hop), hop, false);
      follow(compute);
      there = "came." + std::to_string(hop);
    }
    call("experts", {there}, {"done." + std::to_string(hops)},
         {{there, came(hops)}, {"done." + std::to_string(hops), came(hops)}});
    for (uint32_t hop = hops; hop >= 1; --hop) {
      follow(talk);
      exchange("back." + std::to_string(hop), sent(hop), "done." + std::to_string(hop), came(hop),
               hop, true);
      follow(compute);
      if (hop == 2)
        call("gather", {"back.2"}, {"done.1"}, {{"back.2", sent(2)}, {"done.1", came(1)}});
    }
    call("combine", {"back.1"}, {out}, {{"back.1", sent(1)}, {out, rows()}});
    if (stage < last) {
      follow(talk);
      send(out, rows(), stage + 1);
    }
  }

  void inputGrad() {
    begin();
    std::string in = "gradient." + std::to_string(stage + 1),
                out = "gradient." + std::to_string(stage),
                top = "hidden." + std::to_string(stage + 1);
    if (stage < last) {
      receive(in, rows(), stage + 1);
      follow(compute);
    } else {
      call("loss", {top}, {in}, {{top, rows()}, {in, rows()}});
    }
    call("scatter", {in}, {"sends_gradient"}, {{in, rows()}, {"sends_gradient", sent(1)}});
    follow(talk);
    exchange("came_gradient", came(1), "sends_gradient", sent(1), 1, false);
    follow(compute);
    call("experts_gradient", {"came_gradient", "came.1"}, {"done_gradient"},
         {{"came_gradient", came(1)}, {"came.1", came(1)}, {"done_gradient", came(1)}});
    follow(talk);
    exchange("back_gradient", sent(1), "done_gradient", came(1), 1, true);
    follow(compute);
    if (stage > 0) {
      call("gather_gradient", {"back_gradient"}, {out},
           {{"back_gradient", sent(1)}, {out, rows()}});
      follow(talk);
      send(out, rows(), stage - 1);
    }
  }

  void weightGrad() {
    begin();
    call("weight_gradient", {"came_gradient", "came.1"}, {},
         {{"came_gradient", came(1)}, {"came.1", came(1)}}, int32_t(stage));
  }

  // Shapes.
  Shape rows() const { return {{1, "tokens"}, {hidden, ""}}; }
  Shape inShape() const { return stage > 0 ? rows() : Shape{{1, "tokens"}}; }
  std::string in0() const { return stage > 0 ? "hidden." + std::to_string(stage) : "token_ids"; }
  uint32_t parts(uint32_t hop) const {
    return request.nodes > 1 ? (hop == 1 ? request.nodes : request.ep / request.nodes) : request.ep;
  }
  uint32_t segments(uint32_t hop) const { return hop == 2 ? request.nodes : 1; }
  uint32_t stride(uint32_t hop) const {
    return request.nodes > 1 && hop == 1 ? request.ep / request.nodes : 1;
  }
  std::string reg(uint32_t hop, const char *what) const {
    return "L" + std::to_string(stage) + "." + std::to_string(hop) + "." + what;
  }
  Shape sent(uint32_t hop) const {
    int64_t most = std::min<int64_t>(perToken, parts(hop));
    return {hop == 1 ? Size{most, "tokens"} : Size{int64_t(parts(2)), reg(1, "rows")},
            {hidden, ""}};
  }
  Shape came(uint32_t hop) const { return {{1, reg(hop, "rows")}, {hidden, ""}}; }
  Shape counts(uint32_t hop) const { return {{int64_t(2) * parts(hop) * segments(hop), ""}}; }

  // Commands.
  void begin() {
    program = std::make_unique<ProgramT>();
    event = 0;
  }
  template <typename Action> void add(uint32_t stream, Action action) {
    auto command = std::make_unique<CommandT>();
    command->stream = uint16_t(stream);
    command->action.Set(std::move(action));
    program->commands.push_back(std::move(command));
  }
  /// What comes next on `stream` waits for all that the other one has so far.
  void follow(uint32_t stream) {
    RecordT record;
    record.event = event;
    add(1 - stream, record);
    WaitT wait;
    wait.event = event++;
    add(stream, wait);
  }
  uint32_t number(std::vector<std::string> &registers, const std::string &name) {
    auto at = std::find(registers.begin(), registers.end(), name);
    if (at == registers.end())
      at = registers.insert(registers.end(), name);
    return uint32_t(at - registers.begin());
  }
  std::unique_ptr<ExprT> expr(std::vector<std::string> &registers, const Size &size) {
    auto e = std::make_unique<ExprT>();
    if (size.reg.empty())
      e->code = {0, size.factor};
    else
      e->code = {1, number(registers, size.reg), 0, size.factor, int64_t(ExprOp::Multiply), 0};
    return e;
  }
  static objects::ElementType elementOf(const std::string &name) {
    return name == "token_ids" || name.starts_with("from.") || name.starts_with("of.")
               ? ElementType_I32
               : ElementType_F32;
  }
  uint32_t argument(ProgramT &in, const std::string &name, const Shape &shape, bool output) {
    for (uint32_t i = 0; i < in.arguments.size(); ++i)
      if (in.arguments[i]->name == name) {
        in.arguments[i]->output = in.arguments[i]->output || output;
        return i;
      }
    auto a = std::make_unique<ArgumentT>();
    a->name = name, a->element = elementOf(name), a->output = output;
    for (const Size &size : shape)
      a->shape.push_back(expr(in.registers, size));
    in.arguments.push_back(std::move(a));
    return uint32_t(in.arguments.size() - 1);
  }
  /// Calls a program of its own with the given values, and with a state.
  void call(const std::string &what, const std::vector<std::string> &reads,
            const std::vector<std::string> &writes,
            const std::vector<std::pair<std::string, Shape>> &shapes, int32_t state = -1) {
    auto callee = std::make_unique<ProgramT>();
    callee->name =
        "stage" + std::to_string(stage) + "." + what + "." + std::to_string(module.programs.size());
    CallT call;
    call.program = uint32_t(module.programs.size());
    auto bind = [&](Space space, uint32_t index) {
      auto binding = std::make_unique<BindingT>();
      binding->space = space, binding->index = index;
      binding->element = expr(program->registers, {0, ""}),
      binding->offset = expr(program->registers, {0, ""});
      call.arguments.push_back(std::move(binding));
    };
    for (const auto &[name, shape] : shapes) {
      bool output = std::find(writes.begin(), writes.end(), name) != writes.end();
      argument(*callee, name, shape, output);
      bind(Space_Argument, argument(*program, name, shape, output));
    }
    (void)reads;
    if (state >= 0) {
      argument(*callee, "state", {{hidden, ""}}, true);
      bind(Space_State, uint32_t(state));
    }
    for (const std::string &name : callee->registers)
      call.registers.push_back(expr(program->registers, {1, name}));
    fill(*callee, what);
    module.programs.push_back(std::move(callee));
    add(compute, std::move(call));
  }
  /// What a called program does: four launches over three temporaries, of which the first and the
  /// last share a slot.
  void fill(ProgramT &callee, const std::string &what) {
    using Bound = std::pair<Space, uint32_t>;
    callee.slot_count = 2;
    for (uint32_t slot : {0, 1, 0}) {
      auto temporary = std::make_unique<TemporaryT>();
      temporary->bytes = expr(callee.registers, {64, ""}), temporary->slot = slot;
      callee.temporaries.push_back(std::move(temporary));
    }
    std::vector<Bound> in, out;
    for (uint32_t i = 0; i < callee.arguments.size(); ++i)
      (callee.arguments[i]->output ? out : in).push_back({Space_Argument, i});
    auto launch = [&](const std::string &name, std::vector<Bound> reads,
                      const std::vector<Bound> &writes, Access access) {
      LaunchT launch;
      launch.kernel = kernel(name, reads.size(), writes.size(), access);
      reads.insert(reads.end(), writes.begin(), writes.end());
      for (auto [space, index] : reads) {
        auto binding = std::make_unique<BindingT>();
        binding->space = space, binding->index = index;
        binding->element = expr(callee.registers, {0, ""}),
        binding->offset = expr(callee.registers, {0, ""});
        launch.bindings.push_back(std::move(binding));
      }
      launch.scalars.push_back(expr(callee.registers, {1, ""}));
      launch.scalars.push_back(expr(callee.registers, {2, ""}));
      launch.tasks = expr(callee.registers, {1, ""}),
      launch.flops = expr(callee.registers, {0, ""});
      auto command = std::make_unique<CommandT>();
      command->action.Set(std::move(launch));
      callee.commands.push_back(std::move(command));
    };
    auto t = [](uint32_t number) { return Bound{Space_Temporary, number}; };
    std::vector<Bound> last = in;
    last.insert(last.end(), {t(1), t(2)});
    launch("begin", in, {t(0)}, Access_Write);
    launch("work", {t(0)}, {t(1)}, Access_Write);
    launch("work", {t(1)}, {t(2)}, Access_Write);
    std::vector<Bound> results, sums;
    for (const Bound &bound : out)
      (callee.arguments[bound.second]->name == "state" ? sums : results).push_back(bound);
    if (!results.empty())
      launch(what, last, results, Access_Write);
    if (!sums.empty())
      launch(what, last, sums, Access_Update);
  }
  /// A kernel of two scalars that touches 64 bytes of each temporary, and of arguments what they
  /// have.
  uint32_t kernel(const std::string &name, size_t reads, size_t writes, Access access) {
    std::string symbol = name + "." + std::to_string(reads) + "." + std::to_string(writes);
    for (uint32_t i = 0; i < module.kernels.size(); ++i)
      if (module.kernels[i]->symbol == symbol)
        return i;
    auto kernel = fake::kernel(symbol, uint32_t(reads + writes), 2);
    for (size_t i = 0; i < reads + writes; ++i) {
      auto buffer = std::make_unique<KernelBufferT>();
      bool isTemporary = (name == "work") || (name == "begin" && i == reads) ||
                         (name != "begin" && i + 2 >= reads && i < reads);
      std::vector<std::string> none;
      buffer->access = i < reads ? Access_Read : access,
      buffer->bytes = expr(none, {isTemporary ? 64 : 0, ""});
      kernel->buffers.push_back(std::move(buffer));
    }
    module.kernels.push_back(std::move(kernel));
    return uint32_t(module.kernels.size() - 1);
  }
  void receive(const std::string &name, const Shape &shape, uint32_t from) {
    ReceiveT receive;
    receive.argument = argument(*program, name, shape, true), receive.stage = from;
    add(talk, receive);
  }
  void send(const std::string &name, const Shape &shape, uint32_t to) {
    SendT send;
    send.argument = argument(*program, name, shape, false), send.stage = to;
    add(talk, send);
  }
  void exchangeCounts(uint32_t hop) {
    ExchangeCountsT e;
    e.send = argument(*program, "from." + std::to_string(hop), counts(hop), false);
    e.receive = argument(*program, "of." + std::to_string(hop), counts(hop), true);
    e.parts = parts(hop), e.segments = segments(hop), e.stride = stride(hop);
    e.rows = number(program->registers, reg(hop, "rows")),
    e.choices = number(program->registers, reg(hop, "choices"));
    add(talk, e);
  }
  void exchange(const std::string &destination, const Shape &to, const std::string &source,
                const Shape &of, uint32_t hop, bool back) {
    ExchangeT e;
    e.destination = argument(*program, destination, to, true);
    e.source = argument(*program, source, of, false);
    uint32_t from = argument(*program, "from." + std::to_string(hop), counts(hop), false),
             got = argument(*program, "of." + std::to_string(hop), counts(hop), false);
    e.send_counts = back ? got : from, e.receive_counts = back ? from : got;
    e.parts = parts(hop), e.segments = segments(hop), e.stride = stride(hop),
    e.row_bytes = 4 * hidden;
    add(talk, e);
  }
  uint32_t finish(const char *what) {
    program->name = "stage" + std::to_string(stage) + "." + what;
    module.programs.push_back(std::move(program));
    return uint32_t(module.programs.size() - 1);
  }

  ModuleT &module;
  const RanksRequest &request;
  uint32_t stage, last;
  std::unique_ptr<ProgramT> program;
  uint32_t event = 0;
};

} // namespace

std::unique_ptr<KernelT> fake::kernel(const std::string &symbol, uint32_t bindings,
                                      uint32_t scalars) {
  auto kernel = std::make_unique<KernelT>();
  kernel->symbol = symbol, kernel->bindings = bindings, kernel->scalars = scalars;
  kernel->shape.Set(CpuTasksT());
  return kernel;
}

std::unique_ptr<CodeT> fake::code() {
  auto code = std::make_unique<CodeT>();
  code->target = std::make_unique<TargetT>();
  code->target->family = "x86_64", code->target->processor = "generic";
  code->bytes = {0};
  return code;
}

static std::unique_ptr<ModuleT> emptyModule(const RanksRequest &request) {
  auto module = std::make_unique<ModuleT>();
  module->producer = "by hand";
  module->codes.push_back(code());
  module->model = std::make_unique<ModelT>();
  module->model->model_type = "deepseek_v3";
  module->model->vocab_size = 16, module->model->hidden_size = hidden,
  module->model->layers = request.pp, module->model->page_tokens = 1,
  module->model->max_positions = 64;
  module->model->experts = experts, module->model->experts_per_token = perToken;
  return module;
}

static void setDataflow(ModuleT &module) {
  module.dataflow.assign(module.programs.size() + 1, 0);
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(objects::Module::Pack(builder, &module));
  if (Status status = writeDataflow(builder.GetBufferPointer()); !status.ok())
    std::fprintf(stderr, "%s\n", status.error().message.c_str()), std::abort();
  const auto *written = objects::GetModule(builder.GetBufferPointer())->dataflow();
  module.dataflow.assign(written->begin(), written->end());
}

std::unique_ptr<ModuleT> fake::inferenceModule(uint32_t ep, uint32_t nodes) {
  RanksRequest request;
  request.pp = 1, request.ep = ep, request.nodes = nodes;
  auto module = emptyModule(request);
  auto inference = std::make_unique<InferenceT>();
  inference->ep = ep, inference->nodes = nodes;
  for (const char *name : {"prefill", "decode"}) {
    auto program = std::make_unique<InferenceProgramT>();
    program->program = StageWriter(*module, request, 0, 0).inference(name);
    const auto &arguments = module->programs[program->program]->arguments;
    for (uint32_t i = 0; i < arguments.size(); ++i)
      if (arguments[i]->name == "hidden.1")
        program->outputs.push_back(i);
    inference->programs.push_back(std::move(program));
  }
  for (const char *name :
       {"layers.0.mlp.experts.{}.up.weight", "layers.0.mlp.experts.{}.down.weight"}) {
    auto parameter = std::make_unique<ParameterT>();
    parameter->name = name, parameter->shape = {hidden, hidden},
    parameter->count = uint32_t(experts) / ep;
    inference->sharded.push_back(uint32_t(module->parameters.size()));
    module->parameters.push_back(std::move(parameter));
  }
  module->inference = std::move(inference);
  setDataflow(*module);
  return module;
}

std::unique_ptr<ModuleT> fake::ranksModule(const RanksRequest &request) {
  auto module = emptyModule(request);
  module->training = std::make_unique<TrainingT>();
  TrainingT &training = *module->training;
  training.precision = "fp32", training.config_json = "{}";
  training.micro_batch = 1, training.sequence = tokens;
  uint32_t owners = request.ep * request.dp * (request.schedule == "dualpipe" ? 2 : 1);
  training.micro_batches = int64_t(owners) * request.microBatches;
  training.sum_groups = owners;
  training.ranks = std::make_unique<RanksT>();
  RanksT &ranks = *training.ranks;
  ranks.pp = request.pp, ranks.ep = request.ep, ranks.dp = request.dp, ranks.nodes = request.nodes,
  ranks.schedule = request.schedule, ranks.overlap = true;
  uint32_t stages = request.pp * (request.schedule == "dualpipev" ? 2 : 1);
  for (uint32_t stage = 0; stage < stages; ++stage) {
    auto state = std::make_unique<StateT>();
    state->name = "gradient.w" + std::to_string(stage);
    auto size = std::make_unique<ExprT>();
    size->code = {0, hidden};
    state->shape.push_back(std::move(size));
    module->states.push_back(std::move(state));
    auto trainable = std::make_unique<TrainableT>();
    trainable->name = "w" + std::to_string(stage), trainable->shape = {hidden},
    trainable->layout = "plain.8", trainable->packed_elements = hidden;
    training.trainables.push_back(std::move(trainable));
  }
  for (uint32_t stage = 0; stage < stages; ++stage)
    ranks.stages.push_back(StageWriter(*module, request, stage, stages - 1).build());
  Result<schedule::Schedule> made =
      schedule::makeSchedule(request.schedule, request.pp,
                             request.microBatches * (request.schedule == "dualpipe" ? 2 : 1));
  if (made.ok())
    for (const schedule::Order &order : made->orders) {
      ranks.orders.push_back(std::make_unique<OrderT>());
      for (const schedule::Chunk &chunk : order) {
        auto item = std::make_unique<ChunkT>();
        item->kind = static_cast<objects::ChunkKind>(chunk.kind), item->direction = chunk.direction,
        item->micro_batch = chunk.microBatch, item->paired = chunk.paired;
        ranks.orders.back()->chunks.push_back(std::move(item));
      }
    }
  setDataflow(*module);
  return module;
}

Result<hadal::Module> fake::open(const ModuleT &module, const std::string &name) {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(objects::Module::Pack(builder, &module));
  return hadal::Module::fromBytes(
      moduleBytes(std::as_bytes(std::span(builder.GetBufferPointer(), builder.GetSize()))), name);
}
