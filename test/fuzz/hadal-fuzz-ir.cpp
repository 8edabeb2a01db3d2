//===- hadal-fuzz-ir.cpp - mutated IR through every pass ----------------===//
//
//   hadal-fuzz-ir [--seed N] [--count N] [--seconds N] [--save FOLDER] [--only STEP] [--parameters]
//                 FILE|FOLDER...
//
// Each mutant is parsed and verified, and what is left goes through each pass by itself, the
// pipelines, and now and then all of hadal-compile: in a child process of its own, so that a crash
// is a line here. A diagnostic is what is wanted; a signal after the parser, or a child that takes
// longer than 20 seconds of a core, is a finding. Exits with 1 where there is one. `--parameters`
// changes nothing but parameters of attributes.
//
//===--------------------------------------------------------------------===//

#include "dialects/Dialects.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "passes/Pipelines.h"
#include "passes/module/Compile.h"
#include "test/fuzz/MutateIr.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <new>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace mlir;
using namespace hadal;

namespace {

constexpr unsigned secondsOfOne = 20;
constexpr const char *steps[] = {"hadal-inline-calls",
                                 "func.func(hadal-fill-constants)",
                                 "func.func(convert-elementwise-to-linalg)",
                                 "moe-shard-experts{ranks=2}",
                                 "hadal-differentiate",
                                 "moe-encode-exchanges",
                                 "hadal-split-backward",
                                 "hadal-accumulate-gradients",
                                 "hadal-recompute{policy=all}",
                                 "hadal-round-products{precision=bf16}",
                                 "fp8-quantize",
                                 "fp8-weight-states",
                                 "hadal-cut-chunks",
                                 "hadal-make-programs",
                                 "mla-append-cache",
                                 "mla-absorb",
                                 "func.func(hadal-fuse-elementwise)",
                                 "fp8-fold-dequantize",
                                 "moe-fuse-dispatch",
                                 "exec-assign-layouts",
                                 "exec-form-programs",
                                 "exec-assign-layouts,exec-form-programs",
                                 "exec-add-sampling{vocabulary=8}",
                                 "exec-add-optimizer",
                                 "exec-plan-memory",
                                 "hadal-lower-kernels",
                                 "func.func(hadal-expand-math)",
                                 "hadal-kernel-entries",
                                 "hadal-differentiate,hadal-accumulate-gradients,cse",
                                 "hadal-differentiate,hadal-split-backward,hadal-cut-chunks",
                                 "hadal-differentiate,fp8-quantize,fp8-weight-states,"
                                 "hadal-split-backward,hadal-cut-chunks",
                                 "moe-shard-experts{ranks=2},hadal-cut-chunks,exec-form-programs",
                                 "hadal-graph-to-kernels",
                                 "hadal-loss-to-kernels",
                                 "compile",
                                 "compile-to-code"};

struct Options {
  uint64_t seed = 1, count = 1000, seconds = 0;
  std::string save, only;
  bool parametersAlone = false;
  std::vector<std::string> inputs;
};

/// What the child is at, for the parent to read.
struct Progress {
  bool isValid;
  char step[128];
};

/// One module per function, with all that is no function, printed in two ways.
void addSeeds(const std::string &text, MLIRContext &context, std::vector<std::string> &seeds) {
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(text, &context);
  if (!module) {
    seeds.push_back(text);
    return;
  }
  auto print = [&](ModuleOp m) {
    for (bool generic : {false, true}) {
      std::string out;
      llvm::raw_string_ostream stream(out);
      m.print(stream, OpPrintingFlags().printGenericOpForm(generic));
      if (out.size() < 120000)
        seeds.push_back(out);
    }
  };
  auto functions = llvm::to_vector(module->getOps<func::FuncOp>());
  if (functions.size() < 2 || !module->getOps<func::CallOp>().empty()) {
    print(*module);
    return;
  }
  for (func::FuncOp kept : functions) {
    OwningOpRef<ModuleOp> one = module->clone();
    for (func::FuncOp f : llvm::make_early_inc_range(one->getOps<func::FuncOp>()))
      if (f.getSymName() != kept.getSymName())
        f.erase();
    print(*one);
  }
}

void readSeeds(const std::string &path, MLIRContext &context, std::vector<std::string> &seeds) {
  std::vector<std::string> files;
  if (llvm::sys::fs::is_directory(path)) {
    std::error_code error;
    for (llvm::sys::fs::recursive_directory_iterator i(path, error), end; i != end && !error;
         i.increment(error))
      if (llvm::sys::path::extension(i->path()) == ".mlir")
        files.push_back(i->path());
    std::sort(files.begin(), files.end());
  } else {
    files.push_back(path);
  }
  for (const std::string &file : files) {
    auto buffer = llvm::MemoryBuffer::getFile(file);
    if (!buffer)
      continue;
    llvm::SmallVector<llvm::StringRef> parts, lines;
    (*buffer)->getBuffer().split(parts, "// -----");
    for (llvm::StringRef part : parts) {
      std::string text;
      lines.clear();
      part.split(lines, '\n');
      for (llvm::StringRef line : lines)
        if (!line.ltrim().starts_with("//"))
          text += line.str() + "\n";
      if (llvm::StringRef(text).trim().size() > 20)
        addSeeds(text, context, seeds);
    }
  }
}

void runStep(ModuleOp module, llvm::StringRef step, const std::string &output) {
  OwningOpRef<ModuleOp> copy = module.clone();
  if (step.starts_with("compile")) {
    CompileOptions options;
    options.emit = step == "compile" ? "kernels" : "module";
    options.output = output;
    llvm::consumeError(compile(*copy, options));
    return;
  }
  PassManager pm(module.getContext());
  if (succeeded(parsePassPipeline(step, pm, llvm::errs())))
    (void)pm.run(*copy);
  else
    std::abort(); // the list above is wrong
}

/// What a child does with a mutant.
void tryMutant(MLIRContext &context, const std::string &text, const Options &options,
               std::mt19937_64 &random, Progress &progress, const std::string &output) {
  std::strcpy(progress.step, "parse");
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(text, &context);
  if (!module)
    return;
  progress.isValid = true;
  auto run = [&](llvm::StringRef step) {
    if (!options.only.empty() && step != options.only)
      return;
    std::snprintf(progress.step, sizeof progress.step, "%s", step.str().c_str());
    runStep(*module, step, output);
  };
  for (const char *step : steps)
    if (llvm::StringRef(step) != "compile-to-code" || random() % 8 == 0 || !options.only.empty())
      run(step);
}

/// The signal that ended the child, or 0.
int inChild(const std::function<void()> &body) {
  pid_t child = fork();
  if (child == 0) {
    // Time of its own: the machine may be busy.
    rlimit time{secondsOfOne, secondsOfOne + 5}, memory{rlim_t(6) << 30, rlim_t(6) << 30},
        core{0, 0};
    setrlimit(RLIMIT_CPU, &time);
    setrlimit(RLIMIT_AS, &memory);
    setrlimit(RLIMIT_CORE, &core);
    int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    dup2(null, 2);
    for (int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE})
      std::signal(signal, SIG_DFL);
    // That memory ends is said in a line (tools/OutOfMemory.h).
    std::set_new_handler([] { _exit(0); });
    llvm::install_bad_alloc_error_handler([](void *, const char *, bool) { _exit(0); });
    llvm::install_fatal_error_handler([](void *, const char *, bool) { _exit(0); });
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status))
    return WTERMSIG(status);
  return WEXITSTATUS(status) ? SIGABRT : 0;
}

bool parseOptions(int argc, char **argv, Options &options) {
  for (int i = 1; i < argc; ++i) {
    llvm::StringRef argument = argv[i];
    auto number = [&](uint64_t &to) {
      return ++i < argc && !llvm::StringRef(argv[i]).getAsInteger(10, to);
    };
    auto string = [&](std::string &to) { return ++i < argc && (to = argv[i], true); };
    bool ok = argument == "--seed"         ? number(options.seed)
              : argument == "--count"      ? number(options.count)
              : argument == "--seconds"    ? number(options.seconds)
              : argument == "--save"       ? string(options.save)
              : argument == "--parameters" ? (options.parametersAlone = true)
              : argument == "--only"
                  ? string(options.only)
                  : !argument.starts_with("--") && (options.inputs.push_back(argument.str()), true);
    if (!ok)
      return false;
  }
  return !options.inputs.empty();
}

} // namespace

int main(int argc, char **argv) {
  Options options;
  if (!parseOptions(argc, argv, options)) {
    llvm::errs() << "usage: hadal-fuzz-ir [--seed N] [--count N] [--seconds N] [--save FOLDER] "
                    "[--only STEP] [--parameters] FILE|FOLDER...\n";
    return 2;
  }
  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registerAllToLLVMIRTranslations(registry);
  registerAllPasses();
  registerHadalDialects(registry);
  registerHadalPasses();
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.getDiagEngine().registerHandler([](Diagnostic &) { return success(); });

  std::vector<std::string> seeds, pieces;
  for (const std::string &input : options.inputs)
    readSeeds(input, context, seeds);
  for (const std::string &seed : seeds) {
    llvm::SmallVector<llvm::StringRef> lines;
    llvm::StringRef(seed).split(lines, '\n');
    for (llvm::StringRef line : lines)
      if (line.contains(" = ") && line.size() < 400)
        pieces.push_back(line.str());
  }
  if (seeds.empty()) {
    llvm::errs() << "hadal-fuzz-ir: no seeds\n";
    return 2;
  }
  if (!options.save.empty())
    if (std::error_code failed = llvm::sys::fs::create_directories(options.save)) {
      llvm::errs() << "hadal-fuzz-ir: " << options.save << ": " << failed.message() << "\n";
      return 2;
    }
  auto *progress = static_cast<Progress *>(
      mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  llvm::SmallString<128> output;
  llvm::sys::path::system_temp_directory(true, output);
  llvm::sys::path::append(output, "hadal-fuzz-ir." + std::to_string(getpid()));

  uint64_t valid = 0, findings = 0, done = 0;
  std::map<std::string, uint64_t> byStep;
  auto begin = std::chrono::steady_clock::now();
  for (; done < options.count; ++done) {
    if (options.seconds &&
        std::chrono::steady_clock::now() - begin > std::chrono::seconds(options.seconds))
      break;
    // A mutant is known by its seed and number.
    std::mt19937_64 random(options.seed * 1000003 + done);
    std::string text = seeds[random() % seeds.size()];
    if (options.parametersAlone)
      text = fuzz::mutateParameters(std::move(text), random);
    else if (random() % 16)
      text = fuzz::mutate(std::move(text), pieces, random);
    *progress = {};
    int signal =
        inChild([&] { tryMutant(context, text, options, random, *progress, output.str().str()); });
    valid += progress->isValid;
    if (!signal)
      continue;
    ++byStep[progress->step];
    findings += progress->isValid; // text that is no IR yet is the parser's, which is MLIR's
    std::string kind = signal == SIGXCPU || signal == SIGKILL ? "hangs" : strsignal(signal);
    llvm::errs() << "mutant " << options.seed << ":" << done << ", " << progress->step << ": "
                 << kind << "\n";
    std::string path =
        options.save + "/" + std::to_string(options.seed) + "-" + std::to_string(done) + ".mlir";
    std::error_code error;
    if (!options.save.empty())
      llvm::raw_fd_ostream(path, error) << "// " << progress->step << ": " << kind << "\n"
                                        << text << "\n";
  }
  (void)llvm::sys::fs::remove(output);
  llvm::outs() << done << " mutants of " << seeds.size() << " seeds, " << valid
               << " of them valid IR, " << findings << " findings\n";
  for (auto &[step, count] : byStep)
    llvm::outs() << "  " << count << " in " << step << "\n";
  return findings ? 1 : 0;
}
