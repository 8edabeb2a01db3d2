//===- Commands.h - the commands of hadal-run ---------------------------===//
//
// Each opens its module and checks its input, loads the weights, runs, and writes its output last:
// after an error there is no output file. `carried` is the module that the executable itself
// carries, if it does.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TOOLS_RUN_COMMANDS_H
#define HADAL_TOOLS_RUN_COMMANDS_H

#include "runtime/inference/Generation.h"
#include "runtime/inference/Scoring.h"
#include "runtime/session/Job.h"
#include "runtime/session/Session.h"
#include "runtime/training/Trainer.h"

#include <chrono>
#include <optional>
#include <string>

namespace hadal::run {

struct GenerateOptions : SessionOptions {
  std::optional<std::string> prompt;  ///< text; or
  std::string promptFile;             ///< file with a prompt on each line; or
  std::string input;                  ///< safetensors file with input_ids
  std::vector<std::string> stopTexts; ///< end a row where its text has one, and are cut off
  std::string stats;                  ///< file for a JSON line of figures; empty: none
  GenerationOptions generation;
  JobOptions job;
  std::chrono::steady_clock::time_point start; ///< of the process
};

struct LogitsCommandOptions : SessionOptions {
  std::string input, routes;
  bool dump = false;
  int64_t microBatches = 1;
  JobOptions job;
};

struct ScoreOptions : SessionOptions {
  std::string text;
  ScoringOptions scoring; ///< bos: from the tokenizer, where `withBos`
  bool withBos = false;
  bool json = false; ///< the result as a line of JSON
  int64_t microBatches = 1;
  JobOptions job;
};

struct CallOptions : SessionOptions {
  std::string function; ///< with or without its "@"
  std::string input;    ///< safetensors file with arg0 ...; empty for a function without inputs
};

struct GradientsOptions : SessionOptions {
  std::string
      input; ///< safetensors file with input_ids, and labels where some places predict nothing
  std::string reference; ///< module whose gradients are compared with; empty: none
  bool json = false;     ///< the comparison as a line of JSON
  JobOptions job;
};

struct TrainOptions : SessionOptions {
  std::optional<uint64_t> initSeed;
  std::vector<std::string> data; ///< files, folders and patterns of text and JSONL; or
  std::string input;             ///< safetensors file with the rows of every step
  std::string tokenizer;         ///< folder; empty: that of the weights
  std::string tokenCache;        ///< folder; empty: the user's
  bool allowConfigChange =
      false; ///< weights of another configuration, as where YaRN makes the context longer
  std::optional<uint64_t> dataSeed;
  bool maskDocuments = false;
  double fimRate = 0;
  std::vector<std::string> validation; ///< as data; empty: none
  int64_t validateEvery = 0;           ///< steps; 0: after the last one alone
  OptimizerSettings optimizer;
  ScheduleWishes wishes;
  std::string batchRamp;    ///< "FROM:STEPS"; empty: none
  double peakTeraflops = 0; ///< of all ranks' machines together; 0: not known
  std::string log, html, stats;
  std::string checkpointDir, resume;
  int64_t checkpointEvery = 0, keep = 0;
  ElementType checkpointDtype = ElementType::F32; ///< or BF16
  JobOptions job;
  std::chrono::steady_clock::time_point start; ///< of the process
};

Status generate(const GenerateOptions &options, std::optional<Module> carried);
Status logits(const LogitsCommandOptions &options, std::optional<Module> carried);
Status score(const ScoreOptions &options, std::optional<Module> carried);
/// An error without text is one that another rank tells.
Status gradients(const GradientsOptions &options, std::optional<Module> carried);
Status train(const TrainOptions &options, std::optional<Module> carried);
Status call(const CallOptions &options, std::optional<Module> carried);
/// Prints a line for each device of this machine, and for each kind that it has none of.
Status devices();

} // namespace hadal::run

#endif // HADAL_TOOLS_RUN_COMMANDS_H
