package dev.loranative.ffi;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.RecordComponent;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.LongPredicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * A library that refuses pointers which are not device memory. In the emulator host memory would do as well; a GPU would
 * fault.
 */
public final class PointerGuard {

    /** What these take lies on the host. */
    private static final Set<String> ON_THE_HOST = Set.of(
            "ln_abi_version",
            "ln_context_create",
            "ln_context_destroy",
            "ln_last_error",
            "ln_query",
            "ln_scratch_bytes");

    private static final Map<String, NativeStruct> STRUCTS =
            Structs.ALL.stream().collect(Collectors.toMap(NativeStruct::name, Function.identity()));

    /** Joint layers lie on the host, what they point to does not. */
    private static final Map<NativeStruct, NativeStruct> LAYERS = Map.of(
            Structs.JOINT_LINEAR_FORWARD,
            Structs.LINEAR_FORWARD,
            Structs.JOINT_LINEAR_BACKWARD,
            Structs.LINEAR_BACKWARD);

    private final LongPredicate isDeviceMemory;

    private PointerGuard(LongPredicate isDeviceMemory) {
        this.isDeviceMemory = isDeviceMemory;
    }

    /** @param isDeviceMemory asked for every address that is not 0 */
    public static NativeLibrary of(NativeLibrary library, LongPredicate isDeviceMemory) {
        PointerGuard guard = new PointerGuard(isDeviceMemory);
        RecordComponent[] components = Kernels.class.getRecordComponents();
        Class<?>[] types = new Class<?>[components.length];
        Object[] handles = new Object[components.length];
        try {
            for (int i = 0; i < components.length; i++) {
                types[i] = MethodHandle.class;
                MethodHandle plain = (MethodHandle) components[i].getAccessor().invoke(library.kernels());
                handles[i] = guard.guarded(plain, components[i].getAnnotation(Symbol.class));
            }
            return library.with(Kernels.class.getDeclaredConstructor(types).newInstance(handles));
        } catch (ReflectiveOperationException e) {
            throw new AssertionError(e);
        }
    }

    private MethodHandle guarded(MethodHandle plain, Symbol symbol) throws ReflectiveOperationException {
        if (ON_THE_HOST.contains(symbol.value())) {
            return plain;
        }
        Optional<NativeStruct> struct = struct(symbol);
        MethodHandle result = plain;
        for (int i = 1; i < symbol.takes().length; i++) { // 0 is the context
            if (symbol.takes()[i] == Carrier.POINTER) {
                result = MethodHandles.filterArguments(
                        result, i, struct.isPresent() ? fields(struct.get()) : argument(symbol.value(), i));
            }
        }
        return result;
    }

    /** The forward and the backward pass of attention share theirs. */
    private static Optional<NativeStruct> struct(Symbol symbol) {
        return Stream.of(symbol.value(), symbol.value().replaceFirst("_(fwd|bwd)$", ""))
                .map(name -> STRUCTS.get(name + "_args"))
                .filter(Objects::nonNull)
                .findFirst();
    }

    private MethodHandle argument(String symbol, int position) throws ReflectiveOperationException {
        return check("requireDevice", String.class, symbol + ", argument " + position);
    }

    private MethodHandle fields(NativeStruct struct) throws ReflectiveOperationException {
        return check("requireFields", NativeStruct.class, struct);
    }

    private MethodHandle check(String method, Class<?> type, Object bound) throws ReflectiveOperationException {
        MethodHandle handle = MethodHandles.lookup()
                .findVirtual(
                        PointerGuard.class,
                        method,
                        MethodType.methodType(MemorySegment.class, type, MemorySegment.class));
        return MethodHandles.insertArguments(handle, 0, this, bound);
    }

    private MemorySegment requireDevice(String what, MemorySegment pointer) {
        require(what, pointer.address());
        return pointer;
    }

    private MemorySegment requireFields(NativeStruct struct, MemorySegment arguments) {
        NativeStruct layer = LAYERS.get(struct);
        if (layer != null) {
            long count = arguments.get(
                    ValueLayout.JAVA_LONG, struct.fields().get("count").offset());
            MemorySegment layers = MemorySegment.ofAddress(arguments.get(
                            ValueLayout.JAVA_LONG, struct.fields().get("layers").offset()))
                    .reinterpret(count * layer.bytes());
            for (long i = 0; i < count; i++) {
                requireFields(layer, layers.asSlice(i * layer.bytes(), layer.bytes()));
            }
            return arguments;
        }
        struct.fields().forEach((name, field) -> {
            if (field.carrier() == Carrier.POINTER) {
                require(struct.name() + "." + name, arguments.get(ValueLayout.JAVA_LONG, field.offset()));
            }
        });
        return arguments;
    }

    private void require(String what, long address) {
        if (address != 0 && !isDeviceMemory.test(address)) {
            throw new IllegalArgumentException(what + " is not device memory");
        }
    }
}
