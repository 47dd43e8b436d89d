package dev.loranative.train;

import dev.loranative.config.EvaSettings;
import dev.loranative.config.InitLoraWeights;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.TrainConfig;
import dev.loranative.data.DataSet;
import dev.loranative.lora.Adapter;
import dev.loranative.lora.AdapterFiles;
import dev.loranative.lora.AdapterStart;
import dev.loranative.lora.Adapters;
import dev.loranative.lora.EvaSearch;
import dev.loranative.lora.TargetMatcher;
import dev.loranative.lora.Targets;
import dev.loranative.model.LoadedModel;
import dev.loranative.model.ModuleTree;
import dev.loranative.optim.GroupRule;
import dev.loranative.tensor.Ops;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Function;

/** What will be trained: found before weights are loaded, attached to the model afterwards. */
final class AdapterPlanning {

    /** What adapters may be made from. */
    private record Loaded(Ops ops, LoadedModel model, DataSet data) {}

    /** @param lora as the adapter file will say it */
    record Attached(Adapters adapters, LoraConfig lora) {}

    private final TrainConfig config;
    private final LoraConfig lora;
    private final TrainListener listener;
    private final Function<Loaded, Attached> attach;

    private AdapterPlanning(TrainConfig config, ModuleTree tree, Optional<Path> resumed, TrainListener listener) {
        this.config = config;
        this.lora = config.lora();
        this.listener = listener;
        this.attach = resumed.or(config.run()::initAdapter)
                .map(source -> fromFile(source, tree, resumed.isPresent()))
                .orElseGet(() -> fresh(tree));
    }

    /** @param resumed the checkpoint to go on from */
    static AdapterPlanning of(TrainConfig config, ModuleTree tree, Optional<Path> resumed, TrainListener listener) {
        return new AdapterPlanning(config, tree, resumed, listener);
    }

    /** Puts the adapters into the model. */
    Attached attach(Ops ops, LoadedModel model, DataSet data) {
        return attach.apply(new Loaded(ops, model, data));
    }

    private Function<Loaded, Attached> fromFile(Path source, ModuleTree tree, boolean resumed) {
        Adapter adapter = AdapterFiles.read(source, tree);
        adapter.warnings().forEach(listener::warning);
        LoraConfig held = adapter.config().lora().withDialect(lora.dialect());
        InitLoraWeights init = lora.initLoraWeights();
        boolean startIsInside = resumed && init.subtractsStart();
        // EVA's ranks are found in the data: the settings do not say them.
        boolean ranksAreFound = resumed && init instanceof InitLoraWeights.Eva;
        AdapterAgreement agreement =
                new AdapterAgreement(config.values(), startIsInside ? lora.doubled() : lora, adapter, source);
        agreement.requireSettings();
        if (!ranksAreFound) {
            agreement.requireTargets(tree);
        }
        return loaded -> new Attached(
                startIsInside
                        ? Adapters.resume(loaded.model(), adapter, lora, groupRule())
                        : Adapters.load(loaded.model(), adapter, lora.loraDropout(), groupRule()),
                held);
    }

    private Function<Loaded, Attached> fresh(ModuleTree tree) {
        Targets targets = TargetMatcher.match(lora, tree);
        targets.warnings().forEach(listener::warning);
        if (lora.initLoraWeights() instanceof InitLoraWeights.Eva eva) {
            return loaded -> afterLook(loaded, targets, eva.settings());
        }
        boolean subtracts = lora.initLoraWeights().subtractsStart();
        return loaded -> new Attached(
                Adapters.create(
                        loaded.model(),
                        targets,
                        new AdapterStart(lora, config.run().seed()),
                        groupRule()),
                subtracts ? lora.doubled() : lora);
    }

    /** EVA looks at the data before there are adapters. */
    private Attached afterLook(Loaded loaded, Targets targets, EvaSettings settings) {
        long seed = config.run().seed();
        EvaSearch.Found found;
        try (EvaBatches batches = new EvaBatches(
                loaded.ops(),
                loaded.model(),
                loaded.data().samples(),
                config.run().batchSize(),
                settings.useLabelMask())) {
            found = EvaSearch.search(loaded.model(), targets, lora, batches, seed);
        }
        found.targets().warnings().stream()
                .filter(warning -> !targets.warnings().contains(warning))
                .forEach(listener::warning);
        AdapterStart start = new AdapterStart(lora, seed, found.directions());
        return new Attached(Adapters.create(loaded.model(), found.targets(), start, groupRule()), found.lora());
    }

    private GroupRule groupRule() {
        return config.optimizer().loraplusLrRatio().isPresent() ? GroupRule.LORA_PLUS : GroupRule.PLAIN;
    }
}
