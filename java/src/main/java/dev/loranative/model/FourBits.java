package dev.loranative.model;

/**
 * What of a model is in 4 bits.
 *
 * @param weights how many
 * @param bitsPerWeight of theirs, scales included
 */
public record FourBits(int weights, double bitsPerWeight) {}
