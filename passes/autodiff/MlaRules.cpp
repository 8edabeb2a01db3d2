#include "dialects/mla/Mla.h"
#include "passes/autodiff/Rules.h"

using namespace mlir;
using namespace hadal;
using namespace hadal::autodiff;

void hadal::autodiff::addMlaRules(RuleTable &table) {}
