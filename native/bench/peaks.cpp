// lora_native_peaks: measures the peaks that throughputs are compared with, and prints them as one line of JSON.
//
//   lora_native_peaks [--threads N] [--simd generic|avx2|avx512|neon] [--megabytes N] [--seconds S]
//
// Of several short measurements the best counts: everything else on the machine can only make it slower. A program of
// its own, not a function of the library: it is no kernel, and other users of the C interface have no need for it.
#include "peaks.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace {

using ln::cpu::PeakProbes;
using Clock = std::chrono::steady_clock;

struct Options {
  int threads = 1;
  std::string simd;
  int64_t megabytes = 128;  // of each of the three arrays: far above any cache that a core can use alone
  double seconds = 0.5;     // for each of the four measurements
};

[[noreturn]] void refuse(const std::string& what) {
  std::fprintf(stderr, "error: %s\nhint: lora_native_peaks [--threads N] [--simd TIER] [--megabytes N] [--seconds S]\n",
               what.c_str());
  std::exit(2);
}

Options parse(int count, char** words) {
  Options options;
  for (int i = 1; i < count; i += 2) {
    const std::string name = words[i];
    if (i + 1 == count) refuse(name + " has no value");
    const char* value = words[i + 1];
    if (name == "--threads") {
      options.threads = std::atoi(value);
    } else if (name == "--simd") {
      options.simd = value;
    } else if (name == "--megabytes") {
      options.megabytes = std::atoll(value);
    } else if (name == "--seconds") {
      options.seconds = std::atof(value);
    } else {
      refuse("unknown option " + name);
    }
  }
  if (options.threads < 1 || options.megabytes < 1 || !(options.seconds > 0)) refuse("a value is not above 0");
  return options;
}

struct NamedProbes {
  const char* name;
  const PeakProbes& (*probes)();
};

/// The tiers that this machine can run, best last.
std::vector<NamedProbes> available() {
  std::vector<NamedProbes> tiers = {{"generic", ln::cpu::generic::peak_probes}};
#if defined(LN_HAVE_X86_TIERS)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2) tiers.push_back({"avx2", ln::cpu::avx2::peak_probes});
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    tiers.push_back({"avx512", ln::cpu::avx512::peak_probes});
#endif
#if defined(LN_HAVE_NEON_TIER)
  tiers.push_back({"neon", ln::cpu::neon::peak_probes});
#endif
  return tiers;
}

/// Seconds until the last of the threads has done its part, all of them starting together.
double together(int threads, const std::function<void(int)>& part) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      ready.fetch_add(1);
      while (!go.load(std::memory_order_acquire)) {
      }
      part(t);
    });
  }
  while (ready.load() < threads) std::this_thread::yield();
  const Clock::time_point start = Clock::now();
  go.store(true, std::memory_order_release);
  for (std::thread& worker : workers) worker.join();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The best rate of `amount` per call within the time given, at least three calls.
double best_rate(const Options& options, double amount, const std::function<void(int)>& part) {
  double best = 0;
  double spent = 0;
  for (int call = 0; call < 3 || spent < options.seconds; ++call) {
    const double seconds = together(options.threads, part);
    best = std::max(best, amount / seconds);
    spent += seconds;
  }
  return best;
}

std::atomic<float> sink;  // so that no result is thrown away

}  // namespace

int main(int count, char** words) {
  const Options options = parse(count, words);
  const std::vector<NamedProbes> tiers = available();
  const NamedProbes* chosen = options.simd.empty() ? &tiers.back() : nullptr;
  for (const NamedProbes& tier : tiers) {
    if (options.simd == tier.name) chosen = &tier;
  }
  if (chosen == nullptr) refuse("this machine or build has no SIMD tier " + options.simd);
  const PeakProbes& probes = chosen->probes();

  const int64_t rounds = 2000000;
  const double flops = static_cast<double>(probes.flops_per_round) * static_cast<double>(rounds) * options.threads;
  const double fma = best_rate(options, flops, [&](int) { sink = probes.fma_chains(rounds); });

  // Every thread has its own part, which it touches first, so that it lies in that thread's memory.
  const int64_t part = options.megabytes * (1 << 20) / 4 / options.threads / 256 * 256;
  std::vector<float*> x(options.threads), y(options.threads), z(options.threads);
  together(options.threads, [&](int t) {
    for (std::vector<float*>* arrays : {&x, &y, &z}) {
      (*arrays)[t] = static_cast<float*>(std::aligned_alloc(64, static_cast<size_t>(part) * 4));
      if ((*arrays)[t] == nullptr) std::abort();
      std::fill_n((*arrays)[t], part, 1.0f);
    }
  });
  const double bytes = 4.0 * static_cast<double>(part) * options.threads;
  const double read = best_rate(options, bytes, [&](int t) { sink = probes.read(x[t], part); });
  const double copy = best_rate(options, 2 * bytes, [&](int t) { probes.copy(x[t], y[t], part); });
  const double triad = best_rate(options, 3 * bytes, [&](int t) { probes.triad(x[t], y[t], z[t], part); });

  std::printf(
      "{\"simd\":\"%s\",\"threads\":%d,\"flops_per_second\":%.6g,\"read_bytes_per_second\":%.6g,"
      "\"copy_bytes_per_second\":%.6g,\"triad_bytes_per_second\":%.6g}\n",
      chosen->name, options.threads, fma, read, copy, triad);
  for (int t = 0; t < options.threads; ++t) {
    std::free(x[t]);
    std::free(y[t]);
    std::free(z[t]);
  }
  return 0;
}
