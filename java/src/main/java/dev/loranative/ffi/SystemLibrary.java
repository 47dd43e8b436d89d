package dev.loranative.ffi;

import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.util.List;
import java.util.Optional;

/** Looks into a library of the system before somebody else's code calls it: a missing symbol would end the JVM. */
public final class SystemLibrary {

    private SystemLibrary() {}

    /** Why {@code name} (as the dynamic linker knows it) cannot be used for these symbols, a part of a sentence. */
    public static Optional<String> unavailabilityCause(String name, List<String> symbols) {
        SymbolLookup library;
        try {
            library = SymbolLookup.libraryLookup(name, Arena.global());
        } catch (IllegalArgumentException e) {
            return Optional.of(name + " cannot be loaded");
        }
        List<String> missing = symbols.stream()
                .filter(symbol -> library.find(symbol).isEmpty())
                .toList();
        return missing.isEmpty()
                ? Optional.empty()
                : Optional.of(name + " has no " + String.join(", ", missing) + ": it is too old");
    }
}
