/**
 * JMH benchmarks of the engine's parts and the table of what they gave.
 *
 * <p>{@code benchmarks/run} measures everything and writes {@code benchmarks/results}; a single benchmark with JMH's own
 * options: {@code java -cp benchmarks/target/benchmarks.jar org.openjdk.jmh.Main}. The body of every benchmark also runs
 * as a test that checks its answer, so that no wrong kernel is ever timed.
 */
package dev.loranative.benchmarks;
