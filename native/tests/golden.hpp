// Golden vectors of bitsandbytes' quantize_4bit (tests/data/nf4_golden.bin, made by tools/parity/nf4_golden.py).
#pragma once

#include <fstream>
#include <sstream>

#include "harness.hpp"

namespace ln::test {

/// One tensor quantised by bitsandbytes. Arrays are bytes as they lie in memory.
struct Golden {
  std::string name;
  int32_t dtype, type;
  int64_t n, block;
  bool nested;
  /// FNV-1a of what dequantising gives: as F32, BF16, F16; with double quantisation as F32, BF16. 0: not known.
  uint64_t hashes[5];
  std::vector<char> input, codes, absmax;
  /// With double quantisation: what bitsandbytes' CPU code wrote, and by the rule of nearest.
  std::vector<char> absmax_codes, absmax_codes_nearest, nested_absmax, offset;

  int64_t blocks() const { return (n + block - 1) / block; }
};

inline std::vector<char> read_bytes(std::istream& in, int64_t count) {
  std::vector<char> bytes(static_cast<size_t>(count));
  in.read(bytes.data(), count);
  if (!in) throw std::string("nf4_golden.bin ends early");
  return bytes;
}

inline std::vector<Golden> golden_cases() {
  std::ifstream in(LN_TEST_DATA "/nf4_golden.bin", std::ios::binary);
  std::vector<Golden> cases;
  for (std::string line; std::getline(in, line);) {
    std::istringstream header(line);
    Golden g;
    header >> g.name >> g.dtype >> g.n >> g.type >> g.block >> g.nested >> std::hex;
    for (uint64_t& hash : g.hashes) header >> hash;
    if (!header) throw "not a case: " + line;
    g.input = read_bytes(in, g.n * (g.dtype == LN_F32 ? 4 : 2));
    g.codes = read_bytes(in, (g.n + 1) / 2);
    g.absmax = read_bytes(in, g.blocks() * 4);
    if (g.nested) {
      g.absmax_codes = read_bytes(in, g.blocks());
      g.absmax_codes_nearest = read_bytes(in, g.blocks());
      g.nested_absmax = read_bytes(in, (g.blocks() + 255) / 256 * 4);
      g.offset = read_bytes(in, 4);
    }
    cases.push_back(g);
  }
  return cases;
}

inline uint64_t fnv1a(const void* data, int64_t bytes) {
  uint64_t value = 0xcbf29ce484222325ull;
  for (int64_t i = 0; i < bytes; ++i) value = (value ^ static_cast<const uint8_t*>(data)[i]) * 0x100000001b3ull;
  return value;
}

/// bitsandbytes' signed dynamic map, with which it quantises absmax: for every power of ten from 1e-6 to 1, 2^i values
/// spread over (0.1, 1), and their negatives, 0 and 1. linspace adds with one rounding, hence std::fma.
inline std::vector<float> dynamic_map() {
  std::vector<float> values = {0.0f, 1.0f};
  const double powers[] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1};
  for (int i = 0; i < 7; ++i) {
    const int count = 1 << i;
    const float step = (1.0f - 0.1f) / static_cast<float>(count);
    const auto edge = [&](int k) {
      return k < (count + 1) / 2 ? std::fma(step, static_cast<float>(k), 0.1f)
                                 : std::fma(-step, static_cast<float>(count - k), 1.0f);
    };
    for (int k = 0; k < count; ++k) {
      const float value = static_cast<float>(powers[i]) * ((edge(k) + edge(k + 1)) / 2);
      values.push_back(value);
      values.push_back(-value);
    }
  }
  std::sort(values.begin(), values.end());
  return values;
}

}  // namespace ln::test
