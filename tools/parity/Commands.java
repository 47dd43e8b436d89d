import dev.loranative.cli.Main;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/**
 * Many commands of lora-native in one process, for checks that run hundreds: a line of standard input is a command, its words divided by
 * the unit separator (U+001F). The answer is a line "EXIT_CODE BYTES_OF_OUTPUT BYTES_OF_ERRORS", then both. See engine.py.
 */
final class Commands {

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream answers = System.out;
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            ByteArrayOutputStream err = new ByteArrayOutputStream();
            int code = Main.run(
                    line.split("\u001f"),
                    new PrintStream(out, true, StandardCharsets.UTF_8),
                    new PrintStream(err, true, StandardCharsets.UTF_8));
            answers.println(code + " " + out.size() + " " + err.size());
            answers.write(out.toByteArray());
            answers.write(err.toByteArray());
            answers.flush();
        }
    }
}
