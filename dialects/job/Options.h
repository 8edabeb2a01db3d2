//===- Options.h - what a command says of a job ---------------*- C++ -*-===//
//
// The options of a job, with their defaults: hadal-compile reads them from the command line, the
// frontend writes them into the graph (Job.td), passes take them from there. No MLIR.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_DIALECTS_JOB_OPTIONS_H
#define HADAL_DIALECTS_JOB_OPTIONS_H

#include <cstdint>
#include <optional>
#include <string>

namespace hadal::job {

/// How a job is spread over ranks: `#job.ranks`.
struct RankOptions {
  int64_t pp = 1;                ///< pipeline ranks
  int64_t ep = 1;                ///< expert-parallel ranks
  int64_t dp = 1;                ///< data-parallel ranks
  int64_t nodes = 1;             ///< that one group of expert-parallel ranks spans
  std::string schedule = "1f1b"; ///< 1f1b, zb1p, dualpipe or dualpipev
  bool overlap = true;           ///< communicate for one chunk while another computes
  bool fastReduction = false;    ///< sums over ranks in the engine's order, and none of groups
  std::string dispatch = "fp32"; ///< what rows travel as to the experts: fp32, bf16 or fp8
  std::string combine = "fp32";  ///< and on the way back: fp32 or bf16
  int64_t capacity = 0; ///< most rows from one expert-parallel rank to another; 0: any number

  int64_t count() const { return pp * ep * dp; }
  /// Pipeline stages: dualpipev gives each rank two.
  int64_t stages() const { return schedule == "dualpipev" ? 2 * pp : pp; }
  /// Directions in which micro-batches enter the pipeline.
  int64_t directions() const { return schedule == "dualpipe" ? 2 : 1; }
  /// Who has micro-batches of its own.
  int64_t owners() const { return directions() * dp * ep; }
};

/// A training job: `#job.training`.
struct TrainingOptions {
  int64_t microBatch = 1;   ///< rows of a micro-batch
  int64_t sequence = 2;     ///< tokens of a row
  int64_t microBatches = 1; ///< of a step
  int64_t sumGroups = 0;    ///< of micro-batches, summed apart; 0: one per owner of micro-batches
  double mtpWeight = 0.3;   ///< of the mean MTP loss; 0 leaves the MTP layers out
  double balanceWeight = 1e-4;    ///< of the sequence-wise balance loss
  double biasStep = 1e-3;         ///< of the router's correction bias after a step
  std::string precision = "fp32"; ///< of products' operands: fp32, bf16 or fp8
  std::string configText;         ///< config.json as it was read
  RankOptions ranks;

  int64_t groups() const { return sumGroups ? sumGroups : ranks.owners(); }
};

/// Positions of a page of the latent cache, unless --page-tokens says otherwise.
inline constexpr int64_t defaultPageTokens = 64;

/// What a graph may be told of how it is compiled: `#job.settings`, and `page_tokens` of
/// `#job.model`. What is empty is for the graph to say.
struct Settings {
  std::optional<std::string> moments;   ///< of a training module's optimizer: fp32 or bf16, which
                                        ///< is what training in fp8 has by itself
  std::optional<std::string> products;  ///< of weights that training reads and writes: fma, tiles
                                        ///< (AMX), or auto: tiles where the CPU has them
  std::optional<std::string> recompute; ///< of a training module: none, report or all
  std::optional<bool> average;          ///< a training module keeps a moving average of the weights
  std::optional<std::string> fp8;       ///< of training in fp8: options of --fp8-quantize
  std::optional<std::string> cache;     ///< what latents are kept in: fp32 or fp8
  std::optional<int64_t> pageTokens;    ///< positions of a page of the latent cache
};

} // namespace hadal::job

#endif // HADAL_DIALECTS_JOB_OPTIONS_H
