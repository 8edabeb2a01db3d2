//===- NumberWithin.h - options that are real numbers -------------------===//

#ifndef HADAL_TOOLS_NUMBERWITHIN_H
#define HADAL_TOOLS_NUMBERWITHIN_H

#include <CLI/CLI.hpp>

#include <cstdlib>

namespace hadal {

/// Accepts numbers from `low` to `high`. Unlike CLI::Range it turns nan away, which lies on no side of any bound.
inline CLI::Validator numberWithin(double low, double high) {
  auto show = [](double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.7g", value);
    return std::string(text);
  };
  std::string range = show(low) + " to " + show(high);
  return CLI::Validator(
      [=](std::string &text) {
        char *end = nullptr;
        double value = std::strtod(text.c_str(), &end);
        bool isNumber = end != text.c_str() && *end == 0;
        return isNumber && value >= low && value <= high ? std::string() : "wants a number from " + range + ", got " + text;
      },
      "NUMBER in " + range);
}

} // namespace hadal

#endif // HADAL_TOOLS_NUMBERWITHIN_H
