package dev.loranative.architecture;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.lang.ArchRule;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The rules find what they forbid: they are run over a small tree that breaks them. */
class ArchitectureRulesTest {

    private static final String ROOT = "dev.loranative.architecture.broken";

    private static final JavaClasses CLASSES = new ClassFileImporter().importPackages(ROOT);

    private final ArchitectureRules rules = new ArchitectureRules(ROOT);

    @Test
    void findsAnImportThatTheTableForbids() {
        assertThat(violations(rules.importsOnly("nn", PackageTable.MAY_IMPORT.get("nn"))))
                .singleElement()
                .asString()
                .contains("nn.Layer.command", "cli.Command");
    }

    @Test
    void acceptsAnImportThatTheTableAllows() {
        assertThat(violations(rules.importsOnly("cli", PackageTable.MAY_IMPORT.get("cli"))))
                .isEmpty();
    }

    @Test
    void findsTheLinkerOutsideItsPackage() {
        assertThat(violations(rules.confined(PackageTable.LINKER)))
                .singleElement()
                .asString()
                .contains("nn.Layer.linker");
    }

    @Test
    void findsASegmentInAModuleButNotInATensor() {
        assertThat(violations(rules.confined(PackageTable.SEGMENTS)))
                .singleElement()
                .asString()
                .contains("nn.Layer.weight");
    }

    @Test
    void findsAPackageWithoutARow() {
        assertThat(violations(rules.everyPackageIsListed(PackageTable.MAY_IMPORT.keySet())))
                .singleElement()
                .asString()
                .contains("drawer.Helper");
    }

    @Test
    void findsACycle() {
        assertThat(violations(rules.noCycles())).singleElement().asString().contains("Cycle detected");
    }

    private static List<String> violations(ArchRule rule) {
        return rule.evaluate(CLASSES).getFailureReport().getDetails();
    }
}
