//===- Safetensors.h - named tensors in files ---------------------------===//
//
// Layout of a file: u64 LE length of the header, the header (JSON: name -> {dtype, shape,
// data_offsets}, and
// "__metadata__"), then the bytes of the tensors. Source:
// https://github.com/huggingface/safetensors (README, "Format").
//
// Used by the runtime (weights, inputs, outputs) and by the compiler's frontend, which reads
// headers only.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_SAFETENSORS_H
#define HADAL_RUNTIME_SAFETENSORS_H

#include "runtime/Checksum.h"
#include "runtime/File.h"
#include "runtime/Tensor.h"

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace hadal {

/// Where one tensor lies in its file. `offset` is in bytes from the start of the file (any
/// alignment).
struct StoredTensor {
  std::string name;
  ElementType element = ElementType::F32; ///< Other: of a dtype that is not known, which is an
                                          ///< error where its values are asked for
  Shape shape;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  std::string dtype; ///< the file's own word for the element type
};

/// One file, mapped. After a successful open the tensors cover the file's data, one after the other
/// without holes, and bytes == elementCount(shape) * byteSize(element), but for elements of an
/// unknown dtype (Other). An error names file, tensor, wanted and got: "w.safetensors: tensor 'a':
/// wants 256 bytes for F32 [8, 8], offsets give 128". Any thread may read it.
class Safetensors {
public:
  static Result<Safetensors> open(const std::string &path);

  /// The same of a file that is open.
  static Result<Safetensors> open(MappedFile file);

  /// The same checks over bytes in memory, which must outlive the result. `name` stands for the
  /// path in errors.
  static Result<Safetensors> parse(std::span<const std::byte> bytes, std::string name);

  const std::string &path() const { return name; }

  /// In the order of their offsets.
  const std::vector<StoredTensor> &tensors() const { return entries; }

  /// Null when there is none.
  const StoredTensor *find(std::string_view name) const;

  const std::map<std::string, std::string> &metadata() const { return meta; }

  const std::byte *data(const StoredTensor &tensor) const {
    return contents.data() + tensor.offset;
  }

  /// A copy of one tensor. NotFound: "in.safetensors: no tensor 'input_ids'"; Unsupported for one
  /// of an unknown dtype.
  Result<Tensor> read(std::string_view name) const;

  /// Whether the file is still as long as it was (see MappedFile::checkSize).
  Status checkSize() const { return file.checkSize(); }

  /// Drops the resident pages of one tensor (see MappedFile::release).
  void release(const StoredTensor &tensor) const;
  void willNeed(const StoredTensor &tensor) const;

private:
  Status parseHeader();
  Status checkCover(uint64_t dataBegin) const;

  std::string name;
  MappedFile file;
  std::span<const std::byte> contents;
  std::vector<StoredTensor> entries;
  std::unordered_map<std::string, size_t> index;
  std::map<std::string, std::string> meta;
};

/// The tensors of a folder: model.safetensors, or model.safetensors.index.json and the shards it
/// names, or the only
/// *.safetensors file there. A path to a file is taken as that file. `stem`: what stands there for
/// "model". Any thread may read it.
class Checkpoint {
public:
  struct Entry {
    const StoredTensor *tensor;
    const Safetensors *file;
    const std::byte *data() const { return file->data(*tensor); }
  };

  static Result<Checkpoint> open(const std::string &path, const std::string &stem = "model");

  const std::string &path() const { return location; }

  /// None when the checkpoint has no such tensor.
  std::optional<Entry> find(std::string_view name) const;

  /// Of each of its files.
  Status checkSize() const;

  /// Ascending by name.
  std::vector<std::string> names() const;
  size_t size() const { return index.size(); }

private:
  std::string location;
  std::vector<std::unique_ptr<Safetensors>> files;
  std::unordered_map<std::string, Entry> index;
};

/// Whether a file of this name holds weights in a format that nothing here reads: .bin and .pt of
/// PyTorch, .gguf, .h5 ...
bool isOtherWeightFile(std::string_view name);

/// A file that is written tensor by tensor, so that one of them at a time is in memory. Appears
/// whole or not at all. One thread at a time.
class SafetensorsWriter {
public:
  struct Planned {
    std::string name;
    ElementType element;
    Shape shape;
    std::string dtype = {};  ///< of Other: what the file is to call it
    uint64_t otherBytes = 0; ///< of Other

    /// None where the shape overflows.
    std::optional<uint64_t> bytes() const {
      return element == ElementType::Other ? std::optional(otherBytes) : byteCount(element, shape);
    }
    /// A tensor that is copied as it is.
    static Planned like(const StoredTensor &stored) {
      return {stored.name, stored.element, stored.shape, stored.dtype, stored.bytes};
    }
  };

  /// Writes the header; the data is aligned to 64 bytes. InvalidArgument for a name given twice or
  /// a shape that overflows. Where there is a `checksum`, every byte goes into it too; it must
  /// outlive the writer.
  static Result<SafetensorsWriter> create(const std::string &path, std::span<const Planned> tensors,
                                          const std::map<std::string, std::string> &metadata = {},
                                          Checksum *checksum = nullptr);

  /// The bytes of the next tensor of the plan.
  Status write(const void *data);

  /// After the last tensor.
  Status commit();

private:
  SafetensorsWriter(AtomicFile file, Checksum *checksum)
      : file(std::move(file)), checksum(checksum) {}
  Status append(const void *data, uint64_t bytes);

  AtomicFile file;
  Checksum *checksum;
  std::vector<uint64_t> sizes;
  size_t next = 0;
};

/// A tensor to be written under a name.
struct NamedTensor {
  std::string name;
  TensorView tensor;
};

/// Writes a safetensors file atomically, tensors in the order given, the data aligned to 64 bytes.
/// InvalidArgument for a name given twice or a shape that overflows.
Status writeSafetensors(const std::string &path, std::span<const NamedTensor> tensors,
                        const std::map<std::string, std::string> &metadata = {});

} // namespace hadal

#endif // HADAL_RUNTIME_SAFETENSORS_H
