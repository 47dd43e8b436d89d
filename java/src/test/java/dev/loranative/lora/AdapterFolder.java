package dev.loranative.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.checkpoint.FloatTensors;
import dev.loranative.checkpoint.SafetensorsWriter;
import dev.loranative.config.ConfigParser;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
import dev.loranative.errors.UserException;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import tools.jackson.databind.json.JsonMapper;

/** An adapter's folder put together tensor by tensor, and adapters with random values. */
final class AdapterFolder {

    static final ModelCard CARD = new ModelCard("two | files", Map.of("learning_rate", "1e-4"), Map.of("loss", "2.5"));

    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final Path folder;
    private final Map<String, float[]> tensors = new LinkedHashMap<>();
    private final Map<String, List<Long>> shapes = new LinkedHashMap<>();
    private final Map<String, String> metadata = new LinkedHashMap<>();
    private String config = "";

    AdapterFolder(Path folder) {
        this.folder = folder;
    }

    Path path() {
        return folder;
    }

    /** A tensor of the file; without the prefix of PEFT's names. */
    float[] put(String name, long... shape) {
        return putWhole("base_model.model." + name, shape);
    }

    float[] putWhole(String name, long... shape) {
        long size = 1;
        List<Long> sizes = new ArrayList<>();
        for (long one : shape) {
            size *= one;
            sizes.add(one);
        }
        float[] values = random(Math.toIntExact(size), name.hashCode());
        tensors.put(name, values);
        shapes.put(name, sizes);
        return values;
    }

    void putPair(String module, long r, long out, long in) {
        put(module + ".lora_A.weight", r, in);
        put(module + ".lora_B.weight", out, r);
    }

    float[] values(String name) {
        return tensors.get("base_model.model." + name);
    }

    void remove(String name) {
        tensors.remove("base_model.model." + name);
    }

    void metadata(String key, String value) {
        metadata.put(key, value);
    }

    /** The keys of adapter_config.json beside its type. */
    void config(String keys) {
        config = keys;
    }

    Adapter read(ModuleTree tree) {
        writeTensors();
        writeConfig("{\"peft_type\":\"LORA\"" + (config.isEmpty() ? "" : ",") + config + "}");
        return AdapterFiles.read(folder, tree);
    }

    void writeTensors() {
        List<SafetensorsWriter.Tensor> list = new ArrayList<>();
        tensors.forEach((name, values) -> list.add(FloatTensors.of(name, shapes.get(name), values)));
        SafetensorsWriter.write(folder.resolve(AdapterFiles.TENSORS), list, metadata);
    }

    void writeConfig(String text) {
        try {
            Files.writeString(folder.resolve(AdapterConfig.FILE), text);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    void assertRefused(ModuleTree tree, String... problems) {
        assertThatThrownBy(() -> read(tree)).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e.getMessage() + " " + e.hint()).contains(problems);
            assertThat(e.exitCode()).isEqualTo(2);
            assertThat(e.hint()).isNotBlank();
        });
    }

    List<String> write(LoraConfig lora, ModuleTree tree, AdapterTensors adapter) {
        return AdapterFiles.write(folder, lora, Optional.of("base"), tree, adapter, CARD);
    }

    /** What adapter_config.json holds. */
    Map<String, Object> json() {
        try {
            Map<String, Object> map = new LinkedHashMap<>();
            Map<?, ?> read = JSON.readValue(Files.readString(folder.resolve(AdapterConfig.FILE)), LinkedHashMap.class);
            read.forEach((key, value) -> map.put((String) key, value));
            return map;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static Path resource(String name) throws Exception {
        return Path.of(AdapterFolder.class.getResource("/lora/adapters/" + name).toURI());
    }

    static LoraConfig lora(String flags) {
        return LoraConfig.from(new ConfigParser(LoraKeys.ALL).parse(List.of(flags.split(" "))));
    }

    /** An adapter for what the configuration targets, with random values everywhere. */
    static List<AdapterModule> random(LoraConfig config, ModuleTree tree) {
        List<AdapterModule> modules = new ArrayList<>();
        for (Target target : TargetMatcher.match(config, tree).list()) {
            int rank = target.r();
            long in = target.module().in();
            long out = target.module().out();
            boolean embedding = target.module().kind() == Kind.EMBEDDING;
            int seed = target.module().name().hashCode();
            modules.add(new AdapterModule(
                    target.module(),
                    target.module().name(),
                    rank,
                    target.alpha(),
                    target.scaling(),
                    random(Math.toIntExact(rank * (embedding ? out : in)), seed),
                    random(Math.toIntExact(rank * (embedding ? in : out)), seed + 1),
                    target.bias() ? Optional.of(random(Math.toIntExact(out), seed + 2)) : Optional.empty(),
                    target.dora() ? Optional.of(random(Math.toIntExact(out), seed + 3)) : Optional.empty()));
        }
        return modules;
    }

    static float[] random(int size, long seed) {
        Random random = new Random(seed);
        float[] values = new float[size];
        for (int i = 0; i < size; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    static void assertSame(List<AdapterModule> read, List<AdapterModule> written) {
        assertThat(read).hasSameSizeAs(written);
        for (int i = 0; i < read.size(); i++) {
            AdapterModule one = read.get(i);
            AdapterModule other = written.get(i);
            assertThat(one.name()).isEqualTo(other.name());
            assertThat(one.module()).isEqualTo(other.module());
            assertThat(one.r()).as(one.name()).isEqualTo(other.r());
            assertThat(one.alpha()).as(one.name()).isCloseTo(other.alpha(), within(1e-12));
            assertThat(one.scaling()).as(one.name()).isCloseTo(other.scaling(), within(1e-12));
            assertThat(one.a()).containsExactly(other.a());
            assertThat(one.b()).containsExactly(other.b());
            assertThat(one.bias().isPresent()).isEqualTo(other.bias().isPresent());
            one.bias()
                    .ifPresent(values ->
                            assertThat(values).containsExactly(other.bias().orElseThrow()));
            assertThat(one.magnitude().isPresent()).isEqualTo(other.magnitude().isPresent());
            one.magnitude()
                    .ifPresent(values ->
                            assertThat(values).containsExactly(other.magnitude().orElseThrow()));
        }
    }
}
