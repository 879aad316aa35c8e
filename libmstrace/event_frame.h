/* event_frame.h - the scratch of one event frame, and the parts that encode and decode it.
 *
 * A frame's events are seen in three orders, all of them permutations of 0..n-1:
 *
 *     total order      i: as the events happened; the arrays of struct mst_events
 *     thread order     order[k]: all events of the first thread to appear, then of the second, ...
 *     site order       group[g]: all events of site 0, then of site 1, ...; within a site in total order
 *
 * A site is a distinct pair (op byte, stack) of the frame, numbered as thread order meets it. What a program does next
 * is guessed best within a thread; how large, how long and whose a call is resembles other calls at its site. So the
 * sites themselves are coded in thread order and most values in site order, which puts like beside like for zstd.
 *
 * Each part encodes from and decodes to the arrays in `ev`, in the order of the declarations below, each relying on
 * those before it. Encoders latch MST_EARG for what breaks an invariant of event.h; decoders latch MST_EDAMAGED. */
#ifndef MST_EVENT_FRAME_H
#define MST_EVENT_FRAME_H

#include "column.h"
#include "event.h"
#include "live_rank.h"

enum mst_site_trait {
	MST_SITE_ACQUIRES = 1u << 0, /* succeeded and returned a block: has an ordinal and an address */
	MST_SITE_SIZED = 1u << 1,    /* has a size */
	MST_SITE_REFERS = 1u << 2,   /* names a block or an address passed in */
	MST_SITE_RELEASES = 1u << 3, /* and ends that block's life */
	MST_SITE_FAILED = 1u << 4,   /* the call failed: may name an address, not a block */
	MST_SITE_LATE = 1u << 5,     /* its time may lie before its predecessor's */
	MST_SITE_MAPS = 1u << 6,     /* of the mapping layer: may have a row in MAPPING */
	MST_SITE_POOLS = 1u << 7,    /* of the pool layer: may have a row in POOL */
};

struct mst_event_frame {
	struct mst_events ev;
	struct mst_columns cols;
	uint32_t n_threads, n_sites;
	uint32_t n_identity; /* slot and order are already those of a single thread up to here */
	bool has_late;
	bool has_maps, has_pools; /* decoding: MAPPING, POOL is there and wanted */

	uint16_t slot[MST_FRAME_EVENTS_MAX];     /* [event] thread, numbered by first appearance */
	uint32_t slot_end[MST_FRAME_EVENTS_MAX]; /* [slot] end of its events in order[] */
	uint32_t slot_thread[MST_FRAME_EVENTS_MAX];
	uint16_t order[MST_FRAME_EVENTS_MAX];

	uint16_t site[MST_FRAME_EVENTS_MAX];     /* [event] */
	uint64_t site_key[MST_FRAME_EVENTS_MAX]; /* [site] op << 32 | stack */
	uint8_t site_trait[MST_FRAME_EVENTS_MAX];
	uint32_t site_end[MST_FRAME_EVENTS_MAX]; /* [site] end of its events in group[] */
	uint16_t group[MST_FRAME_EVENTS_MAX];

	uint16_t allocs_before[MST_FRAME_EVENTS_MAX]; /* [event] acquisitions of the frame before it */
	uint16_t alloc_event[MST_FRAME_EVENTS_MAX];   /* [ordinal - first_alloc] event */

	uint8_t trait[256]; /* [op byte] enum mst_site_trait; fixed */
	uint32_t table[2 * MST_FRAME_EVENTS_MAX]; /* hash tables of the encoder */

	union { /* scratch of the part that runs */
		struct {
			uint32_t by_pair[1u << 14];             /* [hash of the last two sites] two guesses */
			uint32_t by_last[MST_FRAME_EVENTS_MAX]; /* [last site] two guesses */
		} guess;
		struct {
			uint8_t low[MST_FRAME_EVENTS_MAX];  /* [event] difference as far as 7 bits hold it, */
			uint64_t diff[MST_FRAME_EVENTS_MAX]; /* [event] else it stands here */
			uint8_t grouped[MST_FRAME_EVENTS_MAX + 8]; /* low in site order */
			uint16_t large[MST_FRAME_EVENTS_MAX]; /* events whose difference is in TIME_LARGE */
		} time;
		struct {
			struct mst_live_rank live; /* of the thread at hand */
			uint16_t own_alloc[MST_FRAME_EVENTS_MAX]; /* [its n-th acquisition] ordinal - first_alloc */
			uint16_t own_index[MST_FRAME_EVENTS_MAX]; /* [ordinal - first_alloc] n-th of its thread */
			uint16_t event[MST_FRAME_EVENTS_MAX];     /* events of the thread that may refer */
			uint16_t n_own[MST_FRAME_EVENTS_MAX];     /* its acquisitions before each of these */
			uint32_t code[MST_FRAME_EVENTS_MAX];      /* [event] of the encoder */
			uint64_t last_old[MST_FRAME_EVENTS_MAX];  /* [site] ordinal */
			uint64_t last_addr;
		} ref;
		struct {
			uint32_t head[64u * 1024u]; /* [slot % 64][class] 1 + event that freed last; 0 = none */
			uint64_t last[64u * 1024u]; /* [slot % 64][class] address acquired last; 0 = none */
			uint64_t bump[64], top[64]; /* [slot % 64] end of the block acquired last, of the highest */
			uint32_t next[MST_FRAME_EVENTS_MAX];  /* [event that freed] the one before in its list */
			uint64_t freed[MST_FRAME_EVENTS_MAX]; /* [event that freed] address */
			uint8_t code[MST_FRAME_EVENTS_MAX];   /* [event] */
		} addr;
	} u;
};

/* Threads and how they interleave: thread <-> THREAD, RUN_SLOT, RUN_LENGTH. Fills slot, slot_*, order. */
bool mst_event_encode_order(struct mst_event_frame *f);
bool mst_event_decode_order(struct mst_event_frame *f);

/* op, stack <-> SITE_*. Fills n_sites, site, site_key, site_trait, has_late; site_end with the sites' sizes; decoding
 * ev.n_alloc too. */
bool mst_event_encode_sites(struct mst_event_frame *f);
bool mst_event_decode_sites(struct mst_event_frame *f, bool want_stack);
/* Fills group, site_end, allocs_before, alloc_event. */
void mst_event_group_sites(struct mst_event_frame *f);

/* time <-> TIME_SMALL, TIME_LARGE. */
bool mst_event_encode_time(struct mst_event_frame *f);
bool mst_event_decode_time(struct mst_event_frame *f);

/* size <-> SIZE. */
bool mst_event_encode_size(struct mst_event_frame *f);
bool mst_event_decode_size(struct mst_event_frame *f);

/* freed (and freed_addr of what has no ordinal) <-> REF, REF_*. Decoding, freed_addr may be NULL if REF_ADDR is absent. */
bool mst_event_encode_refs(struct mst_event_frame *f);
bool mst_event_decode_refs(struct mst_event_frame *f);

/* addr (and the rest of freed_addr) <-> ADDR_*. Needs size and freed. */
bool mst_event_encode_addrs(struct mst_event_frame *f);
bool mst_event_decode_addrs(struct mst_event_frame *f);

/* extra <-> EXTRA. */
bool mst_event_encode_extra(struct mst_event_frame *f);
bool mst_event_decode_extra(struct mst_event_frame *f);

/* maps <-> MAPPING. */
bool mst_event_encode_maps(struct mst_event_frame *f);
bool mst_event_decode_maps(struct mst_event_frame *f);

/* pools <-> POOL. */
bool mst_event_encode_pools(struct mst_event_frame *f);
bool mst_event_decode_pools(struct mst_event_frame *f);
#endif
