//===- Exec.td - programs and schedules as data -----------------------------===//

#ifndef HADAL_DIALECTS_EXEC_EXEC_TD
#define HADAL_DIALECTS_EXEC_EXEC_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Exec_Dialect : Dialect {
  let name = "exec";
  let cppNamespace = "::hadal::exec";
  let summary = "Programs and schedules as data, one to one with the module file";
  let description = [{
    A program is a list of commands over named buffers. Sizes are affine maps over the program's
    registers (`affine_map<()[s0, s1] -> (...)>`; several results mean their minimum). There is no
    other arithmetic and no control flow but `call`, `repeat` and `skip_if_zero`, so a program can
    be printed, compared, checked and replayed. Every op here is a table of
    runtime/module/Module.fbs.
  }];
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
  // exec.registers, exec.shape ... on functions that become programs and kernels.
  let hasOperationAttrVerify = 1;
  let hasRegionArgAttrVerify = 1;
  let hasRegionResultAttrVerify = 1;
}

def Exec_Buffer : TypeDef<Exec_Dialect, "Buffer"> {
  let mnemonic = "buffer";
  let summary = "memory that a command reads or writes";
}

def Exec_TensorMapAttr : AttrDef<Exec_Dialect, "TensorMap"> {
  let mnemonic = "tensor_map";
  let summary = "a part of a buffer that hardware copies as a box";
  let description = [{
        #exec.tensor_map<binding = 0, element = bf16, sizes = affine_map<()[s0] -> (64, s0)>,
                         stride_bytes = affine_map<()[s0] -> (128)>, box = [64, 128],
                         swizzle_bytes = 128>

    Of the kernel's buffer number `binding`, read as elements of `element`: `sizes`, the fastest
    dimension first; `stride_bytes` from one to the next in each dimension but the fastest; both
    over the kernel's scalars. `box`: what one copy takes, in the same order. `swizzle_bytes`: the
    span of the box's swizzle in shared memory, 0 for none.
    Source: CUDA driver API, cuTensorMapEncodeTiled.
    (C1) It has 1 to 5 sizes, a stride for each but the first, and a box of as many.  (C2) Sizes of
    the box are 1 to 256.  (C3) `swizzle_bytes` is 0, 32, 64 or 128.  (C4) The element is a number
    of whole bytes.  (C5) The maps are over equally many symbols, and have no dimensions.
  }];
  let parameters = (ins "int64_t":$binding, "::mlir::Type":$element, "::mlir::AffineMapAttr":$sizes,
                        "::mlir::AffineMapAttr":$stride_bytes, "::mlir::DenseI64ArrayAttr":$box,
                        DefaultValuedParameter<"int64_t", "0">:$swizzle_bytes);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def Exec_LaunchAttr : AttrDef<Exec_Dialect, "Launch"> {
  let mnemonic = "launch";
  let summary = "how a kernel on memory is launched";
  let description = [{
        func.func private @k(%x: memref<?x64xf32>, %y: memref<?x64xf32>, ...) attributes
          {exec.kernel, exec.launch = #exec.launch<tasks = affine_map<()[s0] -> (s0)>,
                                                   access = [0, 1]>}

        #exec.launch<tasks = affine_map<()[s0] -> (s0 ceildiv 128)>, access = [0, 0, 1],
                     tier = "tensor", threads = 384, shared_bytes = 131072,
                     tensor_maps = [#exec.tensor_map<...>, ...]>

    A target says so of each kernel that it lowers. `tasks`: how many there are, the least of the
    map's results, over the kernel's scalars: the dynamic sizes of its buffers, in order. `access`:
    what it does with each buffer (Access of runtime/module/Module.fbs: 0 reads, 1 writes all of it,
    2 writes a part, 3 reads and writes).

    Without a `tier` threads of a CPU share the tasks out, and `scratch_bytes` is memory of its own
    for each of them. With one a launch is a grid of blocks of `threads` threads. `serial`: a task
    is a thread, and `scratch_bytes` are each thread's. `rows` and `tensor`: a task is a block, and
    `scratch_bytes` are each block's. `cluster` blocks run together; `shared_bytes` are a block's;
    `persistent`: no more blocks than the device runs at a time, each of which takes several tasks;
    `loads_by_threads`: threads load what hardware copies in other kernels of its tier.

    (C1) `tasks` has no dimensions, and at least one result.  (C2) Each access is 0 to 3.
    (C3) `scratch_bytes` is 0 to 2^40.  (C4) It stands on a function with an argument for each
    access.  (C5) The tier is serial, rows or tensor, and without one there is nothing of a grid.
    (C6) `threads` is 1 to 1024, `cluster` 1 to 16, `shared_bytes` 0 to 232,448.  (C7) A tensor map
    is of one of the buffers, and over the kernel's scalars.
  }];
  let parameters = (ins "::mlir::AffineMapAttr":$tasks, "::mlir::DenseI64ArrayAttr":$access,
                        DefaultValuedParameter<"int64_t", "0">:$scratch_bytes,
                        StringRefParameter<"", "\"\"">:$tier,
                        DefaultValuedParameter<"int64_t", "0">:$threads,
                        DefaultValuedParameter<"int64_t", "1">:$cluster,
                        DefaultValuedParameter<"int64_t", "0">:$shared_bytes,
                        OptionalParameter<"::mlir::ArrayAttr">:$tensor_maps,
                        DefaultValuedParameter<"bool", "false">:$persistent,
                        DefaultValuedParameter<"bool", "false">:$loads_by_threads);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
  let skipDefaultBuilders = 1;
  let builders = [AttrBuilder<(ins "::mlir::AffineMapAttr":$tasks,
                                   "::mlir::DenseI64ArrayAttr":$access,
                                   CArg<"int64_t", "0">:$scratch_bytes,
                                   CArg<"::llvm::StringRef", "\"\"">:$tier,
                                   CArg<"int64_t", "0">:$threads, CArg<"int64_t", "1">:$cluster,
                                   CArg<"int64_t", "0">:$shared_bytes,
                                   CArg<"::mlir::ArrayAttr", "{}">:$tensor_maps,
                                   CArg<"bool", "false">:$persistent,
                                   CArg<"bool", "false">:$loads_by_threads), [{
    return $_get($_ctxt, tasks, access, scratch_bytes, tier, threads, cluster, shared_bytes,
                 tensor_maps, persistent, loads_by_threads);
  }]>];
  let extraClassDeclaration = [{
    /// Whether a launch is a grid of blocks.
    bool isGrid() const { return !getTier().empty(); }
    /// Tasks of one block of the grid.
    int64_t tasksPerBlock() const { return getTier() == "serial" ? getThreads() : 1; }
  }];
}

def Exec_LayoutAttr : AttrDef<Exec_Dialect, "Layout"> {
  let mnemonic = "layout";
  let summary = "how a tensor lies in memory, where it does not lie as stored";
  let description = [{
        ml_program.global private mutable @w : tensor<6x8xf32>
          {exec.layout = #exec.layout<"cpu.panels", outputs = 16, inner = 2>}

    Without the attribute `exec.layout` a global, a kernel's argument or its result lies as stored:
    element after element, the last dimension first. `name` says what else it is: the target that
    gives it (passes/targets) describes it, and nobody else reads more into it than its size.
    That of all layouts: of dimension `n` (a weight's outputs) there are `outputs` or a multiple of
    them, of dimension `k` (what products with it sum over) `inner` or a multiple; by default these
    are the last two, [..., N, K]. What is missing is zero. The matrices of a stack lie one after
    the other. `parts` tensors of one shape may share memory, of which this is number `part`.

    In hand-written kernels `outputs` and `inner` may be left out: they are the target's, then.
    (C1) The name is not empty.  (C2) `outputs` and `inner` are 1 to 65,536, or both left out.  (C3)
    `n` and `k` differ, and are not negative, or both left out.  (C4) `part` is one of `parts`, at
    most 64.
  }];
  let parameters = (ins StringRefParameter<>:$name, DefaultValuedParameter<"int64_t", "0">:$outputs,
                        DefaultValuedParameter<"int64_t", "0">:$inner,
                        DefaultValuedParameter<"int64_t", "-1">:$n,
                        DefaultValuedParameter<"int64_t", "-1">:$k,
                        DefaultValuedParameter<"int64_t", "1">:$parts,
                        DefaultValuedParameter<"int64_t", "0">:$part);
  let assemblyFormat = [{
    `<` $name (`,` struct($outputs, $inner, $n, $k, $parts, $part)^)? `>`
  }];
  let genVerifyDecl = 1;
  let genMnemonicAlias = 1;
  let skipDefaultBuilders = 1;
  let builders = [AttrBuilder<(ins "::llvm::StringRef":$name, "int64_t":$outputs, "int64_t":$inner,
                                   CArg<"int64_t", "-1">:$n, CArg<"int64_t", "-1">:$k,
                                   CArg<"int64_t", "1">:$parts, CArg<"int64_t", "0">:$part), [{
    return $_get($_ctxt, name, outputs, inner, n, k, parts, part);
  }]>];
  let extraClassDeclaration = [{
    /// The dimensions of a tensor of this rank that `n` and `k` are.
    unsigned outputDim(unsigned rank) const { return getN() < 0 ? rank - 2 : getN(); }
    unsigned innerDim(unsigned rank) const { return getK() < 0 ? rank - 1 : getK(); }
    /// Elements of the memory of a tensor of this (static) shape, without the other parts.
    int64_t elements(::llvm::ArrayRef<int64_t> shape) const;
    /// What is not left out, by name.
    ::llvm::SmallVector<std::pair<::llvm::StringRef, int64_t>> numbers() const;
    /// Success if a tensor of this type can lie so: it has static sizes and these dimensions.
    ::llvm::LogicalResult holds(::llvm::function_ref<::mlir::InFlightDiagnostic()> error,
                                ::mlir::Type type) const;
  }];
}

def Exec_ChunkAttr : AttrDef<Exec_Dialect, "Chunk"> {
  let mnemonic = "chunk";
  let summary = "what a pipeline rank does of one micro-batch in one stage";
  let description = [{
        #exec.chunk<F0.3>   #exec.chunk<F0.3 paired>

    A letter, a direction and a micro-batch of the direction: F is forward, I the input gradient, W
    the weight gradient, B the whole backward, I and then W. `paired`: issued together with the
    chunk after it.
    Source: DeepSeek-V3, arXiv:2412.19437, section 3.2.1.
  }];
  let parameters = (ins "::hadal::exec::ChunkKind":$kind, "uint32_t":$direction,
                        "uint32_t":$micro_batch, DefaultValuedParameter<"bool", "false">:$paired);
  let hasCustomAssemblyFormat = 1;
}

class Exec_Op<string mnemonic, list<Trait> traits = []> : Op<Exec_Dialect, mnemonic, traits>;

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

def Exec_RelayoutOp : Exec_Op<"relayout", [Pure, AllTypesMatch<["source", "result"]>]> {
  let summary = "lay a tensor out for its reader";
  let description = [{
        #layout = #exec.layout<"cpu.packed", outputs = 16, inner = 2>
        %p = exec.relayout %w : tensor<6x8xbf16> as #layout

    The same tensor in memory of its own, where it lies as `layout` says; without it, as stored.
    --exec-assign-layouts puts it before products. Weights of a checkpoint are laid out once, by the
    program @pack; other tensors by a launch before what reads them. The kernel is this op after
    views and dequantizations: it takes what they read, then `into`, in place of which its result is
    written (`exec.in_place`; only this part where the layout has several), then scales.
    (C1) The layout, if any, holds a tensor of this type.
  }];
  let arguments = (ins AnyStaticShapeTensor:$source, OptionalAttr<Exec_LayoutAttr>:$layout);
  let results = (outs AnyStaticShapeTensor:$result);
  let builders = [OpBuilder<(ins "::mlir::Value":$source, "LayoutAttr":$layout), [{
    build($_builder, $_state, source.getType(), source, layout);
  }]>];
  let assemblyFormat = "$source attr-dict `:` type($source) (`as` $layout^)?";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Buffers of the module
//===----------------------------------------------------------------------===//

def Exec_ParameterOp : Exec_Op<"parameter", [Symbol]> {
  let summary = "a checkpoint tensor, or a stack of tensors of one shape";
  let description = [{
    `source` is the name in the checkpoint. With `count` > 1 it holds `{}` where the number of each
    tensor stands. `sharded`: expert-parallel rank e has the tensors e * count .. (e + 1) * count -
    1.
    (C1) `count` is positive.  (C2) The name holds `{}` exactly when `count` > 1 or it is `sharded`.
    (C3) The shape is static.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$source, TypeAttr:$type,
                       DefaultValuedAttr<I64Attr, "1">:$count, UnitAttr:$sharded);
  let assemblyFormat = [{
    $sym_name $source (`count` $count^)? (`sharded` $sharded^)? attr-dict `:` $type
  }];
  let hasVerifier = 1;
}

def Exec_WeightOp : Exec_Op<"weight", [Symbol]> {
  let summary = "memory that the program @pack fills once";
  let description = [{
    `layout` says how the elements lie; without it, as stored. Of a layout of several parts the
    memory holds all. (C1) `bytes` is positive.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, I64Attr:$bytes,
                       OptionalAttr<Exec_LayoutAttr>:$layout);
  let assemblyFormat = "$sym_name `bytes` $bytes (`layout` $layout^)? attr-dict";
  let hasVerifier = 1;
}

def Exec_StateOp : Exec_Op<"state", [Symbol]> {
  let summary = "memory that lives from run to run and that programs share";
  let description = [{
    `shape` is over the module's state registers (`exec.state_registers` on the module). A state
    with a `layout` has one size, the elements of its memory.
    (C1) `shape` has no dimensions, symbols only.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, AffineMapAttr:$shape, TypeAttr:$element,
                       OptionalAttr<Exec_LayoutAttr>:$layout);
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name, "::mlir::AffineMap":$shape,
                                 "::mlir::Type":$element)>];
  let assemblyFormat = "$sym_name $shape `of` $element (`layout` $layout^)? attr-dict";
  let hasVerifier = 1;
}

def Exec_ConstantOp : Exec_Op<"constant", [Symbol]> {
  let summary = "values fixed at compile time";
  let arguments = (ins SymbolNameAttr:$sym_name, ElementsAttr:$value);
  let assemblyFormat = "$sym_name $value attr-dict";
}

//===----------------------------------------------------------------------===//
// Orders
//===----------------------------------------------------------------------===//

def Exec_OrderOp : Exec_Op<"order", [HasParent<"::mlir::ModuleOp">]> {
  let summary = "in which order a pipeline rank does its chunks";
  let description = [{
        exec.order 1 [F0.0, F0.1 + B0.0, I0.1, W0.1]

    The items of pipeline rank `rank`; `+` joins a pair, two chunks that are issued together.
    `--exec-order-chunks` writes them, or a person; the module file holds them as they stand (table
    Order in runtime/module/Module.fbs). Whether all ranks come to their ends with their orders is
    for `hadal-inspect --verify` to say, which sees what the chunks send and receive.
    (C1) `rank` is not negative, and a rank has one order.
    (C2) Directions are 0 and 1.
    (C3) A pair is a forward and a whole backward chunk.
  }];
  let arguments = (ins I64Attr:$rank, TypedArrayAttrBase<Exec_ChunkAttr, "chunks">:$chunks);
  let assemblyFormat = "$rank custom<Chunks>($chunks) attr-dict";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// A program and its buffers
//===----------------------------------------------------------------------===//

def Exec_ProgramOp : Exec_Op<"program", [
    Symbol, IsolatedFromAbove, NoTerminator, SingleBlock, NoRegionArguments]> {
  let summary = "a list of commands";
  let description = [{
    `registers` names the integers that a run sets and that sizes are made of; a `repeat` has a
    register of its own.
    (C1) Register names are distinct.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrArrayAttr:$registers);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$sym_name `registers` $registers attr-dict-with-keyword $body";
  let hasVerifier = 1;
}

class Exec_BufferOp<string mnemonic> : Exec_Op<mnemonic, [HasParent<"ProgramOp">]> {
  let results = (outs Exec_Buffer:$buffer);
}

def Exec_ArgumentOp : Exec_BufferOp<"argument"> {
  let summary = "a named tensor that the caller binds";
  let description = [{
    (C1) `shape` has as many symbols as the program has registers, and no dimensions.
  }];
  let arguments = (ins StrAttr:$name, AffineMapAttr:$shape, TypeAttr:$element, UnitAttr:$output);
  let assemblyFormat = "(`output` $output^)? $name $shape `of` $element attr-dict";
  let hasVerifier = 1;
}

def Exec_RequireOp : Exec_Op<"require", [HasParent<"ProgramOp">]> {
  let summary = "what an argument must hold before the program may run";
  let description = [{
    Kernels take places and sizes from index tensors without a check; the runtime checks
    them first. `kind`: "values": all elements lie in [`least`, `below`). "distinct": and
    those from 0 on are all different. "offsets": they ascend from 0 to `below`. "groups": the
    groups of `offsets` that have rows, ascending, and then -1. "counts": pairs (rows, choices),
    none negative, the rows adding up to `below`. "present": `below` of them are 0 or more.
    (C1) `kind` is one of these.  (C2) `offsets` goes with "groups" alone.  (C3) Both maps are over
    the program's registers.
  }];
  let arguments = (ins StrAttr:$kind, Exec_Buffer:$buffer, AffineMapAttr:$least,
                       AffineMapAttr:$below, Optional<Exec_Buffer>:$offsets);
  let assemblyFormat = [{
    $kind $buffer `least` $least `below` $below (`offsets` $offsets^)? attr-dict
  }];
  let hasVerifier = 1;
}

def Exec_RequireSizeOp : Exec_Op<"require_size", [HasParent<"ProgramOp">]> {
  let summary = "sizes that must agree before the program may run";
  let description = [{
    `size` is `wanted`, or with `at_least` not below it. (C1) Both maps are over the program's
    registers.
  }];
  let arguments = (ins AffineMapAttr:$size, AffineMapAttr:$wanted, UnitAttr:$at_least);
  let assemblyFormat = "$size (`at_least` $at_least^):(`is`)? $wanted attr-dict";
  let hasVerifier = 1;
}

def Exec_TemporaryOp : Exec_BufferOp<"temporary"> {
  let summary = "memory of one run; temporaries of one slot share it";
  let description = [{
    Without `slot` the temporary has no place yet (`--exec-plan-memory` gives it one).
    (C1) `bytes` has one symbol a register and no dimensions.
  }];
  let arguments = (ins AffineMapAttr:$bytes, OptionalAttr<I64Attr>:$slot);
  let assemblyFormat = "`bytes` $bytes (`slot` $slot^)? attr-dict";
  let hasVerifier = 1;
}

def Exec_GetOp : Exec_BufferOp<"get"> {
  let summary = "a buffer of the module: parameter, weight, state or constant";
  let description = "(C1) The symbol names a parameter, weight, state or constant.";
  let arguments = (ins FlatSymbolRefAttr:$symbol);
  let assemblyFormat = "$symbol attr-dict";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Commands
//===----------------------------------------------------------------------===//

def Exec_LaunchOp : Exec_Op<"launch", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "run a kernel";
  let description = [{
    Binds buffers (from byte `offsets`, and for a stacked parameter its `elements`-th tensor) and
    passes `scalars`. The number of tasks is the kernel's own function of its scalars. `flops`
    counts multiplications and additions of matrix products. (C1) One element and one offset for
    each buffer, or none at all.  (C2) All maps are over the program's registers.  (C3) `kernel`
    names a function.
  }];
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<Exec_Buffer>:$buffers,
                       AffineMapArrayAttr:$scalars, OptionalAttr<AffineMapArrayAttr>:$elements,
                       OptionalAttr<AffineMapArrayAttr>:$offsets,
                       OptionalAttr<AffineMapAttr>:$flops, OptionalAttr<I64Attr>:$stream);
  let assemblyFormat = [{
    $kernel `(` $buffers `)` (`elements` $elements^)? (`offsets` $offsets^)? `scalars` $scalars
    (`flops` $flops^)? (`stream` $stream^)? attr-dict
  }];
  let hasVerifier = 1;
}

def Exec_CopyOp : Exec_Op<"copy"> {
  let summary = "copy bytes from one buffer to another";
  let description = "(C1) `bytes` is over the program's registers.";
  let arguments = (ins Exec_Buffer:$destination, Exec_Buffer:$source, AffineMapAttr:$bytes,
                       OptionalAttr<I64Attr>:$stream);
  let assemblyFormat = "$destination `from` $source `bytes` $bytes (`stream` $stream^)? attr-dict";
  let hasVerifier = 1;
}

class Exec_PeerOp<string mnemonic> : Exec_Op<mnemonic> {
  let arguments = (ins Exec_Buffer:$buffer, I64Attr:$stage, OptionalAttr<I64Attr>:$stream);
  let assemblyFormat = "$buffer `stage` $stage (`stream` $stream^)? attr-dict";
  let hasVerifier = 1;
}

def Exec_SendOp : Exec_PeerOp<"send"> {
  let summary = "send a value to the rank that holds another pipeline stage";
  let description = [{
    The rank that holds `stage` in the same direction, with the same coordinates otherwise.
    (C1) `stage` is not negative.
  }];
}

def Exec_ReceiveOp : Exec_PeerOp<"receive"> {
  let summary = "receive a value from the rank that holds another pipeline stage";
  let description = [{
    The rank that holds `stage` in the same direction, with the same coordinates otherwise.
    (C1) `stage` is not negative.
  }];
}

def Exec_ExchangeCountsOp : Exec_Op<"exchange_counts"> {
  let summary = "say how many rows will come, among expert-parallel ranks";
  let description = [{
    A rank with coordinate e is part e / `stride` % `parts`. Both buffers hold i32
    [parts][segments][2]: rows and choices for, and of, each part. Sets the registers `rows` and
    `choices` to the sums of what comes. Table ExchangeCounts in runtime/module/Module.fbs.
    (C1) `parts`, `segments` and `stride` are positive.  (C2) `rows` and `choices` are registers of
    the program.
  }];
  let arguments = (ins Exec_Buffer:$received, Exec_Buffer:$sent, I64Attr:$parts, I64Attr:$segments,
                       I64Attr:$stride, I64Attr:$rows, I64Attr:$choices,
                       OptionalAttr<I64Attr>:$stream);
  let assemblyFormat = [{
    $received `from` $sent `parts` $parts `segments` $segments `stride` $stride `rows` $rows
    `choices` $choices (`stream` $stream^)? attr-dict
  }];
  let hasVerifier = 1;
}

def Exec_ExchangeOp : Exec_Op<"exchange"> {
  let summary = "ragged exchange of rows among expert-parallel ranks";
  let description = [{
    Rows for part 0 stand first in `source`, then those for part 1 ...; likewise what comes in
    `destination`. Counts are those of an exchange_counts, which change places on the way back. With
    `capacity` more rows to or from one part are an error, never a dropped token.
    (C1) `parts`, `segments`, `stride` and `row_bytes` are positive.
  }];
  let arguments = (ins Exec_Buffer:$destination, Exec_Buffer:$source, Exec_Buffer:$send_counts,
                       Exec_Buffer:$receive_counts, I64Attr:$parts, I64Attr:$segments,
                       I64Attr:$stride, I64Attr:$row_bytes, OptionalAttr<I64Attr>:$capacity,
                       OptionalAttr<I64Attr>:$stream);
  let assemblyFormat = [{
    $destination `from` $source `counts` $send_counts `to` $receive_counts `parts` $parts
    `segments` $segments `stride` $stride `row_bytes` $row_bytes (`capacity` $capacity^)?
    (`stream` $stream^)? attr-dict
  }];
  let hasVerifier = 1;
}

def Exec_RecordOp : Exec_Op<"record"> {
  let summary = "mark a point of a stream";
  let description = "(C1) `event` is not negative.";
  let arguments = (ins I64Attr:$event, OptionalAttr<I64Attr>:$stream);
  let assemblyFormat = "$event (`stream` $stream^)? attr-dict";
  let hasVerifier = 1;
}

def Exec_WaitOp : Exec_Op<"wait"> {
  let summary = "hold a stream until a recorded point of another is reached";
  let description = "(C1) `event` is not negative.";
  let arguments = (ins I64Attr:$event, OptionalAttr<I64Attr>:$stream);
  let assemblyFormat = "$event (`stream` $stream^)? attr-dict";
  let hasVerifier = 1;
}

def Exec_CallOp : Exec_Op<"call"> {
  let summary = "run another program";
  let description = [{
    Binds its arguments in order and sets its registers. (C1) The symbol names a program.  (C2) One
    map a register and one buffer an argument of that program.
  }];
  let arguments = (ins FlatSymbolRefAttr:$program, Variadic<Exec_Buffer>:$buffers,
                       AffineMapArrayAttr:$registers);
  let assemblyFormat = "$program `(` $buffers `)` `registers` $registers attr-dict";
  let hasVerifier = 1;
}

def Exec_RepeatOp : Exec_Op<"repeat", [NoTerminator, SingleBlock, NoRegionArguments]> {
  let summary = "run the body `count` times with a register counting from 0";
  let description = "(C1) `register` is a register of the program.";
  let arguments = (ins I64Attr:$reg, AffineMapAttr:$count);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$reg `count` $count attr-dict-with-keyword $body";
  let hasVerifier = 1;
}

def Exec_SkipIfZeroOp : Exec_Op<"skip_if_zero", [NoTerminator, SingleBlock, NoRegionArguments]> {
  let summary = "run the body unless `value` is zero";
  let description = "(C1) `value` is over the program's registers.";
  let arguments = (ins AffineMapAttr:$value);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$value attr-dict-with-keyword $body";
  let hasVerifier = 1;
}

#endif // HADAL_DIALECTS_EXEC_EXEC_TD
