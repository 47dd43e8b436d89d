/** Measurements: models of realistic shapes with random weights, and the speed of kernels and train steps on them. */
package dev.loranative.bench;
