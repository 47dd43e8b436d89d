package dev.loranative.config;

import java.nio.file.Path;

/** What {@code resume_from_checkpoint} asks for. */
public sealed interface Resume {

    Resume NO = new Not();

    /** Start from the beginning. */
    record Not() implements Resume {}

    /** Continue from the newest checkpoint in the output folder. */
    record Newest() implements Resume {}

    /** Continue from this checkpoint. */
    record From(Path checkpoint) implements Resume {}

    ValueType<Resume> TYPE = new ValueType<>() {
        @Override
        public String label() {
            return "true|PATH";
        }

        @Override
        public Resume read(Object raw) throws BadValue {
            return switch (raw) {
                case Boolean newest -> newest ? new Newest() : NO;
                case String text when text.equalsIgnoreCase("true") -> new Newest();
                case String text when text.equalsIgnoreCase("false") -> NO;
                default -> new From(Scalars.path().read(raw));
            };
        }

        @Override
        public Object write(Resume value) {
            return switch (value) {
                case Not _ -> false;
                case Newest _ -> true;
                case From from -> from.checkpoint().toString();
            };
        }
    };
}
