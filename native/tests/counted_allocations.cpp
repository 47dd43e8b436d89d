// The program's operator new and delete, all of them: where one is left out, AddressSanitizer would put in its own,
// which does not go with these.
#include "counted_allocations.hpp"

#include <cstdlib>
#include <new>

namespace ln::test {

namespace {

std::atomic<bool> counts{false};
std::atomic<int64_t> allocations{0};

void* allocate(size_t bytes, size_t alignment) noexcept {
  if (counts.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
  if (alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) return std::malloc(bytes == 0 ? 1 : bytes);
  return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

void* allocate_or_throw(size_t bytes, size_t alignment = 1) {
  void* const memory = allocate(bytes, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

CountedAllocations::CountedAllocations() {
  allocations = 0;
  counts = true;
}

int64_t CountedAllocations::stop() {
  counts = false;
  return allocations;
}

}  // namespace ln::test

using std::align_val_t;
using std::nothrow_t;

void* operator new(size_t n) { return ln::test::allocate_or_throw(n); }
void* operator new[](size_t n) { return ln::test::allocate_or_throw(n); }
void* operator new(size_t n, align_val_t a) { return ln::test::allocate_or_throw(n, static_cast<size_t>(a)); }
void* operator new[](size_t n, align_val_t a) { return ln::test::allocate_or_throw(n, static_cast<size_t>(a)); }
void* operator new(size_t n, const nothrow_t&) noexcept { return ln::test::allocate(n, 1); }
void* operator new[](size_t n, const nothrow_t&) noexcept { return ln::test::allocate(n, 1); }
void* operator new(size_t n, align_val_t a, const nothrow_t&) noexcept {
  return ln::test::allocate(n, static_cast<size_t>(a));
}
void* operator new[](size_t n, align_val_t a, const nothrow_t&) noexcept {
  return ln::test::allocate(n, static_cast<size_t>(a));
}

void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, align_val_t) noexcept { std::free(p); }
void operator delete(void* p, size_t, align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t, align_val_t) noexcept { std::free(p); }
void operator delete(void* p, const nothrow_t&) noexcept { std::free(p); }
void operator delete[](void* p, const nothrow_t&) noexcept { std::free(p); }
void operator delete(void* p, align_val_t, const nothrow_t&) noexcept { std::free(p); }
void operator delete[](void* p, align_val_t, const nothrow_t&) noexcept { std::free(p); }
