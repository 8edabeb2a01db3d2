//===- Hopper.td - the few patterns that Hopper kernels are made of ---------===//

#ifndef HADAL_DIALECTS_HOPPER_HOPPER_TD
#define HADAL_DIALECTS_HOPPER_HOPPER_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/IR/OpBase.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Dialect/LLVMIR/LLVMOpBase.td"

def HopperDialect : Dialect {
  let name = "hopper";
  let cppNamespace = "::hadal::hopper";
  let summary = "Stages, warp roles, tile copies and asynchronous products of a Hopper kernel";
  let description = [{
    What a kernel for sm_90a says of its block: who does what, what is copied, what is waited for.
    Ops are used beside scf, arith, memref and vector in a kernel on memory; --hopper-to-nvvm makes
    instructions of them, --hopper-to-emulator calls of the emulated device
    (runtime/emulated/EmulatorCalls.h), both from the same ops.

    Blocks and threads have one dimension. Shared memory is addressed by i32 byte offsets from its
    first byte, which is 1024-byte aligned. A tile has rows of 128 bytes, one after the other;
    the 16-byte parts of a row are swizzled: part p of row r is at place p xor (r mod 8)
    (`swizzle`). Tiles begin at multiples of 1024 bytes.

    A synchronization (`synchronizationOf` in Hopper.h) with the unit attribute `hopper.dropped`
    becomes nothing: hadal-kernel-mutants drops one after the other.
    Source: PTX ISA 8.8, "Asynchronous warpgroup level matrix instructions", "mbarrier",
    "cp.async.bulk.tensor".
  }];
  let useDefaultTypePrinterParser = 1;
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

def Hopper_Pipeline : TypeDef<HopperDialect, "Pipeline"> {
  let mnemonic = "pipeline";
  let summary = "stages of shared memory with a full and an empty barrier each";
}

def Hopper_Pending : TypeDef<HopperDialect, "Pending"> {
  let mnemonic = "pending";
  let summary = "sums that tensor cores are still working on";
}

class Hopper_Op<string mnemonic, list<Trait> traits = []> : Op<HopperDialect, mnemonic, traits>;
class Hopper_Index<string mnemonic, string what> : Hopper_Op<mnemonic, [Pure]> {
  let summary = what;
  let results = (outs I32:$result);
  let assemblyFormat = "attr-dict";
}

def SharedValue
    : AnyTypeOf<[I8, I16, I32, I64, F32, FixedVectorOfRankAndType<[1], [I8, I16, I32, F32]>],
                "a number or a vector of them">;

//===----------------------------------------------------------------------===//
// Threads
//===----------------------------------------------------------------------===//

def ThreadIdOp : Hopper_Index<"thread_id", "this thread's number in its block">;
def BlockIdOp : Hopper_Index<"block_id", "this block's number in the launch">;
def BlockCountOp : Hopper_Index<"block_count", "how many blocks the launch has">;
def LaneIdOp : Hopper_Index<"lane_id", "this thread's number in its warp">;
def BlockRankOp : Hopper_Index<"block_rank", "this block's number in its cluster">;
def WarpIdOp : Hopper_Op<"warp_id"> {
  let summary = "this warp's number in its block, known to be the same in all lanes";
  let results = (outs I32:$result);
  let assemblyFormat = "attr-dict";
}

def ElectOp : Hopper_Op<"elect"> {
  let summary = "true in one lane of the warp";
  let description = [{
    All lanes of the warp execute it.

    ```mlir
    %one = hopper.elect
    ```
  }];
  let results = (outs I1:$result);
  let assemblyFormat = "attr-dict";
}

def ShuffleOp : Hopper_Op<"shuffle", [AllTypesMatch<["value", "result"]>]> {
  let summary = "a value of another lane of the warp";
  let description = [{
    `kind` "xor": of lane (this xor `lane`); "idx": of lane `lane`. All lanes of the warp execute
    it.
    (C1) `kind` is one of the two.

    ```mlir
    %other = hopper.shuffle "xor" %v, %sixteen : f32
    ```
  }];
  let arguments = (ins StrAttr:$kind, AnyTypeOf<[I32, F32]>:$value, I32:$lane);
  let results = (outs AnyTypeOf<[I32, F32]>:$result);
  let assemblyFormat = "$kind $value `,` $lane attr-dict `:` type($value)";
  let hasVerifier = 1;
}

def RoleOp : Hopper_Op<"role", [SingleBlock, NoTerminator]> {
  let summary = "what some warpgroups of a block do";
  let description = [{
    The threads of warpgroups first .. first + count - 1 run the body; it gets the warpgroup's
    number, from 0. With `registers` each of these threads has that many from here on, and with
    `fewer` it had more before; all threads of a warpgroup execute it then.
    (C1) `first` is not negative, and `count` at least 1.  (C2) `registers` is 24 to 256, a multiple
    of 8.  (C3) The body takes one i32.

    ```mlir
    hopper.role 0 count 2 registers 232 {
    ^bb0(%group: i32):
    }
    ```
  }];
  let arguments = (ins I32Attr:$first, I32Attr:$count, OptionalAttr<I32Attr>:$registers,
                       UnitAttr:$fewer);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $first `count` $count (`registers` $registers^)? (`fewer` $fewer^)? attr-dict-with-keyword $body
  }];
  let hasVerifier = 1;
}

def BarrierOp : Hopper_Op<"barrier"> {
  let summary = "threads of a block wait for each other";
  let description = [{
    All threads of the block take part, or with `threads` that many, which name barrier `id`. What
    each wrote before it, all can read after it.
    (C1) `id` is 0 to 15.  (C2) `threads` is a multiple of 32 up to 1024.  (C3) A barrier other than
    0 says how many threads.

    ```mlir
    hopper.barrier 0
    hopper.barrier 1 threads 256
    ```
  }];
  let arguments = (ins I32Attr:$id, OptionalAttr<I32Attr>:$threads);
  let assemblyFormat = "$id (`threads` $threads^)? attr-dict";
  let hasVerifier = 1;
}

def ClusterBarrierOp : Hopper_Op<"cluster_barrier"> {
  let summary = "all threads of a cluster wait for each other";
  let assemblyFormat = "attr-dict";
}

//===----------------------------------------------------------------------===//
// Stages
//===----------------------------------------------------------------------===//

def PipelineOp : Hopper_Op<"pipeline", [Pure]> {
  let summary = "barriers of the stages of a pipeline";
  let description = [{
    `stages` pairs of mbarriers from byte `offset` of shared memory on, 16 bytes for each stage: of
    all stages the full ones, then the empty ones. A stage is full when `full` arrivals and the
    bytes that they expect are there, and empty after `empty` arrivals. A wait names the phase whose
    end it waits for, 0 and 1 in turn. Threads that fill begin with the empty barrier's phase 1,
    which counts as ended at the start; threads that read begin with the full one's phase 0.
    (C1) `offset` is a multiple of 8, not negative.  (C2) `stages` is 1 to 32.  (C3) `full` and
    `empty` are 1 to 1,048,575.

    ```mlir
    %p = hopper.pipeline offset 131072 stages 4 full 129 empty 8
    ```
  }];
  let arguments = (ins I32Attr:$offset, I32Attr:$stages, I32Attr:$full, I32Attr:$empty);
  let results = (outs Hopper_Pipeline:$result);
  let assemblyFormat = "`offset` $offset `stages` $stages `full` $full `empty` $empty attr-dict";
  let hasVerifier = 1;
}

/// (C1) of all: the pipeline is the result of a hopper.pipeline.
class Hopper_StageOp<string mnemonic, list<Trait> traits = []> : Hopper_Op<mnemonic, traits> {
  let hasVerifier = 1;
}

def InitPipelineOp : Hopper_StageOp<"init_pipeline"> {
  let summary = "one thread makes the barriers of a pipeline";
  let description = [{
    Others see them after the next barrier of the block (or of the cluster).
    (C1) The pipeline is the result of a hopper.pipeline.
  }];
  let arguments = (ins Hopper_Pipeline:$pipeline);
  let assemblyFormat = "$pipeline attr-dict";
}

def WaitOp : Hopper_StageOp<"wait"> {
  let summary = "wait until a stage is full, or empty";
  let description = [{
    (C1) The pipeline is the result of a hopper.pipeline.  (C2) `side` is "full" or "empty".

    ```mlir
    hopper.wait "full" %p[%stage], %phase
    ```
  }];
  let arguments = (ins StrAttr:$side, Hopper_Pipeline:$pipeline, I32:$stage, I32:$phase);
  let assemblyFormat = "$side $pipeline `[` $stage `]` `,` $phase attr-dict";
}

def ArriveOp : Hopper_StageOp<"arrive"> {
  let summary = "arrive at a stage's barrier, this block's or one of its cluster";
  let description = [{
    Says that this thread has written (full) or read (empty) its part. With `at`, at the barrier of
    that block of the cluster.
    (C1) The pipeline is the result of a hopper.pipeline.  (C2) `side` is "full" or "empty".

    ```mlir
    hopper.arrive "empty" %p[%stage]
    hopper.arrive "empty" %p[%stage] at %rank
    ```
  }];
  let arguments = (ins StrAttr:$side, Hopper_Pipeline:$pipeline, I32:$stage, Optional<I32>:$at);
  let assemblyFormat = "$side $pipeline `[` $stage `]` (`at` $at^)? attr-dict";
}

def ExpectOp : Hopper_StageOp<"expect"> {
  let summary = "arrive at a stage's full barrier, which waits for that many more bytes";
  let description = [{
    (C1) The pipeline is the result of a hopper.pipeline.  (C2) `bytes` is 1 to 1,048,575.

    ```mlir
    hopper.expect %p[%stage] bytes 32768
    ```
  }];
  let arguments = (ins Hopper_Pipeline:$pipeline, I32:$stage, I32Attr:$bytes);
  let assemblyFormat = "$pipeline `[` $stage `]` `bytes` $bytes attr-dict";
}

def AdvanceOp : Hopper_StageOp<"advance"> {
  let summary = "the stage after this one, and its phase";
  let description = [{
    After the last stage comes the first one, in the other phase.
    (C1) The pipeline is the result of a hopper.pipeline.

    ```mlir
    %stage1, %phase1 = hopper.advance %p[%stage], %phase
    ```
  }];
  let arguments = (ins Hopper_Pipeline:$pipeline, I32:$stage, I32:$phase);
  let results = (outs I32:$nextStage, I32:$nextPhase);
  let assemblyFormat = "$pipeline `[` $stage `]` `,` $phase attr-dict";
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

def LoadTileOp : Hopper_StageOp<"load_tile", [AttrSizedOperandSegments]> {
  let summary = "copy a box of a tensor to shared memory, asynchronously";
  let description = [{
    One thread asks for the box of tensor map `map` that begins at `at` (the innermost dimension
    first), to byte `offset` of shared memory. Its bytes count for the full barrier of `stage`. What
    is outside of the tensor arrives as zeros. With `multicast`, a mask of blocks of the cluster,
    the box and its bytes arrive at the same offsets of each of them.
    (C1) The pipeline is the result of a hopper.pipeline.  (C2) There are 1 to 5 coordinates.

    ```mlir
    hopper.load_tile %map[%k, %n] into %offset, %p[%stage]
    hopper.load_tile %map[%k, %n] into %offset, %p[%stage] multicast %mask
    ```
  }];
  let arguments = (ins LLVM_AnyPointer:$map, Variadic<I32>:$at, I32:$offset,
                       Hopper_Pipeline:$pipeline, I32:$stage, Optional<I16>:$multicast);
  let assemblyFormat = [{
    $map `[` $at `]` `into` $offset `,` $pipeline `[` $stage `]` (`multicast` $multicast^)?
    attr-dict `:` type($map)
  }];
}

def StoreTileOp : Hopper_Op<"store_tile"> {
  let summary = "copy a box from shared memory to a tensor, asynchronously";
  let description = [{
    One thread asks for it, after a `fence_async` and a barrier where others wrote the box. What is
    outside of the tensor is left out.
    (C1) There are 1 to 5 coordinates.

    ```mlir
    hopper.store_tile %offset into %map[%n, %m]
    ```
  }];
  let arguments = (ins I32:$offset, LLVM_AnyPointer:$map, Variadic<I32>:$at);
  let assemblyFormat = "$offset `into` $map `[` $at `]` attr-dict `:` type($map)";
  let hasVerifier = 1;
}

def CommitStoresOp : Hopper_Op<"commit_stores"> {
  let summary = "this thread's stores of tiles since the last time become a group";
  let assemblyFormat = "attr-dict";
}

def WaitStoresOp : Hopper_Op<"wait_stores"> {
  let summary = "wait until all but the last groups of this thread's stores are done";
  let description = [{
    With `read`, until shared memory has been read and may be written again.
    (C1) `pending` is not negative.

    ```mlir
    hopper.wait_stores 0 read
    ```
  }];
  let arguments = (ins I32Attr:$pending, UnitAttr:$read);
  let assemblyFormat = "$pending (`read` $read^)? attr-dict";
  let hasVerifier = 1;
}

def SwizzleOp : Hopper_Op<"swizzle", [Pure]> {
  let summary = "where a byte of a tile is";
  let description = [{
    `offset` is where it would be without swizzle: bits 4 to 6 are flipped where bits 7 to 9 are
    set.
  }];
  let arguments = (ins I32:$offset);
  let results = (outs I32:$result);
  let assemblyFormat = "$offset attr-dict";
}

def LoadSharedOp : Hopper_Op<"load_shared"> {
  let summary = "read shared memory";
  let description = [{
    (C1) A value has 1, 2, 4, 8 or 16 bytes, of which `offset` is a multiple.

    ```mlir
    %v = hopper.load_shared %offset : vector<4xf32>
    ```
  }];
  let arguments = (ins I32:$offset);
  let results = (outs SharedValue:$result);
  let assemblyFormat = "$offset attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def StoreSharedOp : Hopper_Op<"store_shared"> {
  let summary = "write shared memory";
  let description = [{
    (C1) A value has 1, 2, 4, 8 or 16 bytes, of which `offset` is a multiple.

    ```mlir
    hopper.store_shared %v, %offset : f32
    ```
  }];
  let arguments = (ins SharedValue:$value, I32:$offset);
  let assemblyFormat = "$value `,` $offset attr-dict `:` type($value)";
  let hasVerifier = 1;
}

def FenceAsyncOp : Hopper_Op<"fence_async"> {
  let summary = "what this thread wrote is there for asynchronous copies and products";
  let assemblyFormat = "attr-dict";
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

def MmaOp : Hopper_Op<"mma"> {
  let summary = "the tensor cores begin a product of two tiles";
  let description = [{
    All threads of a warpgroup execute it, with equal offsets: sums [64, n] += A [64, k] B [n, k]^T,
    both with K in rows of 128 bytes in shared memory from `a` and `b` on, swizzled. Without `sums`
    they start from zero; they may be those of a product that is still pending. Each thread has n/2
    of the sums: number 4j + 2h + i belongs to row 16 w + l / 4 + 8 h and column 8 j + 2 (l mod 4) +
    i, w being the warp's number in its warpgroup, l the lane. What `sums` was is gone; nothing
    reads the result before `await` returns it.
    (C1) n is a multiple of 8 from 8 to 256.  (C2) `element` is bf16 or f8E4M3FN.  (C3) k elements
    are 32, 64, 96 or 128 bytes.  (C4) `sums` has n/2 numbers.  (C5) Pending sums are those of a
    hopper.mma of the same n and block, whose only reader this is.

    ```mlir
    %p = hopper.mma %a, %b, %sums : vector<64xf32> {element = bf16, n = 128 : i32, k = 64 : i32}
    %q = hopper.mma %c, %d, %p : !hopper.pending {element = bf16, n = 128 : i32, k = 64 : i32}
    ```
  }];
  let arguments = (ins I32:$a, I32:$b,
                       Optional<AnyTypeOf<[FixedVectorOfRankAndType<[1], [F32]>, Hopper_Pending],
                                          "sums of a thread">>:$sums,
                       TypeAttr:$element, I32Attr:$n, I32Attr:$k);
  let results = (outs Hopper_Pending:$result);
  let assemblyFormat = "$a `,` $b (`,` $sums^ `:` type($sums))? attr-dict";
  let hasVerifier = 1;
}

def AwaitOp : Hopper_Op<"await"> {
  let summary = "wait for a product, and take its sums";
  let description = [{
    Products that were begun later may go on.
    (C1) `pending` is a hopper.mma of the same block, whose only reader this is.  (C2) The result
    has n/2 numbers.

    ```mlir
    %sums = hopper.await %p : vector<64xf32>
    ```
  }];
  let arguments = (ins Hopper_Pending:$pending);
  let results = (outs FixedVectorOfRankAndType<[1], [F32]>:$result);
  let assemblyFormat = "$pending attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def PromoteOp : Hopper_Op<"promote", [Pure, AllTypesMatch<["part", "sums", "result"]>]> {
  let summary = "add a part of the sums with its scales";
  let description = [{
    sum = fma(part, scale, sum), one for each number of a `mma`; `upper` is the scale of rows l / 4,
    `lower` of those 8 further down.
    Source: DeepSeek-V3, arXiv:2412.19437, section 3.3.2 (promotion to CUDA cores).
    (C1) A multiple of 4 numbers.

    ```mlir
    %next = hopper.promote %part, %sums, %upper, %lower : vector<64xf32>
    ```
  }];
  let arguments = (ins FixedVectorOfRankAndType<[1], [F32]>:$part,
                       FixedVectorOfRankAndType<[1], [F32]>:$sums, F32:$upper, F32:$lower);
  let results = (outs FixedVectorOfRankAndType<[1], [F32]>:$result);
  let assemblyFormat = "$part `,` $sums `,` $upper `,` $lower attr-dict `:` type($part)";
  let hasVerifier = 1;
}

#endif // HADAL_DIALECTS_HOPPER_HOPPER_TD
