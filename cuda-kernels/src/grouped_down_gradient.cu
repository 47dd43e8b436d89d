// The wide product of ln_grouped_down_bwd: as the gradient in grouped_wide.cuh, with the rows of dy found through the
// table of tokens, and with what is made of a sum made where it is: the gradients of gate and up in their places, and
// the sum over the tile's columns of gradient times inner, for the gradient of the row's score. The slices' sums are
// added by another kernel in their order.
//
// Against products, combination and activation of their own it saves, per row, reading and keeping the expert's output,
// writing and reading the weighted dy (12 bytes per column of out), and the gradient of inner (8 per column of in).
// Bound by products.
#include "activation.cuh"
#include "grouped_tiles.cuh"
#include "grouped_weight.cuh"

namespace ln::cuda {

namespace {

constexpr int kColumns = 128;

template <class Tile, GroupedWeight kWeight, Access kLeft>
__global__ void __launch_bounds__(Tile::Shape::kThreads, Tile::Shape::kBlocks)
    grouped_down_product(GroupedDown args, bool pairs) {
  SIMT_DYN_SMEM(typename Tile::Shared, shared);
  using Shape = typename Tile::Shape;
  __shared__ float parts[Tile::kSumParts][Shape::kM];
  static_assert(Shape::kN == kColumns, "a slice of columns");
  const GroupedLayer& layer = args.layer;
  const int64_t k = layer.out, n = layer.in;
  const int64_t slices = (n + Shape::kN - 1) / Shape::kN, slice = blockIdx.x % slices;
  const GroupedTile part = args.tiles[blockIdx.x / slices];
  if (part.rows == 0) return;
  const int64_t first_column = slice * Shape::kN, end_row = int64_t{part.first} + part.rows;
  bool wrong = false;

  Tile tile;
  if (args.low != nullptr) {
    const GroupedAdapter adapter = grouped_adapter(layer, part.expert);
    wrong = adapter.wrong;
    if (adapter.rank > 0) {
      const Operand low = {args.low, layer.max_rank, end_row, LN_F32, 1}, up = {adapter.a, n, n, LN_F32, 0};
      add_short_product(tile, *shared, low, part.first, up, first_column, adapter.rank);
    }
  }
  const void* const weight = layer.weights[part.expert];
  if (lacks_weight<kWeight>(weight, k * n)) {
    wrong = true;
  } else {
    const GatheredOperand left = {
        {args.left.data, args.left.ld, end_row, args.left.dtype, 1}, args.left.line_of, layer.rows};
    const Operand right = {weight, n, n, layer.weight_dtype, 0};
    constexpr Access kRight = kWeight == kWeightBf16 ? Access::kAsync : Access::kWhole;
    add_product<kWeight == kWeightFourBits, kLeft, kRight, false>(tile, *shared, left, part.first, right, first_column,
                                                                  0, k);
  }

  const float added = poison(wrong);
  const int rows = part.rows, columns = static_cast<int>(n - first_column < Shape::kN ? n - first_column : Shape::kN);
  const int64_t first = part.first * n + first_column;
  const float* const scores = args.scores + part.first;
  tile.row_sums(parts, [&](int row, int column, float value, float next) {
    if (row >= rows || column >= columns) return 0.0f;
    value += added;
    next += added;
    const int64_t i = first + row * n + column;
    const bool both = column + 1 < columns;
    const auto load = [&](const float* from) {
      if (pairs) return *reinterpret_cast<const float2*>(from + i);
      return make_float2(from[i], both ? from[i + 1] : 0.0f);
    };
    const auto store = [&](float* to, float one, float other) {
      if (pairs) {
        *reinterpret_cast<float2*>(to + i) = make_float2(one, other);
        return;
      }
      to[i] = one;
      if (both) to[i + 1] = other;
    };
    const float score = __ldg(scores + row);
    const float2 gate = load(args.gate), up = load(args.up);
    const Point point = activate<LN_SILU>(gate.x), next_point = activate<LN_SILU>(gate.y);
    const float inner = point.value * up.x, next_inner = next_point.value * up.y;
    store(args.gate, score * value * up.x * point.slope, score * next * up.y * next_point.slope);
    store(args.up, score * value * point.value, score * next * next_point.value);
    if (args.inner != nullptr) store(args.inner, score * inner, score * next_inner);
    return both ? fmaf(value, inner, next * next_inner) : value * inner;
  });
  __syncthreads();
  for (int row = static_cast<int>(threadIdx.x); row < rows; row += Shape::kThreads) {
    float dot = parts[0][row];
#pragma unroll
    for (int p = 1; p < Tile::kSumParts; ++p) dot += parts[p][row];
    args.dots[slice * layer.rows + part.first + row] = dot;
  }
}

template <class Tile, GroupedWeight kWeight, Access kLeft>
void launch_it(const ln_context& context, const char* name, const GroupedPlan& plan, const GroupedDown& down) {
  using Shape = typename Tile::Shape;
  const uintptr_t addresses = reinterpret_cast<uintptr_t>(down.gate) | reinterpret_cast<uintptr_t>(down.up) |
                              reinterpret_cast<uintptr_t>(down.inner);
  const bool pairs = down.layer.in % 2 == 0 && addresses % 8 == 0;
  launch(context, name, grouped_down_product<Tile, kWeight, kLeft>,
         static_cast<unsigned>(plan.slots * grouped_down_slices(down.layer.in)), Shape::kThreads,
         sizeof(typename Tile::Shared), down, pairs);
}

}  // namespace

int64_t grouped_down_slices(int64_t in) { return ceil_div<int64_t>(in, kColumns); }

void grouped_down_gradient(const ln_context& context, const char* name, const GroupedPlan& plan,
                           const GroupedDown& down) {
  using Tiles = GroupedBf16Tiles<false>;
  const auto run = [&](auto launch_any, auto launch_four_bits) {
    (is_quantized(down.layer.weight_dtype) ? launch_four_bits : launch_any)(context, name, plan, down);
  };
  if (down.left.dtype == LN_BF16 && down.layer.weight_dtype == LN_BF16) {
    launch_it<Tiles::Of128InEightWarps, kWeightBf16, Access::kAsync>(context, name, plan, down);
  } else if (down.left.dtype == LN_BF16) {
    run(launch_it<Tiles::Of128InEightWarps, kWeightAny, Access::kAsync>,
        launch_it<Tiles::Of128, kWeightFourBits, Access::kAsync>);
  } else if (plan.tile_rows == 16) {
    run(launch_it<Tiles::Of16, kWeightAny, Access::kWhole>, launch_it<Tiles::Of16, kWeightFourBits, Access::kWhole>);
  } else if (plan.tile_rows == 32) {
    run(launch_it<Tiles::Of32, kWeightAny, Access::kWhole>, launch_it<Tiles::Of32, kWeightFourBits, Access::kWhole>);
  } else {
    run(launch_it<Tiles::Of64, kWeightAny, Access::kWhole>, launch_it<Tiles::Of64, kWeightFourBits, Access::kWhole>);
  }
}

}  // namespace ln::cuda
