/** First values of low-rank updates that come from the weights or from data, in float64 and the same on every machine. */
package dev.loranative.lora.init;
