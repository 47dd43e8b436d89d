package dev.loranative.lora.merge;

import dev.loranative.checkpoint.ElementType;
import java.util.List;
import java.util.regex.Pattern;

/**
 * What the logits of a merged model may differ by, as a share of the largest logit.
 *
 * <p>Without rounding (a float32 model) only the order of float32 sums differs: 1e-4. A weight rounded to 16 bits is wrong by
 * up to u (2^-8 for bfloat16, 2^-11 for float16) of itself, independently of its neighbours; so is, about, the product with
 * it. The errors of the s products that a token passes one after the other add up like independent ones, to u·sqrt(s); the
 * bound is four times that. Of a layer's experts a token passes few, so they count as one.
 *
 * @param share of the largest logit
 * @param rounds whether anything was rounded
 */
record LogitBound(double share, boolean rounds) {

    private static final double ARITHMETIC = 1e-4;
    private static final double SAFETY = 4;
    private static final Pattern EXPERT = Pattern.compile("\\.experts\\.\\d+\\.");

    static LogitBound of(List<MergedTensor> tensors) {
        List<MergedTensor> rounded =
                tensors.stream().filter(MergedTensor::rounded).toList();
        if (rounded.isEmpty()) {
            return new LogitBound(ARITHMETIC, false);
        }
        double roundoff = rounded.stream()
                .map(tensor -> tensor.plan().type())
                .distinct()
                .mapToDouble(WeightCheck::roundoff)
                .max()
                .orElse(WeightCheck.roundoff(ElementType.F32));
        long products = rounded.stream()
                .map(tensor -> EXPERT.matcher(tensor.name()).replaceAll(".experts."))
                .distinct()
                .count();
        return new LogitBound(Math.min(1, ARITHMETIC + SAFETY * roundoff * Math.sqrt(products)), true);
    }

    /** A near tie at a router may fall to the other side after rounding; then that token's logits jump. */
    int allowedBeyond(boolean experts, int tokens) {
        return rounds && experts ? tokens / 4 : 0;
    }
}
