//===- FakeModel.cpp - a model that can be checked by hand --------------===//

#include "test/tools/FakeModel.h"

#include "test/tools/ModuleWriter.h"

#include <span>

using namespace hadal;
using namespace hadal::fake;

namespace {

class Writer : ModuleWriter {
public:
  std::vector<std::byte> write();

private:
  void prefill(const char *name, bool inspect, bool routed);
  void decode();
};

constexpr Place cache = {fb::Space_State, 0}, scale = {fb::Space_Weight, 0};
constexpr auto I32 = fb::ElementType_I32, F32 = fb::ElementType_F32;
constexpr int64_t V = fake::vocabulary;

void Writer::prefill(const char *name, bool inspect, bool routed) {
  Size tokens = r(0), rows = r(3);
  Place ids = argument("token_ids", I32, {tokens}),
        positions = argument("positions", I32, {tokens});
  Place offsets = argument("offsets", I32, {r(1, 1)}), slots = argument("slots", I32, {tokens});
  Place rowIds = argument("logit_row_ids", I32, {rows}),
        logits = argument("logits", F32, {rows, c(V)}, true);
  launch("fake_append", {ids, slots, cache}, tokens);
  launch("fake_prefill", {rowIds, offsets, slots, cache, scale, logits}, rows, {r(1)}, r(2));
  if (inspect) {
    launch("fake_hidden", {ids, positions, argument("hidden.0", F32, {tokens, c(2)}, true)},
           tokens);
    launch("fake_hidden", {positions, ids, argument("hidden.1", F32, {tokens, c(2)}, true)},
           tokens);
    Place chosen = argument("router.0.topk_ids", I32, {tokens, c(2)}, true);
    if (routed)
      launch("fake_obey", {argument("routes.0", I32, {tokens, c(2)}), chosen}, tokens);
    else
      launch("fake_choose", {ids, chosen}, tokens);
    launch("fake_hidden", {ids, ids, argument("router.0.topk_weights", F32, {tokens, c(2)}, true)},
           tokens);
    launch("fake_hidden",
           {positions, positions, argument("cache.0.ckv", F32, {tokens, c(2)}, true)}, tokens);
  }
  program(name, {"tokens", "sequences", "attended", "logit_rows"});
}

void Writer::decode() {
  Size tokens = r(0);
  Place ids = argument("token_ids", I32, {tokens}),
        positions = argument("positions", I32, {tokens});
  Place slots = argument("slots", I32, {tokens}),
        pages = argument("page_table", I32, {tokens, r(1)});
  Place logits = argument("logits", F32, {tokens, c(V)}, true);
  launch("fake_append", {ids, slots, cache}, tokens);
  launch("fake_decode", {pages, positions, cache, scale, logits}, tokens, {r(1)}, r(2));
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
  argument("top_k", I32, {rows});
  argument("top_p", F32, {rows});
  argument("min_p", F32, {rows});
  Place uniform = argument("uniform", F32, {rows});
  launch("fake_sample", {uniform, argument("token_ids", I32, {rows}, true)}, rows);
  program("sample", {"rows"});
  logits = argument("logits", F32, {rows, c(V)});
  Place targets = argument("targets", I32, {rows});
  launch("fake_nll", {logits, targets, argument("nll", F32, {rows}, true)}, rows);
  program("nll", {"rows"});

  std::vector<Offset<fb::Code>> codes = codesOf(HADAL_FAKE_KERNELS);
  std::vector<int64_t> one = {1}, moeLayers = {0}, eos = {fake::eosToken};
  std::vector<Offset<fb::Parameter>> parameters = {
      fb::CreateParameterDirect(b, "scale", F32, &one, 1)};
  std::vector<Offset<fb::Weight>> weights = {fb::CreateWeightDirect(b, "packed_scale", 64)};
  std::vector<Offset<fb::Constant>> constants;
  std::vector<Offset<fb::Expr>> stateShape = {expr(r(0)), expr(c(1))};
  std::vector<Offset<fb::State>> states = {fb::CreateStateDirect(b, "cache.0", F32, &stateShape)};
  std::vector<Offset<flatbuffers::String>> stateRegisters = {b.CreateString("cache_slots")};
  auto model = fb::CreateModelDirect(b, "deepseek_v3", V, 2, 1, 1, 1, fake::experts, 2, &moeLayers,
                                     fake::maxPositions, fake::pageTokens, 2, &eos, -1, 1, 1);
  b.Finish(fb::CreateModuleDirect(b, "FakeModel", &codes, &kernels, &parameters, &weights,
                                  &constants, &stateRegisters, &states, &programs, model));
  auto bytes = std::as_bytes(std::span(b.GetBufferPointer(), b.GetSize()));
  return {bytes.begin(), bytes.end()};
}

} // namespace

std::vector<std::byte> fake::modulePayload() { return Writer().write(); }
