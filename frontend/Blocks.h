//===- Blocks.h - the parts of a DeepSeek-V3 layer as graphs ------------===//
//
// Each function appends ops to a function body and returns the value they make. Tokens are
// flattened: activations are [rows, size] f32, rows dynamic. Formulas: DeepSeek-V3,
// arXiv:2412.19437, §2.1, as transformers' modeling_deepseek_v3.py computes them.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_FRONTEND_BLOCKS_H
#define HADAL_FRONTEND_BLOCKS_H

#include "dialects/job/Job.h"
#include "frontend/Parameters.h"

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/Value.h"

#include <optional>

namespace hadal::frontend {

/// The element type in IR: f32, bf16, f16 or f8E4M3FN.
mlir::Type elementType(mlir::Builder &builder, ElementType element);

/// tensor<NxKxTYPE>, and tensor<ExNxKxTYPE> for a stack.
mlir::RankedTensorType tensorType(mlir::Builder &builder, const ParameterDescription &parameter);

/// Gives each op the part of the model that it computes (`job.part`), and the part's name as its
/// location. One thread at a time.
class GraphBuilder : public mlir::ImplicitLocOpBuilder {
public:
  /// Ops belong to `part` until setPart.
  GraphBuilder(mlir::MLIRContext *context, llvm::StringRef part);
  GraphBuilder(const GraphBuilder &) = delete;

  void setPart(llvm::StringRef name);

  hadal::job::PartListener parts;
};

/// One thread at a time.
class Blocks {
public:
  /// Whether parameters are fixed or what a training run changes. Trained parameters are mutable
  /// globals in f32, and rows are gathered by moe.dispatch, which has a derivative.
  enum class Parameters { Fixed, Trained };

  /// Appends at the builder's insertion point. `tokens` is the number of rows (an index value).
  Blocks(GraphBuilder &builder, const ModelDescription &model, mlir::Value tokens,
         Parameters parameters = Parameters::Fixed)
      : b(builder), model(model), c(model.config), rows(tokens),
        trained(parameters == Parameters::Trained) {}

  /// From now on the embedding table is read after the layers (head, MTP), perhaps on another rank
  /// than before them: its gradient is summed apart (`hadal.use` = 1).
  void readEmbeddingAfterLayers() { embeddingUse = 1; }

  /// Rows of the embedding table. `tokenIds` [T] i32 -> [T, hidden].
  mlir::Value embedding(mlir::Value tokenIds);

  /// w * (x / sqrt(mean(x^2) + epsilon)) for each row of `x` [T, N]; `name` without ".weight".
  mlir::Value norm(mlir::Value x, llvm::StringRef name, double epsilon);

  /// x W^T, plus the bias when the model has one. `x` [T, K] -> [T, N]; `name` without ".weight".
  mlir::Value linear(mlir::Value x, llvm::StringRef name);

  /// down(silu(gate x) * up x) with the projections under `prefix`, which ends in ".".
  mlir::Value mlp(mlir::Value x, llvm::StringRef prefix);

  /// x + y, and x + (y + z).
  mlir::Value add(mlir::Value x, mlir::Value y, llvm::StringRef name);
  mlir::Value add(mlir::Value x, mlir::Value y, mlir::Value z, llvm::StringRef name);

  /// Cosines and sines of all tokens, made once for all layers.
  struct Rotation {
    mlir::Value cos, sin; ///< [T, dr / 2]
  };
  Rotation rotation(mlir::Value positions);

  /// Multi-head latent attention on expanded heads.
  struct Attention {
    mlir::Value result; ///< [T, hidden]
    mlir::Value latent; ///< [T, rk], normalised
    mlir::Value key;    ///< [T, dr], rotated
  };
  Attention attention(mlir::Value x, llvm::StringRef prefix, Rotation rotation,
                      mlir::Value offsets);

  /// The routed experts and the shared one.
  struct Experts {
    mlir::Value routed;          ///< [T, hidden]
    mlir::Value shared;          ///< [T, hidden], null without a shared expert
    mlir::Value choice, weights; ///< [T, K] i32 and f32
    mlir::Value gate;            ///< [T, E], before the sigmoid or softmax
    mlir::Value offsets;         ///< [E+1] i32, where each expert's rows begin
  };
  Experts experts(mlir::Value x, llvm::StringRef prefix);

  /// One layer: attention and MLP or experts, each with its norm and residual. `dense` chooses
  /// between the two.
  struct Layer {
    mlir::Value hidden; ///< [T, hidden]
    Attention attention;
    std::optional<Experts> experts;
  };
  Layer layer(mlir::Value x, llvm::StringRef prefix, bool dense, Rotation rotation,
              mlir::Value offsets);

  /// Rows `ids` [R] i32 of `x` or of a parameter. [R, size]
  mlir::Value rowsOf(mlir::Value x, mlir::Value ids) { return gather(x, ids); }

  /// The head on rows that are already normalised. [R, vocabulary]
  mlir::Value head(mlir::Value x);

  /// Final norm and head over the rows of `x` that `rowIds` [R] i32 names -> [R, vocabulary].
  mlir::Value logits(mlir::Value x, mlir::Value rowIds);

  const ModelConfig &config() const { return c; }

private:
  mlir::Value load(llvm::StringRef name);
  mlir::Value loadMatrix(llvm::StringRef name);
  mlir::Value widened(mlir::Value x);
  bool takesCodes(llvm::StringRef weights) const;
  mlir::Value rowsFor(mlir::Value x, llvm::StringRef weights);
  mlir::Value gather(mlir::Value table, mlir::Value ids);
  mlir::Value rotate(mlir::Value x, Rotation rotation);
  mlir::Value empty(llvm::ArrayRef<int64_t> sizes);
  mlir::Value zeros(llvm::ArrayRef<int64_t> sizes);
  mlir::Value splitHeads(mlir::Value x, int64_t heads);
  mlir::Value mergeHeads(mlir::Value x);
  mlir::Value slice(mlir::Value x, int64_t begin, int64_t size);
  mlir::Value silu(mlir::Value gate, mlir::Value up);
  mlir::RankedTensorType rowsType(llvm::ArrayRef<int64_t> sizes);
  mlir::RankedTensorType indexRowsType(llvm::ArrayRef<int64_t> sizes);

  using Body = llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location, mlir::ValueRange)>;

  /// A generic over [rows, size] without reduction. Operands of rank 1 are [rows] when `perRow`
  /// says so, else [size].
  mlir::Value elementwise(llvm::ArrayRef<mlir::Value> inputs, int64_t size, Body body,
                          llvm::ArrayRef<bool> perRow = {});

  GraphBuilder &b;
  const ModelDescription &model;
  const ModelConfig &c;
  mlir::Value rows; ///< of the activations being built
  bool trained;
  int64_t embeddingUse = 0;
};

} // namespace hadal::frontend

#endif // HADAL_FRONTEND_BLOCKS_H
