package dev.loranative.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.device.Buffer;
import dev.loranative.device.DenseProducts;
import dev.loranative.device.DenseProducts.Operand;
import dev.loranative.device.Device;
import dev.loranative.device.Devices;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;

/** A fault of the device can be of a product by JCublas, which the kernel library knows nothing of. */
@EnabledIfSystemProperty(named = "lora.native.cublas", matches = "true")
class UnfinishedProductsWithCublasTest {

    @Test
    void productsAreNamedUntilTheDeviceHasDoneThem() {
        try (Device device = Devices.open("cuda:0", 0, "float32", "jcublas")) {
            DenseProducts products = device.denseProducts().orElseThrow();
            Buffer memory = device.allocate(4096);
            Operand operand = new Operand(memory.address(0, 1024), 4, false);
            long result = memory.address(2048, 1024);
            products.multiply(operand, operand, result, 3, 4, 4, 1, 0);
            products.multiply(operand, operand, result, 4, 4, 4, 1, 0);
            products.multiply(operand, operand, result, 3, 4, 4, 1, 0);
            for (int n = 1; n <= 15; n++) {
                products.multiply(operand, operand, result, 2, Math.min(n, 4), 4, 1, 0);
            }

            assertThat(device.unfinished())
                    .isEqualTo("cublasGemmEx(m 4, n 4, k 4), cublasGemmEx(m 3, n 4, k 4), cublasGemmEx(m 2, n 1, k 4),"
                            + " cublasGemmEx(m 2, n 2, k 4), cublasGemmEx(m 2, n 3, k 4), cublasGemmEx(m 2, n 4, k 4)");

            device.synchronise();
            assertThat(device.unfinished()).isEmpty();
        }
    }
}
