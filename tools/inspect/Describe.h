//===- Describe.h - a module as JSON, text and HTML ---------------------===//
//
// One description serves the three forms of hadal-inspect: describe() reads the module's tables
// into JSON, toText() and toHtml() print that JSON.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TOOLS_INSPECT_DESCRIBE_H
#define HADAL_TOOLS_INSPECT_DESCRIBE_H

#include "runtime/module/Module.h"

#include <nlohmann/json.hpp>

#include <string>

namespace hadal::inspect {

using Json = nlohmann::ordered_json;

/// Target, model, kernels, programs, buffers and parameters. Sizes are numbers where they are
/// constant and expressions over the registers of their program ("tokens * 4") where they are not.
/// With a model, `cache_elements_per_token` stands at the top: elements that the latent cache keeps
/// for one token in all layers.
Json describe(const Module &module);

/// For a terminal: a line a thing, programs with their commands.
std::string toText(const Json &description);

/// One self-contained page: what the module holds, each program's commands, and when each of its
/// buffers lives.
std::string toHtml(const Json &description);

} // namespace hadal::inspect

#endif // HADAL_TOOLS_INSPECT_DESCRIBE_H
