//===- ParameterStoreTest.cpp - what a store holds ------------------------===//

#include "runtime/parameters/ParameterStore.h"

#include "runtime/device/CpuDevice.h"

#include <gtest/gtest.h>

using namespace hadal;

namespace {

// Who names the same parameter in the same layout and shard gets the same memory; others their own.
TEST(ParameterStore, OneCopyOfALayout) {
  CpuDevice device(1);
  ParameterStore store;
  ParameterKey panels{"w", "cpu.panels outputs=32"}, stored{"w", "as stored"}, shard = panels;
  shard.shard = 1;
  auto first = store.hold(device, panels, 256), second = store.hold(device, panels, 256);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ((*first)->address(), (*second)->address());
  auto third = store.hold(device, stored, 128), fourth = store.hold(device, shard, 256);
  ASSERT_TRUE(third.ok() && fourth.ok());
  EXPECT_NE((*first)->address(), (*third)->address());
  EXPECT_NE((*first)->address(), (*fourth)->address());
  store.setContent(stored, {"checkpoint 1", 1});
  store.setContent({"v", "as stored"}, {"checkpoint 1", 1}); // which is not held
  EXPECT_EQ(store.content(stored).origin, "checkpoint 1");
  EXPECT_EQ(store.content({"v", "as stored"}), ParameterContent());
  EXPECT_EQ(store.bytes(), 256u + 128u + 256u);
}

// Another size, or another device, is an error that names the parameter.
TEST(ParameterStore, Refusals) {
  CpuDevice device(1), other(1);
  ParameterStore store;
  ASSERT_TRUE(store.hold(device, {"w", "as stored"}, 64).ok());
  auto larger = store.hold(device, {"w", "as stored"}, 128);
  ASSERT_FALSE(larger.ok());
  EXPECT_EQ(larger.error().message, "w: wants 128 bytes as stored, the store has 64");
  auto elsewhere = store.hold(other, {"v", "as stored"}, 64);
  ASSERT_FALSE(elsewhere.ok());
  EXPECT_EQ(elsewhere.error().message, "v: lies on another device");
}

// A parameter's version counts its changes, whatever layouts it has.
TEST(ParameterStore, Versions) {
  ParameterStore store;
  EXPECT_EQ(store.version("w"), 0u);
  store.changed("w");
  store.changed("w");
  EXPECT_EQ(store.version("w"), 2u);
  EXPECT_EQ(store.version("v"), 0u);
}

// Who fills memory says whose values lie there; of a training module's states nobody does.
TEST(ParameterStore, Contents) {
  CpuDevice device(1);
  ParameterStore store, other;
  ParameterKey packed{"w", "cpu.packed outputs=16"}, state{"w", "cpu.panels outputs=32"};
  ASSERT_TRUE(store.hold(device, packed, 64).ok());
  ASSERT_TRUE(store.holdState(device, state, 64).ok());
  EXPECT_EQ(store.content(packed), ParameterContent());
  store.setContent(packed, {"checkpoint 1", 2});
  EXPECT_EQ(store.content(packed), (ParameterContent{"checkpoint 1", 2}));
  EXPECT_FALSE(store.isState(packed));
  EXPECT_TRUE(store.isState(state));
  EXPECT_NE(store.name(), other.name());
  // A module that trains does not take what another one reads.
  auto taken = store.holdState(device, packed, 64);
  ASSERT_FALSE(taken.ok());
  EXPECT_EQ(taken.error().message, "w: the store has packed weights there already");
  EXPECT_FALSE(store.isState(packed));
  EXPECT_TRUE(store.holdState(device, state, 64).ok());
}

// A layout's text tells layouts apart by name and by each number.
TEST(ParameterStore, LayoutText) {
  flatbuffers::FlatBufferBuilder b;
  std::vector<flatbuffers::Offset<fb::LayoutNumber>> numbers = {
      fb::CreateLayoutNumberDirect(b, "outputs", 32), fb::CreateLayoutNumberDirect(b, "inner", 2)};
  b.Finish(fb::CreateLayoutDirect(b, "cpu.panels", &numbers));
  EXPECT_EQ(layoutText(flatbuffers::GetRoot<fb::Layout>(b.GetBufferPointer())),
            "cpu.panels outputs=32 inner=2");
  EXPECT_EQ(layoutText(nullptr), "as stored");
}

} // namespace
