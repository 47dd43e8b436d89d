package dev.loranative.architecture.broken.drawer;

/** In a package that the table does not list. */
public final class Helper {}
