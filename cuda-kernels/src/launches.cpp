#include "launches.hpp"

#include <algorithm>
#include <cstring>

namespace ln::cuda {

namespace {

bool is_type(const char* name) {
  const char* const end = "dtype";
  const size_t length = std::strlen(name), of_end = std::strlen(end);
  return length >= of_end && std::strcmp(name + length - of_end, end) == 0;
}

/// "ln_linear_fwd(rows 8, in 64, out 128, rank 4, weight_dtype NF4)"
std::string text_of(const Call& call) {
  static const char* const types[] = {"F32", "BF16", "F16", "NF4", "FP4"};
  std::string text = call.function;
  for (int i = 0; i < call.count; ++i) {
    const Call::Size& size = call.sizes[i];
    text += std::string(i == 0 ? "(" : ", ") + size.name + " " +
            (is_type(size.name) ? types[size.value] : std::to_string(size.value));
  }
  return call.count == 0 ? text : text + ")";
}

}  // namespace

std::string Launches::unfinished(int64_t done) const {
  std::string text, last;
  for (int64_t i = std::max(done, count_ - kKept); i < std::min(count_, done + every_); ++i) {
    std::string next = text_of(kept_[static_cast<size_t>(i % kKept)]);
    if (next == last) continue;  // a call of several kernels, or the same again
    text += (text.empty() ? "" : ", ") + next;
    last = std::move(next);
  }
  return text;
}

}  // namespace ln::cuda
