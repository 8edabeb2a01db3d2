//===- TensorNames.cpp - what tensors of a checkpoint are called --------===//

#include "runtime/TensorNames.h"

#include "runtime/Safetensors.h"

#include <algorithm>
#include <charconv>

namespace hadal {

std::optional<int64_t> layerNumberOf(std::string_view tensorName) {
  constexpr std::string_view word = ".layers.";
  size_t at = tensorName.find(word);
  if (at == std::string_view::npos)
    return std::nullopt;
  tensorName.remove_prefix(at + word.size());
  int64_t number;
  auto [end, error] =
      std::from_chars(tensorName.data(), tensorName.data() + tensorName.size(), number);
  if (error != std::errc() || end == tensorName.data() + tensorName.size() || *end != '.')
    return std::nullopt;
  return number;
}

namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// The first name for which `isIt` holds, ascending; empty when there is none.
template <typename Predicate>
std::string firstName(const std::vector<std::string> &names, Predicate isIt) {
  auto found = std::find_if(names.begin(), names.end(), isIt);
  return found == names.end() ? "" : *found;
}

} // namespace

std::string recogniseOtherNaming(const Checkpoint &checkpoint, std::string_view missing) {
  std::vector<std::string> names = checkpoint.names();
  auto has = [&](std::string_view name) {
    return std::binary_search(names.begin(), names.end(), name, std::less<>());
  };

  if (std::string stack = firstName(
          names, [](const std::string &n) { return contains(n, ".experts.gate_up_proj"); });
      !stack.empty() && contains(missing, ".experts."))
    return "its experts are stacked in one tensor (" + stack +
           "), as transformers 5 has them in memory; its save_pretrained writes one tensor per "
           "expert";

  // DeepSeek's inference code converts checkpoints to names of its own.
  if (std::string own = firstName(names,
                                  [](const std::string &n) {
                                    return contains(n, ".attn.wq") || contains(n, ".attn.wkv_");
                                  });
      !own.empty() || has("embed.weight"))
    return "it has the names of DeepSeek's own inference code (" +
           (has("embed.weight") ? "embed.weight" : own) +
           "); hadal reads the names of the published checkpoints on Hugging Face";

  std::string ending = "." + std::string(missing);
  if (std::string longer =
          firstName(names, [&](const std::string &n) { return n.ends_with(ending); });
      !longer.empty())
    return "its names begin with '" + longer.substr(0, longer.size() - missing.size()) + "' (" +
           longer + ")";

  constexpr std::string_view body = "model.";
  if (size_t at = missing.find(body);
      at != std::string_view::npos && has(missing.substr(at + body.size())))
    return "its names have no 'model.' in front (" + std::string(missing.substr(at + body.size())) +
           "), as those of a model without its head";
  return "";
}

} // namespace hadal
