// How blocks are shared out to threads.
#pragma once

#include "product_blocks.hpp"

namespace ln::cpu {

// Columns of b that a task packs at a time: kBlock * kTaskColumns floats stay in the second-level cache.
constexpr int64_t kTaskColumns = 128;
// Rows that are worth a packing of b of their own.
constexpr int64_t kTaskRows = 128;
constexpr int64_t kMaxRowTasks = 256;
constexpr int64_t kTaskGrain = 1 << 17;  // multiply-adds that are worth a task

/// Blocks that are computed together, cut into tasks: row tasks times column tasks each. Blocks that share a packing
/// are cut as one block, with the columns of all.
class ProductTasks {
 public:
  ProductTasks(const MatmulKernels& kernels, int threads) : kernels_(kernels), threads_(threads) {}

  struct Place {
    const Block& block;
    int64_t row_task;
    int64_t first_column, last_column;
  };

  int64_t count() const { return tasks_; }

  /// Every thread starts with rows of its own, which it has packed itself: what another thread has written is far away.
  /// Columns next, as every task packs its own b; rows again where that leaves threads idle.
  void cut(Block* blocks, int64_t count) {
    blocks_ = blocks;
    count_ = count;
    int64_t rows = 0;
    for (int64_t b = 0; b < count_; ++b) rows += blocks_[b].direct || blocks_[b].follows ? 0 : blocks_[b].rows();
    int64_t columns = kTaskColumns, rows_at_least = std::max(kTaskRows, ceiling(rows, threads_));
    count_tasks(columns, rows_at_least);
    while (tasks_ < wanted_tasks() && columns >= 2 * kernels_.tile_columns) count_tasks(columns /= 2, rows_at_least);
    while (tasks_ < wanted_tasks() && rows_at_least > 4 * kernels_.tile_rows) count_tasks(columns, rows_at_least /= 2);
    if (threads_ > 1) narrow_ends();
    number();
  }

  /// The task at which a thread starts so that all have as much work before them.
  int64_t first(int worker) const {
    if (worker == 0) return 0;  // also where the first blocks are no work, but zeros to be written
    double left = work_ * worker / threads_;
    for (int64_t b = 0, end; b < count_; b = end) {
      end = end_of_group(b);
      double work = 0;
      for (int64_t i = b; i < end; ++i) work += blocks_[i].work;
      if (left < work) return first_at(b, end, left / work);
      left -= work;
    }
    return tasks_;
  }

  Place place(int64_t task) const {
    const Block* block =
        std::upper_bound(blocks_, blocks_ + count_, task,
                         [](int64_t value, const Block& candidate) { return value < candidate.first_task; }) -
        1;
    const int64_t number = task - block->first_task, column_task = number % block->group_column_tasks;
    while (column_task < block->first_column_task) --block;
    const int64_t own = column_task - block->first_column_task;
    return {*block, number / block->group_column_tasks, first_column(*block, own),
            std::min(block->product.n, first_column(*block, own + 1))};
  }

 private:
  /// Small enough that a thread which is late, or was interrupted, leaves the others little to wait for.
  int64_t wanted_tasks() const { return threads_ == 1 ? 1 : 8 * threads_; }

  /// Behind the blocks that share a packing with this one, which is the first of them.
  int64_t end_of_group(int64_t first) const {
    int64_t end = first + 1;
    while (end < count_ && blocks_[end].follows) ++end;
    return end;
  }

  /// The task of a group that has so much of its work before it: where rows begin, or the next best columns of them.
  int64_t first_at(int64_t group, int64_t end, double share) const {
    const double rows = share * static_cast<double>(blocks_[group].row_tasks);
    const auto row_task = static_cast<int64_t>(rows);
    int64_t columns = 0;
    for (int64_t b = group; b < end; ++b) columns += blocks_[b].product.n;
    double left = (rows - static_cast<double>(row_task)) * static_cast<double>(columns);
    int64_t task = blocks_[group].first_task + row_task * blocks_[group].group_column_tasks;
    for (int64_t b = group; b < end; ++b) {
      const auto n = static_cast<double>(blocks_[b].product.n);
      for (int64_t t = 0; t < blocks_[b].column_tasks; ++t, ++task) {
        const int64_t both =
            first_column(blocks_[b], t) + std::min(blocks_[b].product.n, first_column(blocks_[b], t + 1));
        if (2 * left < static_cast<double>(both)) return task;
      }
      left -= n;
    }
    return task;
  }

  void count_tasks(int64_t columns, int64_t rows_at_least) {
    tasks_ = 0;
    work_ = 0;
    int64_t packings = 0;
    for (int64_t b = 0; b < count_; ++b) {
      Block& block = blocks_[b];
      const int64_t n = block.product.n, rows = block.rows();
      block.narrow_tasks = 0;
      block.parts = 1;
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

  /// Makes what the threads do last small: who is done first waits for half a task of the others. A block whose columns
  /// several threads start in is cut into as many parts, alike, so that each of them ends with small tasks.
  void narrow_ends() {
    double work = 0;
    int64_t ends = 0;
    for (int64_t b = 0, end; b < count_; b = end) {
      end = end_of_group(b);
      int64_t columns = 0;
      for (int64_t i = b; i < end; ++i) {
        work += blocks_[i].work;
        columns += blocks_[i].column_tasks;
      }
      const auto now = static_cast<int64_t>(work / work_ * static_cast<double>(threads_) + 1e-6);
      Block& last = blocks_[end - 1];
      const int64_t tiles = ceiling(last.product.n, kernels_.tile_columns);
      if (now > ends && !last.direct && columns > 1 && last.column_tasks < tiles) {
        const int64_t starts = end - b == 1 ? (now - ends) / last.row_tasks : 1;
        last.parts = std::max<int64_t>(1, std::min(starts, last.column_tasks));
        const int64_t width = ceiling(tiles, last.column_tasks), of_part = ceiling(tiles, last.parts);
        last.narrow_tasks = std::min(std::max<int64_t>(2, of_part / 4), tiles / last.parts);
        last.column_tasks = last.parts * (ceiling(of_part - last.narrow_tasks, width) + last.narrow_tasks);
      }
      ends = now;
    }
  }

  void number() {
    tasks_ = 0;
    for (int64_t b = 0, end; b < count_; b = end) {
      end = end_of_group(b);
      int64_t columns = 0;
      for (int64_t i = b; i < end; ++i) {
        blocks_[i].first_task = tasks_;
        blocks_[i].first_column_task = columns;
        columns += blocks_[i].column_tasks;
      }
      for (int64_t i = b; i < end; ++i) blocks_[i].group_column_tasks = columns;
      tasks_ += columns * blocks_[b].row_tasks;
    }
  }

  int64_t first_column(const Block& block, int64_t column_task) const {
    const int64_t tiles = ceiling(block.product.n, kernels_.tile_columns), of_part = block.column_tasks / block.parts;
    const int64_t part = column_task / of_part, task = column_task % of_part, first = part * tiles / block.parts;
    const int64_t wide = of_part - block.narrow_tasks;
    const int64_t wide_tiles = (part + 1) * tiles / block.parts - first - block.narrow_tasks;
    const int64_t tile = task < wide ? task * wide_tiles / wide : wide_tiles + task - wide;
    return (first + tile) * kernels_.tile_columns;
  }

  const MatmulKernels& kernels_;
  int threads_;
  Block* blocks_ = nullptr;
  int64_t count_ = 0;
  int64_t tasks_ = 0;
  double work_ = 0;  // multiply-adds
};

}  // namespace ln::cpu
