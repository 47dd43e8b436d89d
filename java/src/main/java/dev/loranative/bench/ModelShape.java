package dev.loranative.bench;

import dev.loranative.config.Nearest;
import dev.loranative.errors.UserException;
import dev.loranative.model.LinearModule;
import dev.loranative.model.ModelConfig;
import dev.loranative.model.ModelConfigReader;
import dev.loranative.model.ModuleTree;
import dev.loranative.model.MoeConfig;
import dev.loranative.model.RandomModel;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * A model worth measuring: small ones that {@code shapes.json} says, which is also what the comparison with other engines
 * reads, published ones ({@code published.json}), or what a config.json says.
 *
 * @param configJson the text of config.json
 */
public record ModelShape(String name, String about, String configJson) {

    private static final JsonMapper JSON = JsonMapper.shared();
    private static final long SEED = 1;

    /** Smallest first within a family, in the order of the file. */
    public static List<ModelShape> all() {
        return read("shapes.json");
    }

    /** Models that were published, as their config.json says; too large to be written as files for a measurement. */
    public static List<ModelShape> published() {
        return read("published.json");
    }

    private static List<ModelShape> read(String resource) {
        try (InputStream stream = ModelShape.class.getResourceAsStream(resource)) {
            List<ModelShape> shapes = new ArrayList<>();
            for (var entry : JSON.readTree(stream).properties()) {
                JsonNode shape = entry.getValue();
                shapes.add(new ModelShape(
                        entry.getKey(),
                        shape.required("about").asString(),
                        shape.required("config").toPrettyString() + "\n"));
            }
            return shapes;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public static ModelShape named(String name) {
        List<ModelShape> all = all();
        return all.stream().filter(shape -> shape.name.equals(name)).findFirst().orElseThrow(() -> {
            List<String> names = all.stream().map(ModelShape::name).toList();
            return UserException.badInput(
                    "no shape '" + name + "'",
                    "did you mean " + Nearest.to(name, names, 1).getFirst() + "? There are "
                            + String.join(", ", names));
        });
    }

    /** Names that {@link #configuration} knows. */
    public static List<String> configurationNames() {
        return Stream.concat(published().stream(), all().stream())
                .map(ModelShape::name)
                .toList();
    }

    /**
     * A configuration by its name, or from a file.
     *
     * @param nameOrPath of {@link #configurationNames}, in any case; a config.json; or a folder that holds one
     * @throws UserException if it is none of these, or the configuration is wrong or not supported
     */
    public static ModelShape configuration(String nameOrPath) {
        ModelShape shape = Stream.concat(published().stream(), all().stream())
                .filter(known -> known.name.equalsIgnoreCase(nameOrPath))
                .findFirst()
                .orElseGet(() -> file(nameOrPath));
        shape.config();
        return shape;
    }

    private static ModelShape file(String path) {
        Path file;
        try {
            file = Path.of(path);
        } catch (InvalidPathException e) {
            throw noConfiguration(path);
        }
        if (Files.isDirectory(file)) {
            file = file.resolve("config.json");
        } else if (!Files.exists(file)) {
            throw noConfiguration(path);
        }
        return new ModelShape(file.toString(), "of a file", ModelConfigReader.text(file));
    }

    private static UserException noConfiguration(String name) {
        List<String> names = configurationNames();
        return UserException.badInput(
                "model_config is '" + name + "', which is neither a known model nor a file",
                "known are " + String.join(", ", names) + "; or give a config.json, or a folder that holds one");
    }

    public ModelConfig config() {
        return ModelConfigReader.parse(configJson, name);
    }

    /** Writes the model with random weights, the same ones every time; gives its parameters. */
    public long write(Path folder) {
        return RandomModel.write(folder, configJson, SEED);
    }

    /** Parameters of the products that a token goes through: not the embedding, and of the experts those it visits. */
    public long activeParameters() {
        ModelConfig config = config();
        double active = 0;
        for (LinearModule module : ModuleTree.of(config).modules()) {
            double share = switch (module.kind()) {
                case EMBEDDING -> 0;
                case EXPERT -> {
                    MoeConfig moe = config.moe().orElseThrow();
                    yield (double) moe.topK() / moe.experts();
                }
                case ATTENTION, MLP, ROUTER, HEAD -> 1;
            };
            active += share * module.out() * module.in();
        }
        return Math.round(active);
    }

    /**
     * Floating-point operations of a train step's frozen products: forward, and the gradient of their input. What
     * attention and adapters add, and what a step saves below its lowest trained layer, is not in it.
     */
    public double stepFlops(long tokens) {
        return 4.0 * activeParameters() * tokens;
    }
}
