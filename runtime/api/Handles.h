//===- Handles.h - what the C API's handles are -------------------------===//
//
// For the files of this folder alone; hadal.h is the interface.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_API_HANDLES_H
#define HADAL_RUNTIME_API_HANDLES_H

#include "runtime/Tokenizer.h"
#include "runtime/api/hadal.h"
#include "runtime/session/Session.h"

#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>

/// The calls of a module keep it, so that handles can be freed in any order.
struct hadal_module {
  struct Opened {
    std::unique_ptr<hadal::Session> session;
    std::string checkpoint; ///< that was loaded
    bool isLoaded = false;
  };
  std::shared_ptr<Opened> opened;
};

struct hadal_call {
  std::shared_ptr<hadal_module::Opened> opened; ///< outlives the run
  hadal::ProgramRun run;
};

struct hadal_tokenizer {
  hadal::Tokenizer tokenizer; ///< which is for one thread at a time
  mutable std::mutex mutex{}; ///< of its use
};

namespace hadal::api {

/// Notes an error for hadal_last_error().
hadal_status fail(hadal_status status, const std::string &message) noexcept;
hadal_status fail(const Error &error) noexcept;

/// Runs the body of a function of the API: errors and exceptions become its status.
template <typename Body> hadal_status guarded(Body &&body) noexcept {
  try {
    Status status = body();
    return status.ok() ? HADAL_OK : fail(status.error());
  } catch (const std::bad_alloc &) {
    return fail(HADAL_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception &error) {
    return fail(HADAL_INTERNAL, error.what());
  } catch (...) {
    return fail(HADAL_INTERNAL, "an exception that is no std::exception");
  }
}

/// "hadal_open: wants a path, got NULL".
inline Error isNull(const char *function, const char *what) {
  return invalidArgument(std::string(function) + ": wants " + what + ", got NULL");
}

/// Options as the caller's header knows them, over this library's defaults.
template <typename Options>
Result<Options> optionsOf(const char *function, const Options *given, Options defaults) {
  if (!given)
    return defaults;
  if (given->size < sizeof given->size || given->size > 4096)
    return invalidArgument(std::string(function) + ": options.size is " +
                           std::to_string(given->size) + ", wants sizeof(options)");
  std::memcpy(static_cast<void *>(&defaults), given, std::min(given->size, sizeof(Options)));
  return defaults;
}

/// Weights that need no checkpoint are loaded when they are first wanted.
Status makeReady(hadal_module::Opened &opened);

} // namespace hadal::api

#endif // HADAL_RUNTIME_API_HANDLES_H
