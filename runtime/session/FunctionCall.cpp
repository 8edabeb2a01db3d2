//===- FunctionCall.cpp - sizes that arguments bring with them ----------===//

#include "runtime/session/FunctionCall.h"

#include <charconv>

using namespace hadal;

Status hadal::bindWithSizes(ProgramRun &run, std::string_view argument, const TensorView &tensor) {
  HADAL_TRY(run.bind(argument, tensor));
  for (const auto *name : *run.program().registers()) {
    std::string_view text = name->string_view();
    if (!text.starts_with(argument) || text.size() < argument.size() + 2 ||
        text[argument.size()] != '.')
      continue;
    size_t dimension = 0;
    const char *first = text.data() + argument.size() + 1, *last = text.data() + text.size();
    auto [end, failed] = std::from_chars(first, last, dimension);
    if (failed != std::errc() || end != last)
      continue;
    if (dimension >= tensor.shape.size())
      return invalidArgument(run.program().name()->str() + ": " + std::string(argument) +
                             ": wants at least " + std::to_string(dimension + 1) +
                             " dimensions, got " + toString(tensor.shape));
    HADAL_TRY(run.setRegister(text, tensor.shape[dimension]));
  }
  return {};
}
