// Attention by its definition in float64, and cases that both passes are tested with.
#pragma once

#include "harness.hpp"

namespace ln::test {

struct AttentionShape {
  std::vector<int64_t> queries, keys;  // per sequence
  int64_t heads, key_heads, head_dim, window;

  std::string text() const {
    std::string s = "sequences";
    for (size_t i = 0; i < queries.size(); ++i) s += " " + std::to_string(queries[i]) + "/" + std::to_string(keys[i]);
    return s + ", heads " + std::to_string(heads) + "/" + std::to_string(key_heads) + ", head_dim " +
           std::to_string(head_dim) + ", window " + std::to_string(window);
  }
};

/// Float64 inputs and the results of both passes for them.
class AttentionOracle {
 public:
  std::vector<double> q, k, v, dout;
  std::vector<double> o, lse, dq, dk, dv;

  AttentionOracle(const AttentionShape& shape, double scale) : shape_(shape), scale_(scale) {}

  void forward() {
    o.assign(q.size(), 0);
    lse.clear();
    for_each_query([&](int64_t row, const std::vector<int64_t>& keys, const std::vector<double>& p, double log_total) {
      for (size_t j = 0; j < keys.size(); ++j) add(o, row, p[j], v, keys[j]);
      lse.push_back(log_total);
    });
  }

  void backward() {
    dq.assign(q.size(), 0);
    dk.assign(k.size(), 0);
    dv.assign(v.size(), 0);
    for_each_query([&](int64_t row, const std::vector<int64_t>& keys, const std::vector<double>& p, double) {
      double mean = 0;
      for (size_t j = 0; j < keys.size(); ++j) mean += p[j] * dot(dout, row, v, keys[j]);
      for (size_t j = 0; j < keys.size(); ++j) {
        const double ds = scale_ * p[j] * (dot(dout, row, v, keys[j]) - mean);
        add(dq, row, ds, k, keys[j]);
        add(dk, keys[j], ds, q, row);
        add(dv, keys[j], p[j], dout, row);
      }
    });
  }

  /// sum(dout * o), whose gradients backward() gives
  double loss() {
    forward();
    double total = 0;
    for (size_t i = 0; i < o.size(); ++i) total += dout[i] * o[i];
    return total;
  }

 private:
  double dot(const std::vector<double>& a, int64_t a_row, const std::vector<double>& b, int64_t b_row) const {
    double total = 0;
    for (int64_t c = 0; c < shape_.head_dim; ++c)
      total += a[a_row * shape_.head_dim + c] * b[b_row * shape_.head_dim + c];
    return total;
  }

  void add(std::vector<double>& to, int64_t to_row, double factor, const std::vector<double>& from,
           int64_t from_row) const {
    for (int64_t c = 0; c < shape_.head_dim; ++c)
      to[to_row * shape_.head_dim + c] += factor * from[from_row * shape_.head_dim + c];
  }

  /// body(row of q, rows of k that it sees, their probabilities, logarithm of the sum of e^score), in the order of q's
  /// rows
  template <typename Body>
  void for_each_query(const Body& body) const {
    int64_t first_query = 0, first_key = 0;
    for (size_t s = 0; s < shape_.queries.size(); ++s) {
      const int64_t shift = shape_.keys[s] - shape_.queries[s];
      for (int64_t i = 0; i < shape_.queries[s]; ++i) {
        for (int64_t h = 0; h < shape_.heads; ++h) {
          const int64_t row = (first_query + i) * shape_.heads + h, key_head = h / (shape_.heads / shape_.key_heads);
          std::vector<int64_t> keys;
          std::vector<double> p;
          double largest = -INFINITY, total = 0;
          for (int64_t j = 0; j < shape_.keys[s]; ++j) {
            if (j > i + shift || (shape_.window > 0 && j <= i + shift - shape_.window)) continue;
            keys.push_back((first_key + j) * shape_.key_heads + key_head);
            p.push_back(scale_ * dot(q, row, k, keys.back()));
            largest = std::max(largest, p.back());
          }
          for (double& score : p) total += score = std::exp(score - largest);
          for (double& score : p) score /= total;
          body(row, keys, p, largest + std::log(total));
        }
      }
      first_query += shape_.queries[s];
      first_key += shape_.keys[s];
    }
  }

  AttentionShape shape_;
  double scale_;
};

/// Guarded arrays for one case.
struct AttentionCase {
  AttentionShape shape;
  float scale;
  int64_t query_tokens, key_tokens;
  Random random;
  Guarded<float> q, k, v, dout, o, lse, delta, dq, dk, dv;
  Guarded<int32_t> query_offsets, key_offsets;

  explicit AttentionCase(const AttentionShape& s, float spread = 2, uint64_t seed = 1)
      : shape(s),
        scale(1.7f / std::sqrt(static_cast<float>(s.head_dim))),
        query_tokens(total(s.queries)),
        key_tokens(total(s.keys)),
        random(seed),
        q(query_size(), random),
        k(key_size(), random),
        v(key_size(), random),
        dout(query_size(), random),
        o(query_size()),
        lse(query_tokens * s.heads),
        delta(query_tokens * s.heads),
        dq(query_size()),
        dk(key_size()),
        dv(key_size()),
        query_offsets(static_cast<int64_t>(s.queries.size()) + 1),
        key_offsets(static_cast<int64_t>(s.keys.size()) + 1) {
    for (int64_t i = 0; i < q.size(); ++i) q[i] *= spread;
    for (size_t i = 0; i < s.queries.size(); ++i) {
      query_offsets[static_cast<int64_t>(i) + 1] =
          query_offsets[static_cast<int64_t>(i)] + static_cast<int32_t>(s.queries[i]);
      key_offsets[static_cast<int64_t>(i) + 1] = key_offsets[static_cast<int64_t>(i)] + static_cast<int32_t>(s.keys[i]);
    }
    for (Guarded<float>* written : {&o, &lse, &delta, &dq, &dk, &dv}) {
      for (int64_t i = 0; i < written->size(); ++i) (*written)[i] = NAN;
    }
  }

  ln_attention_args args() {
    return {q,
            k,
            v,
            o,
            lse,
            dout,
            dq,
            dk,
            dv,
            delta,
            query_offsets,
            key_offsets,
            static_cast<int64_t>(shape.queries.size()),
            query_tokens,
            key_tokens,
            shape.heads,
            shape.key_heads,
            shape.head_dim,
            shape.window,
            scale,
            0};
  }

  AttentionOracle oracle() const {
    AttentionOracle oracle(shape, scale);
    oracle.q.assign(q.data(), q.data() + q.size());
    oracle.k.assign(k.data(), k.data() + k.size());
    oracle.v.assign(v.data(), v.data() + v.size());
    oracle.dout.assign(dout.data(), dout.data() + dout.size());
    return oracle;
  }

  /// Both passes on a context of this tier and so many threads.
  void run(int32_t simd, int threads) {
    Context context(simd, threads);
    const ln_attention_args all = args();
    context.reserve(LN_OP_ATTENTION_FWD, all);
    ASSERT_EQ(LN_OK, ln_attention_fwd(context, &all)) << context.error();
    context.reserve(LN_OP_ATTENTION_BWD, all);
    ASSERT_EQ(LN_OK, ln_attention_bwd(context, &all)) << context.error();
  }

 private:
  static int64_t total(const std::vector<int64_t>& lengths) {
    int64_t sum = 0;
    for (int64_t length : lengths) sum += length;
    return sum;
  }
  int64_t query_size() const { return query_tokens * shape.heads * shape.head_dim; }
  int64_t key_size() const { return key_tokens * shape.key_heads * shape.head_dim; }
};

inline const std::vector<AttentionShape>& attention_shapes() {
  static const std::vector<int64_t> packed = {1, 2, 17, 64, 65, 130};
  static const std::vector<AttentionShape> shapes = {
      {{1}, {1}, 1, 1, 1, 0},
      {{2}, {2}, 1, 1, 3, 0},
      {{0, 3, 0}, {0, 3, 0}, 2, 1, 5, 0},
      {packed, packed, 2, 2, 16, 0},
      {packed, packed, 4, 2, 20, 0},
      {packed, packed, 8, 1, 33, 0},
      {packed, packed, 2, 1, 48, 1},
      {packed, packed, 2, 2, 8, 2},
      {packed, packed, 2, 1, 80, 7},
      {packed, packed, 2, 2, 7, 33},
      {packed, packed, 2, 2, 9, 64},
      {packed, packed, 2, 1, 12, 1000},
      {{70}, {70}, 3, 1, 96, 0},
      {{66}, {66}, 2, 2, 64, 0},
      {{65}, {65}, 2, 1, 128, 0},
      {{40}, {40}, 1, 1, 256, 0},
      // more keys than queries: generation with a cache, and chunks of a prompt
      {{1, 1, 1}, {1, 65, 200}, 8, 2, 40, 0},
      {{1, 1}, {130, 64}, 7, 1, 33, 0},
      {{1, 1}, {130, 64}, 4, 4, 128, 20},
      {{1}, {70}, 2, 1, 100, 1},
      {{2, 5, 64}, {9, 70, 190}, 4, 2, 24, 0},
      {{2, 5, 64}, {9, 70, 190}, 4, 2, 24, 7},
      {{0, 33}, {5, 200}, 2, 1, 17, 50},
  };
  return shapes;
}

}  // namespace ln::test
