//===- hadal-compare.cpp - make inputs for an op, check its results ---------===//
//
//   hadal-compare make  OP [key=value ...] -o IN.safetensors
//   hadal-compare check OP [key=value ...] IN.safetensors OUT.safetensors
//
// Both take the same settings, so that a test states them once. Exit status 1 and one line on
// stderr where a result is not what test/reference says. HADAL_COMPARE_DEVICE=gpu in the
// environment says that tensor cores may have made it: products may have their order.
//
//===----------------------------------------------------------------------===//

#include "runtime/Safetensors.h"
#include "test/exec/Compare.h"

#include <algorithm>
#include <cstdlib>

using namespace hadal;
using namespace hadal::compare;

static Case findCase(const std::string &op) {
  std::string known;
  for (auto cases :
       {attentionCases(), expertCases(), fp8Cases(), layerCases(), productCases(), stepCases()})
    for (Case &candidate : cases) {
      if (candidate.op == op)
        return candidate;
      known += " " + candidate.op;
    }
  fail("unknown op '" + op + "', there are:" + known);
}

static void writeInputs(const Inputs &inputs, const std::string &path) {
  std::vector<NamedTensor> named;
  for (const Tensor &tensor : inputs.tensors)
    named.push_back({"arg" + std::to_string(named.size()), tensor.view()});
  if (Status written = writeSafetensors(path, named); !written)
    fail(written.error().message);
}

int main(int argc, char **argv) {
  std::vector<std::string> words(argv + 1, argv + argc), files;
  if (words.size() < 2 || (words[0] != "make" && words[0] != "check"))
    fail("wants: make OP [key=value ...] -o FILE, or check OP [key=value ...] IN OUT");
  Case chosen = findCase(words[1]);
  Settings settings;
  if (const char *device = std::getenv("HADAL_COMPARE_DEVICE"))
    settings.values["device"] = device;
  std::string output;
  for (size_t i = 2; i < words.size(); ++i) {
    size_t equals = words[i].find('=');
    std::string key = words[i].substr(0, equals);
    if (words[i] == "-o" && i + 1 < words.size())
      output = words[++i];
    else if (equals == std::string::npos || key.find('/') != std::string::npos)
      files.push_back(words[i]);
    else if (key != "seed" && key != "mantissa" &&
             std::find(chosen.keys.begin(), chosen.keys.end(), key) == chosen.keys.end())
      fail(chosen.op + " takes no setting '" + key + "'");
    else
      settings.values[key] = words[i].substr(equals + 1);
  }
  if (words[0] == "make") {
    if (output.empty() || !files.empty())
      fail("make wants -o FILE and no other file");
    Random random(static_cast<uint64_t>(settings.integer("seed", 1)),
                  static_cast<int>(settings.integer("mantissa", 24)));
    Inputs inputs;
    chosen.make(settings, random, inputs);
    writeInputs(inputs, output);
    return 0;
  }
  if (files.size() != 2)
    fail("check wants two files: the arguments and the results");
  chosen.check(settings, Check(Tensors::open(files[0]), Tensors::open(files[1])));
  return 0;
}
