#include "backend.hpp"

namespace {

void check_sizes(const ln::Checker& check, int64_t tokens, int64_t vocabulary, int64_t width) {
  check.at_least("tokens", tokens, 0);
  check.at_least("vocabulary", vocabulary, 1);
  check.at_least("width", width, 1);
}

void check_row_sizes(const ln::Checker& check, int64_t tokens, int64_t vocabulary, int64_t count, int64_t width) {
  check_sizes(check, tokens, vocabulary, width);
  check.at_least("count", count, 1);
  check.at_most("count", count, INT32_MAX);
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

int32_t ln_embedding_rows_fwd(ln_context* context, const float* rows, const int32_t* slots, const int32_t* ids,
                              float* y, int64_t tokens, int64_t vocabulary, int64_t count, int64_t width) {
  return ln::guarded(context, "ln_embedding_rows_fwd", [&](const ln::Checker& check) {
    check_row_sizes(check, tokens, vocabulary, count, width);
    if (tokens == 0) return;
    check.pointer("rows", rows);
    check.pointer("slots", slots);
    check.pointer("ids", ids);
    check.pointer("y", y);
    ln::backend::embedding_rows_fwd(*context, rows, slots, ids, y, tokens, vocabulary, count, width, check);
  });
}

int32_t ln_embedding_rows_bwd(ln_context* context, const float* dy, const int32_t* slots, const int32_t* ids,
                              float* grad_rows, int64_t tokens, int64_t vocabulary, int64_t count, int64_t width) {
  return ln::guarded(context, "ln_embedding_rows_bwd", [&](const ln::Checker& check) {
    check_row_sizes(check, tokens, vocabulary, count, width);
    if (tokens == 0) return;
    check.pointer("dy", dy);
    check.pointer("slots", slots);
    check.pointer("ids", ids);
    check.pointer("grad_rows", grad_rows);
    ln::backend::embedding_rows_bwd(*context, dy, slots, ids, grad_rows, tokens, vocabulary, count, width, check);
  });
}
