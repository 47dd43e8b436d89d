// ln_grouped_gated_fwd and ln_grouped_gated_bwd: the gate and up side of all experts over the same table of tiles and
// the same copy of x. Forward, in bfloat16 with LN_SILU, both wide products and the activation are one kernel
// (grouped_gated_output.cu); otherwise they follow each other. Backward, the gradients of gate and up are made once,
// unless ln_grouped_down_bwd has made them, in their place and, where the wide product takes a copy, in bfloat16 at the
// same time; dx is one product over both sides (grouped_gated_gradient.cu).
#include "../../native/abi/grouped_sides.hpp"
#include "activation.cuh"
#include "grouped_linear.hpp"
#include "operand.cuh"
#include "packs.cuh"
#include "scratch.hpp"
#include "streaming.hpp"

namespace ln::cuda {

namespace {

constexpr int kThreads = 256;

bool in_one_kernel(const ln_context& context, int32_t activation) {
  return multiplies_in_bf16(context) && activation == LN_SILU;
}

/// Scratch forward: tiles, copy of x, up where nobody keeps it and it has to be somewhere.
int64_t up_bytes(const ln_context& context, const ln_grouped_gated_fwd_args& args) {
  return args.gate != nullptr || in_one_kernel(context, args.activation)
             ? 0
             : args.rows * args.out * int64_t{sizeof(float)};
}

struct Gradients {
  const float* dy;
  float* gate;  // [rows,columns], replaced
  float* up;
  uint16_t* gate_copy;  // [rows,copy_ld] in bfloat16, what is behind a row is 0
  uint16_t* up_copy;
  int64_t rows, columns, copy_ld;
};

/// Eight elements of a row from `at` on, zeros behind `valid`; kWhole: all are there and aligned.
template <bool kWhole>
__device__ __forceinline__ void load_eight(float (&value)[kChunk], const float* from, int64_t at, int valid) {
  if constexpr (kWhole) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Pack<4> pack = load_pack<4>(from, at + 4 * half);
#pragma unroll
      for (int i = 0; i < 4; ++i) value[4 * half + i] = pack.at[i];
    }
  } else {
#pragma unroll
    for (int i = 0; i < kChunk; ++i) value[i] = i < valid ? from[at + i] : 0.0f;
  }
}

template <bool kWhole>
__device__ __forceinline__ void store_eight(float* to, uint16_t* copy, int64_t at, int64_t copy_at, int valid,
                                            const float (&value)[kChunk]) {
  if constexpr (kWhole) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      store_pack<4>(to, at + 4 * half,
                    {{value[4 * half], value[4 * half + 1], value[4 * half + 2], value[4 * half + 3]}});
    }
  } else {
#pragma unroll
    for (int i = 0; i < kChunk; ++i) {
      if (i < valid) to[at + i] = value[i];
    }
  }
  *reinterpret_cast<uint4*>(copy + copy_at) =
      make_uint4(simt::pack_bf16(value[0], value[1]), simt::pack_bf16(value[2], value[3]),
                 simt::pack_bf16(value[4], value[5]), simt::pack_bf16(value[6], value[7]));
}

/// A thread makes eight elements. Bound by memory: 24 bytes per element.
template <int kActivation, bool kWhole>
__global__ void __launch_bounds__(kThreads, 2) gated_gradients(Gradients args) {
  const int64_t chunks = args.copy_ld / kChunk, count = args.rows * chunks, step = int64_t{gridDim.x} * kThreads;
  for (int64_t c = int64_t{blockIdx.x} * kThreads + threadIdx.x; c < count; c += step) {
    const int64_t row = c / chunks, column = (c - row * chunks) * kChunk, at = row * args.columns + column;
    const int valid = static_cast<int>(args.columns - column < kChunk ? args.columns - column : kChunk);
    float dy[kChunk], gate[kChunk], up[kChunk];
    load_eight<kWhole>(dy, args.dy, at, valid);
    load_eight<kWhole>(gate, args.gate, at, valid);
    load_eight<kWhole>(up, args.up, at, valid);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) {
      const Point point = activate<kActivation>(gate[i]);
      gate[i] = dy[i] * up[i] * point.slope;
      up[i] = dy[i] * point.value;
    }
    store_eight<kWhole>(args.gate, args.gate_copy, at, c * kChunk, valid, gate);
    store_eight<kWhole>(args.up, args.up_copy, at, c * kChunk, valid, up);
  }
}

auto gradients_for(int32_t activation, bool whole) {
  if (activation == LN_SILU) return whole ? gated_gradients<LN_SILU, true> : gated_gradients<LN_SILU, false>;
  if (activation == LN_GELU_TANH) {
    return whole ? gated_gradients<LN_GELU_TANH, true> : gated_gradients<LN_GELU_TANH, false>;
  }
  return whole ? gated_gradients<LN_GELU_ERF, true> : gated_gradients<LN_GELU_ERF, false>;
}

/// The gradients of gate and up as the wide product takes them.
struct GatedRows {
  GroupedRows gate, up;
};

GatedRows make_gradients(ln_context& context, const GroupedPlan& plan, const ln_grouped_gated_bwd_args& args,
                         char* copies) {
  if (args.dy == nullptr) {
    return {grouped_rows(context, kGatedBackward, plan, args.gate, args.rows, args.out, copies),
            grouped_rows(context, kGatedBackward, plan, args.up, args.rows, args.out, copies + plan.copy_bytes)};
  }
  if (!plan.copied) {
    backend::gated_activation_bwd(context, args.activation, args.dy, args.gate, args.up, args.gate, args.up,
                                  args.rows * args.out);
    return {{args.gate, args.out, LN_F32}, {args.up, args.out, LN_F32}};
  }
  const Gradients gradients = {args.dy,
                               args.gate,
                               args.up,
                               reinterpret_cast<uint16_t*>(copies),
                               reinterpret_cast<uint16_t*>(copies + plan.copy_bytes),
                               args.rows,
                               args.out,
                               plan.copy_ld};
  const bool whole = args.out % kChunk == 0 && aligned_to_packs({args.dy, args.gate, args.up});
  launch(context, kGatedBackward, gradients_for(args.activation, whole),
         blocks_for(args.rows * (plan.copy_ld / kChunk), kThreads), kThreads, 0, gradients);
  return {{gradients.gate_copy, plan.copy_ld, LN_BF16}, {gradients.up_copy, plan.copy_ld, LN_BF16}};
}

/// v and the adapters' gradients of one side; dy: what it reads as that.
void adapter_gradients(const ln_context& context, const GroupedPlan& plan, const ln_grouped_linear_bwd_args& side,
                       const GroupedTile* tiles, const GroupedRows& dy) {
  if (side.max_rank == 0) return;
  const GroupedLayer layer = grouped_layer(side);
  grouped_low_rank_gradient(context, kGatedBackward, plan, layer, tiles, dy, side.v);
  if (side.grad_a == nullptr) return;
  grouped_gradient_of_b(context, kGatedBackward, layer, dy, side.u, side.grad_b);
  grouped_gradient_of_a(context, kGatedBackward, layer, {side.x, side.in, LN_F32}, side.v, side.grad_a);
}

/// u, where the side has adapters.
const float* project_down(const ln_context& context, const GroupedPlan& plan, const ln_grouped_linear_fwd_args& side,
                          const GroupedTile* tiles, const GroupedRows& x) {
  if (side.max_rank == 0) return nullptr;
  grouped_down(context, kGatedForward, plan, grouped_layer(side), tiles, x, side.u);
  return side.u;
}

}  // namespace

int64_t grouped_gated_fwd_scratch(const ln_context& context, const ln_grouped_gated_fwd_args& args) {
  return grouped_plan(context, args.rows, args.experts, args.in).bytes() + up_bytes(context, args);
}

int64_t grouped_gated_bwd_scratch(const ln_context& context, const ln_grouped_gated_bwd_args& args) {
  const GroupedPlan plan = grouped_plan(context, args.rows, args.experts, args.out);
  return plan.bytes() + plan.copy_bytes;
}

}  // namespace ln::cuda

namespace ln::backend {

void grouped_gated_fwd(ln_context& context, const ln_grouped_gated_fwd_args& args, const Checker& check) {
  using namespace cuda;
  const GroupedPlan plan = grouped_plan(context, args.rows, args.experts, args.in);
  char* const scratch = static_cast<char*>(require_scratch(context, check, grouped_gated_fwd_scratch(context, args)));
  GroupedTile* const tiles = reinterpret_cast<GroupedTile*>(scratch);
  const bool kept = args.gate != nullptr;
  float* const gate = kept ? args.gate : args.y;
  float* const up = kept ? args.up : reinterpret_cast<float*>(scratch + plan.bytes());
  const ln_grouped_linear_fwd_args gate_args = gate_side(args, gate), up_args = up_side(args, up);
  const GroupedLayer gate_layer = grouped_layer(gate_args), up_layer = grouped_layer(up_args);
  plan_grouped_tiles(context, kGatedForward, plan, gate_layer, tiles);
  const GroupedRows x =
      grouped_rows(context, kGatedForward, plan, args.x, args.rows, args.in, scratch + plan.tiles_bytes);
  const float* const gate_low = project_down(context, plan, gate_args, tiles, x);
  const float* const up_low = project_down(context, plan, up_args, tiles, x);
  if (in_one_kernel(context, args.activation)) {
    return grouped_gated_output(context, kGatedForward, plan,
                                {gate_layer, up_layer, tiles, x, gate_low, up_low, args.gate, args.up, args.y});
  }
  grouped_output(context, kGatedForward, plan, {gate_layer, tiles, x, gate_low, gate, false});
  grouped_output(context, kGatedForward, plan, {up_layer, tiles, x, up_low, up, false});
  gated_activation_fwd(context, args.activation, gate, up, args.y, args.rows * args.out);
}

void grouped_gated_bwd(ln_context& context, const ln_grouped_gated_bwd_args& args, const Checker& check) {
  using namespace cuda;
  const GroupedPlan plan = grouped_plan(context, args.rows, args.experts, args.out);
  char* const scratch = static_cast<char*>(require_scratch(context, check, grouped_gated_bwd_scratch(context, args)));
  GroupedTile* const tiles = reinterpret_cast<GroupedTile*>(scratch);
  const ln_grouped_linear_bwd_args gate = gate_side(args), up = up_side(args);
  const GatedRows gradients = make_gradients(context, plan, args, scratch + plan.tiles_bytes);
  if (gate.max_rank == 0 && up.max_rank == 0 && args.dx == nullptr) return;
  plan_grouped_tiles(context, kGatedBackward, plan, grouped_layer(gate), tiles);
  adapter_gradients(context, plan, gate, tiles, gradients.gate);
  adapter_gradients(context, plan, up, tiles, gradients.up);
  if (args.dx == nullptr) return;
  const float* const gate_v = gate.max_rank > 0 ? gate.v : nullptr;
  const float* const up_v = up.max_rank > 0 ? up.v : nullptr;
  grouped_gated_gradient(
      context, kGatedBackward, plan,
      {grouped_layer(gate), tiles, gradients.gate, gate_v, args.dx, false, grouped_layer(up), gradients.up.data, up_v});
}

}  // namespace ln::backend
