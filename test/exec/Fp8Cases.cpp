//===- Fp8Cases.cpp - fp8 ---------------------------------------------------===//

#include "test/exec/Compare.h"

#include <algorithm>
#include <cmath>

using namespace hadal;
using namespace hadal::compare;
using reference::CodeFormat;

static int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Every code but the two NaNs, so subnormals and both zeros too; of E5M2 those below 2.
static Integers codes(Random &random, std::vector<int64_t> shape,
                      ElementType element = ElementType::F8E4M3) {
  Integers result(std::move(shape));
  for (int64_t &code : result.values)
    code = random.below(element == ElementType::F8E4M3 ? 127 : 64) + (random.below(2) ? 128 : 0);
  return result;
}

static Reals decode(const Integers &codes, CodeFormat format) {
  Reals result(codes.shape);
  for (int64_t i = 0; i < codes.size(); ++i)
    result.values[i] = reference::decode(format, static_cast<uint16_t>(codes.values[i]));
  return result;
}

/// Scales as weights have them, around 2^-10.
static Reals scales(Random &random, std::vector<int64_t> shape) {
  Reals result(std::move(shape));
  for (double &scale : result.values)
    scale = random.between(0x1p-11f, 0x1p-9f);
  return result;
}

static std::pair<int64_t, int64_t> block(const Settings &s) {
  std::vector<int64_t> sizes = s.integers("block");
  if (sizes.size() != 2)
    fail("wants block=M,K");
  return {sizes[0], sizes[1]};
}

/// Of the codes called `key`.
static CodeFormat formatOf(const Settings &s, const std::string &key) {
  std::string format = s.text(key, "e4m3");
  return format == "e5m2"   ? CodeFormat::E5M2
         : format == "e5m6" ? CodeFormat::E5M6
                            : CodeFormat::E4M3;
}

/// Of codes of 8 bits.
static ElementType elementOf(CodeFormat format) {
  return format == CodeFormat::E5M2 ? ElementType::F8E5M2 : ElementType::F8E4M3;
}

/// `rows`: how many each group has.
static std::vector<int64_t> offsetsOf(const Settings &s) {
  std::vector<int64_t> offsets{0};
  for (int64_t count : s.integers("rows"))
    offsets.push_back(offsets.back() + count);
  return offsets;
}

/// What quantize and dequantize are asked for; the shape of x.
static reference::CodeTiles tilesOf(const Settings &s) {
  auto [rows, columns] = block(s);
  return {rows, columns, s.values.contains("rows") ? offsetsOf(s) : std::vector<int64_t>(),
          s.flag("pow2"), formatOf(s, "format")};
}
static std::vector<int64_t> shapeOf(const Settings &s) {
  std::vector<int64_t> shape{s.values.contains("rows") ? offsetsOf(s).back() : s.integer("M"),
                             s.integer("K")};
  if (int64_t experts = s.integer("E", 0))
    shape.insert(shape.begin(), experts);
  return shape;
}

static void addOffsets(const Settings &s, Inputs &inputs) {
  if (!s.values.contains("rows"))
    return;
  Integers offsets({static_cast<int64_t>(offsetsOf(s).size())});
  offsets.values = offsetsOf(s);
  inputs.addIntegers(offsets);
}

/// Codes of E5M6 as rows of bytes: their upper 8 bits, then the lower 4 in pairs.
static Integers packed(const Integers &codes) {
  std::vector<int64_t> shape = codes.shape;
  int64_t k = shape.back(), bytes = shape.back() = ceilDiv(3 * k, 2);
  Integers result(shape);
  for (int64_t i = 0; i < codes.size(); ++i) {
    int64_t row = i / k, column = i % k, code = codes.values[i];
    result.values[row * bytes + column] = code >> 4;
    result.values[row * bytes + k + column / 2] |= (code & 15) << column % 2 * 4;
  }
  return result;
}

static Integers unpacked(const Integers &bytes, int64_t k) {
  std::vector<int64_t> shape = bytes.shape;
  int64_t width = shape.back();
  shape.back() = k;
  Integers result(shape);
  for (int64_t i = 0; i < result.size(); ++i) {
    int64_t row = i / k * width, column = i % k;
    result.values[i] = bytes.values[row + column] << 4 |
                       (bytes.values[row + k + column / 2] >> column % 2 * 4 & 15);
  }
  return result;
}

/// One of the numbers that quantizers round wrong: magnitudes over 2^-12 .. 2^3 meet subnormal
/// codes; steps of 1/32 meet ties.
static double plainNumber(Random &random) {
  return random.below(2)
             ? std::round(random.between(-64, 64)) / 32
             : std::ldexp(random.between(-1, 1), static_cast<int>(random.below(16)) - 12);
}

/// Fills 32 numbers in turn from `first` on with one kind of them: of one magnitude anywhere in
/// f32's range, halves of steps of E4M3 and the numbers beside them, zeros of both signs among few
/// others, subnormal ones.
static void fillHard(Random &random, Reals &x, int64_t first) {
  int64_t kind = random.below(5);
  auto exponent = static_cast<int>(random.below(250)) - 126;
  float largest = std::ldexp(448.0f, std::min(exponent, 118));
  for (int64_t i = first; i < std::min(first + 32, x.size()); ++i) {
    float value = random.between(-1, 1), sign = random.below(2) ? -1.0f : 1.0f;
    if (kind == 0)
      value = std::ldexp(value, exponent);
    else if (kind == 1) // of 448, as a scale of a power of two makes them
      value = sign *
              std::ldexp(static_cast<float>(16 + random.below(32)) / 2,
                         static_cast<int>(random.below(13)) - 9) /
              448 * largest;
    else if (kind == 2)
      value = random.below(8) ? sign * 0.0f : std::ldexp(value, exponent);
    else if (kind == 3)
      value = std::ldexp(value, -130 - static_cast<int>(random.below(18)));
    else
      value = random.below(4) ? sign * std::nextafter(largest, random.below(2) ? 0 : 2 * largest)
                              : sign * largest;
    x.values[i] = value;
  }
}

static Case quantize() {
  return {
      "fp8.quantize",
      {"E", "M", "K", "block", "rows", "format", "pow2", "hard", "element", "overflow", "factor"},
      [](const Settings &s, Random &random, Inputs &inputs) {
        Reals x(shapeOf(s));
        int64_t k = s.integer("K"), zeros = x.size() > k ? k : 0; // the last of several rows
        for (int64_t i = 0; i < x.size() - zeros; ++i)
          x.values[i] = plainNumber(random);
        for (int64_t i = 0; s.flag("hard") && i < x.size(); i += 32)
          fillHard(random, x, i);
        // So many of a hundred numbers, with either sign, are NaN or infinite.
        for (int64_t i = 0; i < s.integer("overflow", 0) * x.size() / 100; ++i)
          x.values[random.below(x.size())] =
              std::copysign(random.below(3) ? INFINITY : NAN, random.below(2) ? -1.0 : 1.0);
        inputs.addReals(x,
                        s.text("element", "f32") == "bf16" ? ElementType::BF16 : ElementType::F32);
        addOffsets(s, inputs);
      },
      [](const Settings &s, const Check &check) {
        reference::CodeTiles tiles = tilesOf(s);
        Reals x = check.real(0);
        for (double &value : x.values)
          value = static_cast<float>(value) * static_cast<float>(s.real("factor", 1));
        reference::Quantized wanted = reference::quantize(x, tiles);
        bool isPacked = tiles.format == CodeFormat::E5M6;
        check.equal(0, isPacked ? packed(wanted.codes) : wanted.codes);
        check.same(1, wanted.scale);
      }};
}

static Case dequantize() {
  return {"fp8.dequantize",
          {"E", "M", "K", "block", "rows", "format", "pow2"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            reference::CodeTiles tiles = tilesOf(s);
            Integers drawn(shapeOf(s));
            int64_t most = tiles.format == CodeFormat::E5M6 ? 4096 : 256;
            for (int64_t &code : drawn.values)
              code = random.below(most);
            Reals scale = reference::quantize(Reals(shapeOf(s)), tiles).scale;
            for (double &value : scale.values)
              value = s.flag("pow2") ? std::ldexp(1.0, static_cast<int>(random.below(64)) - 32)
                                     : random.between(0x1p-11f, 0x1p-9f);
            if (most == 4096)
              inputs.addIntegers(packed(drawn), ElementType::I8);
            else
              inputs.addIntegers(drawn, elementOf(formatOf(s, "format")));
            inputs.addReals(scale);
            addOffsets(s, inputs);
          },
          [](const Settings &s, const Check &check) {
            reference::CodeTiles tiles = tilesOf(s);
            Integers codes = check.integer(0);
            if (tiles.format == CodeFormat::E5M6)
              codes = unpacked(codes, s.integer("K"));
            check.same(0, reference::dequantize(codes, check.real(1), tiles));
          }};
}

/// Codes of weights [.., N, K]. With `all_codes` row n has code n % 256 once, NaN too.
static Integers weightCodes(const Settings &s, Random &random, std::vector<int64_t> shape,
                            ElementType element = ElementType::F8E4M3) {
  int64_t k = shape.back();
  Integers weights = codes(random, std::move(shape), element);
  for (int64_t row = 0; s.flag("all_codes") && row < weights.size() / k; ++row)
    weights.values[row * k + row % k] = row % 256;
  return weights;
}

/// The weights [.., N, K] and their scales.
static void addWeights(const Settings &s, Random &random, Inputs &inputs,
                       std::vector<int64_t> shape) {
  auto [rows, columns] = block(s);
  std::vector<int64_t> blocks = shape;
  blocks[shape.size() - 2] = ceilDiv(s.integer("N"), rows);
  blocks[shape.size() - 1] = ceilDiv(s.integer("K"), columns);
  inputs.addIntegers(weightCodes(s, random, std::move(shape)), ElementType::F8E4M3);
  inputs.addReals(scales(random, std::move(blocks)));
}

// Codes reach 448 and their products are of either sign: a rounding of 2^-24 of the running sum for
// each of K terms, and as much again for the scales.
static double tolerance(int64_t depth) { return static_cast<double>(depth) * 0x1p-23; }

static Case matmul() {
  return {"fp8.matmul",
          {"T", "N", "K", "block", "all_codes"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            inputs.addRandom(random, {s.integer("T"), s.integer("K")});
            addWeights(s, random, inputs, {s.integer("N"), s.integer("K")});
          },
          [](const Settings &s, const Check &check) {
            auto [rows, columns] = block(s);
            Reals x = check.real(0);
            check.close(0,
                        reference::matmul(x, reference::dequantize(check.integer(1), check.real(2),
                                                                   {rows, columns, {}})),
                        tolerance(x.dim(1)));
          }};
}

static Case groupedMatmul() {
  return {
      "fp8.grouped_matmul",
      {"T", "E", "N", "K", "choices", "used", "source", "block"},
      [](const Settings &s, Random &random, Inputs &inputs) {
        int64_t tokens = s.integer("T"), experts = s.integer("E"), topK = s.integer("choices");
        Integers chosen({tokens, topK});
        for (int64_t t = 0; t < tokens; ++t) {
          std::vector<int64_t> row = random.distinct(topK, s.integer("used", experts));
          for (int64_t k = 0; k < topK; ++k)
            chosen(t, k) = row[k];
        }
        reference::Plan plan = reference::plan(chosen, experts);
        inputs.addRandom(random, {s.flag("source") ? tokens : tokens * topK, s.integer("K")});
        addWeights(s, random, inputs, {experts, s.integer("N"), s.integer("K")});
        inputs.addIntegers(plan.offsets);
        inputs.addIntegers(plan.active);
        if (s.flag("source"))
          inputs.addIntegers(plan.source);
      },
      [](const Settings &s, const Check &check) {
        auto [rows, columns] = block(s);
        Reals left = check.real(0),
              weights = reference::dequantize(check.integer(1), check.real(2), {rows, columns, {}});
        check.close(
            0, reference::groupedMatmul(left, weights, check.integer(3), check.optionalInteger(5)),
            tolerance(left.dim(1)));
      }};
}

/// The orders of sums that are promised: a GPU's tensor cores have their own, and its serial
/// kernels that of the CPU.
static std::vector<reference::CodeSums> ordersOf(const Settings &s, int64_t interval) {
  std::vector<reference::CodeSums> orders = {{s.flag("hopper"), interval}};
  if (s.text("device", "cpu") == "gpu" && !s.flag("hopper"))
    orders.push_back({true, interval});
  return orders;
}

/// Codes are multiplied exactly, so each order gives its bits; but for AMX tiles.
static double codeTolerance(const Settings &s) {
  return s.text("device", "cpu") == "gpu" ? 0 : chainTolerance(s, 0);
}

/// Which rows are whose, and the groups that have rows.
static void addGroups(const std::vector<int64_t> &offsets, Inputs &inputs) {
  auto groups = static_cast<int64_t>(offsets.size()) - 1;
  Integers first({groups + 1}), active({groups});
  first.values = offsets;
  int64_t next = 0;
  for (int64_t g = 0; g < groups; ++g)
    if (offsets[g] < offsets[g + 1])
      active(next++) = g;
  while (next < groups)
    active(next++) = -1;
  inputs.addIntegers(first);
  inputs.addIntegers(active);
}

static Case productOfCodes() {
  return {"fp8.product_of_codes",
          {"rows", "E", "N", "K", "block", "transpose", "interval", "hopper", "x", "w", "source",
           "residual", "pair", "kept", "products", "all_codes"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            int64_t experts = s.integer("E", 0), n = s.integer("N"), k = s.integer("K");
            auto blocks = [&](int64_t size, int64_t block) {
              return block ? ceilDiv(size, block) : 1;
            };
            auto [blockN, blockK] = block(s);
            std::vector<int64_t> offsets = offsetsOf(s), weights{n, k},
                                 scale{blocks(n, blockN), blocks(k, blockK)};
            int64_t results = offsets.back(), rows = s.flag("source") ? results / 2 + 1 : results;
            bool transposed = s.flag("transpose");
            int64_t tiles = scale[transposed ? 0 : 1];
            ElementType ofX = elementOf(formatOf(s, "x")), ofW = elementOf(formatOf(s, "w"));
            inputs.addIntegers(codes(random, {rows, transposed ? n : k}, ofX), ofX);
            if (experts)
              weights.insert(weights.begin(), experts), scale.insert(scale.begin(), experts);
            inputs.addIntegers(weightCodes(s, random, weights, ofW), ofW);
            inputs.addReals(scales(random, scale));
            inputs.addReals(scales(random, {rows, tiles}));
            if (experts)
              addGroups(offsets, inputs);
            if (s.flag("source")) {
              Integers source({results});
              for (int64_t &row : source.values)
                row = random.below(rows);
              inputs.addIntegers(source);
            }
            if (s.flag("residual"))
              inputs.addRandom(random, {results, transposed ? k : n});
            if (s.flag("pair")) {
              inputs.addIntegers(codes(random, weights, ofW), ofW);
              inputs.addReals(scales(random, scale));
            }
          },
          [](const Settings &s, const Check &check) {
            auto [blockN, blockK] = block(s);
            bool transposed = s.flag("transpose");
            unsigned next = s.integer("E", 0) ? 6 : 4;
            reference::CodeProduct p{decode(check.integer(0), formatOf(s, "x")),
                                     check.real(3),
                                     decode(check.integer(1), formatOf(s, "w")),
                                     check.real(2),
                                     blockN,
                                     blockK,
                                     transposed};
            if (!s.integer("E", 0))
              for (Reals *v : {&p.weights, &p.scale})
                v->shape.insert(v->shape.begin(), 1);
            std::optional<Integers> source;
            if (s.flag("source"))
              source = check.integer(next++);
            // Of two products of the same rows the kernel adds the results.
            reference::CodeProduct second = p;
            if (s.flag("pair")) {
              second.weights = decode(check.integer(next), formatOf(s, "w"));
              second.scale = check.real(next + 1);
              second.weights.shape = p.weights.shape, second.scale.shape = p.scale.shape;
            }
            std::vector<Reals> wanted;
            for (reference::CodeSums sums :
                 ordersOf(s, s.integer("interval", transposed ? blockN : blockK))) {
              Reals sum = reference::productOfCodes(p, offsetsOf(s), source, sums);
              auto add = [&](const Reals &other) {
                for (int64_t i = 0; i < sum.size(); ++i)
                  sum.values[i] =
                      static_cast<float>(sum.values[i]) + static_cast<float>(other.values[i]);
              };
              if (s.flag("residual"))
                add(check.real(next));
              if (s.flag("pair"))
                add(reference::productOfCodes(second, offsetsOf(s), source, sums));
              wanted.push_back(std::move(sum));
            }
            check.closeToOne(0, wanted, codeTolerance(s));
            // The result is quantized, too, in tiles of so many columns.
            if (int64_t width = s.integer("kept", 0)) {
              reference::Quantized kept = reference::quantize(check.result(0), {1, width, {}});
              check.equal(1, kept.codes);
              check.same(2, kept.scale);
            }
          }};
}

/// One operand of a weight gradient: numbers of codes and scales. `at` is the first of its
/// arguments.
static reference::Quantized operandOf(const Settings &s, const Check &check, unsigned at,
                                      const std::string &name) {
  if (!s.flag("quantized"))
    return {check.integer(at), check.real(at + 1)};
  return reference::quantize(check.real(at),
                             {s.integer("tile"), 1,
                              s.integer("E", 0) ? offsetsOf(s) : std::vector<int64_t>(),
                              s.flag("pow2"), formatOf(s, name)});
}

/// With `quantized` of numbers, which the program quantizes.
static Case weightGradient() {
  return {"fp8.weight_grad",
          {"rows", "E", "N", "K", "init", "tile", "interval", "hopper", "gradient", "x",
           "quantized", "pow2", "products"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            std::vector<int64_t> offsets = offsetsOf(s);
            int64_t experts = s.integer("E", 0), tile = s.integer("tile"), rows = offsets.back(),
                    groups = static_cast<int64_t>(offsets.size()) - 1;
            int64_t tiles = !tile ? groups : experts ? rows / tile + groups : ceilDiv(rows, tile);
            for (auto [name, columns] : {std::pair("gradient", "N"), {"x", "K"}}) {
              std::vector<int64_t> shape{rows, s.integer(columns)};
              if (s.flag("quantized")) {
                // Column by column, one of them of zeros; below where products of scales overflow.
                Reals turned({shape[1], rows}), numbers(shape);
                for (int64_t i = 0; i < turned.size(); i += 32)
                  fillHard(random, turned, i);
                for (int64_t i = 0; i < turned.size(); ++i) {
                  double value = i / rows == 3 ? 0 : turned.values[i];
                  numbers(i % rows, i / rows) = std::abs(value) > 0x1p50 ? value * 0x1p-80 : value;
                }
                inputs.addReals(numbers);
                continue;
              }
              ElementType element = elementOf(formatOf(s, name));
              inputs.addIntegers(codes(random, shape, element), element);
              inputs.addReals(scales(random, {tiles, shape[1]}));
            }
            std::vector<int64_t> shape{s.integer("N"), s.integer("K")};
            if (experts) {
              shape.insert(shape.begin(), experts);
              addGroups(offsets, inputs);
            }
            if (s.flag("init"))
              inputs.addRandom(random, shape);
          },
          [](const Settings &s, const Check &check) {
            int64_t experts = s.integer("E", 0), tile = s.integer("tile");
            unsigned each = s.flag("quantized") ? 1 : 2;
            Reals init({std::max<int64_t>(experts, 1), s.integer("N"), s.integer("K")});
            if (!experts)
              init.shape.erase(init.shape.begin());
            if (s.flag("init"))
              init = check.real(2 * each + (experts ? 2 : 0));
            reference::Quantized gradient = operandOf(s, check, 0, "gradient"),
                                 x = operandOf(s, check, each, "x");
            std::vector<Reals> wanted;
            for (reference::CodeSums sums : ordersOf(s, s.integer("interval", tile)))
              wanted.push_back(reference::weightGradientOfCodes(
                  decode(gradient.codes, formatOf(s, "gradient")), gradient.scale,
                  decode(x.codes, formatOf(s, "x")), x.scale, offsetsOf(s), init, tile, sums));
            check.closeToOne(0, wanted, codeTolerance(s));
          }};
}

/// Operands of a Linear's three products, quantized as --fp8-quantize has it.
class Linear {
public:
  Linear(const Settings &s)
      : offsets(offsetsOf(s)), interval(s.integer("interval", 128)), pow2(s.flag("pow2")),
        format(formatOf(s, "format")), gradientBlocks(s.flag("gradient_blocks")),
        orders(ordersOf(s, interval)) {}

  /// x times w, or dy times w's transpose.
  std::vector<Reals> product(const Reals &rows, Reals weights, bool transposed) const {
    if (weights.shape.size() == 2)
      weights.shape.insert(weights.shape.begin(), 1);
    int64_t tile = interval ? 128 : 0;
    bool blocks = transposed && gradientBlocks;
    auto [x, xScale] = quantized(rows, {blocks ? 128 : 1, tile, blocks ? offsets : none});
    int64_t blockN = interval ? 128 : transposed ? 0 : 1, blockK = interval ? 128 : transposed;
    auto [w, scale] = quantized(weights, {blockN, blockK, none});
    std::vector<Reals> all;
    for (reference::CodeSums sums : orders)
      all.push_back(reference::productOfCodes(
          {x, blocks ? ofRows(xScale) : xScale, w, scale, blockN, blockK, transposed}, offsets,
          std::nullopt, sums));
    return all;
  }

  std::vector<Reals> weightGradient(const Reals &dy, const Reals &x,
                                    std::vector<int64_t> shape) const {
    int64_t tile = interval ? 128 : 0;
    auto [gradient, gradientScale] = quantized(dy, {tile, 1, offsets});
    auto [rows, rowsScale] = quantized(x, {tile, 1, offsets});
    std::vector<Reals> all;
    for (reference::CodeSums sums : orders)
      all.push_back(reference::weightGradientOfCodes(gradient, gradientScale, rows, rowsScale,
                                                     offsets, Reals(shape), tile, sums));
    return all;
  }

private:
  /// Numbers of codes, and scales.
  std::pair<Reals, Reals> quantized(const Reals &x, reference::CodeTiles tiles) const {
    tiles.pow2 = pow2;
    tiles.format = format;
    reference::Quantized made = reference::quantize(x, tiles);
    return {decode(made.codes, format), made.scale};
  }

  /// A row for each row of tiles of 128 that begin anew with each group.
  Reals ofRows(const Reals &scale) const {
    Reals result({offsets.back(), scale.dim(1)});
    for (size_t g = 0; g + 1 < offsets.size(); ++g)
      for (int64_t row = offsets[g]; row < offsets[g + 1]; ++row)
        for (int64_t c = 0; c < scale.dim(1); ++c)
          result(row, c) = scale(offsets[g] / 128 + int64_t(g) + (row - offsets[g]) / 128, c);
    return result;
  }

  std::vector<int64_t> offsets, none;
  int64_t interval;
  bool pow2;
  CodeFormat format;
  bool gradientBlocks;
  std::vector<reference::CodeSums> orders;
};

static Case linear() {
  return {"fp8.linear",
          {"rows", "E", "N", "K", "interval", "hopper", "pow2", "format", "gradient_blocks",
           "products"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            int64_t rows = offsetsOf(s).back(), n = s.integer("N"), k = s.integer("K");
            std::vector<int64_t> weights{n, k};
            if (int64_t experts = s.integer("E", 0))
              weights.insert(weights.begin(), experts);
            for (std::vector<int64_t> shape : {{rows, k}, weights}) {
              Reals x(shape);
              for (double &value : x.values)
                value = plainNumber(random);
              inputs.addReals(x);
            }
            if (s.integer("E", 0))
              addGroups(offsetsOf(s), inputs);
            inputs.addRandom(random, {rows, n});
          },
          [](const Settings &s, const Check &check) {
            Reals x = check.real(0), w = check.real(1), dy = check.real(s.integer("E", 0) ? 4 : 2);
            Linear linear(s);
            double tolerance = codeTolerance(s);
            check.closeToOne(0, linear.product(x, w, /*transposed=*/false), tolerance);
            check.closeToOne(1, linear.product(dy, w, /*transposed=*/true), tolerance);
            check.closeToOne(2, linear.weightGradient(dy, x, w.shape), tolerance);
          }};
}

std::vector<Case> compare::fp8Cases() {
  return {quantize(),       dequantize(),     matmul(), groupedMatmul(),
          productOfCodes(), weightGradient(), linear()};
}
