// Streaming softmax with the queries of a tile in the lanes: every key tile rescales what the tiles before it have
// added. Where the mask cuts a tile, each register of queries takes only the keys that one of them sees.
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
  float* keys;     // [kAttentionTile, row_floats(head_dim)]
  float* values;   // [kAttentionTile, row_floats(head_dim)]
  float* scores;   // [kAttentionTile, kPanel]

  Workspace(float* scratch, int64_t head_dim) {
    queries = scratch;
    outputs = queries + kAttentionTile * head_dim;
    keys = outputs + kAttentionTile * head_dim;
    values = keys + kAttentionTile * row_floats(head_dim);
    scores = values + kAttentionTile * row_floats(head_dim);
  }
};

int64_t scratch_floats(int64_t head_dim) { return kAttentionTile * (2 * head_dim + 2 * row_floats(head_dim) + kPanel); }

/// Largest score and sum of e^(score - largest) of the queries of a panel.
struct Running {
  vf largest[kPanelVectors], total[kPanelVectors];
};

/// Hides the keys that a query does not see. Row r is key `key + r`, lane i the query at `position + i`.
LN_INLINE void mask_scores(float* scores, int64_t rows, int64_t key, int64_t position, int64_t window) {
  for (int64_t r = 0; r < rows; ++r) {
    const vi age = lane_numbers() + (int32_t)(position - key - r);
    float* s = scores + r * kPanel;
    store(s, select((age >= 0) & (age < (int32_t)window), load(s), broadcast(-__builtin_inff())));
  }
}

/// Turns the scores of the register of queries from `lane` on into e^(score - largest) and returns the factor for what
/// was added before.
LN_INLINE vf soften(float* scores, int64_t rows, int64_t lane, const ComingRows& next, Running& running) {
  vf &largest = running.largest[lane % kPanel / kWidth], &sum_before = running.total[lane % kPanel / kWidth];
  scores += lane % kPanel;
  vf highest[2] = {largest, largest};
  int64_t r = 0;
  for (; r + 2 <= rows; r += 2) {
    highest[0] = max(load(scores + r * kPanel), highest[0]);
    highest[1] = max(load(scores + (r + 1) * kPanel), highest[1]);
  }
  if (r < rows) highest[0] = max(load(scores + r * kPanel), highest[0]);
  const vf now = max(highest[0], highest[1]);
  vf total = {};
  for (r = 0; r < rows; ++r) {
    next.fetch(r, lane, kAttentionTile);
    const vf e = exp_of_negative(load(scores + r * kPanel) - now);
    store(scores + r * kPanel, e);
    total += e;
  }
  const vf factor = exp_of_negative(largest - now);
  sum_before = fma(sum_before, factor, total);
  largest = now;
  return factor;
}

/// A tile of keys, and the panel of queries of a tile from `lane` on.
struct Block {
  const AttentionSequence& sequence;
  int64_t key, keys, first_query, queries, lane;  // queries: of the panel
  ComingRows next;
};

/// Adds the tile of keys to a panel of queries that all see all of them.
void add_whole(const Workspace& w, const Block& block, int64_t d, Running& running) {
  const int64_t ld = row_floats(d);
  product<Left::kRows, Sum::kSet>(w.keys, ld, block.keys, d, w.queries + block.lane * d, w.scores);
  vf factor[kPanelVectors];
  for (int v = 0; v < kPanelVectors; ++v)
    factor[v] = soften(w.scores, block.keys, block.lane + v * kWidth, block.next, running);
  product<Left::kColumns, Sum::kScaleAndAdd>(w.values, ld, d, block.keys, w.scores, w.outputs + block.lane * d, factor);
}

/// The same where the mask cuts the block.
void add_masked(const Workspace& w, const Block& block, int64_t d, Running& running) {
  const AttentionSequence& s = block.sequence;
  const int64_t ld = row_floats(d);
  for (int64_t lane = 0; lane < block.queries; lane += kMaskLanes) {
    const int64_t query = block.first_query + lane;
    const int64_t end = query + (block.queries - lane < kMaskLanes ? block.queries - lane : kMaskLanes);
    const AttentionSpan seen = attention_keys(s, query, end);
    const int64_t from = seen.first > block.key ? seen.first - block.key : 0, first_key = block.key + from;
    const int64_t rows = (seen.last - block.key < block.keys ? seen.last - block.key : block.keys) - from;
    if (rows <= 0) continue;
    const int64_t panel = block.lane * d + lane;
    lane_product<Left::kRows, Sum::kSet>(w.keys + from * ld, ld, rows, d, w.queries + panel, w.scores + lane);
    vf factor[kMaskVectors];
    for (int v = 0; v < kMaskVectors; ++v) {
      const int64_t first = lane + v * kWidth;
      if (first_key + rows - 1 > query + s.shift || first_key <= end - 1 + s.shift - s.window)
        mask_scores(w.scores + first, rows, first_key, block.first_query + first + s.shift, s.window);
      factor[v] = soften(w.scores, rows, block.lane + first, block.next, running);
    }
    lane_product<Left::kColumns, Sum::kScaleAndAdd>(w.values + from * ld, ld, d, rows, w.scores + lane,
                                                    w.outputs + panel, factor);
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
    copy_rows(k + j * key_ld, key_ld, count, d, 1, w.keys, row_floats(d));
    copy_rows(v + j * key_ld, key_ld, count, d, 1, w.values, row_floats(d));
    const int64_t after = j + kAttentionTile;
    const ComingRows next = {{k + after * key_ld, v + after * key_ld, nullptr}, key_ld, seen.last - after, d};
    for (int64_t p = 0; p * kPanel < tile.count; ++p) {
      const int64_t first = tile.first + p * kPanel, last = first + kPanel < end ? first + kPanel : end;
      const Block block = {s, j, count, first, last - first, p * kPanel, next};
      if (j + count - 1 <= first + s.shift && j > last - 1 + s.shift - s.window) {
        add_whole(w, block, d, running[p]);
      } else {
        add_masked(w, block, d, running[p]);
      }
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
