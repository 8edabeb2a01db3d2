//===- EmitRows.h - the emitters of the rows tier -------------------------===//
#ifndef HADAL_PASSES_TARGETS_HOPPER_EMITROWS_H
#define HADAL_PASSES_TARGETS_HOPPER_EMITROWS_H

#include "dialects/fp8/Fp8.h"
#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"
#include "dialects/sample/Sample.h"
#include "passes/targets/hopper/RowBlock.h"

namespace hadal {

/// Whether emitRowElements takes the kernel: ops of linalg that go over rows, and quantizers.
bool canLowerRowElements(mlir::func::FuncOp kernelOnTensors);
mlir::LogicalResult emitRowElements(Kernel &kernel);

// Ops that have a kernel to themselves; their tensors have memory.
void emitRow(Kernel &kernel, mla::RotationOp op);
void emitRow(Kernel &kernel, mla::RopeOp op);
void emitRow(Kernel &kernel, mla::CacheAppendOp op);
void emitRow(Kernel &kernel, mla::AppendCodesOp op);
void emitRow(Kernel &kernel, fp8::DequantizeOp op);
void emitRow(Kernel &kernel, moe::DispatchOp op);
void emitRow(Kernel &kernel, moe::CombineOp op);
void emitRow(Kernel &kernel, moe::RouteOp op);
void emitRow(Kernel &kernel, moe::PlanOp op);
void emitRow(Kernel &kernel, sample::ArgmaxOp op);
void emitRow(Kernel &kernel, sample::NllOp op);
void emitRow(Kernel &kernel, sample::LogProbabilitiesOp op);
void emitRow(Kernel &kernel, sample::PenalizeOp op);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_HOPPER_EMITROWS_H
