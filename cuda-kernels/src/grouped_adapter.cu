// The thin products of the grouped linear layer, 64 x 32 tiles: an activation is read once, for an adapter of up to 32
// ranks. Bound by its bytes.
//
// Down: u = x . lora_a^T and v = scale * dy . lora_b, on the tiles of rows that the wide products have; a tile of 128
// rows is two of these.
//
// Gradients of the adapter: a block per expert and 64 columns of x or dy goes over the expert's rows in their order, so
// that a sum's order depends on the rows of its expert alone. The result is transposed where it is stored: the long
// side is the tile's.
#include "grouped_tiles.cuh"

namespace ln::cuda {

namespace {

using ThinShape = TileShape<64, 32, 64, 16, 32, 2, 3>;

struct Down {
  GroupedLayer layer;
  const GroupedTile* tiles;
  GroupedRows x;
  float* low;
};

/// Rows as a left operand, gathered where they have a table of lines. lines: as an Operand has them.
template <bool kGathered>
__device__ __forceinline__ auto left_operand(const GroupedRows& rows, int64_t lines, int64_t count, bool k_inner) {
  const Operand matrix = {rows.data, rows.ld, lines, rows.dtype, k_inner};
  if constexpr (kGathered) {
    return GatheredOperand{matrix, rows.line_of, count};
  } else {
    return matrix;
  }
}

/// kGradient: x is dy, the adapter's matrix is lora_b. kAccess: of x; kAny in float32 tiles.
template <class Tile, bool kGradient, Access kAccess, bool kGathered>
__global__ void __launch_bounds__(Tile::Shape::kThreads, Tile::Shape::kBlocks) grouped_down_projection(Down args) {
  SIMT_DYN_SMEM(typename Tile::Shared, shared);
  using Shape = typename Tile::Shape;
  const GroupedLayer& layer = args.layer;
  const GroupedTile part = args.tiles[blockIdx.x];
  const int64_t first_row = int64_t{part.first} + blockIdx.y * Shape::kM, end_row = int64_t{part.first} + part.rows;
  if (first_row >= end_row) return;
  const int64_t first_column = int64_t{blockIdx.z} * Shape::kN;
  const GroupedAdapter adapter = grouped_adapter(layer, part.expert);
  Tile tile;
  if (first_column < adapter.rank) {
    const auto x = left_operand<kGathered>(args.x, end_row, layer.rows, true);
    const Operand down = kGradient ? Operand{adapter.b, adapter.rank, adapter.rank, LN_F32, 0}
                                   : Operand{adapter.a, layer.in, adapter.rank, LN_F32, 1};
    add_product<false, kAccess, Access::kWhole, true>(tile, *shared, x, first_row, down, first_column, 0,
                                                      kGradient ? layer.out : layer.in);
    if (kGradient) tile.scale(adapter.scale);
  }
  const float added = poison(adapter.wrong);
  tile.visit([&](int row, int column, float value, float next) {
    const int64_t i = first_row + row, j = first_column + column;
    if (i >= end_row) return;
    if (j < layer.max_rank) args.low[i * layer.max_rank + j] = value + added;
    if (j + 1 < layer.max_rank) args.low[i * layer.max_rank + j + 1] = next + added;
  });
}

template <class Tile, bool kGradient, Access kAccess, bool kGathered = false>
void launch_down(const ln_context& context, const char* name, const GroupedPlan& plan, const Down& down) {
  using Shape = typename Tile::Shape;
  launch(context, name, grouped_down_projection<Tile, kGradient, kAccess, kGathered>,
         dim3(static_cast<unsigned>(plan.slots), static_cast<unsigned>(ceil_div(plan.tile_rows, Shape::kM)),
              static_cast<unsigned>(ceil_div<int64_t>(down.layer.max_rank, Shape::kN))),
         Shape::kThreads, sizeof(typename Tile::Shared), down);
}

template <bool kGradient>
void project_down(const ln_context& context, const char* name, const GroupedPlan& plan, const Down& down) {
  using Bf16 = Bf16Tile<ThinShape, true, !kGradient>;
  if (!multiplies_in_bf16(context)) {
    launch_down<GroupedF32Tile<true, !kGradient>, kGradient, Access::kAny>(context, name, plan, down);
  } else if (kGradient && down.x.line_of != nullptr) {
    launch_down<Bf16, kGradient, Access::kWhole, kGradient>(context, name, plan, down);
  } else {
    launch_down<Bf16, kGradient, Access::kWhole>(context, name, plan, down);
  }
}

struct Gradient {
  GroupedLayer layer;
  GroupedRows wide;  // x or dy, [rows,columns]
  int64_t columns;
  const float* low;  // v or u, [rows,max_rank]
  float* const* gradients;
};

/// gradients[e] += low^T . wide, [rank,columns]; or, kOfB, scale * wide^T . low, [columns,rank].
template <class Tile, bool kOfB, Access kAccess, bool kGathered>
__global__ void __launch_bounds__(Tile::Shape::kThreads, Tile::Shape::kBlocks) grouped_adapter_gradient(Gradient args) {
  SIMT_DYN_SMEM(typename Tile::Shared, shared);
  using Shape = typename Tile::Shape;
  const GroupedLayer& layer = args.layer;
  const int32_t e = static_cast<int32_t>(blockIdx.y);
  const GroupedRange range = grouped_range(layer, e);
  if (range.begin == range.end) return;
  const GroupedAdapter adapter = grouped_adapter(layer, e);
  const int64_t first_column = int64_t{blockIdx.x} * Shape::kM, first_rank = int64_t{blockIdx.z} * Shape::kN;
  float* const gradient = args.gradients[e];
  if (first_rank >= adapter.rank || gradient == nullptr) return;
  const auto wide = left_operand<kGathered>(args.wide, args.columns, layer.rows, false);
  const Operand low = {args.low, layer.max_rank, adapter.rank, LN_F32, 0};
  Tile tile;
  add_product<false, kAccess, Access::kWhole, true>(tile, *shared, wide, first_column, low, first_rank, range.begin,
                                                    range.end);
  const int64_t rank = adapter.rank;
  const float scale = kOfB ? adapter.scale : 1.0f;
  tile.visit([&](int row, int column, float value, float next) {
    const int64_t i = first_column + row, j = first_rank + column;
    if (i >= args.columns) return;
    if (j < rank) gradient[kOfB ? i * rank + j : j * args.columns + i] += scale * value;
    if (j + 1 < rank) gradient[kOfB ? i * rank + j + 1 : (j + 1) * args.columns + i] += scale * next;
  });
}

template <class Tile, bool kOfB, Access kAccess, bool kGathered = false>
void launch_gradient(const ln_context& context, const char* name, const Gradient& gradient) {
  using Shape = typename Tile::Shape;
  launch(context, name, grouped_adapter_gradient<Tile, kOfB, kAccess, kGathered>,
         dim3(static_cast<unsigned>(ceil_div<int64_t>(gradient.columns, Shape::kM)),
              static_cast<unsigned>(gradient.layer.experts),
              static_cast<unsigned>(ceil_div<int64_t>(gradient.layer.max_rank, Shape::kN))),
         Shape::kThreads, sizeof(typename Tile::Shared), gradient);
}

template <bool kOfB>
void add_gradient(const ln_context& context, const char* name, const Gradient& gradient) {
  using Bf16 = Bf16Tile<ThinShape, false, false>;
  if (!multiplies_in_bf16(context)) {
    launch_gradient<GroupedF32Tile<false, false>, kOfB, Access::kAny>(context, name, gradient);
  } else if (kOfB && gradient.wide.line_of != nullptr) {
    launch_gradient<Bf16, kOfB, Access::kWhole, kOfB>(context, name, gradient);
  } else {
    launch_gradient<Bf16, kOfB, Access::kWhole>(context, name, gradient);
  }
}

}  // namespace

void grouped_down(const ln_context& context, const char* name, const GroupedPlan& plan, const GroupedLayer& layer,
                  const GroupedTile* tiles, const GroupedRows& x, float* low) {
  project_down<false>(context, name, plan, {layer, tiles, x, low});
}

void grouped_low_rank_gradient(const ln_context& context, const char* name, const GroupedPlan& plan,
                               const GroupedLayer& layer, const GroupedTile* tiles, const GroupedRows& dy, float* low) {
  project_down<true>(context, name, plan, {layer, tiles, dy, low});
}

void grouped_gradient_of_a(const ln_context& context, const char* name, const GroupedLayer& layer, const GroupedRows& x,
                           const float* v, float* const* grad_a) {
  add_gradient<false>(context, name, {layer, x, layer.in, v, grad_a});
}

void grouped_gradient_of_b(const ln_context& context, const char* name, const GroupedLayer& layer,
                           const GroupedRows& dy, const float* u, float* const* grad_b) {
  add_gradient<true>(context, name, {layer, dy, layer.out, u, grad_b});
}

}  // namespace ln::cuda
