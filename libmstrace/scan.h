/* scan.h - the frames of a file in order, and what lies between them (FORMAT.md "Recovery").
 *
 * Strictly forward and linear: every byte is either in an intact frame or in a named gap. The scan decides only by
 * hashes and lengths; what frames mean together (numbering, tables, events) is the reader's business. */
#ifndef MST_SCAN_H
#define MST_SCAN_H

#include "frame.h"
#include "source.h"

struct mst_scan {
	struct mst_source *source; /* borrowed */
	uint64_t pos;              /* where the next frame should start */
	uint64_t file_id;          /* 0 = not known yet: that of the first good header counts */
	unsigned pad;              /* zero bytes due at pos, behind the frame given out last */
	uint64_t hashed;           /* payload bytes hashed in vain, against quadratic input */
	uint32_t skip_payloads;    /* bit per kind: headers of these only, payload neither read nor checked */
};

enum mst_scan_result {
	MST_SCAN_END = 0,   /* no more bytes */
	MST_SCAN_FRAME = 1, /* *f is intact, its payload there unless skipped; borrowed until the next call */
	MST_SCAN_GAP = 2,   /* *gap is not a frame of this file */
};

enum mst_gap_cause {
	MST_GAP_HEADER,  /* no intact header */
	MST_GAP_PAYLOAD, /* the header is good (gap.frame), the payload is not */
	MST_GAP_CUT,     /* the file ends inside a frame; gap.frame is good if frame_known */
	MST_GAP_ZEROS,   /* nothing but zeros to the end of the file: it was never written */
	MST_GAP_FOREIGN, /* a frame of another file */
	MST_GAP_PAD,     /* the frame was intact and has been given out, but its pad is not zero */
};

struct mst_gap {
	enum mst_gap_cause cause;
	uint64_t offset, length;
	bool frame_known;
	struct mst_frame frame; /* the lost frame; its header is the copy below, its payload NULL */
	uint8_t header[MST_HEADER_MAX];
};

void mst_scan_init(struct mst_scan *s, struct mst_source *source);

/* The next frame or gap; a negative MST_E* (I/O, memory) with *problem filled ends the scan. */
int mst_scan_next(struct mst_scan *s, struct mst_frame *f, struct mst_gap *gap, struct mst_problem *problem);

/* After a peek: makes the pointers of the frame given out last valid again. */
int mst_scan_reload(struct mst_scan *s, struct mst_frame *f, struct mst_problem *problem);

/* Reads the header at offset without moving: 1 and *f (no payload) if one of this file is there, else 0. */
int mst_scan_peek(struct mst_scan *s, uint64_t offset, struct mst_frame *f, struct mst_problem *problem);
#endif
