package dev.loranative.model;

import dev.loranative.device.Device;
import dev.loranative.tensor.Tensor;

/** Gives the weights of a model, one after the other, on a device. */
interface ModuleWeights {

    Device device();

    /** Whether there is a tensor of that name. */
    boolean contains(String tensor);

    /** The weight of a module, [out, in], or of a norm. */
    Tensor weight(String module);

    /** A tensor by its own name, in 16 or 32 bits: a bias. */
    Tensor tensor(String name);
}
