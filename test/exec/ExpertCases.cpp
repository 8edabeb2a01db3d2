//===- ExpertCases.cpp - moe ------------------------------------------------===//

#include "test/exec/Compare.h"

#include <algorithm>
#include <cmath>

using namespace hadal;
using namespace hadal::compare;

/// K different experts a token, ascending, of the first `used` ones: the others stay without rows.
static Integers choices(Random &random, int64_t tokens, int64_t topK, int64_t used) {
  Integers experts({tokens, topK});
  for (int64_t t = 0; t < tokens; ++t) {
    std::vector<int64_t> row = random.distinct(topK, used);
    std::sort(row.begin(), row.end());
    for (int64_t k = 0; k < topK; ++k)
      experts(t, k) = row[k];
  }
  return experts;
}

/// Some choices are of other ranks, and some tokens have none here; with the setting `missing`.
static void leaveOut(const Settings &s, Random &random, Integers &experts) {
  for (int64_t t = 0; s.flag("missing") && t < experts.dim(0); ++t) {
    bool all = random.below(4) == 0;
    for (int64_t k = 0; k < experts.dim(1); ++k)
      if (all || random.below(2) == 0)
        experts(t, k) = -1;
  }
}

/// (rows, choices) of S blocks of the tokens, some of them empty; with the setting `S`.
static std::optional<Integers> segments(const Settings &s, Random &random,
                                        const Integers &experts) {
  int64_t count = s.integer("S", 0), tokens = experts.dim(0), from = 0;
  if (!count)
    return std::nullopt;
  Integers counts({2 * count});
  for (int64_t i = 0; i < count; ++i) {
    int64_t to = i + 1 == count ? tokens
                 : i % 3 == 1   ? from
                                : from + random.below(tokens - from + 1);
    counts(2 * i) = to - from;
    for (; from < to; ++from)
      for (int64_t k = 0; k < experts.dim(1); ++k)
        counts(2 * i + 1) += experts(from, k) >= 0;
  }
  return counts;
}

static Case route() {
  return {"moe.route",
          {"T", "E", "groups", "group_limit", "top_k", "normalize", "scale", "forced", "softmax",
           "group_maximum"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            int64_t tokens = s.integer("T"), experts = s.integer("E");
            Reals logits({tokens, experts}), bias({experts});
            // Steps of 1/8 make ties. What ties has to do so in f32 and in f64 alike, so no two
            // scores may be equal by a law of numbers: hence never x beside -x, and a bias that a
            // whole group shares or that occurs once.
            for (double &value : logits.values)
              value = static_cast<double>(random.below(49) - 24) / 8 + 0x1p-5;
            int64_t each = experts / s.integer("groups");
            for (int64_t e = 0; e < experts; ++e)
              bias(e) = e / each % 2 ? random.between(0, 0.5f) : e / each % 4 ? 0.25 : 0;
            // A softmax divides by a sum, which rounds: equal logits stay equal, others must not
            // become so.
            inputs.addReals(logits);
            if (!s.flag("softmax")) // which has no bias
              inputs.addReals(bias);
            if (!s.flag("forced"))
              return;
            Integers forced({tokens, s.integer("top_k")});
            for (int64_t t = 0; t < tokens; ++t) {
              std::vector<int64_t> row = random.distinct(s.integer("top_k"), experts);
              std::copy(row.begin(), row.end(), &forced(t, 0));
            }
            inputs.addIntegers(forced);
          },
          [](const Settings &s, const Check &check) {
            bool softmax = s.flag("softmax");
            reference::Routing wanted = reference::route(
                check.real(0), softmax ? Reals({0}) : check.real(1),
                {s.integer("groups"), s.integer("group_limit"), s.integer("top_k"),
                 s.flag("normalize"), s.real("scale"), softmax, s.flag("group_maximum")},
                check.optionalInteger(softmax ? 1 : 2));
            // A sigmoid or a softmax, a sum of K values, a division and a product.
            check.close(0, wanted.weights, 0x1p-20);
            check.equal(1, wanted.experts);
          }};
}

static Case plan() {
  return {"moe.plan",
          {"T", "E", "K", "used", "S", "missing"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            Integers experts =
                choices(random, s.integer("T"), s.integer("K"), s.integer("used", s.integer("E")));
            leaveOut(s, random, experts);
            inputs.addIntegers(experts);
            std::optional<Integers> counts = segments(s, random, experts);
            if (counts)
              inputs.addIntegers(*counts);
            // An argument of R rows sets the register.
            if (counts || s.flag("missing"))
              inputs.addIntegers(
                  Integers({reference::plan(experts, s.integer("E")).source.dim(0)}));
          },
          [](const Settings &s, const Check &check) {
            std::optional<Integers> counts;
            if (s.integer("S", 0))
              counts = check.integer(1);
            reference::Plan wanted = reference::plan(check.integer(0), s.integer("E"), counts);
            check.equal(0, wanted.source);
            check.equal(1, wanted.position);
            check.equal(2, wanted.offsets);
            check.equal(3, wanted.active);
          }};
}

static Case planSends() {
  return {"moe.plan_sends",
          {"T", "E", "K", "P", "S", "missing"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            Integers experts = choices(random, s.integer("T"), s.integer("K"), s.integer("E"));
            leaveOut(s, random, experts);
            inputs.addIntegers(experts);
            if (std::optional<Integers> counts = segments(s, random, experts))
              inputs.addIntegers(*counts);
          },
          [](const Settings &s, const Check &check) {
            reference::Sends wanted = reference::planSends(
                check.integer(0), s.integer("E"), s.integer("P"), check.optionalInteger(1));
            Integers counts({wanted.counts.dim(0) * wanted.counts.dim(1) * 2});
            counts.values = wanted.counts.values;
            check.equal(0, wanted.source);
            check.equal(1, wanted.slots);
            check.equal(2, wanted.ids);
            check.equal(3, counts);
          }};
}

static Case dispatch() {
  return {"moe.dispatch",
          {"T", "H", "R", "codes"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            Integers source({s.integer("R")});
            for (int64_t &token : source.values)
              token = random.below(s.integer("T"));
            if (s.flag("codes")) { // any byte is one, NaN too
              Integers rows({s.integer("T"), s.integer("H")});
              for (int64_t &code : rows.values)
                code = random.below(256);
              inputs.addIntegers(rows, ElementType::F8E4M3);
            } else {
              inputs.addRandom(random, {s.integer("T"), s.integer("H")});
            }
            inputs.addIntegers(source);
          },
          [](const Settings &s, const Check &check) {
            if (!s.flag("codes"))
              return check.equal(0, reference::dispatch(check.real(0), check.integer(1)));
            const Integers &rows = check.integer(0), &source = check.integer(1);
            Integers wanted({source.dim(0), rows.dim(1)});
            for (int64_t r = 0; r < wanted.dim(0); ++r)
              for (int64_t h = 0; h < wanted.dim(1); ++h)
                wanted(r, h) = rows(source(r), h);
            check.equal(0, wanted);
          }};
}

static Case groupedMatmul() {
  return {
      "moe.grouped_matmul",
      {"T", "E", "K", "N", "choices", "used", "source", "element", "S", "products"},
      [](const Settings &s, Random &random, Inputs &inputs) {
        int64_t tokens = s.integer("T"), experts = s.integer("E"), depth = s.integer("K");
        Integers chosen = choices(random, tokens, s.integer("choices"), s.integer("used", experts));
        reference::Plan plan = reference::plan(chosen, experts, segments(s, random, chosen));
        bool gathers = s.flag("source");
        inputs.addRandom(random, {gathers ? tokens : plan.source.dim(0), depth});
        inputs.addRandom(random, {experts, s.integer("N"), depth},
                         s.text("element", "f32") == "bf16" ? ElementType::BF16 : ElementType::F32);
        inputs.addIntegers(plan.offsets);
        inputs.addIntegers(plan.active);
        if (gathers)
          inputs.addIntegers(plan.source);
      },
      [](const Settings &s, const Check &check) {
        Reals rows = check.real(0), weights = check.real(1);
        Integers offsets = check.integer(2);
        std::optional<Integers> source = check.optionalInteger(4);
        // At most one rounding of 2^-24 of the running sum for each of K terms.
        check.close(0, reference::groupedMatmul(rows, weights, offsets, source),
                    static_cast<double>(rows.dim(1)) * 0x1p-24);
        // The op's meaning fixes the order of the sum, hence the bits.
        check.close(0, reference::groupedMatmulChain(rows, weights, offsets, source),
                    chainTolerance(s, rows.dim(1)));
      }};
}

static Case combine() {
  return {"moe.combine",
          {"T", "E", "K", "H", "missing"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            int64_t tokens = s.integer("T"), experts = s.integer("E"), topK = s.integer("K");
            Integers chosen = choices(random, tokens, topK, experts);
            leaveOut(s, random, chosen);
            reference::Plan plan = reference::plan(chosen, experts);
            inputs.addRandom(random, {plan.source.dim(0), s.integer("H")});
            inputs.addIntegers(plan.position);
            inputs.addIntegers(chosen);
            inputs.addRandom(random, {tokens, topK});
          },
          [](const Settings &s, const Check &check) {
            check.equal(0, reference::combine(check.real(0), check.integer(1), check.integer(2),
                                              check.real(3), s.integer("E")));
          }};
}

static Case combineGrad() {
  return {"moe.combine_grad",
          {"T", "E", "K", "H", "missing", "ones"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            int64_t tokens = s.integer("T"), experts = s.integer("E"), topK = s.integer("K");
            Integers chosen = choices(random, tokens, topK, experts);
            leaveOut(s, random, chosen);
            reference::Plan plan = reference::plan(chosen, experts);
            inputs.addRandom(random, {plan.source.dim(0), s.integer("H")});
            inputs.addIntegers(plan.position);
            inputs.addRandom(random, {tokens, topK});
            if (!s.flag("ones"))
              inputs.addRandom(random, {tokens, s.integer("H")});
          },
          [](const Settings &s, const Check &check) {
            Reals ones({s.integer("T"), s.integer("H")});
            std::fill(ones.values.begin(), ones.values.end(), 1);
            reference::CombineGradients wanted =
                reference::combineGradients(check.real(0), check.integer(1), check.real(2),
                                            s.flag("ones") ? ones : check.real(3));
            // One product; and a sum of H products in f32, in the lanes' order.
            check.close(0, wanted.rows, 0x1p-24);
            check.close(1, wanted.weights, static_cast<double>(s.integer("H")) * 0x1p-24);
          }};
}

static Case routeGrad() {
  return {"moe.route_grad",
          {"T", "E", "K", "normalize", "scale", "forced", "softmax"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            int64_t tokens = s.integer("T"), experts = s.integer("E"), topK = s.integer("K");
            Reals logits({tokens, experts});
            for (double &value : logits.values)
              value = random.between(-3, 3);
            Integers chosen = choices(random, tokens, topK, experts);
            // A forced choice may name an expert twice.
            for (int64_t t = 0; s.flag("forced") && t < tokens; ++t)
              for (int64_t k = 0; k < topK; ++k)
                chosen(t, k) = random.below(experts);
            inputs.addReals(logits);
            inputs.addIntegers(chosen);
            inputs.addRandom(random, {tokens, topK});
          },
          [](const Settings &s, const Check &check) {
            // A sigmoid and its slope, sums of K values in f64.
            check.close(0,
                        reference::routeGradient(check.real(0), check.integer(1), check.real(2),
                                                 s.flag("normalize"), s.real("scale"),
                                                 s.flag("softmax")),
                        0x1p-20);
          }};
}

/// Logits, and boundaries of sequences of the given `lengths`.
static void makeSequences(const Settings &s, Random &random, Inputs &inputs) {
  std::vector<int64_t> lengths = s.integers("lengths");
  Integers offsets({static_cast<int64_t>(lengths.size()) + 1});
  for (size_t q = 0; q < lengths.size(); ++q)
    offsets(q + 1) = offsets(q) + lengths[q];
  Reals logits({offsets.values.back(), s.integer("E")});
  // Steps of 1/8 make ties, which are ties in f32 and in f64 alike.
  for (double &value : logits.values)
    value = static_cast<double>(random.below(49) - 24) / 8;
  inputs.addReals(logits);
  inputs.addIntegers(offsets);
}

static Case balanceLoss() {
  return {"moe.balance_loss",
          {"lengths", "E", "top_k", "softmax", "chosen"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            makeSequences(s, random, inputs);
            if (s.flag("chosen"))
              inputs.addIntegers(choices(random, toReals(inputs.tensors[0]).dim(0),
                                         s.integer("top_k"), s.integer("E")));
          },
          [](const Settings &s, const Check &check) {
            reference::Balance wanted =
                reference::balanceLoss(check.real(0), check.integer(1), s.integer("top_k"),
                                       s.flag("softmax"), check.optionalInteger(2));
            // Sigmoids in f32; the sums are in f64.
            check.close(0, wanted.loss, 0x1p-21);
            check.close(1, wanted.fractions, 0x1p-23);
          }};
}

static Case balanceLossGrad() {
  return {"moe.balance_loss_grad",
          {"lengths", "E", "top_k", "softmax"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            makeSequences(s, random, inputs);
            Integers offsets = toIntegers(inputs.tensors[1]);
            inputs.addReals(reference::balanceLoss(toReals(inputs.tensors[0]), offsets,
                                                   s.integer("top_k"), s.flag("softmax"))
                                .fractions);
            inputs.addRandom(random, {offsets.dim(0) - 1});
          },
          [](const Settings &s, const Check &check) {
            // A sigmoid or a softmax, its slope, and the difference of a fraction and their mean.
            check.close(0,
                        reference::balanceLossGradient(check.real(0), check.integer(1),
                                                       check.real(2), check.real(3),
                                                       s.flag("softmax")),
                        0x1p-20);
          }};
}

static Case scatterAdd() {
  return {"moe.scatter_add",
          {"R", "H", "V", "zero"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            // Few ids, so that most occur more than once, and the last row of all.
            Integers ids({s.integer("R")});
            for (int64_t &id : ids.values)
              id = s.integer("V") - 1 - random.below((s.integer("V") + 1) / 2);
            inputs.addRandom(random, {s.integer("R"), s.integer("H")});
            inputs.addIntegers(ids);
            if (!s.flag("zero"))
              inputs.addRandom(random, {s.integer("V"), s.integer("H")});
          },
          [](const Settings &s, const Check &check) {
            // The order of the sums is part of the op's meaning, hence the bits.
            Reals init = s.flag("zero") ? Reals({s.integer("V"), s.integer("H")}) : check.real(2);
            check.equal(0, reference::scatterAdd(check.real(0), check.integer(1), init));
          }};
}

static Case updateBias() {
  return {"moe.update_bias",
          {"E", "step"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            int64_t experts = s.integer("E");
            Integers load({experts});
            // Around a mean of 50, which the first expert has exactly if the others balance out.
            load(0) = 50;
            for (int64_t e = 1; e + 1 < experts; e += 2) {
              int64_t shift = random.below(30);
              load(e) = 50 + shift;
              load(e + 1) = 50 - shift;
            }
            if (experts % 2 == 0)
              load(experts - 1) = 50;
            inputs.addRandom(random, {experts});
            inputs.addIntegers(load);
          },
          [](const Settings &s, const Check &check) {
            check.equal(0, reference::updateBias(check.real(0), check.integer(1),
                                                 static_cast<float>(s.real("step"))));
          }};
}

/// Rows as they travel in bf16, and as they arrive.
static Case bf16Halves() {
  return {"bf16_halves",
          {"T", "H"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            inputs.addRandom(random, {s.integer("T"), s.integer("H")});
          },
          [](const Settings &, const Check &check) {
            Reals wanted = check.real(0);
            for (double &value : wanted.values) {
              // To nearest even: 8 bits of mantissa stay, and the numbers are far from the ends of
              // the range.
              int exponent;
              double mantissa = std::frexp(value, &exponent);
              value = std::ldexp(std::nearbyint(std::ldexp(mantissa, 8)), exponent - 8);
            }
            check.equal(1, wanted);
          }};
}

std::vector<Case> compare::expertCases() {
  return {route(),      plan(),        planSends(), dispatch(),    groupedMatmul(),
          combine(),    combineGrad(), routeGrad(), balanceLoss(), balanceLossGrad(),
          scatterAdd(), updateBias(),  bf16Halves()};
}
