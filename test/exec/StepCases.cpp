//===- StepCases.cpp - what is done with logits and with gradients ----------===//

#include "test/exec/Compare.h"

#include <algorithm>

using namespace hadal;
using namespace hadal::compare;

/// Logits of few different values, so that rows have ties, some far down.
static Reals logits(const Settings &s, Random &random) {
  Reals made({s.integer("R"), s.integer("V")});
  for (double &x : made.values)
    x = random.below(5) ? static_cast<double>(random.below(24)) / 4 - 3 : random.between(-90, 2);
  return made;
}

static Integers ids(Random &random, int64_t count, int64_t vocabulary) {
  Integers made({count});
  for (int64_t &id : made.values)
    id = random.below(vocabulary);
  return made;
}

static Reals between(Random &random, int64_t count, float low, float high) {
  Reals made({count});
  for (double &x : made.values)
    x = random.between(low, high);
  return made;
}

static Case argmax() {
  return {
      "sample.argmax",
      {"R", "V"},
      [](const Settings &s, Random &random, Inputs &inputs) { inputs.addReals(logits(s, random)); },
      [](const Settings &, const Check &check) {
        check.equal(0, reference::argmax(check.real(0)));
      }};
}

/// `whole`: nothing is cut off.
static Case choose() {
  return {"sample.choose",
          {"R", "V", "whole"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            int64_t rows = s.integer("R"), vocabulary = s.integer("V");
            bool whole = s.flag("whole");
            Integers topK = ids(random, rows, vocabulary + 2);
            for (int64_t &k : topK.values)
              k = whole ? vocabulary : k + 1;
            inputs.addReals(logits(s, random));
            inputs.addReals(between(random, rows, 0.3f, 2));
            inputs.addIntegers(topK);
            inputs.addReals(between(random, rows, whole ? 1 : 0.2f, 1));
            inputs.addReals(between(random, rows, 0, whole ? 0 : 0.5f));
            inputs.addReals(between(random, rows, 0, 1));
          },
          [](const Settings &, const Check &check) {
            // Where weights and numbers of these inputs fall is far from where a last bit decides.
            check.equal(0, reference::chooseTokens(check.real(0), check.real(1), check.integer(2),
                                                   check.real(3), check.real(4), check.real(5)));
          }};
}

static Case nll() {
  return {"sample.nll",
          {"R", "V"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            inputs.addReals(logits(s, random));
            inputs.addIntegers(ids(random, s.integer("R"), s.integer("V")));
          },
          [](const Settings &, const Check &check) {
            // V exponentials of an error of their own, a logarithm, and differences of up to 100.
            check.close(0, reference::nll(check.real(0), check.integer(1)), 0x1p-17);
          }};
}

static Case logProbabilities() {
  return {"sample.log_probabilities",
          {"R", "V", "P"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            int64_t rows = s.integer("R"), top = s.integer("P");
            inputs.addReals(logits(s, random));
            inputs.addIntegers(ids(random, rows, s.integer("V")));
            inputs.addReals(Reals({rows}));
            inputs.addIntegers(Integers({rows, top}));
            inputs.addReals(Reals({rows, top}));
          },
          [](const Settings &s, const Check &check) {
            auto wanted =
                reference::logProbabilities(check.real(0), check.integer(1), s.integer("P"));
            check.close(0, wanted.chosen, 0x1p-17); // as nll
            check.equal(1, wanted.topIds);
            check.close(2, wanted.top, 0x1p-17);
          }};
}

static Case penalize() {
  return {"sample.penalize",
          {"R", "V"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            int64_t rows = s.integer("R"), vocabulary = s.integer("V");
            Integers offsets({rows + 1}), seen({0});
            for (int64_t r = 0; r < rows; ++r) {
              for (int64_t id : random.distinct(random.below(vocabulary), vocabulary))
                seen.values.push_back(id);
              offsets(r + 1) = seen.size();
            }
            seen.shape = {seen.size()};
            inputs.addReals(logits(s, random));
            inputs.addReals(between(random, rows, 0.5f, 2));
            inputs.addIntegers(offsets);
            inputs.addIntegers(seen);
          },
          [](const Settings &, const Check &check) {
            check.equal(0, reference::penalize(check.real(0), check.real(1), check.integer(2),
                                               check.integer(3)));
          }};
}

static Case squareSums() {
  return {"train.square_sums",
          {"T", "N", "block"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            inputs.addRandom(random, {s.integer("T"), s.integer("N")});
          },
          [](const Settings &s, const Check &check) {
            // Positive terms, each rounded a few hundred times at most, in chains of a block.
            check.close(0, reference::squareSums(check.real(0), s.integer("block")), 0x1p-15);
          }};
}

static Case sumRows() {
  return {"train.sum_rows",
          {"T", "B"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            inputs.addRandom(random, {s.integer("T"), s.integer("B")});
          },
          [](const Settings &, const Check &check) {
            // The order is promised, hence the bits.
            check.equal(0, reference::sumRows(check.real(0)));
          }};
}

static Case norm() {
  return {
      "train.norm",
      {"T"},
      [](const Settings &s, Random &random, Inputs &inputs) {
        inputs.addReals(between(random, s.integer("T"), 0, 3), ElementType::F64);
      },
      [](const Settings &, const Check &check) { check.equal(0, reference::norm(check.real(0))); }};
}

std::vector<Case> compare::stepCases() {
  return {argmax(),   choose(),     nll(),     logProbabilities(),
          penalize(), squareSums(), sumRows(), norm()};
}
