//===- hadal-run.cpp - runs module files --------------------------------===//
//
// Exit status 0, or 1 with one line on stderr: a wrong use, a bad file, a machine that does not fit the module.
//
//===--------------------------------------------------------------------===//

#include "tools/run/Commands.h"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <filesystem>
#include <functional>

using namespace hadal;
using namespace hadal::run;

namespace {

/// Where the options of every command end up, and the command that was chosen.
struct Chosen {
  GenerateOptions generate;
  LogitsCommandOptions logits;
  ScoreOptions score;
  CallOptions call;
  std::function<Status(std::optional<Module>)> command;
};

/// Arguments that all commands share. A command that reads a model needs its weights.
void addCommon(CLI::App &command, SessionOptions &options, bool carriesModule, bool wantsWeights) {
  if (!carriesModule)
    command.add_option("MODULE", options.module, "Module file that hadal-compile wrote")->required();
  auto *weights = command.add_option("--weights", options.weights, "Checkpoint: a folder with safetensors files");
  if (wantsWeights)
    weights->required();
  command.add_option("--threads", options.threads, "Worker threads (default: all CPUs this process may use)")
      ->check(CLI::Range(1, 1024));
  command.add_option("--trace", options.trace, "Write a timeline of all launches (Chrome/Perfetto JSON)");
}

void addGenerate(CLI::App &app, Chosen &chosen, bool carriesModule) {
  CLI::App *command = app.add_subcommand("generate", "Continue a prompt, or rows of token ids");
  GenerateOptions &options = chosen.generate;
  addCommon(*command, options, carriesModule, /*wantsWeights=*/true);
  auto *source = command->add_option_group("prompt")->require_option(1);
  source->add_option("--prompt", options.prompt, "Text to continue; the continuation goes to stdout as it comes");
  source->add_option("--input", options.input, "Safetensors file with input_ids [B, T]");
  GenerationOptions &generation = options.generation;
  command->add_option("--max-new-tokens", generation.maxNewTokens, "Most tokens to generate for a row")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 31))
      ->capture_default_str();
  command->add_option("--temperature", generation.sampling.temperature, "0 takes the likeliest token")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  command->add_option("--top-p", generation.sampling.topP, "Draw from the likeliest tokens that reach this probability")
      ->check(CLI::Range(1e-6, 1.0))
      ->capture_default_str();
  command->add_option("--seed", generation.seed, "Row i draws with seed + i")->capture_default_str();
  command->add_flag("--ignore-eos", generation.ignoreEos, "Go on behind an end-of-sequence token");
  command->add_option("--stats", options.stats, "Write the run's figures as a line of JSON (- for stderr)");
  command->add_option("-o", options.output, "Write tokens [B, N] and logits [B, N, V] to a safetensors file");
  command->callback(
      [&] { chosen.command = [&](std::optional<Module> carried) { return generate(options, std::move(carried)); }; });
}

void addLogits(CLI::App &app, Chosen &chosen, bool carriesModule) {
  CLI::App *command = app.add_subcommand("logits", "Logits of every position of rows of token ids");
  LogitsCommandOptions &options = chosen.logits;
  addCommon(*command, options, carriesModule, /*wantsWeights=*/true);
  command->add_option("--input", options.input, "Safetensors file with input_ids [B, T]")->required();
  command->add_flag("--dump", options.dump, "Also write hidden states, expert choices and the latent cache");
  command->add_option("--routes", options.routes,
                      "Take the choices of experts from router.k.topk_ids of a safetensors file");
  command->add_option("-o", options.output, "Safetensors file to write: logits [B, T, V]")->required();
  command->callback(
      [&] { chosen.command = [&](std::optional<Module> carried) { return logits(options, std::move(carried)); }; });
}

void addScore(CLI::App &app, Chosen &chosen, bool carriesModule) {
  CLI::App *command = app.add_subcommand("score", "Mean negative log-likelihood per token of a text, and perplexity");
  ScoreOptions &options = chosen.score;
  addCommon(*command, options, carriesModule, /*wantsWeights=*/true);
  command->add_option("--text", options.text, "Text file")->required();
  command->callback(
      [&] { chosen.command = [&](std::optional<Module> carried) { return score(options, std::move(carried)); }; });
}

void addCall(CLI::App &app, Chosen &chosen, bool carriesModule) {
  CLI::App *command = app.add_subcommand("call", "Call one function of a module made from a .mlir file");
  CallOptions &options = chosen.call;
  addCommon(*command, options, carriesModule, /*wantsWeights=*/false);
  command->add_option("FUNCTION", options.function, "Name of the function, as @name")->required();
  command->add_option("--input", options.input, "Safetensors file with arg0, arg1, ...");
  command->add_option("-o", options.output, "Safetensors file to write: result0, result1, ...")->required();
  command->callback(
      [&] { chosen.command = [&](std::optional<Module> carried) { return call(options, std::move(carried)); }; });
}

int runMain(int argc, char **argv, const std::string &program) {
  auto fail = [&](const std::string &message) {
    std::fprintf(stderr, "%s: %s\n", program.c_str(), message.c_str());
    return 1;
  };
  auto carried = Module::openAppended("/proc/self/exe");
  if (!carried.ok())
    return fail(carried.error().message);
  bool carriesModule = carried->has_value();

  CLI::App app(carriesModule ? "A model compiled by hadal. Its weights stay in their checkpoint: give --weights DIR."
                             : "Runs modules that hadal-compile wrote.",
               program);
  app.set_version_flag("--version", HADAL_VERSION);
  app.require_subcommand(1);
  app.failure_message([&](const CLI::App *, const CLI::Error &error) {
    return program + ": " + error.what() + " (see " + program + " --help)\n";
  });
  Chosen chosen;
  chosen.generate.start = std::chrono::steady_clock::now();
  addGenerate(app, chosen, carriesModule);
  addLogits(app, chosen, carriesModule);
  addScore(app, chosen, carriesModule);
  addCall(app, chosen, carriesModule);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    return app.exit(error) == 0 ? 0 : 1;
  }
  Status status = chosen.command(std::move(*carried));
  return status.ok() ? 0 : fail(status.error().message);
}

} // namespace

int main(int argc, char **argv) {
  std::string program = argc > 0 ? std::filesystem::path(argv[0]).filename().string() : "hadal-run";
  try {
    return runMain(argc, argv, program);
  } catch (const std::exception &error) { // out of memory: the runtime itself throws nothing
    std::fprintf(stderr, "%s: %s\n", program.c_str(), error.what());
    return 1;
  }
}
