package dev.loranative.ffi;

import static dev.loranative.ffi.Carrier.DOUBLE;
import static dev.loranative.ffi.Carrier.FLOAT;
import static dev.loranative.ffi.Carrier.INT32;
import static dev.loranative.ffi.Carrier.INT64;
import static dev.loranative.ffi.Carrier.POINTER;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.lang.reflect.RecordComponent;
import java.util.Arrays;
import java.util.Optional;

/**
 * One method handle per function of {@code lora_native.h}. Formulas, shapes and errors are in that header; the typed
 * face that engine code calls is {@code dev.loranative.tensor.Ops}.
 */
public record Kernels(
        @Symbol(
                value = "ln_abi_version",
                takes = {})
        MethodHandle abiVersion,

        @Symbol(
                value = "ln_context_create",
                takes = {POINTER, POINTER})
        MethodHandle contextCreate,

        @Symbol(
                value = "ln_context_destroy",
                takes = {POINTER})
        MethodHandle contextDestroy,

        @Symbol(
                value = "ln_last_error",
                takes = {POINTER},
                returns = POINTER)
        MethodHandle lastError,

        @Symbol(
                value = "ln_unfinished",
                takes = {POINTER},
                returns = POINTER)
        MethodHandle unfinished,

        @Symbol(
                value = "ln_query",
                takes = {POINTER, INT32, POINTER})
        MethodHandle query,

        @Symbol(
                value = "ln_context_set_scratch",
                takes = {POINTER, POINTER, INT64})
        MethodHandle contextSetScratch,

        @Symbol(
                value = "ln_scratch_bytes",
                takes = {POINTER, INT32, POINTER, POINTER})
        MethodHandle scratchBytes,

        @Symbol(
                value = "ln_quantize",
                takes = {POINTER, POINTER, INT32, INT64, INT32, INT64, POINTER, POINTER})
        MethodHandle quantize,

        @Symbol(
                value = "ln_quantize_absmax",
                takes = {POINTER, POINTER, INT64, INT64, POINTER, POINTER, POINTER, POINTER})
        MethodHandle quantizeAbsmax,

        @Symbol(
                value = "ln_dequantize",
                takes = {POINTER, POINTER, INT32, INT64, INT64, POINTER, INT32})
        MethodHandle dequantize,

        @Symbol(
                value = "ln_matmul",
                takes = {POINTER, POINTER})
        MethodHandle matmul,

        @Symbol(
                value = "ln_linear_fwd",
                takes = {POINTER, POINTER})
        MethodHandle linearForward,

        @Symbol(
                value = "ln_linear_bwd",
                takes = {POINTER, POINTER})
        MethodHandle linearBackward,

        @Symbol(
                value = "ln_joint_linear_fwd",
                takes = {POINTER, POINTER})
        MethodHandle jointLinearForward,

        @Symbol(
                value = "ln_joint_linear_bwd",
                takes = {POINTER, POINTER})
        MethodHandle jointLinearBackward,

        @Symbol(
                value = "ln_grouped_linear_fwd",
                takes = {POINTER, POINTER})
        MethodHandle groupedLinearForward,

        @Symbol(
                value = "ln_grouped_linear_bwd",
                takes = {POINTER, POINTER})
        MethodHandle groupedLinearBackward,

        @Symbol(
                value = "ln_grouped_gated_fwd",
                takes = {POINTER, POINTER})
        MethodHandle groupedGatedForward,

        @Symbol(
                value = "ln_grouped_gated_bwd",
                takes = {POINTER, POINTER})
        MethodHandle groupedGatedBackward,

        @Symbol(
                value = "ln_grouped_down_bwd",
                takes = {POINTER, POINTER})
        MethodHandle groupedDownBackward,

        @Symbol(
                value = "ln_dora_norms",
                takes = {POINTER, POINTER, INT32, POINTER, POINTER, FLOAT, POINTER, INT64, INT64, INT64})
        MethodHandle doraNorms,

        @Symbol(
                value = "ln_dora_fwd",
                takes = {POINTER, POINTER})
        MethodHandle doraForward,

        @Symbol(
                value = "ln_dora_bwd",
                takes = {POINTER, POINTER})
        MethodHandle doraBackward,

        @Symbol(
                value = "ln_embedding_fwd",
                takes = {POINTER, POINTER, INT32, POINTER, POINTER, INT64, INT64, INT64})
        MethodHandle embeddingForward,

        @Symbol(
                value = "ln_embedding_bwd",
                takes = {POINTER, POINTER, POINTER, POINTER, INT64, INT64, INT64})
        MethodHandle embeddingBackward,

        @Symbol(
                value = "ln_embedding_rows_fwd",
                takes = {POINTER, POINTER, POINTER, POINTER, POINTER, INT64, INT64, INT64, INT64})
        MethodHandle embeddingRowsForward,

        @Symbol(
                value = "ln_embedding_rows_bwd",
                takes = {POINTER, POINTER, POINTER, POINTER, POINTER, INT64, INT64, INT64, INT64})
        MethodHandle embeddingRowsBackward,

        @Symbol(
                value = "ln_rmsnorm_fwd",
                takes = {POINTER, POINTER})
        MethodHandle rmsNormForward,

        @Symbol(
                value = "ln_rmsnorm_bwd",
                takes = {POINTER, POINTER})
        MethodHandle rmsNormBackward,

        @Symbol(
                value = "ln_rope",
                takes = {POINTER, POINTER})
        MethodHandle rope,

        @Symbol(
                value = "ln_attention_fwd",
                takes = {POINTER, POINTER})
        MethodHandle attentionForward,

        @Symbol(
                value = "ln_attention_bwd",
                takes = {POINTER, POINTER})
        MethodHandle attentionBackward,

        @Symbol(
                value = "ln_gated_activation_fwd",
                takes = {POINTER, INT32, POINTER, POINTER, POINTER, INT64})
        MethodHandle gatedActivationForward,

        @Symbol(
                value = "ln_gated_activation_bwd",
                takes = {POINTER, INT32, POINTER, POINTER, POINTER, POINTER, POINTER, INT64})
        MethodHandle gatedActivationBackward,

        @Symbol(
                value = "ln_sigmoid_gate_fwd",
                takes = {POINTER, POINTER, POINTER, POINTER, INT64, INT64, INT32})
        MethodHandle sigmoidGateForward,

        @Symbol(
                value = "ln_sigmoid_gate_bwd",
                takes = {POINTER, POINTER, POINTER, POINTER, POINTER, POINTER, INT64, INT64})
        MethodHandle sigmoidGateBackward,

        @Symbol(
                value = "ln_axpby",
                takes = {POINTER, FLOAT, POINTER, FLOAT, POINTER, INT64})
        MethodHandle axpby,

        @Symbol(
                value = "ln_cast",
                takes = {POINTER, POINTER, INT32, POINTER, INT32, INT64})
        MethodHandle cast,

        @Symbol(
                value = "ln_clamp_fwd",
                takes = {POINTER, POINTER, INT64, FLOAT})
        MethodHandle clampForward,

        @Symbol(
                value = "ln_clamp_bwd",
                takes = {POINTER, POINTER, POINTER, INT64, FLOAT})
        MethodHandle clampBackward,

        @Symbol(
                value = "ln_dropout",
                takes = {POINTER, POINTER, POINTER, INT64, FLOAT, INT64, INT64, INT32})
        MethodHandle dropout,

        @Symbol(
                value = "ln_router_fwd",
                takes = {POINTER, POINTER})
        MethodHandle routerForward,

        @Symbol(
                value = "ln_router_bwd",
                takes = {POINTER, POINTER})
        MethodHandle routerBackward,

        @Symbol(
                value = "ln_load_balancing_loss",
                takes = {POINTER, POINTER, POINTER, INT64, INT64, FLOAT, POINTER, POINTER})
        MethodHandle loadBalancingLoss,

        @Symbol(
                value = "ln_moe_plan",
                takes = {POINTER, POINTER})
        MethodHandle moePlan,

        @Symbol(
                value = "ln_gather_rows",
                takes = {POINTER, POINTER, POINTER, POINTER, INT64, INT64, INT64})
        MethodHandle gatherRows,

        @Symbol(
                value = "ln_scatter_rows",
                takes = {POINTER, POINTER, POINTER, POINTER, INT64, INT64, INT64})
        MethodHandle scatterRows,

        @Symbol(
                value = "ln_gather_columns",
                takes = {POINTER, POINTER, POINTER, POINTER, INT64, INT64, INT64})
        MethodHandle gatherColumns,

        @Symbol(
                value = "ln_add_columns",
                takes = {POINTER, POINTER, POINTER, POINTER, INT64, INT64, INT64})
        MethodHandle addColumns,

        @Symbol(
                value = "ln_moe_combine_fwd",
                takes = {POINTER, POINTER, POINTER, POINTER, POINTER, INT64, INT64, INT64, INT32})
        MethodHandle moeCombineForward,

        @Symbol(
                value = "ln_moe_combine_bwd",
                takes = {POINTER, POINTER, POINTER, POINTER, POINTER, POINTER, POINTER, INT64, INT64, INT64})
        MethodHandle moeCombineBackward,

        @Symbol(
                value = "ln_cross_entropy",
                takes = {POINTER, POINTER, POINTER, POINTER, INT64, INT64, FLOAT, INT32})
        MethodHandle crossEntropy,

        @Symbol(
                value = "ln_sum",
                takes = {POINTER, POINTER, INT64, POINTER})
        MethodHandle sum,

        @Symbol(
                value = "ln_sum_of_squares",
                takes = {POINTER, POINTER, INT64, POINTER})
        MethodHandle sumOfSquares,

        @Symbol(
                value = "ln_column_sums",
                takes = {POINTER, POINTER, POINTER, INT64, INT64})
        MethodHandle columnSums,

        @Symbol(
                value = "ln_gradient_scale",
                takes = {POINTER, POINTER, INT64, DOUBLE, POINTER})
        MethodHandle gradientScale,

        @Symbol(
                value = "ln_adamw",
                takes = {POINTER, POINTER})
        MethodHandle adamW,

        @Symbol(
                value = "ln_adamw_8bit",
                takes = {POINTER, POINTER})
        MethodHandle adamW8Bit) {

    /** Binds every component; a symbol that the library lacks is named. */
    static Kernels bind(SymbolLookup library) {
        RecordComponent[] components = Kernels.class.getRecordComponents();
        Class<?>[] types = new Class<?>[components.length];
        Object[] handles = new Object[components.length];
        for (int i = 0; i < components.length; i++) {
            types[i] = MethodHandle.class;
            handles[i] = bind(library, components[i].getAnnotation(Symbol.class));
        }
        try {
            return Kernels.class.getDeclaredConstructor(types).newInstance(handles);
        } catch (ReflectiveOperationException e) {
            throw new AssertionError(e);
        }
    }

    private static MethodHandle bind(SymbolLookup library, Symbol symbol) {
        Optional<java.lang.foreign.MemorySegment> address = library.find(symbol.value());
        if (address.isEmpty()) {
            throw new UnsatisfiedLinkError("the native library has no symbol " + symbol.value());
        }
        MemoryLayout[] parameters =
                Arrays.stream(symbol.takes()).map(Carrier::layout).toArray(MemoryLayout[]::new);
        FunctionDescriptor descriptor = FunctionDescriptor.of(symbol.returns().layout(), parameters);
        return Linker.nativeLinker().downcallHandle(address.get(), descriptor);
    }
}
