// Gradients of attention. With p = e^(scale q.k - lse) and ds = p * (dout.v - delta), delta = dout.o:
//   dq = scale * ds . k,   dk = scale * ds^T . q,   dv = p^T . dout
#include "attention.hpp"
#include "simd/lane_products.hpp"

namespace ln::cpu::LN_TIER {

namespace {

constexpr int64_t kPanels = kAttentionTile / kPanel;

/// Both passes hold their own rows in panels and stream the other side's rows.
struct Workspace {
  float* panels[2];                 // queries and dout, or keys and values: kPanels x [head_dim, kPanel]
  float* gradients[2];              // dq, or dk and dv, likewise
  float* rows[2];                   // keys and values, or queries and dout: [kAttentionTile, head_dim]
  float *scores, *score_gradients;  // [kAttentionTile, kPanel]

  Workspace(float* scratch, int64_t head_dim) {
    const int64_t step = kAttentionTile * head_dim;
    for (int i = 0; i < 2; ++i) {
      panels[i] = scratch + i * step;
      gradients[i] = scratch + (2 + i) * step;
      rows[i] = scratch + (4 + i) * step;
    }
    scores = scratch + 6 * step;
    score_gradients = scores + kAttentionTile * kPanel;
  }
};

int64_t scratch_floats(int64_t head_dim) { return 6 * kAttentionTile * head_dim + 2 * kAttentionTile * kPanel; }

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

LN_INLINE void clear(float* panel, int64_t width) { memset(panel, 0, (size_t)(kPanel * width) * sizeof(float)); }

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
  const int64_t key_head = head / (args.heads / args.key_heads), panel_size = kPanel * d;
  const int64_t first_row = s.first_query + tile.first;
  const float* k = args.k + s.first_key * key_ld + key_head * d;
  const float* v = args.v + s.first_key * key_ld + key_head * d;
  const Workspace w(scratch, d);

  vf lse[kPanels][kPanelVectors] = {}, deltas[kPanels][kPanelVectors] = {};
  for (int64_t i = 0; i < tile.count; ++i) {
    lse[i / kPanel][i % kPanel / kWidth][i % kWidth] = args.lse[(first_row + i) * args.heads + head];
    deltas[i / kPanel][i % kPanel / kWidth][i % kWidth] = args.delta[(first_row + i) * args.heads + head];
  }
  for (int64_t p = 0; p * kPanel < tile.count; ++p) {
    const int64_t at = (first_row + p * kPanel) * query_ld + head * d;
    load_panel(args.q + at, query_ld, tile.count - p * kPanel, d, args.scale, w.panels[0] + p * panel_size);
    load_panel(args.dout + at, query_ld, tile.count - p * kPanel, d, 1, w.panels[1] + p * panel_size);
    clear(w.gradients[0] + p * panel_size, d);
  }

  const AttentionSpan seen = attention_keys(s, tile.first, end);
  for (int64_t j = seen.first; j < seen.last; j += kAttentionTile) {
    const int64_t count = seen.last - j < kAttentionTile ? seen.last - j : kAttentionTile;
    copy_rows(k + j * key_ld, key_ld, count, d, w.rows[0]);
    copy_rows(v + j * key_ld, key_ld, count, d, w.rows[1]);
    for (int64_t p = 0; p * kPanel < tile.count; ++p) {
      const int64_t first = tile.first + p * kPanel, last = first + kPanel < end ? first + kPanel : end;
      const AttentionSpan mine = attention_keys(s, first, last);
      if (j >= mine.last || j + count <= mine.first) continue;
      const int64_t rows = mine.last - j < count ? mine.last - j : count;
      product<Left::kRows, Sum::kSet>(w.rows[0], d, rows, d, w.panels[0] + p * panel_size, w.scores);
      product<Left::kRows, Sum::kSet>(w.rows[1], d, rows, d, w.panels[1] + p * panel_size, w.score_gradients);
      if (j + rows - 1 <= first + s.shift && j > last - 1 + s.shift - s.window) {
        differentiate_lanes<false>(w.scores, w.score_gradients, rows, lse[p], deltas[p], 0, 0, 0);
      } else {
        differentiate_lanes<true>(w.scores, w.score_gradients, rows, lse[p], deltas[p], j, first + s.shift, s.window);
      }
      product<Left::kColumns, Sum::kAdd>(w.rows[0], d, d, rows, w.scores, w.gradients[0] + p * panel_size);
    }
  }

  vf scale[kPanelVectors];
  for (int v = 0; v < kPanelVectors; ++v) scale[v] = broadcast(args.scale);
  for (int64_t p = 0; p * kPanel < tile.count; ++p) {
    const int64_t count = tile.count - p * kPanel < kPanel ? tile.count - p * kPanel : kPanel;
    store_panel(w.gradients[0] + p * panel_size, count, d, scale,
                args.dq + (first_row + p * kPanel) * query_ld + head * d, query_ld);
  }
}

/// Keys in the lanes, queries in the rows: scores become p, dp becomes ds. Row r stands at `position + r`, lane j is
/// key `key + j`; lse and deltas have one value per row, `heads` apart.
template <bool Masked>
void differentiate_rows(float* scores, float* dp, int64_t rows, const float* lse, const float* deltas, int64_t heads,
                        int64_t key, int64_t position, int64_t window) {
  for (int64_t r = 0; r < rows; ++r) {
    const vf shift = broadcast(lse[r * heads]), offset = broadcast(deltas[r * heads]);
    for (int v = 0; v < kPanelVectors; ++v) {
      const int64_t at = r * kPanel + v * kWidth;
      vf p = exp_of_negative(load(scores + at) - shift);
      if constexpr (Masked) {
        const vi age = (int32_t)(position + r - key - v * kWidth) - lane_numbers();
        p = select((age >= 0) & (age < (int32_t)window), p, (vf){});
      }
      store(scores + at, p);
      store(dp + at, p * (load(dp + at) - offset));
    }
  }
}

void keys(const ln_attention_args& args, const AttentionTile& tile, int64_t key_head, float* scratch) {
  const AttentionSequence s = attention_sequence(args, tile.sequence);
  const int64_t d = args.head_dim, query_ld = args.heads * d, key_ld = args.key_heads * d,
                end = tile.first + tile.count;
  const int64_t group = args.heads / args.key_heads, panel_size = kPanel * d;
  const int64_t first_row = s.first_key + tile.first;
  const Workspace w(scratch, d);
  for (int64_t p = 0; p * kPanel < tile.count; ++p) {
    const int64_t at = (first_row + p * kPanel) * key_ld + key_head * d;
    load_panel(args.k + at, key_ld, tile.count - p * kPanel, d, args.scale, w.panels[0] + p * panel_size);
    load_panel(args.v + at, key_ld, tile.count - p * kPanel, d, 1, w.panels[1] + p * panel_size);
    clear(w.gradients[0] + p * panel_size, d);
    clear(w.gradients[1] + p * panel_size, d);
  }

  const AttentionSpan seeing = attention_queries(s, tile.first, end);
  for (int64_t head = key_head * group; head < (key_head + 1) * group; ++head) {
    for (int64_t i = seeing.first; i < seeing.last; i += kAttentionTile) {
      const int64_t count = seeing.last - i < kAttentionTile ? seeing.last - i : kAttentionTile;
      const int64_t query = s.first_query + i;
      copy_rows(args.q + query * query_ld + head * d, query_ld, count, d, w.rows[0]);
      copy_rows(args.dout + query * query_ld + head * d, query_ld, count, d, w.rows[1]);
      for (int64_t p = 0; p * kPanel < tile.count; ++p) {
        const int64_t first = tile.first + p * kPanel, last = first + kPanel < end ? first + kPanel : end;
        const AttentionSpan mine = attention_queries(s, first, last);
        const int64_t from = mine.first > i ? mine.first - i : 0, to = mine.last - i < count ? mine.last - i : count;
        if (from >= to) continue;
        const int64_t rows = to - from, row = (query + from) * args.heads + head, position = i + from + s.shift;
        product<Left::kRows, Sum::kSet>(w.rows[0] + from * d, d, rows, d, w.panels[0] + p * panel_size, w.scores);
        product<Left::kRows, Sum::kSet>(w.rows[1] + from * d, d, rows, d, w.panels[1] + p * panel_size,
                                        w.score_gradients);
        if (last - 1 <= position && first > position + rows - 1 - s.window) {
          differentiate_rows<false>(w.scores, w.score_gradients, rows, args.lse + row, args.delta + row, args.heads, 0,
                                    0, 0);
        } else {
          differentiate_rows<true>(w.scores, w.score_gradients, rows, args.lse + row, args.delta + row, args.heads,
                                   first, position, s.window);
        }
        product<Left::kColumns, Sum::kAdd>(w.rows[0] + from * d, d, d, rows, w.score_gradients,
                                           w.gradients[0] + p * panel_size);
        product<Left::kColumns, Sum::kAdd>(w.rows[1] + from * d, d, d, rows, w.scores, w.gradients[1] + p * panel_size);
      }
    }
  }

  vf scale[kPanelVectors], one[kPanelVectors];
  for (int v = 0; v < kPanelVectors; ++v) {
    scale[v] = broadcast(args.scale);
    one[v] = broadcast(1);
  }
  for (int64_t p = 0; p * kPanel < tile.count; ++p) {
    const int64_t count = tile.count - p * kPanel < kPanel ? tile.count - p * kPanel : kPanel;
    const int64_t at = (first_row + p * kPanel) * key_ld + key_head * d;
    store_panel(w.gradients[0] + p * panel_size, count, d, scale, args.dk + at, key_ld);
    store_panel(w.gradients[1] + p * panel_size, count, d, one, args.dv + at, key_ld);
  }
}

}  // namespace

const AttentionGradientKernels& attention_gradient_kernels() {
  static const AttentionGradientKernels kernels = {scratch_floats, delta, queries, keys};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
