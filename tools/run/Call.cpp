//===- Call.cpp - hadal-run call ----------------------------------------===//

#include "runtime/comm/MpiComm.h"
#include "runtime/session/FunctionCall.h"
#include "runtime/session/Job.h"
#include "tools/Progress.h"
#include "tools/run/Commands.h"
#include "tools/run/TensorFiles.h"

using namespace hadal;
using namespace hadal::run;

/// A function is called on one rank, and talks to no other.
static Status checkOneRank(const Module &module) {
  const std::string &path = module.path();
  unsigned wanted = HADAL_TRY(ranksOf(module));
  if (wanted > 1)
    return invalidArgument(path + ": is for " + std::to_string(wanted) +
                           " ranks, call runs a function on one");
  if (unsigned started = Launch::ofThisProcess().ranks; started > 1)
    return invalidArgument(path + ": call runs a function on one rank, mpirun started " +
                           std::to_string(started));
  return {};
}

Status run::call(const CallOptions &options, std::optional<Module> carried) {
  auto job = HADAL_TRY(Job::open({}, "hadal-run"));
  std::unique_ptr<Session> session;
  HADAL_TRY(job->agree(
      [&]() -> Status {
        session = HADAL_TRY(Session::open(options, std::move(carried)));
        return checkOneRank(session->module());
      }(),
      "opens the module"));
  std::string name = options.function.substr(options.function.starts_with("@") ? 1 : 0);
  HADAL_TRY(session->module().program(name));
  std::optional<Safetensors> file;
  if (!options.input.empty())
    file.emplace(HADAL_TRY(Safetensors::open(HADAL_TRY(MappedFile::openInput(options.input)))));
  {
    Progress progress("packing weights");
    HADAL_TRY(session->load(0, [&](uint64_t done, uint64_t total) { progress.show(done, total); }));
  }

  ProgramRun run = HADAL_TRY(session->executor().prepare(name));
  const fb::Program &program = run.program();
  std::vector<Tensor> inputs;
  for (const fb::Argument *argument : *program.arguments()) {
    if (argument->output())
      continue;
    if (!file)
      return invalidArgument("@" + name + ": wants tensor '" + argument->name()->str() +
                             "'; give a file with --input");
    inputs.push_back(HADAL_TRY(file->read(argument->name()->string_view())));
    HADAL_TRY(bindWithSizes(run, argument->name()->string_view(), inputs.back().view()));
  }
  HADAL_TRY(run.execute());
  std::vector<NamedTensor> outputs;
  for (const fb::Argument *argument : *program.arguments())
    if (argument->output())
      outputs.push_back(
          {argument->name()->str(), HADAL_TRY(run.output(argument->name()->string_view()))});
  HADAL_TRY(session->writeTrace());
  return writeSafetensors(options.output, outputs);
}
