//===- LayerCases.cpp - what the frontend writes in linalg ------------------===//

#include "test/exec/Compare.h"

#include <algorithm>

using namespace hadal;
using namespace hadal::compare;

static Case matmul() {
  return {"matmul",
          {"T", "N", "K", "element", "products"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            inputs.addRandom(random, {s.integer("T"), s.integer("K")});
            inputs.addRandom(random, {s.integer("N"), s.integer("K")},
                             s.text("element", "f32") == "bf16" ? ElementType::BF16
                                                                : ElementType::F32);
          },
          [](const Settings &s, const Check &check) {
            Reals x = check.real(0), weights = check.real(1);
            // At most one rounding of 2^-24 of the running sum for each of K terms.
            check.close(0, reference::matmul(x, weights), static_cast<double>(x.dim(1)) * 0x1p-24);
            // Tiles round a sum once for two terms of a chunk, and chunks once: they are nearer
            // than the chain, whatever K.
            if (s.text("products", "fma") == "tiles")
              check.close(0, reference::matmul(x, weights), 0x1p-22);
            // The order of the sum is promised, hence the bits.
            check.close(0, reference::matmulChain(x, weights), chainTolerance(s, x.dim(1)));
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
            check.close(0, reference::rmsNorm(check.real(0), check.real(1), s.real("epsilon")),
                        0x1p-20);
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

/// Parts of [T, h, widths[i]] written from column from[i] on over zeros [T, h, size], or over a
/// last argument `base`. With h = 0 there is no dimension of heads.
static Case insertSlice() {
  auto shape = [](const Settings &s, int64_t columns) {
    int64_t tokens = s.integer("T"), heads = s.integer("h");
    return heads ? std::vector<int64_t>{tokens, heads, columns}
                 : std::vector<int64_t>{tokens, columns};
  };
  return {"tensor.insert_slice",
          {"T", "h", "widths", "from", "size", "base"},
          [shape](const Settings &s, Random &random, Inputs &inputs) {
            for (int64_t width : s.integers("widths"))
              inputs.addRandom(random, shape(s, width));
            if (s.flag("base"))
              inputs.addRandom(random, shape(s, s.integer("size")));
          },
          [shape](const Settings &s, const Check &check) {
            std::vector<int64_t> widths = s.integers("widths"), from = s.integers("from");
            auto threeDims = [&](Reals values) {
              values.shape = {s.integer("T"), std::max<int64_t>(1, s.integer("h")),
                              values.shape.back()};
              return values;
            };
            auto parts = static_cast<unsigned>(widths.size());
            Reals whole =
                threeDims(s.flag("base") ? check.real(parts) : Reals(shape(s, s.integer("size"))));
            for (unsigned i = 0; i < parts; ++i)
              whole = reference::insertColumns(threeDims(check.real(i)), whole, from[i]);
            whole.shape = shape(s, s.integer("size"));
            check.equal(0, whole);
          }};
}

std::vector<Case> compare::layerCases() { return {matmul(), rmsNorm(), swiglu(), insertSlice()}; }
