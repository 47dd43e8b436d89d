package dev.loranative.tensor;

import dev.loranative.device.Buffer;
import dev.loranative.device.Device;
import dev.loranative.device.DeviceFailure;
import dev.loranative.ffi.Frame;
import dev.loranative.ffi.KernelException;
import dev.loranative.ffi.Kernels;
import dev.loranative.ffi.NativeStruct;
import dev.loranative.ffi.Structs;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/**
 * Calls kernels on one device. In planning mode nothing is called; only the largest scratch that any call would need is
 * noted, so that {@link #seal} can take it once before the first step.
 */
final class Launcher {

    private final Device device;
    private final Kernels kernels;
    private final Arena arena = Arena.ofAuto();
    private final Map<NativeStruct, Frame> frames = new IdentityHashMap<>();
    private final Map<NativeStruct, List<Frame>> jointFrames = new IdentityHashMap<>();
    private final MemorySegment bytesNeeded = arena.allocate(ValueLayout.JAVA_LONG);
    private long plannedScratch;
    private long takenScratch;
    private boolean planning;
    private boolean sealed;

    Launcher(Device device) {
        this.device = device;
        this.kernels = device.library().kernels();
    }

    Device device() {
        return device;
    }

    Kernels kernels() {
        return kernels;
    }

    /** Refused once the device is closed. */
    MemorySegment context() {
        return device.context();
    }

    boolean isPlanning() {
        return planning;
    }

    void setPlanning(boolean planning) {
        this.planning = planning;
    }

    /** Takes the planned scratch; from now on a call that needs more is a defect of the plan. */
    void seal() {
        if (plannedScratch > takenScratch) {
            takeScratch(plannedScratch);
        }
        sealed = true;
    }

    /** Forgets that the plan was made: a new one may follow. */
    void unseal() {
        sealed = false;
    }

    /** Scratch that has been taken or will be by {@link #seal}. */
    long scratchBytes() {
        return Math.max(plannedScratch, takenScratch);
    }

    Frame frame(NativeStruct struct) {
        return frames.computeIfAbsent(struct, s -> new Frame(s, arena)).clear();
    }

    /** Side by side, as many as a joint op takes at most. */
    List<Frame> jointFrames(NativeStruct struct) {
        List<Frame> array = jointFrames.computeIfAbsent(struct, s -> Frame.array(s, Structs.JOINT_LAYERS, arena));
        array.forEach(Frame::clear);
        return array;
    }

    /** Address of a tensor, 0 for null. */
    static long address(Tensor tensor) {
        return tensor == null ? 0 : tensor.address();
    }

    static MemorySegment pointer(Tensor tensor) {
        return tensor == null ? MemorySegment.NULL : MemorySegment.ofAddress(tensor.address());
    }

    /** One downcall that returns an {@code ln_status}. */
    @FunctionalInterface
    interface Downcall {
        int invoke() throws Throwable;
    }

    /** A kernel that takes plain arguments; not called in planning. */
    void call(Downcall downcall) {
        if (!planning) {
            invoke(downcall);
        }
    }

    /** A kernel that takes its arguments in a struct; not called in planning. */
    void call(MethodHandle kernel, Frame frame) {
        call(() -> (int) kernel.invokeExact(context(), frame.memory()));
    }

    /**
     * A kernel that takes its arguments in a struct and works in scratch. One that finds too little of it has written
     * nothing, so the size is asked for only then: that would be every third downcall of a step.
     */
    void call(MethodHandle kernel, ScratchOp op, Frame frame) {
        if (planning) {
            reserveScratch(op, frame);
            return;
        }
        Downcall downcall = () -> (int) kernel.invokeExact(context(), frame.memory());
        int status = statusOf(downcall);
        if (status == KernelException.SCRATCH_TOO_SMALL) {
            reserveScratch(op, frame);
            status = statusOf(downcall);
        }
        requireSuccess(status);
    }

    private void invoke(Downcall downcall) {
        requireSuccess(statusOf(downcall));
    }

    private static int statusOf(Downcall downcall) {
        try {
            return downcall.invoke();
        } catch (RuntimeException e) {
            // A tensor or the device was used after its memory was released.
            throw e;
        } catch (Throwable e) {
            throw new AssertionError("a downcall cannot throw", e);
        }
    }

    private void requireSuccess(int status) {
        if (status != 0) {
            KernelException failure =
                    new KernelException(status, device.library().lastError(context()));
            throw failure.isDeviceError()
                    ? DeviceFailure.of(failure.getMessage()).among(device.unfinished())
                    : failure;
        }
    }

    private void reserveScratch(ScratchOp op, Frame frame) {
        invoke(() -> (int) kernels.scratchBytes().invokeExact(context(), op.ordinal(), frame.memory(), bytesNeeded));
        long needed = bytesNeeded.get(ValueLayout.JAVA_LONG, 0);
        if (planning) {
            plannedScratch = Math.max(plannedScratch, needed);
        } else if (needed > takenScratch) {
            if (sealed) {
                throw new IllegalStateException(
                        op + " needs " + needed + " bytes of scratch, planned were " + takenScratch);
            }
            takeScratch(Math.max(needed, plannedScratch));
        }
    }

    private void takeScratch(long bytes) {
        takenScratch = bytes;
        Buffer scratch = device.allocate(bytes);
        MemorySegment memory = MemorySegment.ofAddress(scratch.address(0, bytes));
        invoke(() -> (int) kernels.contextSetScratch().invokeExact(context(), memory, bytes));
    }
}
