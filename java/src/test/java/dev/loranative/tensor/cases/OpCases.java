package dev.loranative.tensor.cases;

import dev.loranative.tensor.cases.OpCase.Use;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** The table: every case of every op under its name. */
public final class OpCases {

    private static final Map<String, OpCase> TABLE = table();

    private OpCases() {}

    public static Collection<OpCase> all() {
        return TABLE.values();
    }

    public static List<OpCase> of(Family family, Use use) {
        return all().stream()
                .filter(opCase -> opCase.family() == family && opCase.use() == use)
                .toList();
    }

    public static List<OpCase> of(Use use) {
        return all().stream().filter(opCase -> opCase.use() == use).toList();
    }

    /** @throws IllegalArgumentException for a name that is not in the table */
    public static OpCase named(String name) {
        OpCase found = TABLE.get(name);
        if (found == null) {
            throw new IllegalArgumentException("no op case '" + name + "'");
        }
        return found;
    }

    private static Map<String, OpCase> table() {
        Map<String, OpCase> table = new LinkedHashMap<>();
        Stream.of(
                        ProductCases.all(),
                        AdapterCases.all(),
                        JointProductCases.all(),
                        GroupedProductCases.all(),
                        GatedProductCases.all(),
                        DownProductCases.all(),
                        DoraCases.all(),
                        NormCases.all(),
                        RopeCases.all(),
                        AttentionCases.all(),
                        ActivationCases.all(),
                        ElementwiseCases.all(),
                        RouterCases.all(),
                        PermutationCases.all(),
                        RowsAndColumnsCases.all(),
                        LossCases.all())
                .flatMap(List::stream)
                .forEach(opCase -> {
                    if (table.put(opCase.name(), opCase) != null) {
                        throw new IllegalStateException("two op cases are called '" + opCase.name() + "'");
                    }
                });
        return table;
    }
}
