#include "attention.hpp"

#include <algorithm>

#include "cpu_backend.hpp"
#include "scratch.hpp"

namespace ln::cpu {

namespace {

/// Scratch: the list of tiles (never more than one per token), then a part for each thread.
struct Layout {
  int64_t tiles_bytes, thread_bytes, total;

  Layout(const ln_context& context, int64_t tokens, int64_t thread_floats)
      : tiles_bytes(aligned(tokens * static_cast<int64_t>(sizeof(AttentionTile)))),
        thread_bytes(aligned(thread_floats * static_cast<int64_t>(sizeof(float)))),
        total(tiles_bytes + thread_bytes * pool(context).threads()) {}
};

Layout forward_layout(const ln_context& context, const ln_attention_args& args) {
  return Layout(context, args.query_tokens, attention_kernels(tier(context)).scratch_floats(args.head_dim));
}

Layout backward_layout(const ln_context& context, const ln_attention_args& args) {
  return Layout(context, std::max(args.query_tokens, args.key_tokens),
                attention_gradient_kernels(tier(context)).scratch_floats(args.head_dim));
}

void check_offsets(const Checker& check, const char* name, const int32_t* offsets, int64_t sequences, int64_t tokens) {
  const auto place = [&](int64_t s) {
    return std::string(name) + "[" + std::to_string(s) + "] is " + std::to_string(offsets[s]);
  };
  if (offsets[0] != 0) check.fail(LN_INVALID_ARGUMENT, place(0) + ", must be 0");
  for (int64_t s = 0; s < sequences; ++s) {
    if (offsets[s + 1] < offsets[s])
      check.fail(LN_INVALID_ARGUMENT, place(s + 1) + ", below the one before, " + std::to_string(offsets[s]));
  }
  if (offsets[sequences] != tokens)
    check.fail(LN_INVALID_ARGUMENT, place(sequences) + ", must be the number of tokens, " + std::to_string(tokens));
}

void check_sequences(const Checker& check, const ln_attention_args& args) {
  check_offsets(check, "query_offsets", args.query_offsets, args.sequences, args.query_tokens);
  check_offsets(check, "key_offsets", args.key_offsets, args.sequences, args.key_tokens);
  for (int64_t s = 0; s < args.sequences; ++s) {
    const AttentionSequence sequence = attention_sequence(args, s);
    if (sequence.keys < sequence.queries) {
      check.fail(LN_INVALID_ARGUMENT, "sequence " + std::to_string(s) + " has " + std::to_string(sequence.queries) +
                                          " queries but " + std::to_string(sequence.keys) + " keys");
    }
  }
}

/// Cuts every sequence into tiles: the longest sequence first, and of a sequence the tiles with the most work first,
/// which are the last queries or the first keys.
int64_t list_tiles(const ln_attention_args& args, const int32_t* offsets, bool last_first, AttentionTile* tiles) {
  int64_t count = 0;
  for (int64_t s = 0; s < args.sequences; ++s) {
    const int32_t length = offsets[s + 1] - offsets[s], size = static_cast<int32_t>(kAttentionTile);
    const int32_t last = (length - 1) / size;
    for (int32_t rank = 0; length > 0 && rank <= last; ++rank) {
      const int32_t first = (last_first ? last - rank : rank) * size;
      tiles[count++] = {static_cast<int32_t>(s), first, std::min(size, length - first), rank};
    }
  }
  const auto length = [&](const AttentionTile& tile) { return offsets[tile.sequence + 1] - offsets[tile.sequence]; };
  std::sort(tiles, tiles + count, [&](const AttentionTile& a, const AttentionTile& b) {
    if (length(a) != length(b)) return length(a) > length(b);
    return a.sequence != b.sequence ? a.sequence < b.sequence : a.rank < b.rank;
  });
  return count;
}

/// All keys of every sequence that has some, the longest sequence first.
int64_t list_sequences(const ln_attention_args& args, AttentionTile* list) {
  int64_t count = 0;
  for (int64_t s = 0; s < args.sequences; ++s) {
    const int32_t keys = args.key_offsets[s + 1] - args.key_offsets[s];
    if (keys > 0) list[count++] = {static_cast<int32_t>(s), 0, keys, 0};
  }
  std::sort(list, list + count, [](const AttentionTile& a, const AttentionTile& b) {
    return a.count != b.count ? a.count > b.count : a.sequence < b.sequence;
  });
  return count;
}

/// Whether tasks of a whole sequence and key head, with 5 products for a pair of tiles, are done before tasks of single
/// tiles, which need 7 but share evenly. The bound on the former's time holds whatever the lengths are.
bool prefers_whole(const ln_attention_args& args, int64_t threads) {
  double total = 0, longest = 0;
  for (int64_t i = 0; i < args.sequences; ++i) {
    const AttentionSequence s = attention_sequence(args, i);
    const double seen = static_cast<double>(std::min(s.window, s.keys - s.queries / 2));
    const double work = static_cast<double>(s.queries) * seen;
    total += work * static_cast<double>(args.key_heads);
    longest = std::max(longest, work);
  }
  const int64_t rounds = (args.sequences * args.key_heads + threads - 1) / threads;
  const double share = total / static_cast<double>(threads);
  const double bound = std::min(static_cast<double>(rounds) * longest,
                                share + longest * static_cast<double>(threads - 1) / static_cast<double>(threads));
  return 5 * bound <= 7 * share;
}

/// Calls body(tile, head, scratch of the thread) for every tile and head: sequence by sequence, in it head by head, so
/// that the other side of a head, which all its tiles read, stays in the caches.
template <typename Body>
void run_tiles(const ln_context& context, const Layout& layout, const int32_t* offsets, int64_t tile_count,
               int64_t heads, const Body& body) {
  const AttentionTile* tiles = static_cast<const AttentionTile*>(context.scratch);
  char* threads = static_cast<char*>(context.scratch) + layout.tiles_bytes;
  pool(context).run(tile_count * heads, [&](int64_t task, int worker) {
    const AttentionTile& any = tiles[task / heads];  // of the task's sequence
    const int64_t of_sequence =
        (offsets[any.sequence + 1] - offsets[any.sequence] + kAttentionTile - 1) / kAttentionTile;
    const int64_t first = task / heads - any.rank, local = task - first * heads;
    body(tiles[first + local % of_sequence], local / of_sequence,
         reinterpret_cast<float*>(threads + worker * layout.thread_bytes));
  });
}

}  // namespace

int64_t attention_scratch_bytes(const ln_context& context, int32_t op, const void* args) {
  const ln_attention_args& attention = *static_cast<const ln_attention_args*>(args);
  return (op == LN_OP_ATTENTION_FWD ? forward_layout(context, attention) : backward_layout(context, attention)).total;
}

}  // namespace ln::cpu

namespace ln::backend {

void attention_fwd(ln_context& context, const ln_attention_args& args, const Checker& check) {
  cpu::check_sequences(check, args);
  const cpu::Layout layout = cpu::forward_layout(context, args);
  auto* tiles = static_cast<cpu::AttentionTile*>(require_scratch(context, check, layout.total));
  const cpu::AttentionKernels& kernels = cpu::attention_kernels(cpu::tier(context));
  const int64_t group = args.heads / args.key_heads;
  const int64_t count = cpu::list_tiles(args, args.query_offsets, true, tiles);
  cpu::run_tiles(context, layout, args.query_offsets, count, args.heads,
                 [&](const cpu::AttentionTile& tile, int64_t head, float* scratch) {
                   if (args.query_offsets[tile.sequence + 1] - args.query_offsets[tile.sequence] > 1) {
                     kernels.forward(args, tile, head, scratch);
                   } else if (head % group == 0) {
                     kernels.forward_single(args, tile.sequence, head / group, scratch);
                   }
                 });
}

void attention_bwd(ln_context& context, const ln_attention_args& args, const Checker& check) {
  cpu::check_sequences(check, args);
  const cpu::Layout layout = cpu::backward_layout(context, args);
  auto* tiles = static_cast<cpu::AttentionTile*>(require_scratch(context, check, layout.total));
  const cpu::AttentionGradientKernels& kernels = cpu::attention_gradient_kernels(cpu::tier(context));
  cpu::pool(context).ranges(args.query_tokens * args.heads, cpu::rows_per_task(args.head_dim),
                            [&](int64_t first, int64_t last, int) { kernels.delta(args, first, last); });
  if (cpu::prefers_whole(args, cpu::pool(context).threads())) {
    const int64_t tasks = cpu::list_sequences(args, tiles) * args.key_heads;
    char* threads = static_cast<char*>(context.scratch) + layout.tiles_bytes;
    cpu::pool(context).run(tasks, [&](int64_t task, int worker) {
      kernels.whole(args, tiles[task / args.key_heads].sequence, task % args.key_heads,
                    reinterpret_cast<float*>(threads + worker * layout.thread_bytes));
    });
    return;
  }
  int64_t count = cpu::list_tiles(args, args.key_offsets, false, tiles);
  cpu::run_tiles(context, layout, args.key_offsets, count, args.key_heads,
                 [&](const cpu::AttentionTile& tile, int64_t key_head, float* scratch) {
                   kernels.keys(args, tile, key_head, scratch);
                 });
  count = cpu::list_tiles(args, args.query_offsets, true, tiles);
  cpu::run_tiles(context, layout, args.query_offsets, count, args.heads,
                 [&](const cpu::AttentionTile& tile, int64_t head, float* scratch) {
                   kernels.queries(args, tile, head, scratch);
                 });
}

}  // namespace ln::backend
