//===- Ranks.h - a sharded graph evaluated on all its ranks -----*- C++ -*-===//
//
// One thread and one interpreter a rank. Rows change hands as the descriptions of
// moe.exchange_counts and moe.exchange say; rows that nobody sends are NaN, so that reading
// them shows.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TEST_INTERPRETER_RANKS_H
#define HADAL_TEST_INTERPRETER_RANKS_H

#include "GraphInterpreter.h"

#include "dialects/moe/Moe.h"

#include <barrier>
#include <map>
#include <mutex>

namespace hadal::frontend {

class Ranks {
public:
  /// `parameter` gives a global's value on a rank.
  Ranks(int64_t count, std::function<Array(int64_t rank, llvm::StringRef name)> parameter)
      : parameter(std::move(parameter)), posted(count), registers(count), barrier(count) {}

  /// Rows that one rank has sent to another by one exchange.
  struct Message {
    moe::ExchangeOp op;
    int64_t from, to;
    Array rows;
  };

  /// Results of each rank, whose arguments are `arguments[rank]`. An op that is not known ends the
  /// process.
  std::vector<std::vector<Array>> evaluate(mlir::func::FuncOp function,
                                           const std::vector<std::vector<Array>> &arguments);

  std::vector<Message> messages; ///< of all evaluations, in no order

private:
  bool exchange(int64_t rank, mlir::Operation *op, Values &values);

  struct Post {
    const Array *rows, *counts;
  };
  std::function<Array(int64_t, llvm::StringRef)> parameter;
  std::vector<Post> posted;
  /// Of each rank: what its exchanges have counted, for the parts of a function that come after.
  std::vector<std::map<std::string, Array>> registers;
  std::barrier<> barrier;
  std::mutex lock;
};

} // namespace hadal::frontend

#endif // HADAL_TEST_INTERPRETER_RANKS_H
