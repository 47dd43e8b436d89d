#include "products.hpp"

#include <atomic>
#include <new>
#include <stdexcept>
#include <thread>

#include "product_tasks.hpp"
#include "scratch.hpp"

namespace ln::cpu {

namespace {

constexpr int64_t kMaxBlocks = 128;
constexpr int64_t kTransposedLines = 32;
// Floats that are packed in a piece; panels where more of them are cheaper.
constexpr int64_t kPackGrain = 1 << 15;
constexpr int64_t kWidePanels = 9;

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
      : pool_(pool(context)),
        kernels_(matmul_kernels(tier(context))),
        tasks_(kernels_, pool_.threads()),
        panels_(static_cast<char*>(scratch)) {
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
    for (; !cursor.done() && count_ < kMaxBlocks; cursor.advance()) {
      const Block& next = cursor.block();
      // A block that continues another one's sums has to wait for it.
      if (count_ > 0 && next.first_k > 0) break;
      const bool follows = count_ > 0 && same_packing(blocks_[count_ - 1], next);
      if (!follows && used_ + cursor.size() > capacity_) break;
      Block* const block = new (blocks_ + count_) Block(next);
      block->follows = follows;
      block->packed = follows ? block[-1].packed : used_;
      if (!follows) used_ += cursor.size();
      ++count_;
    }
    if (count_ == 0) throw std::logic_error("the scratch size was computed too small");
  }

  void run() {
    tasks_.cut(blocks_, count_);
    for (int64_t b = 0; b < count_; ++b) prepare_packing(blocks_[b]);
    pool_.run_apart(
        tasks_.count(), [&](int worker) { return tasks_.first(worker); },
        [&](int64_t task, int worker) { compute(task, worker); });
  }

 private:
  void prepare_packing(Block& block) {
    for (int64_t i = 0; i < block.row_tasks && !block.follows; ++i) new (packings_ + block.first_packing + i) Packing();
    const bool wide = block.product.side_count > 0 || block.product.terms[0].a.transposed != 0;
    const int64_t panel = kernels_.panel_stride * std::max<int64_t>(1, block.last_k - block.first_k);
    block.piece = std::max<int64_t>(wide ? kWidePanels : 1, kPackGrain / panel);
  }

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
    const Product& product = block.product;
    const Side *const sides = product.sides, *const end = sides + product.side_count;
    if (block.direct) {
      for (const Side* side = sides; side < end; ++side) {
        kernels_.direct(side_product(product, *side), 0, side->n);
        scale_side(*side, 0, product.m);
      }
      return;
    }
    for_pieces(product, block.first_k, block.last_k, [&](const Term& term, int64_t k, int64_t count, int64_t offset) {
      pack_steps(block, first, last, term, k, count, offset);
      for (const Side* side = sides; side < end; ++side) {
        if (product.terms + side->term == &term) add_side(block, first, last, *side, k, count, offset, worker);
      }
    });
  }

  /// A transposed a lies along its rows, across panels: a few lines of it serve all panels before the next ones are
  /// read.
  void pack_steps(const Block& block, int64_t first, int64_t last, const Term& term, int64_t k, int64_t count,
                  int64_t offset) {
    const int64_t step = term.a.transposed ? kTransposedLines : count;
    for (int64_t p = 0; p < count; p += step) {
      for (int64_t panel = first; panel < last; ++panel) {
        const int64_t row = block.row(block.first_panel + panel), rows = block.row(block.first_panel + panel + 1) - row;
        kernels_.pack_a(term.a, block.product.m, row, rows, k + p, std::min(step, count - p), term.scale,
                        panel_of(block, panel, block.first_k + offset + p));
      }
    }
  }

  /// Steps [k, k + count) of a side's term are packed, for the rows of these panels; once all are, later terms may need
  /// the result. Its sums are cut where the product's are.
  void add_side(const Block& block, int64_t first, int64_t last, const Side& side, int64_t k, int64_t count,
                int64_t offset, int worker) {
    float* const panels = panels_of(worker);
    const int64_t width = columns_at_a_time(), start = block.first_k + offset;
    for (int64_t column = 0; column < side.n; column += width) {
      const int64_t end = std::min(column + width, side.n);
      for (int64_t p = 0, steps; p < count; p += steps) {
        steps = std::min(count - p, kBlock - (start + p) % kBlock);
        kernels_.pack_b(side.b, k + p, steps, column, end - column, panels, kernels_.tile_columns * kBlock);
        multiply_panels(block, first, last, {start + p, steps, start + p, 0}, panels, column, end, nullptr,
                        k + p == 0 ? 0.0f : 1.0f, side.c, side.ldc, {});
      }
    }
    if (k + count == block.product.terms[side.term].k)
      scale_side(side, block.row(block.first_panel + first), block.row(block.first_panel + last));
  }

  float* panel_of(const Block& block, int64_t panel, int64_t k) {
    return packed_ + block.packed +
           (panel * (block.last_k - block.first_k) + k - block.first_k) * kernels_.panel_stride;
  }

  void compute(int64_t task, int worker) {
    const ProductTasks::Place place = tasks_.place(task);
    const Block& block = place.block;
    pack(block, place.row_task, worker);
    const int64_t first = place.first_column, last = place.last_column;
    if (block.product.transposed_c) return add_transposed(block.product, first, last, panels_of(worker));
    if (block.direct) {
      if (first < last) kernels_.direct(block.product, first, last);
      return;
    }
    const int64_t width = columns_at_a_time();
    for (int64_t column = first; column < last; column += width) {
      const int64_t end = std::min(column + width, last);
      multiply(block, place.row_task * block.panels / block.row_tasks,
               (place.row_task + 1) * block.panels / block.row_tasks, column, end, panels_of(worker),
               end < last ? coming(block, end, last, block.first_k) : first_of(task + 1));
    }
  }

  int64_t columns_at_a_time() const { return kTaskColumns / kernels_.tile_columns * kernels_.tile_columns; }

  /// What is packed of b for the first of these columns, of the term that has step k.
  ComingLines coming(const Block& block, int64_t first, int64_t last, int64_t k) const {
    ComingLines lines{};
    for_pieces(block.product, k, std::min(k + 1, block.last_k), [&](const Term& term, int64_t at, int64_t, int64_t) {
      if (term.b.data == nullptr) return;
      lines = lines_of(term.b, at, std::min({kBlock, block.last_k - k, term.k - at}), first,
                       std::min(columns_at_a_time(), last - first));
    });
    return lines;
  }

  /// Of the task that this thread most likely takes next.
  ComingLines first_of(int64_t task) const {
    if (task >= tasks_.count()) return {};
    const ProductTasks::Place place = tasks_.place(task);
    if (place.block.direct) return {};
    return coming(place.block, place.first_column, place.last_column, place.block.first_k);
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
    bool starts = block.first_k == 0;
    StepRun run = run_from(block, block.first_k);
    do {
      int64_t at = 0;
      const auto pack_run = [&](int64_t from, int64_t to) {
        for_pieces(product, from, to, [&](const Term& term, int64_t k, int64_t steps, int64_t) {
          kernels_.pack_b(term.b, k, steps, first, last - first, panels + at * step, step * kBlock);
          at += steps;
        });
      };
      pack_run(run.k, run.k + run.count);
      pack_run(run.k_more, run.k_more + run.more);
      const StepRun following = run_from(block, run.end());
      multiply_panels(block, first_panel, last_panel, run, panels, first, last,
                      product.bias != nullptr && starts ? bias : nullptr, starts ? product.beta : 1.0f, product.c,
                      product.ldc, following.count > 0 ? coming(block, first, last, following.k) : next);
      starts = false;
      run = following;
    } while (run.count > 0);
  }

  /// Columns [first, last) of c, whose panels of b start at first, over these steps of these panels of a.
  void multiply_panels(const Block& block, int64_t first_panel, int64_t last_panel, const StepRun& run,
                       const float* panels, int64_t first, int64_t last, const float* bias, float beta, float* c,
                       int64_t ldc, ComingLines next) {
    const int64_t step = kernels_.tile_columns;
    const int64_t lines = ceiling(next.left, (last_panel - first_panel) * ceiling(last - first, step));
    for (int64_t panel = first_panel; panel < last_panel; ++panel) {
      const int64_t row = block.row(block.first_panel + panel), rows = block.row(block.first_panel + panel + 1) - row;
      const float* const a = panel_of(block, panel, run.k);
      const float* const a_more = panel_of(block, panel, run.k_more);
      for (int64_t j = first; j < last; j += step) {
        kernels_.tile(run.count, a, run.more, a_more, panels + (j - first) * kBlock,
                      bias == nullptr ? nullptr : bias + (j - first), beta, c + row * ldc + j, ldc, rows,
                      std::min(step, last - j), &next, lines);
      }
    }
  }

  float* panels_of(int worker) { return reinterpret_cast<float*>(panels_) + worker * worker_floats_; }

  ThreadPool& pool_;
  const MatmulKernels& kernels_;
  ProductTasks tasks_;
  Block* blocks_;
  Packing* packings_;
  char* panels_;
  int64_t worker_floats_;
  float* packed_;
  int64_t capacity_;
  int64_t count_ = 0;
  int64_t used_ = 0;
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
  const auto is_apart = [&](const Product& product) {
    return product.side_count > 0 && !takes_sides(kernels, product);
  };
  bool any_apart = false;
  for (int64_t i = 0; i < products.count() && !any_apart; ++i) any_apart = is_apart(products[i]);
  if (any_apart) {
    run(ProductList(products.count() * kMostSides, [&](int64_t i) {
      const Product product = products[i / kMostSides];
      const int64_t side = i % kMostSides;
      return side < product.side_count && is_apart(product) ? side_product(product, product.sides[side]) : Product{};
    }));
    for (int64_t i = 0; i < products.count(); ++i) {
      const Product product = products[i];
      for (int32_t side = 0; side < product.side_count && is_apart(product); ++side)
        scale_side(product.sides[side], 0, product.m);
    }
  }
  run(products);
}

bool shares_packing(const ln_context& context, int64_t rows, int64_t steps) {
  const MatmulKernels& kernels = matmul_kernels(tier(context));
  return kernels.tile != nullptr && rows > kernels.direct_rows &&
         steps <= packed_steps(kernels, panels_at_a_time(kernels, rows));
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
