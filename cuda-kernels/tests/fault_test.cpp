// Which calls are named after a fault. The emulator stands for a device that fails in the kernel that EMULATED_FAULT
// names: from there on nothing runs any more, and what the device would have written is not written.
#include <cstdlib>

#include "harness.hpp"

namespace ln::test {
namespace {

/// Sets an environment variable for the life of the object.
class Setting {
 public:
  Setting(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
  ~Setting() { unsetenv(name_); }

 private:
  const char* name_;
};

/// One kernel, told apart by its size.
int32_t scale(ln_context* context, int64_t n) {
  Guarded<float> x(n), y(n);
  return ln_axpby(context, 1, x, 0, y, n);
}

std::string calls(int64_t first, int64_t last) {
  std::string text;
  for (int64_t n = first; n <= last; ++n) {
    text += (text.empty() ? "" : ", ") + std::string("ln_axpby(n ") + std::to_string(n) + ")";
  }
  return text;
}

TEST(Fault, IsOfOneOfTheLaunchesAfterTheLastMark) {
  for (int64_t at : {1, 15, 16, 17, 32, 33, 40, 2100}) {
    const Setting fault("EMULATED_FAULT", std::to_string(at));
    Context context(0);
    for (int64_t n = 1; n <= at + 100; ++n) ASSERT_EQ(LN_OK, scale(context, n));
    const int64_t done = (at - 1) / 16 * 16;
    EXPECT_EQ(calls(done + 1, done + 16), ln_unfinished(context)) << at;
  }
}

TEST(Fault, IsReportedByALaterCallThatIsInnocent) {
  const Setting fault("EMULATED_FAULT", "18,20");
  Context context(0);
  for (int64_t n = 1; n < 20; ++n) ASSERT_EQ(LN_OK, scale(context, n));
  EXPECT_EQ(LN_DEVICE_ERROR, scale(context, 20));
  EXPECT_EQ(0u, context.error().find("ln_axpby: cudaErrorIllegalAddress"));
  EXPECT_EQ(calls(17, 20), ln_unfinished(context));
}

TEST(Fault, IsOfTheOneCallWhereTheDriverWaitsForEach) {
  const Setting blocking("CUDA_LAUNCH_BLOCKING", "1");
  const Setting fault("EMULATED_FAULT", "18,18");
  Context context(0);
  for (int64_t n = 1; n < 18; ++n) ASSERT_EQ(LN_OK, scale(context, n));
  EXPECT_EQ(LN_DEVICE_ERROR, scale(context, 18));
  EXPECT_EQ(calls(18, 18), ln_unfinished(context));
}

TEST(Fault, CallsAreNamedWithSizesAndTypesAndOnceForSeveralKernels) {
  const Setting fault("EMULATED_FAULT", "1");
  Context context(0);
  const int64_t many = 1 << 20;  // summed by two kernels
  Guarded<float> x(many), y(64), rstd(8);
  Guarded<uint16_t> weight(8);
  Guarded<double> sum(1);
  ASSERT_EQ(LN_OK, ln_sum(context, x, many, sum));
  ln_rmsnorm_fwd_args norm = {};
  norm.x = x;
  norm.weight = weight;
  norm.y = y;
  norm.rstd = rstd;
  norm.rows = 8;
  norm.width = 8;
  norm.weight_dtype = LN_BF16;
  ASSERT_EQ(LN_OK, ln_rmsnorm_fwd(context, &norm));
  EXPECT_STREQ("ln_sum(n 1048576), ln_rmsnorm_fwd(rows 8, width 8, weight_dtype BF16)", ln_unfinished(context));
}

TEST(Fault, WithoutOneNothingBeforeAMarkIsNamed) {
  Context context(0);
  EXPECT_STREQ("", ln_unfinished(context));
  for (int64_t n = 1; n <= 15; ++n) ASSERT_EQ(LN_OK, scale(context, n));
  EXPECT_EQ(calls(1, 15), ln_unfinished(context));
  ASSERT_EQ(LN_OK, scale(context, 16));
  EXPECT_STREQ("", ln_unfinished(context));
  EXPECT_STREQ("", ln_unfinished(nullptr));
}

/// Kernels for other GPUs would fail at their first launch.
TEST(Fault, KernelsForOtherGpusAreRefusedAtOnce) {
  const Setting built_for("EMULATED_BUILT_FOR", "8.6, 8.9");
  const ln_context_options options = options_of(0, 0);
  ln_context* context = nullptr;
  EXPECT_EQ(LN_UNSUPPORTED, ln_context_create(&options, &context));
  EXPECT_EQ(nullptr, context);
  EXPECT_EQ(0u, std::string(ln_last_error(nullptr))
                    .find("ln_context_create: device 0 has compute capability 8.0, but the kernels were built for 8.6, "
                          "8.9 ("));
}

}  // namespace
}  // namespace ln::test
