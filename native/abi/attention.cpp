#include "backend.hpp"

namespace {

/// Refuses bad sizes; false if there is nothing to do.
bool check_attention(const ln::Checker& check, const ln_attention_args& args) {
  check.at_least("sequences", args.sequences, 0);
  check.at_least("query_tokens", args.query_tokens, 0);
  check.at_most("query_tokens", args.query_tokens, INT32_MAX);
  check.at_least("key_tokens", args.key_tokens, 0);
  check.at_most("key_tokens", args.key_tokens, INT32_MAX);
  check.at_least("heads", args.heads, 1);
  check.at_least("key_heads", args.key_heads, 1);
  if (args.heads % args.key_heads != 0) {
    check.fail(LN_INVALID_ARGUMENT, "heads is " + std::to_string(args.heads) + ", not a multiple of key_heads, " +
                                        std::to_string(args.key_heads));
  }
  check.at_least("head_dim", args.head_dim, 1);
  check.at_least("window", args.window, 0);
  check.finite("scale", args.scale);
  if (args.query_tokens == 0 && args.key_tokens == 0) return false;
  check.pointer("query_offsets", args.query_offsets);
  check.pointer("key_offsets", args.key_offsets);
  check.pointer("k", args.k);
  check.pointer("v", args.v);
  if (args.query_tokens > 0) {
    check.pointer("q", args.q);
    check.pointer("o", args.o);
    check.pointer("lse", args.lse);
  }
  return true;
}

}  // namespace

int32_t ln_attention_fwd(ln_context* context, const ln_attention_args* args) {
  return ln::guarded(context, "ln_attention_fwd", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    if (!check_attention(check, *args)) return;
    ln::backend::attention_fwd(*context, *args, check);
  });
}

int32_t ln_attention_bwd(ln_context* context, const ln_attention_args* args) {
  return ln::guarded(context, "ln_attention_bwd", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    if (!check_attention(check, *args)) return;
    if (args->query_tokens > 0) {
      check.pointer("dout", args->dout);
      check.pointer("dq", args->dq);
      check.pointer("delta", args->delta);
    }
    check.pointer("dk", args->dk);
    check.pointer("dv", args->dv);
    ln::backend::attention_bwd(*context, *args, check);
  });
}
