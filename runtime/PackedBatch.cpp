//===- PackedBatch.cpp - whole prompts as the inputs of a program -------===//

#include "runtime/PackedBatch.h"

using namespace hadal;

void PackedBatch::clear(int64_t first) {
  *this = PackedBatch();
  firstSlot = first;
}

template <typename SlotOf> void PackedBatch::add(std::span<const int32_t> tokens, LogitRows rows, SlotOf slotOf) {
  int32_t first = offsets.back(), length = static_cast<int32_t>(tokens.size());
  for (int32_t position = 0; position < length; ++position) {
    tokenIds.push_back(tokens[position]);
    positions.push_back(position);
    slots.push_back(static_cast<int32_t>(slotOf(position)));
    attended += position + 1;
  }
  offsets.push_back(first + length);
  int32_t from = rows == LogitRows::Last ? length - 1 : 0, to = rows == LogitRows::AllButLast ? length - 1 : length;
  for (int32_t row = from; row < to; ++row)
    logitRowIds.push_back(first + row);
}

void PackedBatch::add(std::span<const int32_t> tokens, std::span<const int32_t> pages, int64_t pageTokens,
                      LogitRows rows) {
  add(tokens, rows,
      [&](int32_t position) { return pages[position / pageTokens] * pageTokens + position % pageTokens; });
}

void PackedBatch::add(std::span<const int32_t> tokens, LogitRows rows) {
  add(tokens, rows, [first = firstSlot + this->tokens()](int32_t position) { return first + position; });
}

Status PackedBatch::bind(ProgramRun &run) const {
  HADAL_TRY(run.setRegister("tokens", tokens()));
  HADAL_TRY(run.setRegister("sequences", sequences()));
  HADAL_TRY(run.setRegister("attended", attended));
  HADAL_TRY(run.setRegister("logit_rows", logitRows()));
  HADAL_TRY(run.bind("token_ids", TensorView::of(tokenIds)));
  HADAL_TRY(run.bind("positions", TensorView::of(positions)));
  HADAL_TRY(run.bind("offsets", TensorView::of(offsets)));
  HADAL_TRY(run.bind("slots", TensorView::of(slots)));
  return run.bind("logit_row_ids", TensorView::of(logitRowIds));
}
