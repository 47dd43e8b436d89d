// How products are cut into tasks and shared out to threads: every element once, and everybody about as much.
#include "product_tasks.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "linear_products.hpp"

namespace ln::cpu {
namespace {

struct List {
  std::string name;
  std::vector<Product> products;
};

// Of a thread's equal share of the work: what a task has at most, unless it is a tile wide or worth little.
constexpr double kMostOfAShare = 0.75;

// Nothing is read or written: rows have addresses, by which blocks know a common one.
float memory[1 << 12];

LinearLayer layer_of(int64_t rows, int64_t in, int64_t out, int64_t rank) {
  return {memory, memory, memory, rows, in, out, rank, rank, LN_F32, 1};
}

/// The outputs of experts with so many rows each, of one layer or of several that share the packed rows where there are
/// more than a few.
List layers(const std::string& name, const std::vector<int64_t>& rows, const std::vector<int64_t>& outs,
            int64_t direct_rows, int64_t in = 512) {
  List list = {name + ", out " + std::to_string(outs[0]), {}};
  const auto count = static_cast<int64_t>(outs.size());
  int64_t row = 0;
  for (int64_t m : rows) {
    std::vector<JointLayer> of_expert;
    for (int64_t out : outs) of_expert.push_back({layer_of(m, in, out, 8), memory + row});
    for (int64_t i = 0; i < count; ++i) {
      float *const x = memory + row, *const y = x + 1024 * i;
      list.products.push_back(count > 1 && m > direct_rows
                                  ? joint_output(of_expert.data(), count, i, x, nullptr, LN_F32, y)
                                  : output(of_expert[static_cast<size_t>(i)].layer, x, x, false, nullptr, LN_F32, y));
    }
    row += m;
  }
  return list;
}

/// What the experts' adapters get: few rows and transposed, or many and few columns.
List gradients(const std::vector<int64_t>& rows) {
  List list = {"gradients of adapters", {}};
  int64_t row = 0;
  for (int64_t count : rows) {
    if (count == 0) continue;
    float* const at = memory + row;
    const LinearLayer layer = layer_of(count, 512, 768, 8);
    list.products.push_back(gradient_of_b(layer, at, at, at, true));
    list.products.push_back(gradient_of_a(layer, at, at, at + 1024));
    row += count;
  }
  return list;
}

/// A layer without an adapter.
List alone(int64_t rows, int64_t out) {
  const LinearLayer layer = layer_of(rows, 512, out, 0);
  return {"one layer, rows " + std::to_string(rows), {output(layer, memory, nullptr, false, nullptr, LN_F32, memory)}};
}

/// What dlora_x is where the first experts have no adapter.
List zeros_first() {
  List list = {"zeros first", {}};
  for (int64_t row = 0; row < 480; row += 40)
    list.products.push_back(adapter_input_gradient(layer_of(40, 512, 768, row < 200 ? 0 : 8), memory, memory + row));
  return list;
}

/// 512 rows, of which one of 64 experts has 400.
std::vector<int64_t> uneven(size_t large) {
  std::vector<int64_t> rows;
  int64_t left = 112;
  for (int64_t i = 0; i < 63; ++i) {
    rows.push_back(std::min(left, i % 5));
    left -= rows.back();
  }
  rows.insert(rows.begin() + static_cast<int64_t>(large), 400);
  return rows;
}

std::vector<List> lists(const MatmulKernels& kernels) {
  std::vector<int64_t> few;
  for (int64_t i = 0; i < 64; ++i) few.push_back(1 + i * 5 % 8);
  const int64_t direct = kernels.direct_rows;
  return {layers("even", std::vector<int64_t>(8, 64), {768}, direct),
          layers("even and many", std::vector<int64_t>(64, 8), {1408}, direct),
          layers("large first", uneven(0), {768}, direct),
          layers("large in the middle", uneven(30), {1408}, direct),
          layers("large last", uneven(63), {768}, direct),
          layers("few rows", few, {768}, direct),
          layers("mixed", {3, 0, 140, 1, 0, 97, 8, 9, 33, 60, 20, 5}, {768}, direct),
          layers("gate and up", uneven(20), {768, 768}, direct),
          layers("query, key and value", {512}, {1024, 256, 256}, direct),
          layers("dense", {512}, {768}, direct),
          layers("dense, few rows", {64}, {1408}, direct),
          alone(64, 1024),
          alone(150, 1408),
          layers("dense, very few rows", {5}, {2048}, direct),
          layers("dense, in several waves", {1100}, {256}, direct, 2500),
          gradients(uneven(3)),
          zeros_first()};
}

/// How many rows a task computes, and the first one.
int64_t rows_of(const ProductTasks::Place& place, int64_t* first) {
  const Block& block = place.block;
  const auto row = [&](int64_t task) { return block.row(block.first_panel + task * block.panels / block.row_tasks); };
  *first = block.direct ? 0 : row(place.row_task);
  return block.direct ? block.product.m : row(place.row_task + 1) - *first;
}

double work_of(const ProductTasks::Place& place) {
  int64_t row;
  return static_cast<double>(rows_of(place, &row)) * static_cast<double>(place.last_column - place.first_column) *
         static_cast<double>(place.block.last_k - place.block.first_k);
}

/// Steps of k that tasks have added to every element of a product, in tiles of columns, and how often they started one.
struct Covered {
  Product product;
  std::vector<int64_t> steps, starts;
};

class Sharing {
 public:
  Sharing(const MatmulKernels& kernels, int threads, const List& list)
      : kernels_(kernels), threads_(threads), where_(list.name + ", threads " + std::to_string(threads)) {
    for (const Product& product : list.products) {
      if (product.m == 0) continue;
      const std::vector<int64_t> zeros(static_cast<size_t>(product.m * tiles(product)));
      covered_[product.c] = {product, zeros, zeros};
    }
    const auto get = [&](int64_t i) { return list.products[static_cast<size_t>(i)]; };
    const ProductList products(static_cast<int64_t>(list.products.size()), get);
    for (Cursor cursor(kernels, products); !cursor.done();) {
      std::vector<Block> blocks = wave(cursor);
      ProductTasks tasks(kernels, threads);
      tasks.cut(blocks.data(), static_cast<int64_t>(blocks.size()));
      share(tasks, blocks);
    }
  }

  void expect_covered() const {
    for (const auto& [c, covered] : covered_) {
      for (size_t i = 0; i < covered.steps.size(); ++i) {
        ASSERT_EQ(1, covered.starts[i]) << where_ << ": element " << i << " of product " << c - memory;
        ASSERT_EQ(steps_of(covered.product), covered.steps[i]) << where_ << ": element " << i;
      }
    }
  }

 private:
  int64_t tiles(const Product& product) const { return ceiling(product.n, kernels_.tile_columns); }

  /// Blocks as Wave::fill in products.cpp takes them.
  std::vector<Block> wave(Cursor& cursor) const {
    std::vector<Block> blocks;
    for (int64_t used = 0; !cursor.done() && blocks.size() < 128; cursor.advance()) {
      Block next = cursor.block();
      if (!blocks.empty() && next.first_k > 0) break;
      next.follows = !blocks.empty() && same_packing(blocks.back(), next);
      if (!next.follows && used + cursor.size() > kPackedFloats) break;
      if (!next.follows) used += cursor.size();
      blocks.push_back(next);
    }
    return blocks;
  }

  /// A thread begins at the border of a task's columns that is nearest to its part of the work, at most half a task
  /// off, among rows that are cut at the next lower panel, less than a panel off. So shares differ from an equal one by
  /// less than a task and a panel.
  void share(const ProductTasks& tasks, const std::vector<Block>& blocks) {
    double work = 0, largest = 0, wide = 0;
    std::vector<double> shares;
    for (int worker = 0; worker < threads_; ++worker) {
      const int64_t first = tasks.first(worker);
      const int64_t last = worker + 1 < threads_ ? tasks.first(worker + 1) : tasks.count();
      ASSERT_TRUE(first <= last && last <= tasks.count()) << where_ << ", worker " << worker;
      shares.push_back(0);
      for (int64_t task = first; task < last; ++task) {
        const ProductTasks::Place place = tasks.place(task);
        cover(place);
        shares.back() += work_of(place);
        largest = std::max(largest, work_of(place));
        if (place.last_column - place.first_column > kernels_.tile_columns) wide = std::max(wide, work_of(place));
      }
      work += shares.back();
    }
    for (double share : shares) {
      ASSERT_LE(std::abs(share - work / threads_), 1.0001 * (largest + panel_of(blocks)))
          << where_ << ": a share of " << share << " of " << work << ", the largest task " << largest;
    }
    if (threads_ == 1) return;
    EXPECT_LE(wide, std::max(kMostOfAShare * work / threads_, 2.0 * kTaskGrain)) << where_;
  }

  /// Rows are cut at panels: what the largest one is to the blocks that share it.
  double panel_of(const std::vector<Block>& blocks) const {
    double largest = 0;
    for (size_t b = 0; b < blocks.size();) {
      double columns = 0;
      const Block& first = blocks[b];
      do columns += static_cast<double>(blocks[b++].product.n);
      while (b < blocks.size() && blocks[b].follows);
      if (first.row_tasks == 1) continue;
      const int64_t rows = ceiling(first.product.m, first.all_panels);
      largest = std::max(largest, static_cast<double>(rows * (first.last_k - first.first_k)) * columns);
    }
    return largest;
  }

  void cover(const ProductTasks::Place& place) {
    Covered& covered = covered_.at(place.block.product.c);
    int64_t row;
    const int64_t rows = rows_of(place, &row);
    ASSERT_EQ(0, place.first_column % kernels_.tile_columns) << where_;
    for (int64_t i = row; i < row + rows; ++i) {
      for (int64_t j = place.first_column; j < place.last_column; j += kernels_.tile_columns) {
        const size_t at = static_cast<size_t>(i * tiles(covered.product) + j / kernels_.tile_columns);
        covered.steps[at] += place.block.last_k - place.block.first_k;
        covered.starts[at] += place.block.first_k == 0 ? 1 : 0;
      }
    }
  }

  const MatmulKernels& kernels_;
  int threads_;
  std::string where_;
  std::map<const float*, Covered> covered_;
};

TEST(ProductTasks, CoverEveryElementOnceAndShareTheWork) {
  for (Tier tier : {Tier::kReference, Tier::kGeneric, Tier::kAvx2, Tier::kAvx512, Tier::kNeon}) {
    if (!supported(tier)) continue;
    const MatmulKernels& kernels = matmul_kernels(tier);
    for (const List& list : lists(kernels)) {
      for (int threads : {1, 2, 3, 8, 16}) {
        Sharing(kernels, threads, list).expect_covered();
        if (testing::Test::HasFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace ln::cpu
