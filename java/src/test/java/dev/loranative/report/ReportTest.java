package dev.loranative.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import dev.loranative.report.ReportData.Fact;
import dev.loranative.report.ReportData.Outcome;
import dev.loranative.report.ReportData.Sample;
import dev.loranative.report.ReportData.Setting;
import dev.loranative.report.RunMetrics.Evaluation;
import dev.loranative.report.RunMetrics.Step;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.IntToDoubleFunction;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ReportTest {

    private static final RunMetrics NONE = new RunMetrics(List.of(), List.of(), 0);

    /** Ends a script, begins a script, ends an attribute, is no character. */
    private static final String HOSTILE =
            "</script><script>alert(1)</script><img src=x onerror='a()'>\"]]>&amp;<!--\u0000\u0007\uD800";

    private static final String HARMLESS = HOSTILE.replaceAll("[\u0000\u0007\uD800]", "\uFFFD");

    @TempDir
    Path temporary;

    @Test
    void shows_the_numbers_of_the_run() {
        Page page = Page.of(data(new Outcome.Finished(), threeSteps(), "tiny"));

        assertThat(page.find("//h1")).containsExactly("tiny");
        assertThat(page.find("//header//*[@class='state finished']")).containsExactly("finished: 3 of 3 steps");
        assertThat(page.find("//header//dd"))
                .containsExactly(
                        "2.25", "was 4.5 at step 1",
                        "2.5", "perplexity 12.182; lowest 2.5 at step 3",
                        "1.50", "3 steps",
                        "1,000 tokens/s", "300 tokens in 0.3 s",
                        "3.0 MiB", "of the process, Java included");
        assertThat(page.find("//tr[th='loss']/td"))
                .containsExactly("4.5 step 1", "2.25 step 3", "2.25 step 3", "5 step 2");
        assertThat(page.find("//tr[th='learning rate']/td"))
                .containsExactly("0 step 1", "2e-5 step 3", "0 step 1", "2e-5 step 3");
        assertThat(page.find("//tr[th='weights']/td[position() < 3]")).containsExactly("1.0 MiB", "75.0 %");
        assertThat(page.find("//tr[th='total']/td[1]")).containsExactly("1.3 MiB");
        assertThat(page.find("//tr[th='r']/td")).containsExactly("8", "run.yaml:3");
        assertThat(page.find("//details//tr[th='seed']/td")).containsExactly("42", "Training");
        assertThat(page.text())
                .contains("Made by lora-native at 2026-01-02 03:04 UTC")
                .doesNotContain("Routing");
    }

    @Test
    void draws_and_describes_every_curve_that_was_measured() {
        Page page = Page.of(data(new Outcome.Finished(), threeSteps(), "tiny"));

        assertThat(page.find("//figcaption/b"))
                .containsExactly("Loss", "Gradient norm", "Learning rate", "Speed", "Memory in use");
        assertThat(page.find("//*[local-name()='svg']/@aria-label").getFirst())
                .isEqualTo(
                        "Loss by optimizer step. training starts with 4.5 at step 1, ends with 2.25 at step 3, is lowest"
                                + " with 2.25 at step 3, highest with 5 at step 2. evaluation starts with 2.5 at step 3, ends with 2.5"
                                + " at step 3, is lowest with 2.5 at step 3, highest with 2.5 at step 3.");
        assertThat(page.find("//*[@data-name='training']/@data-points")).containsExactly("1,4.5 2,5 3,2.25");
        // The axis of the loss goes from 2 to 5 in a drawing of 1000 by 500.
        assertThat(page.find("//*[@data-name='training']/@d")).containsExactly("M0 83.3L500 0 1000 458.3");
        assertThat(page.find("//*[@data-name='evaluation']/@d")).containsExactly("M1000 416.7h0");
    }

    @Test
    void whatever_users_write_stays_text() {
        RunMetrics metrics = threeSteps();
        Page page = Page.of(new ReportData(
                HOSTILE,
                Path.of(HOSTILE.replaceAll("[/\u0000\uD800]", "")),
                Instant.EPOCH,
                new Outcome.Failed(HOSTILE),
                3,
                metrics,
                List.of(new Fact(HOSTILE, HOSTILE)),
                List.of(new Sample(HOSTILE, HOSTILE, HOSTILE)),
                Map.of(HOSTILE, 1L),
                Optional.empty(),
                List.of(
                        new Setting(HOSTILE, HOSTILE, HOSTILE, Optional.of(HOSTILE)),
                        new Setting("", "k", HOSTILE, Optional.empty())),
                List.of(new Fact(HOSTILE, HOSTILE))));

        assertThat(page.find("//h1 | //*[@class='failure']")).containsExactly(HARMLESS, HARMLESS);
        assertThat(page.find("//blockquote/b")).containsExactly(HARMLESS);
        assertThat(page.find("//tr[th[.='k']]/td[1]")).containsExactly(HARMLESS);
        assertThat(page.find("//script | //img | //@onerror")).isEmpty();
        assertThat(Pattern.compile("(?i)<script").matcher(page.html()).results())
                .hasSize(1);
        assertThat(Pattern.compile("(?i)</script").matcher(page.html()).results())
                .hasSize(1);
    }

    @Test
    void a_policy_allows_no_connection_and_no_script_but_its_own() throws NoSuchAlgorithmException {
        Page page = Page.of(data(new Outcome.Finished(), threeSteps(), "tiny"));

        byte[] hash = MessageDigest.getInstance("SHA-256")
                .digest(page.source("script").getBytes(StandardCharsets.UTF_8));
        assertThat(page.find("//meta[@http-equiv='Content-Security-Policy']/@content"))
                .containsExactly("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-"
                        + Base64.getEncoder().encodeToString(hash) + "'");
        assertThat(page.html()).doesNotContainIgnoringCase("http:").doesNotContainIgnoringCase("https:");
        assertThat(page.html()).doesNotContain("src=", "href=", "url(", "@import");
    }

    @Test
    void a_run_that_was_interrupted_before_its_first_step_has_nothing_to_draw() {
        Page page = Page.of(data(new Outcome.Interrupted(), NONE, "tiny"));

        assertThat(page.find("//header//*[@class='state interrupted']")).containsExactly("interrupted: 0 of 3 steps");
        assertThat(page.text()).contains("No optimizer step was finished");
        assertThat(page.find("//*[local-name()='svg'] | //*[@class='tiles']")).isEmpty();
        assertThat(page.text()).contains("weights");
    }

    @Test
    void one_step_is_a_dot_in_every_chart() {
        Page page = Page.of(data(new Outcome.Running(), run(1, step -> 2), "tiny"));

        assertThat(page.find("//*[@data-name='training']/@d")).containsExactly("M500 250h0");
        assertThat(page.find("//*[@data-points]/@class")).allMatch(style -> style.endsWith("dots"));
        assertThat(page.find("//header//*[@class='state running']"))
                .containsExactly("in progress when this was written: 1 of 3 steps");
    }

    @Test
    void values_that_are_no_finite_numbers_leave_gaps() {
        double[] losses = {4, 3, Double.NaN, Double.POSITIVE_INFINITY, 2, 1};
        Page page = Page.of(data(new Outcome.Failed("loss NaN"), run(6, step -> losses[step - 1]), "tiny"));

        assertThat(page.find("//*[@data-name='training']/@d")).containsExactly("M0 0L200 166.7M800 333.3L1000 500");
        assertThat(page.find("//*[@data-name='training']/@data-points")).containsExactly("1,4 2,3 5,2 6,1");
        assertThat(page.text()).contains("The loss of 2 steps is no finite number");
        assertThat(page.find("//*[@class='failure']")).containsExactly("loss NaN");

        Page nothing = Page.of(data(new Outcome.Failed("loss NaN"), run(2, step -> Double.NaN), "tiny"));
        assertThat(nothing.find("//figcaption/b")).doesNotContain("Loss").contains("Speed");
        assertThat(nothing.find("//header//dd").getFirst()).isEqualTo("not a number");
    }

    @Test
    void a_long_run_stays_small_and_keeps_its_extremes() {
        RunMetrics metrics = run(100_000, step -> step == 77_777 ? 123.25 : 2 + Math.sin(step) / 8);
        Page page = Page.of(data(new Outcome.Finished(), metrics, "tiny", routing(64, 128)));

        assertThat(page.html().length()).isLessThan(1_500_000);
        assertThat(page.find("//*[@data-name='training']/@data-points").getFirst())
                .contains("77777,123.25")
                .startsWith("1,2.1052 ")
                .endsWith(" 100000,2.0045");
        assertThat(page.find("//tr[th='loss']/td").getLast()).isEqualTo("123.25 step 77777");
        // The spike does not press the rest of the curve flat: the axis ends below 3.
        assertThat(page.find("//figure[figcaption/b='Loss']//*[@class='y']/span")
                        .getLast())
                .startsWith("2.");
        assertThat(page.text()).contains("values far out are drawn at the edge");
    }

    @Test
    void shows_how_tokens_spread_over_experts() {
        Routing routing = new Routing(List.of(
                new Routing.Interval(1, 10, new long[] {10, 10, 10, 10}),
                new Routing.Interval(11, 20, new long[] {0, 10, 20, 70})));
        Page page = Page.of(data(new Outcome.Finished(), threeSteps(), "tiny", routing));

        assertThat(page.find("//section[h2='Routing']/p").getFirst())
                .contains("In steps 11 to 20")
                .contains("expert 3 was chosen most often (70.0 % of the choices)")
                .contains("expert 0 least often (0.0 %)")
                .contains("an even share of 4 experts is 25.0 %")
                .contains("1 expert was never chosen")
                .contains("the balance is 0.578");
        assertThat(page.find("//i[starts-with(@title, 'expert')]/@title"))
                .containsExactly("expert 0: 0.0 %", "expert 1: 10.0 %", "expert 2: 20.0 %", "expert 3: 70.0 %");
        // Column 1 of row 3 is the fullest cell; column 1 of row 0 is empty, so it is not drawn.
        assertThat(page.find("//*[@class='cell'][@fill-opacity='1']/@d")).containsExactly("M1 3h1v1h-1z");
        assertThat(String.join("", page.find("//*[@class='cell']/@d"))).doesNotContain("M1 0h");
    }

    @Test
    void the_largest_share_has_the_strongest_shade_whatever_its_value() {
        for (int experts = 1; experts <= 100; experts++) {
            long[] even = new long[experts];
            Arrays.fill(even, 1);
            Routing routing = new Routing(List.of(new Routing.Interval(1, 1, even), new Routing.Interval(2, 2, even)));
            Page page = Page.of(data(new Outcome.Finished(), threeSteps(), "tiny", routing));

            assertThat(page.find("//*[@class='cell']/@fill-opacity")).containsExactly("1");
        }
    }

    @Test
    void experts_that_nothing_was_sent_to_yet_are_no_error() {
        Routing routing = new Routing(List.of(new Routing.Interval(1, 1, new long[] {0, 0})));

        assertThat(Page.of(data(new Outcome.Running(), NONE, "tiny", routing)).text())
                .contains("2 experts were never chosen");
    }

    @Test
    void the_same_data_give_the_same_page_in_every_country() {
        ReportData data = data(new Outcome.Finished(), run(500, step -> 1234.5 / step), "tiny", routing(3, 8));
        String page = Report.html(data);
        Locale before = Locale.getDefault();
        try {
            for (String country : new String[] {"de-DE", "ar-EG-u-nu-arab", "tr-TR"}) {
                Locale.setDefault(Locale.forLanguageTag(country));
                assertThat(Report.html(data)).isEqualTo(page);
            }
        } finally {
            Locale.setDefault(before);
        }
    }

    @Test
    void replaces_the_file_as_a_whole_or_says_why_it_could_not() throws IOException {
        Path file = temporary.resolve("report.html");
        Files.writeString(file, "old");
        Report.write(file, data(new Outcome.Finished(), threeSteps(), "tiny"));

        assertThat(Files.readString(file)).startsWith("<!DOCTYPE html>").endsWith("</html>\n");
        assertThatThrownBy(() -> Report.write(file.resolve("inside"), data(new Outcome.Finished(), NONE, "tiny")))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("report.html");
    }

    private static Routing routing(int intervals, int experts) {
        List<Routing.Interval> list = new ArrayList<>();
        for (int i = 0; i < intervals; i++) {
            long[] choices = new long[experts];
            for (int expert = 0; expert < experts; expert++) {
                choices[expert] = 1 + (i * 31L + expert * 17L) % 50;
            }
            list.add(new Routing.Interval(i + 1, i + 1, choices));
        }
        return new Routing(list);
    }

    private static RunMetrics threeSteps() {
        return new RunMetrics(
                List.of(
                        new Step(1, 0.5, 4.5, Double.NaN, Double.NaN, 1.5, 0, 100, 1000, 100, 1 << 20),
                        new Step(2, 1, 5, Double.NaN, Double.NaN, 3, 1e-5, 100, 1000, 100, 3 << 20),
                        new Step(3, 1.5, 2.25, Double.NaN, Double.NaN, 2, 2e-5, 100, 1000, 100, 2 << 20)),
                List.of(new Evaluation(3, 2.5)),
                0);
    }

    private static RunMetrics run(int steps, IntToDoubleFunction loss) {
        List<Step> list = new ArrayList<>();
        for (int step = 1; step <= steps; step++) {
            double noise = 1 + (step * 7919 % 1009) / 1009.0;
            list.add(new Step(
                    step,
                    step / 100.0,
                    loss.applyAsDouble(step),
                    noise / 100,
                    noise / 1000,
                    noise,
                    1e-4,
                    512,
                    900 * noise,
                    570,
                    1e9));
        }
        return new RunMetrics(list, List.of(), 0);
    }

    private static ReportData data(Outcome outcome, RunMetrics metrics, String model) {
        return data(outcome, metrics, model, null);
    }

    private static ReportData data(Outcome outcome, RunMetrics metrics, String model, Routing routing) {
        Map<String, Long> memory = new LinkedHashMap<>();
        memory.put("weights", 1L << 20);
        memory.put("adapters", (1L << 20) / 3);
        return new ReportData(
                model,
                Path.of("output", "run"),
                Instant.parse("2026-01-02T03:04:05Z"),
                outcome,
                3,
                metrics,
                List.of(new Fact("data", "a.txt")),
                List.of(new Sample("before training", "Alice", " was")),
                memory,
                Optional.ofNullable(routing),
                List.of(
                        new Setting("LoRA", "r", "8", Optional.of("run.yaml:3")),
                        new Setting("Training", "seed", "42", Optional.empty())),
                List.of(new Fact("device", "CPU, 2 threads")));
    }
}
