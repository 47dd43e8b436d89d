// dx of both sides of gated experts: one product in the same sums where tiles have 64 rows or more, so that dx is
// written once; tiles of fewer rows are bound by their weights, and float32 is for parity: there the sides follow each
// other.
#include "grouped_wide.cuh"

namespace ln::cuda {

namespace {

template <class Tile, GroupedWeight kWeight, Access kLeft>
void launch_both(const ln_context& context, const char* name, const GroupedPlan& plan, const GroupedWide& wide) {
  launch_grouped_wide<Tile, true, kWeight, kLeft, 2>(context, name, plan, wide);
}

}  // namespace

void grouped_gated_gradient(const ln_context& context, const char* name, const GroupedPlan& plan,
                            const GroupedWide& wide) {
  using Tiles = GroupedBf16Tiles<false>;
  const bool four_bits = is_quantized(wide.layer.weight_dtype);
  if (!multiplies_in_bf16(context) || plan.tile_rows < 64) {
    GroupedWide second = wide;
    second.layer = wide.second;
    second.left.data = wide.second_left;
    second.low = wide.second_low;
    second.accumulate = true;
    grouped_input_gradient(context, name, plan, wide);
    grouped_input_gradient(context, name, plan, second);
  } else if (wide.left.dtype == LN_BF16 && wide.layer.weight_dtype == LN_BF16) {
    launch_both<Tiles::Of128InEightWarps, kWeightBf16, Access::kAsync>(context, name, plan, wide);
  } else if (wide.left.dtype == LN_BF16) {
    const auto launch_it = four_bits ? launch_both<Tiles::Of128, kWeightFourBits, Access::kAsync>
                                     : launch_both<Tiles::Of128InEightWarps, kWeightAny, Access::kAsync>;
    launch_it(context, name, plan, wide);
  } else {
    const auto launch_it = four_bits ? launch_both<Tiles::Of64, kWeightFourBits, Access::kWhole>
                                     : launch_both<Tiles::Of64, kWeightAny, Access::kWhole>;
    launch_it(context, name, plan, wide);
  }
}

}  // namespace ln::cuda
