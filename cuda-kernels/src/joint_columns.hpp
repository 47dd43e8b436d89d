// The adapters of layers that share x, side by side as one: the columns of their u and v, the rows of their A. Each has
// a multiple of eight columns, so that no chunk of a product's operand is of two; those behind its rank are zeros.
#pragma once

#include "products.hpp"

namespace ln::cuda {

static_assert(LN_JOINT_LAYERS <= kConversions, "matrices of all layers are converted at once");

struct JointColumns {
  int layers, adapters;  // adapters: layers that have one
  int64_t first[LN_JOINT_LAYERS + 1];

  int64_t total() const { return first[layers]; }
};

/// What scratch is asked for before the op itself has refused anything.
template <class Args>
bool is_count_of_layers(const Args& args) {
  return args.count >= 1 && args.count <= LN_JOINT_LAYERS;
}

template <class Args>
JointColumns joint_columns(const Args& args) {
  JointColumns columns = {};
  columns.layers = static_cast<int>(args.count);
  for (int l = 0; l < columns.layers; ++l) {
    const int64_t rank = args.layers[l].rank;
    columns.adapters += rank > 0 ? 1 : 0;
    columns.first[l + 1] = columns.first[l] + copy_ld(rank);
  }
  return columns;
}

inline int32_t copy_type(const ln_context& context) { return multiplies_in_bf16(context) ? LN_BF16 : LN_F32; }

/// NULL where there is no scratch yet and only sizes are wanted.
inline const void* inside(const void* place, int64_t bytes) {
  return place == nullptr ? nullptr : static_cast<const char*>(place) + bytes;
}

/// The rows of all A below one another, into `target` [columns.total(), ld], ld being copy_ld() of theirs.
template <class Args>
void stack_a(const ln_context& context, const char* name, const Args& args, const JointColumns& columns, char* target,
             int32_t type, int64_t ld) {
  Conversion matrices[LN_JOINT_LAYERS] = {};
  for (int l = 0; l < columns.layers; ++l) {
    const auto& layer = args.layers[l];
    const int64_t first = columns.first[l];
    matrices[l] = {layer.lora_a,
                   layer.rank,
                   layer.in,
                   layer.in,
                   target + first * ld * dtype_bytes(type),
                   columns.first[l + 1] - first,
                   ld,
                   ld};
  }
  convert_matrices(context, name, matrices, columns.layers, LN_F32, type);
}

/// Element (i, j) of the result is at[i * row_stride + j * column_stride]; at NULL: not wanted.
struct JointResult {
  float* at;
  int64_t columns, row_stride, column_stride;
};

/// Slices' sums [m, columns.total()] added in order, each layer's columns written to its own result, or added to it;
/// copy: NULL, or all of them as they lie, in bfloat16.
void write_joint_results(const ln_context& context, const char* name, const Sums& sums, int64_t m,
                         const JointColumns& columns, const JointResult* results, bool adds, void* copy);

}  // namespace ln::cuda
