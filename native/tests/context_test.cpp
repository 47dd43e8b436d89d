#include <cstdlib>

#include "harness.hpp"

namespace ln::test {
namespace {

struct Creation {
  int32_t status;
  ln_context* context;
  std::string error;
};

Creation create(int32_t device, int32_t threads, int32_t simd, int32_t precision = LN_PRECISION_AUTO,
                int32_t gemm = LN_GEMM_AUTO) {
  const ln_context_options options = {device, threads, simd, precision, gemm, 0, nullptr};
  ln_context* context = reinterpret_cast<ln_context*>(1);
  const int32_t status = ln_context_create(&options, &context);
  Creation result = {status, context, ln_last_error(nullptr)};
  if (status == LN_OK) ln_context_destroy(context);
  return result;
}

void expect_refused(const Creation& creation, int32_t status, const std::string& error) {
  EXPECT_EQ(status, creation.status);
  EXPECT_EQ(nullptr, creation.context);
  EXPECT_EQ(error, creation.error);
}

/// Sets LORA_NATIVE_SIMD for the life of the object.
class ForcedSimd {
 public:
  explicit ForcedSimd(const char* name) {
    if (const char* before = std::getenv("LORA_NATIVE_SIMD")) before_ = before;
    setenv("LORA_NATIVE_SIMD", name, 1);
  }
  ~ForcedSimd() { before_.empty() ? unsetenv("LORA_NATIVE_SIMD") : setenv("LORA_NATIVE_SIMD", before_.c_str(), 1); }

 private:
  std::string before_;
};

int64_t query(ln_context* context, int32_t what) {
  int64_t value = -1;
  EXPECT_EQ(LN_OK, ln_query(context, what, &value)) << ln_last_error(context);
  return value;
}

TEST(ContextTest, AbiVersionIsThatOfTheHeader) { EXPECT_EQ(LN_ABI_VERSION, ln_abi_version()); }

TEST(ContextTest, CreationRefusesBadOptions) {
  expect_refused(create(-1, -1, LN_SIMD_AUTO), LN_INVALID_ARGUMENT,
                 "ln_context_create: threads is -1, must be at least 0");
  expect_refused(create(-1, 1025, LN_SIMD_AUTO), LN_INVALID_ARGUMENT,
                 "ln_context_create: threads is 1025, must be at most 1024");
  expect_refused(create(0, 1, LN_SIMD_AUTO), LN_INVALID_ARGUMENT,
                 "ln_context_create: device is 0, the CPU library takes -1");
  expect_refused(create(-1, 1, 6), LN_INVALID_ARGUMENT, "ln_context_create: simd is 6, not an ln_simd");
  expect_refused(create(-1, 1, LN_SIMD_AUTO, 3), LN_INVALID_ARGUMENT,
                 "ln_context_create: precision is 3, not an ln_precision");
  expect_refused(create(-1, 1, LN_SIMD_AUTO, LN_PRECISION_BF16), LN_UNSUPPORTED,
                 "ln_context_create: precision is LN_PRECISION_BF16, the CPU library multiplies in float32");
  expect_refused(create(-1, 1, LN_SIMD_AUTO, LN_PRECISION_AUTO, -1), LN_INVALID_ARGUMENT,
                 "ln_context_create: gemm is -1, not an ln_gemm");
  expect_refused(create(-1, 1, LN_SIMD_AUTO, LN_PRECISION_AUTO, LN_GEMM_CUBLAS), LN_UNSUPPORTED,
                 "ln_context_create: gemm is LN_GEMM_CUBLAS, the CPU library has its own");
  expect_refused(create(-1, 1, -1), LN_INVALID_ARGUMENT, "ln_context_create: simd is -1, not an ln_simd");
  ln_context* context = reinterpret_cast<ln_context*>(1);
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_context_create(nullptr, &context));
  EXPECT_EQ(nullptr, context);
  EXPECT_STREQ("ln_context_create: options is NULL", ln_last_error(nullptr));
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_context_create(nullptr, nullptr));
}

TEST(ContextTest, CreationRefusesATierThatThisMachineLacks) {
  // No machine has the tiers of two architectures.
  const int32_t foreign = create(-1, 1, LN_SIMD_NEON).status == LN_OK ? LN_SIMD_AVX2 : LN_SIMD_NEON;
  const std::string number = std::to_string(foreign), name = simd_name(foreign);
  expect_refused(create(-1, 1, foreign), LN_UNSUPPORTED,
                 "ln_context_create: this machine or build has no SIMD tier " + number);
  ForcedSimd forced(name.c_str());
  expect_refused(create(-1, 1, LN_SIMD_AUTO), LN_UNSUPPORTED,
                 "ln_context_create: LORA_NATIVE_SIMD is " + name + ", which this machine or build lacks");
}

TEST(ContextTest, EnvironmentOverridesAutoOnly) {
  {
    ForcedSimd forced("generic");
    EXPECT_EQ(LN_SIMD_GENERIC, query(Context(LN_SIMD_AUTO), LN_QUERY_SIMD));
    EXPECT_EQ(LN_SIMD_REFERENCE, query(Context(LN_SIMD_REFERENCE), LN_QUERY_SIMD));
  }
  {
    ForcedSimd forced("sse9");
    expect_refused(create(-1, 1, LN_SIMD_AUTO), LN_INVALID_ARGUMENT,
                   "ln_context_create: LORA_NATIVE_SIMD is 'sse9', not one of reference, generic, avx2, avx512, neon");
  }
  ForcedSimd none("");
  Context context(LN_SIMD_AUTO);
  EXPECT_EQ(query(context, LN_QUERY_SIMD_BEST), query(context, LN_QUERY_SIMD));
}

TEST(ContextTest, EveryTierCanBeChosenAndIsReported) {
  std::vector<int32_t> found = tiers();
  ASSERT_FALSE(found.empty());
  const int32_t best = found.back();
  found.insert(found.end(), {LN_SIMD_REFERENCE, LN_SIMD_GENERIC});
  for (int32_t simd : found) {
    Context context(simd);
    EXPECT_EQ(simd, query(context, LN_QUERY_SIMD));
    EXPECT_EQ(best, query(context, LN_QUERY_SIMD_BEST));
  }
}

TEST(ContextTest, ThreadsAreThoseAskedForOrThoseOfTheProcess) {
  EXPECT_EQ(1, query(Context(LN_SIMD_AUTO, 1), LN_QUERY_THREADS));
  EXPECT_EQ(3, query(Context(LN_SIMD_AUTO, 3), LN_QUERY_THREADS));
  EXPECT_GE(query(Context(LN_SIMD_AUTO, 0), LN_QUERY_THREADS), 1);
}

TEST(ContextTest, QueryRefusesBadArguments) {
  Context context;
  int64_t value = 17;
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_query(context, 99, &value));
  EXPECT_EQ("ln_query: what is 99, not an ln_query_what", context.error());
  EXPECT_EQ(17, value);
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_query(context, LN_QUERY_SIMD, nullptr));
  EXPECT_EQ("ln_query: value is NULL", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_query(nullptr, LN_QUERY_SIMD, &value));
}

TEST(ContextTest, ScratchIsAlignedMemoryOrNone) {
  Context context;
  alignas(64) char memory[128];
  EXPECT_EQ(LN_OK, ln_context_set_scratch(context, memory, 128));
  EXPECT_EQ(LN_OK, ln_context_set_scratch(context, nullptr, 0));
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_context_set_scratch(context, memory + 32, 64));
  EXPECT_EQ("ln_context_set_scratch: scratch is not aligned to 64 bytes", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_context_set_scratch(context, nullptr, 64));
  EXPECT_EQ("ln_context_set_scratch: scratch is NULL", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_context_set_scratch(context, memory, -1));
  EXPECT_EQ("ln_context_set_scratch: bytes is -1, must be at least 0", context.error());
}

TEST(ContextTest, ScratchThatIsTooSmallIsRefusedWithBothSizes) {
  Context context;
  static float values[64 * 64], product[64 * 64];
  ln_matmul_args args = {};
  args.a = args.b = values;
  args.c = product;
  args.m = args.n = args.k = 64;
  args.lda = args.ldb = args.ldc = 64;
  args.alpha = 1;
  int64_t needed = 0;
  ASSERT_EQ(LN_OK, ln_scratch_bytes(context, LN_OP_MATMUL, &args, &needed)) << context.error();
  ASSERT_GT(needed, 64);
  alignas(64) char memory[64];
  ASSERT_EQ(LN_OK, ln_context_set_scratch(context, memory, 64));
  EXPECT_EQ(LN_SCRATCH_TOO_SMALL, ln_matmul(context, &args));
  EXPECT_EQ("ln_matmul: needs " + std::to_string(needed) + " bytes of scratch, the context has 64", context.error());
}

TEST(ContextTest, ScratchBytesRefusesBadArguments) {
  Context context;
  const ln_moe_plan_args args = {};
  int64_t bytes = 0;
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_scratch_bytes(context, 1000, &args, &bytes));
  EXPECT_EQ("ln_scratch_bytes: op is 1000, not an ln_op", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_scratch_bytes(context, LN_OP_MOE_PLAN, nullptr, &bytes));
  EXPECT_EQ("ln_scratch_bytes: args is NULL", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_scratch_bytes(context, LN_OP_MOE_PLAN, &args, nullptr));
  EXPECT_EQ("ln_scratch_bytes: bytes is NULL", context.error());
}

TEST(ContextTest, LastErrorIsEmptyAtFirstAndKeepsTheLastFailure) {
  Context context;
  EXPECT_EQ("", context.error());
  float x = 1;
  double sum = 0;
  ASSERT_EQ(LN_INVALID_ARGUMENT, ln_sum(context, &x, -7, &sum));
  ASSERT_EQ(LN_OK, ln_sum(context, &x, 1, &sum));
  EXPECT_EQ("ln_sum: n is -7, must be at least 0", context.error());
}

TEST(ContextTest, NothingIsUnfinishedWhenACallHasReturned) {
  Context context;
  float x = 1;
  double sum = 0;
  ASSERT_EQ(LN_OK, ln_sum(context, &x, 1, &sum));
  EXPECT_STREQ("", ln_unfinished(context));
  EXPECT_STREQ("", ln_unfinished(nullptr));
}

TEST(ContextTest, DestroyingNothingIsAllowed) { EXPECT_EQ(LN_OK, ln_context_destroy(nullptr)); }

}  // namespace
}  // namespace ln::test
