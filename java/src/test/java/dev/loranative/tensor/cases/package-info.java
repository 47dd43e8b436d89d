/**
 * The one table of op cases: what every kernel is checked with, and what it is timed with.
 *
 * <p>A row ({@link dev.loranative.tensor.cases.OpCase}) knows its op, its shape, the type of its weights, how many
 * floating-point operations and bytes the formula needs, and how to put itself onto a device
 * ({@link dev.loranative.tensor.cases.OpRun}): inputs, one call, what plain double arithmetic expects of each output,
 * and, for a backward pass, the forward pass that it is the derivative of. The laws in {@code dev.loranative.tensor},
 * the gradient check and the benchmarks all read this table; a new op or a new weight type enters it once.
 *
 * <p>Test code: the benchmarks get it as the test-jar of this module, and nothing of it is in what users run.
 */
package dev.loranative.tensor.cases;
