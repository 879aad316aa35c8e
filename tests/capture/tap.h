/* tap.h - a recorder small enough to be obviously right: it makes the segments, serves the socket, takes the
 * units out with arena.h, and keeps every event in memory, in the order of the stamps.
 *
 * Shares wire.h and arena.h with the product and nothing else. It trusts the traced program; msrecord must
 * not. */
#ifndef TAP_H
#define TAP_H

#include "arena.h"

#include <pthread.h>
#include <sys/types.h>

struct tap_event {
	uint64_t stamp;
	uint64_t addr, size, old, align; /* as in the unit; fields it does not carry are 0 */
	uint32_t kind, flags;		 /* enum mst_op's numbers; enum ms_unit_flag */
	uint32_t tid, thread;		 /* the kernel's, and a number per tenancy */
	uint32_t stack, depth;		 /* index into tap_image.ips, and count; outermost first */
	uint32_t more;			 /* calls of the mapping layer: index into tap_image.more, of align words */
	uint32_t seq;			 /* place among the units of the image as they were read */
};

struct tap_module {
	uint64_t start, end, bias, stamp;
	char path[512];
	unsigned char build_id[32];
	unsigned build_id_len;
	bool is_unloaded;
};

struct tap_name {
	uint32_t tid;
	char name[17];
};

struct tap_image {
	int pid;
	struct ms_hello hello;
	struct ms_segment segment;
	void *base;
	int process; /* pidfd */
	_Atomic bool is_gone;
	struct tap_event *events;
	size_t n_events, cap_events;
	uint64_t *more;
	size_t n_more, cap_more;
	uint64_t n_map_begins;
	uint64_t *ips;
	size_t n_ips, cap_ips;
	struct tap_module modules[512];
	size_t n_modules;
	struct tap_name names[256];
	size_t n_names;
	uint64_t forks[4096];
	size_t n_forks;
	uint64_t lost_events, n_losses; /* told by MS_U_LOSS units */
	uint64_t untold_events;		/* left in slots at the end, and unslotted */
	uint32_t n_threads;
	uint64_t stall_ns;
	uint64_t n_disorder; /* units whose stamp is below their slot's previous one */
	bool is_broken;	     /* a cursor or a unit made no sense */
	struct ms_cursor *cursors;
	bool *is_followed;
	uint32_t *slot_thread, *slot_stack, *slot_depth;
	uint64_t *slot_stamp;
};

struct tap_options {
	const char *capture_library; /* libmscapture.so */
	const char *wrapper; /* a library in front of it, or NULL */
	const char *preload; /* more libraries behind it, or NULL */
	uint32_t on_full;    /* 0 = MS_FULL_BLOCK */
	uint32_t stack_depth;
	uint32_t backlog; /* 0 = MS_BACKLOG_CHUNKS */
	uint32_t n_slots; /* 0 = MS_MAX_SLOTS */
	uint32_t clock;	  /* 0 = MS_CLOCK_TSC */
	bool free_stacks;
	size_t pause_after; /* pauses by itself when it has so many events of an image; 0 = never */
	bool discard; /* drain, but keep nothing (benchmarks) */
	bool refuse;  /* answer every hello with MS_NOT_FOLLOWED */
	bool mute;    /* never answer */
};

struct tap {
	struct tap_options options;
	char dir[64], path[96];
	int listener;
	pthread_t thread;
	_Atomic bool stop, pause; /* pause: do not drain */
	struct tap_image *images[16384];
	_Atomic size_t n_images;
	uint64_t n_discarded;
	char preload_env[1024], socket_env[160];
};

/* Starts serving; the caller frees with tap_close. */
struct tap *tap_open(const struct tap_options *options);

/* Starts argv with the library preloaded and `extra` (NULL-terminated, or NULL) added to the environment. Its
 * stdout and stderr are ours. Returns the pid. */
pid_t tap_spawn(struct tap *tap, char *const argv[], char *const extra[]);

/* Waits until pid has ended and every image it left behind, too; returns the wait status. All is drained
 * then. */
int tap_wait(struct tap *tap, pid_t pid);

void tap_close(struct tap *tap);

/* What a replay of one image's events finds. */
struct tap_count {
	uint64_t n_kind[64], n_failed;
	uint64_t allocs, frees, allocated_bytes, live_blocks, live_bytes;
	uint64_t overlaps;	/* a block acquired at an address that is live */
	uint64_t foreign_frees; /* a release of what was never acquired, or twice */
	uint64_t bad_reallocs;	/* an outcome without its BEGIN, or the other way round */
};
/* Replays the events in order of the stamps (releases first among equals). `parent` may be NULL; else its
 * live set at the fork is where the image begins: frees of it are not foreign. */
struct tap_count tap_replay(struct tap_image *image);

#endif
