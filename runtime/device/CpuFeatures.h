//===- CpuFeatures.h - what this CPU offers -----------------------------===//

#ifndef HADAL_RUNTIME_DEVICE_CPUFEATURES_H
#define HADAL_RUNTIME_DEVICE_CPUFEATURES_H

#include <string>
#include <string_view>
#include <vector>

namespace hadal {

/// Features by LLVM's names ("avx2", "avx512f", "sse4.1"; on AArch64 "neon", "dotprod", ...),
/// ascending. Vector extensions are listed only when the operating system saves their registers.
const std::vector<std::string> &cpuFeatures();

/// The first part of this machine's triple: "x86_64" or "aarch64".
std::string_view cpuArchitecture();

} // namespace hadal

#endif // HADAL_RUNTIME_DEVICE_CPUFEATURES_H
