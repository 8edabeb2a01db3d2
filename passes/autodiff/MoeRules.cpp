#include "dialects/moe/Moe.h"
#include "passes/autodiff/Rules.h"

using namespace mlir;
using namespace hadal;
using namespace hadal::autodiff;

void hadal::autodiff::addMoeRules(RuleTable &table) {}
