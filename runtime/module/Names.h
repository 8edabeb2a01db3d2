//===- Names.h - what compiler and runtime call things ------------------===//
//
// A module's programs, their arguments and registers, and its states are known by name: the
// compiler writes them, what drives a module asks for them. `T` tokens, `S` sequences, `R` rows of
// logits, `N` elements of a tensor.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MODULE_NAMES_H
#define HADAL_RUNTIME_MODULE_NAMES_H

#include <string>

namespace hadal::names {

namespace program {
/// Of a generation module: whole sequences to logits; the same with all that --dump shows, the
/// choice of experts made or given; one token of each sequence, by the latent cache.
inline constexpr const char *prefill = "prefill", *inspect = "inspect",
                            *inspectRouted = "inspect_routed", *decode = "decode";
/// From logits to tokens and their probabilities.
inline constexpr const char *argmax = "argmax", *sample = "sample", *penalize = "penalize",
                            *nll = "nll", *logProbabilities = "log_probabilities";
/// Lays all weights out, once.
inline constexpr const char *pack = "pack";

/// A step on one rank.
inline constexpr const char *zero = "zero", *gradients = "gradients", *evaluate = "evaluate",
                            *norms = "norms", *optimizer = "optimizer";
/// What a step on many ranks has in place of the last two.
inline constexpr const char *squareSum = "square_sum", *globalNorm = "global_norm",
                            *schedule = "schedule", *adamw = "adamw", *balance = "balance";
/// Adds one sum to another, of F32 or I32.
inline constexpr const char *add = "add", *addI32 = "add.i32";
/// First values; the largest magnitude; BF16 to F32 and back.
inline constexpr const char *draw = "draw", *magnitude = "magnitude", *widen = "widen",
                            *narrow = "narrow";
/// With a layout after it: lays a checkpoint's tensor out, by its elements, or brings it back.
inline constexpr const char *packF32 = "pack.f32.", *packBf16 = "pack.bf16.",
                            *packF16 = "pack.f16.", *packF8 = "pack.f8.", *unpack = "unpack.";
/// Makes the codes of weights, as training in FP8 reads them: once the weights of a step stand,
/// before its first micro-batch. Without arguments; absent where no product reads codes.
inline constexpr const char *quantizeWeights = "quantize_weights";

/// The same for what one pipeline stage reads, in a job on many ranks.
inline std::string quantizeWeightsOf(unsigned stage) {
  return std::string(quantizeWeights) + ".stage." + std::to_string(stage);
}
} // namespace program

namespace argument {
/// Rows of tokens: [T], [T], [S+1], [R], [T], [T, pages].
inline constexpr const char *tokenIds = "token_ids", *positions = "positions", *offsets = "offsets",
                            *logitRowIds = "logit_row_ids", *slots = "slots",
                            *pageTable = "page_table";
/// Of one layer, with its number after it: the experts that are given.
inline constexpr const char *routes = "routes.";
/// Of training: what is to be predicted [T], what sums are divided by, and the main model's rows
/// that a depth of multi-token prediction goes on from. Depth d has those above, too, each after
/// "mtp.d.".
inline constexpr const char *targets = "targets", *counts = "counts", *mainRows = "rows";

inline constexpr const char *logits = "logits", *temperature = "temperature", *topK = "top_k",
                            *topP = "top_p", *minP = "min_p", *uniform = "uniform", *nll = "nll",
                            *logProbability = "log_probability", *topIds = "top_ids",
                            *topLogProbabilities = "top_log_probabilities", *penalty = "penalty",
                            *seen = "seen", *penalized = "penalized";

/// StepSettings.h; what a step reports.
inline constexpr const char *settings = "settings", *lr = "lr", *norms = "norms",
                            *gradNorm = "grad_norm", *violation = "violation";
/// [N], or [tensors].
inline constexpr const char *from = "from", *to = "to", *sum = "sum", *sums = "sums",
                            *values = "values", *weight = "weight", *gradient = "gradient",
                            *firstMoment = "first_moment", *secondMoment = "second_moment",
                            *average = "average", *largest = "largest";
/// Of `draw`: where its numbers come from. A tensor as a checkpoint has it, its scales, and as it
/// lies.
inline constexpr const char *key = "key", *tensor = "tensor", *scale = "scale", *packed = "packed";
} // namespace argument

namespace reg {
inline constexpr const char *tokens = "tokens", *sequences = "sequences", *attended = "attended",
                            *logitRows = "logit_rows", *tablePages = "table_pages", *rows = "rows",
                            *top = "top", *seenTokens = "seen_tokens", *elements = "elements",
                            *tensors = "tensors", *element = "element";
/// Of states.
inline constexpr const char *cacheSlots = "cache_slots";
} // namespace reg

namespace state {
/// Losses of a step; norm of all gradients; what AdamW multiplies by.
inline constexpr const char *losses = "losses", *gradientNorm = "gradient_norm",
                            *stepScalars = "step_scalars";
/// With a parameter's name after it.
inline constexpr const char *weight = "weight.", *gradient = "gradient.",
                            *firstMoment = "first_moment.", *secondMoment = "second_moment.",
                            *average = "average.", *rounded = "rounded.";
/// With a layer's number: tokens of each expert in a step; latents.
inline constexpr const char *loads = "loads.", *cache = "cache.";
} // namespace state

/// What stands before the names of a depth of multi-token prediction, from 1 on.
inline std::string ofDepth(uint64_t depth) { return "mtp." + std::to_string(depth) + "."; }

} // namespace hadal::names

#endif // HADAL_RUNTIME_MODULE_NAMES_H
