package dev.loranative.lora;

import dev.loranative.checkpoint.AtomicFiles;
import dev.loranative.checkpoint.SafetensorsWriter;
import dev.loranative.config.AdapterDialect;
import dev.loranative.config.LoraConfig;
import dev.loranative.model.ModuleTree;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * The folder of an adapter in PEFT's format: {@value AdapterConfig#FILE}, {@value #TENSORS}, {@value #CARD}.
 *
 * <p>A tensor is named {@code base_model.model.MODULE.lora_A.weight} ([r, in]) or {@code ….lora_B.weight} ([out, r]), and so
 * on: see {@link PeftName}. Experts have their own tensors under their names in the checkpoint, as PEFT wrote them for
 * transformers 4, or one pair for all of a layer, as since PEFT 0.19.1 ({@link FusedLayout}). Both are read; which is written
 * {@code adapter_dialect} decides.
 */
public final class AdapterFiles {

    public static final String CONFIG = AdapterConfig.FILE;
    public static final String TENSORS = "adapter_model.safetensors";
    public static final String CARD = "README.md";

    /** Metadata of the tensors' file: all experts of a layer have the same update. */
    static final String SHARED_EXPERTS = "share_expert_adapters";

    private AdapterFiles() {}

    /**
     * Reads an adapter for this model.
     *
     * @throws dev.loranative.errors.UserException if a file is missing or broken, a tensor lacks its partner, belongs to no
     *     module, has another shape or rank than it must, or holds values that are no numbers
     */
    public static Adapter read(Path folder, ModuleTree tree) {
        return AdapterReader.read(folder, tree);
    }

    /**
     * Writes an adapter; each file is complete or absent. Tensors are float32.
     *
     * @param config what the user asked for; rewritten where PEFT would read it as other targets
     * @param baseModel where PEFT should look for the base model
     * @return warnings, one line each, if PEFT cannot load these targets
     */
    public static List<String> write(
            Path folder,
            LoraConfig config,
            Optional<String> baseModel,
            ModuleTree tree,
            AdapterTensors adapter,
            ModelCard card) {
        return write(folder, config, baseModel, tree, adapter, card, PeftLayout.of(config, tree, adapter));
    }

    /**
     * Writes an adapter so that {@link #read} gives back the very same numbers. {@link #write} does so too, but for experts of
     * one layer whose scalings differ by a factor that is no power of two; they then have tensors of their own, which PEFT 0.21
     * cannot load.
     */
    public static void writeExactly(
            Path folder,
            LoraConfig config,
            Optional<String> baseModel,
            ModuleTree tree,
            AdapterTensors adapter,
            ModelCard card) {
        PeftLayout layout = PeftLayout.of(config, tree, adapter);
        boolean exact = layout.fused().stream().allMatch(FusedUpdate::isExact);
        LoraConfig used = exact ? config : config.withDialect(AdapterDialect.V4);
        write(folder, used, baseModel, tree, adapter, card, exact ? layout : PeftLayout.of(used, tree, adapter));
    }

    private static List<String> write(
            Path folder,
            LoraConfig config,
            Optional<String> baseModel,
            ModuleTree tree,
            AdapterTensors adapter,
            ModelCard card,
            PeftLayout layout) {
        AdapterWriter writer = new AdapterWriter(config, tree, layout);
        SafetensorsWriter.write(folder.resolve(TENSORS), writer.tensors(adapter), writer.metadata());
        AtomicFiles.writeString(folder.resolve(AdapterConfig.FILE), AdapterConfig.text(config, baseModel, layout));
        AtomicFiles.writeString(folder.resolve(CARD), card.text(config, baseModel, adapter, layout.warnings()));
        return layout.warnings();
    }
}
