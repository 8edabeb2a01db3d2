//===- MakeCheckpoint.cpp - hadal-make-checkpoint -----------------------===//
//
// Writes a checkpoint of random weights for a deepseek_v3 config.json, under the names and with the
// shapes of a published one. For benchmarks and tests: the values depend on the seed and the
// tensor's name only.
//
//     hadal-make-checkpoint DIR --dtype bf16 --seed 1 -o OUTDIR
//
// Linear weights have a standard deviation of 0.8 / sqrt(fan-in), embeddings 0.02; norms are 1,
// biases 0 (--bias-std).
//
//===--------------------------------------------------------------------===//

#include "runtime/File.h"
#include "runtime/Tensor.h"
#include "runtime/tokenizer/JsonView.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <utility>

using namespace hadal;
using Json = nlohmann::ordered_json;

namespace {

struct Options {
  std::string folder, output, dtype = "bf16";
  uint64_t seed = 1;
  double biasStd = 0;
  unsigned shards = 1;
};

/// A tensor to be written. `deviation` 0: all elements are `mean`.
struct Spec {
  std::string name;
  Shape shape;
  ElementType element;
  double mean, deviation;
  std::string source; ///< the name that draws the values: copies share it
  Shape scaledShape;  ///< of block scales: the shape of the weight that they are for
};

constexpr int64_t blockSize = 128;
int64_t blocks(int64_t n) { return (n + blockSize - 1) / blockSize; }

/// The tensors of a configuration, by the names of the published checkpoints.
class Plan {
public:
  Plan(const JsonView &config, const Options &options) : config(config), options(options) {}
  Result<std::vector<Spec>> run();

private:
  Result<int64_t> size(const char *key, std::optional<int64_t> fallback = {}) {
    JsonView value = config[key];
    if (value.absent() && fallback)
      return *fallback;
    if (!value.json().is_number_unsigned() || value.json().get<uint64_t>() > (uint64_t(1) << 40))
      return value.wants("a size");
    return value.json().get<int64_t>();
  }
  ElementType plain() const {
    return options.dtype == "f32" ? ElementType::F32 : ElementType::BF16;
  }
  void add(std::string name, Shape shape, double mean, double deviation, std::string source = {}) {
    if (source.empty())
      source = name;
    specs.push_back(
        {std::move(name), std::move(shape), plain(), mean, deviation, std::move(source), {}});
  }
  void norm(std::string name, int64_t n) { add(std::move(name), {n}, 1, 0); }
  /// A weight [out, in] that stays in high precision.
  void weight(std::string name, int64_t out, int64_t in) {
    add(std::move(name), {out, in}, 0, 0.8 / std::sqrt(static_cast<double>(in)));
  }
  /// A weight [out, in] that FP8 checkpoints quantise.
  void projection(const std::string &name, int64_t out, int64_t in) {
    weight(name + ".weight", out, in);
    if (options.dtype != "fp8")
      return;
    specs.back().element = ElementType::F8E4M3;
    Spec scales = specs.back();
    scales.name += "_scale_inv";
    scales.element = ElementType::F32;
    scales.scaledShape = std::exchange(scales.shape, {blocks(out), blocks(in)});
    specs.push_back(std::move(scales));
  }
  void feedForward(const std::string &name, int64_t width) {
    projection(name + ".gate_proj", width, hidden);
    projection(name + ".up_proj", width, hidden);
    projection(name + ".down_proj", hidden, width);
  }
  Status attention(const std::string &name);
  Status block(int64_t layer);

  const JsonView &config;
  const Options &options;
  int64_t hidden = 0;
  std::vector<Spec> specs;
};

Status Plan::attention(const std::string &name) {
  int64_t heads = HADAL_TRY(size("num_attention_heads")),
          nope = HADAL_TRY(size("qk_nope_head_dim"));
  int64_t rope = HADAL_TRY(size("qk_rope_head_dim")), value = HADAL_TRY(size("v_head_dim"));
  int64_t latent = HADAL_TRY(size("kv_lora_rank"));
  bool biased = HADAL_TRY(config["attention_bias"].boolean(false));
  auto bias = [&](const char *of, int64_t n) {
    if (biased)
      add(name + of + ".bias", {n}, 0, options.biasStd);
  };
  if (config["q_lora_rank"].absent()) {
    projection(name + ".q_proj", heads * (nope + rope), hidden);
  } else {
    int64_t rank = HADAL_TRY(size("q_lora_rank"));
    projection(name + ".q_a_proj", rank, hidden);
    bias(".q_a_proj", rank);
    norm(name + ".q_a_layernorm.weight", rank);
    projection(name + ".q_b_proj", heads * (nope + rope), rank);
  }
  projection(name + ".kv_a_proj_with_mqa", latent + rope, hidden);
  bias(".kv_a_proj_with_mqa", latent + rope);
  norm(name + ".kv_a_layernorm.weight", latent);
  projection(name + ".kv_b_proj", heads * (nope + value), latent);
  projection(name + ".o_proj", hidden, heads * value);
  bias(".o_proj", hidden);
  return {};
}

Status Plan::block(int64_t layer) {
  std::string name = "model.layers." + std::to_string(layer);
  norm(name + ".input_layernorm.weight", hidden);
  HADAL_TRY(attention(name + ".self_attn"));
  norm(name + ".post_attention_layernorm.weight", hidden);
  if (layer < HADAL_TRY(size("first_k_dense_replace", 0))) {
    feedForward(name + ".mlp", HADAL_TRY(size("intermediate_size")));
    return {};
  }
  int64_t experts = HADAL_TRY(size("n_routed_experts")),
          width = HADAL_TRY(size("moe_intermediate_size"));
  int64_t shared = HADAL_TRY(size("n_shared_experts", 0));
  weight(name + ".mlp.gate.weight", experts, hidden);
  add(name + ".mlp.gate.e_score_correction_bias", {experts}, 0, options.biasStd);
  specs.back().element = ElementType::F32;
  for (int64_t expert = 0; expert < experts; ++expert)
    feedForward(name + ".mlp.experts." + std::to_string(expert), width);
  if (shared)
    feedForward(name + ".mlp.shared_experts", width * shared);
  return {};
}

Result<std::vector<Spec>> Plan::run() {
  if (config["model_type"].json() != "deepseek_v3")
    return config["model_type"].wants("\"deepseek_v3\"");
  hidden = HADAL_TRY(size("hidden_size"));
  int64_t vocabulary = HADAL_TRY(size("vocab_size")), layers = HADAL_TRY(size("num_hidden_layers"));
  const std::string embedding = "model.embed_tokens.weight", head = "lm_head.weight";
  bool tied = HADAL_TRY(config["tie_word_embeddings"].boolean(false));
  add(embedding, {vocabulary, hidden}, 0, 0.02);
  for (int64_t layer = 0; layer < layers; ++layer)
    HADAL_TRY(block(layer));
  norm("model.norm.weight", hidden);
  if (!tied)
    weight(head, vocabulary, hidden);
  int64_t predicted = HADAL_TRY(size("num_nextn_predict_layers", 0));
  for (int64_t layer = layers; layer < layers + predicted; ++layer) {
    std::string name = "model.layers." + std::to_string(layer);
    add(name + ".embed_tokens.weight", {vocabulary, hidden}, 0, 0.02, embedding);
    norm(name + ".enorm.weight", hidden);
    norm(name + ".hnorm.weight", hidden);
    weight(name + ".eh_proj.weight", hidden, 2 * hidden);
    HADAL_TRY(block(layer));
    norm(name + ".shared_head.norm.weight", hidden);
    if (tied)
      add(name + ".shared_head.head.weight", {vocabulary, hidden}, 0, 0.02, embedding);
    else
      add(name + ".shared_head.head.weight", {vocabulary, hidden}, 0,
          0.8 / std::sqrt(static_cast<double>(hidden)), head);
  }
  for (const Spec &spec : specs)
    if (!byteCount(spec.element, spec.shape) || *elementCount(spec.shape) == 0)
      return invalidFile(spec.name + ": wants a shape that can be stored, got " +
                         toString(spec.shape));
  return specs;
}

uint64_t mix(uint64_t x) {
  // Source: Steele et al., 2014, SplitMix64.
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/// Draws nearly normal values (a sum of four uniform ones); element i depends on seed, name and i
/// only.
class Draw {
public:
  Draw(const Spec &spec, uint64_t seed) : mean(static_cast<float>(spec.mean)) {
    state = seed;
    for (unsigned char c : spec.source)
      state = mix(state + 0x9E3779B97F4A7C15u + c);
    // Four uniform 16-bit numbers have a variance of 4 * 2^32 / 12.
    scale = static_cast<float>(spec.deviation / std::sqrt(4.0 * 4294967296.0 / 12.0));
  }
  void fill(int64_t first, std::span<float> out) const {
    for (size_t i = 0; i < out.size(); ++i) {
      uint64_t x =
          mix(state + static_cast<uint64_t>(first + static_cast<int64_t>(i)) * 0x9E3779B97F4A7C15u);
      uint64_t pairs = (x & 0x0000FFFF0000FFFFu) + ((x >> 16) & 0x0000FFFF0000FFFFu);
      int32_t sum = static_cast<int32_t>((pairs & 0xFFFFFFFFu) + (pairs >> 32)) - 2 * 65535;
      out[i] = mean + scale * static_cast<float>(sum);
    }
  }

private:
  uint64_t state;
  float mean, scale;
};

/// Round to nearest, ties to even.
uint16_t toBf16(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

/// Round to nearest, ties to even; what is beyond 448 becomes 448.
uint8_t toE4M3(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  uint8_t sign = static_cast<uint8_t>(bits >> 24 & 0x80);
  float size = std::fabs(x);
  if (size >= 448)
    return sign | 0x7E;
  if (size < 0x1p-6f) // subnormal: multiples of 2^-9; the largest rounds up to the smallest normal
                      // number by itself
    return static_cast<uint8_t>(sign | static_cast<uint8_t>(std::lrint(size * 0x1p9f)));
  bits &= 0x7FFFFFFF;
  bits += 0x7FFFF + ((bits >> 20) & 1);
  return static_cast<uint8_t>(sign | ((bits >> 20) - ((127 - 7) << 3)));
}

/// The scale of each block of columns of a stripe of up to 128 rows: its largest magnitude divided
/// by 448, as the published FP8 checkpoints have it.
std::vector<float> stripeScales(std::span<const float> stripe, int64_t columns) {
  std::vector<float> scales(blocks(columns), 0);
  for (size_t row = 0; row < stripe.size(); row += columns)
    for (int64_t column = 0; column < columns; ++column) {
      float &largest = scales[column / blockSize];
      largest = std::max(largest, std::fabs(stripe[row + column]));
    }
  for (float &scale : scales)
    scale = scale == 0 ? 1 : scale / 448;
  return scales;
}

/// Calls `take(values, first)` for stripes of the elements of `shape`, of up to 128 rows.
template <typename Take>
Status forEachStripe(const Spec &spec, const Shape &shape, uint64_t seed, Take take) {
  Draw draw(spec, seed);
  int64_t columns = shape.back(), rows = *elementCount(shape) / columns;
  int64_t height = shape.size() > 1 ? blockSize : 1;
  std::vector<float> values;
  for (int64_t row = 0; row < rows; row += height) {
    values.resize(std::min(height, rows - row) * columns);
    draw.fill(row * columns, values);
    HADAL_TRY(take(values));
  }
  return {};
}

Status writeTensor(AtomicFile &file, const Spec &spec, uint64_t seed) {
  // Scales draw their weight's values again: cheaper than to remember the scales of a tensor that
  // is already written.
  if (!spec.scaledShape.empty())
    return forEachStripe(spec, spec.scaledShape, seed,
                         [&](const std::vector<float> &values) -> Status {
                           std::vector<float> scales = stripeScales(values, spec.scaledShape[1]);
                           return file.write(scales.data(), scales.size() * sizeof(float));
                         });
  std::vector<uint16_t> halves;
  std::vector<uint8_t> codes;
  return forEachStripe(spec, spec.shape, seed, [&](const std::vector<float> &values) -> Status {
    if (spec.element == ElementType::F32)
      return file.write(values.data(), values.size() * sizeof(float));
    if (spec.element == ElementType::BF16) {
      halves.resize(values.size());
      std::transform(values.begin(), values.end(), halves.begin(), toBf16);
      return file.write(halves.data(), halves.size() * sizeof(uint16_t));
    }
    size_t columns = spec.shape[1];
    std::vector<float> scales = stripeScales(values, columns);
    codes.resize(values.size());
    for (size_t row = 0; row < values.size(); row += columns)
      for (size_t column = 0; column < columns; ++column)
        codes[row + column] = toE4M3(values[row + column] / scales[column / blockSize]);
    return file.write(codes.data(), codes.size());
  });
}

/// One file with some of the tensors; returns the bytes of their data.
Result<uint64_t> writeShard(const std::string &path, std::span<const Spec> specs, uint64_t seed) {
  JsonView::Json header = {{"__metadata__", {{"format", "pt"}}}};
  uint64_t offset = 0;
  for (const Spec &spec : specs) {
    uint64_t end = offset + *byteCount(spec.element, spec.shape);
    header[spec.name] = {{"dtype", elementTypeName(spec.element)},
                         {"shape", spec.shape},
                         {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 8 + 63) / 64 * 64 - 8,
              ' '); // the data begins at a multiple of 64 bytes
  uint64_t length = text.size();
  AtomicFile file = HADAL_TRY(AtomicFile::create(path));
  HADAL_TRY(file.write(&length, sizeof(length)));
  HADAL_TRY(file.write(text.data(), text.size()));
  for (const Spec &spec : specs)
    HADAL_TRY(writeTensor(file, spec, seed));
  HADAL_TRY(file.commit());
  return offset;
}

Status writeText(const std::string &path, const std::string &text) {
  return writeFile(path, std::as_bytes(std::span(text)));
}

/// The configuration of the new checkpoint: that of the old, with its element type.
std::string configText(const std::string &text, const std::string &dtype) {
  Json config = Json::parse(text);
  const char *type = dtype == "f32" ? "float32" : "bfloat16";
  config.erase("dtype");
  config["torch_dtype"] = type;
  config.erase("quantization_config");
  if (dtype == "fp8")
    config["quantization_config"] = {{"activation_scheme", "dynamic"},
                                     {"fmt", "e4m3"},
                                     {"quant_method", "fp8"},
                                     {"weight_block_size", {128, 128}}};
  return config.dump(1) + "\n";
}

std::string shardName(unsigned shard, unsigned shards) {
  if (shards == 1)
    return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof(name), "model-%05u-of-%05u.safetensors", shard + 1, shards);
  return name;
}

Status make(const Options &options) {
  std::error_code failed;
  std::string path = options.folder +
                     (std::filesystem::is_directory(options.folder, failed) ? "/config.json" : "");
  std::string text = HADAL_TRY(readTextFile(path));
  JsonView::Json document = HADAL_TRY(parseJsonObject(text, path));
  JsonView config(document);
  std::vector<Spec> specs = HADAL_TRY(Plan(config, options).run());

  std::filesystem::create_directories(options.output, failed);
  if (failed)
    return ioError(options.output + ": " + failed.message());
  unsigned shards = std::min<unsigned>(options.shards, specs.size());
  JsonView::Json index = {{"metadata", {{"total_size", 0}}},
                          {"weight_map", JsonView::Json::object()}};
  uint64_t total = 0;
  for (unsigned shard = 0; shard < shards; ++shard) {
    size_t first = specs.size() * shard / shards, last = specs.size() * (shard + 1) / shards;
    std::span<const Spec> part(specs.data() + first, last - first);
    std::string name = shardName(shard, shards);
    total += HADAL_TRY(writeShard(options.output + "/" + name, part, options.seed));
    for (const Spec &spec : part)
      index["weight_map"][spec.name] = name;
  }
  index["metadata"]["total_size"] = total;
  if (shards > 1)
    HADAL_TRY(writeText(options.output + "/model.safetensors.index.json", index.dump(1) + "\n"));
  HADAL_TRY(writeText(options.output + "/config.json", configText(text, options.dtype)));
  std::printf("%s: %zu tensors, %.1f MB\n", options.output.c_str(), specs.size(),
              static_cast<double>(total) * 1e-6);
  return {};
}

} // namespace

int main(int argc, char **argv) {
  Options options;
  CLI::App app("Writes a checkpoint of random weights for a deepseek_v3 config.json");
  app.add_option("DIR", options.folder, "Folder with config.json, or such a file")->required();
  app.add_option("-o", options.output, "Folder to write: config.json and model.safetensors")
      ->required();
  app.add_option("--dtype", options.dtype, "f32, bf16, or fp8 with 128x128 block scales")
      ->check(CLI::IsMember({"f32", "bf16", "fp8"}))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Seed of the values")->capture_default_str();
  app.add_option("--bias-std", options.biasStd, "Standard deviation of biases (attention, routing)")
      ->capture_default_str();
  app.add_option("--shards", options.shards, "Number of files")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  Status made = make(options);
  if (made.ok())
    return 0;
  std::fprintf(stderr, "hadal-make-checkpoint: %s\n", made.error().message.c_str());
  return 1;
}
