// Gradients of attention. With p = e^(scale q.k - lse) and ds = p * (dout.v - delta), delta = dout.o:
//   dq = scale * ds . k,   dk = scale * ds^T . q,   dv = p^T . dout
// The factor scale is taken into k wherever k is read, so that `whole` and `queries` round alike.
#include "attention.hpp"
#include "simd/lane_products.hpp"

namespace ln::cpu::LN_TIER {

namespace {

constexpr int64_t kPanels = kAttentionTile / kPanel;
constexpr int64_t kMaskGroups = kAttentionTile / kMaskLanes;

/// A tile of queries in panels; the keys' rows are streamed.
struct QueriesWorkspace {
  float* panels[2];                 // queries and dout: kPanels x [head_dim, kPanel]
  float* gradients;                 // dq, likewise
  float* rows[2];                   // keys and values: [kAttentionTile, row_floats(head_dim)]
  float *scores, *score_gradients;  // [kAttentionTile, kPanel]

  QueriesWorkspace(float* scratch, int64_t head_dim) {
    const int64_t panel_step = kAttentionTile * head_dim, row_step = kAttentionTile * row_floats(head_dim);
    for (int i = 0; i < 2; ++i) {
      rows[i] = scratch + i * row_step;
      panels[i] = scratch + 2 * row_step + i * panel_step;
    }
    gradients = panels[1] + panel_step;
    scores = gradients + panel_step;
    score_gradients = scores + kAttentionTile * kPanel;
  }
};

/// A tile of keys in panels and in rows; the queries' rows are streamed.
struct KeysWorkspace {
  float *keys, *dk, *dv, *queries, *douts, *dq;  // [kAttentionTile, row_floats(head_dim)]
  float* panels[2];                              // keys and values: kPanels x [head_dim, kPanel]
  float *scores, *score_gradients;               // [kAttentionTile, kAttentionTile]

  KeysWorkspace(float* scratch, int64_t head_dim) {
    const int64_t row_step = kAttentionTile * row_floats(head_dim), panel_step = kAttentionTile * head_dim;
    float** rows[] = {&keys, &dk, &dv, &queries, &douts, &dq};
    for (float** part : rows) {
      *part = scratch;
      scratch += row_step;
    }
    for (float*& panel : panels) {
      panel = scratch;
      scratch += panel_step;
    }
    scores = scratch;
    score_gradients = scores + kAttentionTile * kAttentionTile;
  }
};

int64_t scratch_floats(int64_t head_dim) {
  // That of KeysWorkspace, the larger one.
  return kAttentionTile * (6 * row_floats(head_dim) + 2 * head_dim + 2 * kAttentionTile);
}

void delta(const ln_attention_args& args, int64_t first, int64_t last) {
  const int64_t d = args.head_dim;
  for (int64_t row = first; row < last; ++row) {
    vf total = {};
    for (int64_t c = 0; c < d; c += kWidth) {
      total = fma(load_some(args.dout + row * d + c, d - c), load_some(args.o + row * d + c, d - c), total);
    }
    args.delta[row] = sum(total);
  }
}

/// Queries in the lanes, keys in the rows: scores become ds. Lane i stands at `position + i`, row r is key `key + r`.
template <bool Masked>
void differentiate_lanes(float* scores, const float* dp, int64_t rows, const vf* lse, const vf* deltas, int64_t key,
                         int64_t position, int64_t window) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int v = 0; v < kPanelVectors; ++v) {
      const int64_t at = r * kPanel + v * kWidth;
      vf p = exp_of_negative(load(scores + at) - lse[v]);
      if constexpr (Masked) {
        const vi age = lane_numbers() + (int32_t)(position + v * kWidth - key - r);
        p = select((age >= 0) & (age < (int32_t)window), p, (vf){});
      }
      store(scores + at, p * (load(dp + at) - deltas[v]));
    }
  }
}

void queries(const ln_attention_args& args, const AttentionTile& tile, int64_t head, float* scratch) {
  const AttentionSequence s = attention_sequence(args, tile.sequence);
  const int64_t d = args.head_dim, query_ld = args.heads * d, key_ld = args.key_heads * d,
                end = tile.first + tile.count;
  const int64_t key_head = head / (args.heads / args.key_heads), panel_size = kPanel * d, rows_ld = row_floats(d);
  const int64_t first_row = s.first_query + tile.first;
  const float* k = args.k + s.first_key * key_ld + key_head * d;
  const float* v = args.v + s.first_key * key_ld + key_head * d;
  const QueriesWorkspace w(scratch, d);

  vf lse[kPanels][kPanelVectors] = {}, deltas[kPanels][kPanelVectors] = {};
  for (int64_t i = 0; i < tile.count; ++i) {
    lse[i / kPanel][i % kPanel / kWidth][i % kWidth] = args.lse[(first_row + i) * args.heads + head];
    deltas[i / kPanel][i % kPanel / kWidth][i % kWidth] = args.delta[(first_row + i) * args.heads + head];
  }
  for (int64_t p = 0; p * kPanel < tile.count; ++p) {
    const int64_t at = (first_row + p * kPanel) * query_ld + head * d;
    load_panel(args.q + at, query_ld, tile.count - p * kPanel, d, 1, w.panels[0] + p * panel_size);
    load_panel(args.dout + at, query_ld, tile.count - p * kPanel, d, 1, w.panels[1] + p * panel_size);
    memset(w.gradients + p * panel_size, 0, (size_t)panel_size * sizeof(float));
  }

  const AttentionSpan seen = attention_keys(s, tile.first, end);
  for (int64_t j = seen.first / kAttentionTile * kAttentionTile; j < seen.last; j += kAttentionTile) {
    const int64_t count = seen.last - j < kAttentionTile ? seen.last - j : kAttentionTile;
    copy_rows(k + j * key_ld, key_ld, count, d, args.scale, w.rows[0], rows_ld);
    copy_rows(v + j * key_ld, key_ld, count, d, 1, w.rows[1], rows_ld);
    for (int64_t p = 0; p * kPanel < tile.count; ++p) {
      const int64_t first = tile.first + p * kPanel, last = first + kPanel < end ? first + kPanel : end;
      const AttentionSpan mine = attention_keys(s, first, last);
      if (j >= mine.last || j + count <= mine.first) continue;
      const int64_t rows = mine.last - j < count ? mine.last - j : count;
      product<Left::kRows, Sum::kSet>(w.rows[0], rows_ld, rows, d, w.panels[0] + p * panel_size, w.scores);
      product<Left::kRows, Sum::kSet>(w.rows[1], rows_ld, rows, d, w.panels[1] + p * panel_size, w.score_gradients);
      if (j + rows - 1 <= first + s.shift && j > last - 1 + s.shift - s.window) {
        differentiate_lanes<false>(w.scores, w.score_gradients, rows, lse[p], deltas[p], 0, 0, 0);
      } else {
        differentiate_lanes<true>(w.scores, w.score_gradients, rows, lse[p], deltas[p], j, first + s.shift, s.window);
      }
      product<Left::kColumns, Sum::kAdd>(w.rows[0], rows_ld, d, rows, w.scores, w.gradients + p * panel_size);
    }
  }

  vf one[kPanelVectors];
  for (int v = 0; v < kPanelVectors; ++v) one[v] = broadcast(1);
  for (int64_t p = 0; p * kPanel < tile.count; ++p) {
    const int64_t count = tile.count - p * kPanel < kPanel ? tile.count - p * kPanel : kPanel;
    store_panel(w.gradients + p * panel_size, count, d, one, args.dq + (first_row + p * kPanel) * query_ld + head * d,
                query_ld);
  }
}

/// A tile of queries and a tile of keys of one head. Keys stand in the lanes, queries in the rows.
struct Block {
  int64_t first_position, window;  // of the first query
  int64_t first_key, queries, keys;
  const float *lse, *delta;  // [queries], `heads` apart
  int64_t heads;
  ComingRows next;
};

/// Rows [from, to) of the register of keys from `lane` on: scores become p, dp becomes ds.
template <bool Masked>
LN_INLINE void differentiate(const KeysWorkspace& w, const Block& block, int64_t lane, int64_t from, int64_t to) {
  const int64_t key = block.first_key + lane;
  float *scores = w.scores + lane, *dp = w.score_gradients + lane;
  for (int64_t r = from; r < to; ++r) {
    block.next.fetch(r, lane, kAttentionTile);
    vf p = exp_of_negative(load(scores + r * kAttentionTile) - block.lse[r * block.heads]);
    vf ds = p * (load(dp + r * kAttentionTile) - block.delta[r * block.heads]);
    if constexpr (Masked) {
      const vi age = (int32_t)(block.first_position + r - key) - lane_numbers();
      const vi seen = (age >= 0) & (age < (int32_t)block.window);
      p = select(seen, p, (vf){});
      ds = select(seen, ds, (vf){});
    }
    store(scores + r * kAttentionTile, p);
    store(dp + r * kAttentionTile, ds);
  }
}

/// V registers of keys from `lane` on and the queries [from, to): their scores and dp.
template <int V>
LN_INLINE void scores_of(const KeysWorkspace& w, int64_t d, int64_t lane, int64_t from, int64_t to) {
  const int64_t ld = row_floats(d), panel = lane / kPanel * kPanel * d + lane % kPanel,
                at = from * kAttentionTile + lane;
  const Strides stride = {ld, kPanel, kAttentionTile};
  product_of<V, Left::kRows, Sum::kSet>(w.queries + from * ld, to - from, d, w.panels[0] + panel, nullptr,
                                        w.scores + at, stride);
  product_of<V, Left::kRows, Sum::kSet>(w.douts + from * ld, to - from, d, w.panels[1] + panel, nullptr,
                                        w.score_gradients + at, stride);
}

/// What the queries [from, to) add to dk and dv of the keys [lane, lane + keys) of the tile.
void add_to_keys(const KeysWorkspace& w, int64_t d, int64_t lane, int64_t keys, int64_t from, int64_t to) {
  const int64_t ld = row_floats(d), width = whole_registers(d), at = from * kAttentionTile + lane;
  row_product<Left::kColumns>(w.scores + at, kAttentionTile, keys, to - from, w.douts + from * ld, w.dv + lane * ld, ld,
                              width);
  row_product<Left::kColumns>(w.score_gradients + at, kAttentionTile, keys, to - from, w.queries + from * ld,
                              w.dk + lane * ld, ld, width);
}

/// What the keys [lane, lane + keys) add to dq of the queries [row, row + rows) of the tile.
void add_to_queries(const KeysWorkspace& w, int64_t d, int64_t row, int64_t rows, int64_t lane, int64_t keys) {
  row_product<Left::kRows>(w.score_gradients + row * kAttentionTile + lane, kAttentionTile, rows, keys,
                           w.keys + lane * row_floats(d), w.dq + row * row_floats(d), row_floats(d),
                           whole_registers(d));
}

/// dk, dv and with Queries dq of a block whose queries see all its keys.
template <bool Queries>
void add_whole(const KeysWorkspace& w, const Block& block, int64_t d) {
  for (int64_t lane = 0; lane < block.keys; lane += kPanel) {
    scores_of<kPanelVectors>(w, d, lane, 0, block.queries);
    for (int64_t v = lane; v < lane + kPanel; v += kWidth) differentiate<false>(w, block, v, 0, block.queries);
  }
  add_to_keys(w, d, 0, block.keys, 0, block.queries);
  if constexpr (Queries) add_to_queries(w, d, 0, block.queries, 0, block.keys);
}

/// The same of a block that the mask cuts: squares of kMaskLanes queries and keys of which no pair is seen are left
/// out.
template <bool Queries>
void add_masked(const KeysWorkspace& w, const AttentionSequence& s, const Block& block, int64_t d) {
  const int64_t first_query = block.first_position - s.shift;
  int64_t from[kMaskGroups] = {}, to[kMaskGroups] = {};  // the queries that see one of a register's keys
  for (int64_t lane = 0; lane < block.keys; lane += kMaskLanes) {
    const int64_t keys = block.keys - lane < kMaskLanes ? block.keys - lane : kMaskLanes, key = block.first_key + lane;
    const AttentionSpan seeing = attention_queries(s, key, key + keys);
    const int64_t first = seeing.first - first_query, last = seeing.last - first_query;
    const int64_t start = first > 0 ? first / kMaskLanes * kMaskLanes : 0,
                  whole = (last + kMaskLanes - 1) / kMaskLanes * kMaskLanes;
    const int64_t end = whole < block.queries ? whole : block.queries;
    if (seeing.first >= seeing.last || start >= end) continue;
    from[lane / kMaskLanes] = start;
    to[lane / kMaskLanes] = end;
    scores_of<kMaskVectors>(w, d, lane, start, end);
    for (int64_t v = lane; v < lane + kMaskLanes; v += kWidth) differentiate<true>(w, block, v, start, end);
    add_to_keys(w, d, lane, keys, start, end);
  }
  if constexpr (Queries) {
    // The mask is a band: the registers of keys that some queries see follow one another.
    for (int64_t row = 0; row < block.queries; row += kMaskLanes) {
      const int64_t rows = block.queries - row < kMaskLanes ? block.queries - row : kMaskLanes;
      int64_t first = 0, last = 0;
      for (int64_t lane = 0; lane < block.keys; lane += kMaskLanes) {
        if (row < from[lane / kMaskLanes] || row >= to[lane / kMaskLanes]) continue;
        if (last == 0) first = lane;
        last = block.keys - lane < kMaskLanes ? block.keys : lane + kMaskLanes;
      }
      if (last > first) add_to_queries(w, d, row, rows, first, last - first);
    }
  }
}

/// dk and dv of a tile of keys; with Queries also what it adds to dq, which the first tile that a query sees begins.
template <bool Queries>
void keys_of(const ln_attention_args& args, const AttentionTile& tile, int64_t key_head, float* scratch) {
  const AttentionSequence s = attention_sequence(args, tile.sequence);
  const int64_t d = args.head_dim, query_ld = args.heads * d, key_ld = args.key_heads * d,
                end = tile.first + tile.count, ld = row_floats(d);
  const int64_t group = args.heads / args.key_heads, key_at = (s.first_key + tile.first) * key_ld + key_head * d;
  const KeysWorkspace w(scratch, d);
  for (int64_t lane = 0; lane < tile.count; lane += kPanel) {
    load_panel(args.k + key_at + lane * key_ld, key_ld, tile.count - lane, d, args.scale, w.panels[0] + lane * d);
    load_panel(args.v + key_at + lane * key_ld, key_ld, tile.count - lane, d, 1, w.panels[1] + lane * d);
  }
  if constexpr (Queries) copy_rows(args.k + key_at, key_ld, tile.count, d, args.scale, w.keys, ld);
  memset(w.dk, 0, (size_t)(tile.count * ld) * sizeof(float));
  memset(w.dv, 0, (size_t)(tile.count * ld) * sizeof(float));

  const AttentionSpan seeing = attention_queries(s, tile.first, end);
  const int64_t first = seeing.first / kAttentionTile * kAttentionTile;
  for (int64_t head = key_head * group; head < (key_head + 1) * group; ++head) {
    for (int64_t i = first; i < seeing.last; i += kAttentionTile) {
      const int64_t count = s.queries - i < kAttentionTile ? s.queries - i : kAttentionTile;
      const int64_t row = (s.first_query + i) * args.heads + head;
      copy_rows(args.q + row * d, query_ld, count, d, 1, w.queries, ld);
      copy_rows(args.dout + row * d, query_ld, count, d, 1, w.douts, ld);
      if constexpr (Queries) {
        if (attention_keys(s, i, i + count).first >= tile.first) {
          memset(w.dq, 0, (size_t)(count * ld) * sizeof(float));
        } else {
          copy_rows(args.dq + row * d, query_ld, count, d, 1, w.dq, ld);
        }
      }
      const bool more = i + kAttentionTile < seeing.last;
      const int64_t next = more ? row + kAttentionTile * args.heads
                                : (s.first_query + first) * args.heads + head + 1;  // of this head, or of the next one
      ComingRows coming = {{args.q + next * d, args.dout + next * d, nullptr}, query_ld, 0, d};
      if (Queries) coming.rows[2] = args.dq + next * d;
      if (more || head + 1 < (key_head + 1) * group)
        coming.count = more ? s.queries - i - kAttentionTile : seeing.last - first;
      const Block block = {i + s.shift,    s.window,         tile.first, count, tile.count,
                           args.lse + row, args.delta + row, args.heads, coming};
      if (end - 1 <= i + s.shift && tile.first > i + count - 1 + s.shift - s.window) {
        add_whole<Queries>(w, block, d);
      } else {
        add_masked<Queries>(w, s, block, d);
      }
      if constexpr (Queries) store_rows(w.dq, ld, count, d, 1, args.dq + row * d, query_ld);
    }
  }
  store_rows(w.dk, ld, tile.count, d, args.scale, args.dk + key_at, key_ld);
  store_rows(w.dv, ld, tile.count, d, 1, args.dv + key_at, key_ld);
}

void keys(const ln_attention_args& args, const AttentionTile& tile, int64_t key_head, float* scratch) {
  keys_of<false>(args, tile, key_head, scratch);
}

void whole(const ln_attention_args& args, int64_t sequence, int64_t key_head, float* scratch) {
  const int64_t keys = args.key_offsets[sequence + 1] - args.key_offsets[sequence];
  for (int64_t j = 0; j < keys; j += kAttentionTile) {
    const int64_t count = keys - j < kAttentionTile ? keys - j : kAttentionTile;
    keys_of<true>(args, {(int32_t)sequence, (int32_t)j, (int32_t)count, 0}, key_head, scratch);
  }
}

}  // namespace

const AttentionGradientKernels& attention_gradient_kernels() {
  static const AttentionGradientKernels kernels = {scratch_floats, delta, queries, keys, whole};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
