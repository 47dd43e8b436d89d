/**
 * JMH benchmarks of the engine's parts.
 *
 * <p>Run all with {@code java -jar benchmarks/target/benchmarks.jar}, some with a part of the name as argument, and name
 * the machine, the command and the threads wherever a figure is quoted. Every benchmark's body also runs once as a test
 * that checks its answer, so that no wrong kernel is ever timed.
 */
package dev.loranative.benchmarks;
