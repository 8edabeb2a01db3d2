//===- Text.cpp - a module for a terminal -------------------------------===//

#include "tools/inspect/Describe.h"

#include <sstream>

using namespace hadal;
using namespace hadal::inspect;

namespace {

std::string plain(const Json &value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

/// 1536 -> "1.5 KiB".
std::string bytes(uint64_t count) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(count);
  int unit = 0;
  for (; value >= 1024 && unit < 4; ++unit)
    value /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
  return text;
}

/// "f32 [tokens, 64]"
std::string typed(const Json &thing) {
  std::string text = thing["dtype"].get<std::string>() + " [";
  for (size_t i = 0; i < thing["shape"].size(); ++i)
    text += (i ? ", " : "") + plain(thing["shape"][i]);
  return text + "]";
}

std::string place(const Json &binding) {
  std::string text;
  for (const char *space : {"parameter", "weight", "state", "argument", "constant", "temporary"})
    if (binding.contains(space))
      text = std::string(binding[space].is_string() ? "" : "%") + plain(binding[space]);
  if (binding.contains("element"))
    text += "{" + plain(binding["element"]) + "}";
  if (binding.contains("offset"))
    text += " + " + plain(binding["offset"]);
  return text;
}

/// What streams and ranks say to each other.
void printEvent(std::ostream &out, const Json &command) {
  auto group = [&] {
    out << " among " << command["parts"] << " parts, " << command["stride"] << " apart, of "
        << command["segments"] << " segments";
  };
  if (command.contains("exchange_counts")) {
    out << "exchange_counts(" << plain(command["send"]) << ") -> "
        << plain(command["exchange_counts"]) << ", " << plain(command["rows"]) << ", "
        << plain(command["choices"]);
    group();
  } else if (command.contains("exchange")) {
    out << "exchange(" << plain(command["source"]) << ") -> " << plain(command["exchange"])
        << " by " << plain(command["send_counts"]) << ", " << plain(command["receive_counts"]);
    group();
    out << ", rows of " << command["row_bytes"] << " bytes";
  } else if (command.contains("send")) {
    out << "send " << plain(command["send"]) << " to stage " << command["stage"];
  } else if (command.contains("receive")) {
    out << "receive " << plain(command["receive"]) << " from stage " << command["stage"];
  } else if (command.contains("record") || command.contains("wait")) {
    const char *what = command.contains("record") ? "record" : "wait";
    out << what << " event " << command[what];
  } else {
    out << command.dump();
  }
}

void printCommands(std::ostream &out, const Json &commands, int indent) {
  for (const Json &command : commands) {
    out << std::string(indent, ' ');
    std::string places;
    if (command.contains("bindings"))
      for (const Json &binding : command["bindings"])
        places += (places.empty() ? "" : ", ") + place(binding);
    if (command.contains("launch")) {
      out << command["launch"].get<std::string>() << "(" << places << ")";
      std::string scalars;
      for (const Json &scalar : command["scalars"])
        scalars += (scalars.empty() ? "" : ", ") + plain(scalar);
      if (!scalars.empty())
        out << " [" << scalars << "]";
      out << " x " << plain(command["tasks"]);
    } else if (command.contains("copy")) {
      out << "copy(" << places << ") " << plain(command["copy"]) << " bytes";
    } else if (command.contains("call")) {
      out << "call @" << command["call"].get<std::string>() << "(" << places << ")";
    } else if (command.contains("repeat")) {
      out << "repeat " << command["register"].get<std::string>() << " < "
          << plain(command["repeat"]) << ":";
    } else if (command.contains("skip_if_zero")) {
      out << "unless " << plain(command["skip_if_zero"]) << " is 0:";
    } else {
      printEvent(out, command);
    }
    if (command.contains("stream"))
      out << " (stream " << command["stream"] << ")";
    out << "\n";
    if (command.contains("body"))
      printCommands(out, command["body"], indent + 2);
  }
}

/// How a weight or a state lies, where that is not as stored.
std::string laidOut(const Json &buffer) {
  std::string layout = buffer["layout"].get<std::string>();
  return layout.empty() ? "" : ", " + layout;
}

/// What the module is for, who made it, and its jobs.
void printHead(std::ostream &out, const Json &module) {
  out << module["file"].get<std::string>() << ", by " << module["producer"].get<std::string>()
      << "\n";
  size_t cubins = 0;
  uint64_t cubinBytes = 0;
  for (const Json &code : module["codes"]) {
    if (code.contains("assembler")) { // there is one for each kernel
      ++cubins;
      cubinBytes += code["bytes"].get<uint64_t>();
      continue;
    }
    out << "code for " << code["target"]["family"].get<std::string>() << ", "
        << code["target"]["processor"].get<std::string>() << ": "
        << code["format"].get<std::string>() << ", " << bytes(code["bytes"]) << "\n";
  }
  if (cubins)
    out << "  assembled by " << module["target"]["ptxas"].get<std::string>() << ": " << cubins
        << " cubins, " << bytes(cubinBytes) << "\n";
  if (module.contains("model")) {
    out << "model\n";
    for (const auto &[key, value] : module["model"].items())
      out << "  " << key << " " << plain(value) << "\n";
    out << "  cache_elements_per_token " << module["cache_elements_per_token"] << "\n";
  }
  if (module.contains("inference")) {
    const Json &inference = module["inference"];
    out << "inference on " << inference["ep"] << " ranks, " << inference["nodes"]
        << (inference["nodes"] == 1 ? " node" : " nodes") << ", each with a share of "
        << inference["sharded"].size() << " stacks of experts\n";
  }
}

/// A stack of tensors says its numbers.
void printCount(std::ostream &out, const Json &parameter) {
  if (parameter["count"] != 1)
    out << ", {} from 0 to " << parameter["count"].get<uint64_t>() - 1;
}

void printTraining(std::ostream &out, const Json &training) {
  out << "training\n";
  for (const auto &[key, value] : training.items())
    if (key != "trainables")
      out << "  " << key << " " << plain(value) << "\n";
  out << "trainable parameters\n";
  for (const Json &trainable : training["trainables"]) {
    out << "  " << trainable["name"].get<std::string>() << ": " << trainable["shape"].dump();
    printCount(out, trainable);
    out << ", " << trainable["layout"].get<std::string>()
        << (trainable["correction"] ? ", moved by loads" : "") << "\n";
  }
}

void printRanks(std::ostream &out, const Json &ranks) {
  out << "ranks\n";
  for (const Json &rank : ranks)
    out << "  " << rank["rank"] << ": pp " << rank["pp"] << ", ep " << rank["ep"] << ", dp "
        << rank["dp"] << ": " << rank["experts_per_layer"] << " experts a layer, parameters "
        << bytes(rank["parameter_bytes"]) << ", sends " << bytes(rank["sent_bytes_per_step"])
        << " a step, memory " << bytes(rank["memory_bytes"])
        << (rank["worst_memory_bytes"] == rank["memory_bytes"]
                ? ""
                : ", at most " + bytes(rank["worst_memory_bytes"]))
        << "\n";
}

/// What the assembler said of a kernel.
void printStatistics(std::ostream &out, const Json &kernel) {
  out << "    " << kernel["registers"] << " registers, " << bytes(kernel["spill_bytes"])
      << " spilled, " << kernel["blocks_per_sm"] << " blocks per multiprocessor\n";
  for (const Json &warning : kernel["warnings"])
    out << "    " << warning.get<std::string>() << "\n";
  if (!kernel["opcodes"].empty()) {
    out << "   ";
    for (const Json &opcode : kernel["opcodes"])
      out << " " << opcode.get<std::string>();
    out << "\n";
  }
}

void printKernels(std::ostream &out, const Json &kernels) {
  out << "kernels\n";
  for (const Json &kernel : kernels) {
    bool isGrid = kernel.contains("tier"), isSerial = isGrid && kernel["tier"] == "serial";
    out << "  " << kernel["symbol"].get<std::string>() << ": " << kernel["launches"] << " launches";
    if (isGrid)
      out << ", " << plain(kernel["tier"]) << ", blocks of " << kernel["threads"] << " threads"
          << (isSerial ? ", one task per thread" : "");
    if (isGrid && !isSerial)
      out << ", clusters of " << kernel["cluster"] << ", " << bytes(kernel["shared_bytes"])
          << " shared, " << kernel["tensor_maps"] << " tensor maps";
    if (kernel["scratch_bytes"] != 0)
      out << ", " << bytes(kernel["scratch_bytes"]) << " of scratch for each "
          << (!isGrid    ? "worker"
              : isSerial ? "thread"
                         : "block");
    out << "\n";
    if (kernel.contains("registers"))
      printStatistics(out, kernel);
  }
}

void printProgram(std::ostream &out, const Json &program) {
  out << "program @" << program["name"].get<std::string>() << "\n";
  for (const Json &argument : program["arguments"])
    out << "  " << (argument["output"] ? "out " : "in ") << argument["name"].get<std::string>()
        << ": " << typed(argument) << "\n";
  if (!program["temporaries"].empty())
    out << "  " << program["temporaries"].size() << " temporaries in " << program["slots"]
        << " slots\n";
  for (size_t i = 0; i < program["temporaries"].size(); ++i)
    out << "  %" << i << ": " << plain(program["temporaries"][i]["bytes"]) << " bytes, slot "
        << program["temporaries"][i]["slot"] << "\n";
  printCommands(out, program["commands"], 2);
}

/// What stays in memory from run to run, and what a checkpoint has to have.
void printMemory(std::ostream &out, const Json &module) {
  uint64_t packed = 0;
  for (const Json &weight : module["weights"])
    packed += weight["bytes"].get<uint64_t>();
  out << "states\n";
  for (const Json &state : module["states"])
    out << "  " << state["name"].get<std::string>() << ": " << typed(state) << laidOut(state)
        << "\n";
  out << "weights, " << bytes(packed) << " packed\n";
  for (const Json &weight : module["weights"])
    out << "  " << weight["name"].get<std::string>() << ": " << bytes(weight["bytes"])
        << laidOut(weight) << "\n";
  out << "parameters\n";
  for (const Json &parameter : module["parameters"]) {
    out << "  " << parameter["name"].get<std::string>() << ": " << typed(parameter);
    printCount(out, parameter);
    out << "\n";
  }
}

} // namespace

std::string inspect::toText(const Json &module) {
  std::ostringstream out;
  printHead(out, module);
  if (module.contains("training"))
    printTraining(out, module["training"]);
  if (module.contains("ranks"))
    printRanks(out, module["ranks"]);
  printKernels(out, module["kernels"]);
  for (const Json &program : module["programs"])
    printProgram(out, program);
  printMemory(out, module);
  return out.str();
}
