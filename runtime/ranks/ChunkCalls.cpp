//===- ChunkCalls.cpp - stream 0 of a chunk program, and its waits ------===//

#include "runtime/ranks/ChunkCalls.h"

#include "runtime/comm/Activity.h"

using namespace hadal;

Result<CallOperands> hadal::operandsOf(ChunkRun &run, const fb::Program &callee,
                                       const fb::Call &call, MemoryPool &pool) {
  const fb::Program &program = *run.program.program;
  for (uint32_t i = 0; i < call.arguments()->size(); ++i) {
    const fb::Binding *binding = call.arguments()->Get(i);
    if (binding->space() != fb::Space_Argument)
      continue;
    if (callee.arguments()->Get(i)->output())
      HADAL_TRY(run.values.allocate(pool, run.program, binding->index()));
    else if (!run.values.valueOf(run.program, binding->index()).data)
      return invalidArgument(callee.name()->str() + ": '" +
                             program.arguments()->Get(binding->index())->name()->str() +
                             "' was never written");
  }
  CallOperands operands;
  operands.registers = run.values.registersOf(run.program);
  for (uint32_t i = 0; i < program.arguments()->size(); ++i) {
    auto &value = run.values.valueOf(run.program, i);
    operands.arguments.push_back(value.data);
    operands.bytes.push_back(value.bytes);
  }
  return operands;
}

void hadal::takeRecords(ChunkRun &run) {
  for (; !run.isDone(0); ++run.next[0]) {
    const fb::Command *next =
        run.program.program->commands()->Get(run.program.streams[0][run.next[0]]);
    if (next->action_type() != fb::Action_Record)
      return;
    run.recorded.insert(next->action_as_Record()->event());
  }
}

void MessageWait::begin(Comm::Clock::time_point now, const Peer &peer) {
  since = now;
  if (peer)
    Activity::set("%s from rank %u", peer->second.c_str(), peer->first);
}

std::optional<Comm::Seconds> MessageWait::end() {
  if (!since)
    return std::nullopt;
  Comm::Seconds waited = Comm::Clock::now() - *since;
  since.reset();
  return waited;
}
