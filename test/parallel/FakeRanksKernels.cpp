//===- FakeRanksKernels.cpp - kernels of the fake job over ranks --------===//

#include "runtime/Abi.h"
#include "test/parallel/FakeRanks.h"
#include "test/tools/FakeKernels.h"

using namespace hadal::fake;

namespace {
constexpr int64_t V = ranksVocabulary, E = ranksExperts;
int64_t expertOf(int32_t id, int64_t layer) { return (id * 7 + layer * 3) % E; }

/// Takes time, and no core: what is measured does not depend on what else the machine does.
void idle(int64_t nanoseconds) {
  if (nanoseconds <= 0)
    return;
  int64_t time[2] = {nanoseconds / 1'000'000'000, nanoseconds % 1'000'000'000};
#if defined(__x86_64__)
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(35), "D"(time), "S"(nullptr)
                   : "rcx", "r11", "memory");
#else
  register long number __asm__("x8") = 101;
  register int64_t *first __asm__("x0") = time;
  register void *second __asm__("x1") = nullptr;
  __asm__ volatile("svc 0" : "+r"(first) : "r"(number), "r"(second) : "memory");
#endif
}

/// The rows for part 0 first, then for part 1 ...; calls f(token, row).
template <typename F>
void inOrderOfParts(const int32_t *ids, int64_t tokens, int64_t layer, int64_t parts, F f) {
  int64_t row = 0;
  for (int64_t p = 0; p < parts; ++p)
    for (int64_t t = 0; t < tokens; ++t)
      if (expertOf(ids[t], layer) * parts / E == p)
        f(t, row++);
}
} // namespace

// values, bits of the largest magnitude; scalar: elements
KERNEL(ranks_magnitude) { at<int32_t>(b, 1)[0] = largestMagnitude(at<int32_t>(b, 0), scalars[0]); }

// ids, table, x; scalars: tokens
KERNEL(ranks_embed) {
  for (int64_t i = 0; i < scalars[0] * 2; ++i)
    at<float>(b, 2)[i] = at<float>(b, 1)[at<int32_t>(b, 0)[i / 2] * 2 + i % 2];
}

// ids, x, w, y, rows [T, 3], counts [2P], loads, losses, step counts; scalars: tokens, layer,
// parts, work
KERNEL(ranks_dispatch) {
  const int32_t *ids = at<int32_t>(b, 0);
  float *y = at<float>(b, 3), *rows = at<float>(b, 4), *losses = at<float>(b, 7);
  int32_t *counts = at<int32_t>(b, 5);
  idle(scalars[3]);
  for (int64_t i = 0; i < scalars[2] * 2; ++i)
    counts[i] = 0;
  for (int64_t t = 0; t < scalars[0]; ++t) {
    int64_t e = expertOf(ids[t], scalars[1]);
    ++at<int32_t>(b, 6)[e];
    counts[e * scalars[2] / E * 2] += 1;
    counts[e * scalars[2] / E * 2 + 1] += 1;
    for (int i = 0; i < 2; ++i)
      y[t * 2 + i] = at<float>(b, 1)[t * 2 + i] * at<float>(b, 2)[i];
    losses[1 + scalars[1]] += y[t * 2] * 0.01f / float(at<int32_t>(b, 8)[0]);
  }
  inOrderOfParts(ids, scalars[0], scalars[1], scalars[2], [&](int64_t t, int64_t row) {
    rows[row * 3] = y[t * 2], rows[row * 3 + 1] = y[t * 2 + 1];
    rows[row * 3 + 2] = float(expertOf(ids[t], scalars[1]) % (E / scalars[2]));
  });
}

// rows [R, 3], experts, out [R, 2]; scalars: rows, work
KERNEL(ranks_expert) {
  idle(scalars[1]);
  for (int64_t r = 0; r < scalars[0]; ++r)
    for (int i = 0; i < 2; ++i)
      at<float>(b, 2)[r * 2 + i] =
          at<float>(b, 0)[r * 3 + i] * at<float>(b, 1)[int64_t(at<float>(b, 0)[r * 3 + 2]) * 2 + i];
}

// ids, y, back, out; scalars: tokens, layer, parts
KERNEL(ranks_combine) {
  inOrderOfParts(
      at<int32_t>(b, 0), scalars[0], scalars[1], scalars[2], [&](int64_t t, int64_t row) {
        for (int i = 0; i < 2; ++i)
          at<float>(b, 3)[t * 2 + i] = at<float>(b, 1)[t * 2 + i] + at<float>(b, 2)[row * 2 + i];
      });
}

// targets, x, table, step counts, losses; scalars: tokens
KERNEL(ranks_loss) {
  for (int64_t t = 0; t < scalars[0]; ++t)
    if (int32_t target = at<int32_t>(b, 0)[t]; target >= 0)
      for (int i = 0; i < 2; ++i) {
        float d = at<float>(b, 1)[t * 2 + i] - at<float>(b, 2)[target * 2 + i];
        at<float>(b, 4)[0] += d * d / float(at<int32_t>(b, 3)[0]);
      }
}

// targets, x, table, step counts, dx; scalars: tokens
KERNEL(ranks_loss_grad) {
  for (int64_t t = 0; t < scalars[0]; ++t)
    for (int i = 0; i < 2; ++i) {
      int32_t target = at<int32_t>(b, 0)[t];
      float d = target < 0 ? 0 : at<float>(b, 1)[t * 2 + i] - at<float>(b, 2)[target * 2 + i];
      at<float>(b, 4)[t * 2 + i] = 2 * d / float(at<int32_t>(b, 3)[0]);
    }
}

// ids, dout, rows [T, 2]; scalars: tokens, layer, parts, work
KERNEL(ranks_dispatch_grad) {
  idle(scalars[3]);
  inOrderOfParts(at<int32_t>(b, 0), scalars[0], scalars[1], scalars[2],
                 [&](int64_t t, int64_t row) {
                   for (int i = 0; i < 2; ++i)
                     at<float>(b, 2)[row * 2 + i] = at<float>(b, 1)[t * 2 + i];
                 });
}

// dz [R, 2], rows [R, 3], experts, drow [R, 2]; scalars: rows, work
KERNEL(ranks_expert_grad) {
  idle(scalars[1]);
  for (int64_t r = 0; r < scalars[0]; ++r)
    for (int i = 0; i < 2; ++i)
      at<float>(b, 3)[r * 2 + i] =
          at<float>(b, 0)[r * 2 + i] * at<float>(b, 2)[int64_t(at<float>(b, 1)[r * 3 + 2]) * 2 + i];
}

// ids, dout, drow [T, 2], w, dy, dx; scalars: tokens, layer, parts
KERNEL(ranks_combine_grad) {
  inOrderOfParts(at<int32_t>(b, 0), scalars[0], scalars[1], scalars[2],
                 [&](int64_t t, int64_t row) {
                   for (int i = 0; i < 2; ++i) {
                     float dy = at<float>(b, 1)[t * 2 + i] + at<float>(b, 2)[row * 2 + i];
                     at<float>(b, 4)[t * 2 + i] = dy;
                     at<float>(b, 5)[t * 2 + i] = dy * at<float>(b, 3)[i];
                   }
                 });
}

// x, dy, dw, rows [R, 3], dz [R, 2], counts [2P], experts' sums [P, E/P, 2], the last part's first;
// scalars: tokens, rows, parts, work
KERNEL(ranks_weight_grad) {
  idle(scalars[3]);
  for (int64_t t = 0; t < scalars[0]; ++t)
    for (int i = 0; i < 2; ++i)
      at<float>(b, 2)[i] += at<float>(b, 0)[t * 2 + i] * at<float>(b, 1)[t * 2 + i];
  int64_t row = 0, parts = scalars[2];
  for (int64_t q = 0; q < parts; ++q)
    for (int64_t end = row + at<int32_t>(b, 5)[q * 2]; row < end; ++row)
      for (int i = 0; i < 2; ++i)
        at<float>(
            b,
            6)[((parts - 1 - q) * (E / parts) + int64_t(at<float>(b, 3)[row * 3 + 2])) * 2 + i] +=
            at<float>(b, 3)[row * 3 + i] * at<float>(b, 4)[row * 2 + i];
}

// ids, dx, sum; scalars: tokens
KERNEL(ranks_embed_grad) {
  for (int64_t i = 0; i < scalars[0] * 2; ++i)
    at<float>(b, 2)[at<int32_t>(b, 0)[i / 2] * 2 + i % 2] += at<float>(b, 1)[i];
}

// targets, dx, sum; scalars: tokens
KERNEL(ranks_head_grad) {
  for (int64_t i = 0; i < scalars[0] * 2; ++i)
    if (int32_t target = at<int32_t>(b, 0)[i / 2]; target >= 0)
      at<float>(b, 2)[target * 2 + i % 2] -= at<float>(b, 1)[i];
}

// from, to; scalar: elements
KERNEL(ranks_copy) {
  for (int64_t i = 0; i < scalars[0]; ++i)
    at<float>(b, 1)[i] = at<float>(b, 0)[i];
}
KERNEL(ranks_widen) {
  for (int64_t i = 0; i < scalars[0]; ++i) {
    uint32_t bits = uint32_t(at<uint16_t>(b, 0)[i]) << 16;
    __builtin_memcpy(at<float>(b, 1) + i, &bits, 4);
  }
}
KERNEL(ranks_add) {
  for (int64_t i = 0; i < scalars[0]; ++i)
    at<float>(b, 1)[i] += at<float>(b, 0)[i];
}
KERNEL(ranks_add_i32) {
  for (int64_t i = 0; i < scalars[0]; ++i)
    at<int32_t>(b, 1)[i] += at<int32_t>(b, 0)[i];
}
KERNEL(ranks_clear) {
  for (int64_t i = 0; i < scalars[0]; ++i)
    at<int32_t>(b, 0)[i] = 0;
}

// key, scale, values; scalar: elements
KERNEL(ranks_draw) {
  const int32_t *key = at<int32_t>(b, 0);
  const float *scale = at<float>(b, 1);
  for (int64_t i = 0; i < scalars[0]; ++i) {
    uint32_t hash = (uint32_t(key[0]) ^ uint32_t(i) * 2654435761u) * 2246822519u + uint32_t(key[1]);
    hash = (hash ^ (hash >> 15)) * 3266489917u;
    at<float>(b, 2)[i] = scale[0] + scale[1] * (float(hash >> 8) * 0x1p-23f - 1);
  }
}

// gradient, sum; scalar: elements
KERNEL(ranks_square_sum) {
  double sum = 0;
  for (int64_t i = 0; i < scalars[0]; ++i)
    sum += double(at<float>(b, 0)[i]) * at<float>(b, 0)[i];
  *at<double>(b, 1) = sum;
}
// sums, norm, state; scalar: tensors
KERNEL(ranks_global_norm) {
  double sum = 0;
  for (int64_t i = 0; i < scalars[0]; ++i)
    sum += at<double>(b, 0)[i];
  *at<float>(b, 1) = *at<float>(b, 2) = float(sum); // the square: this library has no root
}
// settings, lr, scalars
KERNEL(ranks_schedule) { *at<float>(b, 1) = *at<float>(b, 2) = float(at<double>(b, 0)[2]); }

// weight, gradient, first moment, second moment, scalars; scalar: elements
KERNEL(ranks_adamw) {
  for (int64_t i = 0; i < scalars[0]; ++i) {
    float g = at<float>(b, 1)[i], &m = at<float>(b, 2)[i], &v = at<float>(b, 3)[i];
    m = 0.9f * m + g;
    v = 0.95f * v + g * g;
    at<float>(b, 0)[i] -= *at<float>(b, 4) * m;
    at<float>(b, 1)[i] = 0;
  }
}

// loads of a layer, its correction, violation; scalar: layer
KERNEL(ranks_balance) {
  const int32_t *loads = at<int32_t>(b, 0);
  int32_t total = 0, most = 0;
  for (int64_t e = 0; e < E; ++e)
    total += loads[e], most = loads[e] > most ? loads[e] : most;
  for (int64_t e = 0; e < E; ++e)
    at<float>(b, 1)[e] += loads[e] * E > total ? -0.125f : 0.125f;
  at<float>(b, 2)[scalars[0]] = float(most * E) / float(total) - 1;
}
