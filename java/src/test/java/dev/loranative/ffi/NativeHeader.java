package dev.loranative.ffi;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What {@code lora_native.h} declares, read with a small parser of the C that the header uses: no macros but {@code
 * LN_API}, one declaration per {@code ;}, fields of one type separated by commas.
 *
 * @param abiVersion {@code LN_ABI_VERSION}
 * @param functions by name
 * @param structs fields in order, by struct name
 * @param enums constants with their values, by enum name
 */
public record NativeHeader(
        int abiVersion,
        Map<String, Function> functions,
        Map<String, List<Member>> structs,
        Map<String, Map<String, Integer>> enums) {

    public record Function(Carrier returns, List<Carrier> takes) {}

    public record Member(Carrier carrier, String name) {}

    private static final Pattern FUNCTION = Pattern.compile("LN_API\\s+([^;(]*?)(\\w+)\\s*\\(([^)]*)\\)\\s*;");
    private static final Pattern STRUCT = Pattern.compile("typedef\\s+struct\\s+(\\w+)\\s*\\{([^}]*)}\\s*(\\w+)\\s*;");
    private static final Pattern ENUM = Pattern.compile("enum\\s+(\\w+)\\s*\\{([^}]*)}\\s*;");
    private static final Pattern VERSION = Pattern.compile("#define\\s+LN_ABI_VERSION\\s+(\\d+)");

    /** The header of this working tree. */
    public static NativeHeader read() {
        try {
            return parse(Files.readString(folder().resolve("lora_native.h")));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Where the header lies; tests run in the module's folder or in the root. */
    static Path folder() {
        for (Path root : List.of(Path.of(".."), Path.of("."))) {
            Path folder = root.resolve("native/include");
            if (Files.isRegularFile(folder.resolve("lora_native.h"))) {
                return folder.toAbsolutePath().normalize();
            }
        }
        throw new AssertionError("native/include/lora_native.h is neither in the parent of "
                + Path.of("").toAbsolutePath() + " nor in it");
    }

    static NativeHeader parse(String text) {
        String code = text.replaceAll("(?s)/\\*.*?\\*/", " ").replaceAll("//[^\n]*", " ");
        Matcher version = VERSION.matcher(code);
        if (!version.find()) {
            throw new AssertionError("no LN_ABI_VERSION");
        }
        return new NativeHeader(Integer.parseInt(version.group(1)), functions(code), structs(code), enums(code));
    }

    private static Map<String, Function> functions(String code) {
        Map<String, Function> functions = new LinkedHashMap<>();
        Matcher matcher = FUNCTION.matcher(code);
        while (matcher.find()) {
            List<Carrier> takes = new ArrayList<>();
            if (!matcher.group(3).strip().equals("void")) {
                for (String parameter : matcher.group(3).split(",")) {
                    takes.add(member("", parameter).carrier());
                }
            }
            Carrier returns = carrier(matcher.group(1));
            if (functions.put(matcher.group(2), new Function(returns, takes)) != null) {
                throw new AssertionError(matcher.group(2) + " is declared twice");
            }
        }
        return functions;
    }

    private static Map<String, List<Member>> structs(String code) {
        Map<String, List<Member>> structs = new LinkedHashMap<>();
        Matcher matcher = STRUCT.matcher(code);
        while (matcher.find()) {
            List<Member> members = new ArrayList<>();
            for (String declaration : matcher.group(2).split(";")) {
                if (declaration.isBlank()) {
                    continue;
                }
                String type = "";
                for (String part : declaration.split(",")) {
                    members.add(member(type, part));
                    if (type.isEmpty()) {
                        type = part.strip().replaceAll("\\W*\\w+$", "") + " ";
                    }
                }
            }
            structs.put(matcher.group(1), members);
        }
        return structs;
    }

    private static Map<String, Map<String, Integer>> enums(String code) {
        Map<String, Map<String, Integer>> enums = new LinkedHashMap<>();
        Matcher matcher = ENUM.matcher(code);
        while (matcher.find()) {
            Map<String, Integer> constants = new LinkedHashMap<>();
            for (String constant : matcher.group(2).split(",")) {
                if (!constant.isBlank()) {
                    String[] parts = constant.strip().split("\\s*=\\s*");
                    constants.put(parts[0], Integer.valueOf(parts[1]));
                }
            }
            enums.put(matcher.group(1), constants);
        }
        return enums;
    }

    /** From {@code "const float* x"}; later names of a list stand without their type. */
    private static Member member(String type, String declaration) {
        String whole = (type + declaration).strip();
        Matcher name = Pattern.compile("\\w+$").matcher(whole);
        if (!name.find() || name.start() == 0) {
            throw new AssertionError("no type and name in '" + whole + "'");
        }
        return new Member(carrier(whole.substring(0, name.start())), name.group());
    }

    private static Carrier carrier(String type) {
        String plain =
                type.replaceAll("\\bconst\\b", " ").replaceAll("\\s+", " ").strip();
        if (plain.contains("*")) {
            return Carrier.POINTER;
        }
        return switch (plain) {
            case "int32_t" -> Carrier.INT32;
            case "int64_t" -> Carrier.INT64;
            case "float" -> Carrier.FLOAT;
            case "double" -> Carrier.DOUBLE;
            default -> throw new AssertionError("type '" + plain + "' has no carrier");
        };
    }
}
