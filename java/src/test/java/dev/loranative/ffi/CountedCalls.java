package dev.loranative.ffi;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.RecordComponent;
import java.util.Map;
import java.util.TreeMap;

/** How often each function of a library is called. */
public final class CountedCalls {

    private final Map<String, Integer> counts = new TreeMap<>();

    /** The library, with calls counted here. */
    public NativeLibrary of(NativeLibrary library) {
        RecordComponent[] components = Kernels.class.getRecordComponents();
        Class<?>[] types = new Class<?>[components.length];
        Object[] handles = new Object[components.length];
        try {
            MethodHandle count = MethodHandles.lookup()
                    .findVirtual(CountedCalls.class, "count", MethodType.methodType(void.class, String.class))
                    .bindTo(this);
            for (int i = 0; i < components.length; i++) {
                types[i] = MethodHandle.class;
                MethodHandle plain = (MethodHandle) components[i].getAccessor().invoke(library.kernels());
                String name = components[i].getAnnotation(Symbol.class).value();
                handles[i] = MethodHandles.foldArguments(plain, MethodHandles.insertArguments(count, 0, name));
            }
            return library.with(Kernels.class.getDeclaredConstructor(types).newInstance(handles));
        } catch (ReflectiveOperationException e) {
            throw new AssertionError(e);
        }
    }

    private void count(String name) {
        counts.merge(name, 1, Integer::sum);
    }

    /** Since the last {@link #clear}. */
    public int calls(String name) {
        return counts.getOrDefault(name, 0);
    }

    public void clear() {
        counts.clear();
    }
}
