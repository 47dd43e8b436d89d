package dev.loranative.cli;

import dev.loranative.config.ConfigValues;
import dev.loranative.config.Key;
import dev.loranative.config.TrainConfig;
import dev.loranative.config.TrainKeys;
import dev.loranative.train.Interrupt;
import dev.loranative.train.Training;
import java.nio.file.Path;
import java.util.List;
import java.util.function.BooleanSupplier;
import picocli.CommandLine.Command;

/** {@code train}: trains adapters and writes them as PEFT does. */
@Command(
        name = "train",
        header = "trains LoRA adapters",
        customSynopsis = "lora-native train --model DIR --data FILE --output DIR [OPTIONS]",
        description = "Trains LoRA adapters.%nReads a model as on the hub and data as .jsonl, .json, .csv or .txt;"
                + " writes the adapter as PEFT does.")
final class TrainCommand extends EngineCommand {

    @Override
    List<Key<?>> keys() {
        return TrainKeys.ALL;
    }

    @Override
    List<String> examples() {
        return List.of(
                "train --config examples/attention.yaml",
                "train --model examples/tiny-moe --data examples/data/alice-train.txt --output output/experts \\\n"
                        + "      --target-modules attention,experts --r 16 --lora-alpha 32 --learning-rate 2e-3",
                "train --config examples/attention.yaml --resume-from-checkpoint true");
    }

    @Override
    int run(ConfigValues values, Console console) {
        TrainConfig config = TrainConfig.of(values);
        TrainProgress progress = new TrainProgress(console, config.run().loggingSteps(), System::nanoTime);
        BooleanSupplier interrupted = console.interrupts()
                .apply(() -> progress.note("stopping: this step is finished and saved; Ctrl-C again ends at once"));
        boolean finished;
        try {
            finished = Training.run(config, progress, interrupted);
        } finally {
            progress.clear();
        }
        TrainSummary summary = progress.summary();
        Path output = config.run().outputDir();
        console.note(finished ? summary.text() : interruption(summary));
        if (console.json()) {
            console.result(summary.json(output, !finished));
        } else if (finished) {
            console.result("adapter  " + output);
        }
        return finished ? 0 : Interrupt.EXIT_CODE;
    }

    private static String interruption(TrainSummary summary) {
        return summary.tookSteps()
                ? "interrupted: saved " + summary.saved() + "; continue with --resume-from-checkpoint true"
                : "interrupted: no step was taken, nothing was written";
    }
}
