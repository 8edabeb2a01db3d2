//===- Ptxas.cpp - NVIDIA's assembler, where this machine has it ------------===//

#include "passes/targets/hopper/Ptxas.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/Regex.h"
#include "llvm/Support/raw_ostream.h"

#include <map>

using namespace llvm;
using namespace hadal;

//===----------------------------------------------------------------------===//
// Programs and files
//===----------------------------------------------------------------------===//

namespace {

/// A file that lives as long as this.
class TemporaryFile {
public:
  static Expected<std::unique_ptr<TemporaryFile>> make(StringRef suffix, StringRef bytes = "") {
    auto file = std::make_unique<TemporaryFile>();
    int descriptor;
    if (auto code = sys::fs::createTemporaryFile("hadal", suffix, descriptor, file->name))
      return createStringError(code, "cannot make a temporary file: %s", code.message().c_str());
    raw_fd_ostream out(descriptor, /*shouldClose=*/true);
    out << bytes;
    out.close();
    if (std::error_code code = out.error()) {
      out.clear_error(); // a stream that dies with an error ends the program
      return createStringError(code, "%s: %s", file->name.c_str(), code.message().c_str());
    }
    return file;
  }
  ~TemporaryFile() {
    if (!name.empty())
      sys::fs::remove(name);
  }

  StringRef path() const { return name; }
  std::string read() const {
    auto buffer = MemoryBuffer::getFile(name, /*IsText=*/false, /*RequiresNullTerminator=*/false);
    return buffer ? (*buffer)->getBuffer().str() : std::string();
  }

private:
  SmallString<128> name;
};

struct Ran {
  int status; ///< exit status; negative: it did not run, or died
  std::string out, problem;
};

/// Runs a program to its end. `out` is what it writes to both of its streams.
Expected<Ran> run(StringRef program, ArrayRef<StringRef> arguments) {
  auto written = TemporaryFile::make("txt");
  if (!written)
    return written.takeError();
  SmallVector<StringRef> words{program};
  words.append(arguments.begin(), arguments.end());
  std::optional<StringRef> redirects[] = {StringRef(""), (*written)->path(), (*written)->path()};
  Ran ran;
  ran.status = sys::ExecuteAndWait(program, words, std::nullopt, redirects, /*SecondsToWait=*/0,
                                   /*MemoryLimit=*/0, &ran.problem);
  ran.out = (*written)->read();
  return ran;
}

} // namespace

//===----------------------------------------------------------------------===//
// Which ptxas
//===----------------------------------------------------------------------===//

/// The first release that knows PTX 8.8, which kernels are written in.
static constexpr unsigned kOldestMajor = 12, kOldestMinor = 9;

/// nvdisasm beside ptxas, or on PATH.
static std::string findDisassembler(StringRef ptxas) {
  StringRef folder = sys::path::parent_path(ptxas);
  for (ArrayRef<StringRef> folders : {ArrayRef<StringRef>(folder), ArrayRef<StringRef>()})
    if (auto found = sys::findProgramByName("nvdisasm", folders))
      return *found;
  return "";
}

static Expected<Ptxas> usePtxas(StringRef path) {
  if (!sys::fs::can_execute(path))
    return createStringError(path + ": is no program that can be run");
  StringRef arguments[] = {"--version"};
  auto ran = run(path, arguments);
  if (!ran)
    return ran.takeError();
  static const Regex version("release ([0-9]+)\\.([0-9]+), V([0-9.]+)");
  SmallVector<StringRef> parts;
  if (ran->status != 0 || !version.match(ran->out, &parts))
    return createStringError(path + ": is not ptxas");
  unsigned major = 0, minor = 0;
  (void)parts[1].getAsInteger(10, major);
  (void)parts[2].getAsInteger(10, minor);
  if (std::pair(major, minor) < std::pair(kOldestMajor, kOldestMinor))
    return createStringError(path + ": is of CUDA " + parts[1] + "." + parts[2] + ", wants " +
                             Twine(kOldestMajor) + "." + Twine(kOldestMinor) + " or later");
  return Ptxas{path.str(), parts[3].str(), findDisassembler(path)};
}

Expected<std::optional<Ptxas>> hadal::findPtxas(StringRef wanted) {
  if (wanted == "off")
    return std::nullopt;
  if (wanted != "auto")
    return usePtxas(wanted);
  std::vector<std::string> places;
  if (auto named = sys::Process::GetEnv("HADAL_PTXAS"); named && !named->empty())
    return usePtxas(*named);
  std::string here = sys::fs::getMainExecutable(nullptr, reinterpret_cast<void *>(&findPtxas));
  SmallString<128> fetched(sys::path::parent_path(here));
  sys::path::append(fetched, "..", "cuda", "bin", "ptxas");
  places.push_back(fetched.str().str());
  if (auto found = sys::findProgramByName("ptxas"))
    places.push_back(*found);
  places.push_back("/usr/local/cuda/bin/ptxas");
  for (const std::string &place : places)
    if (sys::fs::can_execute(place)) {
      auto used = usePtxas(place);
      if (used)
        return *used;
      consumeError(used.takeError()); // another may do
    }
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Assembling
//===----------------------------------------------------------------------===//

static uint32_t numberBefore(StringRef text, StringRef what) {
  SmallVector<StringRef> parts;
  uint32_t number = 0;
  if (Regex(("([0-9]+)" + what).str()).match(text, &parts))
    (void)parts[1].getAsInteger(10, number);
  return number;
}

/// What ptxas says under -v. Remarks with a number of its own (C7510: products that wait for each
/// other) are warnings, whatever it calls them.
static void readStatistics(StringRef said, AssembledKernel &kernel) {
  for (StringRef rest = said; !rest.empty();) {
    auto [line, next] = rest.split('\n');
    rest = next;
    if (line.contains("spill stores"))
      kernel.spillBytes +=
          numberBefore(line, " bytes spill stores") + numberBefore(line, " bytes spill loads");
    if (line.contains("Used ") && line.contains(" registers")) {
      kernel.registers = std::max(kernel.registers, numberBefore(line, " registers"));
      kernel.sharedBytes = std::max(kernel.sharedBytes, numberBefore(line, " bytes smem"));
    }
    static const Regex remark("warning|\\(C[0-9]+\\)");
    if (remark.match(line))
      kernel.warnings.push_back(line.trim().str());
  }
}

/// The opcodes of a disassembly, without what qualifies them, and how often each occurs.
static std::vector<std::string> opcodesOf(StringRef text) {
  static const Regex instruction("/\\*[0-9a-f]+\\*/ +(@!?U?P[0-9T]+ +)?([A-Z][A-Z0-9]*)");
  std::map<std::string, unsigned> counts;
  for (StringRef rest = text; !rest.empty();) {
    auto [line, next] = rest.split('\n');
    rest = next;
    SmallVector<StringRef> parts;
    if (instruction.match(line, &parts))
      ++counts[parts[2].str()];
  }
  std::vector<std::string> opcodes;
  for (const auto &[opcode, count] : counts)
    opcodes.push_back(opcode + " " + std::to_string(count));
  return opcodes;
}

static StringRef firstLineWith(StringRef text, StringRef word) {
  for (StringRef rest = text; !rest.empty();) {
    auto [line, next] = rest.split('\n');
    if (line.contains(word))
      return line.trim();
    rest = next;
  }
  return text.trim().split('\n').first;
}

Expected<AssembledKernel> hadal::assemble(const Ptxas &ptxas, StringRef kernel, StringRef ptx) {
  auto failed = [&](const Twine &what) {
    return createStringError("kernel " + kernel + ": " + ptxas.path + ": " + what);
  };
  auto in = TemporaryFile::make("ptx", ptx), out = TemporaryFile::make("cubin");
  if (!in || !out)
    return joinErrors(in.takeError(), out.takeError());
  StringRef arguments[] = {"-arch=sm_90a", "-v", "-o", (*out)->path(), (*in)->path()};
  auto ran = run(ptxas.path, arguments);
  if (!ran)
    return ran.takeError();
  if (ran->status != 0)
    return failed(ran->status < 0 ? StringRef(ran->problem) : firstLineWith(ran->out, "error"));
  AssembledKernel made;
  made.code = (*out)->read();
  if (made.code.empty())
    return failed("wrote no code");
  readStatistics(ran->out, made);
  if (!ptxas.disassembler.empty()) {
    auto text = disassemble(ptxas, made.code);
    if (!text)
      return text.takeError();
    made.opcodes = opcodesOf(*text);
  }
  return made;
}

Expected<std::string> hadal::disassemble(const Ptxas &ptxas, StringRef cubin) {
  auto in = TemporaryFile::make("cubin", cubin);
  if (!in)
    return in.takeError();
  StringRef arguments[] = {"-c", (*in)->path()};
  auto ran = run(ptxas.disassembler, arguments);
  if (!ran)
    return ran.takeError();
  if (ran->status != 0)
    return createStringError(ptxas.disassembler + ": " + firstLineWith(ran->out, "error"));
  return ran->out;
}

//===----------------------------------------------------------------------===//
// One string
//===----------------------------------------------------------------------===//

// A line of JSON, then the code.
std::string hadal::toBytes(const AssembledKernel &kernel) {
  json::Object about{{"registers", kernel.registers},
                     {"spill_bytes", kernel.spillBytes},
                     {"shared_bytes", kernel.sharedBytes},
                     {"warnings", json::Array(kernel.warnings)},
                     {"opcodes", json::Array(kernel.opcodes)}};
  std::string text;
  raw_string_ostream(text) << json::Value(std::move(about)) << "\n" << kernel.code;
  return text;
}

Expected<AssembledKernel> hadal::assembledFromBytes(StringRef bytes) {
  auto [line, code] = bytes.split('\n');
  auto about = json::parse(line);
  if (!about)
    return about.takeError();
  const json::Object *object = about->getAsObject();
  if (!object || code.empty())
    return createStringError("an assembled kernel is malformed");
  auto texts = [&](StringRef name) {
    std::vector<std::string> all;
    if (const json::Array *list = object->getArray(name))
      for (const json::Value &one : *list)
        all.push_back(one.getAsString().value_or("").str());
    return all;
  };
  auto number = [&](StringRef name) { return uint32_t(object->getInteger(name).value_or(0)); };
  return AssembledKernel{
      code.str(),        number("registers"), number("spill_bytes"), number("shared_bytes"),
      texts("warnings"), texts("opcodes")};
}
