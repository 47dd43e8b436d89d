package dev.loranative.checkpoint;

import dev.loranative.errors.ParserMessage;
import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import tools.jackson.core.JacksonException;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Reads {@code model.safetensors.index.json}: which shard holds which tensor. */
final class ShardIndex {

    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .disable(StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION)
            .build();

    private ShardIndex() {}

    /**
     * The shard of every tensor, in the order of the index; every shard exists and lies in the index's folder.
     *
     * <p>A shard may be a symbolic link that leads elsewhere (the hub's cache is made of such links), but its name in
     * the index may not leave the folder.
     */
    static Map<String, Path> read(Path index) {
        JsonNode root;
        try {
            root = JSON.readTree(Files.readAllBytes(index));
        } catch (IOException e) {
            throw new UserException(
                    "cannot read " + index + ": " + e.getMessage(),
                    "check that the file may be read by this user",
                    UserException.BAD_INPUT,
                    e);
        } catch (JacksonException e) {
            throw broken(index, ParserMessage.plain(e.getOriginalMessage()));
        }
        JsonNode weightMap = root.path("weight_map");
        if (!weightMap.isObject() || weightMap.isEmpty()) {
            throw broken(index, "it has no weight_map with the shard of each tensor");
        }
        Map<String, Path> shards = new LinkedHashMap<>();
        for (Map.Entry<String, JsonNode> entry : weightMap.properties()) {
            if (!entry.getValue().isString()) {
                throw broken(index, "weight_map has " + entry.getValue() + " for tensor " + entry.getKey());
            }
            shards.put(
                    entry.getKey(),
                    shard(index, entry.getKey(), entry.getValue().stringValue()));
        }
        return shards;
    }

    private static Path shard(Path index, String tensor, String name) {
        Path folder = index.toAbsolutePath().getParent();
        Path shard;
        try {
            shard = Path.of(name);
        } catch (InvalidPathException e) {
            throw broken(index, "tensor " + tensor + " is in '" + name + "', which is no file name");
        }
        // A backslash separates folders on one system and is part of a name on another: never in an honest index.
        boolean escapes = shard.isAbsolute()
                || name.startsWith("/")
                || name.contains("\\")
                || name.contains(":")
                || !folder.resolve(shard).normalize().startsWith(folder.normalize());
        if (escapes) {
            throw UserException.badInput(
                    index + " says that tensor " + tensor + " is in '" + name + "', outside the model's folder",
                    "a shard must lie beside its index; do not use this file if you do not know where it comes from");
        }
        if (name.isBlank()) {
            throw broken(index, "tensor " + tensor + " has an empty file name");
        }
        Path path = index.resolveSibling(shard);
        if (!Files.isRegularFile(path)) {
            throw UserException.badInput(
                    "shard " + path + " is missing (" + index + " says that it holds tensor " + tensor + ")",
                    "copy or download the missing file; all shards of the index are needed");
        }
        return path;
    }

    private static UserException broken(Path index, String what) {
        return UserException.badInput(
                index + " is not a valid index: " + what.replaceAll("\\p{Cntrl}", "?"),
                "copy or download the file again");
    }
}
