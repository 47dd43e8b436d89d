// Philox-4x32-10 (Salmon et al. 2011): four random 32-bit words from a key and a counter, the same on every device.
#pragma once

#include "../simt/simt.hpp"

namespace ln::cuda {

struct RandomWords {
  uint32_t at[4];
};

/// key = seed, counter = (block, stream), low halves first.
__device__ __forceinline__ RandomWords philox(uint64_t seed, uint64_t stream, uint64_t block) {
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  RandomWords x = {{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), static_cast<uint32_t>(stream),
                    static_cast<uint32_t>(stream >> 32)}};
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    constexpr uint32_t kEven = 0xd2511f53u, kOdd = 0xcd9e8d57u;
    x = {{__umulhi(kOdd, x.at[2]) ^ x.at[1] ^ key0, kOdd * x.at[2], __umulhi(kEven, x.at[0]) ^ x.at[3] ^ key1,
          kEven * x.at[0]}};
    key0 += 0x9e3779b9u;
    key1 += 0xbb67ae85u;
  }
  return x;
}

}  // namespace ln::cuda
