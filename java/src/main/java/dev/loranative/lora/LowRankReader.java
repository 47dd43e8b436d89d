package dev.loranative.lora;

import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.config.LoraConfig;
import dev.loranative.lora.PeftName.Part;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Puts the tensors of single modules together: A and B, with the bias and the magnitude that the configuration asks for. */
final class LowRankReader {

    private final AdapterSource source;
    private final ExpectedRanks ranks;
    private final LoraConfig lora;

    LowRankReader(AdapterSource source, ExpectedRanks ranks) {
        this.source = source;
        this.ranks = ranks;
        this.lora = source.config().lora();
    }

    /** The tensors of one module in the file, by what they are. */
    record Parts(String name, Map<Part, TensorEntry> entries) {

        Parts(String name) {
            this(name, new EnumMap<>(Part.class));
        }
    }

    AdapterModule read(LinearModule module, Parts parts) {
        boolean embedding = module.kind() == Kind.EMBEDDING;
        TensorEntry a = require(parts, embedding ? Part.EMBEDDING_A : Part.A);
        TensorEntry b = require(parts, embedding ? Part.EMBEDDING_B : Part.B);
        for (Part part : parts.entries().keySet()) {
            requireKind(module, parts.entries().get(part), part);
        }
        long columns = embedding ? module.out() : module.in();
        long rows = embedding ? module.in() : module.out();
        long r = a.shape().size() == 2 ? Math.max(1, a.shape().getFirst()) : 1;
        String why = module.name() + " is [" + module.out() + ", " + module.in() + "]"
                + (embedding ? ", an embedding" : "") + ", so A must be [r, " + columns + "] and B [" + rows + ", r]";
        source.requireShape(a, List.of(r, columns), why);
        source.requireShape(b, List.of(rows, r), why);
        ExpectedRanks.Expected expected = ranks.of(module);
        if (r != expected.r()) {
            throw source.otherRank(a.name(), r, expected.r());
        }
        return new AdapterModule(
                module,
                parts.name(),
                expected.r(),
                expected.alpha(),
                LoraConfig.scaling(expected.alpha(), expected.r(), lora.useRslora()),
                source.finite(a),
                source.finite(b),
                vector(module, parts, Part.B_BIAS, lora.loraBias() && !embedding),
                vector(module, parts, Part.MAGNITUDE, lora.useDora()));
    }

    private TensorEntry require(Parts parts, Part part) {
        TensorEntry entry = parts.entries().get(part);
        if (entry == null) {
            throw source.incomplete(parts.name(), part);
        }
        return entry;
    }

    private void requireKind(LinearModule module, TensorEntry entry, Part part) {
        boolean embedding = module.kind() == Kind.EMBEDDING;
        boolean ofEmbedding = part == Part.EMBEDDING_A || part == Part.EMBEDDING_B;
        boolean ofLinear = part == Part.A || part == Part.B || part == Part.B_BIAS;
        if (embedding && ofLinear || !embedding && ofEmbedding) {
            throw source.bad(
                    entry.name() + ": " + module.name() + " is " + (embedding ? "an" : "no") + " embedding",
                    "the adapter is for another model");
        }
        if (embedding && part == Part.MAGNITUDE) {
            throw source.bad(
                    entry.name() + ": DoRA on an embedding is not supported",
                    "use an adapter whose targets are linear modules");
        }
    }

    /** [out], present exactly when the configuration says so. */
    private Optional<float[]> vector(LinearModule module, LowRankReader.Parts parts, Part part, boolean wanted) {
        TensorEntry entry = parts.entries().get(part);
        String setting = part == Part.MAGNITUDE ? "use_dora" : "lora_bias";
        if (entry == null && wanted) {
            throw source.bad(
                    parts.name() + " has no " + PeftName.label(part) + ", but " + AdapterConfig.FILE + " has " + setting
                            + " true",
                    "the file is incomplete, or belongs to another configuration");
        }
        if (entry != null && !wanted) {
            throw source.bad(
                    "unexpected tensor " + entry.name() + ": " + AdapterConfig.FILE + " has " + setting + " false",
                    "the two files belong to different adapters");
        }
        return Optional.ofNullable(entry)
                .map(tensor ->
                        source.read(tensor, List.of(module.out()), module.name() + " has " + module.out() + " rows"));
    }
}
