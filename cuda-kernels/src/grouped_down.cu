// ln_grouped_down_bwd: the tokens' gradients are read as the rows of their experts. In bfloat16 with LN_SILU every
// product finds them through a table (gathered_operand.cuh), in the tokens' copy in bfloat16 where rows are many, and
// the rest happens in the wide product (grouped_down_gradient.cu). Otherwise rows are gathered into scratch, the ops of
// ln_grouped_linear_bwd follow, and a kernel by rows makes of the gradient of inner what the header says.
//
// What the CPU library refuses: pairs whose row is outside get NaN, so do rows that no pair has.
#include "../../native/abi/grouped_sides.hpp"
#include "activation.cuh"
#include "grouped_linear.hpp"
#include "scratch.hpp"
#include "streaming.hpp"

namespace ln::cuda {

namespace {

constexpr int64_t kAlignment = 256;

int64_t aligned(int64_t bytes) { return ceil_div(bytes, kAlignment) * kAlignment; }

bool in_one_kernel(const ln_context& context, int32_t activation) {
  return multiplies_in_bf16(context) && activation == LN_SILU;
}

/// Where everything lies in scratch; sizes of what is not needed are 0.
struct DownPlan {
  GroupedPlan grouped;
  int64_t tokens, scores, dots, gathered, gradient;  // first bytes of
  int64_t bytes;
};

DownPlan down_plan(const ln_context& context, const ln_grouped_down_bwd_args& args) {
  const int64_t rows = args.tokens * args.top_k, floats = int64_t{sizeof(float)};
  const bool in_one = in_one_kernel(context, args.activation);
  DownPlan plan = {};
  plan.grouped = grouped_plan(context, rows, args.experts, args.out);
  if (in_one && plan.grouped.copied) plan.grouped.copy_bytes = aligned(args.tokens * plan.grouped.copy_ld * 2);
  plan.tokens = plan.grouped.bytes();
  plan.scores = plan.tokens + aligned(rows * int64_t{sizeof(int32_t)});
  plan.dots = plan.scores + aligned(rows * floats);
  plan.gathered = plan.dots + (in_one ? aligned(rows * grouped_down_slices(args.in) * floats) : 0);
  plan.gradient = plan.gathered + (in_one ? 0 : aligned(rows * args.out * floats));
  plan.bytes = plan.gradient + (in_one || args.inner != nullptr ? 0 : aligned(rows * args.in * floats));
  return plan;
}

struct RowTables {
  int32_t* tokens;  // of rows
  float* scores;    // of rows
};

struct EmptyTables {
  RowTables tables;

  template <int kWidth>
  __device__ __forceinline__ void apply(int64_t row) const {
    tables.tokens[row] = 0;
    tables.scores[row] = NAN;
  }
};

/// By pairs: token and score of its row, and its row of u times the score. u NULL: not.
struct PlacePair {
  const int32_t* rows_of_pairs;
  const float* pair_scores;
  RowTables tables;
  float* u;
  int64_t pairs, top_k, max_rank;

  template <bool kRowOfBlock, int kWidth>
  __device__ __forceinline__ void row(int64_t pair, int lane) const {
    const int64_t at = rows_of_pairs[pair];
    if (at < 0 || at >= pairs) return;
    const float score = pair_scores[pair];
    if (lane == 0) {
      tables.tokens[at] = static_cast<int32_t>(pair) / static_cast<int32_t>(top_k);  // both below 2^31
      tables.scores[at] = score;
    }
    if (u == nullptr) return;
    for (int64_t i = lane; i < max_rank; i += RowWalk<kRowOfBlock>::kLanes) u[at * max_rank + i] *= score;
  }
};

/// dscores from the slices' sums, in their order.
struct AddSlices {
  const int32_t* rows_of_pairs;
  const float* dots;
  float* dscores;
  int64_t pairs, slices;

  template <int kWidth>
  __device__ __forceinline__ void apply(int64_t pair) const {
    const int64_t at = rows_of_pairs[pair];
    float dot = at < 0 || at >= pairs ? NAN : 0.0f;
    if (dot == 0) {
      for (int64_t s = 0; s < slices; ++s) dot += dots[s * pairs + at];
    }
    dscores[pair] = dot;
  }
};

/// By pairs, a warp each: what is made of a row of `gradient`, which may be inner.
template <int kActivation>
struct ScoredRow {
  const int32_t* rows_of_pairs;
  const float* scores;
  const float* gradient;
  float *gate, *up, *inner;
  float* dscores;
  int64_t pairs, width;

  template <bool kRowOfBlock, int kWidth>
  __device__ __forceinline__ void row(int64_t pair, int lane) const {
    const int64_t at = rows_of_pairs[pair];
    if (at < 0 || at >= pairs) {
      if (lane == 0) dscores[pair] = NAN;
      return;
    }
    const float score = scores[pair];
    float dot = 0;
    for (int64_t i = at * width + lane; i < (at + 1) * width; i += RowWalk<kRowOfBlock>::kLanes) {
      const Point point = activate<kActivation>(gate[i]);
      const float g = gradient[i], raised = up[i], y = point.value * raised;
      dot = fmaf(g, y, dot);
      gate[i] = score * g * raised * point.slope;
      up[i] = score * g * point.value;
      if (inner != nullptr) inner[i] = score * y;
    }
    dot = warp_sum(dot);
    if (lane == 0) dscores[pair] = dot;
  }
};

template <int kActivation>
void launch_scored_rows(const ln_context& context, const ln_grouped_down_bwd_args& args, const float* gradient) {
  const int64_t pairs = args.tokens * args.top_k;
  const ScoredRow<kActivation> scored = {args.rows_of_pairs, args.scores,  gradient, args.gate, args.up,
                                         args.inner,         args.dscores, pairs,    args.in};
  launch(context, kDownBackward, each_row<false, 1, ScoredRow<kActivation>>, blocks_for_rows(pairs, false), kRowThreads,
         0, scored, pairs);
}

void make_rows(const ln_context& context, const ln_grouped_down_bwd_args& args, const float* gradient) {
  const auto run = args.activation == LN_SILU        ? launch_scored_rows<LN_SILU>
                   : args.activation == LN_GELU_TANH ? launch_scored_rows<LN_GELU_TANH>
                                                     : launch_scored_rows<LN_GELU_ERF>;
  run(context, args, gradient);
}

RowTables make_tables(const ln_context& context, const ln_grouped_down_bwd_args& args, const DownPlan& plan,
                      char* scratch) {
  const int64_t pairs = args.tokens * args.top_k;
  const RowTables tables = {reinterpret_cast<int32_t*>(scratch + plan.tokens),
                            reinterpret_cast<float*>(scratch + plan.scores)};
  float* const u = args.max_rank > 0 && args.grad_b != nullptr ? args.u : nullptr;
  const PlacePair place = {args.rows_of_pairs, args.scores, tables, u, pairs, args.top_k, args.max_rank};
  launch_each(context, kDownBackward, EmptyTables{tables}, pairs, false);
  launch(context, kDownBackward, each_row<false, 1, PlacePair>, blocks_for_rows(pairs, false), kRowThreads, 0, place,
         pairs);
  return tables;
}

}  // namespace

int64_t grouped_down_bwd_scratch(const ln_context& context, const ln_grouped_down_bwd_args& args) {
  return down_plan(context, args).bytes;
}

}  // namespace ln::cuda

namespace ln::backend {

void grouped_down_bwd(ln_context& context, const ln_grouped_down_bwd_args& args, const Checker& check) {
  using namespace cuda;
  const DownPlan plan = down_plan(context, args);
  const GroupedPlan& grouped = plan.grouped;
  char* const scratch = static_cast<char*>(require_scratch(context, check, plan.bytes));
  GroupedTile* const tiles = reinterpret_cast<GroupedTile*>(scratch);
  char* const copy = scratch + grouped.tiles_bytes;
  const int64_t rows = args.tokens * args.top_k;
  const bool in_one = in_one_kernel(context, args.activation), adapted = args.max_rank > 0;
  const GroupedLayer layer = grouped_layer(down_side(args, args.dy, args.inner));
  plan_grouped_tiles(context, kDownBackward, grouped, layer, tiles);
  const RowTables tables = make_tables(context, args, plan, scratch);

  GroupedRows dy;
  if (in_one) {
    dy = grouped_rows(context, kDownBackward, grouped, args.dy, args.tokens, args.out, copy);
    dy.line_of = tables.tokens;
  } else {
    float* const gathered = reinterpret_cast<float*>(scratch + plan.gathered);
    gather_rows(context, args.dy, tables.tokens, gathered, rows, args.tokens, args.out, check);
    dy = grouped_rows(context, kDownBackward, grouped, gathered, rows, args.out, copy);
  }
  if (adapted) grouped_low_rank_gradient(context, kDownBackward, grouped, layer, tiles, dy, args.v);
  const float* const v = adapted ? args.v : nullptr;
  if (in_one) {
    float* const dots = reinterpret_cast<float*>(scratch + plan.dots);
    grouped_down_gradient(context, kDownBackward, grouped,
                          {layer, tiles, dy, v, tables.scores, args.gate, args.up, args.inner, dots});
    launch_each(context, kDownBackward,
                AddSlices{args.rows_of_pairs, dots, args.dscores, rows, grouped_down_slices(args.in)}, rows, false);
  } else {
    float* const gradient = args.inner != nullptr ? args.inner : reinterpret_cast<float*>(scratch + plan.gradient);
    grouped_input_gradient(context, kDownBackward, grouped, {layer, tiles, dy, v, gradient, false});
    make_rows(context, args, gradient);
  }
  if (!adapted || args.grad_a == nullptr) return;
  grouped_gradient_of_b(context, kDownBackward, layer, dy, args.u, args.grad_b);
  grouped_gradient_of_a(context, kDownBackward, layer, {args.inner, args.in, LN_F32}, args.v, args.grad_a);
}

}  // namespace ln::backend
