#!/usr/bin/env python3
"""Writes runtime/tokenizer/UnicodeAdditions.h: what Oniguruma (in the `tokenizers` package) takes for a member of a general
category, of a script or of \\w, and Unicode 14 (PCRE2 10.42, Python 3.11) does not. Prints to standard output.
"""

import textwrap
import unicodedata
from tokenizers import Regex, pre_tokenizers

assert (
    unicodedata.unidata_version == "14.0.0"
), "wants a Python with the tables of Unicode 14 (3.11)"
code_points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
everything = "".join(map(chr, code_points))


def members(pattern):
    kept = set()
    for piece, _ in pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str(everything):
        kept.update(piece)
    return {c for c in code_points if chr(c) not in kept}


def ranges(chosen):
    out = []
    for c in sorted(chosen):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return " ".join(f"{a:X}" if a == b else f"{a:X}-{b:X}" for a, b in out)


old = {}
for c in code_points:
    old.setdefault(unicodedata.category(chr(c)), set()).add(c)
added = {
    name: members(rf"\p{{{name}}}") - old[name] for name in sorted(old) if name not in ("Cn", "Cs")
}
word = set().union(*(s for name, s in old.items() if name[0] in "LM" or name in ("Nd", "Nl", "Pc")))
# Scripts that pre-tokenizers ask for: members that had no category yet, thus no script.
for script in (
    "Arabic",
    "Cyrillic",
    "Devanagari",
    "Greek",
    "Han",
    "Hangul",
    "Hebrew",
    "Hiragana",
    "Katakana",
    "Latin",
    "Thai",
):
    added["sc:" + script.lower()] = members(rf"\p{{{script}}}") & old["Cn"]
added["w"] = members(r"\w") - word

print(r"""//===- UnicodeAdditions.h - characters newer than PCRE2's tables --------===//
//
// Written by test/tokenizer/make_unicode_additions.py. For each general category: the members that Oniguruma's tables
// (Unicode 16) have and those of Unicode 14 have not; "sc:han" and others: of scripts. "w": members of Oniguruma's \w
// outside L, M, Nd, Nl and Pc.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TOKENIZER_UNICODEADDITIONS_H
#define HADAL_RUNTIME_TOKENIZER_UNICODEADDITIONS_H

#include <string_view>

namespace hadal {

/// `ranges`: hexadecimal code points and ranges, with a space between them.
struct UnicodeAddition {
  std::string_view category, ranges;
};

inline constexpr UnicodeAddition unicodeAdditions[] = {""")
for name, chosen in added.items():
    if chosen:
        lines = textwrap.wrap(ranges(chosen), 104)
        body = "\n     ".join(
            f'"{line}{" " if i + 1 < len(lines) else ""}"' for i, line in enumerate(lines)
        )
        print(f'    {{"{name}",\n     {body}}},')
print("""};

} // namespace hadal

#endif // HADAL_RUNTIME_TOKENIZER_UNICODEADDITIONS_H""")
