//===- TensorSource.h - a checkpoint's tensors that are in no file ------===//

#ifndef HADAL_RUNTIME_PARAMETERS_TENSORSOURCE_H
#define HADAL_RUNTIME_PARAMETERS_TENSORSOURCE_H

#include "runtime/Tensor.h"
#include "runtime/module/Module.h"
#include "runtime/parameters/ParameterStore.h"

#include <string>

namespace hadal {

/// Tensors by their names in a checkpoint, as another module has them now.
class TensorSource {
public:
  virtual ~TensorSource() = default;

  /// The module that has them.
  virtual const Module &module() const = 0;

  /// The values in a checkpoint's order, on the host; valid until the next call. NotFound.
  virtual Result<TensorView> tensor(const std::string &name) = 0;

  /// The store that holds the values, and counts their changes.
  virtual const ParameterStore &store() const = 0;
};

} // namespace hadal

#endif // HADAL_RUNTIME_PARAMETERS_TENSORSOURCE_H
