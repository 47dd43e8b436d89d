#include "backend.hpp"

namespace {

void check_sizes(const ln::Checker& check, int64_t tokens, int64_t vocabulary, int64_t width) {
  check.at_least("tokens", tokens, 0);
  check.at_least("vocabulary", vocabulary, 1);
  check.at_least("width", width, 1);
}

}  // namespace

int32_t ln_embedding_fwd(ln_context* context, const void* table, int32_t table_dtype, const int32_t* ids, float* y,
                         int64_t tokens, int64_t vocabulary, int64_t width) {
  return ln::guarded(context, "ln_embedding_fwd", [&](const ln::Checker& check) {
    check_sizes(check, tokens, vocabulary, width);
    check.weight_dtype("table_dtype", table_dtype);
    if (tokens == 0) return;
    check.pointer("table", table, ln::weight_alignment(table_dtype));
    check.pointer("ids", ids);
    check.pointer("y", y);
    ln::backend::embedding_fwd(*context, table, table_dtype, ids, y, tokens, vocabulary, width, check);
  });
}

int32_t ln_embedding_bwd(ln_context* context, const float* dy, const int32_t* ids, float* grad_table, int64_t tokens,
                         int64_t vocabulary, int64_t width) {
  return ln::guarded(context, "ln_embedding_bwd", [&](const ln::Checker& check) {
    check_sizes(check, tokens, vocabulary, width);
    if (tokens == 0) return;
    check.pointer("dy", dy);
    check.pointer("ids", ids);
    check.pointer("grad_table", grad_table);
    ln::backend::embedding_bwd(*context, dy, ids, grad_table, tokens, vocabulary, width, check);
  });
}
