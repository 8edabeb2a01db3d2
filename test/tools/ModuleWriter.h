//===- ModuleWriter.h - modules put together by hand --------------------===//
//
// For fakes: programs of launches, one kernel for each launch, whose sizes are a constant or a
// register plus a constant.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TEST_TOOLS_MODULEWRITER_H
#define HADAL_TEST_TOOLS_MODULEWRITER_H

#include "runtime/device/CpuFeatures.h"
#include "runtime/module/Module_generated.h"

#include <cstdint>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

namespace hadal::fake {

using flatbuffers::Offset;

/// A size: a constant, or a register plus a constant.
struct Size {
  int64_t constant = 0;
  int reg = -1;
};
inline Size r(int reg, int64_t plus = 0) { return {plus, reg}; }
inline Size c(int64_t value) { return {value, -1}; }

struct Place {
  fb::Space space;
  uint32_t index;
};

/// The FlatBuffer of a module in the making.
class ModuleWriter {
protected:
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
  Place argument(const std::string &name, fb::ElementType element, std::vector<Size> shape,
                 bool output = false) {
    auto text = b.CreateString(name);
    arguments.push_back(fb::CreateArgument(b, text, element, exprs(shape), output));
    return {fb::Space_Argument, static_cast<uint32_t>(arguments.size() - 1)};
  }
  /// Adds a temporary with a slot of its own.
  Place temporary(int64_t bytes) {
    uint32_t number = static_cast<uint32_t>(temporaries.size());
    temporaries.push_back(fb::CreateTemporary(b, expr(c(bytes)), number));
    return {fb::Space_Temporary, number};
  }
  /// Counts one FLOP for each task where `flops` says nothing else. With `accesses`, one for each
  /// place, the kernel says what it does with them.
  void launch(const char *symbol, const std::vector<Place> &places, Size tasks,
              const std::vector<Size> &scalars = {}, std::optional<Size> flops = {},
              const std::vector<fb::Access> &accesses = {}) {
    std::vector<Offset<fb::Binding>> bindings;
    for (Place place : places) {
      auto element = expr(c(0)), offset = expr(c(0));
      bindings.push_back(fb::CreateBinding(b, place.space, place.index, element, offset));
    }
    uint32_t kernel = static_cast<uint32_t>(kernels.size());
    std::vector<Offset<fb::KernelBuffer>> buffers;
    for (fb::Access access : accesses)
      buffers.push_back(fb::CreateKernelBuffer(b, access, expr(c(0))));
    auto shape = fb::CreateCpuTasks(b, 0).Union();
    kernels.push_back(fb::CreateKernelDirect(b, symbol, 0, static_cast<uint32_t>(places.size()),
                                             static_cast<uint32_t>(scalars.size()), &buffers,
                                             fb::KernelShape_CpuTasks, shape));
    auto bindingList = b.CreateVector(bindings);
    auto scalarList = exprs(scalars);
    auto taskCount = expr(tasks), flopCount = expr(flops.value_or(tasks));
    auto action =
        fb::CreateLaunch(b, kernel, bindingList, scalarList, taskCount, flopCount).Union();
    commands.push_back(fb::CreateCommand(b, 0, fb::Action_Launch, action));
  }
  void program(const char *name, const std::vector<std::string> &registers) {
    auto text = b.CreateString(name);
    auto registerList = b.CreateVectorOfStrings(registers);
    auto argumentList = b.CreateVector(arguments);
    auto temporaryList = b.CreateVector(temporaries);
    auto commandList = b.CreateVector(commands);
    programs.push_back(fb::CreateProgram(b, text, registerList, argumentList, temporaryList,
                                         static_cast<uint32_t>(temporaries.size()), commandList));
    arguments.clear();
    temporaries.clear();
    commands.clear();
  }
  /// The shared object at `path`, for this machine; `format` is what the table says of it.
  std::vector<Offset<fb::Code>> codesOf(const char *path,
                                        fb::CodeFormat format = fb::CodeFormat_SharedObject) {
    std::ifstream file(path, std::ios::binary);
    std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file),
                               std::istreambuf_iterator<char>()};
    std::vector<Offset<flatbuffers::String>> features;
    auto target =
        fb::CreateTargetDirect(b, std::string(cpuArchitecture()).c_str(), "generic", &features);
    return {fb::CreateCodeDirect(b, target, format, &bytes)};
  }

  flatbuffers::FlatBufferBuilder b;
  std::vector<Offset<fb::Kernel>> kernels;
  std::vector<Offset<fb::Argument>> arguments;
  std::vector<Offset<fb::Temporary>> temporaries;
  std::vector<Offset<fb::Command>> commands;
  std::vector<Offset<fb::Program>> programs;
};

} // namespace hadal::fake

#endif // HADAL_TEST_TOOLS_MODULEWRITER_H
