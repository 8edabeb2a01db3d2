//===- Implementation.h - what an executor holds ------------------------===//
//
// For the files of this folder alone; runtime/Executor.h is the interface.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_EXECUTOR_IMPLEMENTATION_H
#define HADAL_RUNTIME_EXECUTOR_IMPLEMENTATION_H

#include "runtime/Abi.h"
#include "runtime/Executor.h"
#include "runtime/LaunchPlaces.h"
#include "runtime/module/Dataflow.h"
#include "runtime/module/Expr.h"

#include <set>

namespace hadal {

/// What the files of this folder compute alike.
namespace execution {

/// A launch binds and passes at most this many; more is refused when the executor is made.
inline constexpr size_t maxBindings = 64;

/// An expression at the registers' present values.
inline Result<int64_t> value(const fb::Expr *expr, std::span<const int64_t> registers) {
  const auto *code = expr->code();
  if (code->size() == 2) { // a constant or a register, as most are
    int64_t operand = code->Get(1);
    return code->Get(0) == 0 ? operand : registers[static_cast<size_t>(operand)];
  }
  return evaluate({code->data(), code->size()}, registers);
}

inline Result<Shape> shapeOf(const flatbuffers::Vector<flatbuffers::Offset<fb::Expr>> &exprs,
                             std::span<const int64_t> registers) {
  Shape shape;
  for (const fb::Expr *e : exprs)
    shape.push_back(HADAL_TRY(value(e, registers)));
  return shape;
}

inline std::string describe(ElementType element, const Shape &shape) {
  return std::string(elementTypeName(element)) + " " + toString(shape);
}

template <typename Names> std::string listed(const Names &names) {
  std::string text;
  for (const auto *n : names)
    text += (text.empty() ? "" : ", ") + n->str();
  return text.empty() ? "none" : text;
}

constexpr uint64_t aligned(uint64_t bytes) {
  return (bytes + HADAL_ALIGNMENT - 1) / HADAL_ALIGNMENT * HADAL_ALIGNMENT;
}

} // namespace execution

struct Executor::Implementation {
  struct State {
    std::shared_ptr<DeviceBuffer> memory; ///< of a parameter, the store's
    Shape shape;
    DeviceAddress address() const { return memory ? memory->address() : nullptr; }
    uint64_t bytes() const { return memory ? memory->bytes() : 0; }
  };
  /// A program that is running: its registers and where its buffers are.
  struct Frame {
    const fb::Program *program;
    std::vector<int64_t> registers;
    std::vector<DeviceAddress> arguments;
    std::vector<uint64_t> argumentBytes;
    std::vector<DeviceAddress> temporaries;
    std::vector<uint64_t> temporaryBytes;
    std::set<uint32_t> recorded;
    uint32_t launches = 0; ///< of this run of the program
    // With the memory check:
    struct Guard {
      std::span<std::byte> zone;
      std::string of; ///< "temporary 3"
    };
    std::vector<Guard> guards;
    std::vector<uint32_t> owners; ///< by slot: the temporary that was written last, plus 1
    struct Shadow {               ///< an output in guarded memory
      DeviceBuffer memory;
      DeviceAddress goal;
      uint32_t argument;
    };
    std::vector<Shadow> shadows;
    uint32_t at = 0; ///< command
  };
  struct Place {
    DeviceAddress base;
    uint64_t bytes;
  };

  Implementation(const Module &module, Device &device, const WeightStore &weights)
      : module(module), device(device), weights(weights) {}

  const Module &module;
  Device &device;
  const WeightStore &weights;
  std::unique_ptr<KernelSet> kernels;
  std::unique_ptr<Stream> stream;
  std::vector<DeviceBuffer> constants;
  std::vector<int64_t> stateRegisters;
  std::vector<State> states;
  std::vector<DeviceBuffer> arenas; ///< one for each depth of calls
  RunStatistics totals, current;
  Trace *trace = nullptr;
  LaunchPlaces places; ///< with a trace
  RankPrograms *ranks = nullptr;
  std::function<Status(const fb::Launch &, std::span<const int64_t>)> observer;
  bool checksMemory = false;
  std::vector<ProgramFlow> flows; ///< with the memory check: of each program
  std::vector<std::byte> looked;  ///< what the memory check looks at, of a device's own memory

  Result<Place> place(const Frame &frame, const fb::Binding &binding);
  Result<Frame> frameOf(ProgramRun &run);
  bool isCopied(const ProgramRun &run, uint32_t argument) const;
  Status checkArguments(const ProgramRun &run, const Frame &frame);
  Status uploadArguments(const ProgramRun &run, const Frame &frame);
  Status downloadOutputs(const ProgramRun &run);
  /// Returns when everything that was issued has happened, after an error too: what the caller lent
  /// is the caller's again. The error is `status`, else the stream's.
  Status settle(const Status &status);
  Status layOut(Frame &frame, size_t depth);
  Status runCommands(Frame &frame,
                     const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> &commands,
                     size_t depth);
  Status launch(Frame &frame, const fb::Launch &launch);
  Status call(Frame &frame, const fb::Call &call, size_t depth);

  // The memory check.
  const ProgramFlow &flowOf(const fb::Program &program) const;
  Status guardSlots(Frame &frame, const std::vector<uint64_t> &offsets,
                    const std::vector<uint64_t> &slotBytes, size_t depth);
  Status shadowOutputs(Frame &frame);
  Status returnOutputs(Frame &frame);
  Status beforeAccess(Frame &frame, const fb::Binding &binding, fb::Access access,
                      const std::string &what);
  Status afterAccess(const Frame &frame, const std::string &what);
  Status poison(std::span<std::byte> memory);
  Status setGuard(std::span<std::byte> zone);
  Result<std::span<const std::byte>> look(std::span<const std::byte> memory);
  Result<bool> isUnwritten(std::span<const std::byte> memory);
};

} // namespace hadal

#endif // HADAL_RUNTIME_EXECUTOR_IMPLEMENTATION_H
