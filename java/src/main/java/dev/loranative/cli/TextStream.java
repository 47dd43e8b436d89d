package dev.loranative.cli;

import dev.loranative.data.IncrementalDecoder;

/** New tokens as text, on standard output as soon as it is certain; as numbers where there is no tokenizer. */
final class TextStream {

    /** Null without a tokenizer. */
    private final IncrementalDecoder decoder;

    private final Console console;
    private final StringBuilder text = new StringBuilder();

    TextStream(Prompt prompt, Console console) {
        this.decoder = prompt.tokenizer()
                .map(tokenizer -> tokenizer.incrementalDecoder(prompt.ids()))
                .orElse(null);
        this.console = console;
    }

    void add(int id) {
        if (decoder == null) {
            give((text.isEmpty() ? "" : ",") + id);
        } else {
            give(decoder.add(id));
        }
    }

    /** Ends the line; returns the whole text, null without a tokenizer. */
    String finish() {
        if (decoder != null) {
            give(decoder.finish());
        }
        if (!console.json()) {
            console.result("");
        }
        return decoder == null ? null : text.toString();
    }

    private void give(String piece) {
        text.append(piece);
        if (!console.json() && !piece.isEmpty()) {
            console.out().print(piece);
            console.out().flush();
        }
    }
}
