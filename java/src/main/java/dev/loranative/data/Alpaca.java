package dev.loranative.data;

/**
 * The layout of the Alpaca data set (Taori et al., 2023), in which {@code instruction}, {@code input} and {@code output}
 * are commonly trained: this is the prompt, and the output is its completion.
 */
final class Alpaca {

    private Alpaca() {}

    static String prompt(String instruction, String input) {
        return input.isEmpty()
                ? "Below is an instruction that describes a task. Write a response that appropriately completes the"
                        + " request.\n\n### Instruction:\n"
                        + instruction + "\n\n### Response:\n"
                : "Below is an instruction that describes a task, paired with an input that provides further context."
                        + " Write a response that appropriately completes the request.\n\n### Instruction:\n"
                        + instruction + "\n\n### Input:\n" + input + "\n\n### Response:\n";
    }
}
