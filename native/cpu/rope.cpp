#include "rope.hpp"

#include "cpu_backend.hpp"
#include "index_check.hpp"

namespace ln::backend {

void rope(ln_context& context, const ln_rope_args& args, const Checker& check) {
  cpu::require_indices_below(check, "positions", args.positions, args.tokens, args.table_rows);
  const cpu::RopeKernels& kernels = cpu::rope_kernels(cpu::tier(context));
  cpu::pool(context).ranges(args.tokens, cpu::rows_per_task(args.heads * args.head_dim),
                            [&](int64_t first, int64_t last, int) { kernels.rotate(args, first, last); });
}

}  // namespace ln::backend
