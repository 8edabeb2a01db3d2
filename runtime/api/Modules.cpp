//===- Modules.cpp - the C API's modules and calls ----------------------===//

#include "runtime/api/Handles.h"

#include "runtime/CheckpointFit.h"
#include "runtime/ranks/RankLayout.h"
#include "runtime/session/FunctionCall.h"
#include "runtime/training/Trainables.h"

#include <algorithm>

using namespace hadal;
using namespace hadal::api;

static thread_local std::string lastError;

hadal_status api::fail(hadal_status status, const std::string &message) noexcept {
  try {
    lastError = message;
  } catch (...) {
    lastError.clear(); // no memory for the text: the status says so
  }
  return status;
}

hadal_status api::fail(const Error &error) noexcept {
  static constexpr hadal_status statuses[] = {HADAL_INVALID_FILE, HADAL_INVALID_ARGUMENT,
                                              HADAL_NOT_FOUND,    HADAL_UNSUPPORTED,
                                              HADAL_IO,           HADAL_OUT_OF_MEMORY};
  return fail(statuses[size_t(error.code)], error.message);
}

uint32_t hadal_api_version(void) { return HADAL_API_VERSION; }
const char *hadal_version(void) { return HADAL_VERSION; }
const char *hadal_last_error(void) { return lastError.c_str(); }

// Elements have the numbers that the module file gives them.
static_assert(HADAL_F32 == int(ElementType::F32) && HADAL_I64 == int(ElementType::I64) &&
              HADAL_F8_E8M0 == int(ElementType::F8E8M0));

static Result<TensorView> viewOf(const char *function, const hadal_tensor &tensor) {
  if (tensor.rank > HADAL_MAX_RANK)
    return invalidArgument(std::string(function) + ": tensor.rank is " +
                           std::to_string(tensor.rank) + ", wants at most " +
                           std::to_string(HADAL_MAX_RANK));
  if (tensor.element < HADAL_F32 || tensor.element > HADAL_F8_E8M0)
    return invalidArgument(std::string(function) + ": tensor.element is " +
                           std::to_string(int(tensor.element)) + ", wants a hadal_element");
  TensorView view{ElementType(tensor.element), Shape(tensor.shape, tensor.shape + tensor.rank),
                  tensor.data};
  auto bytes = byteCount(view.element, view.shape);
  if (!bytes)
    return invalidArgument(std::string(function) + ": no tensor has the shape " +
                           toString(view.shape));
  if (*bytes && !tensor.data)
    return isNull(function, "tensor.data");
  return view;
}

static Result<hadal_tensor> tensorOf(const char *function, const TensorView &view) {
  if (view.shape.size() > HADAL_MAX_RANK)
    return unsupported(std::string(function) + ": the tensor has " +
                       std::to_string(view.shape.size()) + " dimensions, hadal_tensor at most " +
                       std::to_string(HADAL_MAX_RANK));
  hadal_tensor tensor{hadal_element(view.element), uint32_t(view.shape.size()), {}, view.data};
  std::copy(view.shape.begin(), view.shape.end(), tensor.shape);
  return tensor;
}

hadal_status hadal_open(const char *path, const hadal_open_options *given, hadal_module **module) {
  return guarded([&]() -> Status {
    if (!path || !module)
      return isNull("hadal_open", path ? "where to write the module" : "a path");
    hadal_open_options options =
        HADAL_TRY(optionsOf("hadal_open", given, hadal_open_options(HADAL_OPEN_OPTIONS_INIT)));
    SessionOptions session;
    session.module = path;
    session.threads = options.threads;
    session.checkMemory = options.check_memory != 0;
    session.device = options.device ? options.device : "";
    auto opened = std::make_shared<hadal_module::Opened>();
    opened->session = HADAL_TRY(Session::open(session, std::nullopt));
    if (unsigned ranks = HADAL_TRY(ranksOf(opened->session->module())); ranks > 1)
      return unsupported(std::string(path) + ": is for " + std::to_string(ranks) +
                         " ranks, hadal_open takes modules for one");
    *module = new hadal_module{std::move(opened)};
    return {};
  });
}

void hadal_close(hadal_module *module) { delete module; }

hadal_status hadal_load_weights(hadal_module *module, const char *checkpoint) {
  return guarded([&]() -> Status {
    if (!module || !checkpoint)
      return isNull("hadal_load_weights", module ? "a checkpoint" : "a module");
    hadal_module::Opened &opened = *module->opened;
    Session &session = *opened.session;
    if (opened.isLoaded)
      return invalidArgument("hadal_load_weights: " + session.module().path() +
                             " has its weights already");
    if (!session.module().tables().training()) {
      HADAL_TRY(session.openWeights(checkpoint));
      HADAL_TRY(session.load());
    } else {
      Checkpoint source = HADAL_TRY(Checkpoint::open(checkpoint));
      HADAL_TRY(checkConfig(session.module(), source));
      HADAL_TRY(session.load());
      Trainables trainables = HADAL_TRY(Trainables::create(session.executor()));
      HADAL_TRY(trainables.load(source));
      HADAL_TRY(trainables.startAverages());
      HADAL_TRY(trainables.checkFinite());
    }
    opened.checkpoint = checkpoint;
    opened.isLoaded = true;
    return {};
  });
}

Status api::makeReady(hadal_module::Opened &opened) {
  if (opened.isLoaded)
    return {};
  const Module &module = opened.session->module();
  const auto *parameters = module.tables().parameters();
  if ((parameters && parameters->size()) || module.tables().training())
    return invalidArgument(module.path() +
                           ": wants weights; give their checkpoint to hadal_load_weights");
  HADAL_TRY(opened.session->load());
  opened.isLoaded = true;
  return {};
}

size_t hadal_program_count(const hadal_module *module) {
  return module ? module->opened->session->module().tables().programs()->size() : 0;
}

const char *hadal_program_name(const hadal_module *module, size_t index) {
  if (index >= hadal_program_count(module))
    return nullptr;
  return module->opened->session->module()
      .tables()
      .programs()
      ->Get(static_cast<flatbuffers::uoffset_t>(index))
      ->name()
      ->c_str();
}

hadal_status hadal_set_state_register(hadal_module *module, const char *name, int64_t value) {
  return guarded([&]() -> Status {
    if (!module || !name)
      return isNull("hadal_set_state_register", module ? "a name" : "a module");
    HADAL_TRY(makeReady(*module->opened));
    return module->opened->session->executor().setStateRegister(name, value);
  });
}

hadal_status hadal_prepare(hadal_module *module, const char *program, hadal_call **call) {
  return guarded([&]() -> Status {
    if (!module || !program || !call)
      return isNull("hadal_prepare", !module    ? "a module"
                                     : !program ? "the name of a program"
                                                : "where to write the call");
    const char *name = program + (*program == '@');
    HADAL_TRY(module->opened->session->module().program(name));
    HADAL_TRY(makeReady(*module->opened));
    ProgramRun run = HADAL_TRY(module->opened->session->executor().prepare(name));
    *call = new hadal_call{module->opened, std::move(run)};
    return {};
  });
}

void hadal_free_call(hadal_call *call) { delete call; }

size_t hadal_argument_count(const hadal_call *call) {
  return call ? call->run.program().arguments()->size() : 0;
}

hadal_status hadal_get_argument(const hadal_call *call, size_t index, hadal_argument *argument) {
  return guarded([&]() -> Status {
    if (!call || !argument)
      return isNull("hadal_get_argument", call ? "where to write the argument" : "a call");
    const fb::Program &program = call->run.program();
    if (index >= program.arguments()->size())
      return notFound(program.name()->str() + ": no argument " + std::to_string(index) + " (has " +
                      std::to_string(program.arguments()->size()) + ")");
    const fb::Argument &table =
        *program.arguments()->Get(static_cast<flatbuffers::uoffset_t>(index));
    *argument = {table.name()->c_str(), hadal_element(table.element()), table.shape()->size(),
                 table.output()};
    return {};
  });
}

hadal_status hadal_set_register(hadal_call *call, const char *name, int64_t value) {
  return guarded([&]() -> Status {
    if (!call || !name)
      return isNull("hadal_set_register", call ? "a name" : "a call");
    return call->run.setRegister(name, value);
  });
}

hadal_status hadal_bind(hadal_call *call, const char *name, const hadal_tensor *tensor) {
  return guarded([&]() -> Status {
    if (!call || !name || !tensor)
      return isNull("hadal_bind", !call ? "a call" : !name ? "a name" : "a tensor");
    return bindWithSizes(call->run, name, HADAL_TRY(viewOf("hadal_bind", *tensor)));
  });
}

hadal_status hadal_run(hadal_call *call) {
  return guarded([&]() -> Status {
    if (!call)
      return isNull("hadal_run", "a call");
    return call->run.execute();
  });
}

hadal_status hadal_output(const hadal_call *call, const char *name, hadal_tensor *tensor) {
  return guarded([&]() -> Status {
    if (!call || !name || !tensor)
      return isNull("hadal_output", !call   ? "a call"
                                    : !name ? "a name"
                                            : "where to write the tensor");
    *tensor = HADAL_TRY(tensorOf("hadal_output", HADAL_TRY(call->run.output(name))));
    return {};
  });
}
