//===- FakeModel.cpp - a model that can be checked by hand --------------===//

#include "test/tools/FakeModel.h"

#include "runtime/module/Module_generated.h"

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

using namespace hadal;
using flatbuffers::Offset;

namespace {

/// A size: a constant, or a register plus a constant.
struct Size {
  int64_t constant = 0;
  int reg = -1;
};
Size r(int reg, int64_t plus = 0) { return {plus, reg}; }
Size c(int64_t value) { return {value, -1}; }

struct Place {
  fb::Space space;
  uint32_t index;
};

class Writer {
public:
  std::vector<std::byte> write();

private:
  Offset<fb::Expr> expr(Size size) {
    std::vector<int64_t> code = {0, size.constant};
    if (size.reg >= 0)
      code = {1, size.reg, 0, size.constant, 2, 0};
    return fb::CreateExpr(b, b.CreateVector(code));
  }
  Offset<flatbuffers::Vector<Offset<fb::Expr>>> exprs(const std::vector<Size> &sizes) {
    std::vector<Offset<fb::Expr>> all;
    for (Size size : sizes)
      all.push_back(expr(size));
    return b.CreateVector(all);
  }

  /// Adds an argument to the program at hand.
  Place argument(const std::string &name, fb::ElementType element, std::vector<Size> shape, bool output = false) {
    auto text = b.CreateString(name);
    arguments.push_back(fb::CreateArgument(b, text, element, exprs(shape), output));
    return {fb::Space_Argument, static_cast<uint32_t>(arguments.size() - 1)};
  }
  void launch(const char *symbol, const std::vector<Place> &places, Size tasks, const std::vector<Size> &scalars = {}) {
    std::vector<Offset<fb::Binding>> bindings;
    for (Place place : places) {
      auto element = expr(c(0)), offset = expr(c(0));
      bindings.push_back(fb::CreateBinding(b, place.space, place.index, element, offset));
    }
    uint32_t kernel = static_cast<uint32_t>(kernels.size());
    kernels.push_back(fb::CreateKernelDirect(b, symbol, static_cast<uint32_t>(places.size()),
                                             static_cast<uint32_t>(scalars.size()), 0));
    auto bindingList = b.CreateVector(bindings);
    auto scalarList = exprs(scalars);
    auto taskCount = expr(tasks), flops = expr(tasks);
    auto action = fb::CreateLaunch(b, kernel, bindingList, scalarList, taskCount, flops).Union();
    commands.push_back(fb::CreateCommand(b, 0, fb::Action_Launch, action));
  }
  void program(const char *name, const std::vector<std::string> &registers) {
    auto text = b.CreateString(name);
    auto registerList = b.CreateVectorOfStrings(registers);
    auto argumentList = b.CreateVector(arguments);
    auto temporaries = b.CreateVector(std::vector<Offset<fb::Temporary>>());
    auto commandList = b.CreateVector(commands);
    programs.push_back(fb::CreateProgram(b, text, registerList, argumentList, temporaries, 0, commandList));
    arguments.clear();
    commands.clear();
  }
  void prefill(const char *name, bool inspect, bool routed);
  void decode();

  flatbuffers::FlatBufferBuilder b;
  std::vector<Offset<fb::Kernel>> kernels;
  std::vector<Offset<fb::Argument>> arguments;
  std::vector<Offset<fb::Command>> commands;
  std::vector<Offset<fb::Program>> programs;
};

constexpr Place cache = {fb::Space_State, 0}, scale = {fb::Space_Weight, 0};
constexpr auto I32 = fb::ElementType_I32, F32 = fb::ElementType_F32;
constexpr int64_t V = fake::vocabulary;

void Writer::prefill(const char *name, bool inspect, bool routed) {
  Size tokens = r(0), rows = r(3);
  Place ids = argument("token_ids", I32, {tokens}), positions = argument("positions", I32, {tokens});
  Place offsets = argument("offsets", I32, {r(1, 1)}), slots = argument("slots", I32, {tokens});
  Place rowIds = argument("logit_row_ids", I32, {rows}), logits = argument("logits", F32, {rows, c(V)}, true);
  launch("fake_append", {ids, slots, cache}, tokens);
  launch("fake_prefill", {rowIds, offsets, slots, cache, scale, logits}, rows, {r(1)});
  if (inspect) {
    launch("fake_hidden", {ids, positions, argument("hidden.0", F32, {tokens, c(2)}, true)}, tokens);
    launch("fake_hidden", {positions, ids, argument("hidden.1", F32, {tokens, c(2)}, true)}, tokens);
    Place chosen = argument("router.0.topk_ids", I32, {tokens, c(2)}, true);
    if (routed)
      launch("fake_obey", {argument("routes.0", I32, {tokens, c(2)}), chosen}, tokens);
    else
      launch("fake_choose", {ids, chosen}, tokens);
    launch("fake_hidden", {ids, ids, argument("router.0.topk_weights", F32, {tokens, c(2)}, true)}, tokens);
    launch("fake_hidden", {positions, positions, argument("cache.0.ckv", F32, {tokens, c(2)}, true)}, tokens);
  }
  program(name, {"tokens", "sequences", "attended", "logit_rows"});
}

void Writer::decode() {
  Size tokens = r(0);
  Place ids = argument("token_ids", I32, {tokens}), positions = argument("positions", I32, {tokens});
  Place slots = argument("slots", I32, {tokens}), pages = argument("page_table", I32, {tokens, r(1)});
  Place logits = argument("logits", F32, {tokens, c(V)}, true);
  launch("fake_append", {ids, slots, cache}, tokens);
  launch("fake_decode", {pages, positions, cache, scale, logits}, tokens, {r(1)});
  program("decode", {"tokens", "table_pages", "attended"});
}

std::vector<std::byte> Writer::write() {
  launch("fake_pack", {{fb::Space_Parameter, 0}, scale}, c(1));
  program("pack", {});
  prefill("prefill", false, false);
  prefill("inspect", true, false);
  prefill("inspect_routed", true, true);
  decode();
  Size rows = r(0);
  Place logits = argument("logits", F32, {rows, c(V)});
  launch("fake_argmax", {logits, argument("token_ids", I32, {rows}, true)}, rows);
  program("argmax", {"rows"});
  argument("logits", F32, {rows, c(V)});
  argument("temperature", F32, {rows});
  argument("top_p", F32, {rows});
  Place uniform = argument("uniform", F32, {rows});
  launch("fake_sample", {uniform, argument("token_ids", I32, {rows}, true)}, rows);
  program("sample", {"rows"});
  logits = argument("logits", F32, {rows, c(V)});
  Place targets = argument("targets", I32, {rows});
  launch("fake_nll", {logits, targets, argument("nll", F32, {rows}, true)}, rows);
  program("nll", {"rows"});

  std::ifstream file(HADAL_FAKE_KERNELS, std::ios::binary);
  std::vector<uint8_t> code((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
#ifdef __aarch64__
  const char *triple = "aarch64-unknown-linux-gnu";
#else
  const char *triple = "x86_64-unknown-linux-gnu";
#endif
  std::vector<Offset<flatbuffers::String>> features;
  auto target = fb::CreateTargetDirect(b, triple, "generic", &features);
  std::vector<int64_t> one = {1}, moeLayers = {0}, eos = {fake::eosToken};
  std::vector<Offset<fb::Parameter>> parameters = {fb::CreateParameterDirect(b, "scale", F32, &one, 1)};
  std::vector<Offset<fb::Weight>> weights = {fb::CreateWeightDirect(b, "packed_scale", 64)};
  std::vector<Offset<fb::Constant>> constants;
  std::vector<Offset<fb::Expr>> stateShape = {expr(r(0)), expr(c(1))};
  std::vector<Offset<fb::State>> states = {fb::CreateStateDirect(b, "cache.0", F32, &stateShape)};
  std::vector<Offset<flatbuffers::String>> stateRegisters = {b.CreateString("cache_slots")};
  auto model = fb::CreateModelDirect(b, "deepseek_v3", V, 2, 1, 1, 1, fake::experts, 2, &moeLayers, fake::maxPositions,
                                     fake::pageTokens, 2, &eos, -1, 1, 1);
  b.Finish(fb::CreateModuleDirect(b, "FakeModel", target, &kernels, &parameters, &weights, &constants, &stateRegisters,
                                  &states, &programs, model, &code));
  auto bytes = std::as_bytes(std::span(b.GetBufferPointer(), b.GetSize()));
  return {bytes.begin(), bytes.end()};
}

} // namespace

std::vector<std::byte> fake::modulePayload() { return Writer().write(); }
