// For checks that say what is wrong in a text, empty where nothing is.
#ifndef HADAL_TEST_WORKS_H
#define HADAL_TEST_WORKS_H

#include "runtime/Result.h"

/// The value of a Result; its error becomes the check's text.
#define WORKS(...)                                                                                 \
  ({                                                                                               \
    auto worksResult = (__VA_ARGS__);                                                              \
    if (!worksResult.ok())                                                                         \
      return #__VA_ARGS__ ": " + worksResult.error().message;                                      \
    std::move(worksResult).value();                                                                \
  })

#endif // HADAL_TEST_WORKS_H
