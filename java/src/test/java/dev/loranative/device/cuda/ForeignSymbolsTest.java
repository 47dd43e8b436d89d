package dev.loranative.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import jcuda.driver.JCudaDriver;
import jcuda.jcublas.JCublas2;
import org.junit.jupiter.api.Test;

/**
 * JCuda ends the JVM where a function that it calls is missing from the library, so each is looked for before: the lists of
 * what is looked for hold all that is called.
 */
class ForeignSymbolsTest {

    private static final JavaClasses CLASSES =
            new ClassFileImporter().importPackages(ForeignSymbolsTest.class.getPackageName());

    /** Names of the static methods of a class that this package calls, without those that call no library. */
    private static Set<String> calls(Class<?> owner, String prefix) {
        return CLASSES.stream()
                .filter(caller -> !caller.getName().endsWith("Test"))
                .flatMap(caller -> caller.getMethodCallsFromSelf().stream())
                .filter(call -> call.getTargetOwner().isEquivalentTo(owner))
                .map(call -> call.getName())
                .filter(name -> name.startsWith(prefix))
                .collect(Collectors.toSet());
    }

    /** The library's names: the second version of a function has it in its own, JCuda's new bindings in theirs. */
    private static boolean isListed(String method, List<String> symbols) {
        String name = method.replaceAll("_new$", "");
        return symbols.contains(name) || symbols.contains(name + "_v2");
    }

    @Test
    void ofTheDriverAreAllLookedFor() {
        assertThat(calls(JCudaDriver.class, "cu"))
                .hasSizeGreaterThan(20)
                .allMatch(method -> isListed(method, CudaDriver.SYMBOLS));
    }

    @Test
    void ofCublasAreAllLookedFor() {
        assertThat(calls(JCublas2.class, "cublas"))
                .hasSizeGreaterThan(4)
                .allMatch(method -> isListed(method, JcublasProducts.SYMBOLS));
    }
}
