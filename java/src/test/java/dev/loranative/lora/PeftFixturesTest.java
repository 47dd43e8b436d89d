package dev.loranative.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.checkpoint.FloatTensors;
import dev.loranative.checkpoint.SafetensorsFile;
import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.device.CpuDevice;
import dev.loranative.device.Device;
import dev.loranative.model.LoadedModel;
import dev.loranative.model.ModelFiles;
import dev.loranative.nn.Labels;
import dev.loranative.nn.PackedTokens;
import dev.loranative.nn.Pass;
import dev.loranative.nn.RouterStatistics;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Adapters of every kind as PEFT 0.21 wrote them, on a small Qwen3-MoE: outputs, losses and gradients against those that
 * transformers and PEFT computed. Tensors named {@code grad.*} are gradients of the loss without the routers' part.
 */
class PeftFixturesTest {

    private static final Path ROOT = Path.of("src", "test", "resources", "lora", "peft-fixtures");
    private static final double OUTPUT = 1e-5;
    private static final double GRADIENT = 1e-3;
    private static final double AUX_COEFFICIENT = 0.001;
    private static final int SEQUENCES = 2;
    private static final int LENGTH = 9;
    private static final int EXPERTS = 8;
    private static final int HIDDEN = 32;
    private static final int INTERMEDIATE = 24;
    private static final Pattern EXPERT_TENSOR =
            Pattern.compile("(.*\\.mlp\\.experts)\\.(\\d+)\\.(gate_proj|up_proj|down_proj)\\.lora_([AB])\\.weight");
    private static final long SLAB_BYTES = 8 << 20;

    private final Device device = CpuDevice.open(1);
    private final Ops ops = new Ops(device);
    private final Slab slab = Slab.allocate(device, SLAB_BYTES);
    private int[] ids;
    private int[] labels;
    private ModelFiles files;
    private LoadedModel model;

    @BeforeEach
    void load() {
        files = ModelFiles.open(ROOT.resolve("base_qwen3_moe"));
        model = files.load(device);
        model.lm().reservePositions(device, LENGTH);
        try (SafetensorsFile file = SafetensorsFile.open(ROOT.resolve("expected_base.safetensors"))) {
            ids = integers(file, "input_ids");
            labels = integers(file, "labels");
        }
    }

    @AfterEach
    void close() {
        device.close();
        model.close();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "attn",
                "attn_dora",
                "attn_rslora_pattern",
                "experts",
                "experts_down_only",
                "experts_peft018_layout",
                "all_linear",
                "router",
                "router_full_modules_to_save",
                "router_layer1",
                "v4_per_expert"
            })
    void outputsLossesAndGradients(String name) {
        Map<String, float[]> expected = tensors(ROOT.resolve(
                "expected_" + (name.equals("experts_peft018_layout") ? "experts" : name) + ".safetensors"));
        Adapters adapters = Adapters.load(model, read(name), 0, true);

        assertClose("logits", allLogits(), expected.get("logits"), OUTPUT);
        double loss = train(adapters, 0)[0];
        Map<String, float[]> gradients = fused(adapters.gradients());
        double[] withAux = train(adapters, AUX_COEFFICIENT);

        assertThat(withAux[1]).isCloseTo(expected.get("aux_loss")[0], within(OUTPUT * withAux[1]));
        assertThat(withAux[0] + AUX_COEFFICIENT * withAux[1]).isCloseTo(expected.get("loss")[0], within(OUTPUT * loss));
        Map<String, float[]> expectedGradients = gradients(expected);
        if (name.equals("v4_per_expert")) {
            assertThat(expectedGradients).as("this case has outputs alone").isEmpty();
            return;
        }
        assertThat(loss).isCloseTo(expected.get("loss_no_aux")[0], within(OUTPUT * loss));
        assertThat(expectedGradients.keySet()).isEqualTo(gradients.keySet());
        gradients.forEach((tensor, actual) -> assertClose(tensor, actual, expectedGradients.get(tensor), GRADIENT));
    }

    private Adapter read(String name) {
        return AdapterFiles.read(ROOT.resolve(name), files.tree());
    }

    /** [sequences, length, vocabulary]: the last row's logits of every beginning of the sequences. */
    private float[] allLogits() {
        int vocabulary = Math.toIntExact(model.lm().vocabulary());
        float[] all = new float[SEQUENCES * LENGTH * vocabulary];
        for (int position = 0; position < SEQUENCES * LENGTH; position++) {
            int first = position / LENGTH * LENGTH;
            int count = position - first + 1;
            long start = slab.mark();
            PackedTokens tokens = PackedTokens.upload(
                    ops, slab, Arrays.copyOfRange(ids, first, first + count), positions(count), new int[] {0, count});
            float[] logits = model.lm()
                    .nextTokenLogits(Pass.evaluation(ops, slab, tokens))
                    .toFloats(device);
            System.arraycopy(logits, 0, all, position * vocabulary, vocabulary);
            slab.release(start);
        }
        return all;
    }

    /** Both sequences packed, from cleared gradients: mean cross-entropy, load-balancing loss (0 without coefficient). */
    private double[] train(Adapters adapters, double auxCoefficient) {
        adapters.arena().gradients().clear(device);
        long start = slab.mark();
        int[] positions = new int[SEQUENCES * LENGTH];
        int[] targets = new int[SEQUENCES * LENGTH];
        for (int i = 0; i < positions.length; i++) {
            positions[i] = i % LENGTH;
            targets[i] = i % LENGTH == LENGTH - 1 ? Labels.IGNORED : labels[i + 1];
        }
        long count = Arrays.stream(targets)
                .filter(target -> target != Labels.IGNORED)
                .count();
        PackedTokens tokens = PackedTokens.upload(ops, slab, ids, positions, new int[] {0, LENGTH, 2 * LENGTH});
        Tensor sums = slab.allocate(DType.F64, 3);
        ops.clear(sums);
        RouterStatistics statistics = auxCoefficient == 0
                ? null
                : new RouterStatistics(
                        ops, slab, slab.allocate(DType.I64, EXPERTS), sums.range(1, 2), (float) auxCoefficient, 0);
        Pass pass = Pass.training(ops, slab, tokens, null, statistics);
        model.lm().trainMicroBatch(pass, Labels.upload(ops, slab, targets), sums.range(0, 1), 1f / count, false);
        double[] read = sums.toDoubles(device);
        slab.release(start);
        return new double[] {read[0] / count, read[1]};
    }

    /**
     * Gradients of experts as PEFT 0.21 holds them, all experts of a layer in one tensor: rows of A lie expert by expert,
     * columns of B rank by rank; gate and up share A, so its gradient is the sum of theirs, and B has the rows of gate
     * before those of up.
     */
    private static Map<String, float[]> fused(Map<String, float[]> gradients) {
        Map<String, float[]> fused = new LinkedHashMap<>();
        boolean both = gradients.keySet().stream().anyMatch(name -> name.contains(".gate_proj."));
        gradients.forEach((name, values) -> {
            Matcher expert = EXPERT_TENSOR.matcher(name);
            if (!expert.matches()) {
                fused.put(name, values);
                return;
            }
            int number = Integer.parseInt(expert.group(2));
            boolean down = expert.group(3).equals("down_proj");
            String target =
                    expert.group(1) + (both && !down ? ".base_layer" : "") + ".lora_" + expert.group(4) + ".weight";
            if (expert.group(4).equals("A")) {
                float[] all = fused.computeIfAbsent(target, _ -> new float[EXPERTS * values.length]);
                for (int i = 0; i < values.length; i++) {
                    all[number * values.length + i] += values[i];
                }
                return;
            }
            int out = down ? HIDDEN : INTERMEDIATE;
            int r = values.length / out;
            int firstRow = expert.group(3).equals("up_proj") ? INTERMEDIATE : 0;
            float[] all =
                    fused.computeIfAbsent(target, _ -> new float[(down ? HIDDEN : 2 * INTERMEDIATE) * r * EXPERTS]);
            for (int i = 0; i < values.length; i++) {
                all[((firstRow + i / r) * r + i % r) * EXPERTS + number] = values[i];
            }
        });
        return fused;
    }

    /** Expected gradients under the names that the arena has. */
    private static Map<String, float[]> gradients(Map<String, float[]> expected) {
        Map<String, float[]> gradients = new LinkedHashMap<>();
        expected.forEach((key, values) -> {
            String prefix = "grad.base_model.model.";
            if (key.startsWith(prefix)) {
                String name = key.substring(prefix.length())
                        .replace(".lora_magnitude_vector.weight", ".lora_magnitude_vector")
                        .replace(".modules_to_save.weight", ".weight");
                gradients.put(name, values);
            }
        });
        return gradients;
    }

    /** Largest difference over the largest expected magnitude. */
    private static void assertClose(String what, float[] actual, float[] expected, double tolerance) {
        assertThat(expected).as("the fixture has " + what).isNotNull();
        assertThat(actual).as(what).hasSameSizeAs(expected);
        double scale = 0;
        double difference = 0;
        for (int i = 0; i < expected.length; i++) {
            scale = Math.max(scale, Math.abs(expected[i]));
            difference = Math.max(difference, Math.abs((double) actual[i] - expected[i]));
        }
        assertThat(difference).as("error of " + what).isLessThanOrEqualTo(tolerance * scale);
    }

    private static int[] positions(int count) {
        int[] positions = new int[count];
        Arrays.setAll(positions, i -> i);
        return positions;
    }

    private static int[] integers(SafetensorsFile file, String name) {
        return Arrays.stream(file.data(name).toArray(ValueLayout.JAVA_LONG_UNALIGNED))
                .mapToInt(Math::toIntExact)
                .toArray();
    }

    private static Map<String, float[]> tensors(Path path) {
        Map<String, float[]> tensors = new LinkedHashMap<>();
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            for (TensorEntry entry : file.entries()) {
                tensors.put(entry.name(), FloatTensors.read(file, entry));
            }
        }
        return tensors;
    }
}
