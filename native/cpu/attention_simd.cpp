// Streaming softmax with the queries of a tile in the lanes: every key tile rescales what the tiles before it have
// added.
#include "attention.hpp"
#include "simd/lane_products.hpp"

namespace ln::cpu::LN_TIER {

namespace {

constexpr int64_t kPanels = kAttentionTile / kPanel;

// Below every score, yet finite: the difference of two maxima is never NaN, and e^(masked - lowest) is 0.
constexpr float kLowest = -3e38f;

/// What a tile of queries has seen so far, and the tile of keys at hand.
struct Workspace {
  float* queries;  // kPanels x [head_dim, kPanel]
  float* outputs;  // kPanels x [head_dim, kPanel]
  float* keys;     // [kAttentionTile, head_dim]
  float* values;   // [kAttentionTile, head_dim]
  float* scores;   // [kAttentionTile, kPanel]

  Workspace(float* scratch, int64_t head_dim) {
    const int64_t step = kAttentionTile * head_dim;
    queries = scratch;
    outputs = queries + step;
    keys = outputs + step;
    values = keys + step;
    scores = values + step;
  }
};

int64_t scratch_floats(int64_t head_dim) { return 4 * kAttentionTile * head_dim + kAttentionTile * kPanel; }

/// Largest score and sum of e^(score - largest) of the queries of a panel.
struct Running {
  vf largest[kPanelVectors], total[kPanelVectors];
};

/// Hides the keys that a query does not see. Row r is key `key + r`, lane i the query at `position + i`.
void mask_scores(float* scores, int64_t rows, int64_t key, int64_t position, int64_t window) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int v = 0; v < kPanelVectors; ++v) {
      const vi age = lane_numbers() + (int32_t)(position + v * kWidth - key - r);
      float* s = scores + r * kPanel + v * kWidth;
      store(s, select((age >= 0) & (age < (int32_t)window), load(s), broadcast(-__builtin_inff())));
    }
  }
}

/// Turns scores into e^(score - largest) and gives the factor for what was added before.
LN_INLINE void soften(float* scores, int64_t rows, Running& running, vf* factor) {
  for (int v = 0; v < kPanelVectors; ++v) {
    float* s = scores + v * kWidth;
    vf highest[2] = {running.largest[v], running.largest[v]};
    int64_t r = 0;
    for (; r + 2 <= rows; r += 2) {
      highest[0] = max(load(s + r * kPanel), highest[0]);
      highest[1] = max(load(s + (r + 1) * kPanel), highest[1]);
    }
    if (r < rows) highest[0] = max(load(s + r * kPanel), highest[0]);
    const vf largest = max(highest[0], highest[1]);
    vf total = {};
    for (r = 0; r < rows; ++r) {
      const vf e = exp_of_negative(load(s + r * kPanel) - largest);
      store(s + r * kPanel, e);
      total += e;
    }
    factor[v] = exp_of_negative(running.largest[v] - largest);
    running.total[v] = fma(running.total[v], factor[v], total);
    running.largest[v] = largest;
  }
}

void forward(const ln_attention_args& args, const AttentionTile& tile, int64_t head, float* scratch) {
  const AttentionSequence s = attention_sequence(args, tile.sequence);
  const int64_t d = args.head_dim, query_ld = args.heads * d, key_ld = args.key_heads * d,
                end = tile.first + tile.count;
  const int64_t key_head = head / (args.heads / args.key_heads);
  const int64_t first_row = s.first_query + tile.first;
  const float* q = args.q + first_row * query_ld + head * d;
  const float* k = args.k + s.first_key * key_ld + key_head * d;
  const float* v = args.v + s.first_key * key_ld + key_head * d;
  const Workspace w(scratch, d);

  Running running[kPanels];
  for (int64_t p = 0; p * kPanel < tile.count; ++p) {
    load_panel(q + p * kPanel * query_ld, query_ld, tile.count - p * kPanel, d, args.scale, w.queries + p * kPanel * d);
    memset(w.outputs + p * kPanel * d, 0, (size_t)(kPanel * d) * sizeof(float));
    for (int i = 0; i < kPanelVectors; ++i) {
      running[p].largest[i] = broadcast(kLowest);
      running[p].total[i] = (vf){};
    }
  }

  const AttentionSpan seen = attention_keys(s, tile.first, end);
  for (int64_t j = seen.first; j < seen.last; j += kAttentionTile) {
    const int64_t count = seen.last - j < kAttentionTile ? seen.last - j : kAttentionTile;
    copy_rows(k + j * key_ld, key_ld, count, d, w.keys);
    copy_rows(v + j * key_ld, key_ld, count, d, w.values);
    for (int64_t p = 0; p * kPanel < tile.count; ++p) {
      const int64_t first = tile.first + p * kPanel, last = first + kPanel < end ? first + kPanel : end;
      const AttentionSpan mine = attention_keys(s, first, last);
      if (j >= mine.last || j + count <= mine.first) continue;
      const int64_t rows = mine.last - j < count ? mine.last - j : count;
      product<Left::kRows, Sum::kSet>(w.keys, d, rows, d, w.queries + p * kPanel * d, w.scores);
      const bool all_seen = j + rows - 1 <= first + s.shift && j > last - 1 + s.shift - s.window;
      if (!all_seen) mask_scores(w.scores, rows, j, first + s.shift, s.window);
      vf factor[kPanelVectors];
      soften(w.scores, rows, running[p], factor);
      product<Left::kColumns, Sum::kScaleAndAdd>(w.values, d, d, rows, w.scores, w.outputs + p * kPanel * d, factor);
    }
  }

  for (int64_t p = 0; p * kPanel < tile.count; ++p) {
    const int64_t count = tile.count - p * kPanel < kPanel ? tile.count - p * kPanel : kPanel,
                  row = first_row + p * kPanel;
    vf factor[kPanelVectors];
    for (int i = 0; i < kPanelVectors; ++i) factor[i] = 1.0f / running[p].total[i];
    store_panel(w.outputs + p * kPanel * d, count, d, factor, args.o + row * query_ld + head * d, query_ld);
    for (int64_t i = 0; i < count; ++i) {
      const vf& total = running[p].total[i / kWidth];
      const vf& largest = running[p].largest[i / kWidth];
      args.lse[(row + i) * args.heads + head] =
          (float)((double)largest[i % kWidth] + __builtin_log((double)total[i % kWidth]));
    }
  }
}

// ---- a single query -------------------------------------------------------------------------------------------------

// Registers of a value row that are added at a time, for each of up to kGroup query heads.
constexpr int kGroup = 4, kValueVectors = LN_WIDTH == 16 ? 4 : 2;

// Keys whose rows are addressed at a time: more pointers than that would not stay in registers.
constexpr int kRowsAtATime = LN_WIDTH < 8 ? LN_WIDTH : 8;

/// dots[i] = the lanes of q . k[i], not yet added up, for kRowsAtATime keys, of which those from `rows` on repeat the
/// last one.
LN_INLINE void lane_dots(const float* q, const float* k, int64_t ld, int64_t rows, int64_t d, vf* dots) {
  const float* row[kRowsAtATime];
#pragma GCC unroll 8
  for (int i = 0; i < kRowsAtATime; ++i) {
    row[i] = k + (i < rows ? i : rows - 1) * ld;
    dots[i] = (vf){};
  }
  int64_t c = 0;
  for (; c + kWidth <= d; c += kWidth) {
    const vf x = load(q + c);
#pragma GCC unroll 8
    for (int i = 0; i < kRowsAtATime; ++i) dots[i] = fma(x, load(row[i] + c), dots[i]);
  }
  if (c < d) {
    const vf x = load_part(q + c, d - c);
    for (int i = 0; i < kRowsAtATime; ++i) dots[i] = fma(x, load_part(row[i] + c, d - c), dots[i]);
  }
}

/// scores[h * kAttentionTile + j] = scale * q[h] . k[j] for H query heads, -infinity from `rows` to the end of the
/// tile.
template <int H>
LN_INLINE void single_scores(const float* q, const float* k, int64_t ld, int64_t rows, int64_t d, float scale,
                             float* scores) {
  for (int64_t j = 0; j < kAttentionTile; j += kWidth) {
    for (int h = 0; h < H; ++h) {
      vf result = broadcast(-__builtin_inff());
      if (j < rows) {
        vf dots[LN_WIDTH];
#pragma GCC unroll 2
        for (int i = 0; i < LN_WIDTH; i += kRowsAtATime) {
          const int64_t at = j + i < rows ? j + i : rows - 1;
          lane_dots(q + h * d, k + at * ld, ld, rows - at, d, dots + i);
        }
        transpose(dots);
#pragma GCC unroll 16
        for (int half = LN_WIDTH / 2; half > 0; half /= 2) {
#pragma GCC unroll 16
          for (int i = 0; i < half; ++i) dots[i] += dots[i + half];
        }
        result = select(lane_numbers() < (int32_t)(rows - j), dots[0] * scale, result);
      }
      store(scores + h * kAttentionTile + j, result);
    }
  }
}

/// o[h] = factor[h] * o[h] + sum_j p[h][j] v[j] for H query heads, the columns [c, c + V * kWidth) of width d.
template <int H, int V>
LN_INLINE void single_values(const float* p, const float* v, int64_t ld, int64_t rows, int64_t c, int64_t d,
                             const float* factor, float* o) {
  vf total[H][V];
  for (int h = 0; h < H; ++h) {
    for (int i = 0; i < V; ++i) total[h][i] = load_some(o + h * d + c + i * kWidth, d - c - i * kWidth) * factor[h];
  }
  for (int64_t j = 0; j < rows; ++j, v += ld) {
    vf y[V];
    for (int i = 0; i < V; ++i) y[i] = load_some(v + c + i * kWidth, d - c - i * kWidth);
    for (int h = 0; h < H; ++h) {
      const vf x = broadcast(p[h * kAttentionTile + j]);
      for (int i = 0; i < V; ++i) total[h][i] = fma(x, y[i], total[h][i]);
    }
  }
  for (int h = 0; h < H; ++h) {
    for (int i = 0; i < V; ++i) store_some(o + h * d + c + i * kWidth, total[h][i], d - c - i * kWidth);
  }
}

template <int H>
void single_heads(const ln_attention_args& args, const AttentionSequence& s, int64_t head, float* scores) {
  const int64_t d = args.head_dim, ld = args.key_heads * d, key_head = head / (args.heads / args.key_heads);
  const float* q = args.q + (s.first_query * args.heads + head) * d;
  float* o = args.o + (s.first_query * args.heads + head) * d;
  memset(o, 0, (size_t)(H * d) * sizeof(float));
  float largest[H], total[H], factor[H];
  for (int h = 0; h < H; ++h) {
    largest[h] = kLowest;
    total[h] = 0;
  }
  const AttentionSpan seen = attention_keys(s, 0, 1);
  for (int64_t j = seen.first; j < seen.last; j += kAttentionTile) {
    const int64_t rows = seen.last - j < kAttentionTile ? seen.last - j : kAttentionTile;
    const float* k = args.k + (s.first_key + j) * ld + key_head * d;
    const float* v = args.v + (s.first_key + j) * ld + key_head * d;
    single_scores<H>(q, k, ld, rows, d, args.scale, scores);
    for (int h = 0; h < H; ++h) {
      float* mine = scores + h * kAttentionTile;
      vf highest = broadcast(largest[h]);
      for (int64_t i = 0; i < kAttentionTile; i += kWidth) highest = max(load(mine + i), highest);
      const float next = max_lane(highest);
      vf sums = {};
      for (int64_t i = 0; i < kAttentionTile; i += kWidth) {
        const vf e = exp_of_negative(load(mine + i) - next);
        store(mine + i, e);
        sums += e;
      }
      factor[h] = exp_of_negative(broadcast(largest[h] - next))[0];
      total[h] = total[h] * factor[h] + sum(sums);
      largest[h] = next;
    }
    int64_t c = 0;
    for (; c + kValueVectors * kWidth <= d; c += kValueVectors * kWidth)
      single_values<H, kValueVectors>(scores, v, ld, rows, c, d, factor, o);
    for (; c < d; c += kWidth) single_values<H, 1>(scores, v, ld, rows, c, d, factor, o);
  }
  for (int h = 0; h < H; ++h) {
    for (int64_t c = 0; c < d; ++c) o[h * d + c] /= total[h];
    args.lse[s.first_query * args.heads + head + h] = (float)((double)largest[h] + __builtin_log((double)total[h]));
  }
}

void forward_single(const ln_attention_args& args, int64_t sequence, int64_t key_head, float* scratch) {
  const AttentionSequence s = attention_sequence(args, sequence);
  const int64_t group = args.heads / args.key_heads, end = (key_head + 1) * group;
  int64_t head = key_head * group;
  for (; head + kGroup <= end; head += kGroup) single_heads<kGroup>(args, s, head, scratch);
  for (; head + 2 <= end; head += 2) single_heads<2>(args, s, head, scratch);
  if (head < end) single_heads<1>(args, s, head, scratch);
}

}  // namespace

const AttentionKernels& attention_kernels() {
  static const AttentionKernels kernels = {scratch_floats, forward, forward_single};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
