//===- Fp8Recipe.cpp - which options of FP8 a Linear has ------------------===//

#include "mlir/IR/Diagnostics.h"
#include "passes/quantize/Fp8Quantizer.h"
#include "llvm/Support/GlobPattern.h"

using namespace mlir;
using namespace hadal;

namespace {

/// What an option is called, and its values; the first is the recipe's.
struct OptionValues {
  StringRef name;
  SmallVector<StringRef, 4> values;
};

const OptionValues &valuesOf(Fp8Recipe::Option option) {
  // In the order of Fp8Recipe::Option.
  static const OptionValues all[Fp8Recipe::optionCount] = {
      {"format", {"e4m3", "e5m2"}},
      {"scales", {"f32", "pow2"}},
      {"gradient-tile", {"1x128", "128x128"}},
      {"attention-output", {"e5m6", "e4m3"}},
      {"swiglu", {"e4m3", "f32"}},
      {"interval", {"128", "64", "32", "0"}},
      {"accumulate", {"fp32", "hopper"}},
  };
  return all[option];
}

} // namespace

bool Fp8Recipe::read(Option option, StringRef text, function_ref<void(const Twine &)> error) {
  auto &[name, values] = valuesOf(option);
  SmallVector<StringRef> parts;
  text.split(parts, ',');
  for (StringRef part : parts) {
    Entry entry;
    StringRef value = part;
    if (size_t colon = part.rfind(':'); colon != StringRef::npos) {
      entry.pattern = part.take_front(colon).str();
      value = part.drop_front(colon + 1);
      if (auto glob = llvm::GlobPattern::create(*entry.pattern); !glob || entry.pattern->empty()) {
        llvm::consumeError(glob.takeError());
        error("wants a pattern of parts' names in front of ':' in " + name + ", got '" + part +
              "'");
        return false;
      }
    }
    auto known = llvm::find(values, value);
    if (known == values.end()) {
      error("wants " + name + " to be " + llvm::join(ArrayRef(values).drop_back(), ", ") + " or " +
            values.back() + ", got '" + value + "'");
      return false;
    }
    entry.value = known - values.begin();
    entries[option].push_back(std::move(entry));
  }
  return true;
}

/// The value, by its number, that `option` has for a part.
unsigned Fp8Recipe::choose(Option option, StringRef part) {
  unsigned chosen = 0;
  for (Entry &entry : entries[option]) {
    if (entry.pattern && !llvm::cantFail(llvm::GlobPattern::create(*entry.pattern)).match(part))
      continue;
    entry.matched = true;
    chosen = entry.value;
  }
  return chosen;
}

Fp8Options Fp8Recipe::of(StringRef part) {
  Fp8Options options;
  options.format = choose(Format, part) ? fp8::Format::E5M2 : fp8::Format::E4M3;
  options.pow2 = choose(Scales, part);
  options.gradientBlocks = choose(GradientTile, part);
  options.interval = std::stoll(valuesOf(Interval).values[choose(Interval, part)].str());
  options.hopper = choose(Accumulate, part);
  return options;
}

bool Fp8Recipe::checkPatterns(function_ref<InFlightDiagnostic()> error) const {
  for (unsigned option = 0; option < optionCount; ++option)
    for (const Entry &entry : entries[option])
      if (entry.pattern && !entry.matched) {
        StringRef after = option == AttentionOutput ? " after attention"
                          : option == Swiglu        ? " after SwiGLU"
                                                    : "";
        error() << "found no Linear" << after << " that '" << *entry.pattern << "' of "
                << valuesOf(Fp8Recipe::Option(option)).name << " matches";
        return false;
      }
  return true;
}
