package dev.loranative.architecture;

import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideOutsideOfPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideOutsideOfPackages;
import static com.tngtech.archunit.lang.conditions.ArchConditions.be;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.lang.ArchRule;
import java.util.Collection;
import java.util.Set;

/** The rules of docs/architecture.md for the packages below one root. Packages that are still empty pass. */
record ArchitectureRules(String root) {

    /** Classes of the package use, from the project, only their own package and the allowed ones. */
    ArchRule importsOnly(String name, Set<String> allowed) {
        return noClasses()
                .that()
                .resideInAPackage(tree(name))
                .should()
                .dependOnClassesThat(resideInAPackage(root + "..")
                        .and(resideOutsideOfPackage(tree(name)))
                        .and(resideOutsideOfPackages(trees(allowed))))
                .allowEmptyShould(true)
                .as(name + " may import " + (allowed.isEmpty() ? "nothing" : allowed) + " of the project");
    }

    ArchRule confined(PackageTable.Confined confined) {
        return noClasses()
                .that(resideOutsideOfPackages(trees(confined.packages())))
                .should()
                .dependOnClassesThat()
                .haveNameMatching(confined.classes())
                .allowEmptyShould(true)
                .as(confined.classes() + " is used in " + confined.packages() + " alone");
    }

    /** A new package needs its row in the table. */
    ArchRule everyPackageIsListed(Collection<String> listed) {
        return classes()
                .should(be(resideInAnyPackage(trees(listed))))
                .allowEmptyShould(true)
                .as("every package below " + root + " has a row in the package table");
    }

    ArchRule noCycles() {
        return slices().matching(root + ".(*)..").should().beFreeOfCycles().allowEmptyShould(true);
    }

    private String tree(String name) {
        return root + "." + name + "..";
    }

    private String[] trees(Collection<String> names) {
        return names.stream().map(this::tree).toArray(String[]::new);
    }
}
