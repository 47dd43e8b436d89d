/*
 * lora_native.h: the kernels of lora-native as a C library.
 *
 * One header, several libraries with exactly this symbol set: liblora_native_cpu, liblora_native_cuda.
 * Rules:
 *
 *  - Kernels are stateless. They work on memory that the caller owns (host memory for the CPU library, device memory
 * for CUDA), allocate nothing and keep nothing between calls. What they need besides is the context's scratch
 * (ln_context_set_scratch).
 *  - Every function returns a status; on failure ln_last_error gives one line that names the function, the argument and
 * its value. Arguments are checked before anything is written.
 *  - All matrices are row-major. Shapes are written [rows, columns]. Sizes are counts of elements, leading dimensions
 * (ld...) too.
 *  - Arithmetic is float32. Weights may be of any ln_dtype, those of 4 bits through ln_quantized; norm weights, biases
 * and what is cast are float32, bfloat16 or float16; activations, adapters, gradients are float32.
 *  - Gradients of parameters (grad_...) accumulate (+=). Gradients of activations (d...) are written (=) unless an
 * argument `accumulate` is 1.
 *  - Results depend on arguments and on the SIMD tier, never on the number of threads or on timing.
 *  - Pointers must be aligned to their element size; NULL is allowed only where the comment says so. Outputs must not
 * overlap inputs unless the comment says so.
 *  - A context is used by one thread at a time. Structs are passed by address and not kept.
 *  - Sizes of 0 are legal for tokens/rows and mean: nothing to do (accumulating outputs stay, written outputs have no
 * elements).
 */
#ifndef LORA_NATIVE_H
#define LORA_NATIVE_H

#include <stdint.h>

#if defined(_WIN32)
#define LN_API __declspec(dllexport)
#else
#define LN_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Raised by one whenever a prototype or a struct changes. */
#define LN_ABI_VERSION 6

enum ln_status {
  LN_OK = 0,
  LN_INVALID_ARGUMENT = 1,  /* a pointer, size or value is not allowed */
  LN_UNSUPPORTED = 2,       /* legal, but this library or machine cannot do it */
  LN_SCRATCH_TOO_SMALL = 3, /* ln_context_set_scratch with at least ln_scratch_bytes(...) first */
  LN_OUT_OF_MEMORY = 4,     /* creating a context only */
  LN_INTERNAL = 5,          /* a defect of the library */
  LN_DEVICE_ERROR = 6       /* the device or its driver reports an error; the text has its name */
};

/* LN_NF4 and LN_FP4: frozen weights of 4 bits (QLoRA, Dettmers et al. 2023). Only weight_dtype of the linear layers,
 * b_dtype of ln_matmul and table_dtype of ln_embedding_fwd take them; the weight's pointer, and every entry of
 * weights[] of a grouped layer, is then the address of an ln_quantized. */
enum ln_dtype { LN_F32 = 0, LN_BF16 = 1, LN_F16 = 2, LN_NF4 = 3, LN_FP4 = 4 };

/* SIMD tier of the CPU library. REFERENCE is the plain scalar specification; the others are the fast versions. */
enum ln_simd {
  LN_SIMD_AUTO = 0,
  LN_SIMD_REFERENCE = 1,
  LN_SIMD_GENERIC = 2,
  LN_SIMD_AVX2 = 3,
  LN_SIMD_AVX512 = 4,
  LN_SIMD_NEON = 5
};

enum ln_activation { LN_SILU = 0, LN_GELU_TANH = 1, LN_GELU_ERF = 2 };

/* What dense products and attention multiply in; sums are float32 always. The CPU library knows float32 alone; on CUDA
 * AUTO is bfloat16, to which operands are rounded on their way into the tensor cores. */
enum ln_precision { LN_PRECISION_AUTO = 0, LN_PRECISION_F32 = 1, LN_PRECISION_BF16 = 2 };

/* Who computes dense products on CUDA: own kernels, or cuBLAS 13 or 12 where one can be loaded. AUTO: cuBLAS if there
 * is one. The CPU library takes AUTO and OWN. */
enum ln_gemm { LN_GEMM_AUTO = 0, LN_GEMM_OWN = 1, LN_GEMM_CUBLAS = 2 };

enum ln_query_what {
  LN_QUERY_SIMD = 0,               /* ln_simd in use (CPU) */
  LN_QUERY_THREADS = 1,            /* threads in use (CPU) */
  LN_QUERY_SIMD_BEST = 2,          /* best ln_simd of this machine (CPU) */
  LN_QUERY_GEMM = 3,               /* ln_gemm in use, never AUTO */
  LN_QUERY_COMPUTE_CAPABILITY = 4, /* 90 for 9.0 (CUDA) */
  LN_QUERY_CUBLAS_VERSION = 5,     /* as cublasGetVersion, 0 without cuBLAS (CUDA) */
  LN_QUERY_PRECISION = 6           /* ln_precision in use, never AUTO */
};

/* ---- context
 * ------------------------------------------------------------------------------------------------------------- */

typedef struct ln_context ln_context;

typedef struct ln_context_options {
  int32_t device;    /* -1: CPU; otherwise the CUDA device number */
  int32_t threads;   /* CPU worker threads, 0: one per processor this process may use */
  int32_t simd;      /* ln_simd; LN_SIMD_AUTO: the best one (environment variable LORA_NATIVE_SIMD overrides AUTO) */
  int32_t precision; /* ln_precision */
  int32_t gemm;      /* ln_gemm */
  int32_t reserved;
  void* stream; /* CUDA stream, NULL on the CPU */
} ln_context_options;

LN_API int32_t ln_abi_version(void);

/* On failure *context is NULL and ln_last_error(NULL) has the text (per thread). */
LN_API int32_t ln_context_create(const ln_context_options* options, ln_context** context);
LN_API int32_t ln_context_destroy(ln_context* context);

/* Text of the context's last failure, "" if there was none; valid until the next call with this context. */
LN_API const char* ln_last_error(const ln_context* context);

/* Kernels on a device run after their call has returned, so a fault shows as LN_DEVICE_ERROR of a later call, or where
 * the caller waits for the stream. Text that names, with their sizes, the calls of this context that it can be of, the
 * oldest first: those whose kernels the device is not known to have finished, up to 16 kernels; with
 * CUDA_LAUNCH_BLOCKING=1 in the environment the one call. Does not wait. "" where there is none, as always on the CPU;
 * valid until the next call with this context. */
LN_API const char* ln_unfinished(ln_context* context);

LN_API int32_t ln_query(ln_context* context, int32_t what, int64_t* value);

/* Working memory for the kernels, at least 64-byte aligned; kept until replaced. NULL with 0 bytes takes it away. */
LN_API int32_t ln_context_set_scratch(ln_context* context, void* scratch, int64_t bytes);

/* Ops that need scratch; args is the address of the op's argument struct, of which only sizes, dtypes and flags are
 * read, those of layers[] too. An op that fails with LN_SCRATCH_TOO_SMALL has written nothing. */
enum ln_op {
  LN_OP_MATMUL = 0,             /* ln_matmul_args */
  LN_OP_LINEAR_FWD = 1,         /* ln_linear_fwd_args */
  LN_OP_LINEAR_BWD = 2,         /* ln_linear_bwd_args */
  LN_OP_GROUPED_LINEAR_FWD = 3, /* ln_grouped_linear_fwd_args */
  LN_OP_GROUPED_LINEAR_BWD = 4, /* ln_grouped_linear_bwd_args */
  LN_OP_ATTENTION_FWD = 5,      /* ln_attention_args */
  LN_OP_ATTENTION_BWD = 6,      /* ln_attention_args */
  LN_OP_MOE_PLAN = 7,           /* ln_moe_plan_args */
  LN_OP_GROUPED_GATED_FWD = 8,  /* ln_grouped_gated_fwd_args */
  LN_OP_GROUPED_GATED_BWD = 9,  /* ln_grouped_gated_bwd_args */
  LN_OP_GROUPED_DOWN_BWD = 10,  /* ln_grouped_down_bwd_args */
  LN_OP_JOINT_LINEAR_FWD = 11,  /* ln_joint_linear_fwd_args */
  LN_OP_JOINT_LINEAR_BWD = 12   /* ln_joint_linear_bwd_args */
};
LN_API int32_t ln_scratch_bytes(ln_context* context, int32_t op, const void* args, int64_t* bytes);

/* ---- 4-bit weights
 * --------------------------------------------------------------------------------------------------------- */

/* A weight of LN_NF4 or LN_FP4 as bitsandbytes stores it; the struct lies in device memory as the arrays do.
 * Elements are numbered row-major over the whole [out,in]. Byte i of codes holds element 2i in its high and 2i+1 in its
 * low four bits. Element e belongs to block e / block, also where a block runs on into the next row:
 *   value(e) = table[code(e)] * scale(e / block)                     (one float32 multiplication)
 *   scale(b) = absmax[b], or with double quantisation
 *   scale(b) = nested_code[absmax[b]] * nested_absmax[b / nested_block] + offset    (product rounded, then the sum)
 * LN_NF4's table holds, rising, the values that split the normal distribution into 16 equal parts (0 is code 7);
 * LN_FP4's 0, 1/192, 2/3, 1, 1/3, 1/2, 1/6, 1/4 and from code 8 on their negatives (code 8 is -0). */
typedef struct ln_quantized {
  const uint8_t* codes; /* [(elements + 1) / 2] */
  const void* absmax;   /* float [blocks], or uint8_t [blocks] with nested_absmax; blocks = ceil(elements/block) */
  const float* nested_absmax; /* [ceil(blocks / nested_block)], NULL: no double quantisation */
  const float* nested_code;   /* [256]; read with nested_absmax only, as nested_block and offset are */
  int64_t elements;           /* out * in */
  int64_t block;              /* a power of two, 32 to 4096 */
  int64_t nested_block;       /* a power of two; 256 in every known checkpoint */
  float offset;
  int32_t reserved;
} ln_quantized;

/* codes [(n + 1) / 2] and absmax [ceil(n / block)] of src[n] (LN_F32, LN_BF16 or LN_F16), type LN_NF4 or LN_FP4:
 *   absmax[b] = max |x| over block b;   r = x * (1 / max(absmax[b], 1e-38)) in float32;   code = that of r
 * LN_NF4: the number of midpoints between neighbours of the table that are below r, so a tie takes the lower code.
 * LN_FP4: by |r| against the midpoints 0.00260417, 0.0859375, 0.20833333, 0.29166667, 0.4166667, 0.583333, 0.8333333
 * (a tie takes the smaller magnitude), and 8 more where x < 0. A block of zeros gets codes of 0; so does the unused
 * half of the last byte. NaN or infinity is LN_INVALID_ARGUMENT that names its first place; what was written is
 * undefined then. */
LN_API int32_t ln_quantize(ln_context* context, const void* src, int32_t src_dtype, int64_t n, int32_t type,
                           int64_t block, uint8_t* codes, float* absmax);

/* Double quantisation of absmax[n], with `codes` becoming ln_quantized.absmax:
 *   *offset = mean(absmax);   d = absmax - *offset;   nested_absmax[i] = max |d| over nested block i
 *   codes[b] = the number of the entry of nested_code[256] (rising) nearest to d * (1 / nested_absmax[b /
 * nested_block]), the even number where two are as near; 0 where nested_absmax is 0. The mean is summed in float32 in
 * the order that torch has on x86 with one thread. absmax that is not finite is LN_INVALID_ARGUMENT. */
LN_API int32_t ln_quantize_absmax(ln_context* context, const float* absmax, int64_t n, int64_t nested_block,
                                  const float* nested_code, uint8_t* codes, float* nested_absmax, float* offset);

/* dst = elements [first, first + count) of the weight, of type LN_NF4 or LN_FP4, as dst_dtype (LN_F32, LN_BF16 or
 * LN_F16; rounded once, to nearest even). */
LN_API int32_t ln_dequantize(ln_context* context, const ln_quantized* weight, int32_t type, int64_t first,
                             int64_t count, void* dst, int32_t dst_dtype);

/* ---- matrix products
 * ------------------------------------------------------------------------------------------------------ */

/* c[m,n] = alpha * op(a)[m,k] . op(b)[k,n] + beta * c + bias[n]
 * op(x) is x or its transpose: with transpose_a, a is stored [k,m]; with transpose_b, b is stored [n,k].
 * beta == 0 does not read c. b may have any ln_dtype, a all but the 4-bit ones; a 4-bit b has no gaps between its rows.
 */
typedef struct ln_matmul_args {
  const void* a;
  const void* b;
  const void* bias; /* [n] or NULL */
  float* c;
  int64_t m, n, k;
  int64_t lda, ldb, ldc;
  int32_t a_dtype, b_dtype, bias_dtype;
  int32_t transpose_a, transpose_b;
  float alpha, beta;
  int32_t reserved;
} ln_matmul_args;
LN_API int32_t ln_matmul(ln_context* context, const ln_matmul_args* args);

/* A linear layer with an optional LoRA adapter (Hu et al. 2021), all dense and contiguous:
 *   u[rows,rank]  = lora_x[rows,in] . lora_a[rank,in]^T                      (kept for the backward pass)
 *   y[rows,out]   = x[rows,in] . weight[out,in]^T + bias[out] + lora_scale * u . lora_b[out,rank]^T
 * rank 0: no adapter; u, lora_x, lora_a, lora_b are then not read. lora_x NULL: x (no dropout). */
typedef struct ln_linear_fwd_args {
  const float* x;
  const float* lora_x;
  const void* weight;
  const void* bias; /* or NULL */
  const float* lora_a;
  const float* lora_b;
  float* u;
  float* y;
  int64_t rows, in, out, rank;
  int32_t weight_dtype, bias_dtype;
  float lora_scale;
  int32_t reserved;
} ln_linear_fwd_args;
LN_API int32_t ln_linear_fwd(ln_context* context, const ln_linear_fwd_args* args);

/* Backward of ln_linear_fwd for frozen weight and bias:
 *   v[rows,rank]   = lora_scale * dy[rows,out] . lora_b[out,rank]            (written)
 *   grad_b[out,rank] += lora_scale * dy^T . u
 *   grad_a[rank,in]  += v^T . lora_x
 *   dlora_x        = v . lora_a            if dlora_x is given (dropout between x and the adapter)
 *   dx             = dy . weight (+ v . lora_a if dlora_x is NULL)           (+= with accumulate)
 * dx NULL: the input needs no gradient (dlora_x must be NULL too). grad_a and grad_b NULL: the adapter is frozen. */
typedef struct ln_linear_bwd_args {
  const float* dy;
  const float* x;
  const float* lora_x; /* NULL: x */
  const void* weight;
  const float* lora_a;
  const float* lora_b;
  const float* u;
  float* v;
  float* grad_a;
  float* grad_b;
  float* dx;
  float* dlora_x;
  int64_t rows, in, out, rank;
  int32_t weight_dtype;
  int32_t accumulate;
  float lora_scale;
  int32_t reserved;
} ln_linear_bwd_args;
LN_API int32_t ln_linear_bwd(ln_context* context, const ln_linear_bwd_args* args);

#define LN_JOINT_LAYERS 4

/* ln_linear_fwd of `count` layers (1 to LN_JOINT_LAYERS) that read the same x, as the query, key and value projections
 * do: x, rows and in are the same in all, lora_x is NULL. x is read once for all products, those of the weights and
 * those of the adapters. Outputs do not overlap. */
typedef struct ln_joint_linear_fwd_args {
  const ln_linear_fwd_args* layers; /* [count], in host memory, not kept */
  int64_t count;
} ln_joint_linear_fwd_args;
LN_API int32_t ln_joint_linear_fwd(ln_context* context, const ln_joint_linear_fwd_args* args);

/* Backward of ln_joint_linear_fwd: ln_linear_bwd of all layers, of which x, dx, rows, in and accumulate are the same in
 * all, lora_x and dlora_x NULL.
 *   dx (+)= sum over the layers of dy . weight + v . lora_a */
typedef struct ln_joint_linear_bwd_args {
  const ln_linear_bwd_args* layers; /* [count], in host memory, not kept */
  int64_t count;
} ln_joint_linear_bwd_args;
LN_API int32_t ln_joint_linear_bwd(ln_context* context, const ln_joint_linear_bwd_args* args);

/* ln_linear_fwd for every expert e on its rows offsets[e] <= row < offsets[e+1] (rows sorted by expert; offsets[0] = 0,
 * offsets[experts] = rows). weights[e] is [out,in]. Adapters: lora_a, lora_b, ranks, scales have one entry per expert;
 * ranks[e] = 0 means none for that expert. u is [rows,max_rank], row r holding its expert's ranks[e] values first, the
 * rest is written as 0. max_rank 0: no adapter at all, the adapter pointers are not read. All tables lie in device
 * memory. */
typedef struct ln_grouped_linear_fwd_args {
  const float* x;
  const float* lora_x; /* NULL: x */
  const int32_t* offsets;
  const void* const* weights;
  const float* const* lora_a;
  const float* const* lora_b;
  const int32_t* ranks;
  const float* scales;
  float* u;
  float* y;
  int64_t rows, in, out, experts, max_rank;
  int32_t weight_dtype;
  int32_t reserved;
} ln_grouped_linear_fwd_args;
LN_API int32_t ln_grouped_linear_fwd(ln_context* context, const ln_grouped_linear_fwd_args* args);

/* ln_linear_bwd for every expert. grad_a[e], grad_b[e] accumulate; an expert without rows leaves them as they are. */
typedef struct ln_grouped_linear_bwd_args {
  const float* dy;
  const float* x;
  const float* lora_x; /* NULL: x */
  const int32_t* offsets;
  const void* const* weights;
  const float* const* lora_a;
  const float* const* lora_b;
  const int32_t* ranks;
  const float* scales;
  const float* u;
  float* v; /* [rows,max_rank] */
  float* const* grad_a;
  float* const* grad_b;
  float* dx;      /* or NULL */
  float* dlora_x; /* or NULL */
  int64_t rows, in, out, experts, max_rank;
  int32_t weight_dtype;
  int32_t accumulate;
} ln_grouped_linear_bwd_args;
LN_API int32_t ln_grouped_linear_bwd(ln_context* context, const ln_grouped_linear_bwd_args* args);

/* The first half of gated MLPs for all experts: two ln_grouped_linear_fwd over the same rows and the activation behind
 * them. For a row r of expert e, with the adapters of each side as there, both reading x:
 *   gate[r,:] = x[r,:] . gate_weights[e]^T (+ adapter);  up[r,:] = x[r,:] . up_weights[e]^T (+ adapter)
 *   y[r,:] = f(gate[r,:]) * up[r,:],   f as in ln_gated_activation_fwd
 * gate and up are [rows,out] and wanted for the backward pass; both NULL: only y is. gate_u [rows,gate_max_rank] and
 * up_u [rows,up_max_rank] as u there. A side with max_rank 0 has no adapters, and their pointers are not read. */
typedef struct ln_grouped_gated_fwd_args {
  const float* x;
  const int32_t* offsets;
  const void* const* gate_weights;
  const float* const* gate_lora_a;
  const float* const* gate_lora_b;
  const int32_t* gate_ranks;
  const float* gate_scales;
  float* gate_u;
  const void* const* up_weights;
  const float* const* up_lora_a;
  const float* const* up_lora_b;
  const int32_t* up_ranks;
  const float* up_scales;
  float* up_u;
  float* gate; /* [rows,out] or NULL */
  float* up;   /* [rows,out] or NULL */
  float* y;    /* [rows,out], neither gate nor up */
  int64_t rows, in, out, experts, gate_max_rank, up_max_rank;
  int32_t weight_dtype;
  int32_t activation; /* ln_activation */
} ln_grouped_gated_fwd_args;
LN_API int32_t ln_grouped_gated_fwd(ln_context* context, const ln_grouped_gated_fwd_args* args);

/* gate and up, as the forward pass gave them, are replaced by their gradients dgate = dy * up * f'(gate) and
 * dup = dy * f(gate); with dy NULL they are these gradients already (ln_grouped_down_bwd). The rest is
 * ln_grouped_linear_bwd of both sides:
 *   dx[r,:] = dgate[r,:] . gate_weights[e] + dup[r,:] . up_weights[e] (+ through the adapters)
 * gate_grad_a[e], ... accumulate; an expert without rows leaves them as they are. */
typedef struct ln_grouped_gated_bwd_args {
  const float* dy; /* or NULL */
  const float* x;
  const int32_t* offsets;
  const void* const* gate_weights;
  const float* const* gate_lora_a;
  const float* const* gate_lora_b;
  const int32_t* gate_ranks;
  const float* gate_scales;
  const float* gate_u;
  float* gate_v;             /* [rows,gate_max_rank] */
  float* const* gate_grad_a; /* or both NULL */
  float* const* gate_grad_b;
  const void* const* up_weights;
  const float* const* up_lora_a;
  const float* const* up_lora_b;
  const int32_t* up_ranks;
  const float* up_scales;
  const float* up_u;
  float* up_v;             /* [rows,up_max_rank] */
  float* const* up_grad_a; /* or both NULL */
  float* const* up_grad_b;
  float* gate; /* [rows,out] */
  float* up;   /* [rows,out] */
  float* dx;   /* [rows,in] or NULL */
  int64_t rows, in, out, experts, gate_max_rank, up_max_rank;
  int32_t weight_dtype;
  int32_t activation; /* ln_activation */
} ln_grouped_gated_bwd_args;
LN_API int32_t ln_grouped_gated_bwd(ln_context* context, const ln_grouped_gated_bwd_args* args);

/* Backward of the second half of gated MLPs for all experts, and of the sum of a token's rows behind it. Row
 * r = rows_of_pairs[t*top_k+j] is that of token t and its choice j, rows sorted by expert; forward, for expert e of r,
 *   inner[r,:] = f(gate[r,:]) * up[r,:];  y[t,:] += scores[t,j] * (inner[r,:] . weights[e]^T (+ adapter))
 * The outputs of the experts are neither read nor needed: with g[r,:] the gradient of inner[r,:] before its score,
 *   v[r,:] = scales[e] * dy[t,:] . lora_b[e];  g[r,:] = dy[t,:] . weights[e] + v[r,:] . lora_a[e]
 *   dscores[t,j] = sum(g[r,:] * inner[r,:])
 *   gate[r,:] := scores[t,j] * g[r,:] * up[r,:] * f'(gate[r,:]);  up[r,:] := scores[t,j] * g[r,:] * f(gate[r,:])
 * and for adapters that are not frozen, who have their row's score from u, which is multiplied by it, and from `inner`:
 *   u[r,:] := scores[t,j] * u[r,:];  grad_b[e] += scales[e] * sum over r of dy[t,:]^T . u[r,:]
 *   inner[r,:] := scores[t,j] * inner[r,:];  grad_a[e] += v^T . inner
 * An expert without rows leaves its gradients as they are. rows_of_pairs is a permutation of 0 .. tokens*top_k-1. */
typedef struct ln_grouped_down_bwd_args {
  const float* dy;              /* [tokens,out] */
  const int32_t* rows_of_pairs; /* [tokens,top_k] */
  const float* scores;          /* [tokens,top_k] */
  float* dscores;               /* [tokens,top_k], written */
  const int32_t* offsets;
  const void* const* weights; /* of [out,in] */
  const float* const* lora_a;
  const float* const* lora_b;
  const int32_t* ranks;
  const float* scales;
  float* u;             /* [tokens*top_k,max_rank]; not read without grad_b */
  float* v;             /* [tokens*top_k,max_rank], written */
  float* const* grad_a; /* or both NULL */
  float* const* grad_b;
  float* gate;  /* [tokens*top_k,in] */
  float* up;    /* [tokens*top_k,in] */
  float* inner; /* [tokens*top_k,in], written: inner times its score; NULL where nobody reads it (no grad_a) */
  int64_t tokens, top_k, in, out, experts, max_rank;
  int32_t weight_dtype;
  int32_t activation; /* ln_activation */
} ln_grouped_down_bwd_args;
LN_API int32_t ln_grouped_down_bwd(ln_context* context, const ln_grouped_down_bwd_args* args);

/* ---- weight-decomposed adapters (DoRA, Liu et al. 2024)
 * ------------------------------------------------------------------------------------------------------------------ */

/* norms[o] = || weight[o,:] + scale * lora_b[o,:] . lora_a ||_2, the lengths of the rows of the adapted weight, without
 * that matrix: weight [out,in] of weight_dtype, lora_a [rank,in], lora_b [out,rank], norms [out]. rank 0: of the weight
 * alone, lora_a and lora_b are not read. */
LN_API int32_t ln_dora_norms(ln_context* context, const void* weight, int32_t weight_dtype, const float* lora_a,
                             const float* lora_b, float scale, float* norms, int64_t out, int64_t in, int64_t rank);
/* y[r,o] (+)= factor[o] * z[r,o] + bias[o];  factor[o] = magnitude[o] / norms[o], 0 where norms[o] is 0 (z is 0 there).
 * z = x . (weight + scale * lora_b . lora_a)^T as ln_linear_fwd gives it without a bias. y may be z. */
typedef struct ln_dora_fwd_args {
  const float* z; /* [rows,out] */
  const float* magnitude;
  const float* norms;
  const void* bias; /* or NULL */
  float* y;
  int64_t rows, out;
  int32_t bias_dtype;
  int32_t accumulate;
} ln_dora_fwd_args;
LN_API int32_t ln_dora_fwd(ln_context* context, const ln_dora_fwd_args* args);
/* Backward of ln_dora_fwd with norms held constant, as DoRA does:
 *   dz[r,o] = factor[o] * dy[r,o];   grad_magnitude[o] += sum_r dy[r,o] * z[r,o] / norms[o]
 * dz may be dy or z. grad_magnitude NULL: frozen, z is not read. */
typedef struct ln_dora_bwd_args {
  const float* dy;
  const float* z;
  const float* magnitude;
  const float* norms;
  float* dz;
  float* grad_magnitude; /* or NULL */
  int64_t rows, out;
} ln_dora_bwd_args;
LN_API int32_t ln_dora_bwd(ln_context* context, const ln_dora_bwd_args* args);

/* ---- embedding
 * ------------------------------------------------------------------------------------------------------------ */

/* y[t,:] = table[ids[t],:]; table [vocabulary,width] of table_dtype (any ln_dtype). An id outside the vocabulary is
 * LN_INVALID_ARGUMENT on the CPU (nothing is written then) and undefined on CUDA. */
LN_API int32_t ln_embedding_fwd(ln_context* context, const void* table, int32_t table_dtype, const int32_t* ids,
                                float* y, int64_t tokens, int64_t vocabulary, int64_t width);
/* grad_table[ids[t],:] += dy[t,:], in the order of t. */
LN_API int32_t ln_embedding_bwd(ln_context* context, const float* dy, const int32_t* ids, float* grad_table,
                                int64_t tokens, int64_t vocabulary, int64_t width);
/* Some rows of a table are replaced: slots [vocabulary] holds the row of `rows` [count,width] that stands for an id, -1
 * for none.  y[t,:] = rows[slots[ids[t]],:]; where there is none y[t,:] stays. An id outside the vocabulary, or a slot
 * of an id in use outside [-1, count), is LN_INVALID_ARGUMENT on the CPU (nothing is written then). */
LN_API int32_t ln_embedding_rows_fwd(ln_context* context, const float* rows, const int32_t* slots, const int32_t* ids,
                                     float* y, int64_t tokens, int64_t vocabulary, int64_t count, int64_t width);
/* grad_rows[slots[ids[t]],:] += dy[t,:], in the order of t, for the tokens that have a row. */
LN_API int32_t ln_embedding_rows_bwd(ln_context* context, const float* dy, const int32_t* slots, const int32_t* ids,
                                     float* grad_rows, int64_t tokens, int64_t vocabulary, int64_t count,
                                     int64_t width);

/* ---- RMSNorm (Zhang & Sennrich 2019)
 * --------------------------------------------------------------------------------------- */

/* z = x + residual (residual NULL: z = x);  rstd[row] = 1 / sqrt(mean(z^2) + epsilon);  y = z * rstd * weight
 * z is written to `sum` if given (may be x or residual itself). Rows of per-head norms are (token, head) pairs of
 * head_dim. */
typedef struct ln_rmsnorm_fwd_args {
  const float* x;
  const float* residual; /* or NULL */
  const void* weight;    /* [width] */
  float* sum;            /* [rows,width] or NULL */
  float* y;              /* may be x; not sum */
  float* rstd;           /* [rows] or NULL */
  int64_t rows, width;
  float epsilon;
  int32_t weight_dtype;
} ln_rmsnorm_fwd_args;
LN_API int32_t ln_rmsnorm_fwd(ln_context* context, const ln_rmsnorm_fwd_args* args);

/* With g = dy * weight and n = z * rstd:  dx = rstd * (g - n * mean(g * n)) (+ dresidual);  grad_weight += sum_rows(dy
 * * n) z is what was normalised (`sum` of the forward pass). dx may be dy or dresidual. */
typedef struct ln_rmsnorm_bwd_args {
  const float* dy;
  const float* z;
  const void* weight;
  const float* rstd;
  const float* dresidual; /* [rows,width] or NULL */
  float* dx;
  float* grad_weight; /* [width] or NULL */
  int64_t rows, width;
  int32_t weight_dtype;
  int32_t reserved;
} ln_rmsnorm_bwd_args;
LN_API int32_t ln_rmsnorm_bwd(ln_context* context, const ln_rmsnorm_bwd_args* args);

/* ---- rotary position embedding (Su et al. 2021; halves paired as in Llama checkpoints)
 * -------------------------------------- */

/* In place on x [tokens,heads,head_dim]; for i < rotary_dim/2, with c = cosine[p,i], s = sine[p,i], p = positions[t]:
 *   (x[i], x[i+rotary_dim/2]) = (x[i] c - x[i+rotary_dim/2] s,  x[i+rotary_dim/2] c + x[i] s)
 * transpose: s is negated, which is the backward pass. Tables are [table_rows, rotary_dim/2]; elements from rotary_dim
 * on stay. A position outside the tables is LN_INVALID_ARGUMENT on the CPU. */
typedef struct ln_rope_args {
  float* x;
  const float* cosine;
  const float* sine;
  const int32_t* positions;
  int64_t tokens, heads, head_dim, rotary_dim, table_rows;
  int32_t transpose;
  int32_t reserved;
} ln_rope_args;
LN_API int32_t ln_rope(ln_context* context, const ln_rope_args* args);

/* ---- attention
 * ------------------------------------------------------------------------------------------------------------- */

/* Causal attention with grouped query heads over packed sequences, without a [T,T] matrix (FlashAttention, Dao et al.
 * 2022). Sequence s has queries query_offsets[s]..query_offsets[s+1] and keys key_offsets[s]..key_offsets[s+1]; its
 * last query stands at the position of its last key, so query i of Lq sees key j of Lk iff j <= i + (Lk - Lq), and,
 * with window > 0, also j > i + (Lk - Lq) - window. Query head h uses key head h / (heads / key_heads). q, o, dout, dq:
 * [query_tokens, heads, head_dim]    k, v, dk, dv: [key_tokens, key_heads, head_dim] p = softmax(scale * q . k^T), o =
 * p . v, lse[query_tokens, heads] = log sum exp(scale * q . k^T)  (natural logarithm) Forward reads q,k,v and writes
 * o,lse. Backward reads q,k,v,o,lse,dout and writes dq,dk,dv; delta [query_tokens, heads] is working memory. Lk >= Lq.
 * Pointers not used by a pass may be NULL. */
typedef struct ln_attention_args {
  const float* q;
  const float* k;
  const float* v;
  float* o;
  float* lse;
  const float* dout;
  float* dq;
  float* dk;
  float* dv;
  float* delta;
  const int32_t* query_offsets; /* [sequences+1] */
  const int32_t* key_offsets;   /* [sequences+1] */
  int64_t sequences, query_tokens, key_tokens;
  int64_t heads, key_heads, head_dim;
  int64_t window; /* 0: unlimited */
  float scale;
  int32_t reserved;
} ln_attention_args;
LN_API int32_t ln_attention_fwd(ln_context* context, const ln_attention_args* args);
LN_API int32_t ln_attention_bwd(ln_context* context, const ln_attention_args* args);

/* ---- elementwise
 * ----------------------------------------------------------------------------------------------------------- */

/* y = act(gate) * up, n elements; y may be gate or up. */
LN_API int32_t ln_gated_activation_fwd(ln_context* context, int32_t activation, const float* gate, const float* up,
                                       float* y, int64_t n);
/* dgate = dy * up * act'(gate); dup = dy * act(gate). dgate may be gate, dup may be up or dy. */
LN_API int32_t ln_gated_activation_bwd(ln_context* context, int32_t activation, const float* dy, const float* gate,
                                       const float* up, float* dgate, float* dup, int64_t n);
/* y[t,:] (+)= sigmoid(gate[t]) * x[t,:]   x, y [rows,width], gate [rows]; += with accumulate. */
LN_API int32_t ln_sigmoid_gate_fwd(ln_context* context, const float* x, const float* gate, float* y, int64_t rows,
                                   int64_t width, int32_t accumulate);
/* dx = dy * sigmoid(gate);  dgate[t] = sigmoid'(gate[t]) * sum(dy[t,:] * x[t,:]). dx may be x. */
LN_API int32_t ln_sigmoid_gate_bwd(ln_context* context, const float* dy, const float* x, const float* gate, float* dx,
                                   float* dgate, int64_t rows, int64_t width);
/* y = alpha * x + beta * y; beta == 0 does not read y. */
LN_API int32_t ln_axpby(ln_context* context, float alpha, const float* x, float beta, float* y, int64_t n);
/* dst = src converted (round to nearest even). Either may be any ln_dtype but the 4-bit ones. */
LN_API int32_t ln_cast(ln_context* context, const void* src, int32_t src_dtype, void* dst, int32_t dst_dtype,
                       int64_t n);
/* Forward: x clamped to [-limit, limit] in place. */
LN_API int32_t ln_clamp_fwd(ln_context* context, float* x, int64_t n, float limit);
/* dy = 0 where |y| >= limit, y being the clamped value. */
LN_API int32_t ln_clamp_bwd(ln_context* context, const float* y, float* dy, int64_t n, float limit);
/* Inverted dropout: y[i] (+)= keep(i) ? x[i] / (1 - p) : 0, keep(i) depending on seed, stream and i alone:
 * keep(i) iff the 32-bit value of Philox-4x32-10 (Salmon et al. 2011) with key = seed (low, high), counter =
 * (i / 4 low, i / 4 high, stream low, stream high), word i % 4, is >= floor(p * 2^32). The backward pass is the same
 * call on gradients. y may be x. */
LN_API int32_t ln_dropout(ln_context* context, const float* x, float* y, int64_t n, float p, int64_t seed,
                          int64_t stream, int32_t accumulate);

/* ---- mixture of experts
 * ---------------------------------------------------------------------------------------------------- */

/* probabilities[t,:] = softmax(logits[t,:]);  ids[t,:] = the top_k largest, largest first, the lower number first among
 * equals; weights[t,j] = probabilities[t, ids[t,j]], divided by their sum with renormalise. counts[e] += number of
 * (t,j) with ids[t,j] = e;  probability_sums[e] += sum_t probabilities[t,e]   (both or neither NULL).
 * For the z-loss (ST-MoE, Zoph et al. 2022):  log_sum_exp[t] = log(sum_e exp(logits[t,e]));
 * *square_sum += sum_t log_sum_exp[t]^2, in an order that depends on tokens alone. */
typedef struct ln_router_fwd_args {
  const float* logits;      /* [tokens,experts] */
  float* probabilities;     /* [tokens,experts]; may be logits */
  int32_t* ids;             /* [tokens,top_k] */
  float* weights;           /* [tokens,top_k] */
  int64_t* counts;          /* [experts] or NULL */
  double* probability_sums; /* [experts] or NULL */
  float* log_sum_exp;       /* [tokens] or NULL */
  double* square_sum;       /* [1] or NULL; needs log_sum_exp */
  int64_t tokens, experts, top_k;
  int32_t renormalise;
  int32_t reserved;
} ln_router_fwd_args;
LN_API int32_t ln_router_fwd(ln_context* context, const ln_router_fwd_args* args);

/* dlogits from dweights (top_k is not differentiated) and, if given, from dprobabilities[e], the same for every token:
 *   dlogits[t,e] = p[t,e] * (dp[t,e] - sum_j p[t,j] dp[t,j]),   dp[t,e] = dprobabilities[e] + (gradient through
 * weights) With renormalise the gradient through weights is that of w_j = p_j / sum(p of the chosen).
 * With log_sum_exp also from the z-loss:  dlogits[t,e] += z_scale * log_sum_exp[t] * p[t,e], z_scale being
 * 2 * coefficient / number of rows of all routers. */
typedef struct ln_router_bwd_args {
  const float* probabilities;
  const int32_t* ids;
  const float* weights;
  const float* dweights;       /* [tokens,top_k] */
  const float* dprobabilities; /* [experts] or NULL */
  const float* log_sum_exp;    /* [tokens] or NULL */
  float* dlogits;              /* [tokens,experts] */
  int64_t tokens, experts, top_k;
  int32_t renormalise;
  float z_scale; /* not read without log_sum_exp */
} ln_router_bwd_args;
LN_API int32_t ln_router_bwd(ln_context* context, const ln_router_bwd_args* args);

/* Load-balancing loss as transformers defines it, over all layers together (Switch Transformer, Fedus et al. 2021):
 *   f[e] = counts[e] / router_rows;  P[e] = probability_sums[e] / router_rows;  *loss = experts * sum_e f[e] P[e]
 *   dprobabilities[e] = coefficient * experts * f[e] / router_rows          (may be NULL)
 * router_rows = layers * tokens that were counted. */
LN_API int32_t ln_load_balancing_loss(ln_context* context, const int64_t* counts, const double* probability_sums,
                                      int64_t experts, int64_t router_rows, float coefficient, double* loss,
                                      float* dprobabilities);

/* Stable counting sort of the (token, choice) pairs by expert. Pair q = t * top_k + j goes to row rows_of_pairs[q];
 * tokens_of_rows[row] = t; offsets[experts+1] are the experts' first rows. Within an expert, rows are in the order of
 * q. */
typedef struct ln_moe_plan_args {
  const int32_t* ids;      /* [tokens,top_k] */
  int32_t* offsets;        /* [experts+1] */
  int32_t* rows_of_pairs;  /* [tokens*top_k] */
  int32_t* tokens_of_rows; /* [tokens*top_k] */
  int64_t tokens, experts, top_k;
} ln_moe_plan_args;
LN_API int32_t ln_moe_plan(ln_context* context, const ln_moe_plan_args* args);

/* y[r,:] = x[index[r],:]; x [source_rows,width], y [rows,width]. An index outside is LN_INVALID_ARGUMENT on the CPU. */
LN_API int32_t ln_gather_rows(ln_context* context, const float* x, const int32_t* index, float* y, int64_t rows,
                              int64_t source_rows, int64_t width);
/* y[index[r],:] = x[r,:] for distinct indices; other rows of y stay. */
LN_API int32_t ln_scatter_rows(ln_context* context, const float* x, const int32_t* index, float* y, int64_t rows,
                               int64_t target_rows, int64_t width);
/* y[r,j] = x[r,index[j]]; x [rows,width], y [rows,count]. An index outside is LN_INVALID_ARGUMENT on the CPU. */
LN_API int32_t ln_gather_columns(ln_context* context, const float* x, const int32_t* index, float* y, int64_t rows,
                                 int64_t width, int64_t count);
/* y[r,index[j]] += x[r,j] for distinct indices; x [rows,count], y [rows,width]. */
LN_API int32_t ln_add_columns(ln_context* context, const float* x, const int32_t* index, float* y, int64_t rows,
                              int64_t width, int64_t count);
/* y[t,:] (+)= sum_j weights[t,j] * x[rows_of_pairs[t*top_k+j],:]; weights NULL: 1 (the backward pass of the gather). */
LN_API int32_t ln_moe_combine_fwd(ln_context* context, const float* x, const int32_t* rows_of_pairs,
                                  const float* weights, float* y, int64_t tokens, int64_t top_k, int64_t width,
                                  int32_t accumulate);
/* dx[row of (t,j),:] = weights[t,j] * dy[t,:];  dweights[t,j] = sum(dy[t,:] * x[row of (t,j),:]). dx may be x. */
LN_API int32_t ln_moe_combine_bwd(ln_context* context, const float* dy, const float* x, const int32_t* rows_of_pairs,
                                  const float* weights, float* dx, float* dweights, int64_t tokens, int64_t top_k,
                                  int64_t width);

/* ---- loss and optimizer
 * ---------------------------------------------------------------------------------------------------- */

/* losses[r] = logsumexp(logits[r,:]) - logits[r,labels[r]], 0 where the label is -100.
 * With want_gradient, logits are replaced by gradient_scale * (softmax - onehot), 0 where the label is -100.
 * Another label outside [0, vocabulary) is LN_INVALID_ARGUMENT on the CPU. The caller hands in chunks of rows, so that
 * the logits of a whole batch never exist. */
LN_API int32_t ln_cross_entropy(ln_context* context, float* logits, const int32_t* labels, float* losses, int64_t rows,
                                int64_t vocabulary, float gradient_scale, int32_t want_gradient);
/* *result = sum of x[i] in float64, in an order that depends on n alone. */
LN_API int32_t ln_sum(ln_context* context, const float* x, int64_t n, double* result);
/* *result = sum of x[i]^2 in float64, in an order that depends on n alone. */
LN_API int32_t ln_sum_of_squares(ln_context* context, const float* x, int64_t n, double* result);
/* result[c] += sum_r x[r,c], x [rows,columns], in an order that depends on rows alone: the gradient of a bias. */
LN_API int32_t ln_column_sums(ln_context* context, const float* x, float* result, int64_t rows, int64_t columns);

/* What a step multiplies its gradients by, so that their norm is at most max_norm (Pascanu et al. 2013, as torch's
 * clip_grad_norm_), decided where the sums lie: nobody has to wait for them.
 *   *scale = min(1, max_norm / (sqrt(sums[0]) + 1e-6)), with max_norm 0: 1;  sums[0] is the gradients' sum of squares
 *   *scale = NaN where any of sums[count], as the losses of the step, is not finite: no step, to the optimizer */
LN_API int32_t ln_gradient_scale(ln_context* context, const double* sums, int64_t count, double max_norm, float* scale);

/* AdamW (Loshchilov & Hutter 2019) as torch.optim.AdamW, with g = gradient * *gradient_scale and t = step >= 1:
 *   p -= lr * weight_decay * p;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *   p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + epsilon)
 * Where *gradient_scale is not finite, nothing is written. */
typedef struct ln_adamw_args {
  float* parameters;
  const float* gradients;
  float* first_moments;
  float* second_moments;
  const float* gradient_scale; /* [1], in device memory as the others; NULL: 1 */
  int64_t n, step;
  double learning_rate, beta1, beta2, epsilon, weight_decay;
} ln_adamw_args;
LN_API int32_t ln_adamw(ln_context* context, const ln_adamw_args* args);

/* ln_adamw with moments in 8 bits (Dettmers et al. 2022, arXiv:2110.02861), in blocks b = i / 256 of their own scale:
 *   m = signed(first_moments[i]) * first_absmax[b];   v = unsigned(second_moments[i]) * second_absmax[b]
 *   p, m and v then as ln_adamw, p from the new m and v before they are stored
 *   first_absmax[b] = max |m|, second_absmax[b] = max v over the block
 *   first_moments[i] = code of signed() nearest to m * (1 / max(first_absmax[b], 1e-38)), but not that of 0 if m < 0
 *   second_moments[i] = code of unsigned() nearest to v * (1 / max(second_absmax[b], 1e-38))
 * On the middle (in float32) of two codes the even one is the nearest. signed() and unsigned() are bitsandbytes'
 * dynamic maps (native/abi/dynamic_codes.hpp), rising: 0 is code 127 of the first, which ends at -0.99296875 and 1, and
 * code 0 of the second. States of zero bytes are moments of 0. A gradient that is not finite makes its parameter NaN or
 * infinite and the moments of its block any numbers. */
typedef struct ln_adamw_8bit_args {
  float* parameters;
  const float* gradients;
  uint8_t* first_moments;      /* [n] */
  uint8_t* second_moments;     /* [n] */
  float* first_absmax;         /* [ceil(n / 256)] */
  float* second_absmax;        /* [ceil(n / 256)] */
  const float* gradient_scale; /* as in ln_adamw_args */
  int64_t n, step;
  double learning_rate, beta1, beta2, epsilon, weight_decay;
} ln_adamw_8bit_args;
LN_API int32_t ln_adamw_8bit(ln_context* context, const ln_adamw_8bit_args* args);

#ifdef __cplusplus
}
#endif
#endif
