package dev.loranative.cli;

import dev.loranative.config.ConfigParser;
import dev.loranative.config.ConfigText;
import dev.loranative.config.ConfigValues;
import dev.loranative.config.Key;
import dev.loranative.errors.UserException;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Unmatched;

/**
 * A command whose options are {@link Key}s: read by the one {@link ConfigParser}, so that {@code --config}, spellings
 * and messages are the same everywhere. picocli sees the command's name and the global options only.
 */
abstract class EngineCommand {

    /** Everything behind the command's name but the global options. */
    @Unmatched
    private List<String> flags = new ArrayList<>();

    /** What the command understands. */
    abstract List<Key<?>> keys();

    /** Of {@link #keys}, what its help lists. */
    List<Key<?>> keysInHelp() {
        return keys();
    }

    /** Command lines that work, without the program's name. */
    abstract List<String> examples();

    /** @return the exit code */
    abstract int run(ConfigValues values, Console console);

    final int run(Console console) {
        if (keys().isEmpty() && !flags.isEmpty()) {
            throw UserException.badInput(
                    "unexpected argument '" + flags.getFirst() + "'", "this command takes the global options only");
        }
        return run(new ConfigParser(keys()).parse(flags), console);
    }

    final String examplesText() {
        StringBuilder text = new StringBuilder("\nExamples:\n");
        examples()
                .forEach(
                        example -> text.append("  lora-native ").append(example).append('\n'));
        return text.toString();
    }

    final String keysText() {
        return keysInHelp().isEmpty()
                ? "\n"
                : "\nEvery option is also a key of the YAML file that --config FILE names, there with underscores; flags win.\n\n"
                        + ConfigText.help(keysInHelp())
                        + "\n";
    }
}
