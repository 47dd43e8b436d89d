// Dense products. A product goes one of these ways, chosen by its shape and types alone:
//
//   few rows   m <= kFewRows, k inside: the right operand is read once, multiply-adds in float32 (product_rows.cu)
//   tile       64 x 64, or 64 x 32 for thin results: operands of any type are read from where they are and rounded to
//              bfloat16 on their way into shared memory. Two stages; the next step's loads are in flight while this one
//              is multiplied. In float32 contexts the same on the CUDA cores.
//   converted  large ones with bfloat16: operands that are not bfloat16 yet go into scratch once (a 4-bit weight
//   exactly
//              as ln_dequantize gives it), then 128 x 128 tiles with four stages of cp.async. Tensor cores bound.
//   cuBLAS     as converted, with cublasGemmEx for the product (cublas.hpp)
//
// A product with too few tiles for a GPU is split along k into slices that depend on the shape alone; their sums go to
// scratch and are added in order by a second kernel, which also writes results whose columns lie apart. An adapter's
// up-projection is an extra k-block: it is summed first, scaled, and the base product goes on in the same accumulators,
// so that the result is written once.
#include "cublas.hpp"
#include "product_tile.cuh"
#include "product_tile_f32.cuh"
#include "products.hpp"

namespace ln::cuda {

namespace {

/// From how many rows on the operands are brought into bfloat16 scratch first: the cost of a pass over the weight
/// against that of decoding it once per 64 rows. Estimates, to be measured; by type of the right operand.
struct Thresholds {
  int64_t four_bits, others;
};
constexpr Thresholds kConvertFromRows = {256, 256};
constexpr int64_t kConvertFromColumns = 128, kConvertFromK = 64;

/// Slices of k are made until there are this many blocks, each with at least kLeastSlice to sum.
constexpr int64_t kBlocksWanted = 512, kLeastSlice = 256;
/// Neighbouring blocks take the tiles of so many rows of tiles, so that operands are still in L2 when they are needed
/// again.
constexpr int64_t kTilesTogether = 16;

using MediumShape = TileShape<64, 64, 32, 32, 32, 2, 3>;
using ThinShape = TileShape<64, 32, 64, 16, 32, 2, 3>;
using LargeShape = TileShape<128, 128, 32, 64, 64, 4, 2>;
constexpr int64_t kThinColumns = 32;

struct TileArgs {
  Operand left, right, extra_left, extra_right;
  int64_t k, extra_k, slice;  // slice: what a block sums of k
  float extra_scale;
  ProductOutput output;  // of the first slice
  int64_t next_slice;    // elements of c from there to the next one's
};

template <class Tile, bool kFourBits, Access kAccess>
__global__ void __launch_bounds__(Tile::Shape::kThreads, Tile::Shape::kBlocks) product_of_tiles(TileArgs args) {
  SIMT_DYN_SMEM(typename Tile::Shared, shared);
  using Shape = typename Tile::Shape;
  constexpr bool kL = Tile::kLeftKInner, kR = Tile::kRightKInner;
  const int64_t tiles_m = (args.output.m + Shape::kM - 1) / Shape::kM;
  const int64_t tiles_n = (args.output.n + Shape::kN - 1) / Shape::kN;
  const int64_t group = blockIdx.x / (kTilesTogether * tiles_n), in_group = blockIdx.x % (kTilesTogether * tiles_n);
  const int64_t left_over = tiles_m - group * kTilesTogether;
  const int64_t rows_of_group = left_over < kTilesTogether ? left_over : kTilesTogether;
  const int64_t first_m = (group * kTilesTogether + in_group % rows_of_group) * Shape::kM;
  const int64_t first_n = in_group / rows_of_group * Shape::kN;

  Tile tile;
  if (args.extra_k > 0 && blockIdx.y == 0) {
    constexpr Access kExtra = kAccess == Access::kAsync ? kAccess : Access::kAny;
    tile.run(*shared, TileOperand<kL, false, kExtra>(args.extra_left, first_m),
             TileOperand<kR, false, kExtra>(args.extra_right, first_n), 0, args.extra_k);
    tile.scale(args.extra_scale);
  }
  const int64_t k_begin = blockIdx.y * args.slice;
  const int64_t k_end = k_begin + args.slice < args.k ? k_begin + args.slice : args.k;
  tile.run(*shared, TileOperand<kL, false, kAccess>(args.left, first_m),
           TileOperand<kR, kFourBits, kAccess>(args.right, first_n), k_begin, k_end);

  ProductOutput output = args.output;
  output.c += blockIdx.y * args.next_slice;
  tile.visit([&](int row, int column, float value, float next) {
    output.store_two(first_m + row, first_n + column, value, next);
  });
}

constexpr int kSumThreads = 256;

/// The slices' sums [slices, m, n], in order.
__global__ void __launch_bounds__(kSumThreads) sum_slices(ProductOutput output, const float* sums, int64_t slices) {
  const int64_t count = output.m * output.n;
  for (int64_t e = int64_t{blockIdx.x} * kSumThreads + threadIdx.x; e < count; e += int64_t{gridDim.x} * kSumThreads) {
    float sum = sums[e];
    for (int64_t s = 1; s < slices; ++s) sum += sums[s * count + e];
    const int64_t i = e / output.n;
    output.store(i, e - i * output.n, sum);
  }
}

/// c = beta * c + bias, for what has nothing to sum and before cuBLAS adds to it.
__global__ void __launch_bounds__(kSumThreads) scale_and_add_bias(ProductOutput output) {
  const int64_t count = output.m * output.n;
  for (int64_t e = int64_t{blockIdx.x} * kSumThreads + threadIdx.x; e < count; e += int64_t{gridDim.x} * kSumThreads) {
    const int64_t i = e / output.n;
    output.store(i, e - i * output.n, 0);
  }
}

int64_t slices_of(int64_t tiles, int64_t k) {
  const int64_t wanted = ceil_div(kBlocksWanted, tiles), possible = k / kLeastSlice;
  return wanted < possible ? wanted : possible > 1 ? possible : 1;
}

struct Plan {
  enum Way { kFew, kTile, kConverted, kCublas } way;
  bool thin;
  int64_t slices, slice;
  int64_t left_ld, right_ld, extra_left_ld, extra_right_ld;                          // of the converted operands
  int64_t left_bytes, right_bytes, extra_left_bytes, extra_right_bytes, sums_bytes;  // of scratch
  int64_t bytes() const { return left_bytes + right_bytes + extra_left_bytes + extra_right_bytes + sums_bytes; }
};

int64_t stored_columns(const Operand& operand, int64_t k) { return operand.k_inner != 0 ? k : operand.lines; }
int64_t stored_rows(const Operand& operand, int64_t k) { return operand.k_inner != 0 ? operand.lines : k; }

template <class Shape>
void cut(Plan& plan, const Product& p) {
  const int64_t slices = slices_of(ceil_div<int64_t>(p.m, Shape::kM) * ceil_div<int64_t>(p.n, Shape::kN), p.k);
  plan.slice = ceil_div(ceil_div(p.k, slices), int64_t{Shape::kK}) * Shape::kK;
  plan.slices = plan.slice == 0 ? 1 : ceil_div(p.k, plan.slice);
  plan.sums_bytes = plan.slices > 1 || p.column_stride != 1 ? scratch_place(plan.slices * p.m * p.n * 4) : 0;
}

bool is_large(const Product& p) {
  const int64_t rows = is_quantized(p.right.dtype) ? kConvertFromRows.four_bits : kConvertFromRows.others;
  return p.m >= rows && p.n >= kConvertFromColumns && p.k >= kConvertFromK;
}

Plan plan_of(const ln_context& context, const Product& p) {
  Plan plan = {};
  const bool bf16 = multiplies_in_bf16(context), four_bits = is_quantized(p.right.dtype);
  const int32_t type = bf16 ? LN_BF16 : LN_F32;
  const bool many = is_large(p);
  if (p.m <= kFewRows && p.left.k_inner != 0 && p.right.k_inner != 0) {
    plan.way = Plan::kFew;
    return plan;
  }
  if (p.dense && p.k > 0 && context.backend->gemm == LN_GEMM_CUBLAS && (many || !four_bits) && fits_cublas(p)) {
    plan.way = Plan::kCublas;
  } else if (bf16 && many) {
    plan.way = Plan::kConverted;
    cut<LargeShape>(plan, p);
  } else {
    plan.way = Plan::kTile;
    plan.thin = bf16 && p.n <= kThinColumns && !four_bits;
    if (!bf16) {
      cut<F32Tile::Shape>(plan, p);
    } else if (plan.thin) {
      cut<ThinShape>(plan, p);
    } else {
      cut<MediumShape>(plan, p);
    }
    return plan;
  }
  const auto bytes_of = [&](const Operand& operand, int64_t k, int64_t& ld) {
    ld = copy_ld(stored_columns(operand, k));
    return scratch_place(stored_rows(operand, k) * ld * dtype_bytes(type));
  };
  if (p.left.dtype != type) plan.left_bytes = bytes_of(p.left, p.k, plan.left_ld);
  if (p.right.dtype != type) plan.right_bytes = bytes_of(p.right, p.k, plan.right_ld);
  if (plan.way == Plan::kConverted && p.extra_k > 0) {
    if (p.extra_left.dtype != type) plan.extra_left_bytes = bytes_of(p.extra_left, p.extra_k, plan.extra_left_ld);
    if (p.extra_right.dtype != type) plan.extra_right_bytes = bytes_of(p.extra_right, p.extra_k, plan.extra_right_ld);
  }
  return plan;
}

template <class Tile, bool kFourBits, Access kAccess>
void launch_tiles(const ln_context& context, const char* name, const TileArgs& args, int64_t slices) {
  using Shape = typename Tile::Shape;
  const int64_t tiles = ceil_div<int64_t>(args.output.m, Shape::kM) * ceil_div<int64_t>(args.output.n, Shape::kN);
  launch(context, name, product_of_tiles<Tile, kFourBits, kAccess>,
         dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(slices)), Shape::kThreads,
         sizeof(typename Tile::Shared), args);
}

/// For each orientation its own kernel.
template <template <bool, bool> class Tile, bool kFourBits, Access kAccess>
void launch_oriented(const ln_context& context, const char* name, const TileArgs& args, int64_t slices) {
  if (args.left.k_inner != 0 && args.right.k_inner != 0) {
    launch_tiles<Tile<true, true>, kFourBits, kAccess>(context, name, args, slices);
  } else if (args.left.k_inner != 0) {
    launch_tiles<Tile<true, false>, kFourBits, kAccess>(context, name, args, slices);
  } else if (args.right.k_inner != 0) {
    launch_tiles<Tile<false, true>, kFourBits, kAccess>(context, name, args, slices);
  } else {
    launch_tiles<Tile<false, false>, kFourBits, kAccess>(context, name, args, slices);
  }
}

template <bool kL, bool kR>
using MediumTile = Bf16Tile<MediumShape, kL, kR>;
template <bool kL, bool kR>
using ThinTile = Bf16Tile<ThinShape, kL, kR>;
template <bool kL, bool kR>
using LargeTile = Bf16Tile<LargeShape, kL, kR>;
template <bool kL, bool kR>
struct OrientedF32Tile : F32Tile {
  static constexpr bool kLeftKInner = kL, kRightKInner = kR;
};

void run_tiles(const ln_context& context, const char* name, const Plan& plan, const TileArgs& args) {
  const bool four_bits = is_quantized(args.right.dtype);
  const bool whole = whole_chunks(args.left, args.k) && whole_chunks(args.right, args.k);
  if (plan.way == Plan::kConverted) {
    launch_oriented<LargeTile, false, Access::kAsync>(context, name, args, plan.slices);
  } else if (!multiplies_in_bf16(context)) {
    if (four_bits) {
      launch_oriented<OrientedF32Tile, true, Access::kAny>(context, name, args, plan.slices);
    } else {
      launch_oriented<OrientedF32Tile, false, Access::kAny>(context, name, args, plan.slices);
    }
  } else if (plan.thin) {
    if (whole) {
      launch_oriented<ThinTile, false, Access::kWhole>(context, name, args, plan.slices);
    } else {
      launch_oriented<ThinTile, false, Access::kAny>(context, name, args, plan.slices);
    }
  } else if (four_bits) {
    if (whole) {
      launch_oriented<MediumTile, true, Access::kWhole>(context, name, args, plan.slices);
    } else {
      launch_oriented<MediumTile, true, Access::kAny>(context, name, args, plan.slices);
    }
  } else if (whole) {
    launch_oriented<MediumTile, false, Access::kWhole>(context, name, args, plan.slices);
  } else {
    launch_oriented<MediumTile, false, Access::kAny>(context, name, args, plan.slices);
  }
}

Operand converted(const ln_context& context, const char* name, const Operand& operand, int64_t k, void* target,
                  int64_t ld) {
  const int32_t type = multiplies_in_bf16(context) ? LN_BF16 : LN_F32;
  const int64_t rows = stored_rows(operand, k);
  const Conversion conversion = {operand.data, rows, stored_columns(operand, k), operand.ld, target, rows, ld, ld};
  convert_matrices(context, name, &conversion, 1, operand.dtype, type);
  return {target, ld, operand.lines, type, operand.k_inner};
}

/// Operands that the plan has copied come into scratch; returns where its rest begins.
char* convert_operands(const ln_context& context, const char* name, const Plan& plan, Product& p, void* scratch) {
  char* place = static_cast<char*>(scratch);
  const auto convert = [&](Operand& operand, int64_t k, int64_t bytes, int64_t ld) {
    if (bytes == 0) return;
    operand = converted(context, name, operand, k, place, ld);
    place += bytes;
  };
  convert(p.left, p.k, plan.left_bytes, plan.left_ld);
  convert(p.right, p.k, plan.right_bytes, plan.right_ld);
  convert(p.extra_left, p.extra_k, plan.extra_left_bytes, plan.extra_left_ld);
  convert(p.extra_right, p.extra_k, plan.extra_right_bytes, plan.extra_right_ld);
  return place;
}

/// Of a product whose operands have been brought where they are read.
Sums run_into_sums(const ln_context& context, const char* name, const Plan& plan, TileArgs args, char* place) {
  float* const sums = reinterpret_cast<float*>(place);
  const int64_t m = args.output.m, n = args.output.n;
  args.output = {nullptr, 0, 1, 0, sums, n, 1, m, n};
  args.next_slice = m * n;
  run_tiles(context, name, plan, args);
  return {sums, plan.slices};
}

TileArgs tile_args(const Plan& plan, const Product& p) {
  return {p.left, p.right, p.extra_left, p.extra_right, p.k, p.extra_k, plan.slice, p.extra_scale, output_of(p), 0};
}

/// What cuBLAS does not know (bias, adapter) is in c before it adds the product to it.
void run_cublas(const ln_context& context, const char* name, const Product& p) {
  Product base = p;
  if (p.extra_k > 0) {
    Product adapter = p;
    adapter.left = p.extra_left;
    adapter.right = p.extra_right;
    adapter.k = p.extra_k;
    adapter.alpha = p.extra_scale;
    adapter.extra_k = 0;
    adapter.dense = false;
    Plan plan = {};
    plan.way = Plan::kTile;
    plan.slices = 1;
    plan.slice = p.extra_k;
    run_tiles(context, name, plan,
              {adapter.left, adapter.right, {}, {}, adapter.k, 0, plan.slice, 0, output_of(adapter), 0});
    base.beta = 1;
  } else if (p.bias != nullptr) {
    launch(context, name, scale_and_add_bias, blocks_for(p.m * p.n, kSumThreads), kSumThreads, 0, output_of(p));
    base.beta = 1;
  }
  multiply_by_cublas(context, name, base);
}

}  // namespace

Operand by_rows(const void* data, int32_t dtype, int64_t rows, int64_t, int64_t ld) {
  return {data, ld, rows, dtype, 1};
}
Operand by_columns(const void* data, int32_t dtype, int64_t, int64_t columns, int64_t ld) {
  return {data, ld, columns, dtype, 0};
}

int64_t product_scratch(const ln_context& context, const Product& product) {
  if (product.m == 0 || product.n == 0) return 0;
  return plan_of(context, product).bytes();
}

void multiply(const ln_context& context, const char* name, const Product& product, void* scratch) {
  if (product.m == 0 || product.n == 0) return;
  const Plan plan = plan_of(context, product);
  if (plan.way == Plan::kFew) return multiply_few_rows(context, name, product);
  Product p = product;
  char* const place = convert_operands(context, name, plan, p, scratch);
  if (plan.way == Plan::kCublas) return run_cublas(context, name, p);
  const TileArgs args = tile_args(plan, p);
  if (plan.sums_bytes == 0) return run_tiles(context, name, plan, args);
  const Sums sums = run_into_sums(context, name, plan, args, place);
  launch(context, name, sum_slices, blocks_for(p.m * p.n, kSumThreads), kSumThreads, 0, output_of(p), sums.at,
         sums.slices);
}

Sums multiply_into_sums(const ln_context& context, const char* name, const Product& product, void* scratch) {
  const Plan plan = plan_of(context, product);
  Product p = product;
  char* const place = convert_operands(context, name, plan, p, scratch);
  return run_into_sums(context, name, plan, tile_args(plan, p), place);
}

bool copies_left(const ln_context& context, const Product& product) {
  return product.m > 0 && product.n > 0 && plan_of(context, product).left_bytes > 0;
}

bool copies_both(const ln_context& context, const Product& product) {
  return multiplies_in_bf16(context) && is_large(product);
}

int64_t copy_ld(int64_t columns) { return ceil_div(columns, int64_t{kChunk}) * kChunk; }

int64_t scratch_place(int64_t bytes) {
  constexpr int64_t kAlignment = 256;
  return ceil_div(bytes, kAlignment) * kAlignment;
}

}  // namespace ln::cuda
