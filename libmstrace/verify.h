/* verify.h - one pass over a file that checks everything, for verify and salvage. */
#ifndef MST_VERIFY_H
#define MST_VERIFY_H

#include "reader.h"

struct mst_check {
	struct mst_verify_result *result;
	void (*on_frame)(void *ctx, const struct mst_frame_info *); /* may be NULL */
	void (*on_damage)(void *ctx, const struct mst_damage *);    /* may be NULL */
	/* Each intact frame with its payload, INDEX and END included; may be NULL. A failure ends the pass. */
	int (*on_intact)(void *ctx, const struct mst_frame *f, const struct mst_evt *evt);
	/* At the end of the pass, the reader still open. May be NULL. */
	int (*on_end)(void *ctx, const struct mst_reader *r);
	void *ctx;

	/* the pass itself */
	struct mst_reader *reader;
	struct mst_index seen;       /* frames so far but INDEX and END, to hold the index against */
	struct mst_index claimed;    /* entries of the INDEX frame at hand */
	size_t seen_upto;            /* frames that INDEX frames have described */
	uint64_t last_index;         /* offset of the last INDEX frame */
	struct mst_evt evt;          /* the event frame at hand, */
	struct mst_frame frame;      /* its header (pointers not valid), */
	uint32_t n_seen;             /* events of it seen, */
	uint32_t n_free, n_late;     /* and what they add up to: */
	uint64_t alloc_bytes, last_units, first_units;
	bool has_order_time;
	uint64_t frees, failed;      /* of the whole file */
	uint64_t last_pool_block;    /* the ordinal that a pool's block had last */
};

/* 0 sound, MST_EDAMAGED, or what ended the pass; *problem (may be NULL) says what and where. */
int mst_check_run(struct mst_check *c, int fd, struct mst_problem *problem);
#endif
