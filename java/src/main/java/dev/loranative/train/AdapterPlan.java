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
import dev.loranative.model.ModelSource;
import dev.loranative.optim.GroupRule;
import dev.loranative.tensor.Ops;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Function;

/** What a run will train: found and checked before weights are loaded, put into the model afterwards. */
final class AdapterPlan {

    /** What adapters may be made from. */
    record Loaded(Ops ops, LoadedModel model, DataSet data) {}

    /** @param lora as the adapter file will say it */
    record Attached(Adapters adapters, LoraConfig lora) {}

    private final TrainConfig config;
    private final TrainListener listener;
    private final Function<Loaded, Attached> attach;

    /**
     * @param resumed the checkpoint to go on from
     * @throws dev.loranative.errors.UserException for targets that the model does not have, an adapter that does not fit
     */
    AdapterPlan(TrainConfig config, TrainListener listener, ModelSource files, Optional<Path> resumed) {
        this.config = config;
        this.listener = listener;
        if (config.run().initAdapter().isPresent()) {
            AdapterAgreement.requireNoStart(config.values(), config.lora());
        }
        Optional<Path> source = resumed.or(config.run()::initAdapter);
        this.attach = source.isPresent() ? from(source.get(), files, resumed.isPresent()) : anew(files);
    }

    Attached attach(Loaded loaded) {
        return attach.apply(loaded);
    }

    private Function<Loaded, Attached> from(Path source, ModelSource files, boolean resumed) {
        Adapter adapter = AdapterFiles.read(source, files.tree());
        adapter.warnings().forEach(listener::warning);
        InitLoraWeights init = config.lora().initLoraWeights();
        boolean started = resumed && init.subtractsStart();
        LoraConfig asked = started ? config.lora().doubled() : config.lora();
        if (resumed && init instanceof InitLoraWeights.Eva) {
            AdapterAgreement.requireSettings(config.values(), asked, adapter, source);
        } else {
            AdapterAgreement.require(config.values(), asked, files.tree(), adapter, source);
        }
        LoraConfig lora = adapter.config().lora().withDialect(config.lora().dialect());
        return loaded -> new Attached(
                started
                        ? Adapters.resume(loaded.model(), adapter, config.lora(), groupRule())
                        : Adapters.load(loaded.model(), adapter, config.lora().loraDropout(), groupRule()),
                lora);
    }

    private Function<Loaded, Attached> anew(ModelSource files) {
        Targets targets = TargetMatcher.match(config.lora(), files.tree());
        targets.warnings().forEach(listener::warning);
        InitLoraWeights init = config.lora().initLoraWeights();
        if (init instanceof InitLoraWeights.Eva eva) {
            return loaded -> afterLook(loaded, targets, eva.settings());
        }
        AdapterStart start = new AdapterStart(config.lora(), config.run().seed());
        return loaded -> new Attached(
                Adapters.create(loaded.model(), targets, start, groupRule()),
                init.subtractsStart() ? config.lora().doubled() : config.lora());
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
            found = EvaSearch.search(loaded.model(), targets, config.lora(), batches, seed);
        }
        found.targets().warnings().stream()
                .filter(warning -> !targets.warnings().contains(warning))
                .forEach(listener::warning);
        AdapterStart start = new AdapterStart(config.lora(), seed, found.directions());
        return new Attached(Adapters.create(loaded.model(), found.targets(), start, groupRule()), found.lora());
    }

    private GroupRule groupRule() {
        return GroupRule.of(config.optimizer());
    }
}
