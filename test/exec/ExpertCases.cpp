//===- ExpertCases.cpp - moe ------------------------------------------------===//

#include "test/exec/Compare.h"

#include <algorithm>

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

static Case route() {
  return {"moe.route",
          {"T", "E", "groups", "group_limit", "top_k", "normalize", "scale", "forced"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            int64_t tokens = s.integer("T"), experts = s.integer("E");
            Reals logits({tokens, experts}), bias({experts});
            // Steps of 1/8 make ties. What ties has to do so in f32 and in f64 alike, so no two scores may be equal by
            // a law of numbers: hence never x beside -x, and a bias that a whole group shares or that occurs once.
            for (double &value : logits.values)
              value = static_cast<double>(random.below(49) - 24) / 8 + 0x1p-5;
            int64_t each = experts / s.integer("groups");
            for (int64_t e = 0; e < experts; ++e)
              bias(e) = e / each % 2 ? random.between(0, 0.5f) : e / each % 4 ? 0.25 : 0;
            inputs.addReals(logits);
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
            reference::Routing wanted = reference::route(check.real(0), check.real(1),
                                                         {s.integer("groups"), s.integer("group_limit"),
                                                          s.integer("top_k"), s.flag("normalize"), s.real("scale")},
                                                         check.optionalInteger(2));
            // A sigmoid, a sum of K values, a division and a product.
            check.close(0, wanted.weights, 0x1p-20);
            check.equal(1, wanted.experts);
          }};
}

static Case plan() {
  return {"moe.plan",
          {"T", "E", "K", "used"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            inputs.addIntegers(choices(random, s.integer("T"), s.integer("K"), s.integer("used", s.integer("E"))));
          },
          [](const Settings &s, const Check &check) {
            reference::Plan wanted = reference::plan(check.integer(0), s.integer("E"));
            check.equal(0, wanted.source);
            check.equal(1, wanted.position);
            check.equal(2, wanted.offsets);
            check.equal(3, wanted.active);
          }};
}

static Case dispatch() {
  return {"moe.dispatch",
          {"T", "H", "R"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            Integers source({s.integer("R")});
            for (int64_t &token : source.values)
              token = random.below(s.integer("T"));
            inputs.addRandom(random, {s.integer("T"), s.integer("H")});
            inputs.addIntegers(source);
          },
          [](const Settings &, const Check &check) {
            check.equal(0, reference::dispatch(check.real(0), check.integer(1)));
          }};
}

static Case groupedMatmul() {
  return {"moe.grouped_matmul",
          {"T", "E", "K", "N", "choices", "used", "source", "element"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            int64_t tokens = s.integer("T"), experts = s.integer("E"), depth = s.integer("K");
            reference::Plan plan =
                reference::plan(choices(random, tokens, s.integer("choices"), s.integer("used", experts)), experts);
            bool gathers = s.flag("source");
            inputs.addRandom(random, {gathers ? tokens : plan.source.dim(0), depth});
            inputs.addRandom(random, {experts, s.integer("N"), depth},
                             s.text("element", "f32") == "bf16" ? ElementType::BF16 : ElementType::F32);
            inputs.addIntegers(plan.offsets);
            inputs.addIntegers(plan.active);
            if (gathers)
              inputs.addIntegers(plan.source);
          },
          [](const Settings &, const Check &check) {
            Reals rows = check.real(0), weights = check.real(1);
            Integers offsets = check.integer(2);
            std::optional<Integers> source = check.optionalInteger(4);
            // At most one rounding of 2^-24 of the running sum for each of K terms.
            check.close(0, reference::groupedMatmul(rows, weights, offsets, source),
                        static_cast<double>(rows.dim(1)) * 0x1p-24);
            // The op's meaning fixes the order of the sum, hence the bits.
            check.equal(0, reference::groupedMatmulChain(rows, weights, offsets, source));
          }};
}

static Case combine() {
  return {"moe.combine",
          {"T", "E", "K", "H"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            int64_t tokens = s.integer("T"), experts = s.integer("E"), topK = s.integer("K");
            Integers chosen = choices(random, tokens, topK, experts);
            inputs.addRandom(random, {tokens * topK, s.integer("H")});
            inputs.addIntegers(reference::plan(chosen, experts).position);
            inputs.addIntegers(chosen);
            inputs.addRandom(random, {tokens, topK});
          },
          [](const Settings &s, const Check &check) {
            check.equal(0, reference::combine(check.real(0), check.integer(1), check.integer(2), check.real(3),
                                              s.integer("E")));
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
            check.equal(0, reference::updateBias(check.real(0), check.integer(1), static_cast<float>(s.real("step"))));
          }};
}

std::vector<Case> compare::expertCases() {
  return {route(), plan(), dispatch(), groupedMatmul(), combine(), updateBias()};
}
