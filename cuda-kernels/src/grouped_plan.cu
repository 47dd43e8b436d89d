// The table of tiles of the grouped linear layer: one block, a thread per expert, a scan over the experts' numbers of
// tiles. Some microseconds, whatever the number of rows.
#include "grouped_tiles.cuh"

namespace ln::cuda {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int64_t kAlignment = 256;

__global__ void __launch_bounds__(kThreads)
    cut_into_tiles(GroupedLayer layer, int32_t tile_rows, GroupedTile* tiles, int64_t slots) {
  __shared__ int32_t of_warp[kWarps];
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  int64_t taken = 0;
  for (int64_t base = 0; base < layer.experts; base += kThreads) {
    const int32_t e = static_cast<int32_t>(base + threadIdx.x);
    const GroupedRange range = e < layer.experts ? grouped_range(layer, e) : GroupedRange{0, 0};
    const int32_t count = static_cast<int32_t>((range.end - range.begin + tile_rows - 1) / tile_rows);
    int32_t up_to = count;  // and with this expert
    for (int lanes = 1; lanes < kWarp; lanes *= 2) {
      const int32_t before = __shfl_up_sync(kAllLanes, up_to, static_cast<unsigned>(lanes));
      if (lane >= lanes) up_to += before;
    }
    if (lane == kWarp - 1) of_warp[warp] = up_to;
    __syncthreads();
    int64_t at = taken + up_to - count;
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) at += of_warp[w];
      taken += of_warp[w];
    }
    for (int32_t t = 0; t < count && at + t < slots; ++t) {
      const int64_t first = range.begin + int64_t{t} * tile_rows, left = range.end - first;
      tiles[at + t] = {e, static_cast<int32_t>(first), static_cast<int32_t>(left < tile_rows ? left : tile_rows), 0};
    }
    __syncthreads();
  }
  for (int64_t t = taken + threadIdx.x; t < slots; t += kThreads) tiles[t] = {0, 0, 0, 0};
}

/// Few rows per expert: all of them in one tile, so that a weight is decoded once; many: what multiplies fastest.
int32_t tile_rows_for(int64_t rows, int64_t experts) {
  const int64_t mean = rows / experts;
  return mean <= 12 ? 16 : mean <= 40 ? 32 : mean <= 256 ? 64 : 128;
}

}  // namespace

GroupedPlan grouped_plan(const ln_context& context, int64_t rows, int64_t experts, int64_t k) {
  constexpr int32_t kF32TileRows = 64;
  GroupedPlan plan = {};
  plan.tile_rows = multiplies_in_bf16(context) ? tile_rows_for(rows, experts) : kF32TileRows;
  const int64_t most = rows / plan.tile_rows + experts;
  plan.slots = most < rows ? most : rows;
  plan.tiles_bytes = ceil_div(plan.slots * static_cast<int64_t>(sizeof(GroupedTile)), kAlignment) * kAlignment;
  plan.copied = multiplies_in_bf16(context) && plan.tile_rows == 128;
  if (plan.copied) {
    plan.copy_ld = ceil_div<int64_t>(k, 8) * 8;
    plan.copy_bytes = ceil_div(rows * plan.copy_ld * 2, kAlignment) * kAlignment;
  }
  return plan;
}

void plan_grouped_tiles(const ln_context& context, const char* name, const GroupedPlan& plan, const GroupedLayer& layer,
                        GroupedTile* tiles) {
  launch(context, name, cut_into_tiles, 1, kThreads, 0, layer, plan.tile_rows, tiles, plan.slots);
}

}  // namespace ln::cuda
