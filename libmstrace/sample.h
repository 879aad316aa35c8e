/* sample.h - payloads of SAMPLE frames (FORMAT.md "SAMPLE"): columns of numbers read at a time.
 *
 * Samples of one subject are much like the ones before, so each value is the difference to the same subject's last
 * one; a frame stands for itself, like all others. One table in sample.c lists the fields. */
#ifndef MST_SAMPLE_H
#define MST_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "mstrace.h"

/* Samples in the order of the file. */
struct mst_samples {
	struct mst_sample *items; /* grows by doubling */
	size_t n, cap;
};

void mst_samples_release(struct mst_samples *s);
/* Appends a copy. 0 or MST_ENOMEM. */
int mst_samples_add(struct mst_samples *s, const struct mst_sample *sample);

/* Appends the payload of one frame with the n samples (1 ... MST_SAMPLES_MAX), whose times and places do not decrease
 * and whose numbers are <= MST_NUMBER_MAX. 0 or MST_ENOMEM. */
int mst_samples_encode(const struct mst_sample *samples, uint32_t n, struct mst_buffer *out);

/* Appends the samples of a payload to *out. 0, or MST_EDAMAGED with *why, or MST_ENOMEM: then *out is as before. */
int mst_samples_decode(const uint8_t *raw, size_t len, uint32_t n_items, struct mst_samples *out, const char **why);
#endif
