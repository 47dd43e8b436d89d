package dev.loranative.train;

import dev.loranative.lora.AdapterFiles;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.JsonNode;

/**
 * A {@link ReferenceCase} repeated by this engine, and how far it is from the reference.
 *
 * @param steps of the repetition
 * @param loss largest difference of a step's loss, relative to the reference's
 * @param gradNorm the same of the gradient's norm
 * @param adapter distance of the two final adapters, all tensors together, relative to the norm of the reference's
 */
public record RepeatedRun(List<StepMetrics> steps, double loss, double gradNorm, double adapter) {

    /** Differences that are not above each of them; NaN never is. */
    public boolean isWithin(double mostLoss, double mostGradNorm, double mostAdapter) {
        return loss <= mostLoss && gradNorm <= mostGradNorm && adapter <= mostAdapter;
    }

    /**
     * @param output for the run's files; does not exist
     * @param flags of {@code train}, which come last and win
     * @throws IllegalStateException where the run took other steps, or left other tensors, than the reference
     */
    public static RepeatedRun of(ReferenceCase reference, Path output, String... flags) {
        QuietListener listener = new QuietListener();
        Training.run(reference.config(output, flags), listener, () -> false);
        List<JsonNode> expected = reference.steps();
        if (listener.steps.size() != expected.size()) {
            throw new IllegalStateException(
                    reference + " took " + listener.steps.size() + " steps instead of " + expected.size());
        }
        double loss = 0;
        double gradNorm = 0;
        for (int i = 0; i < expected.size(); i++) {
            StepMetrics step = listener.steps.get(i);
            loss = Math.max(loss, relative(step.loss(), expected.get(i).get("loss")));
            gradNorm =
                    Math.max(gradNorm, relative(step.gradNorm(), expected.get(i).get("grad_norm")));
        }
        return new RepeatedRun(listener.steps, loss, gradNorm, adapterDistance(reference, output));
    }

    private static double relative(double actual, JsonNode expected) {
        double wanted = expected.asDouble();
        return Math.abs(actual - wanted) / Math.abs(wanted);
    }

    private static double adapterDistance(ReferenceCase reference, Path output) {
        Map<String, float[]> trained = ReferenceCase.tensors(output.resolve(AdapterFiles.TENSORS));
        Map<String, float[]> wanted = new LinkedHashMap<>(ReferenceCase.tensors(
                reference.folder().resolve("adapter_final").resolve(AdapterFiles.TENSORS)));
        // PEFT adds the frozen weight itself when the head is a target; the base model has it.
        wanted.keySet().removeIf(name -> name.endsWith(".base_layer.weight"));
        if (!trained.keySet().equals(wanted.keySet())) {
            throw new IllegalStateException(reference + " left " + trained.keySet() + " instead of " + wanted.keySet());
        }
        double squares = 0;
        double size = 0;
        for (Map.Entry<String, float[]> entry : wanted.entrySet()) {
            float[] values = trained.get(entry.getKey());
            for (int i = 0; i < entry.getValue().length; i++) {
                double difference = (double) values[i] - entry.getValue()[i];
                squares += difference * difference;
                size += (double) entry.getValue()[i] * entry.getValue()[i];
            }
        }
        return Math.sqrt(squares / size);
    }
}
