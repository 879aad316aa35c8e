/* mstrace.h - the one public header of libmstrace: write, read, replay and fold .mst traces.
 *
 * A trace is a sequence of self-checked frames (spec/FORMAT.md). Seen from here it is
 *
 *     dictionaries   strings, modules, code addresses, stacks (a tree), processes, threads, symbols
 *     events         one per heap call, in one exact total order over all threads and processes
 *
 * The tour, in the order a program meets it:
 *
 *     struct mst_problem      where and why something went wrong
 *     struct mst_event        one heap call
 *     struct mst_sample       memory of a process, or of what else is there, at a time
 *     struct mst_writer       events in, file out (append only; a crash leaves a readable prefix)
 *     struct mst_reader       file, pipe or growing file in, events and dictionaries out
 *     struct mst_replay       the live set: apply(event) and ask what lives, totals, exact peak
 *     struct mst_spaces       the address spaces: what mapping calls have made, and who
 *     struct mst_calltree     weights folded by call stack
 *
 * Conventions. Functions return 0 (or 1 for "here is one more") on success and a negative MST_E* code on
 * failure; the handle then holds a struct mst_problem with the place and a sentence. Nothing here prints,
 * exits, or keeps state outside its handles. One thread at a time per handle; different handles are
 * independent. Ids are dense and start at 1; 0 means "none" or "unknown" in every dictionary.
 * Times are nanoseconds since the start of the recording (CLOCK_MONOTONIC); sizes are bytes. */
#ifndef MSTRACE_H
#define MSTRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- errors ------------------------------------------------------------------------------------------- */

/* One code per reaction of a caller. */
enum mst_error {
	MST_EIO = -1,      /* the operating system refused; mst_problem.os_errno says why */
	MST_ENOTRACE = -2, /* not an .mst file at all, or nothing in it is intact */
	MST_EDAMAGED = -3, /* bytes are wrong; what is intact was or can be delivered */
	MST_EVERSION = -4, /* sound, but needs a newer reader */
	MST_ENOMEM = -5,   /* memory, or a limit of the format (FORMAT.md "Limits"), is exhausted */
	MST_EARG = -6,     /* the caller's argument is invalid */
	MST_EFULL = -7,    /* the trace has the length its writer was allowed */
};

struct mst_problem {
	int code;         /* enum mst_error; 0 = none */
	int os_errno;     /* with MST_EIO, else 0 */
	uint64_t offset;  /* file offset of the frame concerned */
	uint64_t frame;   /* its sequence number, UINT64_MAX when unknown */
	char text[200];   /* one sentence, lower case, no full stop; never holds bytes from the file */
};

/* The general name of a code ("damaged data"). Static storage. */
const char *mst_strerror(int code);

/* ---- events ------------------------------------------------------------------------------------------- */

/* What was called. Numbers are those of FORMAT.md and never change. 1..63. */
enum mst_op {
	MST_OP_MALLOC = 1,
	MST_OP_CALLOC = 2,
	MST_OP_REALLOC = 3,       /* releases the old block (if any) and acquires the new one, at one instant */
	MST_OP_REALLOCARRAY = 4,  /* the same */
	MST_OP_POSIX_MEMALIGN = 5,
	MST_OP_ALIGNED_ALLOC = 6,
	MST_OP_MEMALIGN = 7,
	MST_OP_VALLOC = 8,
	MST_OP_PVALLOC = 9,
	MST_OP_FREE = 10,
	MST_OP_FREE_SIZED = 11,
	MST_OP_FREE_ALIGNED_SIZED = 12,
	MST_OP_CFREE = 13,
	MST_OP_REALLOC_FREE = 14,  /* realloc(p, 0) that released p and returned NULL: a free */
	/* A realloc that another thread's reuse of the old address split in two (FORMAT.md "Order"): */
	MST_OP_REALLOC_BEGIN = 15, /* releases the old block */
	MST_OP_REALLOC_END = 16,   /* acquires the new one; freed/old_addr name the block that BEGIN released */
	/* C++: operator new and delete, with or without an alignment (`align`). The array and nothrow forms are
	 * calls of their own, not the plain one that they may be made of. */
	MST_OP_NEW = 17,
	MST_OP_NEW_ARRAY = 18,
	MST_OP_NEW_NOTHROW = 19,
	MST_OP_NEW_ARRAY_NOTHROW = 20,
	MST_OP_DELETE = 21,
	MST_OP_DELETE_ARRAY = 22,
	MST_OP_DELETE_SIZED = 23,
	MST_OP_DELETE_ARRAY_SIZED = 24,
	/* 32..47: the mapping layer. These acquire and release nothing of the heap (mst_op_maps). */
	MST_OP_MMAP = 32,          /* and mmap64 */
	MST_OP_MUNMAP = 33,
	MST_OP_MREMAP = 34,
	MST_OP_BRK = 35,
	MST_OP_SBRK = 36,
	MST_OP_MADVISE = 37,
	MST_OP_MPROTECT = 38,
	/* 48..63: the pool layer, calls of a program's own allocators. These acquire and release nothing of the heap
	 * either (mst_op_pools). */
	MST_OP_POOL_ALLOC = 48,
	MST_OP_POOL_FREE = 49,
	MST_OP_POOL_REALLOC = 50,      /* releases the old block (if any) and acquires the new one, at one instant */
	MST_OP_POOL_REALLOC_FREE = 51, /* one of size 0 that released its block and returned NULL */
	MST_OP_MAX = 63,
};

/* Does op acquire (return) a block when it succeeds? */
bool mst_op_acquires(unsigned op);
/* Does op release a block (freed/old_addr meaningful) at its place in the order? REALLOC_END does not. */
bool mst_op_releases(unsigned op);
/* Is op a release that says how large it takes the block to be? */
bool mst_op_is_sized(unsigned op);
/* Is op of the mapping layer? It is no heap call: it has no ordinal, and no counter of the heap knows it. */
static inline bool mst_op_maps(unsigned op)
{
	return op >> 4 == 2;
}
/* Is op of the pool layer? It is no heap call, in the same way. */
static inline bool mst_op_pools(unsigned op)
{
	return op >> 4 == 3;
}
/* Is op a heap call (or one of a later version)? */
static inline bool mst_op_is_heap(unsigned op)
{
	return op < 32;
}
/* "malloc", "realloc", ...; "op-N" names for unknown numbers come back as NULL. Static storage. */
const char *mst_op_name(unsigned op);
/* Number for a name, 0 if there is none. */
unsigned mst_op_from_name(const char *name);

enum mst_event_flag {
	MST_EV_FAILED = 1u << 0,     /* the call failed: nothing acquired, nothing released; size is what was asked */
	MST_EV_LATE = 1u << 1,       /* arrived after its place in the order was written; its time_ns is true */
	MST_EV_FOREIGN = 1u << 2,    /* releases a block the trace has never seen acquired (or a wild address) */
	MST_EV_INHERITED = 1u << 3,  /* releases, in a forked child, a block acquired by an ancestor process */
	MST_EV_WRONG_SIZE = 1u << 4, /* a sized release that said another size than the block's: said_size */
};

/* One call. Plain data; copying it is fine. Of a call of the mapping layer (mst_op_maps), addr is where its range
 * begins, size its length and old_addr where the range was before; struct mst_map_call has the rest. Of one of the pool
 * layer (mst_op_pools) addr, size and old_addr are as of a heap call; alloc and freed, which number the blocks of the heap,
 * are 0: struct mst_pool_call has its own. */
struct mst_event {
	uint64_t number;   /* position in the total order, from 0 */
	uint64_t time_ns;  /* quantised to 2^time_shift ns; never decreases along the order, LATE events apart */
	uint64_t alloc;    /* ordinal (from 1) of the block this call acquired, 0 if none */
	uint64_t freed;    /* ordinal of the block this call released, 0 if none or unknown (FOREIGN) */
	uint64_t size;     /* bytes asked for; for a pure release the block's size if known, else 0 */
	uint64_t addr;     /* address returned; for a pure release the address released; 0 = unknown or none */
	union {
		uint64_t old_addr;  /* realloc family: the address passed in; else 0 */
		uint64_t said_size; /* WRONG_SIZE: the size that the release was given */
	};
	uint32_t stack;    /* stack id; 0 = not recorded */
	uint32_t thread;   /* thread id (dictionary, not the kernel's tid) */
	uint32_t align;    /* alignment asked for, 0 = none */
	uint16_t err;      /* errno of a FAILED call */
	uint8_t op;        /* enum mst_op */
	uint8_t flags;     /* enum mst_event_flag */
};

/* What only calls of the mapping layer have. Numbers are the kernel's. */
struct mst_map_call {
	uint64_t addr;       /* what it returned; failed or returning none: what it was given. brk, sbrk: the new break */
	uint64_t length;     /* asked for, not rounded to pages; brk, sbrk: by how much the break moved */
	uint64_t old_addr;   /* mremap: given; brk, sbrk: the break before; else 0 */
	uint64_t old_length; /* mremap */
	uint64_t offset;     /* mmap: in the file */
	uint64_t begun;      /* number of the first event that came after the call had begun: what it unmaps had been
	                      * mapped before that; the event's own number where that is not known */
	uint32_t prot;       /* mmap, mprotect */
	uint32_t flags;      /* mmap, mremap; madvise: the advice */
	uint32_t file;       /* mmap: string id of the file's path, 0 = none or unknown */
	int32_t fd;          /* mmap */
};

/* What only calls of the pool layer have. */
struct mst_pool_call {
	uint64_t alloc;    /* ordinal of the block it acquired, 0 if none. Blocks of pools are counted from 1, by themselves */
	uint64_t freed;    /* ordinal of the block it released, 0 if none or unknown */
	uint64_t addr;     /* returned; of a pure release: the address released */
	uint64_t size;     /* asked for; of a pure release 0 */
	uint64_t old_addr; /* POOL_REALLOC: the address passed in; else 0 */
	uint32_t pool;     /* string id of the pool's name */
};

/* ---- dictionary entries -------------------------------------------------------------------------------- */

#define MST_STACK_NONE 0u /* stack id: not recorded */
#define MST_STACK_CUT 1u  /* stack id: the pseudo parent of the outermost known frame of a cut stack */

/* A file with code. The same file is one module in all processes and at all addresses. */
struct mst_module {
	uint32_t path;         /* string id */
	uint8_t build_id[32];
	uint8_t build_id_len;  /* 0 = the file has none */
	uint64_t file_size;    /* 0 = unknown */
	uint64_t mtime_ns;     /* modification time, since the epoch; 0 = unknown */
};

/* A code address: a return address in a module. */
struct mst_code {
	uint32_t module; /* 0: outside every known module (JIT); offset is then the absolute address */
	uint64_t offset; /* in the ELF file's own address space; the call is before it: look up offset - 1 */
};

/* One node of the stack tree: this frame, called from `parent`. */
struct mst_stack {
	uint32_t parent; /* < own id; MST_STACK_NONE = outermost frame, MST_STACK_CUT = outermost known one */
	uint32_t code;   /* code id */
};

enum mst_process_origin { MST_ORIGIN_START = 1, MST_ORIGIN_FORK = 2, MST_ORIGIN_EXEC = 3, MST_ORIGIN_ATTACH = 4 };
enum mst_process_fate {
	MST_FATE_RUNNING = 0, /* no end in the trace: the file still grows, is cut off, or the recorder was killed */
	MST_FATE_EXITED = 1,  /* status = exit status */
	MST_FATE_KILLED = 2,  /* status = signal number */
	MST_FATE_EXEC = 3,    /* replaced by another image of the same pid */
	MST_FATE_GONE = 4,    /* ended; how is not known */
	MST_FATE_UNFINISHED = 5, /* still running when the recording ended, at end_ns */
	MST_FATE_UNRECORDED = 6, /* never recorded; status = enum mst_obstacle */
};

enum mst_obstacle { /* why a process that a recorded one has started, or become, was not recorded itself */
	MST_OBSTACLE_STATIC = 1,
	MST_OBSTACLE_LIBC = 2,        /* another libc than the recorder can get into */
	MST_OBSTACLE_ABI = 3,         /* another machine or word size */
	MST_OBSTACLE_PRIVILEGE = 4,   /* it gains privileges when it starts */
	MST_OBSTACLE_SANITIZER = 5,
	MST_OBSTACLE_ENVIRONMENT = 6, /* what leads to the recorder was taken out of its environment */
	MST_OBSTACLE_ALLOCATOR = 7,   /* the executable exports a malloc of its own, which comes before any other */
	MST_OBSTACLE_MEMORY = 8,      /* no room in its address space for what it shares with the recorder */
	MST_OBSTACLE_CLOCK = 9,       /* it may not read the time stamp counter */
	MST_OBSTACLE_SANDBOX = 10,    /* forked by a process that had confined itself (seccomp) */
	MST_OBSTACLE_REACH = 11,      /* begun where the recorder is out of reach: as another user, below another root */
	MST_OBSTACLE_SILENCE = 12,    /* the recorder did not answer in time, as when it was stopped */
	MST_OBSTACLES,
};
/* In words, "statically linked"; NULL for a number without. Static storage. */
const char *mst_obstacle_text(unsigned obstacle);

/* A process image: what runs between (start | fork | exec) and (exit | exec). */
struct mst_process {
	uint32_t pid;
	uint32_t parent;       /* process id of the image that forked or exec'ed this one, 0 = none in the trace */
	uint32_t exe;          /* string id: path of the executable */
	uint32_t cmdline;      /* string id: arguments joined by NUL */
	uint8_t origin, fate;  /* enums above */
	int32_t status;
	uint64_t start_ns, end_ns;
	uint64_t start_event;  /* number of the first event that comes after the start */
	uint64_t end_event;    /* number of the first event that comes after the end; UINT64_MAX = no end yet */
	uint64_t lost_events;  /* events counted as lost (drop mode, recorder gone) */
	uint64_t lost_bytes;
	uint64_t stall_ns;     /* time its threads waited for room */
};

struct mst_thread {
	uint32_t process;  /* process id */
	uint32_t tid;
	uint32_t name;     /* string id of the last name */
	uint64_t start_ns, end_ns; /* end_ns UINT64_MAX = no end in the trace */
	uint64_t lost_events;
};

/* Where a module is mapped in a process, and when. */
struct mst_mapping {
	uint32_t process, module;
	uint64_t start, end;  /* addresses */
	uint64_t bias;        /* address - bias = offset in the ELF file's address space */
	uint64_t load_ns, unload_ns; /* unload_ns UINT64_MAX = until the end */
};

/* A range of addresses that a process had when its recording began. */
struct mst_region {
	uint32_t process;
	uint32_t name;        /* string id: a path, "[heap]", "[stack]", ...; 0 = anonymous */
	uint64_t start, end;  /* addresses */
	uint64_t offset;      /* in the file */
	uint32_t prot;        /* PROT_* */
	bool is_shared;
};

/* One line of a symbolised code address; several when calls were inlined, innermost first. */
struct mst_symbol {
	uint32_t function, file; /* string ids, 0 = unknown */
	uint32_t line;           /* 0 = unknown */
	bool is_inlined;         /* this function's code stands in the next one's body */
};

/* Events that the recorder knows to be missing (LOSS frames). */
enum mst_loss_reason {
	MST_LOSS_DROPPED = 1,  /* no room in the shared memory, in drop mode */
	MST_LOSS_RECORDER = 2, /* the recorder was gone or stopped */
	MST_LOSS_TORN = 3,     /* units that made no sense: the program wrote over them */
	MST_LOSS_UNSEEN = 4,   /* a process that could not be followed */
};
struct mst_lost {
	uint32_t thread;            /* thread id, 0 = unknown */
	uint32_t reason;            /* enum mst_loss_reason, or a number of a later version */
	uint64_t first_ns, last_ns; /* the span it happened in */
	uint64_t events, bytes;     /* how many, and bytes asked for by them, as far as known */
};

/* What was said about the recording at a place in the order (API frames), by the program (annotate.h) or by who
 * watches it (msrecord --control and its like). */
enum mst_annotation_kind {
	MST_ANNOTATION_MARK = 1,   /* a name for this place */
	MST_ANNOTATION_PAUSE = 2,  /* from here on acquisitions are not recorded, nor failed calls; releases are, of
	                            * blocks that the trace knows, without stacks */
	MST_ANNOTATION_RESUME = 3, /* and from here on everything is */
};
struct mst_annotation {
	uint32_t kind;
	uint32_t process; /* whom it concerns: a process id; 0 = all that run, and those that come by start or exec */
	uint32_t thread;  /* who said it: a thread id; 0 = nobody in the program */
	uint32_t name;    /* string id of a mark's name */
	uint64_t event;   /* number of the first event that comes after it; never decreases from one to the next */
	uint64_t time_ns;
};

/* Facts about the recording, from the HEADER frame. Strings live as long as the reader. */
struct mst_header {
	uint16_t format_major, format_minor;
	uint8_t time_shift;       /* times are multiples of 2^time_shift ns */
	bool has_addresses;
	bool has_free_stacks;
	uint32_t stack_depth;     /* greatest depth recorded */
	uint64_t start_realtime_ns, start_monotonic_ns;
	uint32_t page_size;
	uint32_t n_cpus;
	const char *tool;         /* "msrecord 0.1.0" */
	const char *host, *kernel, *arch, *clock;
	const char *cwd;
	const char *cmdline;      /* arguments joined by NUL, cmdline_len bytes */
	size_t cmdline_len;
};

/* Totals over the whole trace, from the END frame. */
struct mst_totals {
	uint64_t events, allocs, frees, failed; /* events of all layers; the others are heap calls */
	uint64_t lost_events, lost_bytes;
	uint64_t duration_ns;
	uint64_t live_blocks, live_bytes; /* acquired and never released, over all processes */
	uint64_t allocated_bytes;
	uint64_t peak_bytes;  /* greatest sum over running processes; from a writer only, the file does not hold it */
	uint64_t overlaps;  /* acquisitions at an address where a block still lived: its release was missed */
	uint64_t unknown_frees; /* releases of what nobody is known to have acquired; as peak_bytes from a writer only,
	                         * and not counted after a pause */
	bool is_clean;      /* closed by the recorder in the ordinary way */
	bool is_salvaged;   /* what could be saved of a damaged or incomplete file */
	bool is_limited;    /* the trace reached the size set for it: the program went on unrecorded */
	int32_t exit_status; /* of the first process: exit status, or 128 + signal; -1 unknown */
};

/* ---- samples ------------------------------------------------------------------------------------------ */

/* What is measured while a program is recorded. Numbers are those of FORMAT.md and never change. Bytes unless the
 * name says otherwise (mst_sample_field_unit). */
enum mst_sample_field {
	/* of a process, as the kernel counts it */
	MST_SAMPLE_RSS = 1,            /* resident: what is in memory of all it has mapped */
	MST_SAMPLE_PSS = 2,            /* the same, each page divided by the number of its users: these add up */
	MST_SAMPLE_PSS_ANON = 3,
	MST_SAMPLE_PSS_FILE = 4,
	MST_SAMPLE_PSS_SHMEM = 5,
	MST_SAMPLE_SHARED_CLEAN = 6,
	MST_SAMPLE_SHARED_DIRTY = 7,
	MST_SAMPLE_PRIVATE_CLEAN = 8,
	MST_SAMPLE_PRIVATE_DIRTY = 9,
	MST_SAMPLE_ANON = 10,          /* RSS = anon + file + shmem */
	MST_SAMPLE_FILE = 11,
	MST_SAMPLE_SHMEM = 12,
	MST_SAMPLE_ANON_HUGE = 13,     /* of anon: in transparent huge pages */
	MST_SAMPLE_LAZY_FREE = 14,     /* given back by MADV_FREE, not yet taken */
	MST_SAMPLE_LOCKED = 15,
	MST_SAMPLE_SWAP = 16,
	MST_SAMPLE_SWAP_PSS = 17,
	MST_SAMPLE_PEAK_RSS = 18,      /* greatest RSS so far */
	MST_SAMPLE_VIRTUAL = 19,
	MST_SAMPLE_PAGE_TABLES = 20,
	MST_SAMPLE_MINOR_FAULTS = 21,  /* since its start */
	MST_SAMPLE_MAJOR_FAULTS = 22,
	MST_SAMPLE_THREADS = 23,
	MST_SAMPLE_CPU = 24,           /* ns of all its threads since its start */
	/* of a control group (version 2) */
	MST_SAMPLE_GROUP_CURRENT = 32,
	MST_SAMPLE_GROUP_PEAK = 33,
	MST_SAMPLE_GROUP_MAX = 34,     /* limits: MST_NO_LIMIT = none */
	MST_SAMPLE_GROUP_HIGH = 35,
	MST_SAMPLE_GROUP_SWAP = 36,
	MST_SAMPLE_GROUP_SWAP_MAX = 37,
	MST_SAMPLE_GROUP_LOW_EVENTS = 38, /* how often a limit was met, since the group was made */
	MST_SAMPLE_GROUP_HIGH_EVENTS = 39,
	MST_SAMPLE_GROUP_MAX_EVENTS = 40,
	MST_SAMPLE_GROUP_OOM_EVENTS = 41,
	MST_SAMPLE_GROUP_OOM_KILLS = 42,
	MST_SAMPLE_GROUP_PRESSURE_SOME = 43, /* ns in which some, or all, of its tasks waited for memory */
	MST_SAMPLE_GROUP_PRESSURE_FULL = 44,
	/* of the recording itself */
	MST_SAMPLE_HOOK_TIME = 48,     /* ns that the timed calls spent being recorded ... */
	MST_SAMPLE_HOOKS_TIMED = 49,   /* ... and how many were timed */
	MST_SAMPLE_STALL_TIME = 50,    /* ns for which threads waited for room */
	MST_SAMPLE_LOST_EVENTS = 51,
	MST_SAMPLE_ARENA = 52,         /* shared memory that holds events on their way; of the recorder: of all processes */
	MST_SAMPLE_ARENA_PEAK = 53,
	MST_SAMPLE_SAMPLING_TIME = 54, /* ns spent on samples so far */
	MST_SAMPLE_FIELDS = 64,
};
#define MST_NO_LIMIT ((uint64_t)INT64_MAX)

enum mst_sample_unit { MST_UNIT_BYTES, MST_UNIT_COUNT, MST_UNIT_NS };

/* One subject, measured once: a process; a control group (process 0); or the recorder (process and group 0). Plain
 * data. Only fields whose bit (1 << field) is set in `known` say anything. */
struct mst_sample {
	uint64_t time_ns;
	uint64_t event;   /* number of the first event that comes after it */
	uint64_t cost_ns; /* time that taking it took */
	uint64_t known;
	uint64_t value[MST_SAMPLE_FIELDS];
	uint32_t process; /* process id */
	uint32_t group;   /* string id: path of its control group, or of the group that is the subject; 0 = unknown */
};

/* "rss", "minor_faults", ...; NULL for a number that is no field's. Static storage. */
const char *mst_sample_field_name(unsigned field);
enum mst_sample_unit mst_sample_field_unit(unsigned field);
/* Memory that nobody shares (private clean + private dirty). False: not known. */
bool mst_sample_uss(const struct mst_sample *s, uint64_t *bytes);

/* The trace up to a place in the order whose frames are no longer in the file: the totals there, and (see
 * mst_reader_each_checkpoint_block) every block that lived. */
struct mst_checkpoint {
	uint64_t event;      /* number of the first event behind it: so many were dropped */
	uint64_t next_alloc; /* ordinal of the next acquisition */
	uint64_t time_ns;    /* of the last event before it */
	uint64_t live_blocks, live_bytes;
	uint64_t lost_events;
	uint64_t allocated_bytes, frees, failed; /* before it */
	uint64_t peak_bytes, peak_event, peak_time_ns; /* the highest before it, and the event that reached it */
};

struct mst_block { /* a live block */
	uint64_t alloc, addr, size, time_ns;
	uint32_t stack, thread, process;
	uint32_t align; /* asked for (a power of two, else the next greater one), 0 = none or not read */
	uint8_t op;
};

/* ---- writer ------------------------------------------------------------------------------------------- */

struct mst_writer;

/* A flight recorder: event frames too old are dropped, what lived then stays known from a checkpoint. From time to
 * time, in a thread of its own, the writer copies dictionaries, checkpoint and the frames to be kept to a new file,
 * which then takes the place of the old one. Both functions are called in the writer's threads. */
struct mst_keep {
	uint64_t bytes;   /* trace and copy together stay within so much; 0 = no bound. Raised to eight times the
			     dictionaries and the checkpoint if these need it (mst_kept) */
	uint64_t time_ns; /* keep at least the events of so much time; 0 = no bound */
	int (*begin)(void *ctx); /* a descriptor to read and write of a new, empty regular file, or a negative errno */
	/* fd, from begin, is complete: it takes the place of the trace, whose descriptor is closed.
	 * 0 or a negative errno; fd is then still open. */
	int (*commit)(void *ctx, int fd);
	void (*abandon)(void *ctx, int fd); /* fd, from begin, is not wanted: close and remove it */
	void *ctx;
};
struct mst_kept { /* what a flight recorder has done so far */
	uint64_t dropped_events; /* the trace begins with the event of this number */
	uint64_t n_trims;        /* how often old frames were dropped */
	uint64_t base_bytes;     /* dictionaries and checkpoint, the last time */
	uint64_t limit_bytes;    /* the bound in force: keep.bytes, or more because base_bytes needs it */
};

struct mst_writer_options {
	struct mst_header header;     /* what to store; format_*, tool etc. copied, strings included */
	uint64_t file_id;             /* random, non-zero; 0 = the writer draws one */
	uint32_t frame_events;        /* close an event frame at so many; 0 = 65536, the greatest */
	uint64_t frame_ns;            /* ... or when it spans so much time; 0 = one second */
	int level;                    /* zstd; 0 = 3 */
	bool threaded;                /* compress and write in a second thread */
	bool copy_stacks;             /* at the close write the stack table a second time, whatever its size */
	uint64_t max_bytes;           /* end the trace before it is longer: see mst_writer_event; 0 = no bound */
	struct mst_keep keep;         /* bytes or time_ns set: a flight recorder; fd is a regular file, to read and write */
};

/* Starts a trace on fd, which the caller keeps and closes after mst_writer_close. fd may be a pipe: the
 * writer never seeks. The HEADER frame is written at once. *out is untouched on failure. */
int mst_writer_open(int fd, const struct mst_writer_options *opt, struct mst_writer **out);

/* Dictionary entries. Each returns the id (> 0) in *id; equal content gives the same id (strings, modules,
 * code, stacks are interned). Written before the next event frame. */
int mst_writer_string(struct mst_writer *w, const char *s, size_t len, uint32_t *id);
int mst_writer_module(struct mst_writer *w, const struct mst_module *m, uint32_t *id);
int mst_writer_code(struct mst_writer *w, uint32_t module, uint64_t offset, uint32_t *id);
int mst_writer_stack(struct mst_writer *w, uint32_t parent, uint32_t code, uint32_t *id);
/* A new process image (start_event is set by the writer to the current position). With origin FORK the
 * image inherits what lives in `parent` at this point of the order. */
int mst_writer_process(struct mst_writer *w, const struct mst_process *p, uint32_t *id);
/* A fork in two steps, for a child that is first heard of later: the fork point remembers, at this place in
 * the order, what lives in `parent` (cheap: shared until changed); the child is created from it when it shows
 * up, or the point is dropped. A token is used once; mst_writer_close drops what is left. With
 * mst_writer_process and origin FORK both steps happen at once. */
int mst_writer_fork_point(struct mst_writer *w, uint32_t parent, uint64_t *token);
int mst_writer_process_forked(struct mst_writer *w, const struct mst_process *p, uint64_t token, uint32_t *id);
void mst_writer_fork_drop(struct mst_writer *w, uint64_t token);
/* End of an image: fate, status, end_ns, lost_*, stall_ns are taken from *p; the rest is ignored. Its
 * address map is dropped. */
int mst_writer_process_end(struct mst_writer *w, uint32_t id, const struct mst_process *p);
int mst_writer_thread(struct mst_writer *w, const struct mst_thread *t, uint32_t *id);
/* Later facts: a new name, the end, losses. Replaces the entry. */
int mst_writer_thread_update(struct mst_writer *w, uint32_t id, const struct mst_thread *t);
int mst_writer_mapping(struct mst_writer *w, const struct mst_mapping *m);
int mst_writer_region(struct mst_writer *w, const struct mst_region *region);
/* Ends the mapping of `process` that starts at `start`. */
int mst_writer_unmapping(struct mst_writer *w, uint32_t process, uint64_t start, uint64_t unload_ns);
/* The symbols of one code address, innermost first, n <= 256. */
int mst_writer_symbols(struct mst_writer *w, uint32_t code, const struct mst_symbol *s, size_t n);
/* Events that are known to be missing here: counted into totals and a LOSS frame. */
int mst_writer_loss(struct mst_writer *w, uint32_t thread, uint64_t first_ns, uint64_t last_ns, uint64_t events,
	uint64_t bytes, unsigned reason);
/* An annotation at the present place in the order: of *a the writer reads all but `event`. */
int mst_writer_annotation(struct mst_writer *w, const struct mst_annotation *a);
/* Is a block that lives in `process` at addr known to the trace at the present place in the order? 1, 0, or negative.
 * To be asked seldom: it cannot wait for memory as mst_writer_event does. */
int mst_writer_knows(struct mst_writer *w, uint32_t process, uint64_t addr);

/* The next event in total order. Of *ev the writer reads thread, op, flags (FAILED, LATE), time_ns, size,
 * addr, old_addr (what is released: addr for pure releases, old_addr for reallocs), stack, align, err; of a
 * sized release, `size` is what it said (it is kept where it is not the block's). It
 * finds `freed` by its live map and assigns number and alloc, which are stored back into *ev. MST_EFULL: the trace
 * is as long as max_bytes allows with dictionaries, names and index still to come; it takes everything but events. */
int mst_writer_event(struct mst_writer *w, struct mst_event *ev);
/* The commonest events by the run, which costs half: n calls of the heap by one thread, one after the other, that succeeded,
 * with no alignment and in their order. The same errors; what stood before the call at fault has been taken. */
struct mst_call {
	uint64_t time_ns, size, addr, old_addr;
	uint32_t stack;
	uint32_t op;
};
int mst_writer_calls(struct mst_writer *w, uint32_t thread, const struct mst_call *calls, size_t n);
/* mst_writer_event for a call of the mapping layer, with its facts; of *ev thread, op, flags, time_ns, stack and err are read. */
int mst_writer_map_event(struct mst_writer *w, struct mst_event *ev, const struct mst_map_call *call);

/* The same for a call of a pool, which is named by its string id: of *ev thread, op, flags, time_ns, stack and err are
 * read, of *call pool, addr, size and old_addr (what is released: addr for pure releases, old_addr for a realloc). Its
 * alloc and freed are stored back. */
int mst_writer_pool_event(struct mst_writer *w, struct mst_event *ev, struct mst_pool_call *call);
/* Is a block of that pool that lives in `process` at addr known to the trace? 1 or 0. */
int mst_writer_pool_knows(const struct mst_writer *w, uint32_t process, uint32_t pool, uint64_t addr);

/* A sample at this place of the order: `event` is set by the writer. MST_EARG if its time is less than that of the
 * sample before, or a number beyond INT64_MAX. */
int mst_writer_sample(struct mst_writer *w, const struct mst_sample *s);

/* Writes what is pending: everything given so far is then readable in the file. */
int mst_writer_flush(struct mst_writer *w);
/* What a flight recorder has dropped so far; writes what is pending. 0 or the writer's error. */
int mst_writer_kept(struct mst_writer *w, struct mst_kept *out);
/* Current totals. */
void mst_writer_totals(const struct mst_writer *w, struct mst_totals *out);
/* Code ids that have no symbols yet: id in 1..mst_writer_n_code, entry via get. */
uint32_t mst_writer_n_code(const struct mst_writer *w);
const struct mst_code *mst_writer_get_code(const struct mst_writer *w, uint32_t id);
const struct mst_module *mst_writer_get_module(const struct mst_writer *w, uint32_t id);
const char *mst_writer_get_string(const struct mst_writer *w, uint32_t id, size_t *len);
const struct mst_problem *mst_writer_problem(const struct mst_writer *w);
/* Flushes, writes COPY tables, INDEX and END (is_clean and exit_status from the arguments), frees w in
 * every case. NULL is fine. *bytes (may be NULL) gets the file's length. */
int mst_writer_close(struct mst_writer *w, bool is_clean, int exit_status, uint64_t *bytes);

/* ---- reader ------------------------------------------------------------------------------------------- */

struct mst_reader;

enum mst_column { /* which fields of struct mst_event are wanted; number, thread, op, alloc come always */
	MST_COL_TIME = 1u << 0,
	MST_COL_STACK = 1u << 1,
	MST_COL_SIZE = 1u << 2,
	MST_COL_FREED = 1u << 3,
	MST_COL_ADDR = 1u << 4,
	MST_COL_EXTRA = 1u << 5, /* align, err */
	MST_COL_MAPS = 1u << 6,  /* what mst_reader_map_call gives; addr, size, old_addr of such calls */
	MST_COL_POOLS = 1u << 7, /* what mst_reader_pool_call gives; addr, size, old_addr of such calls */
	MST_COL_ALL = 0xff,
};

struct mst_reader_options {
	unsigned columns; /* 0 = MST_COL_ALL */
	bool follow;      /* growing file: at its end wait for more until an END frame comes */
	bool samples;     /* keep samples for mst_reader_next_sample */
};

/* Opens a trace. `path` "-" is standard input; pipes are read as streams. MST_ENOTRACE if no HEADER frame
 * can be found anywhere. A damaged file opens; the damage is listed as reading meets it. On failure *out is
 * NULL and *problem (may be NULL) is filled. */
int mst_reader_open(const char *path, const struct mst_reader_options *opt, struct mst_reader **out,
	struct mst_problem *problem);
/* The same over a descriptor, which the caller keeps. */
int mst_reader_open_fd(int fd, const struct mst_reader_options *opt, struct mst_reader **out,
	struct mst_problem *problem);
void mst_reader_close(struct mst_reader *r); /* NULL is fine */

/* Next event in total order: 1 and *ev filled, 0 at the end, negative on an error that ends reading (I/O,
 * memory; damage does not end reading). `addr` of a release is filled only when the block was acquired in
 * the same frame; mst_replay_apply fills it, and `size`, in all other cases. */
int mst_reader_next(struct mst_reader *r, struct mst_event *ev);

/* Many at once: 1 and *events, *n (> 0, samples apart) for the next frame's events, valid until the next call on r. Do not
 * mix with mst_reader_next within one frame. */
int mst_reader_next_batch(struct mst_reader *r, const struct mst_event **events, size_t *n);

/* The facts of a call of the mapping layer, an event of the latest mst_reader_next_batch, or that of the latest
 * mst_reader_next; NULL if ev is none or the file does not have them. Lives until the next call that reads. */
const struct mst_map_call *mst_reader_map_call(const struct mst_reader *r, const struct mst_event *ev);

/* The same for a call of the pool layer. */
const struct mst_pool_call *mst_reader_pool_call(const struct mst_reader *r, const struct mst_event *ev);

/* The next sample that stands in the order before event number `event` (UINT64_MAX: before the end): 1 and *s, or 0 if
 * none has been read that does. To be asked for in front of each event, or batch, and once more at the end. Needs
 * mst_reader_options.samples; mst_reader_next_batch then returns 1 with *n 0 where samples were read and no events,
 * and whoever does not take them collects them. */
int mst_reader_next_sample(struct mst_reader *r, uint64_t event, struct mst_sample *s);

/* Reads everything that is not events (dictionaries, symbols, index, END) to the end of the file and comes
 * back to the beginning: names are then complete from the first event on. Not possible on a pipe: MST_EARG.
 * Skips event frames without decoding them. */
int mst_reader_load_tables(struct mst_reader *r);
/* Back to the first event. MST_EARG on a pipe. */
int mst_reader_rewind(struct mst_reader *r);
/* Continues at the first event whose time is >= t_ns (frames before it are skipped by the index, or by a
 * scan of headers when there is none). */
int mst_reader_seek_time(struct mst_reader *r, uint64_t t_ns);

const struct mst_header *mst_reader_header(const struct mst_reader *r);
/* From the END frame; NULL until it has been read, or when there is none. */
const struct mst_totals *mst_reader_end(const struct mst_reader *r);
const struct mst_problem *mst_reader_problem(const struct mst_reader *r);
/* The checkpoint the events begin with; NULL if they begin with event 0, or as long as it has not been read. */
const struct mst_checkpoint *mst_reader_checkpoint(const struct mst_reader *r);
/* The blocks that lived at it, in order of acquisition. There from the first event until the reader goes beyond
 * the frame it is in; a replay asks for them by itself. 0, MST_ENOMEM, or what visit returned other than 0. */
int mst_reader_each_checkpoint_block(
	const struct mst_reader *r, int (*visit)(void *ctx, const struct mst_block *), void *ctx);
/* What it says of the i-th pool that had been called before it, and *pool (may be NULL), string id of the pool's name:
 * ordinals are those of all pools, calls and bytes its own. There from the first event. */
size_t mst_reader_n_pool_checkpoints(const struct mst_reader *r);
const struct mst_checkpoint *mst_reader_pool_checkpoint(const struct mst_reader *r, size_t i, uint32_t *pool);
/* As mst_reader_each_checkpoint_block, of this pool's blocks; ordinals and sizes are the pool's. */
int mst_reader_each_pool_block(const struct mst_reader *r, uint32_t pool,
	int (*visit)(void *ctx, const struct mst_block *), void *ctx);
/* Does it tell what processes had mapped? Traces of earlier versions do not. Known from the first event. */
bool mst_reader_knows_spaces(const struct mst_reader *r);

/* Dictionaries as known so far; NULL (or the empty string) for an unknown id. Pointers live until the next
 * call that reads. */
const char *mst_reader_string(const struct mst_reader *r, uint32_t id, size_t *len); /* NUL added after len */
uint32_t mst_reader_n_processes(const struct mst_reader *r);
const struct mst_process *mst_reader_process(const struct mst_reader *r, uint32_t id);
uint32_t mst_reader_n_threads(const struct mst_reader *r);
const struct mst_thread *mst_reader_thread(const struct mst_reader *r, uint32_t id);
uint32_t mst_reader_n_modules(const struct mst_reader *r);
const struct mst_module *mst_reader_module(const struct mst_reader *r, uint32_t id);
uint32_t mst_reader_n_codes(const struct mst_reader *r);
const struct mst_code *mst_reader_code(const struct mst_reader *r, uint32_t id);
uint32_t mst_reader_n_stacks(const struct mst_reader *r);
const struct mst_stack *mst_reader_stack(const struct mst_reader *r, uint32_t id);
size_t mst_reader_n_mappings(const struct mst_reader *r);
const struct mst_mapping *mst_reader_mapping(const struct mst_reader *r, size_t i);
size_t mst_reader_n_regions(const struct mst_reader *r);
const struct mst_region *mst_reader_region(const struct mst_reader *r, size_t i);
size_t mst_reader_n_lost(const struct mst_reader *r);
const struct mst_lost *mst_reader_lost(const struct mst_reader *r, size_t i);
/* Ascending by event. On a pipe, those that stand before an event are known when it is given out. */
size_t mst_reader_n_annotations(const struct mst_reader *r);
const struct mst_annotation *mst_reader_annotation(const struct mst_reader *r, size_t i);
/* Symbols of a code address, innermost first; *n = 0 when there are none. */
const struct mst_symbol *mst_reader_symbols(const struct mst_reader *r, uint32_t code, size_t *n);

/* What reading has found wrong so far. */
struct mst_damage {
	uint64_t offset, length;      /* bytes of the file concerned */
	uint64_t first_event, events; /* events lost there; events UINT64_MAX = not known */
	struct mst_problem problem;
};
struct mst_loss {                     /* the sum over all damage */
	uint64_t places;              /* number of damaged places, also beyond those that are listed */
	uint64_t frames;              /* frames lost that are known of */
	uint64_t events;              /* events lost, as far as known */
	uint64_t uncertain_blocks, uncertain_bytes; /* blocks whose release may be in a lost frame */
	bool is_truncated;            /* the file ends before its END frame */
};
/* Up to 1000 places are listed. */
const struct mst_damage *mst_reader_damage(const struct mst_reader *r, size_t *n);
void mst_reader_loss(const struct mst_reader *r, struct mst_loss *out);

/* ---- frames, verify, salvage --------------------------------------------------------------------------- */

struct mst_frame_info {
	uint64_t offset, seq;
	uint32_t header_len, stored_len, raw_len, n_items;
	uint8_t kind, codec;
	uint32_t flags;
	uint64_t first_event, t_first_ns, t_last_ns; /* event frames, else 0 */
};
const char *mst_frame_kind_name(unsigned kind); /* "EVT", ...; NULL unknown. Static storage. */

struct mst_verify_result {
	struct mst_loss loss;
	uint64_t n_frames, n_events, bytes;
	/* By frame kind, those >= 31 in [31]: bytes in the file, payload bytes before compression, frames. */
	uint64_t stored_by_kind[32], raw_by_kind[32], frames_by_kind[32];
	bool has_end, has_index;
};
/* Checks every frame, decodes every payload, checks every rule of FORMAT.md. `on_frame` and `on_damage` may
 * be NULL. Returns 0 if sound, MST_EDAMAGED, or what opening gave. */
int mst_verify(int fd, struct mst_verify_result *out, void (*on_frame)(void *ctx, const struct mst_frame_info *),
	void (*on_damage)(void *ctx, const struct mst_damage *), void *ctx, struct mst_problem *problem);
/* Copies every intact frame of `in` to `out` bit for bit and closes it with a fresh INDEX and an END that is clean only if
 * that of `in` was and nothing is missing before it. *result says what was found in `in`. */
int mst_salvage(int in, int out, struct mst_verify_result *result, struct mst_problem *problem);

/* Symbols for a trace that has been written: what is added to it. */
struct mst_amendment;
/* The same copy, with what `amend` adds behind the last frame; END is clean if that of `in` was and nothing is
 * missing. amend is called once, when all of `in` has been read; a negative result ends it all and is passed on. */
int mst_amend(int in, int out, int (*amend)(void *ctx, struct mst_amendment *a), void *ctx,
	struct mst_verify_result *result, struct mst_problem *problem);
/* For use by `amend`. The trace: its dictionaries, which are complete. */
const struct mst_reader *mst_amendment_reader(const struct mst_amendment *a);
/* As mst_writer_string and mst_writer_symbols: for code addresses of the trace, known ones replaced. */
int mst_amendment_string(struct mst_amendment *a, const char *s, size_t len, uint32_t *id);
int mst_amendment_symbols(struct mst_amendment *a, uint32_t code, const struct mst_symbol *s, size_t n);

/* ---- replay ------------------------------------------------------------------------------------------- */

/* The live set at a place in the order. Memory: O(live blocks + stacks), never O(events). A block's release is
 * booked in the counters of the stack and the process that acquired it. If the trace begins
 * with a checkpoint, its blocks live from the start; allocs and frees count what the events do. */
struct mst_replay;

struct mst_counters { /* of one stack, one process, or all */
	uint64_t allocs, frees;           /* calls: a successful realloc of a block is one of each */
	uint64_t allocated_bytes, freed_bytes;
	uint64_t live_blocks, live_bytes; /* blocks of a process stay counted here when it ends: its leaks */
	uint64_t peak_blocks, peak_bytes; /* what lived at the instant of the overall peak */
	uint64_t max_bytes;               /* this one's own greatest live_bytes */
	uint64_t temporary;               /* released by the same thread as its very next heap event */
	uint64_t failed;
};

struct mst_replay_options {
	uint32_t only_process;  /* process id to count; 0 = all */
	uint32_t only_pid;      /* kernel pid to count (all its images); 0 = all */
	bool by_stack;          /* keep counters per stack */
	bool keep_copies;       /* know what an inherited block was, though its owner has released it meanwhile: costs memory
				 * for those, while a child runs that was forked before */
	/* The pool of that name instead of the heap, in all that this replay counts and tells; ordinals are then those of
	 * pools. NULL: the heap. Needs MST_COL_POOLS. Lives as long as the replay. */
	const char *only_pool;
	/* Called for each release of a block by the process that acquired it, if that counts, while the block is
	 * still there; both arguments live for the call. NULL: nobody. */
	void (*released)(void *ctx, const struct mst_event *ev, const struct mst_block *block);
	void *released_ctx;
};

/* `r` gives processes and threads and must outlive the replay. */
int mst_replay_new(const struct mst_reader *r, const struct mst_replay_options *opt, struct mst_replay **out);
void mst_replay_free(struct mst_replay *p); /* NULL is fine */
/* Takes the next event, in order, and completes *ev: size and addr of what is released, if known, and the
 * FOREIGN / INHERITED flags. Of an inherited block that its owner has released they are known with keep_copies, as far as
 * the reader knew of the fork by then (on a pipe: mostly not). Only the flags where a pool is counted (only_pool). MST_ENOMEM is the only failure. */
int mst_replay_apply(struct mst_replay *p, struct mst_event *ev);
/* The same, faster, for the n events of one mst_reader_next_batch, when nobody needs them completed. */
int mst_replay_apply_batch(struct mst_replay *p, const struct mst_event *events, size_t n);
/* All counters. peak_* are those of the sum over running processes at its highest. */
const struct mst_counters *mst_replay_totals(const struct mst_replay *p);
uint64_t mst_replay_peak_event(const struct mst_replay *p);   /* number of the event that reached the peak */
uint64_t mst_replay_peak_time_ns(const struct mst_replay *p);
uint64_t mst_replay_now_bytes(const struct mst_replay *p);    /* live in running processes, now */
/* Per stack (by_stack): all-zero for stacks without events. n_stacks: ids 0..n-1. */
uint32_t mst_replay_n_stacks(const struct mst_replay *p);
const struct mst_counters *mst_replay_stack(const struct mst_replay *p, uint32_t stack);
const struct mst_counters *mst_replay_process(const struct mst_replay *p, uint32_t process);
/* Findings: releases of unknown blocks and of blocks already released. Booked as frees of the stack and the
 * process that called; they change no live or freed bytes. */
uint64_t mst_replay_foreign_frees(const struct mst_replay *p);
/* Releases in forked children of blocks acquired before the fork, booked in the same way. */
uint64_t mst_replay_inherited_frees(const struct mst_replay *p);
/* Live blocks in order of acquisition; stop when visit returns non-zero, which is passed on. */
int mst_replay_each_live(const struct mst_replay *p, int (*visit)(void *ctx, const struct mst_block *), void *ctx);

/* ---- mappings ------------------------------------------------------------------------------------------ */

/* What processes have mapped at a place in the order (FORMAT.md "Mappings"): a replay of the mapping layer. If the trace begins
 * with a checkpoint that tells it, what was mapped there is known from the start; calls and regions count what the events
 * do. Memory: O(regions that are mapped). */
struct mst_spaces;

enum mst_mapped_kind { MST_MAPPED_ANONYMOUS, MST_MAPPED_FILE, MST_MAPPED_STACK, MST_MAPPED_HEAP }; /* as in the file */

struct mst_mapped { /* what one call mapped, or what was there from the start */
	uint64_t start;       /* address when it was mapped; of one that was moved as a whole, since then */
	uint64_t size;        /* bytes when it was mapped */
	uint64_t live_bytes;  /* now */
	uint64_t peak_bytes;
	uint64_t mapped_ns;
	uint64_t unmapped_ns; /* UINT64_MAX: still there */
	uint64_t event;       /* number of the event that mapped it; of one from before the start 0 */
	uint32_t process, stack;
	uint32_t file;        /* string id, 0 = none */
	uint32_t prot;        /* when it was mapped */
	uint8_t kind;         /* enum mst_mapped_kind */
	bool is_initial, is_shared;
	bool is_inherited;    /* is_initial, and copied by a fork from the parent that has it */
};

struct mst_mapped_totals {
	uint64_t regions, bytes; /* mapped by calls */
	uint64_t initial_regions, initial_bytes; /* from before the start */
	uint64_t calls, failed;
	uint64_t live_bytes;     /* mapped by calls, in running processes, now */
	uint64_t peak_bytes, peak_ns; /* its highest, before a checkpoint too */
};

struct mst_spaces_options {
	uint32_t only_pid; /* kernel pid to count (all its images); 0 = all */
	/* A region has been unmapped, its process has ended, or all has (mst_spaces_end). Inherited ones, which are
	 * the parent's, are not told of, nor what does not count. NULL: nobody. */
	void (*gone)(void *ctx, const struct mst_mapped *region);
	void *ctx;
};

/* `r` gives processes and regions and must outlive it; it needs MST_COL_MAPS. 0 or MST_ENOMEM. */
int mst_spaces_new(const struct mst_reader *r, const struct mst_spaces_options *opt, struct mst_spaces **out);
void mst_spaces_free(struct mst_spaces *s); /* NULL is fine */
/* The n events of one mst_reader_next_batch of r, in order. MST_ENOMEM is the only failure: s can then only be freed. */
int mst_spaces_apply_batch(struct mst_spaces *s, const struct mst_event *events, size_t n);
/* Behind the last event: all processes come to their ends, what they had mapped is gone. MST_ENOMEM as above. */
int mst_spaces_end(struct mst_spaces *s);
const struct mst_mapped_totals *mst_spaces_totals(const struct mst_spaces *s);

/* ---- call tree ---------------------------------------------------------------------------------------- */

/* Weights given per stack id, folded into one tree of functions (inlined ones included) by name. */
struct mst_calltree;
struct mst_callnode {
	uint32_t parent, first_child, next_sibling; /* node indices; 0 = none (the root is node 0) */
	uint32_t function, file, line, module;      /* function, file: string ids of the reader; module id */
	uint32_t code;                              /* when function is 0: name it by module + offset of this */
	bool is_inlined, is_cut;                    /* is_cut: stands for "callers unknown" */
	uint64_t self, total;
};
int mst_calltree_new(const struct mst_reader *r, struct mst_calltree **out);
void mst_calltree_free(struct mst_calltree *t);
/* Ids the reader does not know count as not recorded. MST_EARG after mst_calltree_finish. */
int mst_calltree_add(struct mst_calltree *t, uint32_t stack, uint64_t weight);
/* Sums totals; children sorted by total, largest first. nodes[0] is the root, whose self is the weight of stacks
 * that were not recorded; a node's index is greater than its parent's. To be called when the symbols are known.
 * The nodes live as long as t, which takes no more weights. NULL: no memory; t can then only be freed. */
const struct mst_callnode *mst_calltree_finish(struct mst_calltree *t, uint32_t *n_nodes);

#endif
