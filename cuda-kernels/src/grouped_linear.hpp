// What the files of the grouped linear layer share: the layer as kernels see it, the table of tiles, and the launches.
//
// Rows are sorted by expert, but only the device knows where an expert's rows begin. A first kernel cuts them into
// tiles that do not cross experts and writes the table of tiles into scratch; the grids of the products are made for
// the most tiles there can be, and blocks without one end at once. What the device cannot refuse: offsets are taken
// into 0..rows, rows that no expert has are left as they are; an expert with rows whose weight or adapter is missing or
// wrongly described gets NaN.
#pragma once

#include "cuda_backend.hpp"

namespace ln::cuda {

struct GroupedTile {
  int32_t expert, first, rows, reserved;  // rows 0: there is no such tile
};

struct GroupedLayer {
  const int32_t* offsets;
  const void* const* weights;  // of [out,in]
  const float* const* lora_a;
  const float* const* lora_b;
  const int32_t* ranks;
  const float* scales;
  int64_t rows, in, out, experts, max_rank;
  int32_t weight_dtype;
};

template <class Args>
GroupedLayer grouped_layer(const Args& args) {
  return {args.offsets, args.weights, args.lora_a, args.lora_b,  args.ranks,    args.scales,
          args.rows,    args.in,      args.out,    args.experts, args.max_rank, args.weight_dtype};
}

/// An activation of float32, or its copy in bfloat16. line_of: NULL, or row r is line line_of[r] of data; of what thin
/// products of a gradient read, in bfloat16 contexts.
struct GroupedRows {
  const void* data;
  int64_t ld;
  int32_t dtype;
  const int32_t* line_of = nullptr;
};

struct GroupedPlan {
  int32_t tile_rows;
  int64_t slots;  // most tiles there can be
  bool copied;    // the wide products' left operand is brought into bfloat16 once
  int64_t tiles_bytes, copy_ld, copy_bytes;
  int64_t bytes() const { return tiles_bytes + copy_bytes; }
};

/// By sizes alone. k: what the wide product sums over.
GroupedPlan grouped_plan(const ln_context& context, int64_t rows, int64_t experts, int64_t k);

void plan_grouped_tiles(const ln_context& context, const char* name, const GroupedPlan& plan, const GroupedLayer& layer,
                        GroupedTile* tiles);

/// The wide products:
///   result[rows,out] = x . weights[e]^T + scales[e] * low . lora_b[e]^T                   (forward)
///   result[rows,in]  = dy . weights[e] + low . lora_a[e]        (+= with accumulate)      (gradient)
/// left.data NULL: without the base product. low [rows,max_rank], NULL: without the adapter.
/// `second`, of the same sizes and types, and what belongs to it: for grouped_gated_gradient, which sums both.
struct GroupedWide {
  GroupedLayer layer;
  const GroupedTile* tiles;
  GroupedRows left;
  const float* low;
  float* result;
  bool accumulate;
  GroupedLayer second = {};
  const void* second_left = nullptr;
  const float* second_low = nullptr;
};
void grouped_output(const ln_context& context, const char* name, const GroupedPlan& plan, const GroupedWide& wide);
void grouped_input_gradient(const ln_context& context, const char* name, const GroupedPlan& plan,
                            const GroupedWide& wide);

/// low[rows,max_rank] = x . lora_a[e]^T, or scales[e] * dy . lora_b[e]; 0 from column ranks[e] on.
void grouped_down(const ln_context& context, const char* name, const GroupedPlan& plan, const GroupedLayer& layer,
                  const GroupedTile* tiles, const GroupedRows& x, float* low);
void grouped_low_rank_gradient(const ln_context& context, const char* name, const GroupedPlan& plan,
                               const GroupedLayer& layer, const GroupedTile* tiles, const GroupedRows& dy, float* low);

void grouped_gated_gradient(const ln_context& context, const char* name, const GroupedPlan& plan,
                            const GroupedWide& wide);

/// Both wide products of ln_grouped_gated_fwd and what is made of them, in bfloat16 contexts and with LN_SILU.
struct GroupedGated {
  GroupedLayer gate, up;
  const GroupedTile* tiles;
  GroupedRows left;
  const float* gate_low;  // [rows,max_rank of the side], NULL: without adapters
  const float* up_low;
  float* gate_result;  // or both NULL
  float* up_result;
  float* result;
};
void grouped_gated_output(const ln_context& context, const char* name, const GroupedPlan& plan,
                          const GroupedGated& gated);

/// The wide product of ln_grouped_down_bwd and what is made of it, in bfloat16 contexts and with LN_SILU: g is
///   left . weights[e] + low . lora_a[e]
struct GroupedDown {
  GroupedLayer layer;
  const GroupedTile* tiles;
  GroupedRows left;          // dy, by line_of
  const float* low;          // v [rows,max_rank], NULL: without adapters
  const float* scores;       // [rows]
  float *gate, *up, *inner;  // [rows,in], inner may be NULL
  float* dots;               // [grouped_down_slices,rows]: sums of g * inner over slices of columns
};
/// Slices of columns that grouped_down_gradient has.
int64_t grouped_down_slices(int64_t in);
void grouped_down_gradient(const ln_context& context, const char* name, const GroupedPlan& plan,
                           const GroupedDown& down);

/// The rows as the wide products take them: x itself, or its copy where the plan has one.
GroupedRows grouped_rows(const ln_context& context, const char* name, const GroupedPlan& plan, const float* x,
                         int64_t rows, int64_t columns, void* copy);

/// grad_a[e] += v^T . x;   grad_b[e] += scales[e] * dy^T . u. Experts without rows leave theirs.
void grouped_gradient_of_a(const ln_context& context, const char* name, const GroupedLayer& layer, const GroupedRows& x,
                           const float* v, float* const* grad_a);
void grouped_gradient_of_b(const ln_context& context, const char* name, const GroupedLayer& layer,
                           const GroupedRows& dy, const float* u, float* const* grad_b);

}  // namespace ln::cuda
