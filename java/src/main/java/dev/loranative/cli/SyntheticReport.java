package dev.loranative.cli;

import dev.loranative.bench.ModelShape;
import dev.loranative.bench.SyntheticRun;
import dev.loranative.bench.SyntheticSpeed;
import dev.loranative.config.ConfigValues;
import dev.loranative.config.LoraKeys;
import dev.loranative.config.QuantizationKeys;
import dev.loranative.config.TrainKeys;
import dev.loranative.model.FourBits;
import dev.loranative.model.ModelConfig;
import dev.loranative.model.SyntheticModel;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** What {@code bench --synthetic} found, for people and as JSON. */
record SyntheticReport(
        BenchReport.Machine machine,
        ModelShape shape,
        SyntheticModel model,
        ConfigValues values,
        List<SyntheticSpeed> rows) {

    List<String> text() {
        List<String> lines = new ArrayList<>();
        ModelConfig config = model.config();
        lines.add("machine   " + machine.device());
        lines.add("model     " + shape.name() + ", " + Quantities.count(model.parameters()) + " parameters, "
                + config.layers() + " layers"
                + config.moe()
                        .map(moe -> ", " + moe.experts() + " experts of which a token visits " + moe.topK())
                        .orElse("")
                + ", not trained: random weights");
        lines.add("weights   " + Quantities.bytes(model.weightBytes()) + ", "
                + model.fourBits().map(this::fourBits).orElse("in bfloat16"));
        lines.add("training  LoRA of rank " + values.get(LoraKeys.R) + ", " + values.get(TrainKeys.OPTIM)
                + ", sequences of at most " + rows.getFirst().run().length() + " tokens"
                + (values.get(SyntheticBench.RECOMPUTE) ? ", layers recomputed" : "")
                + "; ln(vocabulary) is " + Quantities.loss(Math.log(config.vocabSize())));
        lines.add("");
        TextTable table = new TextTable("", false, true, true, true, true, true, true, true, true, true, true);
        table.row(
                "targets",
                "trained",
                "tokens/step",
                "tokens/s",
                "step",
                "first",
                "last",
                "steps",
                "planned",
                "measured",
                "loss");
        for (SyntheticSpeed row : rows) {
            switch (row) {
                case SyntheticSpeed.Measured measured -> add(table, measured);
                case SyntheticSpeed.DoesNotFit refused -> table.heading(line(refused));
            }
        }
        lines.addAll(table.lines());
        lines.add("");
        lines.add("Step, first, last: medians of all measured steps, the first and the last ten (half, below twenty)."
                + " Planned, measured: peak memory"
                + (machine.simd().isPresent() ? "; the process with the JVM, resident." : " of the GPU.")
                + " Loss: of the first step.");
        return lines;
    }

    private String fourBits(FourBits four) {
        return String.format(
                Locale.ROOT,
                "%,d tensors in %s with %.2f bits a parameter, the others in bfloat16",
                four.weights(),
                values.get(QuantizationKeys.BNB_4BIT_QUANT_TYPE),
                four.bitsPerWeight());
    }

    private static void add(TextTable table, SyntheticSpeed.Measured row) {
        table.row(
                row.run().targets().name(),
                Quantities.count(row.trainedParameters()),
                Quantities.count(row.run().tokens()),
                Quantities.rate(row.tokensPerSecond()),
                millis(row.seconds()),
                millis(row.firstSeconds()),
                millis(row.lastSeconds()),
                "" + row.stepSeconds().size(),
                Quantities.bytes(row.plan().totalBytes()),
                Quantities.bytes(row.memoryBytes()),
                Quantities.loss(row.firstLoss()));
    }

    /** A row in one line, for those who wait. */
    static String line(SyntheticSpeed row) {
        SyntheticRun run = row.run();
        String what = run.targets().name() + ", " + Quantities.count(run.tokens()) + " tokens a step: ";
        return switch (row) {
            case SyntheticSpeed.Measured measured ->
                what + Quantities.rate(measured.tokensPerSecond()) + " tokens/s, " + millis(measured.seconds())
                        + " a step, " + Quantities.bytes(measured.memoryBytes()) + "; ready after "
                        + String.format(Locale.ROOT, "%.1f s", measured.preparationSeconds());
            case SyntheticSpeed.DoesNotFit refused -> what + "does not fit: " + refused.message();
        };
    }

    private static String millis(double seconds) {
        return String.format(Locale.ROOT, seconds < 0.1 ? "%.2f ms" : "%,.0f ms", 1e3 * seconds);
    }

    ObjectNode json() {
        ObjectNode json = Console.JSON.createObjectNode().put("device", machine.device());
        machine.simd()
                .ifPresent(tier ->
                        json.put("simd", tier.name().toLowerCase(Locale.ROOT)).put("threads", machine.threads()));
        Optional<FourBits> four = model.fourBits();
        ObjectNode about = json.putObject("model")
                .put("name", shape.name())
                .put("model_type", model.config().modelType())
                .put("parameters", model.parameters())
                .put("active_parameters", shape.activeParameters())
                .put("vocab_size", model.config().vocabSize())
                .put("weights_bytes", model.weightBytes());
        four.ifPresent(bits -> about.put("quant_type", values.get(QuantizationKeys.BNB_4BIT_QUANT_TYPE))
                .put("quantized_weights", bits.weights())
                .put("bits_per_weight", bits.bitsPerWeight()));
        json.put("r", values.get(LoraKeys.R))
                .put("optim", values.get(TrainKeys.OPTIM))
                .put("gradient_checkpointing", values.get(SyntheticBench.RECOMPUTE));
        ArrayNode array = json.putArray("rows");
        rows.forEach(row -> add(array.addObject(), row));
        return json;
    }

    private void add(ObjectNode node, SyntheticSpeed row) {
        node.put("targets", row.run().targets().name());
        ArrayNode groups = node.putArray("target_modules");
        row.run().targets().groups().forEach(groups::add);
        node.put("tokens", row.run().tokens()).put("sequence_length", row.run().length());
        switch (row) {
            case SyntheticSpeed.Measured measured -> {
                node.put("fits", true)
                        .put("trained_parameters", measured.trainedParameters())
                        .put("tokens_per_second", measured.tokensPerSecond())
                        .put("step_seconds", measured.seconds())
                        .put("first_step_seconds", measured.firstSeconds())
                        .put("last_step_seconds", measured.lastSeconds())
                        .put("flops_per_second", shape.stepFlops(measured.run().tokens()) / measured.seconds())
                        .put("first_loss", measured.firstLoss())
                        .put("preparation_seconds", measured.preparationSeconds())
                        .put("planned_bytes", measured.plan().totalBytes())
                        .put("memory_bytes", measured.memoryBytes());
                ObjectNode parts = node.putObject("plan");
                measured.plan().parts().forEach(parts::put);
                ArrayNode steps = node.putArray("steps");
                measured.stepSeconds().forEach(steps::add);
            }
            case SyntheticSpeed.DoesNotFit refused -> {
                node.put("fits", false).put("message", refused.message()).put("hint", refused.hint());
                refused.plan().ifPresent(plan -> {
                    node.put("planned_bytes", plan.totalBytes());
                    ObjectNode parts = node.putObject("plan");
                    plan.parts().forEach(parts::put);
                });
                refused.roomBytes().ifPresent(room -> node.put("room_bytes", room));
            }
        }
    }
}
