//===- WriteFakeRanks.cpp - files for ranks.sh --------------------------===//
//
//     WriteFakeRanks DIR [ROWS]
//         DIR/in.safetensors: rows of every step
//     WriteFakeRanks FILE PP EP DP SCHEDULE PAIRS [WORK [MICRO_BATCHES [OVERLAP [FAST]]]]
//         a module
//
//===--------------------------------------------------------------------===//

#include "runtime/Safetensors.h"
#include "runtime/module/Module.h"
#include "test/parallel/FakeRanks.h"

#include <cstdio>
#include <cstdlib>

using namespace hadal;

static Status writeAll(int argc, char **argv) {
  if (argc == 2 || argc == 3) {
    int64_t rows = argc > 2 ? std::atoi(argv[2]) : 16;
    std::vector<int64_t> ids(rows * fake::ranksSequence);
    for (size_t i = 0; i < ids.size(); ++i)
      ids[i] = int64_t(i * 37 + i * i * 5) % fake::ranksVocabulary;
    return writeSafetensors(
        std::string(argv[1]) + "/in.safetensors",
        std::vector<NamedTensor>{{"input_ids", TensorView::of(ids, {rows, fake::ranksSequence})}});
  }
  if (argc < 7)
    return invalidArgument(
        "wants a folder, or a file, PP, EP, DP, schedule and whether there are pairs");
  fake::RanksShape shape;
  shape.pp = uint32_t(std::atoi(argv[2]));
  shape.ep = uint32_t(std::atoi(argv[3]));
  shape.dp = uint32_t(std::atoi(argv[4]));
  shape.schedule = argv[5];
  shape.pairs = std::atoi(argv[6]);
  shape.work = argc > 7 ? std::atoi(argv[7]) : 0;
  shape.microBatches = argc > 8 ? std::atoi(argv[8]) : 16;
  shape.overlap = argc > 9 ? std::atoi(argv[9]) : shape.pairs;
  shape.fast = argc > 10 && std::atoi(argv[10]);
  return writeModule(argv[1], fake::ranksPayload(shape));
}

int main(int argc, char **argv) {
  Status written = writeAll(argc, argv);
  if (!written.ok())
    std::fprintf(stderr, "WriteFakeRanks: %s\n", written.error().message.c_str());
  return written.ok() ? 0 : 1;
}
