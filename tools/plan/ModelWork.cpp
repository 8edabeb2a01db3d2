//===- ModelWork.cpp - a step's work, from config.json ------------===//

#include "tools/plan/ModelWork.h"

#include "frontend/StageSplit.h"

#include <algorithm>
#include <cmath>

using namespace hadal;
using namespace hadal::plan;

namespace {

using frontend::ModelConfig;

/// Writes down the kernels of one micro-batch on one rank. Shapes of the products are those of the
/// model; elementwise kernels are counted in bytes and launches as deepseek-ai/profile-data shows
/// them: FP8 operands are cast row by row and, for weight gradients, by columns; RMSNorm, the MLA
/// up-projections and SwiGLU are recomputed (V3 §3.2.3).
class LayerWork {
public:
  LayerWork(const ModelConfig &c, const Layout &l)
      : c(c), l(l), tokens(double(l.microBatch * l.sequence)), h(double(c.hiddenSize)),
        heads(double(c.heads)), q(double(c.queryDim())), v(double(c.valueDim)),
        latent(double(c.latentRank + c.ropeDim)), queryRank(double(c.queryRank.value_or(0))),
        width(double(c.expertWidth)), k(double(c.expertsPerToken)), shared(double(c.sharedExperts)),
        element(l.precision == Precision::Fp8 ? 1 : 2) {}

  void layer(StageWork &stage, int64_t number) const;
  void embedding(StageWork &stage) const;
  void head(StageWork &stage, bool ownWeights) const;
  void mtpProjection(StageWork &stage) const;

  double attentionParameters() const {
    double query = queryRank ? h * queryRank + queryRank * heads * q : h * heads * q;
    return query + h * latent + double(c.latentRank) * heads * (double(c.nopeDim) + v) +
           heads * v * h;
  }
  double attentionFlops(bool causal) const {
    return 2 * (q + v) * heads * tokens * double(l.sequence) * (causal ? 0.5 : 1);
  }

private:
  /// y[rows, n] = x[rows, k] w[n, k].
  Kernels product(double rows, double n, double length, KernelKind kind = KernelKind::Gemm) const {
    return {kind,   l.precision, 2 * rows * n * length,          0,
            length, 1,           kind == KernelKind::GroupedGemm};
  }
  /// dw[n, k] += dy[rows, n] x[rows, k], summed in f32.
  Kernels weightGrad(double rows, double n, double length, bool grouped = false) const {
    double sums = grouped ? rows / expertsHere() : rows;
    return {grouped ? KernelKind::GroupedWeightGrad : KernelKind::WeightGrad,
            l.precision,
            2 * rows * n * length,
            0,
            sums,
            1,
            grouped};
  }
  Kernels bf16(double rows, double n, double length, KernelKind kind = KernelKind::Gemm) const {
    return {kind, Precision::Bf16, 2 * rows * n * length, 0, length, 1, false};
  }
  Kernels elementwise(double bytesPerToken, double launches, bool routed = false) const {
    return {
        KernelKind::Elementwise, Precision::Bf16, 0, tokens * bytesPerToken, 0, launches, routed};
  }
  double expertsHere() const { return double(c.experts) / double(l.ep); }

  void attention(StageWork &stage) const;
  void denseMlp(StageWork &stage) const;
  void experts(StageWork &stage) const;
  Part exchange(const char *name, ExchangeKind kind, double rowBytes) const;

  const ModelConfig &c;
  const Layout &l;
  double tokens, h, heads, q, v, latent, queryRank, width, k, shared, element;
};

/// Parts of an input gradient come in the opposite order: attention after the MLP.
void LayerWork::attention(StageWork &stage) const {
  double up = heads * (double(c.nopeDim) + v), all = heads * (q + double(c.nopeDim) + v),
         rank = double(c.latentRank);
  // Read and write of both norms and the residual; casts of their inputs; queries and keys put
  // together; the core's output kept in E5M6.
  double recomputed = heads * q * 4 + heads * (double(c.nopeDim) * 2 + q * 2) + heads * v * 4 +
                      4 * (queryRank + rank) + 5 * (queryRank + latent);
  double forwardBytes =
      8 * h + 6 * h + (2 + element) * h + recomputed + heads * v * (2 + 1.5 + 1.5 + element);
  Part forward{"attention", Lane::Compute, {}};
  auto project = [&](Part &part) {
    if (queryRank)
      part.kernels.push_back(product(tokens, heads * q, queryRank));
    else
      part.kernels.push_back(product(tokens, heads * q, h));
    part.kernels.push_back(product(tokens, up, rank));
  };
  if (queryRank)
    forward.kernels.push_back(product(tokens, queryRank, h));
  forward.kernels.push_back(product(tokens, latent, h));
  project(forward);
  forward.kernels.push_back(
      {KernelKind::Attention, Precision::Bf16, attentionFlops(true), 0, 0, 1, false});
  forward.kernels.push_back(product(tokens, h, heads * v));
  forward.kernels.push_back(elementwise(forwardBytes, 62));
  stage.forward.push_back(forward);

  // Backward: five products where the forward pass has two; then the same projections the other way
  // round.
  double coreFlops = 2 * (3 * q + 2 * v) * heads * tokens * double(l.sequence) * 0.5;
  double backwardBytes = 2 * 8 * h + (2 + element) * h + heads * v * (1.5 + 2 + 2 * element) +
                         recomputed + heads * (4 * v + 6 * q) + heads * (4 * q + 2 * up / heads) +
                         2 * all * (2 + element);
  Part backward{"attention", Lane::Compute, {}};
  backward.kernels.push_back(product(tokens, heads * v, h));
  project(backward);
  backward.kernels.push_back(
      {KernelKind::AttentionGrad, Precision::Bf16, coreFlops, 0, 0, 1, false});
  backward.kernels.push_back(product(tokens, rank, up));
  backward.kernels.push_back(product(tokens, h, latent));
  backward.kernels.push_back(product(tokens, queryRank ? queryRank : h, heads * q));
  if (queryRank)
    backward.kernels.push_back(product(tokens, h, queryRank));
  backward.kernels.push_back(elementwise(backwardBytes, 91));

  Part weights{"attention", Lane::Compute, {}};
  weights.kernels.push_back(weightGrad(tokens, h, heads * v));
  weights.kernels.push_back(weightGrad(tokens, up, rank));
  weights.kernels.push_back(weightGrad(tokens, latent, h));
  if (queryRank) {
    weights.kernels.push_back(weightGrad(tokens, heads * q, queryRank));
    weights.kernels.push_back(weightGrad(tokens, queryRank, h));
  } else {
    weights.kernels.push_back(weightGrad(tokens, heads * q, h));
  }
  stage.inputGrad.push_back(backward);
  stage.weightGrad.push_back(weights);
  // Kept: both norms' inputs, the latents, the output of the core with its sums.
  stage.activationBytes +=
      tokens * (2 * 2 * h + 2 * (queryRank + latent) + heads * v * 1.5 + heads * 4);
}

void LayerWork::denseMlp(StageWork &stage) const {
  double w = double(c.denseWidth);
  Part forward{"mlp",
               Lane::Compute,
               {product(tokens, 2 * w, h), product(tokens, h, w),
                elementwise((2 + element) * h + 7 * w, 8)}};
  Part backward{"mlp",
                Lane::Compute,
                {product(tokens, w, h), product(tokens, h, 2 * w),
                 elementwise((2 + element) * h + 26 * w, 12)}};
  Part weights{"mlp",
               Lane::Compute,
               {weightGrad(tokens, h, w), weightGrad(tokens, 2 * w, h),
                elementwise(2 * (1 + element) * h, 2)}};
  stage.forward.push_back(forward);
  stage.inputGrad.push_back(backward);
  stage.weightGrad.push_back(weights);
  stage.activationBytes += tokens * (h + 2 * w) * element;
  stage.replicatedParameters += 3 * w * h;
}

/// Expected number of places out of `places` that a token's `choices` meet, where all are as
/// likely.
double placesMet(double places, double choices) {
  return places * (1 - std::pow(1 - 1 / places, choices));
}

/// A token goes once to each node, as deepseek-ai/DeepEP counts it: the sender's own node too; then
/// over NVLink to each rank that has one of its experts, but the sender's node counts as a whole
/// here.
Part LayerWork::exchange(const char *name, ExchangeKind kind, double rowBytes) const {
  Part part{name, Lane::Exchange, {}};
  part.exchange = kind;
  if (l.ep == 1)
    return part;
  double ranks = placesMet(double(l.ep), k);
  if (l.nodes > 1) {
    // Where nodes hold whole groups a token's experts lie on at most groupLimit of them (V3
    // §2.1.2).
    bool limited = c.groups && c.groups % l.nodes == 0 && c.groupLimit < l.nodes;
    part.nodeBytes = tokens * rowBytes *
                     (limited ? std::min(double(c.groupLimit), k) : placesMet(double(l.nodes), k));
  }
  part.linkBytes = tokens * rowBytes * ranks;
  return part;
}

void LayerWork::experts(StageWork &stage) const {
  double rows = tokens * k, all = shared + k;
  // Rows of FP8 with a scale for each 128; combine is in BF16 (V3 §3.3.2).
  double sent = h * element + (element == 1 ? h / 32 : 0), back = 2 * h;
  Part out = exchange("dispatch", ExchangeKind::Dispatch, sent);
  Part forward{"mlp", Lane::Compute, {}};
  Part backward{"mlp", Lane::Compute, {}};
  Part weights{"mlp", Lane::Compute, {}};
  if (shared) {
    forward.kernels.push_back(product(tokens, 2 * shared * width, h));
    forward.kernels.push_back(product(tokens, h, shared * width));
    backward.kernels.push_back(product(tokens, shared * width, h));
    backward.kernels.push_back(product(tokens, h, 2 * shared * width));
    weights.kernels.push_back(weightGrad(tokens, h, shared * width));
    weights.kernels.push_back(weightGrad(tokens, 2 * shared * width, h));
  }
  forward.kernels.push_back(product(rows, 2 * width, h, KernelKind::GroupedGemm));
  forward.kernels.push_back(product(rows, h, width, KernelKind::GroupedGemm));
  // Rows spread to their experts, SwiGLU with its casts, rows summed into tokens.
  forward.kernels.push_back(elementwise(k * h * 2 * element + all * 7 * width +
                                            k * width * 2 * (2 + element) + 2 * (k + 1) * h,
                                        20, true));
  backward.kernels.push_back(product(rows, width, h, KernelKind::GroupedGemm));
  backward.kernels.push_back(product(rows, h, 2 * width, KernelKind::GroupedGemm));
  backward.kernels.push_back(elementwise(k * h * 2 * element + all * width * (2 * (1 + 2) + 12) +
                                             2 * k * width * (2 + element) +
                                             k * width * (2 + element) + 2 * (k + 1) * h,
                                         29, true));
  weights.kernels.push_back(weightGrad(rows, h, width, true));
  weights.kernels.push_back(weightGrad(rows, 2 * width, h, true));
  weights.kernels.push_back(elementwise(2 * k * h * 2 * element, 16, true));
  // The choice of experts belongs to what comes before the exchange; layer() adds its gradients to
  // attention's.
  stage.forward.back().kernels.push_back(bf16(tokens, double(c.experts), h));

  Part in = exchange("combine", ExchangeKind::Combine, back);
  stage.forward.push_back(out);
  stage.forward.push_back(forward);
  stage.forward.push_back(in);
  // The gradient of combine is dispatch, and the other way round.
  Part outGrad = out, inGrad = in;
  outGrad.name = "combine";
  inGrad.name = "dispatch";
  stage.inputGrad.push_back(outGrad);
  stage.inputGrad.push_back(backward);
  stage.inputGrad.push_back(inGrad);
  stage.weightGrad.push_back(weights);
  stage.activationBytes +=
      rows * h * element + tokens * all * 2 * width * element + tokens * h * element;
  stage.replicatedParameters += shared * 3 * width * h + double(c.experts) * h;
  stage.expertParameters += expertsHere() * 3 * width * h;
}

/// Forward parts in order; input and weight gradients of this layer before those of earlier ones.
void LayerWork::layer(StageWork &stage, int64_t number) const {
  bool dense = c.isDense(number);
  StageWork one;
  attention(one);
  Parts attentionGrad = std::move(one.inputGrad), attentionWeights = std::move(one.weightGrad);
  one.inputGrad.clear();
  one.weightGrad.clear();
  dense ? denseMlp(one) : experts(one);
  int mlpGrad = dense ? 0 : 1;
  if (!dense) {
    attentionGrad[0].kernels.push_back(bf16(tokens, h, double(c.experts)));
    Kernels router = bf16(double(c.experts), h, tokens, KernelKind::WeightGrad);
    attentionWeights[0].kernels.push_back(router);
  }
  one.inputGrad.push_back(attentionGrad[0]);
  one.weightGrad[0].after = mlpGrad;
  attentionWeights[0].after = int(one.inputGrad.size()) - 1;
  one.weightGrad.push_back(attentionWeights[0]);
  for (Parts *parts : {&one.forward, &one.inputGrad, &one.weightGrad})
    for (Part &part : *parts)
      part.firstLayer = part.lastLayer = number;

  int moved = int(one.inputGrad.size());
  for (Part &part : stage.weightGrad)
    if (part.after >= 0)
      part.after += moved;
  stage.forward.insert(stage.forward.end(), one.forward.begin(), one.forward.end());
  stage.inputGrad.insert(stage.inputGrad.begin(), one.inputGrad.begin(), one.inputGrad.end());
  stage.weightGrad.insert(stage.weightGrad.begin(), one.weightGrad.begin(), one.weightGrad.end());
  stage.activationBytes += one.activationBytes;
  stage.replicatedParameters +=
      one.replicatedParameters + attentionParameters() + 2 * h + queryRank + double(c.latentRank);
  stage.expertParameters += one.expertParameters;
}

void LayerWork::embedding(StageWork &stage) const {
  stage.forward.insert(stage.forward.begin(),
                       Part{"embedding", Lane::Compute, {elementwise(4 * h, 1)}});
  Part weights{"embedding", Lane::Compute, {elementwise((2 + 8) * h, 2)}};
  weights.after = int(stage.inputGrad.size()) - 1;
  stage.weightGrad.push_back(weights);
  stage.replicatedParameters += double(c.vocabSize) * h;
}

/// In BF16 (V3 §3.3.1). Logits are written, read by the loss, and their gradient written in their
/// place.
void LayerWork::head(StageWork &stage, bool ownWeights) const {
  double vocabulary = double(c.vocabSize);
  Part forward{"head",
               Lane::Compute,
               {bf16(tokens, vocabulary, h), elementwise(4 * h + 2 * vocabulary * 4, 6)}};
  Part backward{"head", Lane::Compute, {bf16(tokens, h, vocabulary), elementwise(8 * h, 4)}};
  Part weights{"head", Lane::Compute, {bf16(tokens, h, vocabulary, KernelKind::WeightGrad)}};
  weights.kernels[0].length = tokens;
  weights.after = 0;
  for (Part &part : stage.weightGrad)
    if (part.after >= 0)
      ++part.after;
  stage.forward.push_back(forward);
  stage.inputGrad.insert(stage.inputGrad.begin(), backward);
  stage.weightGrad.insert(stage.weightGrad.begin(), weights);
  stage.activationBytes += tokens * vocabulary * 2;
  stage.replicatedParameters += ownWeights ? vocabulary * h : 0;
}

void LayerWork::mtpProjection(StageWork &stage) const {
  stage.forward.push_back(
      {"projection", Lane::Compute, {product(tokens, h, 2 * h), elementwise(18 * h, 6)}});
  stage.inputGrad.insert(
      stage.inputGrad.begin(),
      {"projection", Lane::Compute, {product(tokens, 2 * h, h), elementwise(24 * h, 6)}});
  for (Part &part : stage.weightGrad)
    if (part.after >= 0)
      ++part.after;
  Part weights{"projection", Lane::Compute, {weightGrad(tokens, h, 2 * h)}};
  weights.after = 0;
  stage.weightGrad.insert(stage.weightGrad.begin(), weights);
  stage.replicatedParameters += 2 * h * h + 3 * h;
  stage.activationBytes += tokens * 4 * h;
}

} // namespace

Result<StepWork> plan::workOfModel(const frontend::ModelConfig &c, const Layout &l,
                                   int64_t stages) {
  if (c.moeLayers() + c.mtpLayers > 0 && c.experts && c.experts % l.ep)
    return invalidArgument("--ep=" + std::to_string(l.ep) + " wants to divide the " +
                           std::to_string(c.experts) + " experts");
  if (stages > c.layers)
    return invalidArgument("wants at least a layer for each of " + std::to_string(stages) +
                           " stages, the model has " + std::to_string(c.layers));
  LayerWork make(c, l);
  StepWork work;
  double parameters = double(c.parameterCount());
  bool billions = parameters >= 1e9;
  work.model = c.modelType + " " +
               std::to_string(std::llround(parameters / (billions ? 1e9 : 1e6))) +
               (billions ? "B" : "M");
  work.tokens = double(l.sequences * l.sequence);
  work.expertsPerRank = double(c.experts) / double(l.ep);
  work.expertRanks = double(l.ep);
  work.expertNodes = double(l.nodes);
  work.sequencesPerExchange = double(l.microBatch * l.ep);
  // What counts as useful work (ISCA Table 2 and 4): six operations for each parameter that a token
  // meets, but for the embedding's row; no MTP.
  double linear = 6 * double(c.activeParameterCount() - c.hiddenSize);
  double core =
      3 * make.attentionFlops(true) * double(c.layers) / double(l.microBatch * l.sequence);
  work.tokenFlopsCausal = linear + core;
  work.tokenFlopsFull = linear + 2 * core;

  auto tail = [&](StageWork &stage) {
    make.head(stage, true);
    for (int64_t i = 0; i < c.mtpLayers; ++i) {
      make.mtpProjection(stage);
      make.layer(stage, c.layers + i);
      make.head(stage, false);
    }
  };
  std::vector<int64_t> counts = frontend::stageLayers(c, c.mtpLayers, stages);
  for (int64_t s = 0; s < stages && l.evenSplit; ++s)
    counts[s] = c.layers * (s + 1) / stages - c.layers * s / stages;

  int64_t next = 0;
  for (int64_t s = 0; s < stages; ++s) {
    StageWork stage;
    stage.firstLayer = next;
    stage.layers = counts[s];
    stage.messageBytes = double(l.microBatch * l.sequence * c.hiddenSize) * 2;
    for (int64_t i = 0; i < counts[s]; ++i)
      make.layer(stage, next++);
    if (s == 0)
      make.embedding(stage);
    if (s == stages - 1)
      tail(stage);
    work.stages.push_back(std::move(stage));
  }
  return work;
}
