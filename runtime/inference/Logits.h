//===- Logits.h - the logits of every position --------------------------===//

#ifndef HADAL_RUNTIME_INFERENCE_LOGITS_H
#define HADAL_RUNTIME_INFERENCE_LOGITS_H

#include "runtime/Executor.h"
#include "runtime/Safetensors.h"
#include "runtime/ranks/RowShare.h"

#include <string>
#include <utility>
#include <vector>

namespace hadal {

struct LogitsOptions {
  bool dump = false; ///< all that program inspect gives, not the logits alone
  const Safetensors *routes =
      nullptr;              ///< router.k.topk_ids [B*T, K]: the experts to take instead of choosing
  RowShare share;           ///< over ranks: the rows that this one computes, and gives
  int64_t microBatches = 1; ///< 1 or more: batches of rows that run at the same time
  int64_t width = 0;        ///< T, the columns of the results; 0: the longest row
  std::vector<int64_t> begins; ///< the column of each row's first token; empty: 0
};

/// The errors of computeLogits that its input alone may have.
Status checkLogits(const Module &module, const std::vector<std::vector<int32_t>> &rows,
                   const LogitsOptions &options);

/// `rows`: B sequences of at most T tokens, each as if it were alone. Results are 0 where a row has
/// no token. Gives "logits" [B, T, V] and, with `dump`, "hidden.k" [B, T, H], "cache.k.ckv",
/// "cache.k.k_rope" [B, T, ...] and "router.k.topk_ids", "router.k.topk_weights" [B*T, K]. Works on
/// a bounded number of tokens at a time.
Result<std::vector<std::pair<std::string, Tensor>>>
computeLogits(Executor &executor, const std::vector<std::vector<int32_t>> &rows,
              const LogitsOptions &options);

} // namespace hadal

#endif // HADAL_RUNTIME_INFERENCE_LOGITS_H
