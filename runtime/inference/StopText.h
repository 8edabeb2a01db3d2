//===- StopText.h - ends a text where it says something -----------------===//

#ifndef HADAL_RUNTIME_INFERENCE_STOPTEXT_H
#define HADAL_RUNTIME_INFERENCE_STOPTEXT_H

#include <string>
#include <string_view>
#include <vector>

namespace hadal {

/// Looks for stop texts in a text that comes in pieces, across their borders, and holds back what
/// could be the beginning of one. With the first stop text the text ends; neither that nor anything
/// after it comes out. One thread at a time.
class StopText {
public:
  /// Without stop texts everything passes.
  explicit StopText(std::vector<std::string> stops = {}) : stops(std::move(stops)) {}

  /// Adds a piece and returns what comes out by now. What is not `visible` (a special token) is
  /// searched, and never comes out.
  std::string push(std::string_view piece, bool visible = true);

  /// At the end of the text: what was held back.
  std::string finish();

  bool found() const { return isFound; }

private:
  std::string release(size_t bytes);

  std::vector<std::string> stops; ///< none is empty
  std::string pending;
  std::vector<bool> isVisible; ///< of each byte of `pending`
  bool isFound = false;
};

} // namespace hadal

#endif // HADAL_RUNTIME_INFERENCE_STOPTEXT_H
