package dev.loranative.train;

import dev.loranative.config.Key;
import dev.loranative.config.MachineOptions;
import dev.loranative.config.OptimizerOptions;
import dev.loranative.config.RunOptions;
import dev.loranative.config.TrainConfig;
import dev.loranative.config.TrainKeys;
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
import dev.loranative.lora.Adapters;
import dev.loranative.model.LoadedModel;
import dev.loranative.model.ModelFiles;
import dev.loranative.model.ModelSource;
import dev.loranative.optim.AdamW;
import dev.loranative.optim.Moments;
import dev.loranative.optim.Schedule;
import dev.loranative.optim.Schedules;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
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
        return prepare(
                new Opened(
                        ModelFiles.open(config.model().path(), config.model().quantization()),
                        config.model().path()),
                resumed);
    }

    /**
     * Of a model from elsewhere, on a device that is open, from the first step on.
     *
     * @param model closed with the result, or if there is none; so is the device
     */
    TrainSetup prepare(ModelSource model, Device device) {
        Opened opened = new Opened(model, config.model().path());
        opened.device = device;
        return prepare(opened, Optional.empty());
    }

    private TrainSetup prepare(Opened given, Optional<Path> resumed) {
        try (Opened opened = given) {
            TrainSetup setup = put(opened, resumed);
            opened.keep();
            return setup;
        }
    }

    private TrainSetup put(Opened opened, Optional<Path> resumed) {
        ModelSource files = opened.files;
        requireRouters(files);
        Optional<RunState> reached = resumed.map(Checkpoints::readState);
        AdapterPlan planned = new AdapterPlan(config, listener, files, resumed);
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
        device.unusedGpu().ifPresent(cause -> listener.warning("the GPU is not used: " + cause));
        files.notes().forEach(note -> listener.prepared("note     " + note));
        requireRoomForWeights(device, files);
        LoadedModel model = files.load(ops, listener::quantizing);
        AdapterPlan.Attached attached = planned.attach(new AdapterPlan.Loaded(ops, model, data));
        Adapters adapters = attached.adapters();
        Optional<Evaluator> evaluator = evaluator(ops, model, opened.tokenizer, files);
        Optional<SampleText> sample =
                prompt.map(given -> SampleText.create(given, ops, model, opened.tokenizer.get(), run.seed()));
        Batch largest = batcher.peak(totalSteps).batch();
        Room room = chosen(device, recompute -> {
            long slab = planActivations(ops, model, recompute, batcher.accumulation(), largest, evaluator);
            return new Room(recompute, slab, plan(files, adapters, ops, slab, sample));
        });

        boolean eightBit = config.optimizer().eightBit();
        device.reserve(
                "activations, scratch and optimizer",
                room.slabBytes() + ops.scratchBytes() + Moments.bytes(adapters.arena(), eightBit));
        Moments moments = Moments.allocate(device, adapters.arena(), eightBit);
        AdamW optimizer = new AdamW(device, adapters.arena(), moments, optimizer(config.optimizer()));
        resumed.ifPresent(folder -> {
            OptimizerFile.read(folder, moments, device);
            optimizer.resume(start.step());
        });
        Slab slab = Slab.allocate(device, room.slabBytes());
        ops.seal();
        describe(files, model, adapters, data, totalSteps, room.plan());
        return new TrainSetup(
                config,
                attached.lora(),
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
                room.recompute(),
                room.plan());
    }

    /** Quantising a large model takes minutes: that there is no room for it is said before. */
    private void requireRoomForWeights(Device device, ModelSource files) {
        if (files.quantizes()) {
            requireFits(
                    new MemoryPlan(Map.of("weights", files.weightBytes())),
                    device,
                    "set bnb_4bit_use_double_quant, or use a smaller model");
        }
    }

    /** What the run takes if layers run forward again in the backward pass, or if they are kept. */
    private record Room(boolean recompute, long slabBytes, MemoryPlan plan) {}

    /** Layers are kept unless it was asked for or there is no room for that; what then does not fit is refused. */
    private Room chosen(Device device, Function<Boolean, Room> planned) {
        Optional<Boolean> asked = config.model().gradientCheckpointing();
        Room room = planned.apply(asked.orElse(false));
        if (asked.isPresent() || room.plan().fits(device, config.machine().maxMemoryBytes())) {
            requireFits(
                    room.plan(),
                    device,
                    "lower per_device_train_batch_size or max_length, "
                            + (room.recompute() ? "" : "set gradient_checkpointing, ") + "or train fewer modules");
            return room;
        }
        Room smaller = planned.apply(true);
        requireFits(smaller.plan(), device, "lower per_device_train_batch_size or max_length, or train fewer modules");
        listener.prepared(
                "note     layers are computed again in the backward pass (gradient_checkpointing); to keep them"
                        + " takes " + room.plan().total() + ", more than there is");
        return smaller;
    }

    private void requireFits(MemoryPlan plan, Device device, String hint) {
        OptionalLong limit = config.machine().maxMemoryBytes();
        listener.planned(plan, MemoryPlan.room(device, limit));
        plan.requireFits(device, limit, hint);
    }

    private void requireRouters(ModelSource files) {
        requireRouters(files, TrainKeys.ROUTER_AUX_LOSS_COEF, config.model().routerAuxLossCoef());
        requireRouters(files, TrainKeys.ROUTER_Z_LOSS_COEF, config.model().routerZLossCoef());
    }

    private static void requireRouters(ModelSource files, Key<Double> key, double coefficient) {
        if (coefficient > 0 && files.config().moe().isEmpty()) {
            throw UserException.badInput(
                    key.name() + " is " + coefficient + ", but "
                            + files.config().modelType() + " has no router",
                    "leave " + key.name() + " out for dense models");
        }
    }

    private DataSet load(List<Path> paths, LazyTokenizer tokenizer, ModelSource files) {
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

    private Optional<Evaluator> evaluator(Ops ops, LoadedModel model, LazyTokenizer tokenizer, ModelSource files) {
        if (config.data().evalDataset().isEmpty()) {
            return Optional.empty();
        }
        DataSet data = load(config.data().evalDataset(), tokenizer, files);
        return Optional.of(new Evaluator(ops, model, data.samples(), run.evalBatchSize()));
    }

    /** Runs the largest micro-batch and the evaluation without computing: bytes of slab. */
    private long planActivations(
            Ops ops,
            LoadedModel model,
            boolean recompute,
            int accumulation,
            Batch largest,
            Optional<Evaluator> evaluator) {
        int longest = Math.max(
                largest.longestSequence(),
                evaluator.map(Evaluator::longestSequence).orElse(0));
        model.lm().reservePositions(ops.device(), longest);
        Slab slab = Slab.planning();
        MicroBatches microBatches = new MicroBatches(ops, model, config, recompute, 0);
        ops.plan(() -> microBatches.plan(slab, accumulation, largest));
        return Math.max(slab.peakBytes(), evaluator.map(Evaluator::plan).orElse(0L));
    }

    private MemoryPlan plan(
            ModelSource files, Adapters adapters, Ops ops, long activations, Optional<SampleText> sample) {
        long adapterBytes = adapters.arena().size() * Float.BYTES;
        Map<String, Long> parts = new LinkedHashMap<>();
        parts.put("weights", files.weightBytes());
        parts.put("adapters", adapterBytes + adapters.bytesBesideArena());
        parts.put("gradients", adapterBytes);
        parts.put(
                "optimizer", Moments.bytes(adapters.arena(), config.optimizer().eightBit()));
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
            ModelSource files, LoadedModel model, Adapters adapters, DataSet data, int totalSteps, MemoryPlan plan) {
        long trained = adapters.arena().size();
        long all = files.parameters();
        listener.prepared(String.format(
                java.util.Locale.ROOT,
                "model    %s, %,d parameters on %s",
                model.config().modelType(),
                all,
                model.device().description()));
        files.fourBits()
                .ifPresent(four -> listener.prepared(String.format(
                        java.util.Locale.ROOT,
                        "4 bits   %,d weights, %.2f bits each",
                        four.weights(),
                        four.bitsPerWeight())));
        listener.prepared(String.format(
                java.util.Locale.ROOT,
                "adapters %,d modules%s, %,d parameters (%.2f %% of the model); the backward pass goes through %d of %d layers",
                adapters.count(),
                inFull(adapters),
                trained,
                100.0 * trained / all,
                model.lm().layersOfBackwardPass(),
                model.lm().layers()));
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

    private static String inFull(Adapters adapters) {
        return counted(adapters.fullCount(), "tensor", "in full") + counted(adapters.tokenCount(), "row", "of tokens");
    }

    private static String counted(int count, String one, String rest) {
        return count == 0 ? "" : ", " + count + " " + one + (count == 1 ? " " : "s ") + rest;
    }

    /** What must be closed again if the run cannot start. */
    private static final class Opened implements AutoCloseable {

        private final ModelSource files;
        private final LazyTokenizer tokenizer;
        private Device device;
        private boolean kept;

        Opened(ModelSource files, Path model) {
            this.files = files;
            this.tokenizer = new LazyTokenizer(model);
        }

        Device open(TrainConfig config) {
            if (device == null) {
                MachineOptions machine = config.machine();
                device = Devices.open(machine.device(), machine.threads(), machine.precision(), machine.gemm());
            }
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
