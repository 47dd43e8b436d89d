#include "grouped_wide.cuh"

namespace ln::cuda {

void grouped_input_gradient(const ln_context& context, const char* name, const GroupedPlan& plan,
                            const GroupedWide& wide) {
  grouped_wide<true>(context, name, plan, wide);
}

}  // namespace ln::cuda
