// The wide products of the grouped linear layer, forward and gradient of the input: one kernel for both, a block per
// tile of rows and slice of columns. The adapter's part is an extra k-block: it is summed first, scaled, and the base
// product goes on in the same accumulators; so does the second source of a gradient (the up side of gated experts).
// Blocks that run together share an expert: the columns of a tile come first, then the expert's next tile, so that its
// rows and its weight are read from L2.
//
// Seam: a ring of experts' weights, dequantised into L2 by another stream while the one before is multiplied, would put
// LN_BF16 weights behind `weights` and take kWeightBf16 here.
#pragma once

#include "grouped_tiles.cuh"
#include "grouped_weight.cuh"

namespace ln::cuda {

/// kLeft: how the left operand is read; kAsync: it is bfloat16, kAny: the tile is float32. kSources: 2 for a gradient
/// that has args.second, which takes some registers.
template <class Tile, bool kGradient, GroupedWeight kWeight, Access kLeft, int kSources>
__global__ void __launch_bounds__(Tile::Shape::kThreads, Tile::Shape::kBlocks)
    grouped_wide_product(GroupedWide args, bool pairs) {
  SIMT_DYN_SMEM(typename Tile::Shared, shared);
  using Shape = typename Tile::Shape;
  constexpr bool kRightKInner = !kGradient;
  const int64_t k = kGradient ? args.layer.out : args.layer.in, n = kGradient ? args.layer.in : args.layer.out;
  const int64_t column_tiles = (n + Shape::kN - 1) / Shape::kN;
  const GroupedTile part = args.tiles[blockIdx.x / column_tiles];
  if (part.rows == 0) return;
  const int64_t first_column = blockIdx.x % column_tiles * Shape::kN, end_row = int64_t{part.first} + part.rows;
  bool wrong = false;

  Tile tile;
#pragma unroll 1
  for (int source = 0; source < kSources; ++source) {
    const bool first = kSources == 1 || source == 0;
    const float* const low_rows = first ? args.low : args.second_low;
    if (low_rows != nullptr) {
      const GroupedAdapter adapter = grouped_adapter(first ? args.layer : args.second, part.expert);
      wrong = wrong || adapter.wrong;
      if (adapter.rank > 0) {
        const Operand low = {low_rows, first ? args.layer.max_rank : args.second.max_rank, end_row, LN_F32, 1};
        const Operand up = kGradient ? Operand{adapter.a, args.layer.in, args.layer.in, LN_F32, 0}
                                     : Operand{adapter.b, adapter.rank, args.layer.out, LN_F32, 1};
        add_short_product(tile, *shared, low, part.first, up, first_column, adapter.rank);
        if (!kGradient) tile.scale(adapter.scale);
      }
    }
    const void* const left_rows = first ? args.left.data : args.second_left;
    if (left_rows != nullptr) {
      const void* const weight = (first ? args.layer.weights : args.second.weights)[part.expert];
      if (lacks_weight<kWeight>(weight, k * n)) {
        wrong = true;
      } else {
        const Operand left = {left_rows, args.left.ld, end_row, args.left.dtype, 1};
        const Operand right = {weight, args.layer.in, n, args.layer.weight_dtype, kRightKInner};
        constexpr Access kRight = kWeight == kWeightBf16 ? Access::kAsync : Access::kWhole;
        add_product<kWeight == kWeightFourBits, kLeft, kRight, false>(tile, *shared, left, part.first, right,
                                                                      first_column, 0, k);
      }
    }
  }

  const float added = poison(wrong);
  float* const result = args.result + part.first * n + first_column;
  const int rows = part.rows, columns = static_cast<int>(n - first_column < Shape::kN ? n - first_column : Shape::kN);
  tile.visit([&](int row, int column, float value, float next) {
    if (row >= rows || column >= columns) return;
    float* const to = result + row * n + column;
    if (pairs) {
      float2* const both = reinterpret_cast<float2*>(to);
      const float2 before = args.accumulate ? *both : make_float2(0, 0);
      *both = make_float2(value + added + before.x, next + added + before.y);
      return;
    }
    to[0] = (args.accumulate ? to[0] : 0) + value + added;
    if (column + 1 < columns) to[1] = (args.accumulate ? to[1] : 0) + next + added;
  });
}

template <class Tile, bool kGradient, GroupedWeight kWeight, Access kLeft, int kSources = 1>
void launch_grouped_wide(const ln_context& context, const char* name, const GroupedPlan& plan,
                         const GroupedWide& wide) {
  using Shape = typename Tile::Shape;
  const int64_t n = kGradient ? wide.layer.in : wide.layer.out;
  const bool pairs = n % 2 == 0 && reinterpret_cast<uintptr_t>(wide.result) % 8 == 0;
  launch(context, name, grouped_wide_product<Tile, kGradient, kWeight, kLeft, kSources>,
         static_cast<unsigned>(plan.slots * ceil_div<int64_t>(n, Shape::kN)), Shape::kThreads,
         sizeof(typename Tile::Shared), wide, pairs);
}

template <bool kGradient>
void grouped_wide(const ln_context& context, const char* name, const GroupedPlan& plan, const GroupedWide& wide) {
  constexpr bool kR = !kGradient;
  using Tiles = GroupedBf16Tiles<kR>;
  using F32 = GroupedF32Tile<true, kR>;
  const auto run = [&](auto launch_any, auto launch_four_bits) {
    (is_quantized(wide.layer.weight_dtype) ? launch_four_bits : launch_any)(context, name, plan, wide);
  };
  if (!multiplies_in_bf16(context)) {
    run(launch_grouped_wide<F32, kGradient, kWeightAny, Access::kAny>,
        launch_grouped_wide<F32, kGradient, kWeightFourBits, Access::kAny>);
  } else if (wide.left.dtype == LN_BF16 && wide.layer.weight_dtype == LN_BF16) {
    launch_grouped_wide<typename Tiles::Of128InEightWarps, kGradient, kWeightBf16, Access::kAsync>(context, name, plan,
                                                                                                   wide);
  } else if (wide.left.dtype == LN_BF16) {
    run(launch_grouped_wide<typename Tiles::Of128InEightWarps, kGradient, kWeightAny, Access::kAsync>,
        launch_grouped_wide<typename Tiles::Of128, kGradient, kWeightFourBits, Access::kAsync>);
  } else if (plan.tile_rows == 16) {
    run(launch_grouped_wide<typename Tiles::Of16, kGradient, kWeightAny, Access::kWhole>,
        launch_grouped_wide<typename Tiles::Of16, kGradient, kWeightFourBits, Access::kWhole>);
  } else if (plan.tile_rows == 32) {
    run(launch_grouped_wide<typename Tiles::Of32, kGradient, kWeightAny, Access::kWhole>,
        launch_grouped_wide<typename Tiles::Of32, kGradient, kWeightFourBits, Access::kWhole>);
  } else {
    run(launch_grouped_wide<typename Tiles::Of64, kGradient, kWeightAny, Access::kWhole>,
        launch_grouped_wide<typename Tiles::Of64, kGradient, kWeightFourBits, Access::kWhole>);
  }
}

}  // namespace ln::cuda
