package dev.loranative.boot;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.DataInputStream;
import java.io.IOException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LauncherTest {

    private static final int JAVA_8_CLASS_VERSION = 52;

    @ParameterizedTest
    @CsvSource({"1.7,7", "1.8,8", "9,9", "17,17", "25,25", "26,26"})
    void readsTheFeatureNumber(String specificationVersion, int feature) {
        assertThat(Launcher.feature(specificationVersion)).isEqualTo(feature);
    }

    @Test
    void loadsOnJava8() throws IOException {
        try (DataInputStream in = new DataInputStream(Launcher.class.getResourceAsStream("Launcher.class"))) {
            in.skipNBytes(6);
            assertThat(in.readUnsignedShort()).isEqualTo(JAVA_8_CLASS_VERSION);
        }
    }
}
