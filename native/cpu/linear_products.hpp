// The products of a linear layer with a LoRA adapter, for one weight; a grouped layer has them once per expert.
#pragma once

#include "lora_native.h"
#include "matmul.hpp"

namespace ln::cpu {

/// One linear layer on `rows` rows. rank 0: no adapter.
struct LinearLayer {
  const void* weight;   // [out,in]
  const float* lora_a;  // [rank,in]
  const float* lora_b;  // [out,rank]
  int64_t rows, in, out, rank;
  int64_t ldu;  // of u and v, at least rank
  int32_t weight_dtype;
  float scale;
};

/// That of ln_linear_fwd_args or ln_linear_bwd_args.
template <typename Args>
LinearLayer linear_layer(const Args& args) {
  return {args.weight, args.lora_a, args.lora_b, args.rows,         args.in,
          args.out,    args.rank,   args.rank,   args.weight_dtype, args.lora_scale};
}

inline Matrix plain(const float* data, int64_t ld) { return {data, ld, LN_F32, 0}; }
inline Matrix transposed(const float* data, int64_t ld) { return {data, ld, LN_F32, 1}; }

inline Product start(int64_t m, int64_t n, float* c, int64_t ldc, float beta) {
  Product product{};
  product.m = m;
  product.n = n;
  product.c = c;
  product.ldc = ldc;
  product.beta = beta;
  return product;
}

inline void add(Product& product, const Matrix& a, const Matrix& b, int64_t k, float scale) {
  product.terms[product.term_count++] = {a, b, k, scale};
}

/// Of the last term's a.
inline void add_side(Product& product, const Matrix& b, float* c, int64_t ldc, int64_t n, float scale) {
  product.sides[product.side_count++] = {b, c, ldc, n, scale, product.term_count - 1};
}

/// u = x . lora_a^T
inline Product down_projection(const LinearLayer& layer, const float* x, float* u) {
  Product product = start(layer.rows, layer.rank, u, layer.ldu, 0);
  add(product, plain(x, layer.in), transposed(layer.lora_a, layer.in), layer.in, 1);
  return product;
}

/// y = x . weight^T + bias + scale * u . lora_b^T; u = x . lora_a^T too if it is not known
inline Product output(const LinearLayer& layer, const float* x, float* u, bool u_is_known, const void* bias,
                      int32_t bias_dtype, float* y) {
  Product product = start(layer.rows, layer.out, y, layer.out, 0);
  add(product, plain(x, layer.in), {layer.weight, layer.in, layer.weight_dtype, 1}, layer.in, 1);
  if (layer.rank > 0 && !u_is_known) {
    add_side(product, transposed(layer.lora_a, layer.in), u, layer.ldu, layer.rank, 1);
  }
  if (layer.rank > 0) add(product, plain(u, layer.ldu), transposed(layer.lora_b, layer.rank), layer.rank, layer.scale);
  product.bias = bias;
  product.bias_dtype = bias_dtype;
  return product;
}

/// One of several layers that read the same x; the u of its adapter.
struct JointLayer {
  LinearLayer layer;
  float* u;
};

/// y and u of layers[own], among products that share the packed x: each has the adapters of all, and multiplies its
/// own.
inline Product joint_output(const JointLayer* layers, int64_t count, int64_t own, const float* x, const void* bias,
                            int32_t bias_dtype, float* y) {
  const LinearLayer& layer = layers[own].layer;
  Product product = start(layer.rows, layer.out, y, layer.out, 0);
  add(product, plain(x, layer.in), {layer.weight, layer.in, layer.weight_dtype, 1}, layer.in, 1);
  for (int64_t i = 0; i < count; ++i) {
    const auto& [other, u] = layers[i];
    if (other.rank > 0) add_side(product, transposed(other.lora_a, other.in), u, other.ldu, other.rank, 1);
  }
  for (int64_t i = 0; i < count; ++i) {
    const auto& [other, u] = layers[i];
    if (other.rank == 0) continue;
    add(product, plain(u, other.ldu), i == own ? transposed(other.lora_b, other.rank) : Matrix{}, other.rank,
        other.scale);
  }
  product.bias = bias;
  product.bias_dtype = bias_dtype;
  return product;
}

/// Steps of k of these products.
inline int64_t joint_steps(const JointLayer* layers, int64_t count) {
  int64_t steps = layers[0].layer.in;
  for (int64_t i = 0; i < count; ++i) steps += layers[i].layer.rank;
  return steps;
}

/// v = scale * dy . lora_b, where nobody needs dx
inline Product low_rank_gradient(const LinearLayer& layer, const float* dy, float* v) {
  Product product = start(layer.rows, 0, nullptr, 0, 0);
  add(product, plain(dy, layer.out), {}, layer.out, 1);
  if (layer.rank > 0) add_side(product, plain(layer.lora_b, layer.rank), v, layer.ldu, layer.rank, layer.scale);
  return product;
}

/// grad_b += scale * dy^T . u, or its transpose += scale * u^T . dy, which reads dy as it lies
inline Product gradient_of_b(const LinearLayer& layer, const float* dy, const float* u, float* grad_b,
                             bool transposed_c) {
  if (transposed_c) {
    Product product = start(layer.rank, layer.out, grad_b, layer.rank, 1);
    add(product, transposed(u, layer.ldu), plain(dy, layer.out), layer.rows, layer.scale);
    product.transposed_c = true;
    return product;
  }
  Product product = start(layer.out, layer.rank, grad_b, layer.rank, 1);
  add(product, transposed(dy, layer.out), plain(u, layer.ldu), layer.rows, layer.scale);
  return product;
}

/// grad_a += v^T . x
inline Product gradient_of_a(const LinearLayer& layer, const float* v, const float* x, float* grad_a) {
  Product product = start(layer.rank, layer.in, grad_a, layer.in, 1);
  add(product, transposed(v, layer.ldu), plain(x, layer.in), layer.rows, 1);
  return product;
}

/// dx += dy . weight (+ v . lora_a with `through`); v = scale * dy . lora_b too
inline void add_input_gradient(Product& product, const LinearLayer& layer, const float* dy, float* v, bool through) {
  add(product, plain(dy, layer.out), {layer.weight, layer.in, layer.weight_dtype, 0}, layer.out, 1);
  if (layer.rank > 0) add_side(product, plain(layer.lora_b, layer.rank), v, layer.ldu, layer.rank, layer.scale);
  if (layer.rank > 0 && through) add(product, plain(v, layer.ldu), plain(layer.lora_a, layer.in), layer.rank, 1);
}

/// dx (+)= dy . weight (+ v . lora_a with `through`); v = scale * dy . lora_b too
inline Product input_gradient(const LinearLayer& layer, const float* dy, float* v, bool through, bool accumulate,
                              float* dx) {
  Product product = start(layer.rows, layer.in, dx, layer.in, accumulate ? 1.0f : 0.0f);
  add_input_gradient(product, layer, dy, v, through);
  return product;
}

/// dlora_x = v . lora_a; zeros without an adapter
inline Product adapter_input_gradient(const LinearLayer& layer, const float* v, float* dlora_x) {
  Product product = start(layer.rows, layer.in, dlora_x, layer.in, 0);
  if (layer.rank > 0) add(product, plain(v, layer.ldu), plain(layer.lora_a, layer.in), layer.rank, 1);
  return product;
}

}  // namespace ln::cpu
