// The blocks in which products are packed and computed.
#pragma once

#include <algorithm>

#include "products.hpp"

namespace ln::cpu {

// Every element is summed over blocks of kBlock steps of k, in rising order. Nothing else of the blocking has a say in
// results: it only decides who computes which elements, and when.
constexpr int64_t kBlock = 384;

// Rows of a product whose panels are packed together: each packing of b serves so many rows.
constexpr int64_t kChunkRows = 512;
// Packed floats of a at a time (5 MiB).
constexpr int64_t kPackedFloats = 5 << 18;

inline int64_t ceiling(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Panels of so many rows that are packed together.
inline int64_t panels_at_a_time(const MatmulKernels& kernels, int64_t rows) {
  return ceiling(std::min(rows, kChunkRows), kernels.tile_rows);
}

/// Most steps of k of so many panels that are packed at a time.
inline int64_t packed_steps(const MatmulKernels& kernels, int64_t panels) {
  return kPackedFloats / (panels * kernels.panel_stride) / kBlock * kBlock;
}

inline int64_t steps_of(const Product& product) {
  int64_t k = 0;
  for (int32_t t = 0; t < product.term_count; ++t) k += product.terms[t].k;
  return k;
}

inline bool is_direct(const MatmulKernels& kernels, const Product& product) {
  return product.transposed_c || (product.m <= kernels.direct_rows && kernels.takes_direct(product));
}

/// The product of a side before it is scaled: c = a . b with its term's a.
inline Product side_product(const Product& product, const Side& side) {
  Product result{};
  const Term& term = product.terms[side.term];
  result.terms[0] = {term.a, side.b, term.k, 1};
  result.term_count = 1;
  result.m = product.m;
  result.n = side.n;
  result.c = side.c;
  result.ldc = side.ldc;
  return result;
}

/// Rows [first, last) of a side that is computed. What comes out does not depend on how it was computed.
inline void scale_side(const Side& side, int64_t first, int64_t last) {
  if (side.scale == 1) return;
  for (int64_t row = first; row < last; ++row) {
    for (int64_t j = 0; j < side.n; ++j) side.c[row * side.ldc + j] *= side.scale;
  }
}

/// Whether the sides are computed while their a is packed or, in products of few rows, before the product's tasks.
inline bool takes_sides(const MatmulKernels& kernels, const Product& product) {
  if (product.n == 0) return false;
  if (!is_direct(kernels, product)) return true;
  for (int32_t i = 0; i < product.side_count; ++i) {
    if (!is_direct(kernels, side_product(product, product.sides[i]))) return false;
  }
  return true;
}

/// Rows first_panel .. first_panel + panels - 1 (in panels) of a product, its terms' k-axis from first_k to last_k. A
/// direct one has no panels, or counts as one where there is a side to compute.
struct Block {
  Product product;
  int64_t k;  // of all terms
  int64_t all_panels, first_panel, panels;
  int64_t first_k, last_k;
  int64_t packed;  // offset in floats
  int64_t row_tasks, column_tasks;
  int64_t parts;         // of the column tasks, alike
  int64_t narrow_tasks;  // of a part: the last ones, a tile wide
  // Of the blocks that share a packing: their first task, all their column tasks, where this block's begin.
  int64_t first_task, group_column_tasks, first_column_task;
  int64_t first_packing, piece;  // of its row tasks; panels that are packed together
  double work;
  bool direct;
  bool follows;  // takes the packed a of the block before it

  // Rows are spread evenly over the panels: 16 rows are 8 + 8, not 14 + 2.
  int64_t row(int64_t panel) const { return panel * product.m / all_panels; }
  int64_t rows() const { return direct ? product.m : row(first_panel + panels) - row(first_panel); }
};

/// Calls body(term, k, count, offset) for the pieces of the terms' k-axis in [first, last); offset counts from first.
template <typename Body>
void for_pieces(const Product& product, int64_t first, int64_t last, const Body& body) {
  int64_t start = 0;
  for (int32_t t = 0; t < product.term_count; ++t) {
    const int64_t from = std::max(first, start), to = std::min(last, start + product.terms[t].k);
    if (from < to) body(product.terms[t], from - start, to - from, from - first);
    start += product.terms[t].k;
  }
}

/// Up to kBlock of the steps that a block multiplies: `count` packed ones from step k on, then `more` from step k_more
/// on, behind some that are packed for other products.
struct StepRun {
  int64_t k, count, k_more, more;
  int64_t end() const { return more > 0 ? k_more + more : k + count; }
};

/// The run from step k on; its count is 0 behind the last one.
inline StepRun run_from(const Block& block, int64_t k) {
  StepRun run = {k, 0, k, 0};
  int64_t start = 0;
  for (int32_t t = 0; t < block.product.term_count; ++t) {
    const Term& term = block.product.terms[t];
    const int64_t from = std::max(k, start), to = std::min(block.last_k, start + term.k);
    start += term.k;
    const int64_t steps = std::min(to - from, kBlock - run.count - run.more);
    if (term.b.data == nullptr || steps <= 0) continue;
    if (run.count == 0) {
      run.k = from;
      run.count = steps;
    } else if (run.more == 0 && from == run.k + run.count) {
      run.count += steps;
    } else if (run.more == 0) {
      run.k_more = from;
      run.more = steps;
    } else if (from == run.k_more + run.more) {
      run.more += steps;
    } else {
      break;
    }
  }
  return run;
}

inline bool same_matrix(const Matrix& x, const Matrix& y) {
  return x.data == y.data && x.ld == y.ld && x.dtype == y.dtype && x.transposed == y.transposed;
}

inline bool same_side(const Side& x, const Side& y) {
  return same_matrix(x.b, y.b) && x.c == y.c && x.ldc == y.ldc && x.n == y.n && x.scale == y.scale && x.term == y.term;
}

/// Whether both blocks take the same a, packed in the same way, and the same is computed from it meanwhile.
inline bool same_packing(const Block& x, const Block& y) {
  if (x.direct || y.direct || x.product.side_count != y.product.side_count) return false;
  for (int32_t i = 0; i < x.product.side_count; ++i) {
    if (!same_side(x.product.sides[i], y.product.sides[i])) return false;
  }
  if (x.product.m != y.product.m || x.first_panel != y.first_panel || x.panels != y.panels) return false;
  if (x.first_k != y.first_k || x.last_k != y.last_k || x.product.term_count != y.product.term_count) return false;
  for (int32_t t = 0; t < x.product.term_count; ++t) {
    const Term &a = x.product.terms[t], &b = y.product.terms[t];
    if (!same_matrix(a.a, b.a) || a.k != b.k || a.scale != b.scale) return false;
  }
  return true;
}

/// The lines of steps [k, k + count) and columns [column, column + columns) of b, as far as its elements or codes go.
inline ComingLines lines_of(const Matrix& b, int64_t k, int64_t count, int64_t column, int64_t columns) {
  const bool quantized = is_quantized(b.dtype);
  const auto bytes = [&](int64_t elements) { return quantized ? elements / 2 : elements * dtype_bytes(b.dtype); };
  const void* const data = quantized ? static_cast<const ln_quantized*>(b.data)->codes : b.data;
  const int64_t start = b.transposed ? column * b.ld + k : k * b.ld + column;
  const int64_t run = ceiling(bytes(b.transposed ? count : columns), ComingLines::kLine);
  return {static_cast<const char*>(data) + bytes(start), run * (b.transposed ? columns : count), run, run,
          bytes(b.ld) - run * ComingLines::kLine};
}

/// Walks over the blocks of a list of products in order.
class Cursor {
 public:
  Cursor(const MatmulKernels& kernels, const ProductList& products) : kernels_(kernels), products_(products) { open(); }

  bool done() const { return index_ >= products_.count(); }
  const Block& block() const { return block_; }
  /// Floats of packed a.
  int64_t size() const {
    return block_.direct ? 0 : block_.panels * kernels_.panel_stride * (block_.last_k - block_.first_k);
  }

  void advance() {
    if (!block_.direct && block_.last_k < block_.k) {
      set_k(block_.last_k);
    } else if (!block_.direct && block_.first_panel + block_.panels < block_.all_panels) {
      set_panels(block_.first_panel + block_.panels);
    } else {
      ++index_;
      open();
    }
  }

 private:
  void open() {
    for (; index_ < products_.count(); ++index_) {
      block_.product = products_[index_];
      if (block_.product.m > 0 && block_.product.n > 0) break;
    }
    if (done()) return;
    const Product& product = block_.product;
    block_.k = steps_of(product);
    block_.direct = is_direct(kernels_, product);
    if (product.side_count > 0 && !takes_sides(kernels_, product)) block_.product.side_count = 0;
    if (block_.direct) {
      block_.first_panel = block_.all_panels = 0;
      block_.panels = product.side_count > 0 ? 1 : 0;
      block_.first_k = 0;
      block_.last_k = block_.k;
      return;
    }
    block_.all_panels = ceiling(product.m, kernels_.tile_rows);
    set_panels(0);
  }
  void set_panels(int64_t first) {
    block_.first_panel = first;
    block_.panels = std::min(block_.all_panels - first, ceiling(kChunkRows, kernels_.tile_rows));
    set_k(0);
  }
  void set_k(int64_t first) {
    block_.first_k = first;
    block_.last_k = std::min(block_.k, first + packed_steps(kernels_, block_.panels));
  }

  const MatmulKernels& kernels_;
  const ProductList& products_;
  int64_t index_ = 0;
  Block block_{};
};

}  // namespace ln::cpu
