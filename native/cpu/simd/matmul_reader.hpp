// Reading a matrix of one format.
#pragma once

#include "../matmul.hpp"
#include "quantized.hpp"

namespace ln::cpu::LN_TIER {

/// kWidth neighbours in memory of a stored matrix, as floats. Another weight format is another Reader.
template <int Dtype>
struct Reader {
  const void* data;
  int64_t ld;

  vf read(int64_t line, int64_t at) const { return load_as<Dtype>(data, line * ld + at); }
  vf read_part(int64_t line, int64_t at, int64_t count) const {
    return load_part_as<Dtype>(data, line * ld + at, count);
  }
  /// A hint, so it may name what is not there; Cache 3 is the nearest.
  template <int Cache = 3>
  void prefetch(int64_t line, int64_t at) const {
    __builtin_prefetch((const void*)((uintptr_t)data + (uintptr_t)(line * ld + at) * (Dtype == LN_F32 ? 4 : 2)), 0,
                       Cache);
  }
  vf read_some(int64_t line, int64_t at, int64_t count) const {
    return count >= kWidth ? read(line, at) : count > 0 ? read_part(line, at, count) : (vf){};
  }
};

/// Calls body with the Reader of a matrix whose elements lie side by side.
template <typename Body>
LN_INLINE void with_plain_reader(const Matrix& x, const Body& body) {
  if (x.dtype == LN_BF16) return body(Reader<LN_BF16>{x.data, x.ld});
  if (x.dtype == LN_F16) return body(Reader<LN_F16>{x.data, x.ld});
  body(Reader<LN_F32>{x.data, x.ld});
}

/// Calls body with the Reader or QuantizedReader of a matrix.
template <typename Body>
LN_INLINE void with_reader(const Matrix& x, const Body& body) {
  if (x.dtype == LN_NF4) return body(QuantizedReader<LN_NF4>(x.data, x.ld));
  if (x.dtype == LN_FP4) return body(QuantizedReader<LN_FP4>(x.data, x.ld));
  with_plain_reader(x, body);
}

}  // namespace ln::cpu::LN_TIER
