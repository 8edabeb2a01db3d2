//===- hadal-kernel-mutants.cpp - is each synchronization of a kernel needed? ===//
//
// Compiles a model for the emulated device, drops each synchronization of its kernels in turn, and
// runs each such mutant on the memory that the model's own launches meet (runtime/emulated/
// Mutants.h), over several seeds. A mutant that nothing shows is a synchronization too many, or a
// race that the device does not see.
//
//===----------------------------------------------------------------------===//

#include "runtime/File.h"
#include "runtime/ModelConfig.h"
#include "runtime/Safetensors.h"
#include "runtime/inference/Scoring.h"
#include "runtime/session/Session.h"
#include "tools/CommandLine.h"
#include "tools/Help.h"
#include "tools/OutOfMemory.h"
#include "tools/mutants/MakeMutants.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

using namespace hadal;

namespace {

/// Rows of a function's tensors where it leaves their number open: more than a tile, and no whole
/// tiles.
constexpr int64_t openSize = 700;

struct Options {
  std::string input, output = "-", mode = "generate", precision = "bf16", tensors, function;
  uint64_t seeds = 8;
  bool json = false;
};

/// What became of a mutant.
struct Outcome {
  std::string word = "none", report;
  uint64_t launches = 0;
};

int fail(const std::string &message) {
  if (!message.empty())
    std::fprintf(stderr, "hadal-kernel-mutants: %s\n", message.c_str());
  return 1;
}

Status writeText(const std::string &path, std::string_view text) {
  return writeFile(path, std::as_bytes(std::span(text)));
}

Status failed(llvm::Error error) { return invalidArgument(llvm::toString(std::move(error))); }

/// Runs a program beside this one; what it says goes to stderr. An error without words: it has said
/// what is wrong.
Status runTool(const std::string &folder, const std::string &tool,
               const std::vector<std::string> &words) {
  std::string program = folder + "/" + tool, problem;
  std::vector<llvm::StringRef> arguments = {program};
  arguments.insert(arguments.end(), words.begin(), words.end());
  std::optional<llvm::StringRef> redirects[] = {llvm::StringRef(), llvm::StringRef(), std::nullopt};
  int status = llvm::sys::ExecuteAndWait(program, arguments, std::nullopt, redirects,
                                         /*SecondsToWait=*/0, /*MemoryLimit=*/0, &problem);
  if (status == 0)
    return {};
  if (status == 1)
    return invalidArgument("");
  return invalidArgument(tool + " " + (words.empty() ? "" : words[0]) + " failed" +
                         (problem.empty() ? "" : ": " + problem));
}

/// Rows of tokens for the model of a config.json.
Status writeTokens(const std::string &config, int64_t rows, int64_t width,
                   const std::string &path) {
  ModelConfig model = HADAL_TRY(readModelConfig(config));
  std::minstd_rand random(1);
  Tensor ids(ElementType::I64, {rows, width});
  for (int64_t &id : ids.as<int64_t>())
    id = static_cast<int64_t>(random()) % model.vocabSize;
  return writeSafetensors(path, std::vector<NamedTensor>{{"input_ids", ids.view()}});
}

/// Bytes of a tensor of small numbers: floats in [-1, 1), codes that are no NaN, integers 0.
void fillTensor(Tensor &tensor, std::minstd_rand &random) {
  auto *bytes = static_cast<uint8_t *>(tensor.data());
  uint64_t width = byteSize(tensor.element());
  for (int64_t i = 0; i < tensor.size(); ++i) {
    float value = static_cast<float>(random() % 4096) / 2048 - 1;
    auto code = static_cast<uint8_t>(random() % 0x70 | (random() & 0x80));
    const auto *from = reinterpret_cast<const uint8_t *>(&value);
    if (tensor.element() == ElementType::F32 || tensor.element() == ElementType::BF16)
      std::memcpy(bytes + width * static_cast<uint64_t>(i), from + 4 - width, width);
    else if (tensor.element() == ElementType::F8E4M3)
      bytes[i] = code;
  }
}

/// Tensors for a function, under the names that hadal-run wants.
Status writeInputs(const FunctionInputs &function, const std::string &path) {
  std::minstd_rand random(1);
  std::vector<Tensor> tensors;
  std::vector<NamedTensor> named;
  for (const FunctionInputs::Input &input : function.inputs) {
    tensors.push_back(HADAL_TRY(Tensor::create(input.element, input.shape)));
    fillTensor(tensors.back(), random);
  }
  for (size_t i = 0; i < tensors.size(); ++i)
    named.push_back({"arg" + std::to_string(i), tensors[i].view()});
  return writeSafetensors(path, named);
}

class MutantRuns {
public:
  MutantRuns(const Options &options, std::string tools, std::string folder)
      : options(options), tools(std::move(tools)), folder(std::move(folder)) {}

  Status make() {
    std::vector<std::string> words = {options.input, "--target=sm_90a-emulated"};
    if (isModel())
      words.insert(words.end(), {"--mode=" + options.mode, "--precision=" + options.precision});
    if (options.mode == "train")
      words.insert(words.end(), {"--micro-batch=2", "--seq=24"});
    auto compiled = [&](std::vector<std::string> more) {
      more.insert(more.begin(), words.begin(), words.end());
      return runTool(tools, "hadal-compile", more);
    };
    HADAL_TRY(compiled({"-o", folder + "/m.hadal"}));
    HADAL_TRY(compiled({"--emit=hopper", "-o", folder + "/kernels.mlir"}));
    auto made = makeMutants(HADAL_TRY(readTextFile(folder + "/kernels.mlir")));
    if (!made)
      return failed(made.takeError());
    mutants = std::move(*made);
    outcomes.resize(mutants.size());
    for (size_t i = 0; i < mutants.size(); ++i) {
      std::string &code = mutants[i].code;
      HADAL_TRY(writeText(pathOf(i), code));
      code.clear();
    }
    return {};
  }

  /// The model's own launches, with the mutants beside them.
  Status run() {
    if (!options.function.empty())
      return call(options.function, options.tensors);
    if (!isModel())
      return runFunctions();
    std::string wide = options.tensors.empty() ? path("wide") : options.tensors;
    if (options.tensors.empty())
      HADAL_TRY(writeTokens(config(), 8, 72, wide));
    if (options.mode == "train")
      return runOn({"gradients"}, wide, "out");
    return runGeneration(wide);
  }

  nlohmann::ordered_json report() const {
    auto list = nlohmann::ordered_json::array();
    for (size_t i = 0; i < mutants.size(); ++i) {
      const Outcome &outcome = outcomes[i];
      std::string reason = outcome.report;
      if (outcome.word == "wrong")
        reason = "another result";
      else if (isMissed(outcome) && reason.empty()) // else it says why the mutant does not load
        reason = outcome.launches
                     ? "nothing showed it in " + std::to_string(outcome.launches) + " launches"
                     : "no launch ran the kernel";
      list.push_back({{"kernel", mutants[i].kernel},
                      {"kind", mutants[i].kind},
                      {"location", mutants[i].location},
                      {"outcome", isMissed(outcome) ? "missed" : outcome.word},
                      {"reason", reason}});
    }
    return list;
  }

private:
  bool isModel() const { return llvm::sys::fs::is_directory(options.input); }
  static bool isMissed(const Outcome &outcome) { return outcome.word == "none"; }
  bool hasMissed() const { return std::any_of(outcomes.begin(), outcomes.end(), isMissed); }
  std::string path(const std::string &name) const { return folder + "/" + name + ".safetensors"; }
  std::string config() const { return options.input + "/config.json"; }
  std::string pathOf(size_t i) const { return folder + "/mutant" + std::to_string(i) + ".so"; }

  /// hadal-run with these words, unless all mutants were caught.
  Status runTools(const std::vector<std::string> &words) {
    return hasMissed() ? beside([&] { return runTool(tools, "hadal-run", words); }) : Status();
  }

  /// A command of hadal-run and its options, on the model's weights.
  Status runOn(std::vector<std::string> words, const std::string &input,
               const std::string &output) {
    words.insert(words.begin() + 1, folder + "/m.hadal");
    words.insert(words.end(), {"--weights", options.input, "--input", input, "--device", "emulated",
                               "-o", path(output)});
    return runTools(words);
  }

  Status call(const std::string &function, const std::string &input) {
    if (isModel())
      return runOn({"call", function}, input, "out");
    return runTools({"call", folder + "/m.hadal", function, "--input", input, "--device",
                     "emulated", "-o", path("out")});
  }

  /// All programs of a model that generates: rows enough for several tiles in prefill and in
  /// decode, then what else a user may ask for.
  Status runGeneration(const std::string &wide) {
    HADAL_TRY(writeTokens(config(), 2, 5, path("narrow")));
    HADAL_TRY(writeTokens(config(), 140, 2, path("rows")));
    HADAL_TRY(runOn({"logits"}, wide, "out"));
    HADAL_TRY(runOn({"generate", "--max-new-tokens=2", "--ignore-eos"}, path("rows"), "out"));
    HADAL_TRY(runOn({"generate", "--max-new-tokens=3", "--ignore-eos", "--temperature=0.8",
                     "--repetition-penalty=1.1", "--logprobs=2"},
                    path("narrow"), "out"));
    HADAL_TRY(runOn({"logits", "--dump"}, path("narrow"), "dump"));
    if (llvm::sys::fs::exists(path("dump"))) // else nothing was left to look for
      HADAL_TRY(runOn({"logits", "--dump", "--routes=" + path("dump")}, path("narrow"), "out"));
    return hasMissed() ? beside([&] { return score(); }) : Status();
  }

  /// What hadal-run score does, with tokens in place of a text: there may be no tokenizer.
  Status score() {
    ModelConfig model = HADAL_TRY(readModelConfig(config()));
    std::minstd_rand random(1);
    std::vector<int32_t> tokens(40);
    for (int32_t &token : tokens)
      token = static_cast<int32_t>(static_cast<int64_t>(random()) % model.vocabSize);
    SessionOptions opened;
    opened.module = folder + "/m.hadal";
    opened.weights = options.input;
    opened.device = "emulated";
    auto session = HADAL_TRY(Session::open(opened, std::nullopt));
    HADAL_TRY(session->load());
    ScoringOptions windows;
    windows.window = 20;
    HADAL_TRY(scoreTokens(session->executor(), tokens, windows));
    return {};
  }

  /// All functions of a .mlir file, on made-up tensors.
  Status runFunctions() {
    auto functions = functionsOf(HADAL_TRY(readTextFile(options.input)), openSize);
    if (!functions)
      return failed(functions.takeError());
    for (const FunctionInputs &function : *functions) {
      HADAL_TRY(writeInputs(function, path(function.function)));
      HADAL_TRY(call(function.function, path(function.function)));
    }
    return {};
  }

  /// Runs `work` with the mutants that were not caught yet beside it, and takes their outcomes.
  template <typename Work> Status beside(Work work) {
    std::string path = folder + "/mutants";
    std::vector<size_t> open;
    std::string text = "seeds " + std::to_string(options.seeds) + "\n";
    for (size_t i = 0; i < mutants.size(); ++i) {
      if (!isMissed(outcomes[i]))
        continue;
      open.push_back(i);
      text += mutants[i].kernel + " " + pathOf(i) + "\n";
    }
    HADAL_TRY(writeText(path, text));
    ::setenv("HADAL_EMULATOR_MUTANTS", path.c_str(), 1);
    HADAL_TRY(work());
    std::ifstream file(path + ".outcomes");
    std::string line;
    for (size_t i : open) {
      if (!std::getline(file, line))
        break; // no launch ran any of their kernels
      std::istringstream words(line);
      uint64_t launches = 0;
      words >> outcomes[i].word >> launches >> std::ws;
      outcomes[i].launches += launches;
      std::getline(words, outcomes[i].report);
    }
    llvm::sys::fs::remove(path + ".outcomes");
    return {};
  }

  const Options &options;
  std::string tools, folder;
  std::vector<Mutant> mutants;
  std::vector<Outcome> outcomes;
};

/// A line for each mutant; a table that a person reads.
std::string tableOf(const nlohmann::ordered_json &list) {
  std::string text;
  for (const auto &mutant : list)
    text += mutant["outcome"].get<std::string>() + "  " + mutant["kernel"].get<std::string>() +
            "  " + mutant["location"].get<std::string>() + "  (" +
            mutant["reason"].get<std::string>() + ")\n";
  return text;
}

Status mutate(const Options &options, const std::string &tools) {
  if (!options.function.empty() && options.tensors.empty())
    return invalidArgument("--function: wants its tensors, --input");
  HADAL_TRY(checkFolderOf(options.output));
  llvm::SmallString<128> folder;
  if (llvm::sys::fs::createUniqueDirectory("hadal-mutants", folder))
    return ioError("cannot make a folder for the mutants");
  auto removed = llvm::make_scope_exit([&] { llvm::sys::fs::remove_directories(folder); });
  MutantRuns runs(options, tools, folder.str().str());
  HADAL_TRY(runs.make());
  HADAL_TRY(runs.run());
  nlohmann::ordered_json list = runs.report();
  std::string text = options.json ? list.dump(1) + "\n" : tableOf(list);
  size_t missed = 0;
  for (const auto &mutant : list)
    missed += mutant["outcome"] == "missed";
  HADAL_TRY(writeText(options.output, text));
  if (missed)
    return invalidArgument(std::to_string(missed) + " of " + std::to_string(list.size()) +
                           " mutants were not caught");
  std::fprintf(stderr, "%zu mutants, all caught\n", list.size());
  return {};
}

} // namespace

int main(int argc, char **argv) {
  sayWhereMemoryEnds("hadal-kernel-mutants");
  startTool("hadal-kernel-mutants");
  Options options;
  CLI::App app{"Drops each synchronization of a model's Hopper kernels in turn and runs what is "
               "left on the emulated device: each mutant has to fail, as a race, a deadlock, "
               "poison or a trap, or to compute something else. INPUT is a folder with config.json "
               "and a checkpoint, or a .mlir file with functions.",
               "hadal-kernel-mutants"};
  app.footer("  hadal-kernel-mutants model/ --json -o m.json\n"
             "  hadal-kernel-mutants f.mlir --function f --input x.safetensors");
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_version_flag("--version", HADAL_VERSION, "Print the version and exit");
  app.get_help_ptr()->description("Print this help and exit");
  app.add_option("INPUT", options.input, "What hadal-compile takes")->required()->type_name(kData);
  app.add_option("--mode", options.mode, "What the model is compiled for")
      ->check(oneOf({"generate", "train"}))
      ->capture_default_str();
  app.add_option("--precision", options.precision, "As hadal-compile takes it")
      ->check(oneOf({"fp32", "bf16", "fp8"}))
      ->capture_default_str();
  app.add_option("--seeds", options.seeds, "Orders of threads and copies that a mutant is run in")
      ->check(wholeNumberWithin(1, 1000))
      ->capture_default_str();
  app.add_option("--input", options.tensors,
                 "Tokens for the model, or the function's tensors, as hadal-run takes them")
      ->type_name(kInputFile);
  app.add_option("--function", options.function,
                 "The function of a .mlir file that is called with --input; all of them, with "
                 "made-up tensors, where none is named");
  app.add_flag("--json", options.json,
               "A list of objects: kernel, kind, location, outcome, reason");
  app.add_option("-o,--output", options.output, "File for the list")
      ->type_name(kOutputFile)
      ->capture_default_str();
  if (std::optional<int> status = parseCommandLine(app, argc, argv, "hadal-kernel-mutants"))
    return *status;
  if (Status files = claimStandardFiles(app); !files.ok())
    return fail(files.error().message);
  std::string executable =
      llvm::sys::fs::getMainExecutable(argv[0], reinterpret_cast<void *>(&main));
  Status status = mutate(options, llvm::sys::path::parent_path(executable).str());
  return status ? finish("hadal-kernel-mutants", 0) : fail(status.error().message);
}
