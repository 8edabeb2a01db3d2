//===- WriteFakeTraining.cpp - files for train.sh and kill.sh -----------===//
//
//     WriteFakeTraining DIR    DIR/t.hadal, DIR/ckpt, DIR/in.safetensors and broken relatives,
//                              DIR/{a.txt,b.jsonl}
//
//===--------------------------------------------------------------------===//

#include "runtime/Safetensors.h"
#include "runtime/module/Module.h"
#include "runtime/tokenizer/ByteLevel.h"
#include "test/training/FakeTraining.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <filesystem>
#include <limits>

using namespace hadal;
using Json = nlohmann::json;

static std::string tokenizerJson() {
  Json vocabulary = Json::object(), added = Json::array();
  for (int byte = 0; byte < 256; ++byte) {
    std::string spelled;
    appendUtf8(spelled, byteCharacters()[byte]);
    vocabulary[spelled] = byte;
  }
  int id = 256;
  for (const char *text : {"<end>", "<|fim_begin|>", "<|fim_hole|>", "<|fim_end|>"})
    added.push_back({{"id", id++}, {"content", text}, {"special", true}, {"normalized", false}});
  Json byteLevel = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  return Json{{"added_tokens", added},
              {"pre_tokenizer", byteLevel},
              {"decoder", byteLevel},
              {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}}
      .dump();
}

static Status writeText(const std::string &path, const std::string &text) {
  return writeFile(path, std::as_bytes(std::span(text)));
}

static Status writeAll(const std::string &folder) {
  std::filesystem::create_directories(folder + "/ckpt");
  std::filesystem::create_directories(folder + "/broken");
  HADAL_TRY(writeModule(folder + "/t.hadal", fake::trainingPayload({})));
  fake::TrainingShape renamed;
  renamed.table = "lm_head.weight";
  HADAL_TRY(writeModule(folder + "/renamed.hadal", fake::trainingPayload(renamed)));
  fake::TrainingShape longer;
  longer.sequence = 16;
  HADAL_TRY(writeModule(folder + "/longer.hadal", fake::trainingPayload(longer)));
  HADAL_TRY(writeText(folder + "/ckpt/tokenizer.json", tokenizerJson()));
  std::vector<float> table(fake::trainVocabulary * 2, 0.25f), expert(6, 1.f), bias(3, 0.f),
      other = {1, 2};
  std::vector<uint16_t> halfExpert(6, 0x3F80); // 1 in bf16
  auto checkpoint = [&](const std::string &name) {
    std::vector<NamedTensor> tensors = {
        {"model.embed_tokens.weight", TensorView::of(table, {fake::trainVocabulary, 2})},
        {"model.layers.1.mlp.experts.0.up_proj.weight", TensorView::of(expert, {2, 3})},
        {"model.layers.1.mlp.experts.1.up_proj.weight",
         {ElementType::BF16, {2, 3}, halfExpert.data()}},
        {"model.layers.1.mlp.experts.2.up_proj.weight", TensorView::of(expert, {2, 3})},
        {"model.layers.1.mlp.gate.e_score_correction_bias", TensorView::of(bias)},
        {"model.layers.9.eh_proj.weight", TensorView::of(other)},
    };
    return writeSafetensors(folder + "/" + name + "/model.safetensors", tensors);
  };
  HADAL_TRY(checkpoint("ckpt"));
  expert[4] = std::numeric_limits<float>::infinity();
  HADAL_TRY(checkpoint("broken"));

  std::vector<int64_t> ids(4 * 8), labels(4 * 8, -100), big(4 * 8, 260);
  for (size_t i = 0; i < ids.size(); ++i)
    ids[i] = static_cast<int64_t>(i * 37 % 256);
  auto write = [&](const char *name, std::vector<NamedTensor> tensors) {
    return writeSafetensors(folder + "/" + name, tensors);
  };
  HADAL_TRY(write("in.safetensors", {{"input_ids", TensorView::of(ids, {4, 8})}}));
  HADAL_TRY(write("masked.safetensors", {{"input_ids", TensorView::of(ids, {4, 8})},
                                         {"labels", TensorView::of(labels, {4, 8})}}));
  HADAL_TRY(write("badlabels.safetensors", {{"input_ids", TensorView::of(ids, {4, 8})},
                                            {"labels", TensorView::of(big, {4, 8})}}));
  HADAL_TRY(write("shape.safetensors", {{"input_ids", TensorView::of(ids, {8, 4})}}));
  HADAL_TRY(write("big.safetensors", {{"input_ids", TensorView::of(big, {4, 8})}}));
  std::string text, lines;
  for (int i = 0; i < 400; ++i) {
    text += "line " + std::to_string(i * i) + "\n";
    lines += Json{{"text", "document " + std::to_string(i)}}.dump() + "\n";
  }
  HADAL_TRY(writeText(folder + "/a.txt", text));
  HADAL_TRY(writeText(folder + "/b.jsonl", lines));
  HADAL_TRY(writeText(folder + "/bad.jsonl", "{\"text\": \"x\"}\n\n{\"txt\": 1}\n"));
  HADAL_TRY(writeText(folder + "/short.txt", "abc"));
  return writeText(folder + "/empty.txt", "");
}

int main(int argc, char **argv) {
  Status written = argc == 2 ? writeAll(argv[1]) : invalidArgument("wants a folder");
  if (!written.ok())
    std::fprintf(stderr, "WriteFakeTraining: %s\n", written.error().message.c_str());
  return written.ok() ? 0 : 1;
}
