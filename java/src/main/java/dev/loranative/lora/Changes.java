package dev.loranative.lora;

import java.util.ArrayList;
import java.util.List;

/** What attaching did to the places of a model, so that it can be taken back and done again. */
final class Changes {

    private record Change(Runnable apply, Runnable revert) {}

    private final List<Change> changes = new ArrayList<>();

    /** Makes a change. */
    void make(Runnable apply, Runnable revert) {
        apply.run();
        changes.add(new Change(apply, revert));
    }

    /** Takes all changes back, the last one first. */
    void undo() {
        changes.reversed().forEach(change -> change.revert().run());
    }

    /** After {@link #undo}. */
    void redo() {
        changes.forEach(change -> change.apply().run());
    }
}
