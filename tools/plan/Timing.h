//===- Timing.h - work in seconds on a cluster ----------------------------===//

#ifndef HADAL_TOOLS_PLAN_TIMING_H
#define HADAL_TOOLS_PLAN_TIMING_H

#include "tools/plan/Cluster.h"

namespace hadal::plan {

/// Where a part of a chunk or of a pair lies, from its begin. `backward`: it is of the backward
/// chunk of a pair.
struct PartSpan {
  const Part *part;
  double begin, end;
  bool backward;
};

/// A chunk, or a pair of them. What others wait for may be there before the end.
struct ChunkTiming {
  double seconds = 0;
  double outputAt = 0;   ///< the forward chunk's output
  double gradientAt = 0; ///< the backward chunk's input gradient
  double exposed = 0;    ///< nothing is computed: exchanges that hide behind nothing
  std::vector<PartSpan> parts;
};

/// One thread at a time.
class Timing {
public:
  /// `reserved`: GEMMs leave the communication's SMs alone all the time, as a run with overlapped
  /// chunks sets it up.
  Timing(const Cluster &cluster, const StepWork &work, bool reserved);

  /// A part alone on the GPU, or beside the other lane.
  double seconds(const Part &part, bool beside) const;

  /// A chunk on its own: its parts one after the other, exchanges exposed.
  ChunkTiming chunk(const Parts &parts) const;

  /// A whole backward chunk on its own. Its input gradient is there before its end.
  ChunkTiming backward(const Parts &inputGrad, const Parts &weightGrad) const;

  /// A forward and a backward chunk issued together. Each lane takes the part that has been ready
  /// for longest; weight gradients fill what is left (V3 §3.2.1, figure 4).
  ChunkTiming pair(const Parts &forward, const Parts &inputGrad, const Parts &weightGrad) const;

  /// The same without overlap.
  ChunkTiming oneAfterTheOther(const Parts &forward, const Parts &inputGrad,
                               const Parts &weightGrad) const;

  /// The busiest rank's rows over the mean: experts' loads are means over `sequences` that vary
  /// independently.
  double rankLoad() const { return loadOfRank; }
  double nodeLoad() const { return loadOfNode; }

private:
  double seconds(const Kernels &kernels, bool beside) const;

  const Cluster &cluster;
  bool reserved;
  double loadOfRank = 1, loadOfNode = 1;
};

/// The mean of the largest of `n` standard normal numbers (Blom's approximation; 0 for one).
double largestOfNormals(double n);

} // namespace hadal::plan

#endif // HADAL_TOOLS_PLAN_TIMING_H
