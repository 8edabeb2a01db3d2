//===- LayerCases.cpp - what the frontend writes in linalg ------------------===//

#include "test/exec/Compare.h"

using namespace hadal;
using namespace hadal::compare;

static Case matmul() {
  return {"matmul",
          {"T", "N", "K", "element"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            inputs.addRandom(random, {s.integer("T"), s.integer("K")});
            inputs.addRandom(random, {s.integer("N"), s.integer("K")},
                             s.text("element", "f32") == "bf16" ? ElementType::BF16 : ElementType::F32);
          },
          [](const Settings &, const Check &check) {
            Reals x = check.real(0), weights = check.real(1);
            // At most one rounding of 2^-24 of the running sum for each of K terms.
            check.close(0, reference::matmul(x, weights), static_cast<double>(x.dim(1)) * 0x1p-24);
            // The order of the sum is promised, hence the bits.
            check.equal(0, reference::matmulChain(x, weights));
          }};
}

static Case rmsNorm() {
  return {"rmsnorm",
          {"T", "H", "epsilon"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            inputs.addRandom(random, {s.integer("T"), s.integer("H")});
            inputs.addRandom(random, {s.integer("H")});
          },
          [](const Settings &s, const Check &check) {
            // A mean of H squares in any order, a root, a division and two products.
            check.close(0, reference::rmsNorm(check.real(0), check.real(1), s.real("epsilon")), 0x1p-20);
          }};
}

static Case swiglu() {
  return {"swiglu",
          {"T", "H"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            Reals gate({s.integer("T"), s.integer("H")});
            // Far enough out for exp to overflow and to vanish.
            for (int64_t i = 0; i < gate.size(); ++i)
              gate.values[i] = i % 7 == 0 ? random.between(-120, 20) : random.between(-4, 4);
            inputs.addReals(gate);
            inputs.addRandom(random, gate.shape);
          },
          [](const Settings &, const Check &check) {
            // An exp, a division and a product.
            check.close(0, reference::swiglu(check.real(0), check.real(1)), 0x1p-20);
          }};
}

std::vector<Case> compare::layerCases() { return {matmul(), rmsNorm(), swiglu()}; }
