package dev.loranative.checkpoint;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * One safetensors file, checked and mapped read-only as a whole; a tensor's data is a slice of the mapping, nothing is
 * copied and pages come into memory when they are touched.
 *
 * <p>The format is that of <a href="https://huggingface.co/docs/safetensors">safetensors</a>, little endian. May be
 * read and closed from any thread; a slice used after {@link #close()} is an exception.
 */
public final class SafetensorsFile implements AutoCloseable {

    private static final ValueLayout.OfLong LENGTH = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** Linux maps the neighbours of a page that is touched, too: without them a released tensor leaves its edges behind. */
    private static final long FAULT_AROUND = 64 << 10;

    private final Path path;
    private final SafetensorsHeader header;
    private final Arena arena;
    private final MemorySegment mapping;

    private SafetensorsFile(Path path, SafetensorsHeader header, Arena arena, MemorySegment mapping) {
        this.path = path;
        this.header = header;
        this.arena = arena;
        this.mapping = mapping;
    }

    /**
     * Opens and checks a file.
     *
     * @throws UserException if it is missing, cannot be read, or breaks the format in any way
     */
    public static SafetensorsFile open(Path path) {
        if (!Files.isRegularFile(path)) {
            throw UserException.badInput(
                    path + (Files.exists(path) ? " is not a regular file" : " does not exist"),
                    "give the path of a .safetensors file");
        }
        Arena arena = Arena.ofShared();
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            long fileBytes = channel.size();
            if (fileBytes < SafetensorsHeader.LENGTH_BYTES) {
                throw SafetensorsHeader.broken(
                        path, "it has " + fileBytes + " bytes, fewer than the 8 bytes of the header length");
            }
            MemorySegment mapping = channel.map(FileChannel.MapMode.READ_ONLY, 0, fileBytes, arena);
            long length = mapping.get(LENGTH, 0);
            SafetensorsHeader.checkLength(path, length, fileBytes);
            byte[] json =
                    mapping.asSlice(SafetensorsHeader.LENGTH_BYTES, length).toArray(ValueLayout.JAVA_BYTE);
            SafetensorsHeader header = SafetensorsHeader.parse(path, json, fileBytes);
            return new SafetensorsFile(path, header, arena, mapping);
        } catch (IOException e) {
            arena.close();
            throw new UserException(
                    "cannot read " + path + ": " + e.getMessage(),
                    "check that the file may be read by this user",
                    UserException.BAD_INPUT,
                    e);
        } catch (RuntimeException e) {
            arena.close();
            throw e;
        }
    }

    public Path path() {
        return path;
    }

    /** All tensors, in the order of the header. */
    public Collection<TensorEntry> entries() {
        return header.tensors().values();
    }

    /** The tensor of this name, empty if the file has none. */
    public Optional<TensorEntry> find(String name) {
        return Optional.ofNullable(header.tensors().get(name));
    }

    /**
     * The same file, to be closed once, with the members in place of every tensor that is one of these stacks.
     *
     * @param stacks by name; a tensor of another shape stays what it is
     */
    SafetensorsFile divide(Map<String, TensorStack> stacks) {
        Map<String, TensorEntry> divided = new LinkedHashMap<>();
        for (TensorEntry entry : entries()) {
            for (TensorEntry part : parts(entry, stacks.get(entry.name()))) {
                if (divided.put(part.name(), part) != null) {
                    throw SafetensorsHeader.broken(
                            path, "it holds " + part.name() + " twice: by itself and in a tensor of several");
                }
            }
        }
        return new SafetensorsFile(path, new SafetensorsHeader(divided, metadata()), arena, mapping);
    }

    private static List<TensorEntry> parts(TensorEntry entry, TensorStack stack) {
        if (stack == null || !entry.shape().equals(stack.shape())) {
            return List.of(entry);
        }
        long bytes = stack.memberElements() * entry.type().bytes();
        if (bytes * stack.members().size() != entry.bytes()) {
            throw new IllegalArgumentException("the members of " + stack + " do not fill it");
        }
        List<TensorEntry> parts = new ArrayList<>();
        for (String name : stack.members()) {
            long offset = entry.offset() + parts.size() * bytes;
            parts.add(new TensorEntry(name, entry.type(), stack.memberShape(), entry.file(), offset, bytes));
        }
        return parts;
    }

    /** The strings under {@code __metadata__}; empty if the file has none. */
    public Map<String, String> metadata() {
        return header.metadata();
    }

    /**
     * The bytes of a tensor, little endian, a read-only slice of the mapping that lives until {@link #close()}.
     *
     * <p>The format does not promise alignment: read it with unaligned layouts or copy it.
     *
     * @throws UserException if the file has no such tensor
     */
    public MemorySegment data(String name) {
        TensorEntry entry = find(name)
                .orElseThrow(() -> UserException.badInput(
                        "tensor " + name + " is not in " + path, "check that the file belongs to this model"));
        return mapping.asSlice(entry.offset(), entry.bytes());
    }

    /**
     * Lets the system take the memory of a tensor that has been read and is not needed soon; reading it again is slower,
     * nothing else.
     */
    public void release(String name) {
        TensorEntry entry = find(name).orElseThrow();
        long first = Math.max(0, entry.offset() - FAULT_AROUND);
        long end = Math.min(mapping.byteSize(), entry.offset() + entry.bytes() + FAULT_AROUND);
        mapping.asSlice(first, end - first).unload();
    }

    @Override
    public void close() {
        arena.close();
    }
}
