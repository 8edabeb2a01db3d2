//===- TensorGather.cpp - tensors of all ranks at the first ---------------===//

#include "runtime/training/ranks/TensorGather.h"

#include "runtime/ranks/Gather.h"
#include "runtime/ranks/Tags.h"

using namespace hadal;

static std::string nameOf(Values values, const TrainedTensor &tensor) {
  return std::string(valuesName(values)) + " of " + tensor.name;
}

Result<TensorView> TensorGather::read(Values values, const TrainedTensor &tensor) {
  unsigned from = trainables.updatedBy(tensor);
  if (from == comm.rank())
    return trainables.unpack(values, tensor);
  TensorView view = HADAL_TRY(trainables.memoryFor(tensor));
  HADAL_TRY(receiveNow(comm, from, stepTag(StepTag::Tensor), view.data, view.bytes(), timeout,
                       "collects the " + nameOf(values, tensor)));
  return view;
}

Status TensorGather::give(Values values, const TrainedTensor &tensor) {
  if (!trainables.isUpdatedHere(tensor))
    return {};
  TensorView view = HADAL_TRY(trainables.unpack(values, tensor));
  return sendNow(comm, 0, stepTag(StepTag::Tensor), view.data, view.bytes(), timeout,
                 "gives the " + nameOf(values, tensor));
}
