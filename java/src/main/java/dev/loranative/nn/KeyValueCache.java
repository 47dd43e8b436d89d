package dev.loranative.nn;

import dev.loranative.device.Device;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Tensor;

/** Keys and values of the tokens that a generation has seen, per layer. */
public final class KeyValueCache {

    private final Tensor[] keys;
    private final Tensor[] values;
    private final long capacity;
    private long length;

    /** @param width key heads * head dimension */
    public KeyValueCache(Device device, int layers, long capacity, long width) {
        this.capacity = capacity;
        this.keys = new Tensor[layers];
        this.values = new Tensor[layers];
        for (int layer = 0; layer < layers; layer++) {
            keys[layer] = Tensor.allocate(device, DType.F32, capacity, width);
            values[layer] = Tensor.allocate(device, DType.F32, capacity, width);
        }
    }

    /** Tokens of earlier passes. */
    public long length() {
        return length;
    }

    /** Memory taken. */
    public long bytes() {
        return keys.length == 0 ? 0 : 2 * keys.length * keys[0].bytes();
    }

    public long capacity() {
        return capacity;
    }

    /** Called once all layers have stored the pass's tokens. */
    public void advance(long tokens) {
        length += tokens;
    }

    /** Forgets all tokens. */
    public void reset() {
        length = 0;
    }

    /** Rows where the pass's new keys go: [tokens, width]. */
    Tensor newKeys(int layer, long tokens) {
        return keys[layer].rows(length, tokens);
    }

    Tensor newValues(int layer, long tokens) {
        return values[layer].rows(length, tokens);
    }

    /** All keys up to and including the pass's. */
    Tensor allKeys(int layer, long tokens) {
        return keys[layer].rows(0, length + tokens);
    }

    Tensor allValues(int layer, long tokens) {
        return values[layer].rows(0, length + tokens);
    }
}
