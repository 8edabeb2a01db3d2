//===- Compile.cpp - the whole way from a graph to what is written ------===//

#include "passes/module/Compile.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/job/Job.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "passes/Pipelines.h"
#include "passes/analysis/Memory.h"
#include "passes/autodiff/Saved.h"
#include "passes/module/CompileCache.h"
#include "passes/module/EmitModule.h"
#include "passes/quantize/PrecisionTable.h"
#include "passes/targets/Target.h"
#include "runtime/File.h"
#include "runtime/module/Module.h"
#include "runtime/schedule/Schedule.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

#include <cstdio>

using namespace mlir;
using namespace hadal;

static llvm::Error toError(Status status) {
  return status ? llvm::Error::success() : llvm::createStringError(status.error().message);
}

static llvm::Error writeText(const std::string &text, const std::string &path) {
  if (path.empty()) {
    std::fwrite(text.data(), 1, text.size(),
                stdout); // the tool looks at its end whether all could be written
    return llvm::Error::success();
  }
  return toError(writeFile(path, {reinterpret_cast<const std::byte *>(text.data()), text.size()}));
}

static std::string print(ModuleOp module, bool locations = false) {
  std::string text;
  llvm::raw_string_ostream out(text);
  OpPrintingFlags flags;
  flags.useLocalScope(false);
  if (locations)
    flags.enableDebugInfo();
  module.print(out, flags);
  out << "\n";
  return text;
}

/// What the module says of its job goes together; each attribute for itself is verified.
static LogicalResult checkJob(ModuleOp module) {
  bool trains = bool(job::trainingOf(module));
  if (trains && !module->hasAttr(job::kTrainablesAttr))
    return module.emitError() << "wants " << job::kTrainablesAttr;
  job::RanksAttr ranks = job::ranksOf(module);
  if (!ranks)
    return success();
  job::RankOptions said = ranks.getOptions();
  auto wrong = [&] { return module.emitError() << job::kRanksAttr << ' '; };
  if (said.count() == 1)
    return wrong() << "wants more than one rank";
  int64_t stages = ranks.getStages().size(), wanted = trains ? said.stages() : 0;
  if (stages != wanted)
    return wrong() << "wants " << wanted << " stages, got " << stages;
  if (!trains && said.count() != said.ep)
    return wrong() << "wants pp and dp of 1 for inference, got " << said.pp << " and " << said.dp;
  return success();
}

/// Writes into the module what the command says of how it is compiled.
static void settle(ModuleOp module, const job::Settings &said) {
  job::SettingsAttr known = job::settingsOf(module);
  job::TrainingAttr training = job::trainingOf(module);
  bool isFp8 = training && training.getPrecision() == "fp8", isSaid = job::hasSettings(module);
  std::string moments = isFp8 && !isSaid ? "bf16" : known.getMoments().str();
  auto settings = job::SettingsAttr::get(module.getContext(), said.moments.value_or(moments),
                                         said.products.value_or(known.getProducts().str()),
                                         said.recompute.value_or(known.getRecompute().str()),
                                         said.average.value_or(known.getAverage()),
                                         said.fp8.value_or(known.getFp8().str()),
                                         said.cache.value_or(known.getCache().str()));
  // Where there are none, moments are those that the precision has by itself.
  if (settings != known || (isFp8 && !isSaid))
    module->setAttr(job::kSettingsAttr, settings);
  if (job::ModelAttr model = job::modelOf(module); model && said.pageTokens)
    module->setAttr(job::kModelAttr, model.withPageTokens(*said.pageTokens));
}

/// What --emit calls forms of code.
static constexpr std::pair<StringRef, CodeForm> kForms[] = {{"llvm", CodeForm::LlvmIr},
                                                            {"asm", CodeForm::Assembly},
                                                            {"ptx", CodeForm::Ptx},
                                                            {"sass", CodeForm::Disassembly},
                                                            {"object", CodeForm::Binary}};

/// Whether the target has code of the form that is asked for.
static llvm::Error checkForm(const CompileOptions &options, const Target &target,
                             const llvm::Twine &said) {
  bool isGrid = target.family() == "nvptx" || target.family() == "emulated";
  if (options.emit == "hopper" && !isGrid)
    return llvm::createStringError("--emit=hopper: is for --target=sm_90a, got " + said);
  for (auto [name, form] : kForms)
    if (options.emit == name && !target.emits(form)) {
      if (form == CodeForm::Disassembly && target.family() == "nvptx")
        return llvm::createStringError("--emit=sass: wants ptxas and, beside it or on PATH, "
                                       "nvdisasm, which this machine lacks");
      return llvm::createStringError("--emit=" + name + ": is no form of code of " + said);
    }
  return llvm::Error::success();
}

/// What code is generated for; with matrix units where the module's products may use them.
static llvm::Expected<const Target *> targetOf(ModuleOp module, const CompileOptions &options) {
  if (failed(checkJob(module)))
    return llvm::createStringError("the module does not say what its job is");
  std::string said = options.targetOption + "=" + options.target;
  auto found = findTarget(options.target == "native" ? "host" : options.target, options.tiers,
                          options.ptxas);
  if (!found)
    return llvm::createStringError(said + ": " + llvm::toString(found.takeError()));
  const Target *target = *found;
  if (auto wrong = checkForm(options, *target, said))
    return std::move(wrong);
  // The executable carries this machine's hadal-run.
  llvm::Triple host(llvm::sys::getDefaultTargetTriple()), wanted(target->processor().triple);
  if (options.emit == "exe" && !wanted.isNVPTX() && wanted.getArch() != host.getArch())
    return llvm::createStringError("--emit=exe: an executable is for this machine's processors (" +
                                   host.getArchName() + "), got " + said +
                                   "; --emit=module is for another machine's hadal-run");
  // Inference keeps one chain of sums for one row and for many, and its modules run where there are
  // no such units.
  bool trains = bool(job::trainingOf(module));
  StringRef products = job::settingsOf(module).getProducts();
  if (products == "tiles" && !target->hasMatrixUnits())
    return llvm::createStringError("--products=tiles wants a processor with matrix units, which " +
                                   said + " lacks");
  if (products == "tiles" && !trains && job::modelOf(module))
    return llvm::createStringError("--products=tiles is for --mode=train");
  if (products == "fma" || (products == "auto" && !trains))
    target = &target->withoutMatrixUnits();
  return target;
}

/// The pipeline's options: what the graph says of itself, and what the target has.
static llvm::Error choosePipeline(ModuleOp module, const CompileOptions &options,
                                  const Target &target, PipelineOptions &pipeline) {
  pipeline.target = target.name().str();
  if (options.settings.pageTokens) // functions that are of no model have nowhere to keep it
    pipeline.pageTokens = *options.settings.pageTokens;
  readJob(module, pipeline);
  std::string problem;
  if (failed(checkFp8Options(pipeline.fp8, [&](const Twine &message) -> LogicalResult {
        std::string said = message.str();
        StringRef text = StringRef(said).trim();
        text.consume_front("<Pass-Options-Parser>: "); // LLVM's name of who says it
        problem = text.str();
        return failure();
      })))
    return llvm::createStringError("--fp8: " + problem);
  job::TrainingAttr training = job::trainingOf(module);
  job::RanksAttr ranks = job::ranksOf(module);
  if (!training || !ranks)
    return llvm::Error::success();
  int64_t microBatches = training.getMicroBatches() / (ranks.getEp() * ranks.getDp());
  if (auto made = schedule::makeSchedule(ranks.getSchedule(), ranks.getPp(), microBatches);
      !made.ok())
    return llvm::createStringError(made.error().message);
  if (options.emit == "memory" || options.emit == "precision")
    return llvm::createStringError("--emit=" + options.emit + " wants a job on one rank");
  return llvm::Error::success();
}

/// The passes from the graph to kernels, as text that hadal-opt takes.
static std::string pipelineText(ModuleOp module, const PipelineOptions &pipeline) {
  PassManager pm(module.getContext(), ModuleOp::getOperationName());
  if (job::trainingOf(module)) {
    buildLossToGradients(pm, pipeline);
    buildGradientsToKernels(pm, pipeline);
  } else {
    buildGraphToKernels(pm, pipeline);
  }
  std::string text;
  llvm::raw_string_ostream out(text);
  pm.printAsTextualPipeline(out);
  out << "\n";
  return text;
}

/// Runs the passes, as --mlir-... options want it.
static LogicalResult run(PassManager &pm, ModuleOp module, const CompileOptions &options) {
  if (options.configure && failed(options.configure(pm)))
    return failure();
  return pm.run(module);
}

/// The graph as programs and kernels on memrefs. True: --emit asked for a form on the way, which is
/// written.
static llvm::Expected<bool> lowerToKernels(ModuleOp module, const CompileOptions &options,
                                           const PipelineOptions &pipeline) {
  auto written = [](llvm::Error error) -> llvm::Expected<bool> {
    if (error)
      return std::move(error);
    return true;
  };
  PassManager toKernels(module.getContext());
  if (job::TrainingAttr training = job::trainingOf(module)) {
    PassManager toGradients(module.getContext());
    buildLossToGradients(toGradients, pipeline);
    if (failed(run(toGradients, module, options)))
      return llvm::createStringError("compilation stopped at the gradients");
    if (options.emit == "gradients")
      return written(writeText(print(module), options.output));
    if (options.emit == "memory" || options.emit == "precision") {
      auto gradients = module.lookupSymbol<func::FuncOp>("gradients");
      if (!gradients)
        return llvm::createStringError("--emit=" + options.emit +
                                       " wants a function @loss with hadal.differentiate");
      auto table = options.emit == "memory" ? memoryTable : precisionTable;
      return written(writeText(table(gradients, microBatchRegisters(training)), options.output));
    }
    buildGradientsToKernels(toKernels, pipeline);
  } else {
    if (options.emit == "gradients" || options.emit == "memory" || options.emit == "precision")
      return llvm::createStringError("--emit=" + options.emit + " wants --mode=train");
    buildGraphToKernels(toKernels, pipeline);
  }
  if (failed(run(toKernels, module, options)))
    return llvm::createStringError("compilation stopped before code generation");
  if (options.emit == "kernels")
    return written(writeText(print(module), options.output));
  return false;
}

/// The target's passes over kernels alone; programs stay as they are.
static llvm::Error runCodePasses(ModuleOp kernels, const CompileOptions &options,
                                 const Target &target) {
  PassManager pm(kernels.getContext());
  target.addCodePasses(pm);
  if (failed(run(pm, kernels, options)))
    return llvm::createStringError("compilation stopped in code generation");
  return llvm::Error::success();
}

static llvm::SmallVector<func::FuncOp> loweredKernels(ModuleOp module) {
  return llvm::to_vector(llvm::make_filter_range(
      module.getOps<func::FuncOp>(), [](func::FuncOp f) { return f->hasAttr(kLaunchAttr); }));
}

/// The kernels in `module` as they were lowered, each with its launch.
static std::string printKernelsOf(ModuleOp module) {
  OwningOpRef<ModuleOp> kernels = ModuleOp::create(module.getLoc());
  OpBuilder b = OpBuilder::atBlockEnd(kernels->getBody());
  for (func::FuncOp f : loweredKernels(module))
    b.clone(*f);
  return print(*kernels);
}

/// The code of the kernels in `module` in one piece.
static llvm::Expected<std::string> wholeCodeOf(ModuleOp module, const CompileOptions &options,
                                               const Target &target, CodeForm form) {
  OwningOpRef<ModuleOp> kernels = ModuleOp::create(module.getLoc());
  OpBuilder b = OpBuilder::atBlockEnd(kernels->getBody());
  for (func::FuncOp f : loweredKernels(module))
    b.clone(*f);
  if (auto failure = runCodePasses(*kernels, options, target))
    return std::move(failure);
  auto code = target.emit(*kernels, form);
  if (!code)
    return code.takeError();
  return std::move(code->bytes);
}

/// What a kernel computes, whatever its name.
static std::string textWithoutName(func::FuncOp kernel) {
  std::string text, name = kernel.getSymName().str();
  llvm::raw_string_ostream out(text);
  kernel.setSymName("kernel");
  kernel->print(out, OpPrintingFlags().useLocalScope());
  kernel.setSymName(name);
  return text;
}

/// What the target's assembler makes of parts, or what the cache has of it: it depends on a
/// kernel's name, too.
static llvm::Expected<std::vector<std::string>> assembledOf(llvm::ArrayRef<NamedPart> parts,
                                                            const CompileOptions &options,
                                                            const Target &target,
                                                            const KernelCache &cache) {
  std::vector<std::string> keys, assembled(parts.size());
  std::vector<NamedPart> missing;
  std::vector<size_t> places;
  for (auto [i, part] : llvm::enumerate(parts)) {
    keys.push_back(
        cache.keyOf(target.assembler() + "\n" + part.name.str() + "\n" + part.bytes.str()));
    if (auto known = cache.find(keys.back())) {
      assembled[i] = std::move(*known);
    } else {
      missing.push_back(part);
      places.push_back(i);
    }
  }
  auto made = target.assemble(missing, [&](size_t done, size_t total) {
    if (options.progress)
      options.progress("assembling kernels", done, total);
  });
  if (!made)
    return made.takeError();
  for (auto [place, one] : llvm::zip_equal(places, *made)) {
    cache.store(keys[place], one);
    assembled[place] = std::move(one);
  }
  cache.prune();
  return assembled;
}

/// Machine code of the kernels in `module`. Those that the cache has, and all but one of those that
/// compute the same, are not compiled.
static llvm::Expected<CodeObject> codeOf(ModuleOp module, const CompileOptions &options,
                                         const Target &target, const KernelCache &cache) {
  llvm::SmallVector<func::FuncOp> kernels = loweredKernels(module);
  std::vector<std::string> keys, missing;
  llvm::StringMap<std::string> objects;
  OwningOpRef<ModuleOp> toCompile = ModuleOp::create(module.getLoc());
  OpBuilder b = OpBuilder::atBlockEnd(toCompile->getBody());
  for (func::FuncOp f : kernels) {
    keys.push_back(cache.keyOf(textWithoutName(f)));
    auto [object, isNew] = objects.try_emplace(keys.back());
    if (!isNew)
      continue;
    if (auto known = cache.find(keys.back())) {
      object->second = std::move(*known);
    } else {
      missing.push_back(keys.back());
      b.clone(*f);
    }
  }
  std::string empty; // links where there is no kernel
  if (!missing.empty() || kernels.empty()) {
    if (auto failure = runCodePasses(*toCompile, options, target))
      return std::move(failure);
    auto compiled = target.emitParts(*toCompile, [&](size_t done, size_t total) {
      if (options.progress)
        options.progress("generating code", done, total);
    });
    if (!compiled)
      return compiled.takeError();
    empty = compiled->front();
    for (auto [key, object] : llvm::zip(missing, *compiled)) {
      cache.store(key, object);
      objects[key] = std::move(object);
    }
    cache.prune();
  }
  std::vector<NamedPart> named;
  for (auto [f, key] : llvm::zip(kernels, keys))
    named.push_back(
        {f.getSymName(), objects[key], f->getAttrOfType<exec::LaunchAttr>(kLaunchAttr), {}});
  if (kernels.empty())
    named.push_back({"", empty, {}, {}});
  std::vector<std::string> assembled;
  if (!target.assembler().empty() && !kernels.empty()) {
    auto made = assembledOf(named, options, target, cache);
    if (!made)
      return made.takeError();
    assembled = std::move(*made);
    for (auto [part, one] : llvm::zip_equal(named, assembled))
      part.assembled = one;
  }
  return target.link(named);
}

static llvm::Error writePayload(const std::vector<std::byte> &payload,
                                const CompileOptions &options) {
  if (options.emit == "exe")
    return toError(appendModule(options.runner, payload, options.output));
  return toError(writeModule(options.output, payload));
}

/// The payload of a module file, from the cache or made now.
static llvm::Expected<std::vector<std::byte>> payloadOf(ModuleOp module,
                                                        const CompileOptions &options,
                                                        const Target &target,
                                                        const PipelineOptions &pipeline) {
  CompileCache cache(options.cacheFolder);
  std::string key;
  if (!options.cacheFolder.empty()) {
    key = CompileCache::keyOf(
        module, target,
        llvm::formatv("page_tokens={0} {1}", pipeline.pageTokens.getValue(), target.assembler())
            .str());
    if (auto payload = cache.find(key))
      return std::move(*payload);
  }
  if (options.progress)
    options.progress("forming kernels", 0, 1);
  auto isWritten = lowerToKernels(module, options, pipeline);
  if (!isWritten)
    return isWritten.takeError();
  KernelCache kernels(options.cacheFolder, target);
  auto code = codeOf(module, options, target, kernels);
  if (!code)
    return code.takeError();
  auto payload = emitModule(module, target, *code);
  if (failed(payload))
    return llvm::createStringError("the module cannot be written");
  cache.store(key, *payload);
  return std::move(*payload);
}

llvm::Expected<std::vector<std::byte>> hadal::compilePayload(ModuleOp module,
                                                             const CompileOptions &said) {
  CompileOptions options = said;
  options.emit = "module";
  settle(module, options.settings);
  auto target = targetOf(module, options);
  if (!target)
    return target.takeError();
  PipelineOptions pipeline;
  if (llvm::Error error = choosePipeline(module, options, **target, pipeline))
    return std::move(error);
  return payloadOf(module, options, **target, pipeline);
}

llvm::Error hadal::compile(ModuleOp module, const CompileOptions &options) {
  settle(module, options.settings);
  auto found = targetOf(module, options);
  if (!found)
    return found.takeError();
  const Target &target = **found;
  if (options.emit == "graph")
    return writeText(print(module, /*locations=*/true), options.output);
  PipelineOptions pipeline;
  if (llvm::Error error = choosePipeline(module, options, target, pipeline))
    return error;
  if (options.emit == "pipeline")
    return writeText(pipelineText(module, pipeline), options.output);
  if (options.emit == "module" || options.emit == "exe") {
    auto payload = payloadOf(module, options, target, pipeline);
    return payload ? writePayload(*payload, options) : payload.takeError();
  }
  if (options.progress)
    options.progress("forming kernels", 0, 1);
  auto isWritten = lowerToKernels(module, options, pipeline);
  if (!isWritten)
    return isWritten.takeError();
  if (*isWritten)
    return llvm::Error::success();
  if (options.emit == "hopper")
    return writeText(printKernelsOf(module), options.output);
  for (auto [name, form] : kForms)
    if (options.emit == name) {
      auto code = wholeCodeOf(module, options, target, form);
      return code ? writeText(*code, options.output) : code.takeError();
    }
  return llvm::createStringError("--emit=" + options.emit + ": is nothing that is made of a graph");
}
