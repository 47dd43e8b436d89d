package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class QuantitiesTest {

    @Test
    void times() {
        assertThat(Quantities.time(-1)).isEqualTo("0:00");
        assertThat(Quantities.time(59.6)).isEqualTo("1:00");
        assertThat(Quantities.time(3599)).isEqualTo("59:59");
        assertThat(Quantities.time(3600)).isEqualTo("1:00:00");
        assertThat(Quantities.time(50 * 3600 + 61)).isEqualTo("2 d 02:01");
    }

    @Test
    void sizes() {
        assertThat(Quantities.bytes(1023)).isEqualTo("1023 B");
        assertThat(Quantities.bytes(14 << 10)).isEqualTo("14 KiB");
        assertThat(Quantities.bytes(312 << 20)).isEqualTo("312 MiB");
        assertThat(Quantities.bytes(5L << 28)).isEqualTo("1.25 GiB");
    }

    @Test
    void numbers() {
        assertThat(Quantities.count(1903872)).isEqualTo("1,903,872");
        assertThat(Quantities.rate(9.96)).isEqualTo("10.0");
        assertThat(Quantities.rate(4210.4)).isEqualTo("4,210");
        assertThat(Quantities.small(0)).isEqualTo("0.000");
        assertThat(Quantities.small(0.00031)).isEqualTo("3.1e-04");
        assertThat(Quantities.percent(0.0344)).isEqualTo("3.44 %");
        assertThat(Quantities.percent(0.000031)).isEqualTo("0.0031 %");
    }
}
