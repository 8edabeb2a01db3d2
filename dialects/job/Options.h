//===- Options.h - what a command says of a job ---------------*- C++ -*-===//
//
// The options of a job, with their defaults: hadal-compile reads them from the command line, the
// frontend writes them into the graph (Job.td), passes take them from there. No MLIR.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_DIALECTS_JOB_OPTIONS_H
#define HADAL_DIALECTS_JOB_OPTIONS_H

#include <cstdint>
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

} // namespace hadal::job

#endif // HADAL_DIALECTS_JOB_OPTIONS_H
