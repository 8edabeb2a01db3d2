//===- RankSizes.cpp - how large a rank's work is -------------------------===//

#include "runtime/module/RankSizes.h"
#include "runtime/Tensor.h"
#include "runtime/module/Expr.h"
#include "runtime/module/Names.h"

#include <algorithm>

namespace hadal {

/// Figures of impossible sizes stay at the largest number.
static int64_t times(int64_t a, int64_t b) {
  int64_t product;
  return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

int64_t probeOf(std::string_view name, uint64_t which) {
  uint64_t hash = 14695981039346656037u + which;
  for (char c : name)
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return 1 + int64_t(hash >> 33) % 1000;
}

/// Those that no exchange sets.
static NamedRegisters driverRegisters(const fb::Training &training) {
  NamedRegisters registers;
  registers[names::reg::sequences] = training.micro_batch();
  for (int64_t depth = 0; depth <= training.mtp_depth(); ++depth) {
    std::string prefix = depth ? names::ofDepth(depth) : "";
    int64_t length = std::max<int64_t>(training.sequence() - depth, 0);
    registers[prefix + names::reg::tokens] = times(training.micro_batch(), length);
    registers[prefix + names::reg::attended] =
        times(training.micro_batch(), times(length, length + 1) / 2);
  }
  return registers;
}

/// Calls `of` for all exchanges of counts, with the number of parts that experts fall into after
/// them: a second hop (whose counts have a segment for each rank that the first came from) divides
/// each part of the first.
template <typename Function>
static void visitCounts(const fb::Module &module, const fb::Stage &stage, Function of) {
  for (uint32_t number : {stage.forward(), stage.input_grad(), stage.weight_grad()}) {
    const fb::Program &program = *module.programs()->Get(number);
    int64_t parts = 1;
    for (const fb::Command *command : *program.commands())
      if (const fb::ExchangeCounts *exchange = command->action_as_ExchangeCounts()) {
        parts = exchange->segments() == 1 ? exchange->parts() : times(parts, exchange->parts());
        of(program, *exchange, parts);
      }
  }
}

static int64_t choicesPerToken(const fb::Module &module) {
  return module.model() ? std::max<int64_t>(module.model()->experts_per_token(), 1) : 1;
}

/// In thousandths: among how many of `parts` a token's choices are spread. L of them are within its
/// reach.
static int64_t partsOfToken(const fb::Module &module, int64_t parts) {
  double reach = double(parts);
  if (const fb::Model *model = module.model(); model && model->expert_groups() > 0) {
    double groups = double(model->expert_groups()), chosen = double(model->groups_per_token());
    reach = std::clamp(parts < groups ? chosen : chosen * reach / groups, 1.0, reach);
  }
  double missed = 1; // by all choices
  for (int64_t i = 0; i < std::min<int64_t>(choicesPerToken(module), 64); ++i)
    missed *= 1 - 1 / reach;
  return int64_t(reach * (1 - missed) * 1000 + 0.5);
}

NamedRegisters balancedRegisters(const fb::Module &module, const fb::Stage &stage) {
  NamedRegisters registers = driverRegisters(*module.training());
  int64_t tokens = registers[names::reg::tokens], choices = times(tokens, choicesPerToken(module));
  visitCounts(module, stage,
              [&](const fb::Program &program, const fb::ExchangeCounts &exchange, int64_t parts) {
                int64_t rows = times(tokens, partsOfToken(module, parts)) / 1000;
                registers[program.registers()->Get(exchange.rows())->str()] =
                    std::clamp<int64_t>(rows, std::min<int64_t>(tokens, 1), choices);
                registers[program.registers()->Get(exchange.choices())->str()] = choices;
              });
  return registers;
}

NamedRegisters worstRegisters(const fb::Module &module, const fb::Stage &stage) {
  NamedRegisters registers = driverRegisters(*module.training());
  int64_t tokens = registers[names::reg::tokens],
          experts = module.model() ? module.model()->experts() : 0;
  visitCounts(module, stage,
              [&](const fb::Program &program, const fb::ExchangeCounts &exchange, int64_t parts) {
                int64_t rows = times(tokens, parts);
                for (const fb::Command *command : *program.commands())
                  if (const fb::Exchange *by = command->action_as_Exchange();
                      by && by->capacity() && by->send_counts() == exchange.send())
                    rows =
                        std::min(rows, times(int64_t(std::min<uint64_t>(by->capacity(), INT64_MAX)),
                                             exchange.parts()));
                int64_t here = std::max<int64_t>(experts / std::max<int64_t>(parts, 1), 1);
                registers[program.registers()->Get(exchange.rows())->str()] = rows;
                registers[program.registers()->Get(exchange.choices())->str()] =
                    times(rows, std::min(choicesPerToken(module), here));
              });
  return registers;
}

Result<int64_t> evaluateIn(const fb::Program &program, const fb::Expr &expr,
                           const NamedRegisters &registers) {
  std::vector<int64_t> values;
  for (const auto *name : *program.registers()) {
    auto found = registers.find(name->string_view());
    values.push_back(found == registers.end() ? 0 : found->second);
  }
  return evaluate({expr.code()->data(), expr.code()->size()}, values);
}

Result<uint64_t> argumentBytes(const fb::Program &program, uint32_t number,
                               const NamedRegisters &registers) {
  const fb::Argument &argument = *program.arguments()->Get(number);
  std::vector<int64_t> shape;
  for (const fb::Expr *size : *argument.shape())
    shape.push_back(HADAL_TRY(evaluateIn(program, *size, registers)));
  auto bytes = byteCount(static_cast<ElementType>(argument.element()), shape);
  if (!bytes)
    return invalidFile("argument " + argument.name()->str() + " of program " +
                       program.name()->str() + " has an impossible size");
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
