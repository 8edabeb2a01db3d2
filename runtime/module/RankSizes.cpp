#include "runtime/module/RankSizes.h"
#include "runtime/Tensor.h"
#include "runtime/module/Expr.h"

#include <algorithm>

namespace hadal {

/// Figures of impossible sizes stay at the largest number.
static int64_t times(int64_t a, int64_t b) {
  int64_t product;
  return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

NamedRegisters balancedRegisters(const fb::Module &module, const fb::Stage &stage) {
  const fb::Training &training = *module.training();
  NamedRegisters registers;
  registers["sequences"] = training.micro_batch();
  for (int64_t depth = 0; depth <= training.mtp_depth(); ++depth) {
    std::string prefix = depth ? "mtp." + std::to_string(depth) + "." : "";
    int64_t length = std::max<int64_t>(training.sequence() - depth, 0);
    registers[prefix + "tokens"] = times(training.micro_batch(), length);
    registers[prefix + "attended"] = times(training.micro_batch(), times(length, length + 1) / 2);
  }
  // The first hop of an exchange begins with the tokens; a second one spreads what came over the first (its counts have
  // a segment for each rank that this came from).
  int64_t tokens = registers["tokens"];
  int64_t choices = times(tokens, module.model() ? std::max<int64_t>(module.model()->experts_per_token(), 1) : 1);
  for (uint32_t number : {stage.forward(), stage.input_grad(), stage.weight_grad()}) {
    const fb::Program &program = *module.programs()->Get(number);
    int64_t rows = tokens;
    for (const fb::Command *command : *program.commands())
      if (const fb::ExchangeCounts *exchange = command->action_as_ExchangeCounts()) {
        rows = std::min(choices, times(exchange->segments() == 1 ? tokens : rows, int64_t(exchange->parts())));
        registers[program.registers()->Get(exchange->rows())->str()] = rows;
        registers[program.registers()->Get(exchange->choices())->str()] = choices;
      }
  }
  return registers;
}

Result<int64_t> evaluateIn(const fb::Program &program, const fb::Expr &expr, const NamedRegisters &registers) {
  std::vector<int64_t> values;
  for (const auto *name : *program.registers()) {
    auto found = registers.find(name->string_view());
    values.push_back(found == registers.end() ? 0 : found->second);
  }
  return evaluate({expr.code()->data(), expr.code()->size()}, values);
}

Result<uint64_t> argumentBytes(const fb::Program &program, uint32_t number, const NamedRegisters &registers) {
  const fb::Argument &argument = *program.arguments()->Get(number);
  std::vector<int64_t> shape;
  for (const fb::Expr *size : *argument.shape())
    shape.push_back(HADAL_TRY(evaluateIn(program, *size, registers)));
  auto bytes = byteCount(static_cast<ElementType>(argument.element()), shape);
  if (!bytes)
    return invalidFile("argument " + argument.name()->str() + " of program " + program.name()->str() +
                       " has an impossible size");
  return uint64_t(*bytes);
}

Result<uint64_t> sentBytes(const fb::Program &program, const NamedRegisters &registers) {
  uint64_t bytes = 0;
  for (const fb::Command *command : *program.commands()) {
    if (const fb::Send *send = command->action_as_Send())
      bytes += HADAL_TRY(argumentBytes(program, send->argument(), registers));
    if (const fb::ExchangeCounts *counts = command->action_as_ExchangeCounts())
      bytes += uint64_t(8) * counts->segments() * (counts->parts() - 1);
    if (const fb::Exchange *exchange = command->action_as_Exchange()) {
      // Evenly: a part of what lies there is for each part.
      uint64_t all = HADAL_TRY(argumentBytes(program, exchange->source(), registers));
      bytes += all / exchange->parts() * (exchange->parts() - 1);
    }
  }
  return bytes;
}

} // namespace hadal
