package dev.loranative.architecture;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The code follows docs/architecture.md. */
class ArchitectureTest {

    private static final String ROOT = "dev.loranative";

    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(new ImportOption.DoNotIncludeTests())
            .importPackages(ROOT);

    private final ArchitectureRules rules = new ArchitectureRules(ROOT);

    @ParameterizedTest
    @MethodSource("packages")
    void importsOnlyWhatTheTableAllows(String name) {
        rules.importsOnly(name, PackageTable.MAY_IMPORT.get(name)).check(CLASSES);
    }

    @ParameterizedTest
    @MethodSource("confined")
    void usesOutsideNamesInTheirPlaceAlone(PackageTable.Confined confined) {
        rules.confined(confined).check(CLASSES);
    }

    @Test
    void everyPackageHasARow() {
        rules.everyPackageIsListed(PackageTable.MAY_IMPORT.keySet()).check(CLASSES);
    }

    @Test
    void packagesHaveNoCycles() {
        rules.noCycles().check(CLASSES);
    }

    static Stream<String> packages() {
        return PackageTable.MAY_IMPORT.keySet().stream();
    }

    static List<PackageTable.Confined> confined() {
        return PackageTable.CONFINED;
    }
}
