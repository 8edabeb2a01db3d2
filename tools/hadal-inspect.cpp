//===- hadal-inspect.cpp - shows what a module holds --------------------===//
//
// Exit status 0, or 1 with one line on stderr. Opening checks the module; nothing of it is loaded or run.
//
//===--------------------------------------------------------------------===//

#include "runtime/File.h"
#include "tools/inspect/Describe.h"

#include <CLI/CLI.hpp>

#include <cstdio>

using namespace hadal;

static Status show(const std::string &path, bool json, const std::string &html) {
  Module module = HADAL_TRY(Module::open(path));
  inspect::Json description = inspect::describe(module);
  if (!html.empty()) {
    std::string page = inspect::toHtml(description);
    HADAL_TRY(writeFile(html, std::as_bytes(std::span(page))));
  }
  if (json)
    std::printf("%s\n", description.dump(2).c_str());
  else if (html.empty())
    std::printf("%s", inspect::toText(description).c_str());
  return {};
}

int main(int argc, char **argv) {
  CLI::App app("Shows the programs, kernels, buffers and parameters of a module that hadal-compile wrote.", "hadal-inspect");
  std::string path, html;
  bool json = false;
  app.add_option("MODULE", path, "Module file")->required();
  app.add_flag("--json", json, "Print everything as JSON");
  app.add_option("--html", html, "Write a self-contained page: commands, buffer lifetimes, tables");
  app.set_version_flag("--version", HADAL_VERSION);
  app.failure_message([](const CLI::App *, const CLI::Error &error) {
    return std::string("hadal-inspect: ") + error.what() + " (see hadal-inspect --help)\n";
  });
  try {
    app.parse(argc, argv);
    if (Status status = show(path, json, html); !status.ok()) {
      std::fprintf(stderr, "hadal-inspect: %s\n", status.error().message.c_str());
      return 1;
    }
    return 0;
  } catch (const CLI::ParseError &error) {
    return app.exit(error) == 0 ? 0 : 1;
  } catch (const std::exception &error) {
    std::fprintf(stderr, "hadal-inspect: %s\n", error.what());
    return 1;
  }
}
