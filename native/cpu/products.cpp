#include "products.hpp"

#include <algorithm>
#include <new>
#include <stdexcept>

namespace ln::cpu {

namespace {

// Every element is summed over blocks of kBlock steps of k, in rising order. Nothing else of the blocking below has a
// say in results: it only decides who computes which elements, and when.
constexpr int64_t kBlock = 384;

// Rows of a product whose panels are packed together: each packing of b serves so many rows.
constexpr int64_t kChunkRows = 512;
// Packed floats of a at a time (5 MiB).
constexpr int64_t kPackedFloats = 5 << 18;
// Columns of b that a task packs at a time: kBlock * kTaskColumns floats stay in the second-level cache.
constexpr int64_t kTaskColumns = 128;
// Rows that are worth a packing of b of their own.
constexpr int64_t kTaskRows = 128;
constexpr int64_t kMaxBlocks = 128;
constexpr int64_t kTransposedLines = 32;
constexpr int64_t kPackGrain = 1 << 15;  // floats
constexpr int64_t kTaskGrain = 1 << 17;  // multiply-adds that are worth a task
constexpr int64_t kAlignment = 64;

int64_t ceiling(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t aligned(int64_t bytes) { return ceiling(bytes, kAlignment) * kAlignment; }

/// Rows first_panel .. first_panel + panels - 1 (in panels) of a product, its terms' k-axis from first_k to last_k.
struct Block {
  Product product;
  int64_t k;  // of all terms
  int64_t all_panels, first_panel, panels;
  int64_t first_k, last_k;
  int64_t packed;  // offset in floats
  int64_t first_task, row_tasks, column_tasks;
  double work;
  bool direct;

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
    block_.k = 0;
    for (int32_t t = 0; t < product.term_count; ++t) block_.k += product.terms[t].k;
    block_.direct = product.m <= kernels_.direct_rows && kernels_.takes_direct(product);
    if (block_.direct) {
      block_.first_panel = block_.panels = block_.all_panels = 0;
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
    const int64_t most = kPackedFloats / (block_.panels * kernels_.panel_stride) / kBlock * kBlock;
    block_.first_k = first;
    block_.last_k = std::min(block_.k, first + most);
  }

  const MatmulKernels& kernels_;
  const ProductList& products_;
  int64_t index_ = 0;
  Block block_{};
};

/// As many blocks as fit the scratch: first all their panels of a are packed, then their tiles are computed.
class Wave {
 public:
  Wave(const ln_context& context, void* scratch, int64_t scratch_bytes)
      : pool_(pool(context)), kernels_(matmul_kernels(tier(context))), panels_(static_cast<char*>(scratch)) {
    blocks_ = static_cast<Block*>(scratch);
    panels_ += aligned(kMaxBlocks * static_cast<int64_t>(sizeof(Block)));
    worker_floats_ = kBlock * kTaskColumns;
    char* const packed = panels_ + pool_.threads() * worker_floats_ * static_cast<int64_t>(sizeof(float));
    packed_ = reinterpret_cast<float*>(packed);
    // The reference packs nothing and gets no room for it.
    capacity_ = std::max<int64_t>(
        0, (scratch_bytes - (packed - static_cast<char*>(scratch))) / static_cast<int64_t>(sizeof(float)));
  }

  void fill(Cursor& cursor) {
    count_ = 0;
    used_ = 0;
    while (!cursor.done() && count_ < kMaxBlocks && used_ + cursor.size() <= capacity_) {
      // A block that continues another one's sums has to wait for it.
      if (count_ > 0 && cursor.block().first_k > 0) break;
      Block* const block = new (blocks_ + count_) Block(cursor.block());
      block->packed = used_;
      used_ += cursor.size();
      ++count_;
      cursor.advance();
    }
    if (count_ == 0) throw std::logic_error("the scratch size was computed too small");
  }

  void run() {
    pack();
    share();
    pool_.run_apart(
        tasks_, [&](int worker) { return first_task(worker); },
        [&](int64_t task, int worker) { compute(task, worker); });
  }

 private:
  void pack() {
    int64_t panels = 0;
    for (int64_t b = 0; b < count_; ++b) panels += blocks_[b].panels;
    if (panels == 0) return;
    pool_.ranges(panels, std::max<int64_t>(1, kPackGrain * panels / std::max<int64_t>(used_, 1)),
                 [&](int64_t first, int64_t last, int) {
                   for (int64_t b = 0, start = 0; b < count_ && start < last; start += blocks_[b].panels, ++b) {
                     const int64_t from = std::max(first - start, int64_t{0}),
                                   to = std::min(last - start, blocks_[b].panels);
                     if (from < to) pack(blocks_[b], from, to);
                   }
                 });
  }

  /// A transposed a lies along its rows, across panels: a few lines of it serve all panels before the next ones are
  /// read.
  void pack(const Block& block, int64_t first, int64_t last) {
    for_pieces(block.product, block.first_k, block.last_k,
               [&](const Term& term, int64_t k, int64_t count, int64_t offset) {
                 const int64_t step = term.a.transposed ? kTransposedLines : count;
                 for (int64_t p = 0; p < count; p += step) {
                   for (int64_t panel = first; panel < last; ++panel) {
                     const int64_t row = block.row(block.first_panel + panel),
                                   rows = block.row(block.first_panel + panel + 1) - row;
                     kernels_.pack_a(term.a, block.product.m, row, rows, k + p, std::min(step, count - p), term.scale,
                                     panel_of(block, panel, block.first_k + offset + p));
                   }
                 }
               });
  }

  float* panel_of(const Block& block, int64_t panel, int64_t k) {
    return packed_ + block.packed +
           (panel * (block.last_k - block.first_k) + k - block.first_k) * kernels_.panel_stride;
  }

  /// Cuts the blocks into tasks. Every thread starts with rows of its own, which it has packed itself: what another
  /// thread has written is far away. Columns next, as every task packs its own b; rows again where that leaves threads
  /// idle.
  void share() {
    int64_t rows = 0;
    for (int64_t b = 0; b < count_; ++b) rows += blocks_[b].direct ? 0 : blocks_[b].rows();
    int64_t columns = kTaskColumns, rows_at_least = std::max(kTaskRows, ceiling(rows, pool_.threads()));
    count_tasks(columns, rows_at_least);
    while (tasks_ < wanted_tasks() && columns >= 2 * kernels_.tile_columns) count_tasks(columns /= 2, rows_at_least);
    while (tasks_ < wanted_tasks() && rows_at_least > 4 * kernels_.tile_rows) count_tasks(columns, rows_at_least /= 2);
  }

  int64_t wanted_tasks() const { return pool_.threads() == 1 ? 1 : 3 * pool_.threads(); }

  void count_tasks(int64_t columns, int64_t rows_at_least) {
    tasks_ = 0;
    work_ = 0;
    for (int64_t b = 0; b < count_; ++b) {
      Block& block = blocks_[b];
      const int64_t n = block.product.n, rows = block.rows();
      block.work =
          static_cast<double>(rows) * static_cast<double>(n) * static_cast<double>(block.last_k - block.first_k);
      const int64_t most = std::max<int64_t>(1, static_cast<int64_t>(block.work / kTaskGrain));
      if (block.direct) {  // wide tasks: b is read in long runs
        block.column_tasks = std::min({ceiling(n, kernels_.tile_columns), most, wanted_tasks()});
        block.row_tasks = 1;
      } else {
        block.column_tasks = std::min(ceiling(n, columns / kernels_.tile_columns * kernels_.tile_columns), most);
        block.row_tasks =
            std::max<int64_t>(1, std::min({(rows + rows_at_least / 2) / rows_at_least, most / block.column_tasks, block.panels}));
      }
      block.first_task = tasks_;
      tasks_ += block.column_tasks * block.row_tasks;
      work_ += block.work;
    }
  }

  /// Where a thread starts so that all have as much work before them.
  int64_t first_task(int worker) const {
    double left = work_ * worker / pool_.threads();
    for (int64_t b = 0; b < count_; ++b) {
      const Block& block = blocks_[b];
      if (left < block.work) {
        const double tasks = static_cast<double>(block.column_tasks * block.row_tasks);
        return block.first_task + static_cast<int64_t>(left / block.work * tasks + 0.5);
      }
      left -= block.work;
    }
    return tasks_;
  }

  void compute(int64_t task, int worker) {
    const Block& block =
        *(std::upper_bound(blocks_, blocks_ + count_, task,
                           [](int64_t value, const Block& candidate) { return value < candidate.first_task; }) -
          1);
    const int64_t row_task = (task - block.first_task) / block.column_tasks,
                  column_task = (task - block.first_task) % block.column_tasks;
    const int64_t n = block.product.n, tiles = ceiling(n, kernels_.tile_columns);
    const int64_t first = column_task * tiles / block.column_tasks * kernels_.tile_columns;
    const int64_t last = std::min(n, (column_task + 1) * tiles / block.column_tasks * kernels_.tile_columns);
    if (block.direct) {
      if (first < last) kernels_.direct(block.product, first, last);
      return;
    }
    const int64_t width = kTaskColumns / kernels_.tile_columns * kernels_.tile_columns;
    for (int64_t column = first; column < last; column += width) {
      multiply(block, row_task * block.panels / block.row_tasks, (row_task + 1) * block.panels / block.row_tasks,
               column, std::min(column + width, last), reinterpret_cast<float*>(panels_) + worker * worker_floats_);
    }
  }

  void multiply(const Block& block, int64_t first_panel, int64_t last_panel, int64_t first, int64_t last,
                float* panels) {
    const Product& product = block.product;
    const int64_t step = kernels_.tile_columns;
    float bias[kTaskColumns];
    if (product.bias != nullptr && block.first_k == 0) {
      const Matrix row = {product.bias, 0, product.bias_dtype, 0};
      kernels_.pack_b(row, 0, 1, first, last - first, bias, step);
    }
    int64_t k = block.first_k;
    do {
      const int64_t count = std::min(kBlock, block.last_k - k);
      for_pieces(product, k, k + count, [&](const Term& term, int64_t at, int64_t steps, int64_t offset) {
        kernels_.pack_b(term.b, at, steps, first, last - first, panels + offset * step, step * kBlock);
      });
      for (int64_t panel = first_panel; panel < last_panel; ++panel) {
        const int64_t row = block.row(block.first_panel + panel), rows = block.row(block.first_panel + panel + 1) - row;
        const float* const a = panel_of(block, panel, k);
        for (int64_t j = first; j < last; j += step) {
          kernels_.tile(count, a, panels + (j - first) * kBlock,
                        product.bias != nullptr && k == 0 ? bias + (j - first) : nullptr, k == 0 ? product.beta : 1.0f,
                        product.c + row * product.ldc + j, product.ldc, rows, std::min(step, last - j));
        }
      }
      k += count;
    } while (k < block.last_k);
  }

  ThreadPool& pool_;
  const MatmulKernels& kernels_;
  Block* blocks_;
  char* panels_;
  int64_t worker_floats_;
  float* packed_;
  int64_t capacity_;
  int64_t count_ = 0;
  int64_t used_ = 0;
  int64_t tasks_ = 0;
  double work_ = 0;  // multiply-adds
};

}  // namespace

void run_products(const ln_context& context, void* scratch, int64_t scratch_bytes, const ProductList& products) {
  Wave wave(context, scratch, scratch_bytes);
  Cursor cursor(matmul_kernels(tier(context)), products);
  while (!cursor.done()) {
    wave.fill(cursor);
    wave.run();
  }
}

double packed_floats(const ln_context& context, int64_t rows, int64_t pieces, int64_t k) {
  const MatmulKernels& kernels = matmul_kernels(tier(context));
  const double panels = static_cast<double>(rows / kernels.tile_rows) + static_cast<double>(std::min(rows, pieces));
  return std::min(panels * static_cast<double>(kernels.panel_stride) * static_cast<double>(k),
                  static_cast<double>(kPackedFloats));
}

int64_t product_scratch_bytes(const ln_context& context, double floats) {
  const int64_t blocks = aligned(kMaxBlocks * static_cast<int64_t>(sizeof(Block)));
  if (matmul_kernels(tier(context)).tile == nullptr) return blocks;
  const int64_t packed = static_cast<int64_t>(std::min(std::max(floats, 0.0), static_cast<double>(kPackedFloats)));
  return blocks + (pool(context).threads() * kBlock * kTaskColumns + packed) * static_cast<int64_t>(sizeof(float));
}

}  // namespace ln::cpu
