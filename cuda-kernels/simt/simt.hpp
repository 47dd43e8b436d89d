// One kernel source, two compilers. Under nvcc this is CUDA with thin wrappers around the instructions that C++ has no
// words for (nvcc.hpp). Under g++ or clang++ (LN_EMULATED) the same source runs on the CPU: every CUDA thread is a
// fiber, every warp and block collective a meeting of fibers (emulator*.hpp). See docs/kernels.md, "Checked without a
// GPU".
//
// Rules for kernel source:
//  - SIMT_DYN_SMEM(T, name) for dynamic shared memory; SIMT_CONSTANT for tables; no inline PTX outside nvcc.hpp.
//  - Every warp collective names its mask; every value a lane reads from another goes through a collective or a
//  barrier.
//  - No float atomics: sums have a fixed order. Integer atomics only where their order cannot reach a result.
#pragma once

#if defined(LN_EMULATED)
#include "emulator.hpp"
// after it: what builds on fibers
#include "emulator_collectives.hpp"
#include "emulator_launch.hpp"
#else
#include "nvcc.hpp"
#endif
