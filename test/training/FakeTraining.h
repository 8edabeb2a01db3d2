//===- FakeTraining.h - a training job that can be checked by hand ------===//
//
// A module with the programs of --mode=train, for tests of the driver without the compiler. Its
// model says that token t is followed by V * E[t][0], and the token after that by V * E[t][1]; E
// is its table of embeddings. Token t goes to expert t mod 3. The moment of a parameter is its
// running sum of gradients, and moves it.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TEST_TRAINING_FAKETRAINING_H
#define HADAL_TEST_TRAINING_FAKETRAINING_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hadal::fake {

inline constexpr int64_t trainVocabulary =
    260; ///< bytes; 256 ends a document, 257 to 259 are for filling in
inline constexpr int64_t trainExperts = 3;
inline constexpr int64_t paddedRows = 264; ///< a packed column of the table

struct TrainingShape {
  int64_t microBatch = 2, sequence = 8, microBatches = 2;
  bool averages = true;
  int64_t sumGroups = 1;                           ///< of micro-batches
  const char *table = "model.embed_tokens.weight"; ///< the name of the table of embeddings
};

/// The module's FlatBuffer, with the kernels' shared object inside.
std::vector<std::byte> trainingPayload(const TrainingShape &shape);

} // namespace hadal::fake

#endif // HADAL_TEST_TRAINING_FAKETRAINING_H
