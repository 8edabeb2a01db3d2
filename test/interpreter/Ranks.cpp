//===- Ranks.cpp ---------------------------------------------------------===//

#include "Ranks.h"

#include "llvm/Support/ErrorHandling.h"

#include <algorithm>
#include <limits>
#include <thread>

using namespace mlir;

namespace hadal::frontend {

namespace {

/// Rows for (or of) the parts before `part`, and for it, by counts [part][segment] of (rows,
/// choices).
std::pair<int64_t, int64_t> rowsOfPart(const Array &counts, int64_t part, int64_t segments) {
  auto rows = [&](int64_t p) {
    double sum = 0;
    for (int64_t s = 0; s < segments; ++s)
      sum += counts.data[2 * (p * segments + s)];
    return static_cast<int64_t>(sum);
  };
  int64_t before = 0;
  for (int64_t p = 0; p < part; ++p)
    before += rows(p);
  return {before, rows(part)};
}

} // namespace

bool Ranks::exchange(int64_t rank, Operation *op, Values &values) {
  auto peersOf = [&](auto o, auto body) {
    int64_t stride = o.getStride(), parts = o.getParts(), mine = rank / stride % parts;
    for (int64_t part = 0; part < parts; ++part)
      body(part, mine, rank + (part - mine) * stride);
  };
  if (auto counts = dyn_cast<moe::ExchangeCountsOp>(op)) {
    posted[rank] = {nullptr, &values.at(counts.getSend())};
    barrier.arrive_and_wait();
    Array received = Array::zeros(posted[rank].counts->shape);
    auto block = static_cast<int64_t>(2 * counts.getSegments());
    peersOf(counts, [&](int64_t part, int64_t mine, int64_t peer) {
      std::copy_n(posted[peer].counts->data.begin() + mine * block, block,
                  received.data.begin() + part * block);
    });
    barrier.arrive_and_wait();
    values[counts.getReceive()] = received;
    double rows = 0, choices = 0;
    for (size_t i = 0; i < received.data.size(); i += 2)
      rows += received.data[i], choices += received.data[i + 1];
    values[counts.getRows()] = registers[rank][counts.getRowsRegister().str()] = {{}, {rows}};
    values[counts.getChoices()] =
        registers[rank][counts.getChoicesRegister().str()] = {{}, {choices}};
    return true;
  }
  if (auto count = dyn_cast<moe::CountOp>(op)) {
    values[count] = registers[rank].at(count.getReg().str());
    return true;
  }
  auto rows = dyn_cast<moe::ExchangeOp>(op);
  if (!rows)
    return false;
  auto segments = static_cast<int64_t>(rows.getSegments());
  posted[rank] = {&values.at(rows.getX()), &values.at(rows.getSend())};
  const Array &receive = values.at(rows.getReceive());
  barrier.arrive_and_wait();
  int64_t size = posted[rank].rows->dim(1);
  int64_t count = rows.getRows() ? static_cast<int64_t>(values.at(rows.getRows()).data.front())
                                 : values.at(rows.getLike()).dim(0);
  Array result = Array::zeros({count, size});
  std::fill(result.data.begin(), result.data.end(), std::numeric_limits<double>::quiet_NaN());
  peersOf(rows, [&](int64_t part, int64_t mine, int64_t peer) {
    auto [from, count] = rowsOfPart(*posted[peer].counts, mine, segments);
    auto [to, wanted] = rowsOfPart(receive, part, segments);
    if (count != wanted)
      llvm::report_fatal_error("ranks disagree on what they send and receive");
    auto begin = posted[peer].rows->data.begin() + from * size;
    std::copy_n(begin, count * size, result.data.begin() + to * size);
    std::lock_guard guard(lock);
    messages.push_back({rows, peer, rank, {{count, size}, {begin, begin + count * size}}});
  });
  barrier.arrive_and_wait();
  values[rows.getResult()] = result;
  return true;
}

std::vector<std::vector<Array>> Ranks::evaluate(func::FuncOp function,
                                                const std::vector<std::vector<Array>> &arguments) {
  std::vector<std::vector<Array>> results(arguments.size());
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < static_cast<int64_t>(arguments.size()); ++rank)
    threads.emplace_back([&, rank] {
      GraphInterpreter interpreter([&](StringRef name) { return parameter(rank, name); });
      interpreter.exchange = [&](Operation *op, Values &values) {
        return exchange(rank, op, values);
      };
      results[rank] = interpreter.evaluate(function, arguments[rank]);
      if (!interpreter.complaint.empty()) // the others would wait for it
        llvm::report_fatal_error(
            llvm::StringRef("the interpreter does not know " + interpreter.complaint));
    });
  for (std::thread &thread : threads)
    thread.join();
  return results;
}

} // namespace hadal::frontend
