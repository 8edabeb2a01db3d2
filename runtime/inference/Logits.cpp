//===- Logits.cpp - the logits of every position ------------------------===//

#include "runtime/inference/Logits.h"

#include "runtime/Finite.h"
#include "runtime/ModelLimits.h"
#include "runtime/inference/PackedBatch.h"
#include "runtime/module/Names.h"

#include <algorithm>
#include <cstring>
#include <optional>

using namespace hadal;

namespace {
/// Where the tokens of rows lie: one after the other, and in the columns of the results.
struct Places {
  int64_t width = 0;
  std::vector<int64_t> begins;    ///< the column of each row's first token
  std::vector<int64_t> before{0}; ///< tokens of the rows before each, and of all

  Places(const std::vector<std::vector<int32_t>> &rows, const LogitsOptions &options)
      : width(options.width), begins(options.begins) {
    for (const std::vector<int32_t> &row : rows) {
      before.push_back(before.back() + static_cast<int64_t>(row.size()));
      width = std::max(width, options.width ? 0 : static_cast<int64_t>(row.size()));
    }
    begins.resize(rows.size(), 0);
  }
  int64_t rows() const { return static_cast<int64_t>(begins.size()); }
  int64_t tokensOf(int64_t row) const { return before[row + 1] - before[row]; }
  int64_t columnsBefore(int64_t row) const {
    return row * width + begins[row];
  } ///< of all rows, before its first token
  bool isPadded() const { return before.back() != rows() * width; }
};

/// The forced choices of one layer, bound to input "routes.k".
struct Route {
  std::string argument;
  std::vector<int32_t> experts; ///< [tokens, K], of the tokens of all rows
};
} // namespace

/// router.k.topk_ids of a file, checked: the kernels index with it.
static Result<Route> readRoute(const Safetensors &file, const std::string &layer,
                               const Places &places, const fb::Model &model) {
  int64_t tokens = places.rows() * places.width, width = model.experts_per_token();
  std::string name = "router." + layer + ".topk_ids";
  Tensor tensor = HADAL_TRY(file.read(name));
  Error wrong =
      invalidFile(file.path() + ": " + name + ": wants I32 [" + std::to_string(tokens) + ", " +
                  std::to_string(model.experts_per_token()) + "], got " +
                  std::string(elementTypeName(tensor.element())) + " " + toString(tensor.shape()));
  if (tensor.shape() != Shape{tokens, model.experts_per_token()})
    return wrong;
  std::vector<int32_t> all;
  if (tensor.element() == ElementType::I32)
    all.assign(tensor.as<int32_t>().begin(), tensor.as<int32_t>().end());
  else if (tensor.element() == ElementType::I64)
    for (int64_t expert : tensor.as<int64_t>())
      all.push_back(static_cast<int32_t>(std::clamp<int64_t>(expert, -1, model.experts())));
  else
    return wrong;
  Route route{names::argument::routes + layer, {}};
  for (int64_t row = 0; row < places.rows(); ++row)
    for (int64_t at = places.columnsBefore(row), end = at + places.tokensOf(row); at < end; ++at) {
      std::vector<int32_t> chosen(all.begin() + at * width, all.begin() + (at + 1) * width);
      route.experts.insert(route.experts.end(), chosen.begin(), chosen.end());
      std::sort(chosen.begin(), chosen.end());
      if (chosen.front() < 0 || chosen.back() >= model.experts() ||
          std::adjacent_find(chosen.begin(), chosen.end()) != chosen.end())
        return invalidFile(file.path() + ": " + name + ": row " + std::to_string(at) + " wants " +
                           std::to_string(width) + " different experts below " +
                           std::to_string(model.experts()));
    }
  return route;
}

static Result<std::vector<Route>> readRoutes(const Safetensors &file, const fb::Program &program,
                                             const Places &places, const fb::Model &model) {
  constexpr std::string_view prefix = names::argument::routes;
  std::vector<Route> routes;
  for (const fb::Argument *argument : *program.arguments()) {
    std::string_view name = argument->name()->string_view();
    if (!argument->output() && name.starts_with(prefix))
      routes.push_back(
          HADAL_TRY(readRoute(file, std::string(name.substr(prefix.size())), places, model)));
  }
  return routes;
}

namespace {
/// An output for all rows, token after token; each run writes its part of it in place.
struct Gathered {
  std::string name;
  Tensor tensor;
  Shape whole;    ///< with a place for each column
  Shape rowShape; ///< of one token
  uint64_t rowBytes;

  TensorView part(int64_t firstToken, int64_t tokens) {
    Shape shape = {tokens};
    shape.insert(shape.end(), rowShape.begin(), rowShape.end());
    return {tensor.element(), std::move(shape),
            static_cast<std::byte *>(tensor.data()) + firstToken * rowBytes};
  }
};
} // namespace

/// Memory for an output of the rows' tokens; `run` has the registers of one part. Outputs per token
/// have a first dimension of tokens; choices of experts keep it, the others show [B, T, ...].
static Result<Gathered> gather(const ProgramRun &run, const fb::Argument &argument,
                               const Places &places) {
  std::string name = argument.name()->str();
  Shape shape = HADAL_TRY(run.argumentShape(name));
  if (shape.empty())
    return invalidFile(name + ": wants an output with a row per token");
  Shape rowShape(shape.begin() + 1, shape.end()), packed = {places.before.back()};
  Shape whole = name.starts_with("router.") ? Shape{places.rows() * places.width}
                                            : Shape{places.rows(), places.width};
  whole.insert(whole.end(), rowShape.begin(), rowShape.end());
  packed.insert(packed.end(), rowShape.begin(), rowShape.end());
  ElementType element = elementType(argument.element());
  return Gathered{name, HADAL_TRY(Tensor::create(element, places.isPadded() ? packed : whole)),
                  whole, rowShape, byteCount(element, rowShape).value_or(0)};
}

/// The output with each row's tokens in their columns.
static Result<Tensor> spread(Gathered gathered, const Places &places) {
  if (!places.isPadded())
    return std::move(gathered.tensor);
  Tensor whole = HADAL_TRY(Tensor::create(gathered.tensor.element(), gathered.whole));
  for (int64_t row = 0; row < places.rows(); ++row)
    std::memcpy(static_cast<std::byte *>(whole.data()) +
                    places.columnsBefore(row) * gathered.rowBytes,
                static_cast<const std::byte *>(gathered.tensor.data()) +
                    places.before[row] * gathered.rowBytes,
                places.tokensOf(row) * gathered.rowBytes);
  return whole;
}

namespace {
/// Some of a run's rows.
struct RowBatch {
  PackedBatch packed;
  std::optional<ProgramRun> run;
};
} // namespace

static const char *programFor(const LogitsOptions &options) {
  return options.routes ? names::program::inspectRouted
         : options.dump ? names::program::inspect
                        : names::program::prefill;
}

Status hadal::checkLogits(const Module &module, const std::vector<std::vector<int32_t>> &rows,
                          const LogitsOptions &options) {
  const fb::Model &model = *HADAL_TRY(inferenceModelOf(module));
  if (rows.empty())
    return invalidArgument("there are no rows");
  for (size_t row = 0; row < rows.size(); ++row) {
    HADAL_TRY(checkSequence(model, rows[row], "row " + std::to_string(row)));
    int64_t begin = options.begins.empty() ? 0 : options.begins[row],
            tokens = static_cast<int64_t>(rows[row].size());
    if (options.width && begin + tokens > options.width)
      return invalidArgument("row " + std::to_string(row) + ": ends at column " +
                             std::to_string(begin + tokens) + " of " +
                             std::to_string(options.width));
  }
  const fb::Program &program = *HADAL_TRY(module.program(programFor(options)));
  if (options.routes)
    HADAL_TRY(readRoutes(*options.routes, program, Places(rows, options), model));
  return {};
}

Result<std::vector<std::pair<std::string, Tensor>>>
hadal::computeLogits(Executor &executor, const std::vector<std::vector<int32_t>> &rows,
                     const LogitsOptions &options) {
  HADAL_TRY(checkLogits(executor.module(), rows, options));
  const fb::Model &model = *executor.module().model();
  int64_t allRows = static_cast<int64_t>(rows.size()), count = options.share.count(allRows),
          most = options.share.most(allRows);
  Places all(rows, options);
  // This rank's rows.
  int64_t begin = options.share.first(allRows), width = all.width;
  LogitsOptions ofMine = options;
  ofMine.width = width;
  ofMine.begins.assign(all.begins.begin() + begin, all.begins.begin() + begin + count);
  Places mine({rows.begin() + begin, rows.begin() + begin + count}, ofMine);

  std::vector<RowBatch> batches(std::max<int64_t>(options.microBatches, 1));
  for (RowBatch &batch : batches)
    batch.run.emplace(HADAL_TRY(executor.prepare(programFor(options))));
  std::vector<Route> routes;
  if (options.routes)
    routes = HADAL_TRY(readRoutes(*options.routes, batches[0].run->program(), all, model));

  int64_t perRun = std::min(most, std::max<int64_t>(1, runTokens / width));
  HADAL_TRY(executor.setStateRegister(names::reg::cacheSlots, perRun * width));
  std::vector<Gathered> outputs;
  // All ranks run as often as the one with most rows, if on none.
  for (int64_t at = 0; at < most; at += perRun) {
    int64_t firstRow = std::min(at, count), here = std::min(count, firstRow + perRun) - firstRow;
    std::vector<ProgramRun *> runs;
    for (unsigned i = 0; i < batches.size(); ++i) {
      auto &[packed, run] = batches[i];
      RowShare part{i, unsigned(batches.size())};
      int64_t first = firstRow + part.first(here), firstToken = mine.before[first];
      packed.clear(part.first(here) * width);
      for (int64_t row = first; row < first + part.count(here); ++row)
        packed.add(rows[begin + row], LogitRows::All);
      HADAL_TRY(packed.bind(*run));
      if (outputs.empty())
        for (uint32_t number : run->results())
          if (const fb::Argument *argument = run->program().arguments()->Get(number);
              options.dump || argument->name()->string_view() == names::argument::logits)
            outputs.push_back(HADAL_TRY(gather(*run, *argument, mine)));
      for (Gathered &output : outputs)
        HADAL_TRY(run->bind(output.name, output.part(firstToken, packed.tokens())));
      for (Route &route : routes) {
        int64_t chosen = model.experts_per_token();
        std::span<const int32_t> choices(route.experts.data() +
                                             (all.before[begin] + firstToken) * chosen,
                                         packed.tokens() * chosen);
        HADAL_TRY(run->bind(route.argument, TensorView::of(choices, {packed.tokens(), chosen})));
      }
      runs.push_back(&*run);
    }
    HADAL_TRY(executor.execute(runs));
    // A dump is for finding out where such numbers come from.
    for (auto &[packed, run] : batches)
      if (!options.dump && packed.tokens())
        if (int64_t row = rowWithoutMaximum(HADAL_TRY(run->output(names::argument::logits)));
            row >= 0)
          return invalidArgument(
              "rows " + std::to_string(begin + firstRow) + " to " +
              std::to_string(begin + firstRow + here - 1) +
              ": logits of a token are not finite; --dump shows where it begins");
  }
  std::vector<std::pair<std::string, Tensor>> results;
  for (Gathered &output : outputs) {
    std::string name = output.name;
    results.emplace_back(name, HADAL_TRY(spread(std::move(output), mine)));
  }
  return results;
}
