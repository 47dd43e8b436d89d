package dev.loranative.lora.merge;

/** One array for all pieces of all tensors, so that a merge leaves no garbage of the model's size. */
final class RowBuffer {

    private float[] values = new float[0];

    /** At least {@code length} numbers of undefined content; the array given before is the same one. */
    float[] atLeast(int length) {
        if (values.length < length) {
            values = new float[length];
        }
        return values;
    }
}
