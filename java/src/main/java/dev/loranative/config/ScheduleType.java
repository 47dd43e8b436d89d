package dev.loranative.config;

/** The names of transformers' learning rate schedules. */
public enum ScheduleType {
    LINEAR,
    COSINE,
    COSINE_WITH_RESTARTS,
    POLYNOMIAL,
    CONSTANT,
    CONSTANT_WITH_WARMUP,
    INVERSE_SQRT,
    COSINE_WITH_MIN_LR,
    COSINE_WARMUP_WITH_MIN_LR,
    WARMUP_STABLE_DECAY,
    /** Needs an evaluation metric; refused. */
    REDUCE_LR_ON_PLATEAU,
    /** Needs a running metric; refused. */
    GREEDY
}
