//===- Page.h - the frame that all pages share --------------------------===//
//
// A page is one file that fetches nothing: fonts of the system, light and dark as the reader's
// system is, usable from 320 pixels on. What stands in `data` is there for the script as `d`.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TOOLS_PAGE_H
#define HADAL_TOOLS_PAGE_H

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hadal {

/// Text as it may stand between tags and in attributes.
std::string escapedHtml(std::string_view text);

/// A number as printf's `pattern` says.
std::string formatted(const char *pattern, double value);

/// Names and values that a page begins with.
using PageFacts = std::vector<std::pair<std::string, std::string>>;

struct Page {
  std::string title;
  PageFacts facts; ///< shown under the title; may be empty
  std::string
      body; ///< HTML; `section` is a card, `.keys` a line of colours, `.wide` scrolls by itself
  std::string data = "null"; ///< JSON, for the script
  std::string script;        ///< JavaScript, after the functions below; may be empty
  std::string style;         ///< further CSS; may be empty
};

/// The whole file. An element with the attribute data-tip shows that text while the pointer is over
/// it. The script has
///     $(id)                      an element of the page
///     colourOf(name)             always the same colour for a name
///     key(place, colour, text)   adds a colour and what it means to a line of keys
///     secondsOf(full)            a function that says seconds in words, in the unit that fits
///     `full` timeline(id, lanes, names, height, label)
///                                draws lanes of [begin, end, name, half, colour] on the canvas
///                                `id`; half is 0 (whole height), 1 (upper) or 2 (lower), label(t)
///                                a time in words. It fits the window; the wheel zooms, dragging
///                                moves, a double click shows all, and the pointer tells what it
///                                is over.
std::string pageText(const Page &page);

} // namespace hadal

#endif // HADAL_TOOLS_PAGE_H
