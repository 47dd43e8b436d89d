package dev.loranative.nn;

import dev.loranative.tensor.Tensor;

/**
 * Where tokens go: every (token, choice) pair has a row, and rows are sorted by expert.
 *
 * @param offsets I32 [experts + 1], the experts' first rows
 * @param rowsOfPairs I32 [tokens * topK]
 * @param scores [tokens, topK], the factors with which a token's rows are summed
 */
record Routes(Tensor offsets, Tensor rowsOfPairs, Tensor scores) {}
