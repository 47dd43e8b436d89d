package dev.loranative.data;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Collects warnings that may arise at every sample into one line each: the first place, and how often. */
final class Warnings {

    private static final class Entry {
        final String text;
        final Place first;
        int count;

        Entry(String text, Place first) {
            this.text = text;
            this.first = first;
        }
    }

    private final Map<String, Entry> entries = new LinkedHashMap<>();

    void add(String kind, Place place, String text) {
        entries.computeIfAbsent(kind, key -> new Entry(text, place)).count++;
    }

    List<String> lines() {
        List<String> lines = new ArrayList<>();
        for (Entry entry : entries.values()) {
            String times = entry.count == 1 ? "" : " (and " + (entry.count - 1) + " more)";
            lines.add(entry.first + times + ": " + entry.text);
        }
        return lines;
    }
}
