//===- StopText.cpp - ends a text where it says something ---------------===//

#include "runtime/inference/StopText.h"

#include <algorithm>

using namespace hadal;

/// Takes bytes off the front.
std::string StopText::release(size_t bytes) {
  std::string out;
  for (size_t i = 0; i < bytes; ++i)
    if (isVisible[i])
      out += pending[i];
  pending.erase(0, bytes);
  isVisible.erase(isVisible.begin(), isVisible.begin() + bytes);
  return out;
}

std::string StopText::push(std::string_view piece, bool visible) {
  if (isFound)
    return {};
  pending += piece;
  isVisible.resize(pending.size(), visible);
  size_t first = pending.npos, held = 0;
  for (const std::string &stop : stops) {
    first = std::min(first, pending.find(stop));
    for (size_t length = std::min(stop.size() - 1, pending.size()); length > held; --length)
      if (pending.ends_with(std::string_view(stop).substr(0, length)))
        held = length;
  }
  isFound = first != pending.npos;
  return release(isFound ? first : pending.size() - held);
}

std::string StopText::finish() { return isFound ? std::string() : release(pending.size()); }
