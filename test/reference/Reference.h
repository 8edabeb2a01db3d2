//===- Reference.h - what each op computes, as plain loops ------*- C++ -*-===//
//
// Written from the formulas and independent of passes/: values in f64, no blocking, no vectors.
// Where the bits are part of an op's meaning (combine, quantize, rotation's angle) the loop rounds
// to f32 at the places that the meaning names. Sizes are those of the ops' descriptions; shapes are
// taken as right.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_TEST_REFERENCE_REFERENCE_H
#define HADAL_TEST_REFERENCE_REFERENCE_H

#include <cassert>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <vector>

namespace hadal::reference {

/// A dense row-major array.
template <typename T> struct Array {
  std::vector<int64_t> shape;
  std::vector<T> values;

  Array() = default;
  explicit Array(std::vector<int64_t> sizes) : shape(std::move(sizes)) {
    int64_t count = 1;
    for (int64_t size : shape)
      count *= size;
    values.resize(static_cast<size_t>(count));
  }

  int64_t dim(size_t i) const { return shape[i]; }
  int64_t size() const { return static_cast<int64_t>(values.size()); }
  template <typename... Is> T &operator()(Is... is) {
    return values[offset({static_cast<int64_t>(is)...})];
  }
  template <typename... Is> const T &operator()(Is... is) const {
    return values[offset({static_cast<int64_t>(is)...})];
  }

private:
  size_t offset(std::initializer_list<int64_t> index) const {
    assert(index.size() == shape.size());
    int64_t at = 0;
    size_t dim = 0;
    for (int64_t i : index) {
      assert(i >= 0 && i < shape[dim]);
      at = at * shape[dim++] + i;
    }
    return static_cast<size_t>(at);
  }
};

using Reals = Array<double>;
using Integers = Array<int64_t>;

//===----------------------------------------------------------------------===//
// mla (Attention.cpp)
//===----------------------------------------------------------------------===//

struct Rotation {
  Reals cos, sin; // [T, H]
};
Rotation rotation(const Integers &positions, const std::vector<float> &frequencies,
                  float magnitude);

Reals rope(const Reals &x, const Reals &cos, const Reals &sin, bool interleave);

Reals attention(const Reals &qNope, const Reals &qRope, const Reals &kNope, const Reals &kRope,
                const Reals &v, const Integers &offsets, double scale);

/// The transpose of `rope` as a linear map of x.
Reals ropeAdjoint(const Reals &x, const Reals &cos, const Reals &sin, bool interleave);

/// [T, nh]: log of the sum of exp(score).
Reals attentionLse(const Reals &qNope, const Reals &qRope, const Reals &kNope, const Reals &kRope,
                   const Integers &offsets, double scale);

struct AttentionGradients {
  Reals qNope, qRope, kNope, kRope, v; // kRope [T, nh, dr], a head apart
};
/// Through the softmax's own derivative; `gradient` is that of attention's result.
AttentionGradients attentionGradients(const Reals &qNope, const Reals &qRope, const Reals &kNope,
                                      const Reals &kRope, const Reals &v, const Integers &offsets,
                                      const Reals &gradient, double scale);

Reals latentAttention(const Reals &qLatent, const Reals &qRope, const Reals &cache,
                      const Integers &pageTable, const Integers &positions, const Integers &offsets,
                      double scale, int64_t pageTokens);

Reals cacheAppend(const Reals &ckv, const Reals &kRope, const Integers &slots, Reals cache);

//===----------------------------------------------------------------------===//
// moe (Experts.cpp)
//===----------------------------------------------------------------------===//

struct RouteOptions {
  int64_t groups, groupLimit, topK;
  bool normalize;
  double scale;
  bool softmax = false, groupMaximum = false;
};
struct Routing {
  Reals weights;    // [T, K]
  Integers experts; // [T, K]
};
/// `bias` is empty where the router has none.
Routing route(const Reals &logits, const Reals &bias, const RouteOptions &options,
              const std::optional<Integers> &forced = std::nullopt);

struct Plan {
  Integers source;   // [R]
  Integers position; // [T, K], -1 where the expert is
  Integers offsets;  // [S*E+1]
  Integers active;   // [S*E]
};
/// `segments` [2S]: (rows, choices) of each block of tokens; without them all tokens are one.
Plan plan(const Integers &experts, int64_t expertCount,
          const std::optional<Integers> &segments = std::nullopt);

struct Sends {
  Integers source; // [C], C = T * min(K, P)
  Integers slots;  // [T, P]
  Integers ids;    // [C, K]
  Integers counts; // [P, S, 2]
};
Sends planSends(const Integers &experts, int64_t expertCount, int64_t parts,
                const std::optional<Integers> &received);

Reals dispatch(const Reals &x, const Integers &source);

/// `source` empty: rows are in place. Group g has the weights g % E.
Reals groupedMatmul(const Reals &rows, const Reals &weights, const Integers &offsets,
                    const std::optional<Integers> &source);

/// The same product to the bit: each element one chain of f32 fused multiply-adds in ascending K.
Reals groupedMatmulChain(const Reals &rows, const Reals &weights, const Integers &offsets,
                         const std::optional<Integers> &source);

/// In f32, in the halving tree over [0, expertCount). A choice whose position is -1 is left out.
Reals combine(const Reals &rows, const Integers &position, const Integers &experts,
              const Reals &weights, int64_t expertCount);

struct CombineGradients {
  Reals rows, weights;
};
CombineGradients combineGradients(const Reals &rows, const Integers &position, const Reals &weights,
                                  const Reals &gradient);

Reals routeGradient(const Reals &logits, const Integers &experts, const Reals &gradient,
                    bool normalize, double scale, bool softmax = false);

struct Balance {
  Reals loss;      // [S]
  Reals fractions; // [S, E]
};
/// Counts the choice by affinities alone, or `chosen` [T, K].
Balance balanceLoss(const Reals &logits, const Integers &offsets, int64_t topK,
                    bool softmax = false, const std::optional<Integers> &chosen = std::nullopt);

Reals balanceLossGradient(const Reals &logits, const Integers &offsets, const Reals &fractions,
                          const Reals &gradient, bool softmax = false);

/// In f32, rows in ascending order.
Reals scatterAdd(const Reals &rows, const Integers &ids, Reals init);

Reals updateBias(const Reals &bias, const Integers &load, float step);

//===----------------------------------------------------------------------===//
// fp8 (Fp8.cpp)
//===----------------------------------------------------------------------===//

enum class CodeFormat { E4M3, E5M2, E5M6 };

/// The value of a code; E5M2 and E5M6 are the upper 8 and 12 bits of a half.
double decode(CodeFormat format, uint16_t code);

/// How fp8.quantize cuts a matrix: tiles of `rows` x `columns` (0: all), which begin anew at each
/// of `offsets`, if there are any.
struct CodeTiles {
  int64_t rows, columns;
  std::vector<int64_t> offsets;
  bool pow2 = false;
  CodeFormat format = CodeFormat::E4M3;
};

struct Quantized {
  Integers codes; // as x, up to 12 bits
  Reals scale;    // [tiles of rows, tiles of columns], experts before them
};
/// Rank 2, or 3 with experts leading.
Quantized quantize(const Reals &x, const CodeTiles &tiles);
/// The same ranks; one rounding to f32.
Reals dequantize(const Integers &codes, const Reals &scale, const CodeTiles &tiles);

/// How products of codes are summed: by a chain of f32 fused multiply-adds, or as Hopper's tensor
/// cores do; of parts of `interval` (0: the whole sum), each of which its tile's scales join.
struct CodeSums {
  bool hopper = false;
  int64_t interval = 128;
};

/// Numbers of codes on both sides, and their scales: x [T, K] in tiles of 1 x blockK, weights [E,
/// N, K] in blocks (a block of 0 is all of it). With `transposed` x is [T, N], in tiles of 1 x
/// blockN.
struct CodeProduct {
  Reals x, xScale, weights, scale;
  int64_t blockN, blockK;
  bool transposed;
};
/// Rows offsets[g] .. offsets[g+1]-1 times weights[g % E]; with `source` row r is x[source[r]].
Reals productOfCodes(const CodeProduct &p, const std::vector<int64_t> &offsets,
                     const std::optional<Integers> &source, const CodeSums &how);

/// init [N, K], or [E, N, K] for groups of rows: adds gradient [T, N] times x [T, K], numbers of
/// codes with a scale for each column of `tile` rows (0: of a group). Group g adds to matrix g % E.
Reals weightGradientOfCodes(const Reals &gradient, const Reals &gradientScale, const Reals &x,
                            const Reals &xScale, const std::vector<int64_t> &offsets, Reals init,
                            int64_t tile, const CodeSums &how);

//===----------------------------------------------------------------------===//
// What the frontend writes in linalg (Layers.cpp)
//===----------------------------------------------------------------------===//

/// x [T, K] times the transpose of weights [N, K].
Reals matmul(const Reals &x, const Reals &weights);

/// The same product to the bit, as groupedMatmulChain.
Reals matmulChain(const Reals &x, const Reals &weights);

/// `part` [T, h, a] written over columns `from` .. `from`+a-1 of `whole` [T, h, b].
Reals insertColumns(const Reals &part, Reals whole, int64_t from);

Reals rmsNorm(const Reals &x, const Reals &weights, double epsilon);

Reals swiglu(const Reals &gate, const Reals &up);

//===----------------------------------------------------------------------===//
// Products of training (Products.cpp): to the bit, each element one chain of f32 fused
// multiply-adds
//===----------------------------------------------------------------------===//

/// gradient [T, N] times weights [N, K], in ascending N.
Reals transposedMatmulChain(const Reals &gradient, const Reals &weights);

/// The same for groups of rows and weights [E, N, K].
Reals groupedTransposedChain(const Reals &gradient, const Reals &weights, const Integers &offsets,
                             const std::optional<Integers> &source);

/// init [N, K] + the sum over t, ascending, of gradient[t, n] * x[t, k].
Reals weightGradientChain(const Reals &gradient, const Reals &x, Reals init);

/// The same for groups of rows and init [E, N, K].
Reals groupedWeightGradientChain(const Reals &rows, const Reals &gradient, const Integers &offsets,
                                 Reals init, const std::optional<Integers> &source);

//===----------------------------------------------------------------------===//
// sample and train (Steps.cpp)
//===----------------------------------------------------------------------===//

Integers argmax(const Reals &logits);

Integers chooseTokens(const Reals &logits, const Reals &temperature, const Integers &topK,
                      const Reals &topP, const Reals &minP, const Reals &uniform);

Reals nll(const Reals &logits, const Integers &targets);

struct LogProbabilities {
  Reals chosen;
  Integers topIds;
  Reals top;
};
/// With the `top` likeliest of each row.
LogProbabilities logProbabilities(const Reals &logits, const Integers &ids, int64_t top);

Reals penalize(const Reals &logits, const Reals &penalty, const Integers &offsets,
               const Integers &seen);

Reals squareSums(const Reals &x, int64_t block);

Reals sumRows(const Reals &x);

Reals norm(const Reals &sums);

} // namespace hadal::reference

#endif // HADAL_TEST_REFERENCE_REFERENCE_H
