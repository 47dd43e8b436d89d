// Runs a list of matrix products on the threads of a context: packing, blocking and sharing out.
#pragma once

#include "cpu_backend.hpp"
#include "matmul.hpp"

namespace ln::cpu {

/// Product i of a list that is computed where it is needed, so that the list itself needs no memory.
class ProductList {
 public:
  template <typename Get>
  ProductList(int64_t count, const Get& get)
      : count_(count),
        get_(&get),
        call_([](const void* body, int64_t i) { return (*static_cast<const Get*>(body))(i); }) {}

  int64_t count() const { return count_; }
  Product operator[](int64_t i) const { return call_(get_, i); }

 private:
  int64_t count_;
  const void* get_;
  Product (*call_)(const void*, int64_t);
};

/// Computes every product. They must not depend on each other; products with m or n of 0 are skipped.
/// An element's value depends on its product alone, neither on the other products nor on the number of threads.
void run_products(const ln_context& context, void* scratch, int64_t scratch_bytes, const ProductList& products);

/// Whether products with `rows` rows and at most so many steps of k, one behind the other, pack an a that they have in
/// common once. Such a product names the terms of all of them, in the same order, and the same sides.
bool shares_packing(const ln_context& context, int64_t rows, int64_t steps);

/// Whether products with `rows` rows may have transposed_c.
bool takes_transposed(const ln_context& context, int64_t rows);

/// Upper bound of the packed floats that products with `rows` rows in all and k columns need, the rows lying in
/// `pieces` products.
double packed_floats(const ln_context& context, int64_t rows, int64_t pieces, int64_t k);

/// Scratch for a list of products that needs at most so many packed floats.
int64_t product_scratch_bytes(const ln_context& context, double floats);

}  // namespace ln::cpu
