package dev.loranative.train;

import dev.loranative.config.InitLoraWeights;
import dev.loranative.config.Key;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
import dev.loranative.config.OptimizerOptions;
import dev.loranative.config.RunOptions;
import dev.loranative.config.TrainConfig;
import dev.loranative.data.Batch;
import dev.loranative.data.Batcher;
import dev.loranative.data.DataReport;
import dev.loranative.data.DataSet;
import dev.loranative.data.LazyTokenizer;
import dev.loranative.data.SampleOptions;
import dev.loranative.data.SamplingStrategy;
import dev.loranative.device.Device;
import dev.loranative.device.Devices;
import dev.loranative.errors.UserException;
import dev.loranative.lora.Adapter;
import dev.loranative.lora.AdapterFiles;
import dev.loranative.lora.Adapters;
import dev.loranative.lora.TargetMatcher;
import dev.loranative.lora.Targets;
import dev.loranative.model.LoadedModel;
import dev.loranative.model.ModelFiles;
import dev.loranative.optim.AdamW;
import dev.loranative.optim.GroupRule;
import dev.loranative.optim.Schedule;
import dev.loranative.optim.Schedules;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;

/**
 * Puts a run together, cheapest checks first, and plans its memory by running the largest micro-batch without computing.
 * Writes nothing.
 */
final class TrainPreparation {

    private final TrainConfig config;
    private final RunOptions run;
    private final TrainListener listener;

    TrainPreparation(TrainConfig config, TrainListener listener) {
        this.config = config;
        this.run = config.run();
        this.listener = listener;
    }

    TrainSetup prepare() {
        Optional<Path> resumed = new Checkpoints(run.outputDir()).toResume(run.resume());
        OutputFolder output = new OutputFolder(run.outputDir());
        // A checkpoint of another folder begins a run of its own here.
        if (resumed.isEmpty() || !output.is(resumed.get().toAbsolutePath().getParent())) {
            output.requireFree();
        }
        try (Opened opened = new Opened(
                ModelFiles.open(config.model().path()), config.model().path())) {
            TrainSetup setup = prepare(opened, resumed);
            opened.keep();
            return setup;
        }
    }

    private TrainSetup prepare(Opened opened, Optional<Path> resumed) {
        ModelFiles files = opened.files;
        requireRouters(files);
        Optional<RunState> reached = resumed.map(Checkpoints::readState);
        Planned planned = planAdapters(files, resumed);
        Optional<SampleText.Prompt> prompt = SampleText.Prompt.of(run, opened.tokenizer, files.config());
        DataSet data = load(config.data().dataset(), opened.tokenizer, files);
        Batcher batcher = new Batcher(
                data.samples(),
                run.batchSize(),
                run.gradientAccumulationSteps(),
                config.data().shuffle() ? SamplingStrategy.RANDOM : SamplingStrategy.SEQUENTIAL,
                run.seed());
        int totalSteps = batcher.totalSteps(run.numTrainEpochs(), run.maxSteps().orElse(-1));
        Schedule schedule = Schedules.create(
                config.schedule(), totalSteps, config.optimizer().learningRate());
        Map<String, String> settings =
                RunState.settings(config.values().toMap(), DataDigest.of(data.samples()), totalSteps);
        RunState start = reached.map(state -> checked(state, resumed.orElseThrow(), settings, totalSteps))
                .orElseGet(() -> new RunState(0, 0, settings));

        Device device = opened.open(config);
        Ops ops = new Ops(device);
        LoadedModel model = files.load(device);
        Adapters adapters = planned.attach().apply(model);
        Optional<Evaluator> evaluator = evaluator(ops, model, opened.tokenizer, files);
        long activations = planActivations(ops, model, batcher.peak(totalSteps).batch(), evaluator);
        Optional<SampleText> sample =
                prompt.map(given -> SampleText.create(given, ops, model, opened.tokenizer.get(), run.seed()));
        MemoryPlan plan = plan(files, adapters, ops, activations, sample);
        plan.requireFits(
                config.machine().maxMemoryBytes(),
                "lower per_device_train_batch_size or max_length, set gradient_checkpointing, or train fewer modules");

        AdamW optimizer = new AdamW(device, adapters.arena(), optimizer(config.optimizer()));
        resumed.ifPresent(folder -> {
            float[][] moments = Checkpoints.readMoments(folder, adapters.arena().size());
            optimizer.firstMoments().copyFrom(device, moments[0]);
            optimizer.secondMoments().copyFrom(device, moments[1]);
            optimizer.resume(start.step());
        });
        Slab slab = Slab.allocate(device, activations);
        ops.seal();
        describe(files, model, adapters, data, totalSteps, plan);
        return new TrainSetup(
                config,
                planned.lora(),
                device,
                model,
                opened.tokenizer,
                batcher,
                totalSteps,
                schedule,
                adapters,
                optimizer,
                ops,
                slab,
                start,
                settings,
                evaluator,
                sample,
                data.report(),
                files.parameters(),
                plan);
    }

    private void requireRouters(ModelFiles files) {
        if (config.model().routerAuxLossCoef() > 0 && files.config().moe().isEmpty()) {
            throw UserException.badInput(
                    "router_aux_loss_coef is " + config.model().routerAuxLossCoef() + ", but "
                            + files.config().modelType() + " has no router",
                    "leave router_aux_loss_coef out for dense models");
        }
    }

    /**
     * What will be trained, found before weights are loaded.
     *
     * @param lora as the adapter file will say it
     */
    private record Planned(LoraConfig lora, Function<LoadedModel, Adapters> attach) {}

    private Planned planAdapters(ModelFiles files, Optional<Path> resumed) {
        Optional<Path> source = resumed.or(run::initAdapter);
        if (source.isPresent()) {
            Adapter adapter = AdapterFiles.read(source.get(), files.tree());
            adapter.warnings().forEach(listener::warning);
            LoraConfig lora = adapter.config().lora();
            requireSame(LoraKeys.R, config.lora().r(), lora.r(), source.get());
            requireSame(LoraKeys.LORA_ALPHA, config.lora().loraAlpha(), lora.loraAlpha(), source.get());
            requireSame(LoraKeys.USE_RSLORA, config.lora().useRslora(), lora.useRslora(), source.get());
            requireSameTargets(files, adapter, source.get());
            return new Planned(
                    lora, model -> Adapters.load(model, adapter, config.lora().loraDropout(), groupRule()));
        }
        Targets targets = TargetMatcher.match(config.lora(), files.tree());
        targets.warnings().forEach(listener::warning);
        InitLoraWeights init = config.lora().initLoraWeights();
        return new Planned(config.lora(), model -> Adapters.create(model, targets, init, run.seed(), groupRule()));
    }

    private GroupRule groupRule() {
        return config.optimizer().loraplusLrRatio().isPresent() ? GroupRule.LORA_PLUS : GroupRule.PLAIN;
    }

    /** An adapter's own settings hold; a setting that says otherwise is a mistake, not a wish. */
    private <T> void requireSame(Key<T> key, T asked, T adapter, Path source) {
        if (config.values().isSet(key) && !asked.equals(adapter)) {
            throw UserException.badInput(
                    key.name() + " is " + asked + ", but the adapter " + source + " has " + adapter,
                    "leave " + key.name() + " out, or start without init_adapter");
        }
    }

    /** Targets that were named beside an adapter must be the adapter's own. */
    private void requireSameTargets(ModelFiles files, Adapter adapter, Path source) {
        if (!config.values().isSet(LoraKeys.TARGET_MODULES)) {
            return;
        }
        Set<String> named = new LinkedHashSet<>();
        TargetMatcher.match(config.lora(), files.tree())
                .list()
                .forEach(target -> named.add(target.module().name()));
        Set<String> held = new LinkedHashSet<>();
        adapter.modules().forEach(module -> held.add(module.module().name()));
        if (named.equals(held)) {
            return;
        }
        Set<String> different = new LinkedHashSet<>(named);
        different.removeAll(held);
        boolean lacks = !different.isEmpty();
        if (!lacks) {
            different.addAll(held);
            different.removeAll(named);
        }
        throw UserException.badInput(
                "target_modules names " + named.size() + " modules, but the adapter " + source + " holds " + held.size()
                        + (lacks ? "; it lacks " : "; it also holds ")
                        + different.iterator().next(),
                "leave target_modules out to train what the adapter holds, or start without init_adapter");
    }

    private DataSet load(List<Path> paths, LazyTokenizer tokenizer, ModelFiles files) {
        SampleOptions options = new SampleOptions(
                config.data().maxLength(),
                files.config().longestSequence(),
                files.config().vocabSize(),
                config.data().completionOnlyLoss().orElse(true));
        DataSet data = DataSet.load(paths, tokenizer, options);
        data.report().warnings().forEach(listener::warning);
        return data;
    }

    /** The state of a checkpoint, if this run can go on from it. */
    private static RunState checked(RunState state, Path checkpoint, Map<String, String> settings, int totalSteps) {
        state.requireSame(settings, checkpoint.toString());
        if (state.step() > totalSteps) {
            throw UserException.badInput(
                    "checkpoint " + checkpoint + " stands at step " + state.step() + ", the run has only " + totalSteps,
                    "resume from an earlier checkpoint");
        }
        return state;
    }

    private Optional<Evaluator> evaluator(Ops ops, LoadedModel model, LazyTokenizer tokenizer, ModelFiles files) {
        if (config.data().evalDataset().isEmpty()) {
            return Optional.empty();
        }
        DataSet data = load(config.data().evalDataset(), tokenizer, files);
        return Optional.of(new Evaluator(ops, model, data.samples(), run.evalBatchSize()));
    }

    /** Runs the largest micro-batch and the evaluation without computing: bytes of slab. */
    private long planActivations(Ops ops, LoadedModel model, Batch largest, Optional<Evaluator> evaluator) {
        int longest = Math.max(
                largest.longestSequence(),
                evaluator.map(Evaluator::longestSequence).orElse(0));
        model.lm().reservePositions(ops.device(), longest);
        Slab slab = Slab.planning();
        MicroBatches microBatches = new MicroBatches(ops, model, config, 0);
        ops.plan(() -> microBatches.run(
                microBatches.begin(slab, largest, config.model().routerAuxLossCoef()), largest, 1));
        return Math.max(slab.peakBytes(), evaluator.map(Evaluator::plan).orElse(0L));
    }

    private static MemoryPlan plan(
            ModelFiles files, Adapters adapters, Ops ops, long activations, Optional<SampleText> sample) {
        long adapterBytes = adapters.arena().size() * Float.BYTES;
        Map<String, Long> parts = new LinkedHashMap<>();
        parts.put("weights", files.weightBytes());
        parts.put("adapters", adapterBytes);
        parts.put("gradients", adapterBytes);
        parts.put("optimizer", 2 * adapterBytes);
        parts.put("activations", activations);
        parts.put("scratch", ops.scratchBytes());
        sample.ifPresent(taken -> parts.put("sample", taken.bytes()));
        return new MemoryPlan(parts);
    }

    private static AdamW.Settings optimizer(OptimizerOptions options) {
        double rate = options.learningRate();
        double ratio = options.loraplusLrRatio().orElse(1);
        return new AdamW.Settings(
                new AdamW.LearningRates(rate, rate * ratio, options.loraplusLrEmbedding()),
                options.beta1(),
                options.beta2(),
                options.epsilon(),
                options.weightDecay(),
                options.maxGradNorm());
    }

    private void describe(
            ModelFiles files, LoadedModel model, Adapters adapters, DataSet data, int totalSteps, MemoryPlan plan) {
        long trained = adapters.arena().size();
        long all = files.parameters();
        listener.prepared(String.format(
                java.util.Locale.ROOT,
                "model    %s, %,d parameters on %s",
                model.config().modelType(),
                all,
                model.device().description()));
        listener.prepared(String.format(
                java.util.Locale.ROOT,
                "adapters %,d modules, %,d parameters (%.2f %% of the model)",
                adapters.count(),
                trained,
                100.0 * trained / all));
        DataReport report = data.report();
        listener.prepared(String.format(
                java.util.Locale.ROOT,
                "data     %,d samples, %,d tokens, %,d of them targets; %,d steps",
                report.samples(),
                report.tokens(),
                report.targets(),
                totalSteps));
        listener.prepared("memory   " + plan);
    }

    /** What must be closed again if the run cannot start. */
    private static final class Opened implements AutoCloseable {

        private final ModelFiles files;
        private final LazyTokenizer tokenizer;
        private Device device;
        private boolean kept;

        Opened(ModelFiles files, Path model) {
            this.files = files;
            this.tokenizer = new LazyTokenizer(model);
        }

        Device open(TrainConfig config) {
            device = Devices.open(config.machine().device(), config.machine().threads());
            return device;
        }

        void keep() {
            kept = true;
        }

        @Override
        public void close() {
            if (kept) {
                return;
            }
            tokenizer.close();
            if (device != null) {
                device.close();
            }
            files.close();
        }
    }
}
