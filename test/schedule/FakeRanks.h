// Modules for many ranks, put together by hand: tables as a compiler would write them, and no code.
#ifndef HADAL_TEST_SCHEDULE_FAKERANKS_H
#define HADAL_TEST_SCHEDULE_FAKERANKS_H

#include "test/schedule/Objects_generated.h"

#include "runtime/module/Module.h"

#include <memory>
#include <string>

namespace hadal::fake {

struct RanksRequest {
  std::string schedule = "1f1b";
  uint32_t pp = 2, ep = 2, dp = 1, nodes = 1;
  uint32_t microBatches = 8; ///< of an owner
};

/// Every stage receives rows, routes them to experts on the ranks of its group and back (over two
/// hops with nodes > 1), and sends what comes out; back the same way with gradients.
std::unique_ptr<objects::ModuleT> ranksModule(const RanksRequest &request);

/// Inference over ranks: two programs that route rows to experts on other ranks and back.
std::unique_ptr<objects::ModuleT> inferenceModule(uint32_t ep, uint32_t nodes);

/// A kernel of the module's first code, which runs as tasks of a CPU and says nothing of its
/// buffers.
std::unique_ptr<objects::KernelT> kernel(const std::string &symbol, uint32_t bindings,
                                         uint32_t scalars = 0);

/// A shared object for x86_64, whose one byte no device can load.
std::unique_ptr<objects::CodeT> code();

/// Opens the module that the tables make.
Result<Module> open(const objects::ModuleT &module, const std::string &name = "fake.hadal");

} // namespace hadal::fake

#endif // HADAL_TEST_SCHEDULE_FAKERANKS_H
