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
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * A model worth measuring: what {@code shapes.json} says, which is also what the comparison with other engines reads.
 *
 * @param configJson the text of config.json
 */
public record ModelShape(String name, String about, String configJson) {

    private static final JsonMapper JSON = JsonMapper.shared();
    private static final long SEED = 1;

    /** Smallest first within a family, in the order of the file. */
    public static List<ModelShape> all() {
        try (InputStream stream = ModelShape.class.getResourceAsStream("shapes.json")) {
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
