package dev.loranative.config;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * PEFT's EvaConfig (Paischer et al. 2024, arXiv:2410.07170).
 *
 * @param rho a module gets at most rho times its rank; 1 leaves ranks as they are
 * @param tau cosine with which a direction counts as found
 * @param useLabelMask whether only positions with a label are looked at
 * @param whiten whether A is divided by the square roots of the singular values
 * @param adjustScalingFactors whether lora_alpha grows with the rank, so that the scaling stays
 */
public record EvaSettings(double rho, double tau, boolean useLabelMask, boolean whiten, boolean adjustScalingFactors) {

    public static final EvaSettings DEFAULT = new EvaSettings(2, 0.99, true, false, true);

    static final ValueType<EvaSettings> TYPE = new ValueType<>() {

        private static final ValueType<Map<String, Object>> MAP = Lists.map(Scalars.anything());

        @Override
        public String label() {
            return "{rho: NUMBER, tau: NUMBER, …}";
        }

        @Override
        public EvaSettings read(Object raw) throws BadValue {
            Map<String, Object> left = new LinkedHashMap<>(MAP.read(raw));
            double rho = Scalars.number("a map whose rho is at least 1", value -> value >= 1)
                    .read(left.getOrDefault("rho", DEFAULT.rho));
            double tau = Scalars.number("a map whose tau is from 0 to 1", value -> value >= 0 && value <= 1)
                    .read(left.getOrDefault("tau", DEFAULT.tau));
            boolean mask = Scalars.bool().read(left.getOrDefault("use_label_mask", DEFAULT.useLabelMask));
            boolean whiten = Scalars.bool().read(left.getOrDefault("whiten", DEFAULT.whiten));
            boolean adjust =
                    Scalars.bool().read(left.getOrDefault("adjust_scaling_factors", DEFAULT.adjustScalingFactors));
            if (!Integer.valueOf(-100).equals(left.getOrDefault("label_mask_value", -100))) {
                throw new BadValue("a map whose label_mask_value, if any, is -100, the label of positions without one");
            }
            left.keySet()
                    .removeAll(java.util.Set.of(
                            "rho", "tau", "use_label_mask", "label_mask_value", "whiten", "adjust_scaling_factors"));
            if (!left.isEmpty()) {
                throw new BadValue("a map of rho, tau, use_label_mask, label_mask_value, whiten and"
                        + " adjust_scaling_factors, without "
                        + left.keySet().iterator().next());
            }
            return new EvaSettings(rho, tau, mask, whiten, adjust);
        }

        @Override
        public Object write(EvaSettings value) {
            Map<String, Object> map = new LinkedHashMap<>();
            map.put("rho", value.rho);
            map.put("tau", value.tau);
            map.put("use_label_mask", value.useLabelMask);
            map.put("label_mask_value", -100);
            map.put("whiten", value.whiten);
            map.put("adjust_scaling_factors", value.adjustScalingFactors);
            return map;
        }
    };
}
