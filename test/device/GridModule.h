//===- GridModule.h - a module for a GPU, put together by hand ----------===//

#ifndef HADAL_TEST_DEVICE_GRIDMODULE_H
#define HADAL_TEST_DEVICE_GRIDMODULE_H

#include "runtime/module/Module.h"
#include "test/tools/ModuleWriter.h"

namespace hadal::test {

/// What a test says of the one kernel of its module.
struct GridSettings {
  std::string symbol = "check_add", tier = "serial";
  std::string code = "ptx"; ///< PTX; of the family "emulated" a shared object
  std::string cubin;        ///< empty: none
  std::string family = "nvptx";
  uint32_t threads = 32, cluster = 1, sharedBytes = 0, tasksPerBlock = 32;
  uint64_t scratchBytes = 0;
  bool persistent = false;
  /// Of binding 0, over the scalar: sizes {scalar, 7}, strides {rowBytes}.
  std::optional<int64_t> rowBytes;
};

/// A module for a GPU with the kernel of the checks, and a program "add" that launches it twice.
class GridWriter : fake::ModuleWriter {
public:
  std::vector<std::byte> write(const GridSettings &settings) {
    auto in = argument("in", fb::ElementType_I64, {fake::c(4)}),
         out = argument("out", fb::ElementType_I64, {fake::c(4)}, true);
    for (int launches = 0; launches < 2; ++launches)
      launch(settings.symbol.c_str(), {in, out}, fake::c(4), {fake::c(1)}, {},
             {fb::Access_Read, fb::Access_Update});
    program("add", {});
    std::vector<Offset<fb::Code>> codes = {
        codeOf(settings, settings.code,
               settings.family == "emulated" ? fb::CodeFormat_SharedObject : fb::CodeFormat_Ptx)};
    if (!settings.cubin.empty())
      codes.push_back(codeOf(settings, settings.cubin, fb::CodeFormat_Cubin));
    kernels.clear();
    for (int launches = 0; launches < 2; ++launches)
      kernels.push_back(fb::CreateKernelDirect(
          b, settings.symbol.c_str(), 0, 2, 1, nullptr, fb::KernelShape_Grid,
          grid(settings).Union(), settings.tier.c_str(), settings.cubin.empty() ? -1 : 1));
    std::vector<Offset<fb::Parameter>> parameters;
    std::vector<Offset<fb::Weight>> weights;
    std::vector<Offset<fb::Constant>> constants;
    std::vector<Offset<fb::State>> states;
    std::vector<Offset<flatbuffers::String>> registers;
    b.Finish(fb::CreateModuleDirect(b, "by hand", &codes, &kernels, &parameters, &weights,
                                    &constants, &registers, &states, &programs));
    return moduleBytes(std::as_bytes(std::span(b.GetBufferPointer(), b.GetSize())));
  }

private:
  template <typename T> using Offset = flatbuffers::Offset<T>;

  Offset<fb::Code> codeOf(const GridSettings &settings, const std::string &text,
                          fb::CodeFormat format) {
    std::vector<uint8_t> bytes(text.begin(), text.end());
    std::vector<Offset<flatbuffers::String>> features;
    if (settings.family == "nvptx")
      features = {b.CreateString("ptx88")};
    auto target = fb::CreateTargetDirect(b, settings.family.c_str(), "sm_90a", &features);
    return fb::CreateCodeDirect(b, target, format, &bytes);
  }

  Offset<fb::Grid> grid(const GridSettings &settings) {
    std::vector<Offset<fb::TensorMap>> maps;
    if (settings.rowBytes) {
      std::vector<Offset<fb::Expr>> sizes = {expr(fake::r(0)), expr(fake::c(7))},
                                    strides = {expr(fake::c(*settings.rowBytes))};
      std::vector<uint32_t> box = {64, 2};
      maps.push_back(fb::CreateTensorMapDirect(b, 0, fb::ElementType_BF16, &sizes, &strides, &box,
                                               /*swizzle_bytes=*/128));
    }
    return fb::CreateGridDirect(b, settings.threads, settings.cluster, settings.sharedBytes, &maps,
                                settings.scratchBytes, settings.tasksPerBlock, settings.persistent);
  }
};

} // namespace hadal::test

#endif // HADAL_TEST_DEVICE_GRIDMODULE_H
