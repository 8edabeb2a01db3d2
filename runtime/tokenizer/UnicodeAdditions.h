//===- UnicodeAdditions.h - characters newer than PCRE2's tables --------===//
//
// Written by test/tokenizer/make_unicode_additions.py. For each general category: the members that
// Oniguruma's tables (Unicode 16) have and those of Unicode 14 have not; "sc:han" and others: of
// scripts. "w": members of Oniguruma's \w outside L, M, Nd, Nl and Pc.
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

inline constexpr UnicodeAddition unicodeAdditions[] = {
    {"Cf", "13439-1343F"},
    {"Ll", "1C8A A7CD A7DB 10D70-10D85 1DF25-1DF2A"},
    {"Lm", "10D4E 10D6F 16D40-16D42 16D6B-16D6C 1E030-1E06D 1E4EB"},
    {"Lo", "105C0-105F3 10D4A-10D4D 10D4F 10EC2-10EC4 1123F-11240 11380-11389 1138B 1138E "
           "11390-113B5 113B7 113D1 "
           "113D3 11BC0-11BE0 11F02 11F04-11F10 11F12-11F33 1342F 13441-13446 13460-143FA "
           "16100-1611D 16D43-16D6A "
           "18CFF 1B132 1B155 1E4D0-1E4EA 1E5D0-1E5ED 1E5F0 2B739 2EBF0-2EE5D 31350-323AF"},
    {"Lu", "1C89 A7CB-A7CC A7DA A7DC 10D50-10D65"},
    {"Mc", "CF3 113B8-113BA 113C2 113C5 113C7-113CA 113CC-113CD 113CF 1171E 11F03 11F34-11F35 "
           "11F3E-11F3F 11F41 "
           "1612A-1612C"},
    {"Mn",
     "897 ECE 10D69-10D6D 10EFC-10EFF 11241 113BB-113C0 113CE 113D0 113D2 113E1-113E2 11F00-11F01 "
     "11F36-11F3A "
     "11F40 11F42 11F5A 13440 13447-13455 1611E-16129 1612D-1612F 1E08F 1E4EC-1E4EF 1E5EE-1E5EF"},
    {"Nd", "10D40-10D49 116D0-116E3 11BF0-11BF9 11F50-11F59 16130-16139 16D70-16D79 1CCF0-1CCF9 "
           "1E4F0-1E4F9 "
           "1E5F1-1E5FA"},
    {"No", "1D2C0-1D2D3"},
    {"Pd", "10D6E"},
    {"Po",
     "1B4E-1B4F 1B7F 113D4-113D5 113D7-113D8 11B00-11B09 11BE1 11F43-11F4F 16D6D-16D6F 1E5FF"},
    {"Sm", "10D8E-10D8F"},
    {"So", "2427-2429 2FFC-2FFF 31E4-31E5 31EF 1CC00-1CCEF 1CD00-1CEB3 1F6DC 1F774-1F776 "
           "1F77B-1F77F 1F7D9 "
           "1F8B2-1F8BB 1F8C0-1F8C1 1FA75-1FA77 1FA87-1FA89 1FA8F 1FAAD-1FAAF 1FABB-1FABF 1FAC6 "
           "1FACE-1FACF "
           "1FADA-1FADC 1FADF 1FAE8-1FAE9 1FAF7-1FAF8 1FBCB-1FBEF"},
    {"sc:arabic", "897 10EC2-10EC4 10EFC-10EFF"},
    {"sc:cyrillic", "1C89-1C8A 1E030-1E06D 1E08F"},
    {"sc:devanagari", "11B00-11B09"},
    {"sc:han", "2B739 2EBF0-2EE5D 31350-323AF"},
    {"sc:hiragana", "1B132"},
    {"sc:katakana", "1B155"},
    {"sc:latin", "A7CB-A7CD A7DA-A7DC 1DF25-1DF2A"},
    {"w", "B2-B3 B9 BC-BE 897 CF3 ECE 1C89-1C8A 24B6-24E9 A7CB-A7CD A7DA-A7DC 105C0-105F3 "
          "10D40-10D65 10D69-10D6D "
          "10D6F-10D85 10EC2-10EC4 10EFC-10EFF 1123F-11241 11380-11389 1138B 1138E 11390-113B5 "
          "113B7-113C0 113C2 "
          "113C5 113C7-113CA 113CC-113D3 113E1-113E2 116D0-116E3 11BC0-11BE0 11BF0-11BF9 "
          "11F00-11F10 11F12-11F3A "
          "11F3E-11F42 11F50-11F5A 1342F 13440-13455 13460-143FA 16100-16139 16D40-16D6C "
          "16D70-16D79 18CFF 1B132 "
          "1B155 1CCF0-1CCF9 1DF25-1DF2A 1E030-1E06D 1E08F 1E4D0-1E4F9 1E5D0-1E5FA 1F130-1F149 "
          "1F150-1F169 "
          "1F170-1F189 2B739 2EBF0-2EE5D 31350-323AF"},
};

} // namespace hadal

#endif // HADAL_RUNTIME_TOKENIZER_UNICODEADDITIONS_H
