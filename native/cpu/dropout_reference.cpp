#include "dropout.hpp"

namespace ln::cpu::reference {

namespace {

struct Words {
  uint32_t word[4];
};

Words philox(uint64_t seed, uint64_t stream, uint64_t block) {
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  Words x = {{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), static_cast<uint32_t>(stream),
              static_cast<uint32_t>(stream >> 32)}};
  for (int round = 0; round < 10; ++round) {
    const uint64_t even = uint64_t{0xd2511f53} * x.word[0];
    const uint64_t odd = uint64_t{0xcd9e8d57} * x.word[2];
    x = {{static_cast<uint32_t>(odd >> 32) ^ x.word[1] ^ key0, static_cast<uint32_t>(odd),
          static_cast<uint32_t>(even >> 32) ^ x.word[3] ^ key1, static_cast<uint32_t>(even)}};
    key0 += 0x9e3779b9;
    key1 += 0xbb67ae85;
  }
  return x;
}

void random_words(uint64_t seed, uint64_t stream, uint64_t block, int64_t blocks, uint32_t* words) {
  for (int64_t i = 0; i < blocks * 4; ++i) words[i] = philox(seed, stream, block + i / 4).word[i % 4];
}

void dropout(const float* x, float* y, int64_t first, int64_t n, uint64_t threshold, float scale, uint64_t seed,
             uint64_t stream, bool accumulate) {
  for (int64_t i = 0; i < n; ++i) {
    const int64_t element = first + i;
    const bool keep = philox(seed, stream, element / 4).word[element % 4] >= threshold;
    const float value = keep ? x[i] * scale : 0;
    y[i] = accumulate ? y[i] + value : value;
  }
}

}  // namespace

const DropoutKernels& dropout_kernels() {
  static const DropoutKernels kernels = {random_words, dropout};
  return kernels;
}

}  // namespace ln::cpu::reference
