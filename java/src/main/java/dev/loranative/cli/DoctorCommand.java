package dev.loranative.cli;

import dev.loranative.config.ConfigValues;
import dev.loranative.config.Key;
import dev.loranative.errors.UserException;
import java.util.List;
import picocli.CommandLine.Command;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** {@code doctor}: what works on this machine, what does not, and what to do about it. */
@Command(
        name = "doctor",
        header = "what works on this machine, what does not, what to do",
        customSynopsis = "lora-native doctor [--json]",
        description = "Says what works on this machine, what does not, and what to do about it.%n"
                + "Ends with exit code 0 if training works, with 1 if not.")
final class DoctorCommand extends EngineCommand {

    @Override
    List<Key<?>> keys() {
        return List.of();
    }

    @Override
    List<String> examples() {
        return List.of("doctor", "doctor --json");
    }

    @Override
    int run(ConfigValues values, Console console) {
        List<Finding> findings = Examination.all();
        boolean works = findings.stream().noneMatch(Finding::isFailure);
        if (console.json()) {
            console.result(json(findings, works));
        } else {
            TextTable table = new TextTable("", false, false, false);
            for (Finding finding : findings) {
                table.row(finding.level().word(), finding.name(), finding.detail());
                if (!finding.advice().isEmpty()) {
                    table.row("", "", "-> " + finding.advice());
                }
            }
            table.lines().forEach(console::result);
            console.result(works ? "Training works on this machine." : "Training does not work on this machine yet.");
        }
        return works ? 0 : UserException.FAILED;
    }

    private static ObjectNode json(List<Finding> findings, boolean works) {
        ObjectNode json = Console.JSON.createObjectNode().put("works", works);
        ArrayNode list = json.putArray("findings");
        for (Finding finding : findings) {
            list.addObject()
                    .put("level", finding.level().word())
                    .put("name", finding.name())
                    .put("detail", finding.detail())
                    .put("advice", finding.advice());
        }
        return json;
    }
}
