//===- Ptxas.h - NVIDIA's assembler, where this machine has it --------------===//
//
// PTX runs as it is: a driver assembles it when a module is loaded. With ptxas that is done
// beforehand, and what ptxas says of each kernel (registers, spills, warnings) is known. It is a
// program of CUDA's toolkit, and of the PyPI package nvidia-cuda-nvcc.
//
//===------------------------------------------------------------------------===//

#ifndef HADAL_PASSES_TARGETS_HOPPER_PTXAS_H
#define HADAL_PASSES_TARGETS_HOPPER_PTXAS_H

#include "passes/targets/Target.h"

#include <optional>

namespace hadal {

struct Ptxas {
  std::string path;
  std::string version;      ///< "13.0.88"
  std::string disassembler; ///< path of nvdisasm; empty where there is none
};

/// `wanted`: "off"; a path; or "auto": HADAL_PTXAS, what .ci/build fetched, PATH, or CUDA's usual
/// folder, where one of them is recent enough. An error names the path that was wanted.
llvm::Expected<std::optional<Ptxas>> findPtxas(llvm::StringRef wanted);

/// Assembles the PTX of one kernel. An error names the kernel.
llvm::Expected<AssembledKernel> assemble(const Ptxas &ptxas, llvm::StringRef kernel,
                                         llvm::StringRef ptx);

/// The machine code of a cubin as text.
llvm::Expected<std::string> disassemble(const Ptxas &ptxas, llvm::StringRef cubin);

/// One string for a cache, and back.
std::string toBytes(const AssembledKernel &kernel);
llvm::Expected<AssembledKernel> assembledFromBytes(llvm::StringRef bytes);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_HOPPER_PTXAS_H
