package dev.loranative.model;

import dev.loranative.checkpoint.AtomicFiles;
import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.SafetensorsWriter;
import dev.loranative.checkpoint.Spool;
import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.config.QuantizationOptions;
import dev.loranative.device.Buffer;
import dev.loranative.device.Device;
import dev.loranative.device.Loan;
import dev.loranative.errors.UserException;
import dev.loranative.quant.QuantizedWeight;
import dev.loranative.quant.Quantizer;
import dev.loranative.tensor.Ops;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;

/**
 * Writes a model with its linear layers in 4 bits, as transformers saves it with bitsandbytes. One weight is in memory at
 * a time; the output folder is complete or absent.
 */
final class CheckpointQuantizer {

    /** transformers reads no file without it. */
    private static final Map<String, String> METADATA = Map.of("format", "pt");

    private final Checkpoint checkpoint;
    private final QuantizationPlan plan;
    private final Device device;
    private final Quantizer quantizer;
    private final LoadListener listener;
    private final ElementType storage;
    private int quantized;

    CheckpointQuantizer(Checkpoint checkpoint, QuantizationPlan plan, Ops ops, LoadListener listener) {
        this.checkpoint = checkpoint;
        this.plan = plan;
        this.device = ops.device();
        this.quantizer = new Quantizer(
                ops, plan.type(), plan.options().blockSize(), plan.options().doubleQuantization());
        this.listener = listener;
        this.storage = storage(plan.options());
    }

    private static ElementType storage(QuantizationOptions options) {
        return switch (options.storage()) {
            case "uint8" -> ElementType.U8;
            case "float16" -> ElementType.F16;
            case "bfloat16" -> ElementType.BF16;
            case "float32" -> ElementType.F32;
            default -> throw new IllegalArgumentException(options.storage());
        };
    }

    /** bitsandbytes cuts such codes short. */
    private void requireWholeElements() {
        for (String name : checkpoint.names()) {
            long elements = checkpoint.entry(name).elements();
            if (plan.quantizesTensor(name) && (elements + 1) / 2 % storage.bytes() != 0) {
                throw UserException.badInput(
                        "bnb_4bit_quant_storage is " + plan.options().storage() + ", but the " + (elements + 1) / 2
                                + " bytes of 4-bit codes of " + name + " do not fill whole elements of it",
                        "leave bnb_4bit_quant_storage out: uint8 holds any number of bytes");
            }
        }
    }

    /**
     * @param output not there yet, or an empty folder
     * @param maxShardBytes of a file; empty: one file for each of the input's
     * @return bytes of all tensors written
     */
    long write(ModelConfig config, Path output, OptionalLong maxShardBytes) {
        requireWholeElements();
        return AtomicFiles.writeDirectory(output, staging -> {
            List<Shard> shards = Shard.of(checkpoint, plan, maxShardBytes);
            ShardWriter written = new ShardWriter(staging);
            for (Shard shard : shards) {
                write(shard, staging, written);
            }
            written.writeIndex();
            QuantizedConfig.write(checkpoint.directory(), staging, plan, config);
            ModelFolder.copyOtherFiles(checkpoint.directory(), staging);
            return written.totalBytes();
        });
    }

    private void write(Shard shard, Path staging, ShardWriter written) {
        try (Spool spool = Spool.create(staging.resolve("spool"))) {
            List<SafetensorsWriter.Tensor> all = new ArrayList<>();
            List<SpooledWeight> weights = new ArrayList<>();
            for (String name : shard.tensors()) {
                TensorEntry entry = checkpoint.entry(name);
                if (plan.quantizesTensor(name)) {
                    weights.add(quantize(entry, spool));
                } else {
                    all.add(new SafetensorsWriter.Tensor(name, entry.type(), entry.shape(), checkpoint.data(name)));
                }
            }
            MemorySegment spooled = spool.map();
            weights.forEach(weight -> all.addAll(weight.tensors(storage, spooled)));
            written.write(shard.file(), all, METADATA);
        }
    }

    private SpooledWeight quantize(TensorEntry entry, Spool spool) {
        Quantizer.Source source = new Quantizer.Source(
                entry.name(), checkpoint.data(entry.name()), WeightLoader.dtype(entry.type()), entry.shape());
        List<Loan> loans = new ArrayList<>();
        try {
            QuantizedWeight weight = quantizer.quantize(source, bytes -> borrow(bytes, loans));
            SpooledWeight waiting = SpooledWeight.of(entry.name(), weight, device, spool);
            checkpoint.release(entry.name());
            quantized++;
            listener.quantized(quantized, plan.count());
            return waiting;
        } finally {
            loans.forEach(Loan::close);
        }
    }

    private Buffer borrow(long bytes, List<Loan> loans) {
        Loan loan = device.borrow(bytes);
        loans.add(loan);
        return loan.buffer();
    }
}
