#include "backend.hpp"

int32_t ln_gated_activation_fwd(ln_context* context, int32_t activation, const float* gate, const float* up, float* y,
                                int64_t n) {
  return ln::guarded(context, "ln_gated_activation_fwd", [&](const ln::Checker& check) {
    check.activation("activation", activation);
    check.at_least("n", n, 0);
    if (n == 0) return;
    check.pointer("gate", gate);
    check.pointer("up", up);
    check.pointer("y", y);
    ln::backend::gated_activation_fwd(*context, activation, gate, up, y, n);
  });
}

int32_t ln_gated_activation_bwd(ln_context* context, int32_t activation, const float* dy, const float* gate,
                                const float* up, float* dgate, float* dup, int64_t n) {
  return ln::guarded(context, "ln_gated_activation_bwd", [&](const ln::Checker& check) {
    check.activation("activation", activation);
    check.at_least("n", n, 0);
    if (n == 0) return;
    check.pointer("dy", dy);
    check.pointer("gate", gate);
    check.pointer("up", up);
    check.pointer("dgate", dgate);
    check.pointer("dup", dup);
    ln::backend::gated_activation_bwd(*context, activation, dy, gate, up, dgate, dup, n);
  });
}

int32_t ln_sigmoid_gate_fwd(ln_context* context, const float* x, const float* gate, float* y, int64_t rows,
                            int64_t width, int32_t accumulate) {
  return ln::guarded(context, "ln_sigmoid_gate_fwd", [&](const ln::Checker& check) {
    check.at_least("rows", rows, 0);
    check.at_least("width", width, 1);
    check.flag("accumulate", accumulate);
    if (rows == 0) return;
    check.pointer("x", x);
    check.pointer("gate", gate);
    check.pointer("y", y);
    ln::backend::sigmoid_gate_fwd(*context, x, gate, y, rows, width, accumulate != 0);
  });
}

int32_t ln_sigmoid_gate_bwd(ln_context* context, const float* dy, const float* x, const float* gate, float* dx,
                            float* dgate, int64_t rows, int64_t width) {
  return ln::guarded(context, "ln_sigmoid_gate_bwd", [&](const ln::Checker& check) {
    check.at_least("rows", rows, 0);
    check.at_least("width", width, 1);
    if (rows == 0) return;
    check.pointer("dy", dy);
    check.pointer("x", x);
    check.pointer("gate", gate);
    check.pointer("dx", dx);
    check.pointer("dgate", dgate);
    ln::backend::sigmoid_gate_bwd(*context, dy, x, gate, dx, dgate, rows, width);
  });
}
