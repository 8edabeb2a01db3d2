//===- WriteFakeModel.cpp - files for cli.sh ----------------------------===//
//
//     WriteFakeModel DIR [HADAL_RUN]    DIR/m.hadal, DIR/ckpt/{model.safetensors,tokenizer.json},
//                                       DIR/in.safetensors ..., and DIR/exe: HADAL_RUN with the
//                                       module appended
//
//===--------------------------------------------------------------------===//

#include "runtime/Safetensors.h"
#include "runtime/module/Module.h"
#include "runtime/tokenizer/ByteLevel.h"
#include "test/tools/FakeModel.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <filesystem>

using namespace hadal;
using Json = nlohmann::json;

static std::string tokenizerJson() {
  Json vocabulary = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    std::string spelled;
    appendUtf8(spelled, byteCharacters()[byte]);
    vocabulary[spelled] = byte;
  }
  Json byteLevel = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  Json eos = {
      {"id", fake::eosToken}, {"content", "<end>"}, {"special", true}, {"normalized", false}};
  return Json{{"added_tokens", {eos}},
              {"pre_tokenizer", byteLevel},
              {"decoder", byteLevel},
              {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}}
      .dump();
}

static Status writeAll(const std::string &folder, const char *runner) {
  std::filesystem::create_directories(folder + "/ckpt");
  std::vector<std::byte> payload = fake::modulePayload();
  HADAL_TRY(writeModule(folder + "/m.hadal", payload));
  if (runner)
    HADAL_TRY(appendModule(runner, payload, folder + "/exe"));
  std::string json = tokenizerJson();
  HADAL_TRY(writeFile(folder + "/ckpt/tokenizer.json", std::as_bytes(std::span(json))));
  auto write = [&](const char *name, const char *tensor, const TensorView &view) {
    NamedTensor named{tensor, view};
    return writeSafetensors(folder + "/" + name, {&named, 1});
  };
  std::vector<float> scale = {1};
  HADAL_TRY(write("ckpt/model.safetensors", "scale", TensorView::of(scale)));
  std::vector<int64_t> ids = {5, 6, 7, 8, 9, 10}, big = {5, 1000000, 7}, wide = {int64_t(1) << 40};
  HADAL_TRY(write("in.safetensors", "input_ids", TensorView::of(ids, {2, 3})));
  HADAL_TRY(write("big.safetensors", "input_ids", TensorView::of(big, {1, 3})));
  HADAL_TRY(write("wide.safetensors", "input_ids", TensorView::of(wide, {1, 1})));
  HADAL_TRY(write("flat.safetensors", "input_ids", TensorView::of(ids)));
  HADAL_TRY(write("none.safetensors", "input_ids", TensorView::of(std::span<int64_t>(), {1, 0})));
  HADAL_TRY(write("other.safetensors", "other", TensorView::of(ids)));
  // Rows of 3, 2 and 1 tokens in 4 columns; the ids in the padding are nonsense.
  std::vector<int64_t> padded = {-1, 5, 6, 7, 8, 9, 999999, -1, -1, -1, 10, -1},
                       shut = {5, 6, 7, 0, 8, 9, 0, 0, 10, 0, 0, 0};
  std::vector<int64_t> mask = {0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0},
                       hole = {1, 1, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0}, none(12, 0), two = mask;
  std::vector<int64_t> lengths = {3, 2, 1}, tooLong = {3, 5, 1},
                       places = {9, 0, 1, 2, 0, 1, 9, 9, 9, 9, 0, 9}, shifted = {1, 2, 3, 4};
  two[1] = 2;
  auto writeRows = [&](const char *name, std::vector<int64_t> &ids,
                       std::vector<std::pair<const char *, TensorView>> more) {
    std::vector<NamedTensor> named = {{"input_ids", TensorView::of(ids, {3, 4})}};
    for (auto &[tensor, view] : more)
      named.push_back({tensor, view});
    return writeSafetensors(folder + "/" + name, named);
  };
  Shape all = {3, 4};
  HADAL_TRY(writeRows("masked.safetensors", padded,
                      {{"attention_mask", TensorView::of(mask, all)},
                       {"position_ids", TensorView::of(places, all)}}));
  HADAL_TRY(writeRows("lengths.safetensors", shut, {{"lengths", TensorView::of(lengths)}}));
  HADAL_TRY(writeRows("hole.safetensors", shut, {{"attention_mask", TensorView::of(hole, all)}}));
  HADAL_TRY(writeRows("empty.safetensors", shut, {{"attention_mask", TensorView::of(none, all)}}));
  HADAL_TRY(writeRows("two.safetensors", padded, {{"attention_mask", TensorView::of(two, all)}}));
  HADAL_TRY(writeRows(
      "disagree.safetensors", padded,
      {{"attention_mask", TensorView::of(mask, all)}, {"lengths", TensorView::of(tooLong)}}));
  HADAL_TRY(
      writeRows("shifted.safetensors", shut, {{"position_ids", TensorView::of(shifted, {1, 4})}}));
  HADAL_TRY(
      writeRows("unknown.safetensors", shut, {{"token_type_ids", TensorView::of(none, all)}}));
  std::vector<int64_t> longRow(fake::maxPositions + 1, 3);
  HADAL_TRY(
      write("long.safetensors", "input_ids", TensorView::of(longRow, {1, fake::maxPositions + 1})));
  std::vector<int32_t> routes = {0, 1, 1, 2, 2, 3, 3, 0, 0, 2, 1, 3},
                       same = {0, 1, 1, 1, 2, 3, 3, 0, 0, 2, 1, 3};
  HADAL_TRY(write("routes.safetensors", "router.0.topk_ids", TensorView::of(routes, {6, 2})));
  HADAL_TRY(write("same.safetensors", "router.0.topk_ids", TensorView::of(same, {6, 2})));
  std::vector<float> logits(2 * fake::vocabulary, 0);
  logits[7] = 1;
  logits[fake::vocabulary + 9] = 1;
  return write("rows.safetensors", "logits", TensorView::of(logits, {2, fake::vocabulary}));
}

int main(int argc, char **argv) {
  Status written = argc > 1 ? writeAll(argv[1], argc > 2 ? argv[2] : nullptr)
                            : invalidArgument("wants a folder");
  if (!written.ok())
    std::fprintf(stderr, "WriteFakeModel: %s\n", written.error().message.c_str());
  return written.ok() ? 0 : 1;
}
