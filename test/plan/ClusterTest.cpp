// Cluster files: what is wanted, what is refused, and that each figure of ours says where it comes
// from.
#include "tools/plan/Cluster.h"
#include "runtime/File.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>

using namespace hadal;
using namespace hadal::plan;
using json = nlohmann::json;

namespace {

json committed() { return json::parse(readTextFile(HADAL_CLUSTERS "/h800x2048.json").value()); }

/// Paths of all figures and words but the sources.
void leaves(const json &value, const std::string &path, std::vector<std::string> &all) {
  for (const auto &[key, child] : value.items()) {
    std::string here = path.empty() ? key : path + "/" + key;
    if (here == "sources")
      continue;
    child.is_object() ? leaves(child, here, all) : all.push_back(here);
  }
}

std::vector<std::string> leaves(const json &file) {
  std::vector<std::string> all;
  leaves(file, "", all);
  return all;
}

std::string refusal(const json &file) {
  auto cluster = parseCluster(file.dump(), "c.json");
  return cluster.ok() ? "" : cluster.error().message;
}

// Every figure of the committed files has a source, of its own or of the group it is in.
TEST(Cluster, FiguresHaveSources) {
  for (const auto &entry : std::filesystem::directory_iterator(HADAL_CLUSTERS)) {
    if (entry.path().extension() != ".json")
      continue;
    json file = json::parse(readTextFile(entry.path().string()).value());
    EXPECT_TRUE(parseCluster(file.dump(), "c.json").ok()) << entry.path();
    for (std::string path : leaves(file)) {
      if (path == "name")
        continue;
      std::string at = path;
      while (!file["sources"].contains(at) && at.find('/') != std::string::npos)
        at.resize(at.rfind('/'));
      EXPECT_TRUE(file["sources"].contains(at)) << entry.path() << ": " << path;
    }
  }
}

// Without any one of them the file is refused in one line that names it.
TEST(Cluster, EveryFigureIsWanted) {
  for (const std::string &path : leaves(committed())) {
    json file = committed();
    size_t last = path.rfind('/');
    json &parent =
        last == std::string::npos ? file : file[json::json_pointer("/" + path.substr(0, last))];
    parent.erase(path.substr(last == std::string::npos ? 0 : last + 1));
    EXPECT_EQ(refusal(file), "c.json: wants " + path);
  }
}

// Negative, endless and wordy figures are refused by name, and so is each wrong type in a place of
// a group.
TEST(Cluster, SenselessFiguresAreRefused) {
  for (const std::string &path : leaves(committed()))
    for (const json &wrong : {json(-1), json("much"), json::array(), json()}) {
      if (path == "name" && wrong.is_string())
        continue;
      json file = committed();
      file[json::json_pointer("/" + path)] = wrong;
      std::string message = refusal(file);
      EXPECT_EQ(message.rfind("c.json: " + path + " wants ", 0), 0u) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos);
    }
  json file = committed();
  file["links"]["ib"] = 3;
  EXPECT_EQ(refusal(file), "c.json: wants links/ib/gbps");
  file = committed();
  file["kernels"]["gemm"]["fp8"]["efficiency"] = 1.5;
  EXPECT_EQ(refusal(file),
            "c.json: kernels/gemm/fp8/efficiency wants a share from 0 to 1, got 1.5");
  file = committed();
  file["gpus"] = 2044;
  EXPECT_EQ(refusal(file), "c.json: gpus (2044) wants to be a multiple of gpus_per_node (8)");
  file = committed();
  file["gpu"]["communication_sms"] = 132;
  EXPECT_EQ(refusal(file), "c.json: gpu/communication_sms wants to be less than gpu/sms");
}

TEST(Cluster, WhatIsNoObjectIsRefused) {
  EXPECT_EQ(parseCluster("{", "c.json").error().message, "c.json: line 1, column 2: is no JSON");
  EXPECT_EQ(parseCluster("[]", "c.json").error().message, "c.json: wants an object, got an array");
}

} // namespace
