// The plan of a mixture of experts: a stable counting sort of (token, choice) pairs by expert. Every warp has a chunk
// of neighbouring pairs. 1. It counts the pairs per expert; lanes of one expert find each other by __match_any_sync.
// 2. Per expert, a warp turns the counts of the chunks into sums of those before (scratch [chunks][experts + 1]).
// 3. One block turns the totals into offsets. 4. Every warp walks its chunk again and gives rows; a lane's place among
// its equals is the number of them in lower lanes. No atomics, so the order of q is kept by construction. Bound by
// latency of four small kernels: 65,536 pairs are 0.8 MB in and out.
//
// An id outside [0, experts) cannot be refused here: its pair gets row -1, and rows at the end of all experts, which
// belong to no expert, get token -1. Kernels that read rows by such numbers give NaN.
#include "cuda_backend.hpp"
#include "reduce.cuh"
#include "scratch.hpp"

namespace ln::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int64_t kPairsOfChunk = 512;
constexpr int64_t kBucketsInShared = 1025;  // counters of a warp in shared memory up to here

struct Chunks {
  int64_t pairs, buckets, count;

  explicit Chunks(const ln_moe_plan_args& args)
      : pairs(args.tokens * args.top_k), buckets(args.experts + 1), count(ceil_div(pairs, kPairsOfChunk)) {}
};

__device__ __forceinline__ int64_t bucket_of(int32_t id, int64_t experts) {
  return id >= 0 && id < experts ? id : experts;
}

/// Lanes below this one.
__device__ __forceinline__ unsigned lanes_before(int lane) { return (1u << lane) - 1; }

/// Walks the chunk of this warp, 32 pairs at a time. counters[b] grows by the number of pairs of bucket b; visit(pair,
/// bucket, place) gets the value before plus the pair's place among equals of its step.
template <typename Visit>
__device__ __forceinline__ void walk_chunk(const int32_t* ids, int64_t experts, int64_t chunk, int64_t pairs,
                                           int32_t* counters, const Visit& visit) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t first = chunk * kPairsOfChunk;
  const int64_t end = first + kPairsOfChunk < pairs ? first + kPairsOfChunk : pairs;
  for (int64_t at = first; at < end; at += kWarp) {
    const int64_t pair = at + lane;
    const int32_t bucket = pair < end ? static_cast<int32_t>(bucket_of(ids[pair], experts)) : -1;
    const unsigned equals = __match_any_sync(kAllLanes, bucket);
    const int32_t before = bucket < 0 ? 0 : counters[bucket];
    __syncwarp();  // all have read before the first of each bucket writes
    if (bucket >= 0) {
      if ((equals & lanes_before(lane)) == 0) counters[bucket] = before + __popc(equals);
      visit(pair, bucket, before + __popc(equals & lanes_before(lane)));
    }
    __syncwarp();
  }
}

template <bool kShared>
__global__ void __launch_bounds__(kThreads) count_chunks(ln_moe_plan_args args, Chunks chunks, int32_t* counts) {
  SIMT_DYN_SMEM(int32_t, counters_of_block);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t chunk = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (chunk >= chunks.count) return;
  int32_t* result = counts + chunk * chunks.buckets;
  int32_t* counters = kShared ? counters_of_block + threadIdx.x / kWarp * chunks.buckets : result;
  for (int64_t b = lane; b < chunks.buckets; b += kWarp) counters[b] = 0;
  __syncwarp();
  walk_chunk(args.ids, args.experts, chunk, chunks.pairs, counters, [](int64_t, int32_t, int32_t) {});
  if constexpr (kShared) {
    for (int64_t b = lane; b < chunks.buckets; b += kWarp) result[b] = counters[b];
  }
}

/// counts[chunk][bucket] becomes the number of pairs of the bucket in chunks before; totals of experts go to offsets.
__global__ void __launch_bounds__(kThreads) scan_chunks(Chunks chunks, int32_t* counts, int32_t* offsets) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t bucket = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (bucket >= chunks.buckets) return;
  int32_t carry = 0;
  for (int64_t at = 0; at < chunks.count; at += kWarp) {
    const int64_t chunk = at + lane;
    const int32_t count = chunk < chunks.count ? counts[chunk * chunks.buckets + bucket] : 0;
    const int32_t sum = warp_inclusive_sum(count);
    if (chunk < chunks.count) counts[chunk * chunks.buckets + bucket] = carry + sum - count;
    carry += __shfl_sync(kAllLanes, sum, kWarp - 1);
  }
  // The rows of no expert start where the experts' end: they need no total.
  if (lane == 0 && bucket + 1 < chunks.buckets) offsets[bucket + 1] = carry;
}

/// offsets[1..experts], counts of experts, become the ends of their rows; offsets[0] = 0.
__global__ void __launch_bounds__(kThreads) scan_offsets(int32_t* offsets, int64_t experts) {
  __shared__ int32_t sums[kWarps];
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  int32_t carry = 0;
  for (int64_t at = 0; at < experts; at += kThreads) {
    const int64_t e = at + threadIdx.x;
    int32_t sum = warp_inclusive_sum(e < experts ? offsets[e + 1] : 0);
    if (lane == kWarp - 1) sums[warp] = sum;
    __syncthreads();
    int32_t all = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) sum += sums[w];
      all += sums[w];
    }
    if (e < experts) offsets[e + 1] = carry + sum;
    carry += all;
    __syncthreads();
  }
  if (threadIdx.x == 0) offsets[0] = 0;
}

template <bool kShared>
__global__ void __launch_bounds__(kThreads) place_pairs(ln_moe_plan_args args, Chunks chunks, int32_t* starts) {
  SIMT_DYN_SMEM(int32_t, counters_of_block);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t chunk = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (chunk >= chunks.count) return;
  int32_t* before = starts + chunk * chunks.buckets;
  int32_t* counters = kShared ? counters_of_block + threadIdx.x / kWarp * chunks.buckets : before;
  for (int64_t b = lane; b < chunks.buckets; b += kWarp) counters[b] = before[b] + args.offsets[b];
  __syncwarp();
  const int32_t top_k = static_cast<int32_t>(args.top_k);  // pairs are numbered with int32
  walk_chunk(args.ids, args.experts, chunk, chunks.pairs, counters, [&](int64_t pair, int32_t bucket, int32_t row) {
    const bool known = bucket < args.experts;
    args.rows_of_pairs[pair] = known ? row : -1;
    args.tokens_of_rows[row] = known ? static_cast<int32_t>(pair) / top_k : -1;
  });
}

}  // namespace

int64_t moe_plan_scratch(const ln_context&, const ln_moe_plan_args& args) {
  const Chunks chunks(args);
  return chunks.count * chunks.buckets * static_cast<int64_t>(sizeof(int32_t));
}

}  // namespace ln::cuda

namespace ln::backend {

void moe_plan(ln_context& context, const ln_moe_plan_args& args, const Checker& check) {
  using namespace cuda;
  constexpr const char* kName = "ln_moe_plan";
  const Chunks chunks(args);
  int32_t* counts = static_cast<int32_t*>(require_scratch(context, check, moe_plan_scratch(context, args)));
  if (chunks.pairs == 0) return clear(context, args.offsets, chunks.buckets * static_cast<int64_t>(sizeof(int32_t)));
  const bool shared = chunks.buckets <= kBucketsInShared;
  const size_t bytes = shared ? static_cast<size_t>(kWarps * chunks.buckets) * sizeof(int32_t) : 0;
  const auto blocks_of_warps = [](int64_t warps) { return static_cast<unsigned>(ceil_div<int64_t>(warps, kWarps)); };
  launch(context, kName, shared ? count_chunks<true> : count_chunks<false>, blocks_of_warps(chunks.count), kThreads,
         bytes, args, chunks, counts);
  launch(context, kName, scan_chunks, blocks_of_warps(chunks.buckets), kThreads, 0, chunks, counts, args.offsets);
  launch(context, kName, scan_offsets, 1, kThreads, 0, args.offsets, args.experts);
  launch(context, kName, shared ? place_pairs<true> : place_pairs<false>, blocks_of_warps(chunks.count), kThreads,
         bytes, args, chunks, counts);
}

}  // namespace ln::backend
