//===- FakeTrainingKernels.cpp - kernels of the fake training job -------===//

#include "runtime/Abi.h"
#include "test/tools/FakeKernels.h"
#include "test/training/FakeTraining.h"

using namespace hadal::fake;

namespace {

constexpr int64_t V = trainVocabulary, E = trainExperts, tableSize = 2 * paddedRows, expertSize = 6;

float magnitude(float x) { return x < 0 ? -x : x; }

float widen(uint16_t half) {
  uint32_t bits = uint32_t(half) << 16;
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

} // namespace

// tensor [V, 2], packed: columns of paddedRows
KERNEL(fake_pack_table) {
  for (int64_t i = 0; i < 2 * V; ++i)
    at<float>(b, 1)[i % 2 * paddedRows + i / 2] = at<float>(b, 0)[i];
}
KERNEL(fake_pack_table_bf16) {
  for (int64_t i = 0; i < 2 * V; ++i)
    at<float>(b, 1)[i % 2 * paddedRows + i / 2] = widen(at<uint16_t>(b, 0)[i]);
}
KERNEL(fake_unpack_table) {
  for (int64_t i = 0; i < 2 * V; ++i)
    at<float>(b, 1)[i] = at<float>(b, 0)[i % 2 * paddedRows + i / 2];
}

// from, to; scalar: elements
KERNEL(fake_copy) {
  for (int64_t i = 0; i < scalars[0]; ++i)
    at<float>(b, 1)[i] = at<float>(b, 0)[i];
}
KERNEL(fake_widen) {
  for (int64_t i = 0; i < scalars[0]; ++i)
    at<float>(b, 1)[i] = widen(at<uint16_t>(b, 0)[i]);
}

// from, sum; scalar: elements
KERNEL(fake_add) {
  for (int64_t i = 0; i < scalars[0]; ++i)
    at<float>(b, 1)[i] += at<float>(b, 0)[i];
}

// values, bits of the largest magnitude; scalar: elements
KERNEL(fake_magnitude) { at<int32_t>(b, 1)[0] = largestMagnitude(at<int32_t>(b, 0), scalars[0]); }

// key, scale, values; scalar: elements
KERNEL(fake_draw) {
  const int32_t *key = at<int32_t>(b, 0);
  const float *scale = at<float>(b, 1);
  for (int64_t i = 0; i < scalars[0]; ++i) {
    uint32_t hash = (uint32_t(key[0]) ^ uint32_t(i) * 2654435761u) * 2246822519u + uint32_t(key[1]);
    hash = (hash ^ (hash >> 15)) * 3266489917u;
    at<float>(b, 2)[i] = scale[0] + scale[1] * (static_cast<float>(hash >> 8) * 0x1p-23f - 1);
  }
}

// gradient of the table, of the experts, losses, loads
KERNEL(fake_zero) {
  for (int64_t i = 0; i < tableSize; ++i)
    at<float>(b, 0)[i] = 0;
  for (int64_t i = 0; i < E * expertSize; ++i)
    at<float>(b, 1)[i] = 0;
  for (int64_t i = 0; i < 3; ++i)
    at<float>(b, 2)[i] = 0, at<int32_t>(b, 3)[i] = 0;
}

namespace {
/// ids, targets, counts, mtp ids, mtp targets, mtp rows, table, experts; scalars: tokens, mtp
/// tokens, sequences. Null gradients are left out.
void pass(void *const *b, const int64_t *scalars, float *tableGradient, float *expertGradient,
          float *losses, int32_t *loads) {
  const int32_t *counts = at<int32_t>(b, 2);
  const float *table = at<float>(b, 6), *experts = at<float>(b, 7);
  for (int depth = 0; depth < 2; ++depth) {
    const int32_t *ids = at<int32_t>(b, 3 * depth), *targets = at<int32_t>(b, 3 * depth + 1);
    float loss = 0;
    for (int64_t t = 0; t < scalars[depth]; ++t) {
      // A depth looks at the token that its row stands for in the main model.
      int32_t id = depth ? at<int32_t>(b, 0)[at<int32_t>(b, 5)[t]] : ids[t];
      loads[id % E] += depth == 0;
      if (targets[t] < 0)
        continue;
      int64_t place = depth * paddedRows + id;
      float difference = table[place] - static_cast<float>(targets[t]) / V;
      loss += difference * difference;
      if (!tableGradient)
        continue;
      tableGradient[place] += 2 * difference / static_cast<float>(counts[depth]);
      for (int64_t i = 0; i < expertSize; ++i)
        expertGradient[id % E * expertSize + i] += experts[id % E * expertSize + i] * 0.001f;
    }
    losses[depth] += loss / static_cast<float>(counts[depth]);
  }
  losses[2] += 0.5f * static_cast<float>(scalars[2]) / static_cast<float>(counts[2]);
}
} // namespace

// As pass, then gradients, losses, loads.
KERNEL(fake_gradients) {
  pass(b, scalars, at<float>(b, 8), at<float>(b, 9), at<float>(b, 10), at<int32_t>(b, 11));
}
// As pass, then losses, loads.
KERNEL(fake_evaluate) { pass(b, scalars, nullptr, nullptr, at<float>(b, 8), at<int32_t>(b, 9)); }

// gradient of the table, of the experts, norms [2], grad_norm
KERNEL(fake_norms) {
  float *norms = at<float>(b, 2);
  norms[0] = norms[1] = 0;
  for (int64_t i = 0; i < tableSize; ++i)
    norms[0] += magnitude(at<float>(b, 0)[i]);
  for (int64_t i = 0; i < E * expertSize; ++i)
    norms[1] += magnitude(at<float>(b, 1)[i]);
  *at<float>(b, 3) = norms[0] + norms[1];
}

// settings, weight, gradient, first moment, second moment, average; scalar: elements
KERNEL(fake_update) {
  const double *s = at<double>(b, 0);
  float rate = static_cast<float>(s[0] <= s[3] ? s[2] * s[0] / s[3] : s[2]);
  for (int64_t i = 0; i < scalars[0]; ++i) {
    float g = at<float>(b, 2)[i], &w = at<float>(b, 1)[i], &m = at<float>(b, 3)[i],
          &v = at<float>(b, 4)[i], &a = at<float>(b, 5)[i];
    m = static_cast<float>(s[9]) * m + g;
    v = static_cast<float>(s[10]) * v + g * g;
    w -= rate * m;
    a = static_cast<float>(s[12]) * a + static_cast<float>(1 - s[12]) * w;
  }
}

// settings, loads, correction, lr, violation
KERNEL(fake_balance) {
  const double *s = at<double>(b, 0);
  *at<float>(b, 3) = static_cast<float>(s[0] <= s[3] ? s[2] * s[0] / s[3] : s[2]);
  const int32_t *loads = at<int32_t>(b, 1);
  int32_t total = loads[0] + loads[1] + loads[2], most = 0;
  for (int64_t e = 0; e < E; ++e) {
    most = loads[e] > most ? loads[e] : most;
    at<float>(b, 2)[e] += loads[e] * E < total ? 0.125f : loads[e] * E > total ? -0.125f : 0;
  }
  *at<float>(b, 4) = static_cast<float>(most * E) / static_cast<float>(total) - 1;
}
