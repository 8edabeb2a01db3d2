//===- PostProcessor.cpp - what stands around a text's own ids ----------===//

#include "runtime/tokenizer/PostProcessor.h"

#include <algorithm>

using namespace hadal;

/// The ids of a special token of a template.
static Result<std::vector<int32_t>> idsOf(const JsonView &specialTokens, const std::string &token) {
  JsonView ids = specialTokens[token]["ids"];
  if (!ids.json().is_array())
    return ids.wants("a list of token ids");
  std::vector<int32_t> result;
  for (size_t i = 0; i < ids.json().size(); ++i)
    result.push_back(HADAL_TRY(ids.element(i).tokenId()));
  return result;
}

/// The template for one text: special tokens, and "Sequence A", the text itself.
static Result<PostProcessor> readTemplate(const JsonView &json) {
  JsonView pieces = json["single"];
  if (!pieces.json().is_array())
    return pieces.wants("a list");
  PostProcessor result;
  bool seenText = false;
  for (size_t i = 0; i < pieces.json().size(); ++i) {
    JsonView piece = pieces.element(i), text = piece["Sequence"], token = piece["SpecialToken"];
    if (text.absent() == token.absent())
      return piece.wants("a Sequence or a SpecialToken");
    if (!text.absent()) {
      if (seenText || text["id"].json() != "A")
        return text.wants("the text (id A), once");
      seenText = true;
      continue;
    }
    std::vector<int32_t> ids =
        HADAL_TRY(idsOf(json["special_tokens"], HADAL_TRY(token["id"].string())));
    std::vector<int32_t> &side = seenText ? result.after : result.before;
    side.insert(side.end(), ids.begin(), ids.end());
  }
  if (!seenText)
    return pieces.wants("the text (a Sequence with id A)");
  return result;
}

static Status addStep(const JsonView &json, std::optional<PostProcessor> &found) {
  if (json["type"].json() == "ByteLevel") // rewrites offsets only
    return {};
  if (json["type"].json() != "TemplateProcessing")
    return json["type"].wants("\"TemplateProcessing\", \"ByteLevel\" or a \"Sequence\" of them");
  if (found)
    return json["type"].wants("one TemplateProcessing");
  found = HADAL_TRY(readTemplate(json));
  return {};
}

Result<PostProcessor> PostProcessor::create(const JsonView &json) {
  std::optional<PostProcessor> found;
  if (json.absent())
    return PostProcessor();
  if (json["type"].json() != "Sequence") {
    HADAL_TRY(addStep(json, found));
  } else {
    JsonView steps = json["processors"];
    if (!steps.json().is_array())
      return steps.wants("a list");
    for (size_t i = 0; i < steps.json().size(); ++i)
      HADAL_TRY(addStep(steps.element(i), found));
  }
  return found.value_or(PostProcessor());
}

void PostProcessor::apply(std::vector<int32_t> &ids) const {
  bool begins =
      ids.size() >= before.size() && std::equal(before.begin(), before.end(), ids.begin());
  if (!begins)
    ids.insert(ids.begin(), before.begin(), before.end());
  bool ends = ids.size() >= after.size() && std::equal(after.rbegin(), after.rend(), ids.rbegin());
  if (!ends)
    ids.insert(ids.end(), after.begin(), after.end());
}
