package dev.loranative.checkpoint;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.TreeSet;

/**
 * SHA-256 of a model: of the bytes of config.json, then of every tensor in the order of the names (code points) its name, type,
 * shape and data. How the tensors are divided among files does not matter; experts
 * that lie in one tensor, unless it is in 4 bits, count as the tensors that they are. Every variable part has its length before it, as
 * eight bytes, big endian; so have the sizes of a shape.
 *
 * <p>Beyond {@link #WHOLE_BYTES} of tensors not all data goes in, so that saving an adapter does not wait for the disk: of a
 * tensor of more than 16 KiB only four blocks of 4 KiB, at the bytes {@code k·(length − 4096)/3}, rounded down, for k from 0 to
 * 3. Such a hash tells models apart, training included, which changes all of a tensor; it does not prove that no byte was changed.
 *
 * @param whole whether all data went in
 * @param hex 64 digits
 */
public record ContentHash(boolean whole, String hex) {

    /** Up to this size of all tensors everything is hashed. */
    public static final long WHOLE_BYTES = 256L << 20;

    private static final int BLOCK_BYTES = 4096;
    private static final int BLOCKS = 4;
    private static final long PIECE_BYTES = 64L << 20;

    static ContentHash of(Checkpoint checkpoint) {
        return of(checkpoint, checkpoint.totalBytes() <= WHOLE_BYTES);
    }

    static ContentHash of(Checkpoint checkpoint, boolean whole) {
        MessageDigest digest = sha256();
        update(digest, config(checkpoint.directory().resolve("config.json")));
        for (String name : new TreeSet<>(checkpoint.names())) {
            TensorEntry entry = checkpoint.entry(name);
            update(digest, name.getBytes(StandardCharsets.UTF_8));
            update(digest, entry.type().name().getBytes(StandardCharsets.UTF_8));
            updateLong(digest, entry.shape().size());
            entry.shape().forEach(size -> updateLong(digest, size));
            updateLong(digest, entry.bytes());
            updateData(digest, checkpoint.data(name), whole);
        }
        return new ContentHash(whole, HexFormat.of().formatHex(digest.digest()));
    }

    /** SHA-256 of a file, 64 digits. */
    public static String ofFile(Path file) throws IOException {
        MessageDigest digest = sha256();
        try (var input = Files.newInputStream(file)) {
            byte[] buffer = new byte[1 << 16];
            for (int read = input.read(buffer); read >= 0; read = input.read(buffer)) {
                digest.update(buffer, 0, read);
            }
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    private static byte[] config(Path file) {
        try {
            return Files.readAllBytes(file);
        } catch (IOException e) {
            throw UserException.badInput("cannot read " + file + ": " + e.getMessage(), "put the model's files back");
        }
    }

    private static void updateData(MessageDigest digest, MemorySegment data, boolean whole) {
        long bytes = data.byteSize();
        if (whole || bytes <= BLOCKS * BLOCK_BYTES) {
            for (long done = 0; done < bytes; done += PIECE_BYTES) {
                digest.update(
                        data.asSlice(done, Math.min(PIECE_BYTES, bytes - done)).asByteBuffer());
            }
            return;
        }
        for (int block = 0; block < BLOCKS; block++) {
            long start = block * (bytes - BLOCK_BYTES) / (BLOCKS - 1);
            digest.update(data.asSlice(start, BLOCK_BYTES).asByteBuffer());
        }
    }

    private static void update(MessageDigest digest, byte[] bytes) {
        updateLong(digest, bytes.length);
        digest.update(bytes);
    }

    private static void updateLong(MessageDigest digest, long value) {
        digest.update(ByteBuffer.allocate(Long.BYTES).putLong(0, value));
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e);
        }
    }

    /** {@code sha256:HEX}, or {@code sha256-blocks:HEX} where only blocks went in. */
    @Override
    public String toString() {
        return (whole ? "sha256:" : "sha256-blocks:") + hex;
    }
}
