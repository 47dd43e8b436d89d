package dev.loranative.model;

import dev.loranative.checkpoint.AtomicFiles;
import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.SafetensorsWriter;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/**
 * Writes a model of random weights: as a model begins, bfloat16 matrices of deviation 0.02 and norms of 1. Good for
 * measuring, and for trying what a configuration would do; not for answers.
 */
public final class RandomModel {

    private static final double DEVIATION = 0.02;

    private RandomModel() {}

    /**
     * Writes config.json and model.safetensors; the same bytes for the same arguments.
     *
     * @param folder exists
     * @param configJson the text of config.json
     * @return parameters of the model
     * @throws dev.loranative.errors.UserException for a configuration that makes no model, or a disk that refuses
     */
    public static long write(Path folder, String configJson, long seed) {
        WeightLayout layout = WeightLayout.of(ModelConfigReader.parse(configJson, "config.json"));
        try (Arena arena = Arena.ofConfined()) {
            SplittableRandom random = new SplittableRandom(seed);
            List<SafetensorsWriter.Tensor> tensors = new ArrayList<>();
            layout.shapes()
                    .forEach((name, shape) -> tensors.add(new SafetensorsWriter.Tensor(
                            name, ElementType.BF16, shape, values(arena, random, name, shape))));
            SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors, Map.of("format", "pt"));
        }
        AtomicFiles.writeString(folder.resolve("config.json"), configJson);
        return layout.parameters();
    }

    private static MemorySegment values(Arena arena, SplittableRandom random, String name, List<Long> shape) {
        long count = shape.stream().reduce(1L, Math::multiplyExact);
        MemorySegment bits = arena.allocate(ValueLayout.JAVA_SHORT, count);
        // Uniform numbers: a normal distribution would take several times as long to draw and measure the same.
        double bound = DEVIATION * Math.sqrt(3);
        boolean isMatrix = shape.size() > 1;
        short one = bfloat16(1);
        for (long i = 0; i < count; i++) {
            short value =
                    isMatrix ? bfloat16((float) random.nextDouble(-bound, bound)) : name.endsWith(".bias") ? 0 : one;
            bits.setAtIndex(ValueLayout.JAVA_SHORT, i, value);
        }
        return bits;
    }

    /** Rounded to nearest, ties to even. */
    private static short bfloat16(float x) {
        int bits = Float.floatToRawIntBits(x);
        return (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
    }
}
