package dev.loranative.optim;

/** What the highest learning rate is multiplied by in each step. */
@FunctionalInterface
public interface Schedule {

    /**
     * @param step optimizer steps already taken: 0 in the first, which is torch's {@code lambda(0)}
     */
    double factor(long step);
}
