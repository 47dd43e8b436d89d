package dev.loranative.tensor.cases;

/** Philox-4x32-10 (Salmon et al. 2011), written plainly. */
public final class Philox {

    private Philox() {}

    /** Word i % 4 at counter (i / 4, stream). */
    public static int word(long seed, long stream, long i) {
        int[] counter = {(int) (i / 4), (int) (i / 4 >>> 32), (int) stream, (int) (stream >>> 32)};
        int key0 = (int) seed;
        int key1 = (int) (seed >>> 32);
        for (int round = 0; round < 10; round++) {
            long product0 = 0xD2511F53L * Integer.toUnsignedLong(counter[0]);
            long product1 = 0xCD9E8D57L * Integer.toUnsignedLong(counter[2]);
            counter = new int[] {
                (int) (product1 >>> 32) ^ counter[1] ^ key0,
                (int) product1,
                (int) (product0 >>> 32) ^ counter[3] ^ key1,
                (int) product0
            };
            key0 += 0x9E3779B9;
            key1 += 0xBB67AE85;
        }
        return counter[(int) (i % 4)];
    }
}
