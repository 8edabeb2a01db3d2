//===- Engine.cpp - requests in, tokens out, a step at a time -----------===//

#include "runtime/inference/Engine.h"

#include "runtime/Finite.h"
#include "runtime/ModelLimits.h"
#include "runtime/module/Names.h"
#include "runtime/ranks/RowShare.h"

#include <algorithm>
#include <chrono>

using namespace hadal;

using Clock = std::chrono::steady_clock;

static double secondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Engine::Engine(const fb::Model &model, Executor &executor, const EngineOptions &options,
               std::vector<Batch> batches)
    : model(model), executor(executor), options(options), batches(std::move(batches)),
      chooser(executor), nextNumber(options.firstSequence) {
  if (auto *ids = model.eos_token_ids())
    eosTokens.assign(ids->begin(), ids->end());
}

Result<std::unique_ptr<Engine>> Engine::create(Executor &executor, const EngineOptions &options) {
  const fb::Model *model = HADAL_TRY(inferenceModelOf(executor.module()));
  if (options.maxSequences < 1 || options.microBatches < 1)
    return invalidArgument("the number of sequences and of micro-batches: wants 1 or more");
  if (model->page_tokens() < 1)
    return invalidFile(executor.module().path() + ": a cache page has " +
                       std::to_string(model->page_tokens()) + " tokens, wants 1 or more");
  std::vector<Batch> batches;
  for (int64_t i = 0; i < options.microBatches; ++i)
    batches.push_back({HADAL_TRY(executor.prepare(names::program::prefill)),
                       HADAL_TRY(executor.prepare(names::program::decode)),
                       {},
                       {},
                       {},
                       {},
                       {}});
  return std::unique_ptr<Engine>(new Engine(*model, executor, options, std::move(batches)));
}

Status Engine::accept(const RequestSettings &settings) {
  if (settings.maxNewTokens < 1)
    return invalidArgument("the number of new tokens: wants 1 or more, got " +
                           std::to_string(settings.maxNewTokens));
  if (settings.logprobs < 0)
    return invalidArgument("logprobs: wants 0 tokens or more, got " +
                           std::to_string(settings.logprobs));
  HADAL_TRY(chooser.accept(settings.sampling));
  // One program serves all: the likeliest tokens of a row are the first of more of them.
  if (settings.logprobs && (!logProbabilities || logProbabilities->top() < settings.logprobs))
    logProbabilities.emplace(
        HADAL_TRY(LogProbabilities::create(executor, model.vocab_size(), settings.logprobs)));
  return {};
}

std::span<Engine::Sequence> Engine::partOf(std::span<Sequence> sequences, size_t batch) const {
  RowShare share{unsigned(batch), unsigned(batches.size())};
  int64_t count = static_cast<int64_t>(sequences.size());
  return sequences.subspan(share.first(count), share.count(count));
}

Result<int64_t> Engine::submit(std::vector<int32_t> prompt, const RequestSettings &settings) {
  HADAL_TRY(checkSequence(model, prompt, "row " + std::to_string(nextNumber)));
  HADAL_TRY(accept(settings));
  Sequence sequence;
  sequence.number = nextNumber;
  sequence.prompt = std::move(prompt);
  sequence.settings = settings;
  if (!sequence.settings.eosTokens)
    sequence.settings.eosTokens = eosTokens;
  if (penalizes(settings.sampling))
    for (int32_t token : sequence.prompt)
      see(sequence, token);
  waiting.push_back(std::move(sequence));
  return nextNumber++;
}

void Engine::see(Sequence &sequence, int32_t token) {
  sequence.isSeen.resize(static_cast<size_t>(model.vocab_size()));
  if (!sequence.isSeen[token])
    sequence.seen.push_back(token);
  sequence.isSeen[token] = true;
}

/// Gives a sequence the pages for its first `positions` positions. The cache grows by halves, so
/// that a token's share of the copying stays bounded.
Status Engine::givePages(Sequence &sequence, int64_t positions) {
  int64_t pageTokens = model.page_tokens();
  int64_t missing =
      (positions + pageTokens - 1) / pageTokens - static_cast<int64_t>(sequence.pages.size());
  if (missing > pages.freeCount()) {
    int64_t count = pages.pageCount();
    int64_t wanted = std::max(count + missing - pages.freeCount(), count + count / 2);
    HADAL_TRY(executor.setStateRegister(names::reg::cacheSlots, wanted * pageTokens));
    pages.grow(wanted);
  }
  for (; missing > 0; --missing)
    sequence.pages.push_back(*pages.take());
  return {};
}

Status Engine::admit(const TakeToken &take) {
  size_t firstNew = active.size();
  int64_t tokens = 0;
  while (!waiting.empty() && static_cast<int64_t>(active.size()) < options.maxSequences) {
    Sequence &sequence = waiting.front();
    int64_t length = static_cast<int64_t>(sequence.prompt.size());
    if (tokens && tokens + length > runTokens)
      break;
    HADAL_TRY(givePages(sequence, length));
    tokens += length;
    sequence.positions = length;
    active.push_back(std::move(sequence));
    waiting.pop_front();
  }
  if (!HADAL_TRY(any(tokens > 0)))
    return {};
  if (pages.pageCount() == 0) { // programs want a cache even where this rank runs along on nothing
    HADAL_TRY(executor.setStateRegister(names::reg::cacheSlots, model.page_tokens()));
    pages.grow(1);
  }
  std::span<Sequence> added = std::span(active).subspan(firstNew);
  std::vector<ProgramRun *> runs;
  for (size_t i = 0; i < batches.size(); ++i) {
    Batch &batch = batches[i];
    batch.packed.clear();
    for (const Sequence &sequence : partOf(added, i))
      batch.packed.add(sequence.prompt, sequence.pages, model.page_tokens(), LogitRows::Last);
    HADAL_TRY(batch.packed.bind(batch.prefill));
    HADAL_TRY(
        batch.prefill.reserve()); // taking memory from the system is no part of the prompt's time
    runs.push_back(&batch.prefill);
  }
  auto start = Clock::now();
  HADAL_TRY(executor.execute(runs));
  for (size_t i = 0; i < batches.size(); ++i) {
    HADAL_TRY(choose(partOf(added, i), batches[i].prefill, take));
    counts.prefillFlops += batches[i].prefill.statistics().flops;
  }
  counts.prefillSeconds += secondsSince(start);
  counts.prefillTokens += tokens;
  return {};
}

/// The inputs of a micro-batch's decode, whose sequences have the position of their last token.
Status Engine::bindDecode(Batch &batch, std::span<Sequence> sequences) {
  int64_t rows = static_cast<int64_t>(sequences.size()), pageTokens = model.page_tokens(),
          attended = 0;
  size_t tablePages = 0;
  batch.tokenIds.clear();
  batch.positions.clear();
  batch.slots.clear();
  for (const Sequence &sequence : sequences) {
    int64_t position = sequence.positions - 1;
    batch.tokenIds.push_back(sequence.lastToken);
    batch.positions.push_back(static_cast<int32_t>(position));
    batch.slots.push_back(static_cast<int32_t>(sequence.pages[position / pageTokens] * pageTokens +
                                               position % pageTokens));
    tablePages = std::max(tablePages, sequence.pages.size());
    attended += position + 1;
  }
  batch.pageTable.assign(rows * tablePages, 0);
  for (int64_t row = 0; row < rows; ++row)
    std::copy(sequences[row].pages.begin(), sequences[row].pages.end(),
              batch.pageTable.begin() + row * tablePages);

  ProgramRun &decode = batch.decode;
  HADAL_TRY(decode.setRegister(names::reg::tokens, rows));
  HADAL_TRY(decode.setRegister(names::reg::tablePages, static_cast<int64_t>(tablePages)));
  HADAL_TRY(decode.setRegister(names::reg::attended, attended));
  HADAL_TRY(decode.bind(names::argument::tokenIds, TensorView::of(batch.tokenIds)));
  HADAL_TRY(decode.bind(names::argument::positions, TensorView::of(batch.positions)));
  HADAL_TRY(decode.bind(names::argument::slots, TensorView::of(batch.slots)));
  return decode.bind(names::argument::pageTable,
                     TensorView::of(batch.pageTable, {rows, static_cast<int64_t>(tablePages)}));
}

Status Engine::decode(const TakeToken &take) {
  auto start = Clock::now();
  for (Sequence &sequence : active)
    HADAL_TRY(givePages(sequence, ++sequence.positions));
  std::vector<ProgramRun *> runs;
  for (size_t i = 0; i < batches.size(); ++i) {
    HADAL_TRY(bindDecode(batches[i], partOf(active, i)));
    runs.push_back(&batches[i].decode);
  }
  HADAL_TRY(executor.execute(runs));
  for (size_t i = 0; i < batches.size(); ++i) {
    HADAL_TRY(choose(partOf(active, i), batches[i].decode, take));
    counts.decodeFlops += batches[i].decode.statistics().flops;
  }
  counts.decodeSeconds += secondsSince(start);
  counts.decodeTokens += static_cast<int64_t>(active.size());
  ++counts.decodeSteps;
  return {};
}

/// Log-probabilities of the rows' tokens; none where no row asks for any.
Result<LogProbabilities::Rows> Engine::logarithmsOf(std::span<const Sequence> rows,
                                                    const DeviceView &logits,
                                                    std::span<const int32_t> chosen) {
  bool isAsked = std::any_of(rows.begin(), rows.end(), [](const Sequence &sequence) {
    return sequence.settings.logprobs > 0;
  });
  if (!isAsked)
    return LogProbabilities::Rows();
  return logProbabilities->of(logits, chosen);
}

Status Engine::choose(std::span<Sequence> rows, const ProgramRun &run, const TakeToken &take) {
  if (rows.empty())
    return {};
  TensorView logits = HADAL_TRY(run.output(names::argument::logits));
  DeviceView onDevice = HADAL_TRY(run.outputOnDevice(names::argument::logits));
  if (int64_t row = rowWithoutMaximum(logits); row >= 0)
    return invalidArgument("row " + std::to_string(rows[row].number) + ", new token " +
                           std::to_string(rows[row].generated) +
                           ": its logits have no finite maximum, so there is no token to choose");
  choices.clear();
  for (const Sequence &sequence : rows)
    choices.push_back({&sequence.settings.sampling,
                       drawUniform(sequence.settings.seed, sequence.generated), sequence.seen});
  std::span<const int32_t> chosen = HADAL_TRY(chooser.choose(onDevice, choices));
  auto logarithms = HADAL_TRY(logarithmsOf(rows, onDevice, chosen));
  size_t vocabulary = static_cast<size_t>(model.vocab_size());
  std::span<const float> all(static_cast<const float *>(logits.data), rows.size() * vocabulary);
  for (size_t row = 0; row < rows.size(); ++row) {
    Sequence &sequence = rows[row];
    const RequestSettings &settings = sequence.settings;
    auto isIn = [&](const std::vector<int64_t> &ids) {
      return std::find(ids.begin(), ids.end(), chosen[row]) != ids.end();
    };
    GeneratedToken token{sequence.number,
                         sequence.generated,
                         chosen[row],
                         isIn(*settings.eosTokens),
                         isIn(settings.stopTokens),
                         all.subspan(row * vocabulary, vocabulary)};
    if (settings.logprobs) {
      size_t most = static_cast<size_t>(logProbabilities->top()),
             asked = static_cast<size_t>(settings.logprobs);
      token.logProbability = logarithms.chosen[row];
      token.topIds = logarithms.topIds.subspan(row * most, asked);
      token.topLogProbabilities = logarithms.top.subspan(row * most, asked);
    }
    give(sequence, token, take);
  }
  return {};
}

void Engine::give(Sequence &sequence, const GeneratedToken &token, const TakeToken &take) {
  const RequestSettings &settings = sequence.settings;
  sequence.lastToken = token.token;
  if (penalizes(settings.sampling))
    see(sequence, token.token);
  take(token);
  ++sequence.generated;
  bool isFull = sequence.positions >= model.max_positions();
  sequence.ended = (token.isEos && !settings.ignoreEos) || token.isStop ||
                   sequence.generated >= settings.maxNewTokens ||
                   (settings.endsAt && settings.endsAt(token));
  if (isFull && !sequence.ended && !token.isEos)
    ++counts.stoppedByPositions;
  sequence.ended |= isFull;
}

void Engine::retire() {
  for (const Sequence &sequence : active)
    if (sequence.ended)
      pages.give(sequence.pages);
  std::erase_if(active, [](const Sequence &sequence) { return sequence.ended; });
}

Result<bool> Engine::step(const TakeToken &take) {
  if (!HADAL_TRY(any(!waiting.empty() || !active.empty())))
    return false;
  HADAL_TRY(admit(take));
  retire();
  if (HADAL_TRY(any(!active.empty()))) {
    HADAL_TRY(decode(take));
    retire();
  }
  return true;
}
