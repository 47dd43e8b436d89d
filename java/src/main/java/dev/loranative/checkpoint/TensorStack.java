package dev.loranative.checkpoint;

import java.util.List;

/**
 * A tensor that may stand in a file in place of several: their data one after the other. With one member it is that one under
 * another name.
 *
 * @param name as in the file
 * @param shape as in the file
 * @param members names of the tensors in it, in their order
 * @param memberShape of each; together they are as large as the whole
 */
public record TensorStack(String name, List<Long> shape, List<String> members, List<Long> memberShape) {

    public TensorStack {
        shape = List.copyOf(shape);
        members = List.copyOf(members);
        memberShape = List.copyOf(memberShape);
    }

    /** Elements of one member. */
    public long memberElements() {
        return memberShape.stream().reduce(1L, Math::multiplyExact);
    }
}
