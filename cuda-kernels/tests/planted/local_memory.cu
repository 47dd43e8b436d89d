// A kernel that cannot keep its array in registers, because the place is not known before it runs: what both gates
// against local memory (nvcc's warnings, check_sass) must refuse. Only compiled, never run.
__global__ void kept_in_local_memory(float* x, const int* places) {
  float kept[32];
  for (int i = 0; i < 32; ++i) kept[i] = x[i];
  for (int i = 0; i < 32; ++i) kept[places[i] % 32] += x[i];
  for (int i = 0; i < 32; ++i) x[i] = kept[i];
}
