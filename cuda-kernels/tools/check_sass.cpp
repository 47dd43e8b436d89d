// Reads the machine code that nvcc put into a library or object, without NVIDIA's tools, and holds it against a list of
// expectations: which kernels must use tensor cores or asynchronous copies, and that none keeps registers in local
// memory.
//   check_sass LIBRARY EXPECTATIONS    prints one line per kernel of the first architecture, every violation, and how
//   many
//                                      kernels there are for each architecture and as PTX
// CUDA ELFs (machine 190) lie uncompressed in the fat binary (nvcc --no-compress). From Volta on an instruction has 16
// bytes, the low 12 bits of which are the opcode.
#include <cxxabi.h>
#include <elf.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr uint16_t kCudaMachine = 190;
constexpr size_t kInstructionBytes = 16;

const std::map<uint16_t, const char*>& opcodes() {
  static const std::map<uint16_t, const char*> names = {
      {0x23c, "HMMA"},     {0x83b, "LDSM"},     {0xfae, "LDGSTS"},  {0x387, "STL"},    {0x983, "LDL"},
      {0xdf0, "HGMMA_RS"}, {0x9f0, "HGMMA_SS"}, {0x5b4, "UTMALDG"}, {0x3ba, "UBLKCP"},
  };
  return names;
}

struct Kernel {
  std::string name;          // without namespaces and parameters
  std::string architecture;  // "sm_90"
  size_t instructions = 0;
  int registers = 0;
  std::map<std::string, int> counts;

  int count(const std::string& opcode) const {
    const auto found = counts.find(opcode);
    return found == counts.end() ? 0 : found->second;
  }
};

/// One line "substring-of-name OPCODE": some kernel has the substring, and every one that has it uses the opcode.
struct Expectation {
  std::string name, opcode;
};

[[noreturn]] void fail(const std::string& text) {
  std::fprintf(stderr, "check_sass: %s\n", text.c_str());
  std::exit(2);
}

std::string read_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(std::string("cannot read ") + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string demangled(const std::string& symbol) {
  int status = 0;
  char* text = abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
  const std::string result = status == 0 ? text : symbol;
  std::free(text);
  return result;
}

/// "rmsnorm_forward<true>" of "void ln::cuda::(anonymous namespace)::rmsnorm_forward<true>(ln_rmsnorm_fwd_args,
/// float)".
std::string short_name(std::string name) {
  for (const char* noise : {"(anonymous namespace)::", "ln::cuda::", "void "}) {
    for (size_t found = name.find(noise); found != std::string::npos; found = name.find(noise)) {
      name.erase(found, std::strlen(noise));
    }
  }
  return name.substr(0, name.find('('));
}

template <typename T>
T at(const std::string& bytes, size_t offset) {
  if (offset + sizeof(T) > bytes.size()) fail("a CUDA ELF is cut short");
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

/// The number of the architecture moved by a byte with ABI version 8 (CUDA 13).
std::string architecture_of(const Elf64_Ehdr& header) {
  const uint32_t number = header.e_ident[EI_ABIVERSION] >= 8 ? header.e_flags >> 8 & 0xff : header.e_flags & 0xff;
  return "sm_" + std::to_string(number);
}

void add_kernels(const std::string& bytes, size_t start, std::vector<Kernel>& kernels) {
  const auto header = at<Elf64_Ehdr>(bytes, start);
  std::vector<Elf64_Shdr> sections;
  for (int i = 0; i < header.e_shnum; ++i) {
    sections.push_back(at<Elf64_Shdr>(bytes, start + header.e_shoff + static_cast<size_t>(i) * sizeof(Elf64_Shdr)));
  }
  const size_t names = start + sections.at(header.e_shstrndx).sh_offset;
  for (const Elf64_Shdr& section : sections) {
    const std::string name = bytes.c_str() + names + section.sh_name;
    if (section.sh_type != SHT_PROGBITS || name.rfind(".text.", 0) != 0) continue;
    Kernel kernel;
    kernel.name = short_name(demangled(name.substr(std::strlen(".text."))));
    kernel.architecture = architecture_of(header);
    kernel.instructions = section.sh_size / kInstructionBytes;
    kernel.registers = static_cast<int>(section.sh_info >> 24);
    for (size_t i = 0; i < kernel.instructions; ++i) {
      const uint16_t opcode = at<uint16_t>(bytes, start + section.sh_offset + i * kInstructionBytes) & 0xfff;
      const auto known = opcodes().find(opcode);
      if (known != opcodes().end()) kernel.counts[known->second]++;
    }
    kernels.push_back(kernel);
  }
}

std::vector<Kernel> kernels_of(const std::string& bytes) {
  const std::string magic = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB};
  std::vector<Kernel> kernels;
  for (size_t start = bytes.find(magic); start != std::string::npos; start = bytes.find(magic, start + 4)) {
    if (start + sizeof(Elf64_Ehdr) > bytes.size()) break;
    if (at<Elf64_Ehdr>(bytes, start).e_machine == kCudaMachine) add_kernels(bytes, start, kernels);
  }
  return kernels;
}

/// How many modules of PTX, which drivers compile for GPUs that did not exist yet, there are by target: "sm_80".
std::map<std::string, int> ptx_of(const std::string& bytes) {
  const std::string directive = "\n.target sm_";
  std::map<std::string, int> modules;
  for (size_t at = bytes.find(directive); at != std::string::npos; at = bytes.find(directive, at + 1)) {
    const size_t start = at + directive.size();
    modules["sm_" + bytes.substr(start, bytes.find_first_not_of("0123456789", start) - start)]++;
  }
  return modules;
}

std::vector<Expectation> expectations_of(const std::string& text) {
  std::vector<Expectation> expectations;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    Expectation expectation;
    if (!(words >> expectation.name)) continue;
    if (!(words >> expectation.opcode)) fail("no opcode after '" + expectation.name + "'");
    expectations.push_back(expectation);
  }
  return expectations;
}

void print(const Kernel& kernel) {
  std::printf("%-72s %6zu instructions %4d registers", kernel.name.c_str(), kernel.instructions, kernel.registers);
  for (const auto& [opcode, count] : kernel.counts) std::printf("  %s %d", opcode.c_str(), count);
  std::printf("\n");
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) fail("usage: check_sass LIBRARY EXPECTATIONS");
  const std::string library = read_file(arguments[1]);
  const std::vector<Kernel> kernels = kernels_of(library);
  if (kernels.empty()) fail(std::string(arguments[1]) + " holds no uncompressed CUDA code");
  int violations = 0;
  const auto violation = [&](const Kernel& kernel, const std::string& text) {
    std::printf("VIOLATION %s %s: %s\n", kernel.architecture.c_str(), kernel.name.c_str(), text.c_str());
    ++violations;
  };
  std::map<std::string, int> architectures;
  for (const Kernel& kernel : kernels) {
    architectures[kernel.architecture]++;
    if (kernel.architecture == kernels.front().architecture) print(kernel);
    if (kernel.count("STL") + kernel.count("LDL") > 0) violation(kernel, "uses local memory (spills or a stack)");
  }
  for (const Expectation& expectation : expectations_of(read_file(arguments[2]))) {
    int matching = 0;
    for (const Kernel& kernel : kernels) {
      if (kernel.name.find(expectation.name) == std::string::npos) continue;
      ++matching;
      if (kernel.count(expectation.opcode) == 0) violation(kernel, "has no " + expectation.opcode);
    }
    if (matching == 0) {
      std::printf("VIOLATION no kernel is called %s\n", expectation.name.c_str());
      ++violations;
    }
  }
  for (const auto& [architecture, number] : architectures)
    std::printf("%s: %d kernels\n", architecture.c_str(), number);
  for (const auto& [target, number] : ptx_of(library)) std::printf("PTX of %s: %d modules\n", target.c_str(), number);
  std::printf("%d violations\n", violations);
  return violations == 0 ? 0 : 1;
}
