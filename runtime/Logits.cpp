//===- Logits.cpp - the logits of every position ------------------------===//

#include "runtime/Logits.h"

#include "runtime/ModelLimits.h"
#include "runtime/PackedBatch.h"

#include <algorithm>
#include <optional>

using namespace hadal;

namespace {
/// The forced choices of one layer, bound to input "routes.k".
struct Route {
  std::string argument;
  std::vector<int32_t> experts; ///< [B*T, K]
};
} // namespace

/// router.k.topk_ids of a file, checked: the kernels index with it.
static Result<Route> readRoute(const Safetensors &file, const std::string &layer, int64_t tokens,
                               const fb::Model &model) {
  std::string name = "router." + layer + ".topk_ids";
  Tensor tensor = HADAL_TRY(file.read(name));
  Error wrong = invalidFile(file.path() + ": " + name + ": wants I32 [" + std::to_string(tokens) + ", " +
                            std::to_string(model.experts_per_token()) + "], got " +
                            std::string(elementTypeName(tensor.element())) + " " + toString(tensor.shape()));
  if (tensor.shape() != Shape{tokens, model.experts_per_token()})
    return wrong;
  Route route{"routes." + layer, {}};
  if (tensor.element() == ElementType::I32)
    route.experts.assign(tensor.as<int32_t>().begin(), tensor.as<int32_t>().end());
  else if (tensor.element() == ElementType::I64)
    for (int64_t expert : tensor.as<int64_t>())
      route.experts.push_back(static_cast<int32_t>(std::clamp<int64_t>(expert, -1, model.experts())));
  else
    return wrong;
  int64_t width = model.experts_per_token();
  for (int64_t row = 0; row < tokens; ++row) {
    std::vector<int32_t> chosen(route.experts.begin() + row * width, route.experts.begin() + (row + 1) * width);
    std::sort(chosen.begin(), chosen.end());
    if (chosen.front() < 0 || chosen.back() >= model.experts() ||
        std::adjacent_find(chosen.begin(), chosen.end()) != chosen.end())
      return invalidFile(file.path() + ": " + name + ": row " + std::to_string(row) + " wants " +
                         std::to_string(width) + " different experts below " + std::to_string(model.experts()));
  }
  return route;
}

static Result<std::vector<Route>> readRoutes(const Safetensors &file, const fb::Program &program, int64_t tokens,
                                             const fb::Model &model) {
  constexpr std::string_view prefix = "routes.";
  std::vector<Route> routes;
  for (const fb::Argument *argument : *program.arguments()) {
    std::string_view name = argument->name()->string_view();
    if (!argument->output() && name.starts_with(prefix))
      routes.push_back(HADAL_TRY(readRoute(file, std::string(name.substr(prefix.size())), tokens, model)));
  }
  return routes;
}

namespace {
/// An output for all rows; each run writes its part of it in place.
struct Gathered {
  std::string name;
  Tensor tensor;
  Shape rowShape; ///< of one token
  uint64_t rowBytes;

  TensorView part(int64_t firstToken, int64_t tokens) {
    Shape shape = {tokens};
    shape.insert(shape.end(), rowShape.begin(), rowShape.end());
    return {tensor.element(), std::move(shape), static_cast<std::byte *>(tensor.data()) + firstToken * rowBytes};
  }
};
} // namespace

/// Memory for an output of all B*T tokens; `run` has the registers of one part. Outputs per token have a first
/// dimension of tokens; choices of experts keep it, the others show [B, T, ...].
static Result<Gathered> gather(const ProgramRun &run, const fb::Argument &argument, int64_t rows, int64_t length) {
  std::string name = argument.name()->str();
  Shape shape = HADAL_TRY(run.argumentShape(name));
  if (shape.empty())
    return invalidFile(name + ": wants an output with a row per token");
  Shape rowShape(shape.begin() + 1, shape.end());
  Shape whole = name.starts_with("router.") ? Shape{rows * length} : Shape{rows, length};
  whole.insert(whole.end(), rowShape.begin(), rowShape.end());
  ElementType element = elementType(argument.element());
  return Gathered{name, HADAL_TRY(Tensor::create(element, std::move(whole))), rowShape,
                  byteCount(element, rowShape).value_or(0)};
}

namespace {
/// Some of a run's rows.
struct MicroBatch {
  PackedBatch packed;
  std::optional<ProgramRun> run;
};
} // namespace

static const char *programFor(const LogitsOptions &options) { return options.routes ? "inspect_routed" : options.dump ? "inspect" : "prefill"; }

Status hadal::checkLogits(const Module &module, const std::vector<std::vector<int32_t>> &rows, const LogitsOptions &options) {
  const fb::Model &model = *HADAL_TRY(inferenceModelOf(module));
  if (rows.empty())
    return invalidArgument("there are no rows");
  for (size_t row = 0; row < rows.size(); ++row) {
    HADAL_TRY(checkSequence(model, rows[row], "row " + std::to_string(row)));
    if (rows[row].size() != rows[0].size())
      return invalidArgument("rows have " + std::to_string(rows[0].size()) + " and " +
                             std::to_string(rows[row].size()) + " tokens, wants rows of one length");
  }
  const fb::Program &program = *HADAL_TRY(module.program(programFor(options)));
  if (options.routes)
    HADAL_TRY(readRoutes(*options.routes, program, int64_t(rows.size() * rows[0].size()), model));
  return {};
}

Result<std::vector<std::pair<std::string, Tensor>>>
hadal::computeLogits(Executor &executor, const std::vector<std::vector<int32_t>> &rows, const LogitsOptions &options) {
  HADAL_TRY(checkLogits(executor.module(), rows, options));
  const fb::Model &model = *executor.module().model();
  int64_t length = static_cast<int64_t>(rows[0].size()), allRows = static_cast<int64_t>(rows.size());
  int64_t begin = options.share.first(allRows), count = options.share.count(allRows), most = options.share.most(allRows);

  std::vector<MicroBatch> batches(std::max<int64_t>(options.microBatches, 1));
  for (MicroBatch &batch : batches)
    batch.run.emplace(HADAL_TRY(executor.prepare(programFor(options))));
  std::vector<Route> routes;
  if (options.routes)
    routes = HADAL_TRY(readRoutes(*options.routes, batches[0].run->program(), allRows * length, model));

  int64_t perRun = std::min(most, std::max<int64_t>(1, runTokens / length));
  HADAL_TRY(executor.setStateRegister("cache_slots", perRun * length));
  std::vector<Gathered> outputs;
  // All ranks run as often as the one with most rows, if on none.
  for (int64_t at = 0; at < most; at += perRun) {
    int64_t firstRow = std::min(at, count), here = std::min(count, firstRow + perRun) - firstRow;
    std::vector<ProgramRun *> runs;
    for (unsigned i = 0; i < batches.size(); ++i) {
      auto &[packed, run] = batches[i];
      RowShare part{i, unsigned(batches.size())};
      int64_t first = firstRow + part.first(here), firstToken = first * length;
      packed.clear(part.first(here) * length);
      for (int64_t row = first; row < first + part.count(here); ++row)
        packed.add(rows[begin + row], LogitRows::All);
      HADAL_TRY(packed.bind(*run));
      if (outputs.empty())
        for (uint32_t number : run->results())
          if (const fb::Argument *argument = run->program().arguments()->Get(number);
              options.dump || argument->name()->string_view() == "logits")
            outputs.push_back(HADAL_TRY(gather(*run, *argument, count, length)));
      for (Gathered &output : outputs)
        HADAL_TRY(run->bind(output.name, output.part(firstToken, packed.tokens())));
      for (Route &route : routes) {
        int64_t width = model.experts_per_token();
        std::span<const int32_t> choices(route.experts.data() + (begin * length + firstToken) * width, packed.tokens() * width);
        HADAL_TRY(run->bind(route.argument, TensorView::of(choices, {packed.tokens(), width})));
      }
      runs.push_back(&*run);
    }
    HADAL_TRY(executor.execute(runs));
  }
  std::vector<std::pair<std::string, Tensor>> results;
  for (Gathered &output : outputs)
    results.emplace_back(std::move(output.name), std::move(output.tensor));
  return results;
}
