// ln_grouped_linear_fwd and ln_grouped_linear_bwd: a table of tiles (grouped_plan.cu), the adapter's thin products
// (grouped_adapter.cu), and the wide products with the adapter's up-projection in them (grouped_wide.cuh). With many
// rows per expert and bfloat16, the wide products' left operand is brought into bfloat16 scratch once: every slice of
// columns reads it again, and the thin products read it in its place.
#include "grouped_linear.hpp"
#include "operand.cuh"
#include "scratch.hpp"

namespace ln::cuda {

namespace {

/// Scratch: the tiles, then the copy.
struct GroupedScratch {
  GroupedTile* tiles;
  void* copy;

  GroupedScratch(void* scratch, const GroupedPlan& plan)
      : tiles(static_cast<GroupedTile*>(scratch)), copy(static_cast<char*>(scratch) + plan.tiles_bytes) {}
};

constexpr int kThreads = 256;

/// copy[row,copy_ld] = x[row,columns] in bfloat16, rounded to nearest even; what is behind a row is 0. A thread makes
/// 16 bytes. Bound by memory.
template <bool kWhole>
__global__ void __launch_bounds__(kThreads)
    copy_rows(const float* x, int64_t rows, int64_t columns, uint16_t* copy, int64_t copy_ld) {
  const Reader<false, kWhole> reader(x, LN_F32);
  const int64_t chunks = copy_ld / kChunk, count = rows * chunks, step = int64_t{gridDim.x} * kThreads;
  for (int64_t c = int64_t{blockIdx.x} * kThreads + threadIdx.x; c < count; c += step) {
    const int64_t row = c / chunks, column = (c - row * chunks) * kChunk;
    Chunk chunk;
    reader.fetch(chunk, row * columns + column,
                 static_cast<int>(columns - column < kChunk ? columns - column : kChunk));
    *reinterpret_cast<uint4*>(copy + c * kChunk) = reader.bf16(chunk, nullptr);
  }
}

}  // namespace

GroupedRows grouped_rows(const ln_context& context, const char* name, const GroupedPlan& plan, const float* x,
                         int64_t rows, int64_t columns, void* copy) {
  if (!plan.copied) return {x, columns, LN_F32};
  const bool whole = whole_chunks({x, columns, rows, LN_F32, 1}, columns);
  launch(context, name, whole ? copy_rows<true> : copy_rows<false>,
         blocks_for(rows * (plan.copy_ld / kChunk), kThreads), kThreads, 0, x, rows, columns,
         static_cast<uint16_t*>(copy), plan.copy_ld);
  return {copy, plan.copy_ld, LN_BF16};
}

int64_t grouped_linear_fwd_scratch(const ln_context& context, const ln_grouped_linear_fwd_args& args) {
  return grouped_plan(context, args.rows, args.experts, args.in).bytes();
}

int64_t grouped_linear_bwd_scratch(const ln_context& context, const ln_grouped_linear_bwd_args& args) {
  return grouped_plan(context, args.rows, args.experts, args.out).bytes();
}

}  // namespace ln::cuda

namespace ln::backend {

void grouped_linear_fwd(ln_context& context, const ln_grouped_linear_fwd_args& args, const Checker& check) {
  using namespace cuda;
  constexpr const char* kName = "ln_grouped_linear_fwd";
  const GroupedPlan plan = grouped_plan(context, args.rows, args.experts, args.in);
  const GroupedScratch scratch(require_scratch(context, check, plan.bytes()), plan);
  const GroupedLayer layer = grouped_layer(args);
  plan_grouped_tiles(context, kName, plan, layer, scratch.tiles);
  const GroupedRows x = grouped_rows(context, kName, plan, args.x, args.rows, args.in, scratch.copy);
  if (args.max_rank > 0) {
    const bool other = args.lora_x != nullptr && args.lora_x != args.x;
    grouped_down(context, kName, plan, layer, scratch.tiles, other ? GroupedRows{args.lora_x, args.in, LN_F32} : x,
                 args.u);
  }
  grouped_output(context, kName, plan, {layer, scratch.tiles, x, args.max_rank > 0 ? args.u : nullptr, args.y, false});
}

void grouped_linear_bwd(ln_context& context, const ln_grouped_linear_bwd_args& args, const Checker& check) {
  using namespace cuda;
  constexpr const char* kName = "ln_grouped_linear_bwd";
  const GroupedPlan plan = grouped_plan(context, args.rows, args.experts, args.out);
  const GroupedScratch scratch(require_scratch(context, check, plan.bytes()), plan);
  const GroupedLayer layer = grouped_layer(args);
  const bool adapted = args.max_rank > 0;
  if (!adapted && args.dx == nullptr) return;
  plan_grouped_tiles(context, kName, plan, layer, scratch.tiles);
  const GroupedRows dy = grouped_rows(context, kName, plan, args.dy, args.rows, args.out, scratch.copy);
  if (adapted) {
    grouped_low_rank_gradient(context, kName, plan, layer, scratch.tiles, dy, args.v);
    if (args.grad_a != nullptr) {
      const float* const lora_x = args.lora_x == nullptr ? args.x : args.lora_x;
      grouped_gradient_of_b(context, kName, layer, dy, args.u, args.grad_b);
      grouped_gradient_of_a(context, kName, layer, {lora_x, args.in, LN_F32}, args.v, args.grad_a);
    }
  }
  if (args.dx != nullptr) {
    const float* const v = adapted && args.dlora_x == nullptr ? args.v : nullptr;
    grouped_input_gradient(context, kName, plan, {layer, scratch.tiles, dy, v, args.dx, args.accumulate != 0});
  }
  if (args.dlora_x != nullptr) {
    const GroupedRows nothing = {nullptr, 0, dy.dtype};
    grouped_input_gradient(context, kName, plan,
                           {layer, scratch.tiles, nothing, adapted ? args.v : nullptr, args.dlora_x, false});
  }
}

}  // namespace ln::backend
