package dev.loranative.cli;

import dev.loranative.train.StepMetrics;
import java.nio.file.Path;
import java.util.OptionalDouble;
import tools.jackson.databind.node.ObjectNode;

/**
 * What a run came to.
 *
 * @param first the first step of this part of the run; null if it took none
 * @param last null if it took none
 * @param evalLoss of the last evaluation
 * @param saved the last checkpoint; null if none was written
 * @param tokensPerSecond while training
 * @param seconds from the command to now
 */
record TrainSummary(
        StepMetrics first,
        StepMetrics last,
        OptionalDouble evalLoss,
        Path saved,
        double tokensPerSecond,
        double seconds) {

    boolean tookSteps() {
        return last != null;
    }

    /** Lines for people. */
    String text() {
        if (!tookSteps()) {
            return "done     no step was left to take";
        }
        int steps = last.step() - first.step() + 1;
        StringBuilder text = new StringBuilder("done     ")
                .append(steps)
                .append(steps == 1 ? " step in " : " steps in ")
                .append(Quantities.time(seconds))
                .append(", ")
                .append(Quantities.rate(tokensPerSecond))
                .append(" tokens/s\nloss     ")
                .append(Quantities.loss(first.loss()))
                .append(" -> ")
                .append(Quantities.loss(last.loss()));
        evalLoss.ifPresent(loss -> text.append(", evaluation ")
                .append(Quantities.loss(loss))
                .append(" (perplexity ")
                .append(Quantities.small(Math.exp(loss)))
                .append(")"));
        return text.toString();
    }

    ObjectNode json(Path outputDir, boolean interrupted) {
        ObjectNode json = Console.JSON.createObjectNode().put("output_dir", outputDir.toString());
        if (tookSteps()) {
            json.put("steps", last.step()).put("loss", last.loss());
        } else {
            json.put("steps", 0).putNull("loss");
        }
        if (evalLoss.isPresent()) {
            json.put("eval_loss", evalLoss.getAsDouble());
        } else {
            json.putNull("eval_loss");
        }
        return json.put("tokens_per_second", Math.round(tokensPerSecond * 10) / 10.0)
                .put("interrupted", interrupted);
    }
}
