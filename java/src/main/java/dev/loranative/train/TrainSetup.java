package dev.loranative.train;

import dev.loranative.config.LoraConfig;
import dev.loranative.config.TrainConfig;
import dev.loranative.data.Batcher;
import dev.loranative.data.DataReport;
import dev.loranative.data.LazyTokenizer;
import dev.loranative.device.Device;
import dev.loranative.lora.Adapters;
import dev.loranative.model.LoadedModel;
import dev.loranative.optim.AdamW;
import dev.loranative.optim.Schedule;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import java.util.Map;
import java.util.Optional;

/**
 * Everything a run consists of, put together and checked by {@link TrainPreparation} before anything is written.
 * Closing it gives back the device and the mapped model.
 *
 * @param lora settings of the adapter: those of config, or those of the adapter that the run starts from
 * @param slab the activations of a step, of an evaluation too
 * @param start where the run begins: at 0, or where its checkpoint stands
 * @param settings what the result depends on, for checkpoints
 * @param evaluator empty without eval_dataset
 * @param sample empty without sample_prompt
 * @param data what reading the data set found
 * @param parameters of the model, without adapters
 * @param recompute whether layers run forward again in the backward pass
 * @param memory what the run takes
 */
record TrainSetup(
        TrainConfig config,
        LoraConfig lora,
        Device device,
        LoadedModel model,
        LazyTokenizer tokenizer,
        Batcher batcher,
        int totalSteps,
        Schedule schedule,
        Adapters adapters,
        AdamW optimizer,
        Ops ops,
        Slab slab,
        RunState start,
        Map<String, String> settings,
        Optional<Evaluator> evaluator,
        Optional<SampleText> sample,
        DataReport data,
        long parameters,
        boolean recompute,
        MemoryPlan memory)
        implements AutoCloseable {

    @Override
    public void close() {
        tokenizer.close();
        device.close();
        model.close();
    }
}
