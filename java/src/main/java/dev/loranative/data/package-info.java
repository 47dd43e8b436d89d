/**
 * From files to micro-batches: the tokenizer, the readers of data sets, and the order in which samples are trained.
 *
 * <p>The way of the data: a file is read row by row ({@link dev.loranative.data.RowReader}), a row becomes a
 * {@link dev.loranative.data.Sample} of token ids and labels ({@link dev.loranative.data.SampleEncoder}), a
 * {@link dev.loranative.data.DataSet} holds all of them, and a {@link dev.loranative.data.Batcher} deals them out as
 * packed {@link dev.loranative.data.Batch}es without padding.
 */
package dev.loranative.data;
