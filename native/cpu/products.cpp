#include "products.hpp"

#include <atomic>
#include <new>
#include <stdexcept>
#include <thread>

#include "product_blocks.hpp"
#include "scratch.hpp"

namespace ln::cpu {

namespace {

// Columns of b that a task packs at a time: kBlock * kTaskColumns floats stay in the second-level cache.
constexpr int64_t kTaskColumns = 128;
// Rows that are worth a packing of b of their own.
constexpr int64_t kTaskRows = 128;
constexpr int64_t kMaxBlocks = 128;
constexpr int64_t kTransposedLines = 32;
// Floats that are packed in a piece; panels where more of them are cheaper.
constexpr int64_t kPackGrain = 1 << 15;
constexpr int64_t kWidePanels = 9;
constexpr int64_t kMaxRowTasks = 256;
constexpr int64_t kTaskGrain = 1 << 17;  // multiply-adds that are worth a task

/// How much of the rows that some tasks share is packed; a line of the cache each.
struct alignas(kScratchAlignment) Packing {
  std::atomic<int32_t> next{0};  // piece to be taken
  std::atomic<int32_t> done{0};
};

/// As many blocks as fit the scratch. Whoever comes first to rows packs them, in pieces, and who needs them meanwhile
/// helps: no thread waits for the packing of rows that it does not need.
class Wave {
 public:
  Wave(const ln_context& context, void* scratch, int64_t scratch_bytes)
      : pool_(pool(context)), kernels_(matmul_kernels(tier(context))), panels_(static_cast<char*>(scratch)) {
    blocks_ = static_cast<Block*>(scratch);
    panels_ += aligned(kMaxBlocks * static_cast<int64_t>(sizeof(Block)));
    packings_ = reinterpret_cast<Packing*>(panels_);
    panels_ += kMaxRowTasks * static_cast<int64_t>(sizeof(Packing));
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
      block->follows = count_ > 0 && same_packing(block[-1], *block);
      block->packed = block->follows ? block[-1].packed : used_;
      if (!block->follows) used_ += cursor.size();
      ++count_;
      cursor.advance();
    }
    if (count_ == 0) throw std::logic_error("the scratch size was computed too small");
  }

  void run() {
    share();
    pool_.run_apart(
        tasks_, [&](int worker) { return first_task(worker); },
        [&](int64_t task, int worker) { compute(task, worker); });
  }

 private:
  /// Packs the rows of a task, or waits until others have.
  void pack(const Block& block, int64_t row_task, int worker) {
    const int64_t first = row_task * block.panels / block.row_tasks,
                  last = (row_task + 1) * block.panels / block.row_tasks;
    const int64_t pieces = ceiling(last - first, block.piece);
    Packing& packing = packings_[block.first_packing + row_task];
    while (packing.done.load(std::memory_order_acquire) < pieces) {
      const int64_t piece = packing.next.load(std::memory_order_relaxed) < pieces ? packing.next.fetch_add(1) : pieces;
      if (piece >= pieces) {
        std::this_thread::yield();
        continue;
      }
      const int64_t from = first + piece * block.piece;
      pack(block, from, std::min(from + block.piece, last), worker);
      packing.done.fetch_add(1, std::memory_order_release);
    }
  }

  void pack(const Block& block, int64_t first, int64_t last, int worker) {
    if (block.direct) {
      kernels_.direct(side_product(block.product), 0, block.product.side.n);
      return scale_side(block.product.side, 0, block.product.m);
    }
    const int64_t middle = block.product.side.n > 0 ? block.product.terms[0].k : block.first_k;
    pack_steps(block, first, last, block.first_k, middle);
    if (block.product.side.n > 0) compute_side(block, first, last, panels_of(worker));
    pack_steps(block, first, last, middle, block.last_k);
  }

  /// A transposed a lies along its rows, across panels: a few lines of it serve all panels before the next ones are
  /// read.
  void pack_steps(const Block& block, int64_t first, int64_t last, int64_t first_k, int64_t last_k) {
    for_pieces(block.product, first_k, last_k, [&](const Term& term, int64_t k, int64_t count, int64_t offset) {
      const int64_t step = term.a.transposed ? kTransposedLines : count;
      for (int64_t p = 0; p < count; p += step) {
        for (int64_t panel = first; panel < last; ++panel) {
          const int64_t row = block.row(block.first_panel + panel),
                        rows = block.row(block.first_panel + panel + 1) - row;
          kernels_.pack_a(term.a, block.product.m, row, rows, k + p, std::min(step, count - p), term.scale,
                          panel_of(block, panel, first_k + offset + p));
        }
      }
    });
  }

  /// The rows of these panels: their steps of the first term are packed, and the second term may need the result.
  void compute_side(const Block& block, int64_t first, int64_t last, float* panels) {
    const Side& side = block.product.side;
    const int64_t width = columns_at_a_time();
    for (int64_t column = 0; column < side.n; column += width) {
      const int64_t end = std::min(column + width, side.n);
      for (int64_t k = 0; k == 0 || k < block.product.terms[0].k; k += kBlock) {
        const int64_t count = std::min(kBlock, block.product.terms[0].k - k);
        kernels_.pack_b(side.b, k, count, column, end - column, panels, kernels_.tile_columns * kBlock);
        multiply_panels(block, first, last, k, count, panels, column, end, nullptr, k == 0 ? 0.0f : 1.0f, side.c,
                        side.ldc, {});
      }
    }
    scale_side(side, block.row(block.first_panel + first), block.row(block.first_panel + last));
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
    if (pool_.threads() > 1) narrow_ends();
    tasks_ = 0;
    for (int64_t b = 0; b < count_; ++b) {
      Block& block = blocks_[b];
      block.first_task = tasks_;
      tasks_ += block.column_tasks * block.row_tasks;
      for (int64_t i = 0; i < block.row_tasks; ++i) new (packings_ + block.first_packing + i) Packing();
      const bool wide = block.product.side.n > 0 || block.product.terms[0].a.transposed != 0;
      const int64_t panel = kernels_.panel_stride * std::max<int64_t>(1, block.last_k - block.first_k);
      block.piece = std::max<int64_t>(wide ? kWidePanels : 1, kPackGrain / panel);
    }
  }

  /// Small enough that a thread which is late, or was interrupted, leaves the others little to wait for.
  int64_t wanted_tasks() const { return pool_.threads() == 1 ? 1 : 8 * pool_.threads(); }

  void count_tasks(int64_t columns, int64_t rows_at_least) {
    tasks_ = 0;
    work_ = 0;
    int64_t packings = 0;
    for (int64_t b = 0; b < count_; ++b) {
      Block& block = blocks_[b];
      const int64_t n = block.product.n, rows = block.rows();
      block.narrow_tasks = 0;
      block.work =
          static_cast<double>(rows) * static_cast<double>(n) * static_cast<double>(block.last_k - block.first_k);
      const int64_t most = std::max<int64_t>(1, static_cast<int64_t>(block.work / kTaskGrain));
      if (block.direct) {  // wide tasks: b is read in long runs
        block.column_tasks = std::min({ceiling(n, kernels_.tile_columns), most, wanted_tasks()});
        block.row_tasks = 1;
      } else {
        block.column_tasks = std::min(ceiling(n, columns / kernels_.tile_columns * kernels_.tile_columns), most);
        block.row_tasks = std::max<int64_t>(
            1, std::min({(rows + rows_at_least / 2) / rows_at_least, most / block.column_tasks, block.panels}));
      }
      block.row_tasks = std::min(block.row_tasks, std::max<int64_t>(1, kMaxRowTasks - packings - (count_ - b - 1)));
      if (block.follows) block.row_tasks = blocks_[b - 1].row_tasks;
      block.first_packing = block.follows ? blocks_[b - 1].first_packing : packings;
      if (!block.follows) packings += block.row_tasks;
      tasks_ += block.column_tasks * block.row_tasks;
      work_ += block.work;
    }
  }

  /// Makes what the threads do last small: who is done first waits for half a task of the others.
  void narrow_ends() {
    double work = 0;
    int64_t ends = 0;
    for (int64_t b = 0; b < count_; ++b) {
      Block& block = blocks_[b];
      work += block.work;
      const auto now = static_cast<int64_t>(work / work_ * static_cast<double>(pool_.threads()) + 1e-6);
      const int64_t tiles = ceiling(block.product.n, kernels_.tile_columns);
      if (now > ends && !block.direct && block.column_tasks > 1 && block.column_tasks < tiles) {
        const int64_t narrow = std::max<int64_t>(2, tiles / 4), width = ceiling(tiles, block.column_tasks);
        block.narrow_tasks = narrow;
        block.column_tasks = ceiling(tiles - narrow, width) + narrow;
      }
      ends = now;
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
    const Block& block = block_of(task);
    const int64_t row_task = (task - block.first_task) / block.column_tasks;
    pack(block, row_task, worker);
    const Columns columns = columns_of(block, task);
    if (block.product.transposed_c)
      return add_transposed(block.product, columns.first, columns.last, panels_of(worker));
    if (block.direct) {
      if (columns.first < columns.last) kernels_.direct(block.product, columns.first, columns.last);
      return;
    }
    const int64_t width = columns_at_a_time();
    for (int64_t column = columns.first; column < columns.last; column += width) {
      const bool more = column + width < columns.last;
      multiply(block, row_task * block.panels / block.row_tasks, (row_task + 1) * block.panels / block.row_tasks,
               column, std::min(column + width, columns.last), panels_of(worker),
               more ? coming(block, {column + width, columns.last}, block.first_k) : first_of(task + 1));
    }
  }

  struct Columns {
    int64_t first, last;
  };

  int64_t columns_at_a_time() const { return kTaskColumns / kernels_.tile_columns * kernels_.tile_columns; }

  const Block& block_of(int64_t task) const {
    return *(std::upper_bound(blocks_, blocks_ + count_, task,
                              [](int64_t value, const Block& candidate) { return value < candidate.first_task; }) -
             1);
  }

  Columns columns_of(const Block& block, int64_t task) const {
    const int64_t column_task = (task - block.first_task) % block.column_tasks;
    const int64_t wide = block.column_tasks - block.narrow_tasks;
    const int64_t tiles = ceiling(block.product.n, kernels_.tile_columns) - block.narrow_tasks;
    const auto column = [&](int64_t i) {
      return (i < wide ? i * tiles / wide : tiles + i - wide) * kernels_.tile_columns;
    };
    return {column(column_task), std::min(block.product.n, column(column_task + 1))};
  }

  /// What is packed of b for the first of these columns from step k on.
  ComingLines coming(const Block& block, const Columns& columns, int64_t k) const {
    const Term& term = block.product.terms[0];
    if (block.direct || k >= term.k) return {};
    return lines_of(term.b, k, std::min({kBlock, block.last_k - k, term.k - k}), columns.first,
                    std::min(columns_at_a_time(), columns.last - columns.first));
  }

  /// Of the task that this thread most likely takes next.
  ComingLines first_of(int64_t task) const {
    if (task >= tasks_) return {};
    const Block& block = block_of(task);
    return coming(block, columns_of(block, task), block.first_k);
  }

  void add_transposed(const Product& product, int64_t first, int64_t last, float* part) {
    const int64_t most =
        std::max(worker_floats_ / product.m / kernels_.tile_columns, int64_t{1}) * kernels_.tile_columns;
    for (int64_t column = first; column < last; column += most) {
      Product piece = product;
      piece.terms[0].b.data = static_cast<const float*>(product.terms[0].b.data) + column;
      piece.n = piece.ldc = std::min(most, last - column);
      piece.c = part;
      piece.beta = 0;
      kernels_.direct(piece, 0, piece.n);
      for (int64_t j = 0; j < piece.n; ++j) {
        for (int64_t i = 0; i < product.m; ++i) product.c[(column + j) * product.ldc + i] += part[i * piece.ldc + j];
      }
    }
  }

  /// Columns [first, last) of these panels of a; `next` is packed after them.
  void multiply(const Block& block, int64_t first_panel, int64_t last_panel, int64_t first, int64_t last, float* panels,
                const ComingLines& next) {
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
      multiply_panels(block, first_panel, last_panel, k, count, panels, first, last,
                      product.bias != nullptr && k == 0 ? bias : nullptr, k == 0 ? product.beta : 1.0f, product.c,
                      product.ldc, k + count < block.last_k ? coming(block, {first, last}, k + count) : next);
      k += count;
    } while (k < block.last_k);
  }

  /// Columns [first, last) of c, whose panels of b start at first; steps [k, k + count) of these panels of a.
  void multiply_panels(const Block& block, int64_t first_panel, int64_t last_panel, int64_t k, int64_t count,
                       const float* panels, int64_t first, int64_t last, const float* bias, float beta, float* c,
                       int64_t ldc, ComingLines next) {
    const int64_t step = kernels_.tile_columns;
    const int64_t lines = ceiling(next.left, (last_panel - first_panel) * ceiling(last - first, step));
    for (int64_t panel = first_panel; panel < last_panel; ++panel) {
      const int64_t row = block.row(block.first_panel + panel), rows = block.row(block.first_panel + panel + 1) - row;
      const float* const a = panel_of(block, panel, k);
      for (int64_t j = first; j < last; j += step) {
        kernels_.tile(count, a, panels + (j - first) * kBlock, bias == nullptr ? nullptr : bias + (j - first), beta,
                      c + row * ldc + j, ldc, rows, std::min(step, last - j), &next, lines);
      }
    }
  }

  float* panels_of(int worker) { return reinterpret_cast<float*>(panels_) + worker * worker_floats_; }

  ThreadPool& pool_;
  const MatmulKernels& kernels_;
  Block* blocks_;
  Packing* packings_;
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
  const MatmulKernels& kernels = matmul_kernels(tier(context));
  Wave wave(context, scratch, scratch_bytes);
  const auto run = [&](const ProductList& list) {
    Cursor cursor(kernels, list);
    while (!cursor.done()) {
      wave.fill(cursor);
      wave.run();
    }
  };
  bool any_apart = false;
  const auto is_apart = [&](const Product& product) { return product.side.n > 0 && !takes_side(kernels, product); };
  run(ProductList(products.count(), [&](int64_t i) {
    const Product product = products[i];
    if (!is_apart(product)) return Product{};
    any_apart = true;
    return side_product(product);
  }));
  for (int64_t i = 0; any_apart && i < products.count(); ++i) {
    const Product product = products[i];
    if (is_apart(product)) scale_side(product.side, 0, product.m);
  }
  run(products);
}

bool takes_transposed(const ln_context& context, int64_t rows) {
  const MatmulKernels& kernels = matmul_kernels(tier(context));
  return kernels.tile != nullptr && rows <= 2 * kernels.direct_rows;
}

double packed_floats(const ln_context& context, int64_t rows, int64_t pieces, int64_t k) {
  const MatmulKernels& kernels = matmul_kernels(tier(context));
  const double panels = static_cast<double>(rows / kernels.tile_rows) + static_cast<double>(std::min(rows, pieces));
  return std::min(panels * static_cast<double>(kernels.panel_stride) * static_cast<double>(k),
                  static_cast<double>(kPackedFloats));
}

int64_t product_scratch_bytes(const ln_context& context, double floats) {
  const int64_t blocks =
      aligned(kMaxBlocks * static_cast<int64_t>(sizeof(Block))) + kMaxRowTasks * static_cast<int64_t>(sizeof(Packing));
  if (matmul_kernels(tier(context)).tile == nullptr) return blocks;
  const int64_t packed = static_cast<int64_t>(std::min(std::max(floats, 0.0), static_cast<double>(kPackedFloats)));
  return blocks + (pool(context).threads() * kBlock * kTaskColumns + packed) * static_cast<int64_t>(sizeof(float));
}

}  // namespace ln::cpu
