//===- Bpe.cpp - byte-pair encoding of one word -------------------------===//

#include "runtime/tokenizer/Bpe.h"

#include "runtime/tokenizer/ByteLevel.h"

#include <queue>

using namespace hadal;

std::optional<int32_t> Bpe::id(std::string_view token) const {
  auto found = ids.find(std::string(token));
  return found == ids.end() ? std::nullopt : std::optional(found->second);
}

Status Bpe::addVocabulary(const JsonView &json) {
  if (!json.json().is_object())
    return json.wants("an object of tokens and ids");
  ids.reserve(json.json().size());
  for (auto entry = json.json().begin(); entry != json.json().end(); ++entry) {
    Result<int32_t> id = JsonView(*entry).tokenId();
    if (!id.ok())
      return JsonView(*entry, json.name() + "['" + entry.key() + "']").wants("a token id");
    ids.emplace(entry.key(), *id);
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string spelled;
    appendUtf8(spelled, byteCharacters()[byte]);
    byteIds[byte] = id(spelled).value_or(-1);
  }
  return {};
}

/// The two halves of a merge, written "a b" or ["a", "b"].
static Result<std::pair<std::string, std::string>> parseMerge(const JsonView &json) {
  const auto &value = json.json();
  if (value.is_array() && value.size() == 2)
    return std::pair(HADAL_TRY(json.element(0).string()), HADAL_TRY(json.element(1).string()));
  if (value.is_string()) {
    std::string text = HADAL_TRY(json.string());
    size_t space = text.find(' ');
    if (space != text.npos && text.find(' ', space + 1) == text.npos)
      return std::pair(text.substr(0, space), text.substr(space + 1));
  }
  return json.wants("two tokens, as \"a b\" or [\"a\", \"b\"]");
}

Status Bpe::addMerges(const JsonView &json) {
  const auto &list = json.json();
  if (!list.is_array() || list.size() > std::numeric_limits<uint32_t>::max())
    return json.wants("an array of merges");
  merges.reserve(list.size());
  uint32_t rank = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    auto *line = list[i].get_ptr<const std::string *>();
    if (line && line->starts_with("#version"))
      continue;
    // The place in the list is spelled only for an error: there may be 128,000 of them.
    auto merge = parseMerge(JsonView(list[i]));
    if (!merge.ok())
      return parseMerge(json.element(i)).error();
    auto &[left, right] = *merge;
    std::string whole = left + right;
    const std::string *halves[] = {&left, &right, &whole};
    int32_t found[3];
    for (int part = 0; part < 3; ++part) {
      auto known = id(*halves[part]);
      if (!known)
        return invalidFile(json.element(i).name() + ": '" + *halves[part] +
                           "' is not in model.vocab");
      found[part] = *known;
    }
    merges[pairOf(found[0], found[1])] = {rank++, found[2]};
  }
  return {};
}

Result<Bpe> Bpe::create(const JsonView &json) {
  if (json["type"].json() != "BPE" && !(json["type"].absent() && !json["merges"].absent()))
    return json["type"].wants("\"BPE\"");
  for (const char *key :
       {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"})
    HADAL_TRY(json[key].unset());
  Bpe bpe;
  bpe.ignoreMerges = HADAL_TRY(json["ignore_merges"].boolean(false));
  HADAL_TRY(bpe.addVocabulary(json["vocab"]));
  HADAL_TRY(bpe.addMerges(json["merges"]));
  if (!json["unk_token"].absent())
    for (int32_t id : bpe.byteIds)
      if (id < 0)
        return json["unk_token"].wants("null, or a vocabulary with a token for each byte");
  return bpe;
}

void Bpe::encode(std::string_view word, std::vector<int32_t> &out) const {
  if (ignoreMerges) {
    std::string spelled;
    for (char byte : word)
      appendUtf8(spelled, byteCharacters()[static_cast<uint8_t>(byte)]);
    if (auto whole = id(spelled)) {
      out.push_back(*whole);
      return;
    }
  }
  // A doubly linked list of symbols; merging gives the left symbol the new id and takes the right
  // one out.
  struct Symbol {
    int32_t id;
    int32_t previous, next; // -1: none
    bool gone;
  };
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  for (char byte : word)
    if (int32_t id = byteIds[static_cast<uint8_t>(byte)]; id >= 0) {
      int32_t at = static_cast<int32_t>(symbols.size());
      symbols.push_back({id, at - 1, at + 1, false});
    }
  if (symbols.empty())
    return;
  symbols.back().next = -1;

  // The lowest rank goes first, of equal ranks the leftmost.
  struct Candidate {
    uint32_t rank;
    int32_t at, id;
    bool operator>(const Candidate &other) const {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  auto find = [&](int32_t at) -> const Merge * {
    if (at < 0 || symbols[at].next < 0)
      return nullptr;
    auto merge = merges.find(pairOf(symbols[at].id, symbols[symbols[at].next].id));
    return merge == merges.end() ? nullptr : &merge->second;
  };
  auto offer = [&](int32_t at) {
    if (const Merge *merge = find(at))
      queue.push({merge->rank, at, merge->id});
  };
  for (size_t at = 0; at + 1 < symbols.size(); ++at)
    offer(static_cast<int32_t>(at));
  while (!queue.empty()) {
    Candidate best = queue.top();
    queue.pop();
    Symbol &left = symbols[best.at];
    // A candidate is stale when one of its two symbols has been merged meanwhile.
    const Merge *merge = left.gone ? nullptr : find(best.at);
    if (!merge || merge->id != best.id)
      continue;
    Symbol &right = symbols[left.next];
    right.gone = true;
    left.id = best.id;
    left.next = right.next;
    if (left.next >= 0)
      symbols[left.next].previous = best.at;
    offer(left.previous);
    offer(best.at);
  }
  for (int32_t at = 0; at >= 0; at = symbols[at].next)
    out.push_back(symbols[at].id);
}
