//===- PackedBatch.cpp - whole prompts as the inputs of a program -------===//

#include "runtime/inference/PackedBatch.h"
#include "runtime/module/Names.h"

#include <utility>

using namespace hadal;

void PackedBatch::clear(int64_t first) {
  *this = PackedBatch();
  firstSlot = first;
}

template <typename SlotOf>
void PackedBatch::addTokens(std::span<const int32_t> tokens, int32_t from, int32_t to,
                            SlotOf slotOf) {
  int32_t first = offsets.back(), length = static_cast<int32_t>(tokens.size());
  for (int32_t position = 0; position < length; ++position) {
    tokenIds.push_back(tokens[position]);
    positions.push_back(position);
    slots.push_back(static_cast<int32_t>(slotOf(position)));
    attended += position + 1;
  }
  offsets.push_back(first + length);
  for (int32_t row = from; row < to; ++row)
    logitRowIds.push_back(first + row);
}

/// The rows [first, second) of a sequence of `length` tokens.
static std::pair<int32_t, int32_t> rangeOf(LogitRows rows, size_t length) {
  int32_t all = static_cast<int32_t>(length);
  return {rows == LogitRows::Last ? all - 1 : 0, rows == LogitRows::AllButLast ? all - 1 : all};
}

void PackedBatch::add(std::span<const int32_t> tokens, std::span<const int32_t> pages,
                      int64_t pageTokens, LogitRows rows) {
  auto [from, to] = rangeOf(rows, tokens.size());
  addTokens(tokens, from, to, [&](int32_t position) {
    return pages[position / pageTokens] * pageTokens + position % pageTokens;
  });
}

void PackedBatch::add(std::span<const int32_t> tokens, LogitRows rows) {
  auto [from, to] = rangeOf(rows, tokens.size());
  add(tokens, from, to);
}

void PackedBatch::add(std::span<const int32_t> tokens, int32_t from, int32_t to) {
  addTokens(tokens, from, to,
            [first = firstSlot + this->tokens()](int32_t position) { return first + position; });
}

Status PackedBatch::bind(ProgramRun &run) const {
  HADAL_TRY(run.setRegister(names::reg::tokens, tokens()));
  HADAL_TRY(run.setRegister(names::reg::sequences, sequences()));
  HADAL_TRY(run.setRegister(names::reg::attended, attended));
  HADAL_TRY(run.setRegister(names::reg::logitRows, logitRows()));
  HADAL_TRY(run.bind(names::argument::tokenIds, TensorView::of(tokenIds)));
  HADAL_TRY(run.bind(names::argument::positions, TensorView::of(positions)));
  HADAL_TRY(run.bind(names::argument::offsets, TensorView::of(offsets)));
  HADAL_TRY(run.bind(names::argument::slots, TensorView::of(slots)));
  return run.bind(names::argument::logitRowIds, TensorView::of(logitRowIds));
}
