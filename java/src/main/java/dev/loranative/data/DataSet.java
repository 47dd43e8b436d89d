package dev.loranative.data;

import dev.loranative.errors.UserException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.Supplier;

/**
 * All samples of one or several files, in the order of the files and of their rows.
 *
 * <p>Rows of {@code .jsonl}, {@code .json} and {@code .csv} are read by {@link RowReader} and become samples by
 * {@link SampleEncoder}. A {@code .txt} file is one long document: it is tokenised as a whole, an end of sequence is
 * added, and it is cut into consecutive pieces of {@code max_length} tokens, the last one shorter ({@link TextPieces}).
 *
 * <p>Length: a sample longer than {@code max_length} keeps its start, as in TRL. A text is also cut at the model's
 * maximum; ids given by the user are not, they are an error, because whoever made them had a length in mind. With
 * {@code max_length}, samples that then have no label are left out, as in TRL.
 */
public final class DataSet {

    private static final Set<String> ROW_FORMATS = Set.of("jsonl", "ndjson", "json", "csv");

    private final List<Sample> samples;
    private final DataReport report;

    private DataSet(List<Sample> samples, DataReport report) {
        this.samples = List.copyOf(samples);
        this.report = report;
    }

    /**
     * Reads the files completely.
     *
     * @param tokenizer asked only when there is text to tokenise, so that ids need no tokenizer; usually a
     *     {@link LazyTokenizer}
     * @throws UserException on bad input, with {@code FILE:LINE} where there is one; also when no sample, or no token
     *     to learn from, remains
     */
    public static DataSet load(List<Path> files, Supplier<Tokenizer> tokenizer, SampleOptions options) {
        Loader loader = new Loader(tokenizer, options);
        for (Path file : files) {
            loader.load(file);
        }
        return loader.finish(files);
    }

    public List<Sample> samples() {
        return samples;
    }

    public DataReport report() {
        return report;
    }

    private static final class Loader {

        private final Supplier<Tokenizer> tokenizer;
        private final SampleOptions options;
        private final Warnings warnings = new Warnings();
        private final SampleEncoder encoder;
        private final List<Sample> samples = new ArrayList<>();
        private int truncated;
        private int droppedUnlabelled;
        private int droppedEmpty;

        Loader(Supplier<Tokenizer> tokenizer, SampleOptions options) {
            this.tokenizer = tokenizer;
            this.options = options;
            this.encoder = new SampleEncoder(tokenizer, options, warnings);
        }

        void load(Path file) {
            if (!Files.exists(file)) {
                throw UserException.badInput("no such data file: " + file, "check the path given as dataset (--data)");
            }
            if (Files.isDirectory(file)) {
                throw UserException.badInput(file + " is a folder, not a data file", "name the files in it");
            }
            String suffix = suffix(file);
            if (suffix.equals("txt")) {
                TextPieces.cut(file, tokenizer.get(), options).forEach(this::keep);
            } else if (ROW_FORMATS.contains(suffix)) {
                RowReader.read(file, suffix, (place, row) -> {
                    boolean given = row.has("input_ids");
                    add(encoder.encode(place, row), given);
                });
            } else if (suffix.equals("parquet")) {
                throw UserException.badInput(
                        file + ": .parquet is not supported yet", "convert it to .jsonl, one object per row");
            } else {
                throw UserException.badInput(
                        file + ": unknown kind of data file" + (suffix.isEmpty() ? "" : " '." + suffix + "'"),
                        "known kinds: .jsonl, .json, .csv, .txt");
            }
        }

        private void add(Sample sample, boolean given) {
            if (sample.tokens() == 0) {
                droppedEmpty++;
                return;
            }
            int limit = given ? options.maxLength().orElse(Integer.MAX_VALUE) : options.textLimit();
            Sample shortened = sample;
            if (sample.tokens() > limit) {
                shortened = new Sample(
                        Arrays.copyOf(sample.ids(), limit), Arrays.copyOf(sample.labels(), limit), sample.place());
            }
            if (shortened.tokens() > options.modelMaximum()) {
                throw UserException.badInput(
                        sample.place() + ": " + shortened.tokens() + " tokens, but the model takes at most "
                                + options.modelMaximum() + " (max_position_embeddings)",
                        "shorten the sample, or set max_length to at most " + options.modelMaximum());
            }
            if (options.maxLength().isPresent() && !shortened.hasLabels()) {
                droppedUnlabelled++;
                return;
            }
            if (shortened != sample) {
                truncated++;
                warnings.add("truncated", sample.place(), sample.tokens() + " tokens are cut to " + shortened.tokens());
            }
            keep(shortened);
        }

        private void keep(Sample sample) {
            samples.add(sample);
        }

        DataSet finish(List<Path> files) {
            String names = String.join(", ", files.stream().map(Path::toString).toList());
            if (samples.isEmpty()) {
                int dropped = droppedUnlabelled + droppedEmpty;
                throw UserException.badInput(
                        "no samples in " + (files.isEmpty() ? "an empty list of files" : names)
                                + (dropped == 0
                                        ? ""
                                        : "; " + dropped + " had no token to learn from and were left out"),
                        "the data set is empty: see the formats in the guide"
                                + (droppedUnlabelled == 0 ? "" : ", or raise max_length"));
            }
            long tokens = 0;
            long targets = 0;
            for (Sample sample : samples) {
                tokens += sample.tokens();
                targets += sample.targets();
            }
            if (targets == 0) {
                throw UserException.badInput(
                        "no token to learn from in " + names + ": every label is -100, or every sample has one token",
                        "give labels other than -100 after the first token");
            }
            return new DataSet(
                    samples,
                    new DataReport(
                            samples.size(),
                            tokens,
                            targets,
                            truncated,
                            droppedUnlabelled,
                            droppedEmpty,
                            warnings.lines()));
        }

        private static String suffix(Path file) {
            String name = file.getFileName() == null ? "" : file.getFileName().toString();
            int dot = name.lastIndexOf('.');
            return dot < 0 ? "" : name.substring(dot + 1).toLowerCase(Locale.ROOT);
        }
    }
}
