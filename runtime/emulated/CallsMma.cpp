//===- CallsMma.cpp - wgmma ---------------------------------------------===//

#include "runtime/emulated/Cluster.h"
#include "runtime/emulated/EmulatorCalls.h"
#include "runtime/emulated/MmaSums.h"
#include "runtime/emulated/TensorMap.h"

#include <algorithm>
#include <bit>
#include <cstring>

using namespace hadal::emulated;

static constexpr uint32_t poisonBits = 0x7fa5a5a5; // a NaN that no arithmetic makes
static constexpr uint32_t productRows = 64, stepBytes = 32;

//===--- Operands in shared memory -----------------------------------------------------------===//

namespace {

/// A matrix descriptor, as PTX lays it out.
struct Descriptor {
  explicit Descriptor(uint64_t bits)
      : start(static_cast<uint32_t>(bits & 0x3fff) << 4),
        leading(static_cast<uint32_t>(bits >> 16 & 0x3fff) << 4),
        stride(static_cast<uint32_t>(bits >> 32 & 0x3fff) << 4),
        baseOffset(static_cast<uint32_t>(bits >> 49 & 7)),
        swizzle((4 - static_cast<uint32_t>(bits >> 62)) % 4) {}

  uint32_t start, leading, stride, baseOffset;
  uint32_t swizzle; ///< CUtensorMapSwizzle
};

/// 16 bytes of an operand: 8 or 16 elements along K of one row, or 8 rows of one k.
struct Chunk {
  uint32_t offset; ///< in shared memory
  uint32_t row, k; ///< of its first element; k in elements
};

} // namespace

/// The chunks of rows [0, rows) and one step of K. K innermost: groups of 8 rows `stride` apart;
/// without swizzle, 16 bytes of each of 8 rows lie together and the next 16 bytes `leading` apart.
/// Rows innermost: spans of as many rows as the swizzle is wide `leading` apart, groups of 8 k
/// `stride` apart.
static std::vector<Chunk> chunksOf(const Descriptor &descriptor, uint32_t rows,
                                   uint32_t elementBytes, bool rowsInnermost) {
  std::vector<Chunk> chunks;
  uint32_t span = 16u << descriptor.swizzle; // bytes of a row of the pattern
  auto add = [&](uint32_t at, uint32_t row, uint32_t k) {
    uint64_t offset = swizzled(descriptor.start + at, descriptor.swizzle);
    chunks.push_back({static_cast<uint32_t>(offset % (1u << 18)), row, k});
  };
  if (!rowsInnermost) {
    for (uint32_t row = 0; row < rows; ++row)
      for (uint32_t half = 0; half < 2; ++half)
        add(row / 8 * descriptor.stride + row % 8 * span +
                half * (descriptor.swizzle ? 16 : descriptor.leading),
            row, half * 16 / elementBytes);
    return chunks;
  }
  uint32_t perSpan = span / elementBytes;
  uint32_t alongRows = descriptor.swizzle ? descriptor.leading : descriptor.stride;
  uint32_t alongK = descriptor.swizzle ? descriptor.stride : descriptor.leading;
  for (uint32_t k = 0; k < stepBytes / elementBytes; ++k)
    for (uint32_t row = 0; row < rows; row += 8)
      add(row / perSpan * alongRows + row % perSpan * elementBytes + k / 8 * alongK + k % 8 * span,
          row, k);
  return chunks;
}

/// Reads an operand: A as [rows, k], B (`transposed`) as [k, rows].
static void readOperand(const std::vector<Chunk> &chunks, const char *shared, uint32_t rows,
                        uint32_t elementBytes, bool rowsInnermost, bool transposed, char *to) {
  uint32_t depth = stepBytes / elementBytes, count = 16 / elementBytes;
  for (const Chunk &chunk : chunks)
    for (uint32_t i = 0; i < count; ++i) {
      uint32_t row = chunk.row + (rowsInnermost ? i : 0), k = chunk.k + (rowsInnermost ? 0 : i);
      uint32_t at = transposed ? k * rows + row : row * depth + k;
      std::memcpy(to + at * elementBytes, shared + chunk.offset + i * elementBytes, elementBytes);
    }
}

/// A from the registers of the warpgroup's threads, as [64, k].
static void readRegisters(const std::vector<Thread *> &all, uint32_t elementBytes, char *to) {
  uint32_t perRegister = 4 / elementBytes;
  for (Thread *thread : all) {
    uint32_t lane = thread->lane(), warp = thread->index % warpgroupThreads / 32;
    for (uint32_t r = 0; r < 4; ++r) {
      uint32_t row = warp * 16 + lane / 4 + r % 2 * 8;
      uint32_t byte = (lane % 4 * perRegister + r / 2 * 4 * perRegister) * elementBytes;
      std::memcpy(to + row * stepBytes + byte, thread->mma.operands.aRegisters + r, 4);
    }
  }
}

//===--- Results in registers ----------------------------------------------------------------===//

/// Where float `i` of a thread's D lies in [64, n].
static uint32_t placeInD(uint32_t thread, uint32_t i, uint32_t n) {
  uint32_t row = thread / 32 * 16 + thread % 32 / 4 + i % 4 / 2 * 8;
  return row * n + i / 4 * 8 + thread % 4 * 2 + i % 2;
}

static void poison(float *d, uint32_t n) {
  for (uint32_t i = 0; i < n / 2; ++i)
    std::memcpy(d + i, &poisonBits, 4);
}

static bool isPoison(const float *d, uint32_t n) {
  for (uint32_t i = 0; i < n / 2; ++i)
    if (std::bit_cast<uint32_t>(d[i]) != poisonBits)
      return false;
  return true;
}

const MmaProduct *hadal::emulated::productInFlight(const MmaGroup &group, const Thread &thread) {
  for (const auto &product : group.inFlight)
    if (!product->returned[thread.index % warpgroupThreads])
      return product.get();
  return nullptr;
}

//===--- Products ----------------------------------------------------------------------------===//

static const char *refusal(const std::vector<Thread *> &all) {
  const MmaOperands &first = all[0]->mma.operands;
  for (const Thread *thread : all) {
    const MmaOperands &own = thread->mma.operands;
    if (own.element != first.element || own.a != first.a || own.b != first.b || own.n != first.n ||
        own.accumulate != first.accumulate || own.transpose != first.transpose ||
        !own.aRegisters != !first.aRegisters || thread->mma.committed != all[0]->mma.committed)
      return "whose threads do not agree on its operands or groups";
  }
  if (first.n % 8 || !first.n || first.n > 256)
    return "whose n is not a multiple of 8 up to 256";
  if (first.element != HADAL_EMU_BF16 && first.element != HADAL_EMU_E4M3)
    return "of elements that it does not know";
  if (first.transpose && first.element != HADAL_EMU_BF16)
    return "of E4M3 whose operands lie with their rows innermost";
  if (Descriptor(first.b).baseOffset || (!first.aRegisters && Descriptor(first.a).baseOffset))
    return "with a base offset, which the emulated device does not know";
  return nullptr;
}

/// The products in flight with this D; a new one takes what the registers hold.
static MmaProduct *findProduct(Cluster &here, MmaGroup &group, const std::vector<Thread *> &all) {
  const MmaOperands &first = all[0]->mma.operands;
  for (auto &product : group.inFlight) {
    bool same = false, whole = product->returned.none() && product->n == first.n;
    for (const Thread *thread : all) {
      bool equal = product->d[thread->index % warpgroupThreads] == thread->mma.operands.d;
      same |= equal;
      whole &= equal && isPoison(thread->mma.operands.d, first.n);
    }
    if (same && whole)
      return product.get();
    if (same) {
      here.fail(Failure::Poison,
                "the registers of the mma" + here.launch().place(product->at) +
                    " were written, or used with another shape, before its wait; by the mma" +
                    here.launch().place(first.at));
      return nullptr;
    }
  }
  for (const Thread *thread : all)
    if (!thread->mma.fenced) {
      here.fail(Failure::Race,
                "mma" + here.launch().place(first.at) +
                    " without wgmma.fence after its registers may have changed, in " +
                    here.name(thread->agent));
      return nullptr;
    }
  auto product = std::make_unique<MmaProduct>();
  product->n = first.n;
  product->values.resize(productRows * first.n);
  for (const Thread *thread : all) {
    uint32_t number = thread->index % warpgroupThreads;
    float *d = thread->mma.operands.d;
    product->d[number] = d;
    for (uint32_t i = 0; first.accumulate && i < first.n / 2; ++i)
      product->values[placeInD(number, i, first.n)] = d[i];
    poison(d, first.n);
  }
  group.inFlight.push_back(std::move(product));
  return group.inFlight.back().get();
}

/// Notes what the four warps read: each its 16 rows of A and all of B.
static bool noteReads(Cluster &here, MmaGroup &group, const std::vector<Thread *> &all,
                      const std::vector<Chunk> &a, const std::vector<Chunk> &b, int32_t at) {
  Epoch epoch = ++group.epoch;
  for (Thread *thread : all) {
    if (thread->lane())
      continue;
    View view = here.agentView(*thread, here.warpAgent(*thread), epoch);
    uint32_t first = thread->index % warpgroupThreads / 32 * 16;
    auto note = [&](const Chunk &chunk) {
      return here.noteShared(*thread->block, false, view, Proxy::Async, chunk.offset, 16, at);
    };
    for (const Chunk &chunk : a)
      if (chunk.row >= first && chunk.row < first + 16 && !note(chunk))
        return false;
    for (const Chunk &chunk : b)
      if (!note(chunk))
        return false;
  }
  return true;
}

static void multiply(Cluster &here, MmaGroup &group, const std::vector<Thread *> &all) {
  const MmaOperands operands = all[0]->mma.operands;
  if (const char *wrong = refusal(all))
    return here.fail(Failure::Trap, std::string("an mma ") + wrong + "," +
                                        here.launch().place(operands.at) + " by " +
                                        here.name(all[0]->agent));
  MmaProduct *product = findProduct(here, group, all);
  if (!product)
    return;
  product->group = all[0]->mma.committed;
  product->at = operands.at;
  uint32_t elementBytes = operands.element == HADAL_EMU_BF16 ? 2 : 1, n = operands.n;
  bool transposeA = operands.transpose & HADAL_EMU_TRANSPOSE_A;
  bool transposeB = operands.transpose & HADAL_EMU_TRANSPOSE_B;
  std::vector<Chunk> a, b = chunksOf(Descriptor(operands.b), n, elementBytes, transposeB);
  if (!operands.aRegisters)
    a = chunksOf(Descriptor(operands.a), productRows, elementBytes, transposeA);
  if (!noteReads(here, group, all, a, b, operands.at))
    return;
  group.groupEpochs.resize(product->group + 1, group.epoch);
  group.groupEpochs[product->group] = group.epoch;

  alignas(64) static thread_local char left[productRows * stepBytes], right[256 * stepBytes];
  const char *shared = here.block().shared;
  if (operands.aRegisters)
    readRegisters(all, elementBytes, left);
  else
    readOperand(a, shared, productRows, elementBytes, transposeA, false, left);
  readOperand(b, shared, n, elementBytes, transposeB, true, right);
  float *values = product->values.data();
  if (!operands.accumulate)
    std::fill(values, values + productRows * n, 0.0f);
  if (elementBytes == 2)
    addBf16(reinterpret_cast<const uint16_t *>(left), reinterpret_cast<const uint16_t *>(right),
            values, n);
  else
    addE4m3(reinterpret_cast<const uint8_t *>(left), reinterpret_cast<const uint8_t *>(right),
            values, n);
}

/// The warpgroup of the calling thread; null and failed where the block has no whole one there.
static MmaGroup *warpgroup(Cluster &here, const char *what, int32_t at) {
  Thread &self = here.self();
  uint32_t number = self.index / warpgroupThreads;
  if ((number + 1) * warpgroupThreads <= here.threadsPerBlock())
    return &self.block->mmaGroups[number];
  here.fail(Failure::Trap, std::string(what) + here.launch().place(at) +
                               " by a thread of no whole warpgroup, " + here.name(self.agent));
  return nullptr;
}

void hadal_emu_wgmma(int32_t element, uint64_t a, const uint32_t *aRegisters, uint64_t b, float *d,
                     uint32_t n, int32_t accumulate, int32_t transpose, int32_t at) {
  Cluster &here = Cluster::here();
  MmaGroup *group = warpgroup(here, "an mma", at);
  if (!group)
    return;
  here.self().mma.operands = {element, accumulate != 0, transpose, at, a, b, aRegisters, d, n};
  here.gather(group->gathering, "an mma of a warpgroup", at, warpgroupThreads,
              [&](const std::vector<Thread *> &all) { multiply(here, *group, all); });
}

void hadal_emu_wgmma_fence(int32_t) { Cluster::here().self().mma.fenced = true; }
void hadal_emu_wgmma_commit(int32_t) { ++Cluster::here().self().mma.committed; }

/// Gives the thread its results of the groups that are done.
static void giveResults(Cluster &here, MmaGroup &group, uint32_t pending) {
  Thread &self = here.self();
  uint32_t number = self.index % warpgroupThreads;
  for (auto &product : group.inFlight) {
    if (product->group + pending >= self.mma.committed || product->returned[number])
      continue;
    float *d = product->d[number];
    if (!isPoison(d, product->n))
      return here.fail(Failure::Poison,
                       "the registers of the mma" + here.launch().place(product->at) +
                           " were written before its wait, in " + here.name(self.agent));
    for (uint32_t i = 0; i < product->n / 2; ++i)
      d[i] = product->values[placeInD(number, i, product->n)];
    product->returned[number] = true;
  }
  std::erase_if(group.inFlight, [](const auto &product) { return product->returned.all(); });
}

void hadal_emu_wgmma_wait(uint32_t pending, int32_t at) {
  Cluster &here = Cluster::here();
  Thread &self = here.self();
  MmaGroup *group = warpgroup(here, "wgmma.wait_group", at);
  if (!group)
    return;
  // The warp's threads meet here: what each of them read before is done for all.
  here.gather(here.gathering("the wait of an mma", ~0u), "the wait of an mma", at, 32,
              [&](const std::vector<Thread *> &all) {
                size_t done = self.mma.committed > pending ? self.mma.committed - pending : 0;
                done = std::min(done, group->groupEpochs.size());
                here.joinAll(all, here.warpAgent(self), done ? group->groupEpochs[done - 1] : 0);
              });
  giveResults(here, *group, pending);
  self.mma.fenced = false;
}
