//===- Fp8Quantizer.h - what the files of --fp8-quantize share ------------===//
//
// The recipe of FP8 training (DeepSeek-V3, arXiv:2412.19437, section 3.3): which options a Linear
// has, and how a function's values become codes, each once for all that read it.
//
//===----------------------------------------------------------------------===//
#ifndef HADAL_PASSES_QUANTIZE_FP8QUANTIZER_H
#define HADAL_PASSES_QUANTIZE_FP8QUANTIZER_H

#include "dialects/fp8/Fp8.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "passes/analysis/Products.h"
#include "passes/autodiff/Saved.h"
#include "llvm/ADT/SmallVector.h"
#include <array>

namespace hadal {

/// How a matrix becomes codes: sizes of a tile (0: the whole dimension), scales, format.
struct Fp8Tile {
  int64_t rows = 1, columns = 128;
  bool pow2 = false;
  fp8::Format format = fp8::Format::E4M3;

  Fp8Tile withPow2(bool always = true) const { return {rows, columns, pow2 || always, format}; }
  bool operator==(const Fp8Tile &) const = default;
};

/// Codes of a matrix, their scales, and what they were made with.
struct Fp8Codes {
  mlir::Value q, scale;
  mlir::Value offsets; ///< groups at which tiles begin anew, or null
  Fp8Tile tile;
};

/// The options of one Linear.
struct Fp8Options {
  fp8::Format format = fp8::Format::E4M3; ///< of the operands of its three products, or E5M2
  bool pow2 = false;                      ///< all scales are powers of two
  bool gradientBlocks = false;            ///< dY of the input gradient in tiles of 128 x 128
  int64_t interval = 128;                 ///< a sum is promoted after so many products; 0: never
  bool hopper = false; ///< parts of sums as a Hopper tensor core is reported to form them

  /// Of what has features in a row: X of the forward product, dY of the input gradient.
  Fp8Tile rowTile() const { return {1, interval ? 128 : 0, pow2, format}; }
  /// Of both operands of the weight gradient.
  Fp8Tile tokenTile() const { return {interval ? 128 : 0, 1, pow2, format}; }
  /// Of weights [N, K]; `transpose`: of a product that sums over N.
  Fp8Tile weightTile(bool transpose) const {
    if (interval)
      return {128, 128, pow2, format};
    return {transpose ? 0 : 1, transpose ? 1 : 0, pow2, format};
  }
  /// Of what SwiGLU's backward half reads.
  Fp8Tile keptTile() const { return {1, 128, pow2}; }
};

/// The pass's options: a value for all Linears, or values for parts by patterns.
/// One thread at a time.
class Fp8Recipe {
public:
  enum Option { Format, Scales, GradientTile, AttentionOutput, Swiglu, Interval, Accumulate };
  static constexpr unsigned optionCount = Accumulate + 1;

  /// Reads "VALUE" or "PATTERN:VALUE", one or several with commas between. False, after an error,
  /// where the value or pattern is none.
  bool read(Option option, llvm::StringRef text,
            llvm::function_ref<void(const llvm::Twine &)> error);

  /// The options of the Linear that is this part of the model; of several entries that match the
  /// last one counts.
  Fp8Options of(llvm::StringRef part);
  /// Of a Linear after attention: whether its input is kept in E5M6, else in E4M3.
  bool keepsE5M6(llvm::StringRef part) { return choose(AttentionOutput, part) == 0; }
  /// Of a Linear after SwiGLU: whether that one's inputs are kept in E4M3, else in f32.
  bool keepsCodes(llvm::StringRef part) { return choose(Swiglu, part) == 0; }

  /// False, after an error, where a pattern has matched no part that was asked for.
  bool checkPatterns(llvm::function_ref<mlir::InFlightDiagnostic()> error) const;

private:
  struct Entry {
    std::optional<std::string> pattern; ///< none: all
    unsigned value = 0;                 ///< as it stands in the option's list of values
    bool matched = false;
  };
  unsigned choose(Option option, llvm::StringRef part);
  std::array<llvm::SmallVector<Entry>, optionCount> entries;
};

/// The values of one function on their way to codes. Ops are made in front of the op that reads
/// them, in its part of the model. One thread at a time.
class Fp8Quantizer {
public:
  enum class Role { Forward, InputGradient, WeightGradient };

  Fp8Quantizer(mlir::func::FuncOp f, Fp8Recipe &recipe);

  /// The Linears' products that are not rewritten yet, as the function came.
  llvm::DenseMap<mlir::Operation *, Role> roles;
  mlir::func::FuncOp function() const { return f; }
  Fp8Options optionsOf(mlir::Operation *product);
  /// Of a Linear after attention, and of one after SwiGLU (Fp8Recipe).
  bool keepsE5M6(mlir::Operation *linear);
  bool keepsCodes(mlir::Operation *linear);

  /// Codes of `x` [M, K] in front of `reader`; made once for a value, tile and offsets.
  Fp8Codes quantize(mlir::Operation *reader, mlir::Value x, const Fp8Tile &tile,
                    mlir::Value offsets = {});
  /// What they stand for, f32, in front of `reader`; made once. Codes that another op than
  /// fp8.quantize has made are of E4M3 or E5M2.
  mlir::Value dequantize(mlir::Operation *reader, const Fp8Codes &codes);
  /// Codes of dY for the input gradient, with scales of each row, whatever their tiles. Offsets: of
  /// a grouped product, or null.
  Fp8Codes gradientCodes(mlir::Operation *reader, mlir::Value dy, const Fp8Options &options,
                         bool pow2 = false, mlir::Value offsets = {});
  /// Codes of weights [N, K] or [E, N, K], made once for a parameter and tile.
  Fp8Codes weights(mlir::Operation *reader, mlir::Value w, const Fp8Options &options,
                   bool transpose);

  /// In place of `op`, a product of rows: of codes in tiles of one row. Offsets and active: of a
  /// grouped one, or null. `transpose`: sums over N of weights [N, K].
  mlir::Value product(mlir::Operation *op, const Fp8Codes &rows, mlir::Value weights,
                      bool transpose, const Fp8Options &options, mlir::Value offsets = {},
                      mlir::Value active = {}, mlir::Value source = {});
  /// In place of `op`: init + dy^T x, both f32, quantized here in tiles along tokens.
  mlir::Value weightGradient(mlir::Operation *op, mlir::Value dy, bool dyPow2, mlir::Value x,
                             bool xPow2, mlir::Value init, const Fp8Options &options,
                             mlir::Value offsets = {}, mlir::Value active = {});
  /// Puts `value` in the place of `op`'s result, and takes `op` away.
  void replace(mlir::Operation *op, mlir::Value value);

  /// Whether the op, or the one around it, is of the backward half.
  bool isBackward(mlir::Operation *op) const;
  void setForward(mlir::Operation *op) { halves.forward.insert(op); }

private:
  /// An op that was made for one reader may have another that comes earlier.
  void standBefore(mlir::Operation *reader, mlir::Operation *op);

  mlir::func::FuncOp f;
  Fp8Recipe &recipe;
  Halves halves;                                                       ///< with what was made since
  llvm::DenseMap<mlir::Value, llvm::SmallVector<Fp8Codes, 2>> codesOf; ///< by value
  llvm::DenseMap<mlir::Value, mlir::Value> numbersOf;                  ///< by codes
};

/// The backward half reads what is kept of SwiGLU's inputs and attention's output, and computes
/// SwiGLU's output from that. KeepActivations.cpp.
void keepActivations(Fp8Quantizer &quantizer);

/// Whether `x` is attention's output, its heads side by side: its scales are powers of two.
bool isAttentionOutput(mlir::Value x);

/// The weight gradient of a Linear that `op` is, if it is one of f32 operands; also where tokens
/// are of static number, and products look alike.
std::optional<WeightGradient> matchLinearGradient(mlir::Operation *op);

/// The products of routed experts, from moe.plan to moe.combine, and their gradients. What is left
/// are plain Linears. QuantizeExperts.cpp.
void quantizeRoutedExperts(Fp8Quantizer &quantizer);

} // namespace hadal

#endif // HADAL_PASSES_QUANTIZE_FP8QUANTIZER_H
