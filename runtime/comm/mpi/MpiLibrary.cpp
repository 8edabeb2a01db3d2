//===- MpiLibrary.cpp - libhadal-mpi.so ---------------------------------===//
//
// The only file that knows MPI and its error codes.
//
//===--------------------------------------------------------------------===//

#include "runtime/comm/MpiTable.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <mpi.h>
#include <vector>

namespace {

/// MPI counts in int: longer messages go in pieces, which arrive in order.
constexpr uint64_t pieceBytes = uint64_t(1) << 30;
constexpr int64_t pieceElements = int64_t(1) << 28;

struct Request {
  std::vector<MPI_Request> pieces;
  std::vector<uint64_t> wanted; ///< bytes of each where it is received
  int peer;
};

int failed(int code, const char *doing, char *error) {
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS)
    text[0] = 0;
  for (char *c = text; *c; ++c)
    if (*c == '\n')
      *c = ' ';
  std::snprintf(error, HADAL_MPI_ERROR_BYTES, "MPI: %s: %.300s", doing, text);
  return 1;
}

int start(int *rank, int *size, char *error) {
  int provided = 0;
  if (int code = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided))
    return failed(code, "cannot start", error);
  if (provided < MPI_THREAD_SERIALIZED) {
    std::snprintf(error, HADAL_MPI_ERROR_BYTES,
                  "MPI: wants one that several threads may call, this one may not be");
    return 1;
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, rank);
  MPI_Comm_size(MPI_COMM_WORLD, size);
  return 0;
}

int send(int to, int tag, const void *data, uint64_t bytes, void **result, char *error) {
  auto *request = new Request{{}, {}, to};
  uint64_t at = 0;
  do {
    uint64_t piece = std::min(bytes - at, pieceBytes);
    MPI_Request one;
    if (int code = MPI_Isend(static_cast<const char *>(data) + at, int(piece), MPI_BYTE, to, tag,
                             MPI_COMM_WORLD, &one))
      return failed(code, "cannot send", error);
    request->pieces.push_back(one);
    at += piece;
  } while (at < bytes);
  *result = request;
  return 0;
}

int receive(int from, int tag, void *data, uint64_t bytes, void **result, char *error) {
  auto *request = new Request{{}, {}, from};
  uint64_t at = 0;
  do {
    uint64_t piece = std::min(bytes - at, pieceBytes);
    MPI_Request one;
    if (int code = MPI_Irecv(static_cast<char *>(data) + at, int(piece), MPI_BYTE, from, tag,
                             MPI_COMM_WORLD, &one))
      return failed(code, "cannot receive", error);
    request->pieces.push_back(one);
    request->wanted.push_back(piece);
    at += piece;
  } while (at < bytes);
  *result = request;
  return 0;
}

/// The communicator of some ranks of the world, made when it is first asked for. They end with MPI.
int communicatorOf(const std::vector<int> &ranks, MPI_Comm *result, char *error) {
  static std::map<std::vector<int>, MPI_Comm> known;
  auto [at, isNew] = known.insert({ranks, MPI_COMM_NULL});
  if (isNew) {
    MPI_Group world, some;
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    int code = MPI_Group_incl(world, int(ranks.size()), ranks.data(), &some);
    if (!code) {
      code = MPI_Comm_create_group(MPI_COMM_WORLD, some, 0, &at->second);
      MPI_Group_free(&some);
    }
    MPI_Group_free(&world);
    if (code) {
      known.erase(at);
      return failed(code, "cannot make a communicator", error);
    }
    MPI_Comm_set_errhandler(at->second, MPI_ERRORS_RETURN);
  }
  *result = at->second;
  return 0;
}

int reduce(const int *ranks, int count, int root, int integers, void *data, int64_t elements,
           void **result, char *error) {
  MPI_Comm comm;
  if (communicatorOf({ranks, ranks + count}, &comm, error))
    return 1;
  int mine = 0;
  MPI_Comm_rank(comm, &mine);
  auto *request = new Request{{}, {}, ranks[root]};
  int64_t at = 0;
  do {
    int64_t piece = std::min(elements - at, pieceElements);
    void *here = static_cast<char *>(data) + at * 4;
    MPI_Request one;
    if (int code = MPI_Ireduce(mine == root ? MPI_IN_PLACE : here, mine == root ? here : nullptr,
                               int(piece), integers ? MPI_INT32_T : MPI_FLOAT, MPI_SUM, root, comm,
                               &one)) {
      delete request;
      return failed(code, "cannot reduce", error);
    }
    request->pieces.push_back(one);
    at += piece;
  } while (at < elements);
  *result = request;
  return 0;
}

int test(void *handle, int *done, char *error) {
  auto *request = static_cast<Request *>(handle);
  *done = 0;
  for (size_t i = 0; i < request->pieces.size(); ++i) {
    if (request->pieces[i] == MPI_REQUEST_NULL)
      continue;
    int isDone = 0;
    MPI_Status status;
    if (int code = MPI_Test(&request->pieces[i], &isDone, &status)) {
      int kind = 0;
      MPI_Error_class(code, &kind);
      if (kind == MPI_ERR_TRUNCATE)
        std::snprintf(error, HADAL_MPI_ERROR_BYTES, "wants %llu bytes from rank %d, got more",
                      (unsigned long long)request->wanted[i], request->peer);
      else
        failed(code, "a message failed", error);
      delete request;
      return 1;
    }
    if (!isDone)
      return 0;
    if (i < request->wanted.size()) {
      int got = 0;
      MPI_Get_count(&status, MPI_BYTE, &got);
      if (uint64_t(got) != request->wanted[i]) {
        std::snprintf(error, HADAL_MPI_ERROR_BYTES, "wants %llu bytes from rank %d, got %d",
                      (unsigned long long)request->wanted[i], request->peer, got);
        delete request;
        return 1;
      }
    }
  }
  delete request;
  *done = 1;
  return 0;
}

int finish(char *error) {
  int code = MPI_Finalize();
  return code ? failed(code, "cannot end", error) : 0;
}

void abortAll() { MPI_Abort(MPI_COMM_WORLD, 1); }

} // namespace

extern "C" __attribute__((visibility("default"))) const HadalMpi *hadalMpi(void) {
  static const HadalMpi table = {HADAL_MPI_VERSION, start, send, receive, reduce, test, finish,
                                 abortAll};
  return &table;
}
