package dev.loranative.cli;

import dev.loranative.config.Nearest;
import dev.loranative.errors.UserException;
import java.io.PrintStream;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Model.UsageMessageSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.UnmatchedArgumentException;

/** The command line: finds the command, runs it, and turns whatever is thrown into two lines and an exit code. */
@Command(
        name = "lora-native",
        description = "Fine-tunes large language models with LoRA, mixtures of experts first.%n",
        synopsisHeading = "Usage: ",
        customSynopsis = "lora-native COMMAND [OPTIONS]",
        commandListHeading = "%nCommands:%n",
        optionListHeading = "Global options:%n",
        footer = "%nlora-native COMMAND --help says more. To start: lora-native train --config examples/attention.yaml",
        sortOptions = false,
        usageHelpWidth = 110,
        versionProvider = Main.Version.class,
        subcommands = {
            TrainCommand.class,
            EvalCommand.class,
            GenerateCommand.class,
            InspectCommand.class,
            QuantizeCommand.class,
            MergeCommand.class,
            CombineCommand.class,
            ExportCommand.class,
            BenchCommand.class,
            DoctorCommand.class
        })
public final class Main {

    /** Commands that later versions have. */
    private static final Set<String> LATER = Set.of("plan", "preview", "chat");

    @Option(names = "--json", scope = ScopeType.INHERIT, description = "the result as one JSON document")
    private boolean json;

    @Option(names = "--stacktrace", scope = ScopeType.INHERIT, description = "errors with Java's stack trace")
    private boolean stacktrace;

    @Option(
            names = {"-h", "--help"},
            scope = ScopeType.INHERIT,
            usageHelp = true,
            description = "this help")
    private boolean help;

    @Option(
            names = {"-V", "--version"},
            scope = ScopeType.INHERIT,
            versionHelp = true,
            description = "the version")
    private boolean version;

    private Main() {}

    public static void main(String[] args) {
        System.exit(run(Arguments.asTyped(args), Console.ofProcess()));
    }

    /** Runs a command as {@link #main} does, without ending the process or listening for signals. */
    public static int run(String[] args, PrintStream out, PrintStream err) {
        return run(args, Console.of(out, err));
    }

    static int run(String[] args, Console console) {
        Main main = new Main();
        try {
            int exitCode = main.execute(args, console);
            if (console.out().checkError()) {
                throw UserException.failed(
                        "the result could not be written to standard output",
                        "check the free space of the disk that it goes to");
            }
            return exitCode;
        } catch (Throwable e) {
            if (main.stacktrace || Arrays.asList(args).contains("--stacktrace")) {
                e.printStackTrace(console.err());
            }
            Failure failure = Failure.of(e);
            console.failure(failure);
            return failure.exitCode();
        }
    }

    private int execute(String[] args, Console console) {
        CommandLine root = commandLine();
        ParseResult parsed = parse(root, helpFirst(args));
        ParseResult last = parsed;
        while (last.hasSubcommand()) {
            last = last.subcommand();
        }
        CommandLine command = last.commandSpec().commandLine();
        if (help) {
            command.usage(console.out(), CommandLine.Help.Ansi.OFF);
            return 0;
        }
        if (version) {
            command.printVersionHelp(console.out(), CommandLine.Help.Ansi.OFF);
            return 0;
        }
        if (!(command.getCommand() instanceof EngineCommand engineCommand)) {
            throw UserException.badInput("no command given", "give one of " + names(root) + "; or --help");
        }
        return engineCommand.run(console.withJson(json));
    }

    private CommandLine commandLine() {
        CommandLine root = new CommandLine(this)
                .setPosixClusteredShortOptionsAllowed(false)
                .setExpandAtFiles(false);
        for (CommandLine command : root.getSubcommands().values()) {
            if (command.getCommand() instanceof EngineCommand engineCommand) {
                describe(command, engineCommand);
            }
        }
        return root;
    }

    private static void describe(CommandLine command, EngineCommand engineCommand) {
        UsageMessageSpec usage = command.getCommandSpec().usageMessage();
        usage.synopsisHeading("Usage: ")
                .optionListHeading("Global options:%n")
                .sortOptions(false)
                .width(110)
                .sectionKeys(List.of(
                        UsageMessageSpec.SECTION_KEY_SYNOPSIS_HEADING,
                        UsageMessageSpec.SECTION_KEY_SYNOPSIS,
                        UsageMessageSpec.SECTION_KEY_DESCRIPTION,
                        "examples",
                        "keys",
                        UsageMessageSpec.SECTION_KEY_OPTION_LIST_HEADING,
                        UsageMessageSpec.SECTION_KEY_OPTION_LIST));
        command.getHelpSectionMap().put("examples", _ -> engineCommand.examplesText());
        command.getHelpSectionMap().put("keys", _ -> engineCommand.keysText());
    }

    /** {@code help train} is {@code train --help}. */
    private static String[] helpFirst(String[] args) {
        return args.length > 0 && args[0].equals("help")
                ? Stream.concat(Arrays.stream(args).skip(1), Stream.of("--help"))
                        .toArray(String[]::new)
                : args;
    }

    private static ParseResult parse(CommandLine root, String[] args) {
        try {
            return root.parseArgs(args);
        } catch (UnmatchedArgumentException e) {
            throw unknown(root, e.getUnmatched().getFirst());
        } catch (ParameterException e) {
            throw UserException.badInput(e.getMessage(), "lora-native --help lists commands and global options");
        }
    }

    private static UserException unknown(CommandLine root, String word) {
        if (word.startsWith("-")) {
            return UserException.badInput(
                    "unknown option '" + word + "' before the command",
                    "options stand behind it: lora-native COMMAND [OPTIONS], with one of " + names(root));
        }
        if (LATER.contains(word)) {
            return UserException.badInput(
                    "command '" + word + "' is not in this version yet", "this version has " + names(root));
        }
        return UserException.badInput(
                "unknown command '" + word + "'",
                "did you mean "
                        + String.join(
                                ", ", Nearest.to(word, root.getSubcommands().keySet(), 2))
                        + "? There are " + names(root));
    }

    private static String names(CommandLine root) {
        return String.join(", ", root.getSubcommands().keySet());
    }

    static final class Version implements IVersionProvider {

        @Override
        public String[] getVersion() {
            String version = Main.class.getPackage().getImplementationVersion();
            return new String[] {"lora-native " + (version == null ? "(unpackaged)" : version)};
        }
    }
}
