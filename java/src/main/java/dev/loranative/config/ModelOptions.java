package dev.loranative.config;

import java.nio.file.Path;
import java.util.Optional;

/**
 * Which model, and how it runs.
 *
 * @param path folder with {@code config.json} and safetensors
 * @param dtype float32, bfloat16 or float16 for the frozen weights; empty: as in the file
 * @param quantization whether its linear layers are held in 4 bits, and how
 * @param routerAuxLossCoef weight of the load-balancing loss; 0: off
 * @param gradientCheckpointing whether layers are computed again in the backward pass; empty: where it does not fit without
 * @param routerZLossCoef weight of the routers' z-loss; 0: off
 */
public record ModelOptions(
        Path path,
        Optional<String> dtype,
        QuantizationOptions quantization,
        double routerAuxLossCoef,
        Optional<Boolean> gradientCheckpointing,
        double routerZLossCoef) {

    static ModelOptions from(ConfigValues values) {
        Double coefficient = values.get(TrainKeys.ROUTER_AUX_LOSS_COEF);
        Double zCoefficient = values.get(TrainKeys.ROUTER_Z_LOSS_COEF);
        return new ModelOptions(
                values.get(TrainKeys.MODEL),
                Optional.ofNullable(values.get(TrainKeys.DTYPE)).filter(dtype -> !dtype.equals("auto")),
                QuantizationOptions.from(values),
                coefficient == null ? 0 : coefficient,
                Optional.ofNullable(values.get(TrainKeys.GRADIENT_CHECKPOINTING)),
                zCoefficient == null ? 0 : zCoefficient);
    }
}
