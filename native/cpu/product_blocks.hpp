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

/// The product of a side before it is scaled: c = a . b with the first term's a.
inline Product side_product(const Product& product) {
  Product side{};
  if (product.side.n == 0) return side;
  side.terms[0] = {product.terms[0].a, product.side.b, product.terms[0].k, 1};
  side.term_count = 1;
  side.m = product.m;
  side.n = product.side.n;
  side.c = product.side.c;
  side.ldc = product.side.ldc;
  return side;
}

/// Rows [first, last) of a side that is computed. What comes out does not depend on how it was computed.
inline void scale_side(const Side& side, int64_t first, int64_t last) {
  if (side.scale == 1) return;
  for (int64_t row = first; row < last; ++row) {
    for (int64_t j = 0; j < side.n; ++j) side.c[row * side.ldc + j] *= side.scale;
  }
}

/// Whether the side is computed while a is packed: where all of k is packed at a time.
inline bool takes_side(const MatmulKernels& kernels, const Product& product) {
  if (product.n == 0) return false;
  if (is_direct(kernels, product)) return is_direct(kernels, side_product(product));
  const int64_t panels = std::min(ceiling(product.m, kernels.tile_rows), ceiling(kChunkRows, kernels.tile_rows));
  return steps_of(product) <= packed_steps(kernels, panels);
}

/// Rows first_panel .. first_panel + panels - 1 (in panels) of a product, its terms' k-axis from first_k to last_k. A
/// direct one has no panels, or counts as one where there is a side to compute.
struct Block {
  Product product;
  int64_t k;  // of all terms
  int64_t all_panels, first_panel, panels;
  int64_t first_k, last_k;
  int64_t packed;  // offset in floats
  int64_t first_task, row_tasks, column_tasks;
  int64_t narrow_tasks;          // of the column tasks: the last ones, a tile wide
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

/// Whether both blocks take the same a, packed in the same way, and nothing is computed from it meanwhile.
inline bool same_packing(const Block& x, const Block& y) {
  if (x.direct || y.direct || x.product.side.n > 0 || y.product.side.n > 0) return false;
  if (x.product.m != y.product.m || x.first_panel != y.first_panel || x.panels != y.panels) return false;
  if (x.first_k != y.first_k || x.last_k != y.last_k || x.product.term_count != y.product.term_count) return false;
  for (int32_t t = 0; t < x.product.term_count; ++t) {
    const Term &a = x.product.terms[t], &b = y.product.terms[t];
    if (a.a.data != b.a.data || a.a.ld != b.a.ld || a.a.dtype != b.a.dtype || a.a.transposed != b.a.transposed ||
        a.k != b.k || a.scale != b.scale)
      return false;
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
    if (product.side.n > 0 && !takes_side(kernels_, product)) block_.product.side.n = 0;
    if (block_.direct) {
      block_.first_panel = block_.all_panels = 0;
      block_.panels = product.side.n > 0 ? 1 : 0;
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
