//===- OutOfMemory.h - a line where memory ends -------------------------===//

#ifndef HADAL_TOOLS_OUTOFMEMORY_H
#define HADAL_TOOLS_OUTOFMEMORY_H

#include "llvm/Support/ErrorHandling.h"

#include <cstring>
#include <exception>
#include <initializer_list>
#include <new>
#include <unistd.h>

namespace hadal {

/// Where memory ends, and where LLVM gives up, a tool says so in one line and exits with 1, instead
/// of an abort and a stack. Files are written aside and renamed at the end, so none is left in
/// parts under its name. `tool` lives as long as the process.
inline void sayWhereMemoryEnds(const char *tool) {
  static const char *name;
  name = tool;
  auto say = [](const char *what) {
    for (const char *part : {name, ": ", what, "\n"})
      if (::write(2, part, std::strlen(part)) < 0)
        break;
    ::_exit(1);
  };
  static const auto finish = say;
  std::set_new_handler([] { finish("out of memory"); });
  std::set_terminate([] {
    finish("no memory or no threads are left");
  }); // the library throws where it cannot start one
  llvm::install_bad_alloc_error_handler(
      [](void *, const char *, bool) { finish("out of memory"); });
  llvm::install_fatal_error_handler([](void *, const char *reason, bool) { finish(reason); });
}

} // namespace hadal

#endif // HADAL_TOOLS_OUTOFMEMORY_H
