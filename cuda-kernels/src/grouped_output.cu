#include "grouped_wide.cuh"

namespace ln::cuda {

void grouped_output(const ln_context& context, const char* name, const GroupedPlan& plan, const GroupedWide& wide) {
  grouped_wide<false>(context, name, plan, wide);
}

}  // namespace ln::cuda
