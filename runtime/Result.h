//===- Result.h - a value or an error -----------------------------------===//
//
// The runtime throws nothing. A function that can fail returns Result<T>, which holds a value or an
// Error, and HADAL_TRY passes the error up:
//
//     Result<Module> load(const std::string &path) {
//       MappedFile file = HADAL_TRY(MappedFile::open(path));
//       HADAL_TRY(checkHeader(file));               // a Status: nothing to take
//       ...
//     }
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_RESULT_H
#define HADAL_RUNTIME_RESULT_H

#include <cassert>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace hadal {

enum class ErrorCode {
  InvalidFile,     ///< malformed contents: module, safetensors, JSON
  InvalidArgument, ///< the caller asked for something that does not fit
  NotFound,        ///< no such file, tensor, program, argument
  Unsupported,     ///< well-formed, but this build or this CPU cannot do it
  Io,              ///< the operating system said no
  OutOfMemory,
};

/// `message` is one line for a person and names the thing, what was wanted and what was got.
struct Error {
  ErrorCode code;
  std::string message;
};

inline Error invalidFile(std::string message) {
  return {ErrorCode::InvalidFile, std::move(message)};
}
inline Error invalidArgument(std::string message) {
  return {ErrorCode::InvalidArgument, std::move(message)};
}
inline Error notFound(std::string message) { return {ErrorCode::NotFound, std::move(message)}; }
inline Error unsupported(std::string message) {
  return {ErrorCode::Unsupported, std::move(message)};
}
inline Error ioError(std::string message) { return {ErrorCode::Io, std::move(message)}; }
inline Error outOfMemory(std::string message) {
  return {ErrorCode::OutOfMemory, std::move(message)};
}

template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : state(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state.index() == 0; }
  explicit operator bool() const { return ok(); }

  /// Only when ok().
  T &value() & { return *get(); }
  const T &value() const & { return *const_cast<Result *>(this)->get(); }
  T value() && { return std::move(*get()); }
  T &operator*() { return *get(); }
  const T &operator*() const { return value(); }
  T *operator->() { return get(); }
  const T *operator->() const { return const_cast<Result *>(this)->get(); }

  /// Only when not ok().
  const Error &error() const & {
    assert(!ok());
    return *std::get_if<1>(&state);
  }
  Error error() && { return std::move(*std::get_if<1>(&state)); }

private:
  T *get() {
    assert(ok());
    return std::get_if<0>(&state);
  }
  std::variant<T, Error> state;
};

template <> class [[nodiscard]] Result<void> {
public:
  Result() = default;
  Result(Error error) : failure(std::move(error)) {}

  bool ok() const { return !failure; }
  explicit operator bool() const { return ok(); }
  void value() const { assert(ok()); }
  const Error &error() const & { return *failure; }
  Error error() && { return std::move(*failure); }

private:
  std::optional<Error> failure;
};

using Status = Result<void>;

} // namespace hadal

/// The value of a Result expression; on an error, returns that error from the function around it.
/// (A statement expression: clang and gcc, the two compilers this project builds with, both have
/// it.)
#define HADAL_TRY(...)                                                                             \
  ({                                                                                               \
    auto hadalTryResult = (__VA_ARGS__);                                                           \
    if (!hadalTryResult.ok())                                                                      \
      return std::move(hadalTryResult).error();                                                    \
    std::move(hadalTryResult).value();                                                             \
  })

#endif // HADAL_RUNTIME_RESULT_H
