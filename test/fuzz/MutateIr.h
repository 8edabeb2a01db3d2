//===- MutateIr.h - small changes to the text of an IR ------------------===//

#ifndef HADAL_TEST_FUZZ_MUTATEIR_H
#define HADAL_TEST_FUZZ_MUTATEIR_H

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace hadal::fuzz {

/// Changes one to three things in `text`: a number, a type, a size, an attribute, an operand, the
/// name of an op, a line. `pieces` are lines of other texts. Equal states of `random` make equal
/// changes.
std::string mutate(std::string text, const std::vector<std::string> &pieces,
                   std::mt19937_64 &random);

/// Changes one or two parameters of attributes in angle brackets: `ep = 2` of `#job.ranks<ep = 2>`.
std::string mutateParameters(std::string text, std::mt19937_64 &random);

} // namespace hadal::fuzz

#endif // HADAL_TEST_FUZZ_MUTATEIR_H
