//===- RankSums.cpp - what ranks add up in a step -------------------------===//

#include "runtime/training/ranks/RankSums.h"

#include "runtime/training/ranks/FastSums.h"
#include "runtime/training/ranks/OrderedSums.h"

using namespace hadal;

Result<DeviceView> RankSums::sumState(Executor &executor, const std::string &name) {
  DeviceView state = HADAL_TRY(executor.state(name));
  if (!state.address || (state.element != ElementType::F32 && state.element != ElementType::I32))
    return invalidFile(executor.module().path() + ": state " + name + " is no sum");
  return state;
}

template <typename Sums>
static Result<std::unique_ptr<RankSums>> make(const RankSumsContext &context) {
  return std::unique_ptr<RankSums>(HADAL_TRY(Sums::create(context)));
}

Result<std::unique_ptr<RankSums>> RankSums::create(const RankSumsContext &context) {
  bool isFast = context.executor.module().tables().training()->ranks()->fast_reduction();
  return isFast ? make<FastSums>(context) : make<OrderedSums>(context);
}
