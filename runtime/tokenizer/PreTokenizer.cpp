//===- PreTokenizer.cpp - cuts a text into words ------------------------===//

#include "runtime/tokenizer/PreTokenizer.h"

#include <algorithm>

using namespace hadal;

void hadal::splitAt(std::string_view text, const std::vector<TextRange> &matches,
                    SplitBehavior behavior, bool invert, std::vector<TextRange> &pieces) {
  // The text as a chain of parts, matches and what lies between them; empty matches stay in it,
  // since they too decide what merges with what.
  struct Part {
    TextRange range;
    bool isMatch;
  };
  std::vector<Part> parts;
  size_t at = 0;
  for (TextRange match : matches) {
    if (at != match.begin)
      parts.push_back({{at, match.begin}, invert});
    parts.push_back({match, !invert});
    at = match.end;
  }
  if (at != text.size())
    parts.push_back({{at, text.size()}, invert});

  std::vector<TextRange> joined;
  bool previousIsMatch = false;
  auto joinForward = [&](auto joins) {
    for (const Part &part : parts) {
      if (joins(part) && !joined.empty())
        joined.back().end = part.range.end;
      else
        joined.push_back(part.range);
      previousIsMatch = part.isMatch;
    }
  };
  switch (behavior) {
  case SplitBehavior::Isolated: joinForward([](const Part &) { return false; }); break;
  case SplitBehavior::Removed:
    for (const Part &part : parts)
      if (!part.isMatch)
        joined.push_back(part.range);
    break;
  case SplitBehavior::Contiguous:
    joinForward([&](const Part &part) { return part.isMatch == previousIsMatch; });
    break;
  case SplitBehavior::MergedWithPrevious:
    joinForward([&](const Part &part) { return part.isMatch && !previousIsMatch; });
    break;
  case SplitBehavior::MergedWithNext:
    for (size_t i = parts.size(); i-- > 0;) {
      if (parts[i].isMatch && !previousIsMatch && !joined.empty())
        joined.back().begin = parts[i].range.begin;
      else
        joined.push_back(parts[i].range);
      previousIsMatch = parts[i].isMatch;
    }
    std::reverse(joined.begin(), joined.end());
    break;
  }
  for (TextRange range : joined)
    if (range.begin != range.end)
      pieces.push_back(range);
}

static Result<SplitBehavior> parseBehavior(const JsonView &json) {
  static constexpr std::pair<std::string_view, SplitBehavior> names[] = {
      {"Isolated", SplitBehavior::Isolated},
      {"Removed", SplitBehavior::Removed},
      {"MergedWithPrevious", SplitBehavior::MergedWithPrevious},
      {"MergedWithNext", SplitBehavior::MergedWithNext},
      {"Contiguous", SplitBehavior::Contiguous},
  };
  std::string text = HADAL_TRY(json.string());
  for (auto [name, behavior] : names)
    if (text == name)
      return behavior;
  return json.wants("Isolated, Removed, MergedWithPrevious, MergedWithNext or Contiguous");
}

Status PreTokenizer::addRegex(std::string_view pattern, SplitBehavior behavior, bool invert) {
  steps.push_back({HADAL_TRY(Regex::compile(pattern)), behavior, invert});
  return {};
}

Status PreTokenizer::addStep(const JsonView &json, bool isLast) {
  std::string type = HADAL_TRY(json["type"].string());
  if (type == "Split") {
    SplitBehavior behavior = HADAL_TRY(parseBehavior(json["behavior"]));
    bool invert = HADAL_TRY(json["invert"].boolean(false));
    JsonView pattern = json["pattern"];
    if (!pattern["Regex"].absent())
      return addRegex(HADAL_TRY(pattern["Regex"].string()), behavior, invert);
    if (pattern["String"].absent())
      return pattern.wants("a Regex or a String");
    steps.push_back(
        {HADAL_TRY(Regex::literal(HADAL_TRY(pattern["String"].string()))), behavior, invert});
    return {};
  }
  if (type == "Digits")
    return addRegex("\\p{N}", HADAL_TRY(json["individual_digits"].boolean(false))
                                  ? SplitBehavior::Isolated
                                  : SplitBehavior::Contiguous);
  if (type == "Punctuation") {
    JsonView behavior = json["behavior"];
    return addRegex("[!-/:-@\\[-`{-~\\p{P}]", behavior.absent()
                                                  ? SplitBehavior::Isolated
                                                  : HADAL_TRY(parseBehavior(behavior)));
  }
  if (type != "ByteLevel")
    return json["type"].wants("Sequence, Split, Digits, Punctuation or ByteLevel");
  // After it, later steps would see the characters that stand for bytes.
  if (!isLast)
    return json.wants("ByteLevel at the end of the sequence");
  if (HADAL_TRY(json["add_prefix_space"].boolean(true)))
    prefixStep = steps.size();
  // Source: openai/gpt-2, src/encoder.py.
  if (HADAL_TRY(json["use_regex"].boolean(true)))
    return addRegex(
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
        SplitBehavior::Isolated);
  return {};
}

Result<PreTokenizer> PreTokenizer::create(const JsonView &json) {
  // Sequences may hold sequences; flattened, they are one list of steps.
  constexpr size_t deepest = 16;
  std::vector<JsonView> flat;
  auto flatten = [&](auto &self, const JsonView &inner, size_t depth) -> Status {
    JsonView type = inner["type"];
    if (type.json() != "Sequence") {
      flat.push_back(inner);
      return {};
    }
    JsonView list = inner["pretokenizers"];
    if (!list.json().is_array() || depth == deepest)
      return list.wants("an array of pre-tokenizers");
    for (size_t i = 0; i < list.json().size(); ++i)
      HADAL_TRY(self(self, list.element(i), depth + 1));
    return {};
  };
  HADAL_TRY(flatten(flatten, json, 0));
  if (flat.empty() || flat.back()["type"].json() != "ByteLevel")
    return json.wants("ByteLevel, or a Sequence that ends with it (byte-level BPE)");
  PreTokenizer result;
  for (size_t i = 0; i < flat.size(); ++i)
    HADAL_TRY(result.addStep(flat[i], i + 1 == flat.size()));
  return result;
}

Status PreTokenizer::split(std::string_view text, std::vector<std::string_view> &words,
                           std::deque<std::string> &storage) const {
  std::vector<std::string_view> pieces, next;
  std::vector<TextRange> matches, ranges;
  if (!text.empty())
    pieces.push_back(text);
  auto addPrefix = [&] {
    for (std::string_view &piece : pieces)
      if (piece[0] != ' ')
        piece = storage.emplace_back(" " + std::string(piece));
  };
  for (size_t i = 0; i < steps.size(); ++i) {
    if (i == prefixStep)
      addPrefix();
    next.clear();
    for (std::string_view piece : pieces) {
      matches.clear();
      ranges.clear();
      HADAL_TRY(steps[i].regex.findAll(piece, matches));
      splitAt(piece, matches, steps[i].behavior, steps[i].invert, ranges);
      for (TextRange range : ranges)
        next.push_back(piece.substr(range.begin, range.end - range.begin));
    }
    pieces.swap(next);
  }
  if (prefixStep == steps.size())
    addPrefix();
  words.insert(words.end(), pieces.begin(), pieces.end());
  return {};
}
