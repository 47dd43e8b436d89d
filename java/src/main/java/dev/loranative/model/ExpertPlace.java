package dev.loranative.model;

import dev.loranative.nn.GroupedLinear;

/**
 * Where one expert's projection lives.
 *
 * @param projection the projection of all experts of its layer
 * @param expert number of the expert
 */
public record ExpertPlace(GroupedLinear projection, int expert) {}
