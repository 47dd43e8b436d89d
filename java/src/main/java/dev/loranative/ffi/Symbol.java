package dev.loranative.ffi;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** The C function behind a component of {@link Kernels}; checked against {@code lora_native.h} by a test. */
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.RECORD_COMPONENT)
@interface Symbol {

    String value();

    Carrier[] takes();

    Carrier returns() default Carrier.INT32;
}
