//===- TestModels.h - the configurations that the frontend's tests use --===//

#ifndef HADAL_TEST_FRONTEND_TESTMODELS_H
#define HADAL_TEST_FRONTEND_TESTMODELS_H

#include "frontend/ModelConfig.h"

#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace hadal::frontend {

/// Folders of test/frontend/models.
inline const char *const testModels[] = {"nano",
                                         "nano-fp8",
                                         "nano-fp8-quantized",
                                         "nano-mtp",
                                         "nano-noq",
                                         "mini",
                                         "nano-transformers5",
                                         "deepseek-v3-671b",
                                         "tiny",
                                         "kimi-k2",
                                         "glm-4.7-flash",
                                         "youtu",
                                         "deepseek-v2-236b",
                                         "deepseek-v2-lite",
                                         "nested",
                                         "mixed-layers"};

inline std::string modelFolder(llvm::StringRef name) {
  return (HADAL_TEST_MODELS "/" + name).str();
}

inline std::string readConfig(llvm::StringRef name) {
  auto buffer = llvm::MemoryBuffer::getFile(modelFolder(name) + "/config.json");
  if (!buffer) {
    ADD_FAILURE() << modelFolder(name) << "/config.json: " << buffer.getError().message();
    return "";
  }
  return (*buffer)->getBuffer().str();
}

/// A key and its new value as JSON text; "" takes the key out.
using Change = std::pair<std::string, std::string>;

/// The configuration `text` with some keys changed. "rope_scaling.factor" goes into the object
/// rope_scaling.
inline std::string changed(llvm::StringRef text, const std::vector<Change> &changes) {
  llvm::json::Value root = llvm::cantFail(llvm::json::parse(text));
  for (const auto &[path, value] : changes) {
    llvm::json::Object *object = root.getAsObject();
    auto [first, second] = llvm::StringRef(path).split('.');
    llvm::StringRef key = first;
    if (!second.empty()) {
      object = object->getObject(first);
      key = second;
    }
    if (value.empty())
      object->erase(key);
    else
      (*object)[key.str()] = llvm::cantFail(llvm::json::parse(value));
  }
  std::string result;
  llvm::raw_string_ostream(result) << root;
  return result;
}

/// The message of a failure; "" for a success.
template <typename T> std::string messageOf(llvm::Expected<T> result) {
  return result ? "" : llvm::toString(result.takeError());
}

} // namespace hadal::frontend

#endif // HADAL_TEST_FRONTEND_TESTMODELS_H
