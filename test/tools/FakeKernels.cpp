//===- FakeKernels.cpp - kernels of a model that can be checked by hand -===//
//
// The code image of FakeModel. The next token of a sequence is a hash of all its tokens, read back
// from the cache, so that a wrong slot, page, position or row shows.
//
//===--------------------------------------------------------------------===//

#include "test/tools/FakeKernels.h"
#include "runtime/Abi.h"
#include "test/tools/FakeModel.h"

using namespace hadal::fake;

/// Logits that are highest at the sequence's next token and fall by `scale` from token to token
/// after it.
static void writeLogits(int64_t hash, float scale, float *logits) {
  for (int64_t v = 0; v < vocabulary; ++v)
    logits[v] = -scale * static_cast<float>((v - nextOf(hash) + vocabulary) % vocabulary);
}

// scale parameter, packed scale
KERNEL(fake_pack) {
  for (int64_t i = begin; i < end; ++i)
    at<float>(b, 1)[i] = at<float>(b, 0)[i];
}

// token_ids, slots, cache
KERNEL(fake_append) {
  for (int64_t t = begin; t < end; ++t)
    at<float>(b, 2)[at<int32_t>(b, 1)[t]] = static_cast<float>(at<int32_t>(b, 0)[t]);
}

// logit_row_ids, offsets, slots, cache, scale, logits; scalar: sequences
KERNEL(fake_prefill) {
  for (int64_t r = begin; r < end; ++r) {
    int32_t row = at<int32_t>(b, 0)[r];
    const int32_t *offsets = at<int32_t>(b, 1);
    int64_t sequence = 0;
    while (sequence + 1 < scalars[0] && offsets[sequence + 1] <= row)
      ++sequence;
    int64_t hash = 0;
    for (int64_t t = offsets[sequence]; t <= row; ++t)
      hash = extend(hash, t - offsets[sequence],
                    static_cast<int64_t>(at<float>(b, 3)[at<int32_t>(b, 2)[t]]));
    writeLogits(hash, *at<float>(b, 4), at<float>(b, 5) + r * vocabulary);
  }
}

// page_table, positions, cache, scale, logits; scalar: table_pages
KERNEL(fake_decode) {
  for (int64_t r = begin; r < end; ++r) {
    const int32_t *pages = at<int32_t>(b, 0) + r * scalars[0];
    int64_t hash = 0;
    for (int64_t p = 0; p <= at<int32_t>(b, 1)[r]; ++p)
      hash = extend(hash, p,
                    static_cast<int64_t>(
                        at<float>(b, 2)[pages[p / pageTokens] * pageTokens + p % pageTokens]));
    writeLogits(hash, *at<float>(b, 3), at<float>(b, 4) + r * vocabulary);
  }
}

// logits, token_ids
KERNEL(fake_argmax) {
  for (int64_t r = begin; r < end; ++r) {
    const float *logits = at<float>(b, 0) + r * vocabulary;
    int32_t best = 0;
    for (int32_t v = 1; v < vocabulary; ++v)
      best = logits[v] > logits[best] ? v : best;
    at<int32_t>(b, 1)[r] = best;
  }
}

// uniform, token_ids
KERNEL(fake_sample) {
  for (int64_t r = begin; r < end; ++r)
    at<int32_t>(b, 1)[r] = static_cast<int32_t>(at<float>(b, 0)[r] * vocabulary);
}

// logits, targets, nll
KERNEL(fake_nll) {
  for (int64_t r = begin; r < end; ++r)
    at<float>(b, 2)[r] = -at<float>(b, 0)[r * vocabulary + at<int32_t>(b, 1)[r]];
}

// token_ids, positions, hidden [T, 2]
KERNEL(fake_hidden) {
  for (int64_t t = begin; t < end; ++t) {
    at<float>(b, 2)[2 * t] = static_cast<float>(at<int32_t>(b, 0)[t]);
    at<float>(b, 2)[2 * t + 1] = static_cast<float>(at<int32_t>(b, 1)[t]);
  }
}

// token_ids, experts [T, 2]
KERNEL(fake_choose) {
  for (int64_t t = begin; t < end; ++t) {
    at<int32_t>(b, 1)[2 * t] = at<int32_t>(b, 0)[t] % 3;
    at<int32_t>(b, 1)[2 * t + 1] = 3;
  }
}

// routes [T, 2], experts [T, 2]
KERNEL(fake_obey) {
  for (int64_t i = 2 * begin; i < 2 * end; ++i)
    at<int32_t>(b, 1)[i] = at<int32_t>(b, 0)[i];
}

// a buffer, how many bytes it lies after a multiple of 64
KERNEL(fake_place) {
  *at<float>(b, 1) = static_cast<float>(reinterpret_cast<uintptr_t>(b[0]) % 64);
}
