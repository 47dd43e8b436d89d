package dev.loranative.tensor;

import dev.loranative.device.Device;

/**
 * The kernels of one device, by family. Every method checks the shapes of its tensors and calls one function of
 * {@code lora_native.h}, where the formulas stand.
 *
 * <p>In planning mode ({@link #plan}) nothing is computed and no tensor is touched: a step then runs through the same
 * code and only its memory is counted.
 */
public final class Ops {

    private final Launcher launcher;
    private final Products products;
    private final JointProducts jointProducts;
    private final GatedProducts gatedProducts;
    private final Dora dora;
    private final Norms norms;
    private final Attentions attentions;
    private final Elementwise elementwise;
    private final Routing routing;
    private final Losses losses;
    private final Quantization quantization;

    public Ops(Device device) {
        this.launcher = new Launcher(device);
        this.products = new Products(launcher);
        this.jointProducts = new JointProducts(launcher);
        this.gatedProducts = new GatedProducts(launcher);
        this.dora = new Dora(launcher);
        this.norms = new Norms(launcher);
        this.attentions = new Attentions(launcher);
        this.elementwise = new Elementwise(launcher);
        this.routing = new Routing(launcher);
        this.losses = new Losses(launcher);
        this.quantization = new Quantization(launcher);
    }

    public Device device() {
        return launcher.device();
    }

    /** Matrix products, plain, with LoRA, grouped over experts. */
    public Products products() {
        return products;
    }

    /** Linear layers of the same input as one op each way. */
    public JointProducts jointProducts() {
        return jointProducts;
    }

    /** The products of all experts' gated MLPs with what is around them, as one op each way where that is possible. */
    public GatedProducts gatedProducts() {
        return gatedProducts;
    }

    /** Row norms and column scales of weight-decomposed adapters. */
    public Dora dora() {
        return dora;
    }

    /** RMSNorm, rotary embedding, token embedding. */
    public Norms norms() {
        return norms;
    }

    public Attentions attentions() {
        return attentions;
    }

    public Elementwise elementwise() {
        return elementwise;
    }

    /** Router, token permutation, combination. */
    public Routing routing() {
        return routing;
    }

    /** Cross-entropy, sums, AdamW. */
    public Losses losses() {
        return losses;
    }

    /** 4-bit weights. */
    public Quantization quantization() {
        return quantization;
    }

    public boolean isPlanning() {
        return launcher.isPlanning();
    }

    /** Runs {@code body} without computing anything; {@link #scratchBytes} then covers every call it made. */
    public void plan(Runnable body) {
        launcher.unseal();
        launcher.setPlanning(true);
        try {
            body.run();
        } finally {
            launcher.setPlanning(false);
        }
    }

    /** Working memory of the kernels: the largest need of any call so far, planned or made. */
    public long scratchBytes() {
        return launcher.scratchBytes();
    }

    /** Takes the planned scratch; from now on it never grows. */
    public void seal() {
        launcher.seal();
    }

    /** Host to device; does nothing in planning. */
    public void upload(int[] values, Tensor target) {
        if (!isPlanning()) {
            target.copyFrom(device(), values);
        }
    }

    /** Host to device; does nothing in planning. */
    public void upload(float[] values, Tensor target) {
        if (!isPlanning()) {
            target.copyFrom(device(), values);
        }
    }

    /** Sets every byte to 0; does nothing in planning. */
    public void clear(Tensor tensor) {
        if (!isPlanning()) {
            tensor.clear(device());
        }
    }
}
