package dev.loranative.nn;

import dev.loranative.device.Device;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Function;

/**
 * All adapter tensors in one flat float32 range, and their gradients in another: clipping, the optimizer and checkpoints
 * work on the ranges. Groups lie behind each other, the tensors of a group in the order in which they were added.
 */
public final class ParameterArena {

    private final Tensor values;
    private final Tensor gradients;
    private final Function<String, ParameterGroup> groups;
    private final List<Parameter> parameters = new ArrayList<>();
    private final SortedMap<ParameterGroup, Section> sections = new TreeMap<>();

    /** The numbers of a group, from {@code first} on; {@code used} of them belong to a tensor. */
    private record Section(long first, long count, long used) {}

    /**
     * One group.
     *
     * @param size number of elements of all tensors that will be added
     * @param trainable whether there are gradients
     */
    public ParameterArena(Device device, long size, boolean trainable) {
        this(device, _ -> ParameterGroup.ALL, Map.of(ParameterGroup.ALL, size), trainable);
    }

    /**
     * @param groups the group of a tensor by its name
     * @param sizes number of elements of all tensors that will be added to a group
     * @param trainable whether there are gradients
     */
    public ParameterArena(
            Device device,
            Function<String, ParameterGroup> groups,
            Map<ParameterGroup, Long> sizes,
            boolean trainable) {
        this.groups = groups;
        long size = 0;
        for (Map.Entry<ParameterGroup, Long> entry : new TreeMap<>(sizes).entrySet()) {
            sections.put(entry.getKey(), new Section(size, entry.getValue(), 0));
            size += entry.getValue();
        }
        this.values = Tensor.allocate(device, DType.F32, size);
        this.gradients = trainable ? Tensor.allocate(device, DType.F32, size) : null;
    }

    /** The next free part of the range of the group that the name belongs to. */
    public Parameter add(String name, long rows, long columns) {
        long count = rows * columns;
        ParameterGroup group = groups.apply(name);
        Section section = sections.getOrDefault(group, new Section(0, 0, 0));
        if (section.used() + count > section.count()) {
            throw new IllegalArgumentException(name + " has " + count + " elements, " + group + " has room for "
                    + (section.count() - section.used()));
        }
        long first = section.first() + section.used();
        sections.put(group, new Section(section.first(), section.count(), section.used() + count));
        Parameter parameter = new Parameter(
                name,
                values.range(first, count).reshape(rows, columns),
                gradients == null ? null : gradients.range(first, count).reshape(rows, columns));
        parameters.add(parameter);
        return parameter;
    }

    public List<Parameter> parameters() {
        return Collections.unmodifiableList(parameters);
    }

    public long size() {
        return values.size();
    }

    /** Takes the part of a group. */
    @FunctionalInterface
    public interface GroupVisitor {
        void visit(ParameterGroup group, long first, long count);
    }

    /** Every group and where its elements lie in the ranges, in their order. */
    public void forEachGroup(GroupVisitor visitor) {
        sections.forEach((group, section) -> visitor.visit(group, section.first(), section.count()));
    }

    /** F32 [size]. */
    public Tensor values() {
        return values;
    }

    /** F32 [size], or null when frozen. */
    public Tensor gradients() {
        return gradients;
    }
}
