//===- PostProcessor.h - what stands around a text's own ids ------------===//
//
// `post_processor` of tokenizer.json: a TemplateProcessing, a ByteLevel (which changes no ids), or
// a Sequence of them with at most one template.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TOKENIZER_POSTPROCESSOR_H
#define HADAL_RUNTIME_TOKENIZER_POSTPROCESSOR_H

#include "runtime/tokenizer/JsonView.h"

#include <vector>

namespace hadal {

/// Ids to put in front of a text's own, and after them.
struct PostProcessor {
  std::vector<int32_t> before, after;

  /// `json` is the file's "post_processor", absent for none. An error names the key that is not
  /// supported.
  static Result<PostProcessor> create(const JsonView &json);

  /// Puts them around `ids`, but for what already stands there: a prompt may spell its own
  /// beginning-of-sequence token.
  void apply(std::vector<int32_t> &ids) const;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TOKENIZER_POSTPROCESSOR_H
