//===- AttentionCases.cpp - mla ---------------------------------------------===//

#include "test/exec/Compare.h"

#include <algorithm>
#include <array>
#include <numeric>

using namespace hadal;
using namespace hadal::compare;

/// The frequencies that test/exec/rotation.mlir writes: 2^-(2j), exact in decimal.
static std::vector<float> frequencies(int64_t count) {
  std::vector<float> result;
  for (float frequency = 1; static_cast<int64_t>(result.size()) < count; frequency /= 4)
    result.push_back(frequency);
  return result;
}

static Case rotation() {
  return {"mla.rotation",
          {"T", "H", "magnitude", "limit"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            Integers positions({s.integer("T")});
            // 0 first, then up to the release's longest context.
            for (int64_t t = 1; t < positions.dim(0); ++t)
              positions(t) = random.below(s.integer("limit", 163840));
            inputs.addIntegers(positions);
          },
          [](const Settings &s, const Check &check) {
            reference::Rotation wanted =
                reference::rotation(check.integer(0), frequencies(s.integer("H")),
                                    static_cast<float>(s.real("magnitude", 1)));
            // A polynomial after range reduction, and the product with the magnitude: a few
            // roundings of values <= 1.
            check.close(0, wanted.cos, 0x1p-21);
            check.close(1, wanted.sin, 0x1p-21);
          }};
}

static Case rope() {
  return {"mla.rope",
          {"T", "h", "dr", "interleave", "adjoint"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            int64_t tokens = s.integer("T"), pairs = s.integer("dr") / 2;
            inputs.addRandom(random, {tokens, s.integer("h"), 2 * pairs});
            inputs.addRandom(random, {tokens, pairs});
            inputs.addRandom(random, {tokens, pairs});
          },
          [](const Settings &s, const Check &check) {
            auto wanted = s.flag("adjoint") ? reference::ropeAdjoint : reference::rope;
            // Two products and a sum: three roundings.
            check.close(0,
                        wanted(check.real(0), check.real(1), check.real(2), s.flag("interleave")),
                        0x1p-22);
          }};
}

// Scores of tens of terms go through exp, then tens of terms are summed: errors of some 2^-21 of
// the maximum.
static constexpr double attentionTolerance = 0x1p-18;

/// The six operands that attention and its adjoint share.
static void makeAttention(const Settings &s, Random &random, Inputs &inputs) {
  std::vector<int64_t> lengths = s.integers("lengths");
  Integers offsets({static_cast<int64_t>(lengths.size()) + 1});
  for (size_t b = 0; b < lengths.size(); ++b)
    offsets(b + 1) = offsets(b) + lengths[b];
  int64_t tokens = offsets.values.back(), heads = s.integer("nh");
  // A wide spread of queries makes sharp softmaxes, whose running maximum moves a lot.
  auto spread = static_cast<float>(s.real("spread", 1));
  Reals query({tokens, heads, s.integer("dn")});
  for (double &value : query.values)
    value = random.between(-spread, spread);
  inputs.addReals(query);
  inputs.addRandom(random, {tokens, heads, s.integer("dr")});
  inputs.addRandom(random, {tokens, heads, s.integer("dn")});
  inputs.addRandom(random, {tokens, s.integer("dr")});
  inputs.addRandom(random, {tokens, heads, s.integer("dv")});
  inputs.addIntegers(offsets);
}

static Case attention() {
  return {"mla.attention",
          {"lengths", "nh", "dn", "dr", "dv", "scale", "spread", "lse"},
          makeAttention,
          [](const Settings &s, const Check &check) {
            double tolerance = attentionTolerance * std::max(1.0, s.real("spread", 1));
            check.close(0,
                        reference::attention(check.real(0), check.real(1), check.real(2),
                                             check.real(3), check.real(4), check.integer(5),
                                             s.real("scale")),
                        tolerance);
            if (s.flag("lse"))
              check.close(1,
                          reference::attentionLse(check.real(0), check.real(1), check.real(2),
                                                  check.real(3), check.integer(5), s.real("scale")),
                          tolerance);
          }};
}

static Case attentionGrad() {
  return {"mla.attention_grad",
          {"lengths", "nh", "dn", "dr", "dv", "scale", "spread"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            makeAttention(s, random, inputs);
            auto real = [&](size_t i) { return toReals(inputs.tensors[i]); };
            Integers offsets = toIntegers(inputs.tensors[5]);
            Reals result = reference::attention(real(0), real(1), real(2), real(3), real(4),
                                                offsets, s.real("scale"));
            Inputs drawn;
            drawn.addRandom(random, result.shape);
            Reals gradient = toReals(drawn.tensors[0]), delta({result.dim(0), result.dim(1)});
            for (int64_t t = 0; t < result.dim(0); ++t)
              for (int64_t h = 0; h < result.dim(1); ++h)
                for (int64_t i = 0; i < result.dim(2); ++i)
                  delta(t, h) += result(t, h, i) * gradient(t, h, i);
            inputs.addReals(reference::attentionLse(real(0), real(1), real(2), real(3), offsets,
                                                    s.real("scale")));
            inputs.addReals(delta);
            inputs.addReals(gradient);
          },
          [](const Settings &s, const Check &check) {
            // The softmax's derivative is taken anew from queries and keys; lse and delta serve the
            // kernel only.
            reference::AttentionGradients wanted = reference::attentionGradients(
                check.real(0), check.real(1), check.real(2), check.real(3), check.real(4),
                check.integer(5), check.real(8), s.real("scale"));
            // Two products of scores instead of one, and a difference of numbers that may be close:
            // twice the forward's.
            double tolerance = 2 * attentionTolerance * std::max(1.0, s.real("spread", 1));
            // Dot products of size one cancel for a sequence's first row; alone, it has no gradient
            // of queries and keys at all.
            std::vector<int64_t> lengths = s.integers("lengths");
            bool isAlone = lengths == std::vector<int64_t>(lengths.size(), 1);
            std::array score{&wanted.qNope, &wanted.qRope, &wanted.kNope, &wanted.kRope};
            for (unsigned i = 0; i < score.size(); ++i)
              check.close(i, isAlone ? Reals(score[i]->shape) : *score[i], isAlone ? 0 : tolerance,
                          1);
            check.close(4, wanted.v, tolerance);
          }};
}

/// `rows` new tokens of each sequence, the last of its `lengths` positions; `offsets` is an operand
/// only where `isRagged`, else each sequence has one.
static Case latentAttention(std::string name, bool isRagged) {
  std::vector<std::string> settings{"lengths", "nh", "rk", "dr", "pages", "page_tokens", "scale"};
  if (isRagged)
    settings.push_back("rows");
  return {std::move(name), std::move(settings),
          [isRagged](const Settings &s, Random &random, Inputs &inputs) {
            std::vector<int64_t> lengths = s.integers("lengths");
            std::vector<int64_t> rows(lengths.size(), 1);
            if (isRagged)
              rows = s.integers("rows");
            auto sequences = static_cast<int64_t>(lengths.size());
            int64_t heads = s.integer("nh"), latent = s.integer("rk"), rotary = s.integer("dr");
            int64_t pages = s.integer("pages"), pageTokens = s.integer("page_tokens"), used = 0;
            int64_t all = std::accumulate(rows.begin(), rows.end(), int64_t(0)), row = 0;
            // Pages lie anywhere in the cache, and the table has an entry more than the longest
            // sequence needs.
            int64_t columns = *std::max_element(lengths.begin(), lengths.end()) / pageTokens + 2;
            Integers table({sequences, columns}), positions({all}), offsets({sequences + 1});
            std::vector<int64_t> order = random.distinct(pages, pages);
            for (int64_t b = 0; b < sequences; ++b) {
              for (int64_t i = 0; i < rows[b]; ++i)
                positions(row++) = lengths[b] - rows[b] + i;
              offsets(b + 1) = row;
              for (int64_t p = 0; p * pageTokens < lengths[b]; ++p)
                table(b, p) = order.at(static_cast<size_t>(used++));
            }
            inputs.addRandom(random, {all, heads, latent});
            inputs.addRandom(random, {all, heads, rotary});
            inputs.addRandom(random, {pages * pageTokens, latent + rotary});
            inputs.addIntegers(table);
            inputs.addIntegers(positions);
            if (isRagged)
              inputs.addIntegers(offsets);
          },
          [isRagged](const Settings &s, const Check &check) {
            Integers offsets({check.real(0).dim(0) + 1});
            std::iota(offsets.values.begin(), offsets.values.end(), int64_t(0));
            if (isRagged)
              offsets = check.integer(5);
            check.close(0,
                        reference::latentAttention(check.real(0), check.real(1), check.real(2),
                                                   check.integer(3), check.integer(4), offsets,
                                                   s.real("scale"), s.integer("page_tokens")),
                        attentionTolerance);
          }};
}

static Case cacheAppend() {
  return {"mla.cache_append",
          {"T", "rk", "dr", "S"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            int64_t tokens = s.integer("T"), slots = s.integer("S");
            Integers chosen({tokens});
            chosen.values = random.distinct(tokens, slots);
            inputs.addRandom(random, {tokens, s.integer("rk")});
            inputs.addRandom(random, {tokens, s.integer("dr")});
            inputs.addIntegers(chosen);
            inputs.addRandom(random, {slots, s.integer("rk") + s.integer("dr")});
          },
          [](const Settings &, const Check &check) {
            check.equal(0, reference::cacheAppend(check.real(0), check.real(1), check.integer(2),
                                                  check.real(3)));
          }};
}

std::vector<Case> compare::attentionCases() {
  return {rotation(),
          rope(),
          attention(),
          attentionGrad(),
          latentAttention("mla.latent_attention", /*isRagged=*/false),
          latentAttention("mla.latent_attention_rows", /*isRagged=*/true),
          cacheAppend()};
}
