//===- hadal-run.cpp - runs module files --------------------------------===//
//
// Exit status 0, or 1 with one line on stderr: a wrong use, a bad file, a machine that does not fit
// the module. 128 + N when signal N stopped it (StopSignal.h).
//
//===--------------------------------------------------------------------===//

#include "runtime/File.h"
#include "runtime/comm/MpiComm.h"
#include "runtime/session/StopSignal.h"
#include "tools/CommandLine.h"
#include "tools/Help.h"
#include "tools/run/Commands.h"

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <set>
#include <sstream>
#include <thread>

using namespace hadal;
using namespace hadal::run;

namespace {

/// Where the options of every command end up, and the command that was chosen.
struct Chosen {
  GenerateOptions generate;
  LogitsCommandOptions logits;
  ScoreOptions score;
  CallOptions call;
  GradientsOptions gradients;
  TrainOptions train;
  std::function<Status(std::optional<Module>)> command;
};

/// Reads the file of --config: TOML, "KEY = VALUE" where KEY is an option of the command without
/// its dashes; for more commands than one in sections named after them. Throws CLI::ConfigError, as
/// the parser around it wants: "run.toml: 'larning-rate' is no option of train".
class CommandConfig final : public CLI::ConfigTOML {
public:
  explicit CommandConfig(CLI::App &app) : app(app) { comment('\0'); }

  std::vector<CLI::ConfigItem> from_config(std::istream &input) const override {
    std::string path = app.get_config_ptr()->as<std::string>(), line;
    path = path == "/dev/stdin" ? nameOfInput("-") : path;
    std::stringstream text;
    while (std::getline(input, line))
      text << withoutComment(line) << '\n';
    std::vector<CLI::App *> chosen = app.get_subcommands();
    std::vector<CLI::ConfigItem> items;
    std::set<std::string> seen;
    for (CLI::ConfigItem &item : CLI::ConfigTOML::from_config(text)) {
      if (item.name == "++" || item.name == "--") // where a section begins and ends
        continue;
      if (chosen.empty() || item.parents.size() > 1 ||
          (!item.parents.empty() && !isCommand(item.parents.front())))
        throw CLI::ConfigError(path + ": '" + item.fullname() + "' belongs to no command");
      if (!item.parents.empty() && item.parents.front() != chosen.front()->get_name())
        continue;
      if (!chosen.front()->get_option_no_throw("--" + item.name) &&
          !chosen.front()->get_option_no_throw("-" + item.name))
        throw CLI::ConfigError(path + ": '" + item.name + "' is no option of " +
                               chosen.front()->get_name());
      if (!seen.insert(item.name).second)
        throw CLI::ConfigError(path + ": '" + item.name + "' stands there twice");
      item.parents = {chosen.front()->get_name()};
      items.push_back(std::move(item));
    }
    return items;
  }

private:
  bool isCommand(const std::string &name) const {
    return !app.get_subcommands([&](CLI::App *command) { return command->get_name() == name; })
                .empty();
  }

  /// CLI11 would end a quoted text at its "#", too.
  static std::string withoutComment(const std::string &line) {
    char quote = 0;
    for (size_t at = 0; at < line.size(); ++at) {
      if (quote ? line[at] == quote : line[at] == '"' || line[at] == '\'')
        quote = quote ? 0 : line[at];
      else if (line[at] == '#' && !quote)
        return line.substr(0, at);
    }
    return line;
  }

  CLI::App &app;
};

/// Arguments that all commands share. A command that reads a model needs its weights.
void addCommon(CLI::App &command, SessionOptions &options, bool carriesModule, bool wantsWeights) {
  if (!carriesModule)
    command.add_option("MODULE", options.module, "Module file that hadal-compile wrote")
        ->type_name(kInputFile)
        ->required();
  auto *weights =
      command
          .add_option("--weights", options.weights, "Checkpoint: a folder with safetensors files")
          ->type_name(kFolder);
  if (wantsWeights)
    weights->required();
  command
      .add_option("--threads", options.threads,
                  "Worker threads (default: all CPUs this process may use)")
      ->check(wholeNumberWithin(1, 1024));
  command.add_option("--device", options.device,
                     "cpu, cuda:N or emulated (default: what the module is for)");
  command
      .add_option("--emulator-seed", options.emulatorSeed,
                  "The order of threads and copies on the emulated device")
      ->check(seedNumber());
  command
      .add_option("--device-timeout", options.deviceTimeout,
                  "Seconds after which a launch on a GPU is an error; 0: never (default: 300, on "
                  "the emulated device an hour)")
      ->check(numberWithin(0.0, 1e6));
  command
      .add_option("--trace", options.trace,
                  "Write a timeline of all launches (Chrome/Perfetto JSON)")
      ->type_name(kOutputFile);
  command.add_flag("--check-memory", options.checkMemory,
                   "For debugging: fill temporaries and outputs with NaN until they are written, "
                   "and look at guard zones around them after every launch");
  command
      .add_option_function<std::string>(
          "--config",
          [&command](const std::string &path) {
            command.get_parent()->get_config_ptr()->add_result(path == "-" ? "/dev/stdin" : path);
          },
          "File with options: TOML, such as lr = 2e-3; what the command line says wins")
      ->type_name(kInputFile)
      ->trigger_on_parse()
      ->configurable(false);
}

/// Options of commands that run on many ranks.
void addJob(CLI::App &command, JobOptions &options) {
  command
      .add_option("--rank-timeout", options.rankTimeout,
                  "Seconds that a rank waits for another before all stop")
      ->group(kRankOptions)
      ->check(numberWithin(0.1, 1e6))
      ->capture_default_str();
  command
      .add_option("--link-delay-us", options.linkDelayUs,
                  "Microseconds that every message between ranks is held back, for measurements")
      ->group(kRankOptions)
      ->check(wholeNumberWithin(0, int64_t(1) << 30));
}

void addMicroBatches(CLI::App &command, int64_t &microBatches) {
  command
      .add_option("--micro-batches", microBatches,
                  "Batches that a rank's rows are split into; of 2, one computes while the other "
                  "waits for experts")
      ->group(kRankOptions)
      ->check(wholeNumberWithin(1, 2))
      ->capture_default_str();
}

/// How the next token is chosen.
void addSampling(CLI::App &command, SamplingOptions &sampling) {
  command.add_option("--temperature", sampling.temperature, "0 takes the likeliest token")
      ->check(numberWithin(0.0, 1e6))
      ->capture_default_str();
  command
      .add_option("--repetition-penalty", sampling.repetitionPenalty,
                  "Above 1: tokens that a row has already are chosen less; 1: no difference")
      ->check(numberWithin(1e-6, 1e6))
      ->capture_default_str();
  command.add_option("--top-k", sampling.topK, "Draw from so many likeliest tokens; 0: from all")
      ->check(wholeNumberWithin(0, 1 << 30))
      ->capture_default_str();
  command
      .add_option("--min-p", sampling.minP,
                  "Draw from tokens at least so many times as likely as the likeliest")
      ->check(numberWithin(0.0, 1.0))
      ->capture_default_str();
  command
      .add_option("--top-p", sampling.topP,
                  "Draw from the likeliest tokens that reach this probability")
      ->check(numberWithin(1e-6, 1.0))
      ->capture_default_str();
}

void addGenerate(CLI::App &app, Chosen &chosen, bool carriesModule) {
  CLI::App *command = app.add_subcommand("generate", "Continue a prompt, or rows of token ids");
  command->footer("  hadal-run generate m.hadal --weights model --prompt \"In the beginning\"\n"
                  "  hadal-run generate m.hadal --weights model --input rows.json \\\n"
                  "      -o out.safetensors");
  GenerateOptions &options = chosen.generate;
  addCommon(*command, options, carriesModule, /*wantsWeights=*/true);
  auto *source = command->add_option_group("Prompt")->require_option(1);
  source->add_option("--prompt", options.prompt,
                     "Text to continue; the continuation goes to stdout as it comes");
  source
      ->add_option("--prompt-file", options.promptFile,
                   "A prompt on each line; the continuations go to stdout in order, each on a "
                   "line (\\n for its line breaks)")
      ->type_name(kInputFile);
  source
      ->add_option(
          "--input", options.input,
          "Rows of token ids: JSON [[1, 2], [3]], text with one row per line, or safetensors with "
          "input_ids [B, T]; there attention_mask [B, T] or lengths [B] leave padding out")
      ->type_name(kInputFile);
  GenerationOptions &generation = options.generation;
  command
      ->add_option("--max-new-tokens", generation.maxNewTokens, "Most tokens to generate for a row")
      ->check(wholeNumberWithin(1, int64_t(1) << 31))
      ->capture_default_str();
  addSampling(*command, generation.sampling);
  command
      ->add_option(
          "--logprobs", generation.logprobs,
          "With -o: also write log-probabilities, of the chosen tokens and of N likeliest ones")
      ->check(wholeNumberWithin(1, 1 << 20));
  command->add_option("--seed", generation.seed, "Row i draws with seed + i")
      ->check(seedNumber())
      ->capture_default_str();
  command->add_flag("--ignore-eos", generation.ignoreEos,
                    "Go on after an end-of-sequence token (those of generation_config.json, else "
                    "of config.json, beside the weights)");
  command
      ->add_option("--stop-token", generation.stopTokens,
                   "A token id that ends a row, too (any number)")
      ->type_name("ID")
      ->check(wholeNumberWithin(0, INT32_MAX))
      ->allow_extra_args(false);
  command
      ->add_option("--stop", options.stopTexts,
                   "A text that ends a row, and is cut off what is printed (any number)")
      ->check([](const std::string &text) { return text.empty() ? "wants a text" : ""; })
      ->allow_extra_args(false);
  command->add_option("--stats", options.stats, "Write the run's figures as a line of JSON")
      ->type_name(kOutputFile);
  addJob(*command, options.job);
  addMicroBatches(*command, generation.microBatches);
  command
      ->add_option("-o", options.output,
                   "Write tokens [B, N] and logits [B, N, V] to a safetensors file")
      ->type_name(kOutputFile);
  command->callback([&] {
    chosen.command = [&](std::optional<Module> carried) {
      return generate(options, std::move(carried));
    };
  });
}

void addLogits(CLI::App &app, Chosen &chosen, bool carriesModule) {
  CLI::App *command = app.add_subcommand("logits", "Logits of every position of rows of token ids");
  command->footer(
      "  hadal-run logits m.hadal --weights model --input rows.json -o out.safetensors");
  LogitsCommandOptions &options = chosen.logits;
  addCommon(*command, options, carriesModule, /*wantsWeights=*/true);
  command
      ->add_option(
          "--input", options.input,
          "Rows of token ids: JSON [[1, 2], [3]], text with one row per line, or safetensors with "
          "input_ids [B, T]; there attention_mask [B, T] or lengths [B] leave padding out")
      ->type_name(kInputFile)
      ->required();
  command->add_flag("--dump", options.dump,
                    "Also write hidden states, expert choices and the latent cache");
  command
      ->add_option("--routes", options.routes,
                   "Take the choices of experts from router.k.topk_ids of a safetensors file")
      ->type_name(kInputFile);
  command->add_option("-o", options.output, "Safetensors file to write: logits [B, T, V]")
      ->type_name(kOutputFile)
      ->required();
  addJob(*command, options.job);
  addMicroBatches(*command, options.microBatches);
  command->callback([&] {
    chosen.command = [&](std::optional<Module> carried) {
      return logits(options, std::move(carried));
    };
  });
}

void addScore(CLI::App &app, Chosen &chosen, bool carriesModule) {
  CLI::App *command = app.add_subcommand(
      "score", "Mean negative log-likelihood per token of a text, and perplexity");
  command->footer("  hadal-run score m.hadal --weights model --text val.txt");
  ScoreOptions &options = chosen.score;
  addCommon(*command, options, carriesModule, /*wantsWeights=*/true);
  command->add_option("--text", options.text, "Text file")->type_name(kInputFile)->required();
  command
      ->add_option("--window", options.scoring.window,
                   "Tokens of a window, which sees nothing of those before it")
      ->check(wholeNumberWithin(2, int64_t(1) << 31))
      ->capture_default_str();
  command
      ->add_option("--stride", options.scoring.stride,
                   "Tokens from one window to the next, which scores what those before it have "
                   "not, to the text's end (default: windows do "
                   "not overlap, and a rest after the last is left out)")
      ->check(wholeNumberWithin(1, int64_t(1) << 31));
  command->add_flag("--bos", options.withBos,
                    "Put the beginning-of-sequence token in front of each window, which then "
                    "scores its first token, too");
  command->add_flag("--json", options.json, "Print one line of JSON");
  addJob(*command, options.job);
  addMicroBatches(*command, options.microBatches);
  command->callback([&] {
    chosen.command = [&](std::optional<Module> carried) {
      return score(options, std::move(carried));
    };
  });
}

void addGradients(CLI::App &app, Chosen &chosen, bool carriesModule) {
  CLI::App *command = app.add_subcommand(
      "gradients", "Loss and gradients of a training module's parameters on rows of token ids");
  command->footer("  hadal-run gradients t.hadal --weights model --input rows.safetensors \\\n"
                  "      -o grads.safetensors\n"
                  "  hadal-run gradients fp8.hadal --compare fp32.hadal --weights model \\\n"
                  "      --input rows.safetensors");
  GradientsOptions &options = chosen.gradients;
  addCommon(*command, options, carriesModule, /*wantsWeights=*/true);
  command
      ->add_option(
          "--input", options.input,
          "Safetensors file with input_ids [B, T], and labels [B, T] where -100 predicts nothing")
      ->type_name(kInputFile)
      ->required();
  CLI::App *results = command->add_option_group("Results")->require_option(1, 0);
  results
      ->add_option("-o", options.output,
                   "Safetensors file to write: a gradient per parameter, and loss [1]")
      ->type_name(kOutputFile);
  CLI::Option *compared =
      results
          ->add_option("--compare", options.reference,
                       "Training module of the same parameters: print how far MODULE's gradients "
                       "are from its, on the same weights and rows. Of each parameter the relative "
                       "error, the cosine and both norms, the largest error first")
          ->type_name(kInputFile);
  command->add_flag("--json", options.json, "With --compare: print one line of JSON")
      ->needs(compared);
  addJob(*command, options.job);
  command->callback([&] {
    chosen.command = [&](std::optional<Module> carried) {
      return gradients(options, std::move(carried));
    };
  });
}

/// Options of the data, the optimizer and the run's files.
/// What a run begins with and reads.
void addTrainingData(CLI::App &command, TrainOptions &options) {
  command
      .add_option("--init-seed", options.initSeed,
                  "Draw the first weights from this seed, instead of --weights")
      ->check(seedNumber());
  auto *source = command.add_option_group("Data")->require_option(1);
  source
      ->add_option("--data", options.data,
                   "Text files, a document each; *.jsonl files, a document in \"text\" of each "
                   "line; folders, for their *.txt and *.jsonl; patterns such as "
                   "'texts/*.txt'; each file is taken once")
      ->type_name(kData);
  source
      ->add_option("--input", options.input,
                   "Safetensors file with input_ids [B, T]: the rows of every step")
      ->type_name(kInputFile);
  command
      .add_option("--tokenizer", options.tokenizer,
                  "Folder with tokenizer.json (default: that of the weights)")
      ->type_name(kFolder);
  command
      .add_option("--token-cache", options.tokenCache,
                  "Folder for tokenized data (default: ~/.cache/hadal)")
      ->type_name(kFolder);
  command.add_flag("--allow-config-change", options.allowConfigChange,
                   "Begin with weights whose config.json has other values than the module's, as "
                   "where YaRN makes the context longer");
  command.add_option("--data-seed", options.dataSeed, "Order of the data (default 0)")
      ->check(seedNumber());
  command.add_flag("--mask-documents", options.maskDocuments,
                   "Documents packed into one row do not see each other");
  command.add_option("--fim-rate", options.fimRate, "Share of documents to fill the middle in of")
      ->check(numberWithin(0.0, 1.0));
}

/// Steps, rates and the optimizer.
void addOptimizer(CLI::App &command, TrainOptions &options) {
  OptimizerSettings &optimizer = options.optimizer;
  auto count = wholeNumberWithin(0, int64_t(1) << 40);
  command
      .add_option("--steps", optimizer.totalSteps, "Steps in all, those before --resume included")
      ->required()
      ->check(wholeNumberWithin(1, int64_t(1) << 40));
  command.add_option("--lr", optimizer.rate, "Learning rate")
      ->check(numberWithin(0.0, 1e30))
      ->capture_default_str();
  addChoice<Schedule>(command, "--lr-schedule,--schedule", optimizer.schedule,
                      {{"constant", Schedule::Constant},
                       {"cosine", Schedule::Cosine},
                       {"report", Schedule::Report},
                       {"wsd", Schedule::Wsd}},
                      "constant; cosine: down to --final-lr; wsd: constant, then in a line to "
                      "--final-lr; report: DeepSeek-V3's, constant, cosine to --final-lr, that "
                      "rate, --last-lr")
      ->default_str("constant");
  command.add_option("--warmup", optimizer.warmupSteps, "Steps over which the rate rises from 0")
      ->check(count)
      ->capture_default_str();
  ScheduleWishes &wishes = options.wishes;
  command
      .add_option("--final-lr", wishes.finalRate,
                  "Rate that cosine, wsd and report come down to (default: 0; of report --lr / 10)")
      ->check(numberWithin(0.0, 1e30));
  command
      .add_option("--last-lr", wishes.lastRate,
                  "report: rate of the last 167/14800 of the steps (default: --lr * 7.3 / 220)")
      ->check(numberWithin(0.0, 1e30));
  command
      .add_option("--hold", wishes.holdSteps,
                  "report: steps before the cosine begins (default: 10/14.8 of them)")
      ->check(count);
  command
      .add_option(
          "--lr-decay-share", wishes.decayShare,
          "wsd: share of the steps, at the end, in which the rate comes down (default: 0.1)")
      ->check(numberWithin(0.0, 1.0));
  command.add_option("--batch-ramp", options.batchRamp,
                     "FROM:STEPS: micro-batches of a step grow from FROM to all of the module's "
                     "over the first STEPS steps");
  command.add_option("--weight-decay", optimizer.weightDecay, "Decoupled decay")
      ->check(numberWithin(0.0, 1e30))
      ->capture_default_str();
  command.add_option("--clip", optimizer.clip, "Largest norm of all gradients; 0: no limit")
      ->check(numberWithin(0.0, 1e30))
      ->capture_default_str();
  command.add_option("--beta1", optimizer.beta1, "Of the first moment")
      ->check(numberWithin(0.0, 0.9999999))
      ->capture_default_str();
  command.add_option("--beta2", optimizer.beta2, "Of the second moment")
      ->check(numberWithin(0.0, 0.9999999))
      ->capture_default_str();
  command.add_option("--epsilon", optimizer.epsilon, "Added to the root of the second moment")
      ->check(numberWithin(0.0, 1.0))
      ->capture_default_str();
  command
      .add_option("--average-decay", optimizer.averageDecay,
                  "Of the moving average of the weights; 0: none")
      ->check(numberWithin(0.0, 0.9999999))
      ->capture_default_str();
}

/// What is measured and kept on the way.
void addTrainingRecords(CLI::App &command, TrainOptions &options) {
  auto count = wholeNumberWithin(0, int64_t(1) << 40);
  command
      .add_option(
          "--val-data", options.validation,
          "Data, as of --data, to tell the loss of: mean over all of its tokens, forward only")
      ->type_name(kData);
  command
      .add_option("--val-every", options.validateEvery,
                  "Steps from one validation to the next (default: the last step alone)")
      ->check(count);
  command
      .add_option(
          "--peak-tflops", options.peakTeraflops,
          "TFLOP/s that the machines of all ranks can do together; the share of it (MFU) is shown")
      ->check(numberWithin(0.0, 1e9));
  command.add_option("--log", options.log, "Write a line of JSON a step")->type_name(kOutputFile);
  command
      .add_option("--checkpoint-dir", options.checkpointDir,
                  "Folder for checkpoints, the last step's included")
      ->type_name(kFolder);
  command
      .add_option("--checkpoint-every", options.checkpointEvery,
                  "Steps from one checkpoint to the next")
      ->check(count);
  command.add_option("--keep", options.keep, "Checkpoints to keep, the newest (default: all)")
      ->check(count);
  addChoice<ElementType>(
      command, "--checkpoint-dtype", options.checkpointDtype,
      {{"float32", ElementType::F32},
       {"f32", ElementType::F32},
       {"bfloat16", ElementType::BF16},
       {"bf16", ElementType::BF16}},
      "Of the weights in checkpoints: float32; bfloat16: half as large, for serving (a run goes on "
      "bit for bit all the same)")
      ->default_str("float32");
  command
      .add_option("--resume", options.resume,
                  "Go on from the newest checkpoint in this folder, or from this checkpoint")
      ->type_name(kFolder);
}

void addTrain(CLI::App &app, Chosen &chosen, bool carriesModule) {
  CLI::App *command = app.add_subcommand("train", "Train a model on text, or on rows of token ids");
  command->footer("  hadal-run train t.hadal --init-seed 1 --data train.txt --tokenizer model \\\n"
                  "      --steps 1000 --checkpoint-dir out\n"
                  "  hadal-run train t.hadal --data train.txt --tokenizer model --steps 2000 \\\n"
                  "      --checkpoint-dir out --resume out\n"
                  "  mpirun -n 8 hadal-run train t8.hadal --init-seed 1 --data train.txt \\\n"
                  "      --tokenizer model --steps 1000");
  TrainOptions &options = chosen.train;
  addCommon(*command, options, carriesModule, /*wantsWeights=*/false);
  addTrainingData(*command, options);
  addOptimizer(*command, options);
  addTrainingRecords(*command, options);
  addJob(*command, options.job);
  command->add_option("--html", options.html, "Write a page with the run's curves")
      ->type_name(kOutputFile);
  command->add_option("--stats", options.stats, "Write the run's figures as a line of JSON")
      ->type_name(kOutputFile);
  command->callback([&] {
    chosen.command = [&](std::optional<Module> carried) {
      return train(options, std::move(carried));
    };
  });
}

void addCall(CLI::App &app, Chosen &chosen, bool carriesModule) {
  CLI::App *command =
      app.add_subcommand("call", "Call one function of a module made from a .mlir file");
  command->footer("  hadal-run call f.hadal @f --input in.safetensors -o out.safetensors");
  CallOptions &options = chosen.call;
  addCommon(*command, options, carriesModule, /*wantsWeights=*/false);
  command->add_option("FUNCTION", options.function, "Name of the function, as @name")->required();
  command->add_option("--input", options.input, "Safetensors file with arg0, arg1, ...")
      ->type_name(kInputFile);
  command->add_option("-o", options.output, "Safetensors file to write: result0, result1, ...")
      ->type_name(kOutputFile)
      ->required();
  command->callback([&] {
    chosen.command = [&](std::optional<Module> carried) {
      return call(options, std::move(carried));
    };
  });
}

void addDevices(CLI::App &app, Chosen &chosen) {
  CLI::App *command = app.add_subcommand("devices", "The devices of this machine");
  command->footer("  hadal-run devices");
  command->callback([&] { chosen.command = [](std::optional<Module>) { return devices(); }; });
}

/// Text as all ranks would have it: 1e-3 and 0.001 are one number.
std::string comparable(const std::string &text) {
  double number = 0;
  auto end = std::from_chars(text.data(), text.data() + text.size(), number);
  bool isWhole =
      text.find_first_not_of("0123456789") == text.npos; // as a double it might lose digits
  if (isWhole || end.ec != std::errc() || end.ptr != text.data() + text.size())
    return text;
  char shortest[32];
  return std::string(shortest, std::to_chars(shortest, shortest + sizeof shortest, number).ptr);
}

/// What ranks of one job must have been told alike: the command and its options. Files may have
/// other names on other machines, so only whether they were given counts (what is in them is
/// compared where they are read), and some options are a rank's own affair.
std::vector<Fact> wordsOf(const CLI::App &command) {
  static const std::set<std::string> own = {
      "--help",           "--threads",      "--device",        "--emulator-seed",
      "--device-timeout", "--rank-timeout", "--link-delay-us", "MODULE"};
  std::vector<Fact> words = {{"the command", command.get_name(), true}};
  for (const CLI::Option *option : command.get_options()) {
    std::string name = option->get_name();
    if (own.count(name))
      continue;
    std::string value = option->count() ? "" : comparable(option->get_default_str());
    for (const std::string &text : option->count() ? option->results() : std::vector<std::string>())
      value += (value.empty() ? "" : " ") + comparable(text);
    if (namesPath(*option))
      value = option->count() ? "given" : "";
    words.push_back({name, value, true});
  }
  return words;
}

/// What "-" stands for. A stream has one reader, and mpirun passes its standard input to one rank.
Status checkFiles(const CLI::App &command, unsigned ranks) {
  HADAL_TRY(claimStandardFiles(command, {"--json"}));
  for (const CLI::Option *option : optionsOf(command))
    for (const std::string &path : option->results())
      if (std::string type = option->get_type_name();
          ranks > 1 && (type == kInputFile || type == kData) && isStream(path))
        return invalidArgument(nameOfInput(path) + ": can be read by one rank, there are " +
                               std::to_string(ranks) + "; give a file");
  return {};
}

int runMain(int argc, char **argv, const std::string &program) {
  auto fail = [&](const std::string &message) {
    if (message.empty()) // another rank says it
      return 1;
    std::fprintf(stderr, "%s: %s\n", program.c_str(), message.c_str());
    return 1;
  };
  auto carried = Module::openAppended("/proc/self/exe");
  if (!carried.ok())
    return fail(carried.error().message);
  bool carriesModule = carried->has_value();

  CLI::App app(
      carriesModule
          ? "A model compiled by hadal. Its weights stay in their checkpoint: give --weights DIR."
          : "Runs modules that hadal-compile wrote.",
      program);
  app.formatter(std::make_shared<HelpFormatter>());
  app.get_help_ptr()->description("Print this help and exit");
  app.set_version_flag("--version", HADAL_VERSION, "Print the version and exit");
  app.require_subcommand(1);
  Chosen chosen;
  chosen.generate.start = chosen.train.start = std::chrono::steady_clock::now();
  addGenerate(app, chosen, carriesModule);
  addLogits(app, chosen, carriesModule);
  addScore(app, chosen, carriesModule);
  addGradients(app, chosen, carriesModule);
  addTrain(app, chosen, carriesModule);
  addCall(app, chosen, carriesModule);
  addDevices(app, chosen);
  app.set_config("--config")->group(""); // each command lists its own
  app.config_formatter(std::make_shared<CommandConfig>(app));
  // All ranks have the same words as a rule; the first says what is wrong with them, and mpirun
  // ends the others meanwhile.
  Launch launch = Launch::ofThisProcess();
  unsigned rank = launch.rank;
  auto waitForTheFirst = [&] { // a busy machine's mpirun takes some time
    if (rank != 0)
      std::this_thread::sleep_for(std::chrono::seconds(5));
  };
  std::optional<int> status = parseCommandLine(app, argc, argv, program, /*silent=*/rank != 0);
  if (status && *status != 0 && rank != 0) {
    waitForTheFirst();
    return *parseCommandLine(app, argc, argv, program + ": rank " + std::to_string(rank));
  }
  if (status)
    return *status;
  const CLI::App &command = *app.get_subcommands().front();
  if (Status files = checkFiles(command, launch.ranks); !files.ok()) {
    waitForTheFirst();
    return fail(files.error().message);
  }
  std::vector<Fact> words = wordsOf(command);
  for (JobOptions *job : {&chosen.generate.job, &chosen.logits.job, &chosen.score.job,
                          &chosen.gradients.job, &chosen.train.job})
    job->words = words;
  Status run = chosen.command(std::move(*carried));
  return run.ok() ? finish(program, StopSignal::exitStatus()) : fail(run.error().message);
}

} // namespace

int main(int argc, char **argv) {
  std::string program = argc > 0 ? std::filesystem::path(argv[0]).filename().string() : "hadal-run";
  startTool(program.c_str());
  StopSignal::install();
  try {
    return runMain(argc, argv, program);
  } catch (const std::bad_alloc &) {
    std::fprintf(stderr, "%s: out of memory\n", program.c_str());
    return 1;
  } catch (const std::exception &error) { // of the library: the runtime itself throws nothing
    std::fprintf(stderr, "%s: %s\n", program.c_str(), error.what());
    return 1;
  }
}
