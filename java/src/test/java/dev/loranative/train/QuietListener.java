package dev.loranative.train;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Remembers what a run says. */
final class QuietListener implements TrainListener {

    final List<String> prepared = new ArrayList<>();
    final List<String> warnings = new ArrayList<>();
    final List<StepMetrics> steps = new ArrayList<>();
    final List<Path> saved = new ArrayList<>();
    final List<Double> evaluations = new ArrayList<>();

    @Override
    public void prepared(String line) {
        prepared.add(line);
    }

    @Override
    public void warning(String line) {
        warnings.add(line);
    }

    @Override
    public void step(StepMetrics metrics, int totalSteps) {
        steps.add(metrics);
    }

    @Override
    public void evaluated(int step, double loss) {
        evaluations.add(loss);
    }

    @Override
    public void saved(Path checkpoint) {
        saved.add(checkpoint);
    }
}
