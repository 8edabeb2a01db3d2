//===- StageSplit.h - which layers a pipeline stage has -----------------===//

#ifndef HADAL_FRONTEND_STAGESPLIT_H
#define HADAL_FRONTEND_STAGESPLIT_H

#include "frontend/ModelConfig.h"

#include <cstdint>
#include <vector>

namespace hadal::frontend {

/// Layers of each stage, in order, so that costs are as even as can be (the least sum of squares):
/// every stage has one or more, but for the last, whose `last` (heads) may be work enough. `first`
/// comes before the first layer. Wants 1 <= stages <= layers.
std::vector<int64_t> splitLayers(const std::vector<double> &layers, int64_t stages, double first,
                                 double last);

/// The same with the multiplications that a token costs: layers, and after them the head and
/// `depths` of multi-token prediction.
std::vector<int64_t> stageLayers(const ModelConfig &config, int64_t depths, int64_t stages);

} // namespace hadal::frontend

#endif // HADAL_FRONTEND_STAGESPLIT_H
