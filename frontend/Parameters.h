//===- Parameters.h - the checkpoint tensors that a model needs ---------===//
//
// Which tensors the inference graph reads, derived from the configuration and, where a folder holds
// safetensors, checked against their headers. Names: Hugging Face's on disk, one tensor per expert.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_FRONTEND_PARAMETERS_H
#define HADAL_FRONTEND_PARAMETERS_H

#include "frontend/ModelConfig.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace hadal {
class Checkpoint;
}

namespace hadal::frontend {

/// One checkpoint tensor, or a stack of `count` equal ones whose names replace "{}" by 0 ..
/// count-1.
struct ParameterDescription {
  std::string name;   ///< as in a checkpoint of deepseek_v3: what the graph's builders ask for
  std::string stored; ///< as in this model's checkpoint, and in the module; differs where a larger
                      ///< model puts a prefix before it
  ElementType element = ElementType::F32;
  Shape shape; ///< of one tensor
  int64_t count = 1;
  bool isProjection = false; ///< of attention, an MLP or an expert: FP8 in DeepSeek's release

  bool isStacked() const { return llvm::StringRef(name).contains("{}"); }

  /// The checkpoint's name of tensor `index` of the stack.
  std::string nameOf(int64_t index) const;
};

/// What the graph is built from. Weight matrices that are stored in FP8 have element F8E4M3 and are
/// followed by their block scales, NAME_scale_inv, [ceil(N / 128), ceil(K / 128)] where blocks are
/// 128 x 128, in F32, BF16 or F8E8M0.
struct ModelDescription {
  ModelConfig config;
  std::vector<ParameterDescription> parameters;
  /// Projections take FP8 codes on both sides: rows are quantized as they come, weights that the
  /// checkpoint has in other types once. The graph says so (buildGraph).
  bool quantizesRows = false;
  std::vector<std::string>
      notes; ///< what a user should know of how the folder was read, a line each

  /// Null when the model has no such parameter. `name` is a pattern for stacks.
  const ParameterDescription *find(llvm::StringRef name) const;

  llvm::StringMap<size_t> index; ///< name -> place in `parameters`
};

/// The parameters by configuration alone: `torch_dtype` everywhere (F32 when it is missing), but
/// the correction bias in F32 and, with a quantization_config, the projections of attention, MLPs
/// and experts in FP8.
llvm::Expected<ModelDescription> describeModel(ModelConfig config);

/// The parameters with the element types of a checkpoint. Errors name the tensor, what was wanted
/// and what came: "DIR: model.layers.1.mlp.gate.weight wants shape [16, 128], got [16, 64]"; a
/// tensor that is missing (and by which other naming the file seems to have it); one that is not
/// part of the model, unless it changes nothing (runtime/CheckpointFit.h). Of tied embeddings whose
/// checkpoint has a head, the bytes of the two are compared: an equal head is ignored, another one
/// unties the model.
llvm::Expected<ModelDescription> describeModel(ModelConfig config, const Checkpoint &checkpoint);

/// The parameters of a training graph: all in F32, each with the `mtpDepth` layers of multi-token
/// prediction after the main model's (model.layers.L and on), whose embedding and head are the
/// main model's.
ModelDescription describeTraining(ModelConfig config, int64_t mtpDepth);

/// Whether training can begin with this checkpoint's tensors of the `mtpDepth` layers of
/// multi-token prediction. The error names --mtp-weight=0 where it has none: transformers writes a
/// configuration that announces them, and no tensors.
llvm::Error checkMtpTensors(const ModelConfig &config, int64_t mtpDepth,
                            const Checkpoint &checkpoint);

/// The names, as in this model's checkpoint, of the weights that DeepSeek's release stores in FP8:
/// projections of attention, MLPs and experts, those of `mtpDepth` layers of multi-token prediction
/// included.
std::vector<std::string> projectionNames(const ModelConfig &config, int64_t mtpDepth);

/// Reads FOLDER/config.json and the headers of the safetensors files in FOLDER, if it holds any.
/// Reads no weights but a tied model's head. With `mtpDepth` (all the configuration has, or fewer)
/// also checks the tensors that training wants beside those of inference.
llvm::Expected<ModelDescription> readModelDescription(llvm::StringRef folder, int64_t mtpDepth = 0);

/// The same of a config.json alone. `name` stands for its path in errors.
llvm::Expected<ModelDescription> parseModelDescription(llvm::StringRef text, llvm::StringRef name);

} // namespace hadal::frontend

#endif // HADAL_FRONTEND_PARAMETERS_H
