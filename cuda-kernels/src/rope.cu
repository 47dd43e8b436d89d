// Rotary position embedding, in place: threads (x, y), x walks the pairs of a row, y the rows (token, head), so that
// neighbours read neighbouring addresses and the tables of a token stay in the cache for its heads. Four pairs at a
// time where rows and tables are whole quads. Bound by bytes: 8 per element of the rotated part.
//
// A position outside of the tables, which the CPU library refuses, gives NaN.
#include "cuda_backend.hpp"

namespace ln::cuda {

namespace {

constexpr int kThreads = 256;

struct RopeRow {
  float* x;
  const float *cosine, *sine;  // NULL: there is no such position
  float sign;

  __device__ __forceinline__ RopeRow(const ln_rope_args& args, int64_t row)
      : x(args.x + row * args.head_dim), cosine(nullptr), sine(nullptr), sign(args.transpose != 0 ? -1.0f : 1.0f) {
    const int64_t position = args.positions[row / args.heads];
    if (position < 0 || position >= args.table_rows) return;
    cosine = args.cosine + position * (args.rotary_dim / 2);
    sine = args.sine + position * (args.rotary_dim / 2);
  }
};

/// a, b = the pair rotated
__device__ __forceinline__ void rotate(float& a, float& b, float c, float s) {
  const float kept = a;
  a = kept * c - b * s;
  b = b * c + kept * s;
}

template <bool kQuads>
__global__ void __launch_bounds__(kThreads) rope_rows(ln_rope_args args) {
  constexpr int kStep = kQuads ? 4 : 1;
  const int64_t rows = args.tokens * args.heads, half = args.rotary_dim / 2;
  for (int64_t r = int64_t{blockIdx.x} * blockDim.y + threadIdx.y; r < rows; r += int64_t{gridDim.x} * blockDim.y) {
    const RopeRow row(args, r);
    for (int64_t i = int64_t{threadIdx.x} * kStep; i < half; i += int64_t{blockDim.x} * kStep) {
      if constexpr (kQuads) {
        float4& low = *reinterpret_cast<float4*>(row.x + i);
        float4& high = *reinterpret_cast<float4*>(row.x + half + i);
        float4 a = low, b = high, c = make_float4(NAN, NAN, NAN, NAN), s = c;
        if (row.cosine != nullptr) {
          c = *reinterpret_cast<const float4*>(row.cosine + i);
          s = *reinterpret_cast<const float4*>(row.sine + i);
        }
        rotate(a.x, b.x, c.x, s.x * row.sign);
        rotate(a.y, b.y, c.y, s.y * row.sign);
        rotate(a.z, b.z, c.z, s.z * row.sign);
        rotate(a.w, b.w, c.w, s.w * row.sign);
        low = a;
        high = b;
      } else {
        float a = row.x[i], b = row.x[half + i], c = NAN, s = NAN;
        if (row.cosine != nullptr) {
          c = row.cosine[i];
          s = row.sine[i] * row.sign;
        }
        rotate(a, b, c, s);
        row.x[i] = a;
        row.x[half + i] = b;
      }
    }
  }
}

bool in_quads(const void* array) { return reinterpret_cast<uintptr_t>(array) % sizeof(float4) == 0; }

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void rope(ln_context& context, const ln_rope_args& args, const Checker&) {
  using namespace cuda;
  const bool quads = args.rotary_dim % 8 == 0 && args.head_dim % 4 == 0 && in_quads(args.x) && in_quads(args.cosine) &&
                     in_quads(args.sine);
  const int64_t steps = args.rotary_dim / (quads ? 8 : 2);
  unsigned width = 1;
  while (width < kWarp && width < steps) width *= 2;
  const dim3 block(width, kThreads / width);
  launch(context, "ln_rope", quads ? rope_rows<true> : rope_rows<false>, blocks_for(args.tokens * args.heads, block.y),
         block, 0, args);
}

}  // namespace ln::backend
