// The wide products of ln_grouped_gated_fwd in one kernel: a tile has the same columns of gate and up, so that the
// activation is applied where the sums are, and x is read once for both. As grouped_wide.cuh otherwise; adapters of the
// two sides are summed first, each with zeros in the place of the other.
//
// Against three kernels of their own it saves, per row, the bytes of reading gate and up (8 out), and of writing them
// (8 out more) where nobody keeps them. Bound by products.
#include "activation.cuh"
#include "grouped_tiles.cuh"
#include "grouped_weight.cuh"
#include "paired_operand.cuh"

namespace ln::cuda {

namespace {

/// Adds low . up^T of one side's adapter; `turn` is the side's.
template <class Tile>
__device__ __forceinline__ void add_adapter(Tile& tile, typename Tile::Shared& shared, const GroupedTile& part,
                                            const float* low, int64_t max_rank, const GroupedAdapter& adapter,
                                            int64_t out, int64_t first_column, int turn) {
  if (adapter.rank == 0) return;
  const int64_t rank = adapter.rank;
  const Operand left = {low, max_rank, int64_t{part.first} + part.rows, LN_F32, 1};
  const Operand right = {adapter.b, rank, out, LN_F32, 1};
  const bool absent = PairedOperand<false, Access::kAny>::template turn_of<typename Tile::Shape>() != turn;
  if (has_whole_chunks(left, rank) && has_whole_chunks(right, rank)) {
    tile.run_short(shared, TileOperand<true, false, Access::kWhole>(left, part.first),
                   PairedOperand<false, Access::kWhole>(right, first_column, absent), 0, rank);
  } else {
    tile.run_short(shared, TileOperand<true, false, Access::kAny>(left, part.first),
                   PairedOperand<false, Access::kAny>(right, first_column, absent), 0, rank);
  }
}

/// x . gate^T and x . up^T, by the accesses that there are.
template <class Tile, GroupedWeight kWeight, Access kLeft>
__device__ __forceinline__ void add_both(Tile& tile, typename Tile::Shared& shared, const Operand& left,
                                         int64_t first_row, const Operand& gate, const Operand& up,
                                         int64_t first_column, int64_t k) {
  constexpr bool kFourBits = kWeight == kWeightFourBits;
  constexpr Access kRight = kWeight == kWeightBf16 ? Access::kAsync : Access::kWhole;
  const Operand own = PairedOperand<false, Access::kAny>::template turn_of<typename Tile::Shape>() == 0 ? gate : up;
  // The same for every thread: both are of one shape, and their addresses are asked for both.
  const bool whole = kRight == Access::kAsync || (has_whole_chunks(gate, k) && has_whole_chunks(up, k));
  if ((kLeft == Access::kAsync || has_whole_chunks(left, k)) && whole) {
    tile.run(shared, TileOperand<true, false, kLeft>(left, first_row),
             PairedOperand<kFourBits, kRight>(own, first_column, false), 0, k);
  } else {
    constexpr Access kLeftOtherwise = kLeft == Access::kAsync ? kLeft : Access::kAny;
    tile.run(shared, TileOperand<true, false, kLeftOtherwise>(left, first_row),
             PairedOperand<kFourBits, Access::kAny>(own, first_column, false), 0, k);
  }
}

template <class Tile, GroupedWeight kWeight, Access kLeft>
__global__ void __launch_bounds__(Tile::Shape::kThreads, Tile::Shape::kBlocks)
    grouped_gated_product(GroupedGated args, bool pairs) {
  SIMT_DYN_SMEM(typename Tile::Shared, shared);
  using Shape = typename Tile::Shape;
  constexpr int kColumns = Shape::kN / 2;
  const int64_t k = args.gate.in, n = args.gate.out;
  const int64_t column_tiles = (n + kColumns - 1) / kColumns;
  const GroupedTile part = args.tiles[blockIdx.x / column_tiles];
  if (part.rows == 0) return;
  const int64_t first_column = blockIdx.x % column_tiles * kColumns;
  bool wrong = false;

  Tile tile;
  float gate_scale = 0, up_scale = 0;
  if (args.gate_low != nullptr) {
    const GroupedAdapter adapter = grouped_adapter(args.gate, part.expert);
    add_adapter(tile, *shared, part, args.gate_low, args.gate.max_rank, adapter, n, first_column, 0);
    wrong = adapter.wrong;
    gate_scale = adapter.scale;
  }
  if (args.up_low != nullptr) {
    const GroupedAdapter adapter = grouped_adapter(args.up, part.expert);
    add_adapter(tile, *shared, part, args.up_low, args.up.max_rank, adapter, n, first_column, 1);
    wrong = wrong || adapter.wrong;
    up_scale = adapter.scale;
  }
  tile.scale_pairs(gate_scale, up_scale);
  const void* const gate_weight = args.gate.weights[part.expert];
  const void* const up_weight = args.up.weights[part.expert];
  if (lacks_weight<kWeight>(gate_weight, k * n) || lacks_weight<kWeight>(up_weight, k * n)) {
    wrong = true;
  } else {
    add_both<Tile, kWeight, kLeft>(
        tile, *shared, {args.left.data, args.left.ld, int64_t{part.first} + part.rows, args.left.dtype, 1}, part.first,
        {gate_weight, k, n, args.gate.weight_dtype, 1}, {up_weight, k, n, args.gate.weight_dtype, 1}, first_column, k);
  }

  const float added = poison(wrong);
  const int rows = part.rows, columns = static_cast<int>(n - first_column < kColumns ? n - first_column : kColumns);
  const int64_t first = part.first * n + first_column;
  tile.visit_pairs([&](int row, int column, float gate, float next_gate, float up, float next_up) {
    if (row >= rows || column >= columns) return;
    gate += added;
    next_gate += added;
    up += added;
    next_up += added;
    const int64_t i = first + row * n + column;
    const auto store = [&](float* to, float value, float next) {
      if (pairs) {
        *reinterpret_cast<float2*>(to + i) = make_float2(value, next);
        return;
      }
      to[i] = value;
      if (column + 1 < columns) to[i + 1] = next;
    };
    if (args.gate_result != nullptr) {
      store(args.gate_result, gate, next_gate);
      store(args.up_result, up, next_up);
    }
    store(args.result, activate<LN_SILU>(gate).value * up, activate<LN_SILU>(next_gate).value * next_up);
  });
}

template <class Tile, GroupedWeight kWeight, Access kLeft>
void launch_gated(const ln_context& context, const char* name, const GroupedPlan& plan, const GroupedGated& gated) {
  using Shape = typename Tile::Shape;
  const uintptr_t addresses = reinterpret_cast<uintptr_t>(gated.result) |
                              reinterpret_cast<uintptr_t>(gated.gate_result) |
                              reinterpret_cast<uintptr_t>(gated.up_result);
  const bool pairs = gated.gate.out % 2 == 0 && addresses % 8 == 0;
  launch(context, name, grouped_gated_product<Tile, kWeight, kLeft>,
         static_cast<unsigned>(plan.slots * ceil_div<int64_t>(gated.gate.out, Shape::kN / 2)), Shape::kThreads,
         sizeof(typename Tile::Shared), gated, pairs);
}

}  // namespace

void grouped_gated_output(const ln_context& context, const char* name, const GroupedPlan& plan,
                          const GroupedGated& gated) {
  using Tiles = GroupedBf16Tiles<true>;
  const auto run = [&](auto launch_any, auto launch_four_bits) {
    (is_quantized(gated.gate.weight_dtype) ? launch_four_bits : launch_any)(context, name, plan, gated);
  };
  if (gated.left.dtype == LN_BF16 && gated.gate.weight_dtype == LN_BF16) {
    launch_gated<Tiles::Of128InEightWarps, kWeightBf16, Access::kAsync>(context, name, plan, gated);
  } else if (gated.left.dtype == LN_BF16) {
    run(launch_gated<Tiles::Of128InEightWarps, kWeightAny, Access::kAsync>,
        launch_gated<Tiles::Of128, kWeightFourBits, Access::kAsync>);
  } else if (plan.tile_rows == 16) {
    run(launch_gated<Tiles::Of16, kWeightAny, Access::kWhole>,
        launch_gated<Tiles::Of16, kWeightFourBits, Access::kWhole>);
  } else if (plan.tile_rows == 32) {
    run(launch_gated<Tiles::Of32, kWeightAny, Access::kWhole>,
        launch_gated<Tiles::Of32, kWeightFourBits, Access::kWhole>);
  } else {
    run(launch_gated<Tiles::Of64, kWeightAny, Access::kWhole>,
        launch_gated<Tiles::Of64, kWeightFourBits, Access::kWhole>);
  }
}

}  // namespace ln::cuda
