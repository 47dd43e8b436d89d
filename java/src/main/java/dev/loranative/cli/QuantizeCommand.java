package dev.loranative.cli;

import dev.loranative.checkpoint.AtomicFiles;
import dev.loranative.config.ConfigValues;
import dev.loranative.config.Key;
import dev.loranative.config.QuantizationKeys;
import dev.loranative.config.QuantizationOptions;
import dev.loranative.config.TrainConfig;
import dev.loranative.config.TrainKeys;
import dev.loranative.device.Device;
import dev.loranative.device.Devices;
import dev.loranative.errors.UserException;
import dev.loranative.model.ModelFiles;
import dev.loranative.tensor.Ops;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalLong;
import picocli.CommandLine.Command;

/** {@code quantize}: a model in 4 bits, in the format that transformers and bitsandbytes read. */
@Command(
        name = "quantize",
        header = "writes a model in 4 bits, as bitsandbytes does",
        customSynopsis = "lora-native quantize --model DIR --output DIR [OPTIONS]",
        description = "Writes a copy of a model whose linear layers, experts included, are in 4 bits, in the format of"
                + " bitsandbytes. Training on it starts at once, without quantising.")
final class QuantizeCommand extends EngineCommand {

    @Override
    List<Key<?>> keys() {
        List<Key<?>> keys = new ArrayList<>(List.of(TrainKeys.MODEL, CommandKeys.OUTPUT, CommandKeys.MAX_SHARD_SIZE));
        keys.addAll(QuantizationKeys.ALL);
        keys.remove(QuantizationKeys.LOAD_IN_4BIT);
        keys.addAll(List.of(TrainKeys.DEVICE, TrainKeys.THREADS));
        return keys;
    }

    @Override
    List<String> examples() {
        return List.of(
                "quantize --model examples/tiny-moe --output output/tiny-moe-nf4",
                "quantize --model DIR --output DIR --bnb-4bit-use-double-quant --max-shard-size 5GB");
    }

    @Override
    int run(ConfigValues values, Console console) {
        TrainConfig.require(values, TrainKeys.MODEL, "--model DIR");
        TrainConfig.require(values, CommandKeys.OUTPUT, "--output DIR");
        Path output = values.get(CommandKeys.OUTPUT);
        AtomicFiles.requireFree(output);
        QuantizationOptions options = QuantizationOptions.from(values).enable();
        try (ModelFiles files = ModelFiles.open(values.get(TrainKeys.MODEL), options)) {
            if (!files.quantizes()) {
                throw UserException.badInput(
                        values.get(TrainKeys.MODEL) + " has no weights left to quantise",
                        files.fourBits().isPresent()
                                ? "it is in 4 bits already; train, eval and generate read it as it is"
                                : "bnb_4bit_skip_modules names them all");
            }
            long start = System.nanoTime();
            long bytes = write(values, files, output, console);
            show(new Result(output, files, bytes, (System.nanoTime() - start) / 1e9), console);
        }
        return 0;
    }

    private static long write(ConfigValues values, ModelFiles files, Path output, Console console) {
        Long maxShardBytes = values.get(CommandKeys.MAX_SHARD_SIZE);
        StatusLine status = new StatusLine(console, System::nanoTime);
        try (Device device = Devices.open(values.get(TrainKeys.DEVICE), values.get(TrainKeys.THREADS))) {
            console.warnOfUnusedGpu(device);
            return files.writeQuantized(
                    new Ops(device),
                    output,
                    maxShardBytes == null ? OptionalLong.empty() : OptionalLong.of(maxShardBytes),
                    (done, total) -> status.draw("quantising " + done + "/" + total + " weights"));
        } finally {
            status.clear();
        }
    }

    /** What was written. */
    private record Result(Path output, ModelFiles files, long bytes, double seconds) {

        double bitsPerWeight() {
            return 8.0 * files.quantizedBytes() / files.quantizedElements();
        }
    }

    private static void show(Result result, Console console) {
        long before = result.files().fileBytes();
        if (console.json()) {
            console.result(Console.JSON
                    .createObjectNode()
                    .put("output_dir", result.output().toString())
                    .put("weights", result.files().quantizedCount())
                    .put("bytes_before", before)
                    .put("bytes_after", result.bytes())
                    .put("bits_per_weight", result.bitsPerWeight()));
            return;
        }
        console.note(String.format(
                Locale.ROOT,
                "%s weights in %s, %.2f bits each; model %s -> %s bytes (%s)",
                Quantities.count(result.files().quantizedCount()),
                Quantities.time(result.seconds()),
                result.bitsPerWeight(),
                Quantities.count(before),
                Quantities.count(result.bytes()),
                Quantities.percent((double) result.bytes() / before)));
        console.result("model    " + result.output());
    }
}
