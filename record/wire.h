/* wire.h - what the traced program (libmscapture.so) and msrecord share: one memory segment per process image
 * and a short handshake over a socket. Both ends come from one build and compare MS_WIRE_ABI; the layout
 * carries no promise beyond that (the file format does).
 *
 *	segment (a sealed memfd made by msrecord, MS_SEGMENT_SIZE, sparse: pages cost memory when touched)
 *	+-----------+------------------+----------------+------------------------------------+
 *	| control   | slots            | chunk headers  | chunks                             |
 *	| 4 KiB     | one per thread   | one per chunk  | MS_CHUNK_SIZE each                 |
 *	+-----------+------------------+----------------+------------------------------------+
 *
 * A thread owns one slot and writes into one chunk at a time; nobody else writes there, so publishing a unit
 * is one plain release store of slot.committed. A chunk is never wrapped: when a unit does not fit, the thread
 * claims another chunk (the owner in its header, by CAS; a bitmap says where to look), links it from the old one and
 * goes on. msrecord follows the links and gives back what it has drained. The commit protocol and both its ends are in
 * arena.h.
 *
 * Everything here may be scribbled on by a broken program: msrecord reads each word once into a local, checks
 * it, and only then uses it. */
#ifndef MS_WIRE_H
#define MS_WIRE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define MS_WIRE_MAGIC 0x31455249574d534dull /* "MSMWIRE1" */
#define MS_WIRE_ABI 5u                      /* raise with every change of this file */

#define MS_PAGE 4096u
#define MS_MAX_SLOTS 8192u      /* threads alive at once */
#define MS_CHUNK_SIZE 32768u
#define MS_MAX_CHUNKS 10240u    /* one held by each slot, plus the backlog */
#define MS_MAX_STACK_DEPTH 2048u /* a whole stack fits into a chunk; a greater control.stack_depth means this */
#define MS_BACKLOG_CHUNKS 32u   /* default of control.backlog: 1 MiB of units not yet drained */

/* ---- units: what a thread writes into its chunk ---------------------------------------------------------- */

/* A unit is a run of 8-byte words.
 *   word 0: kind (bits 0-7), stamp (bits 8-63): clock ticks since control.clock_base
 * Kinds 1..63 are calls, numbered as enum mst_op; kinds from 64 are below. Calls go on:
 *   word 1: address (bits 0-47), flags (bits 48-55), n_push (bits 56-63; 255: the next word holds the count)
 *           address = what was acquired, or what a pure release releases; with FAILED: errno
 *   [n_push count]          if n_push == 255
 *   word 2: size (bits 0-47), keep (bits 48-63)     unless MS_UF_SHORT
 *   [size]                  if MS_UF_BIG_SIZE (then the size above is 0); at most INT64_MAX, which also stands
 *                           for a product that overflowed
 *   [old address]           if MS_UF_OLD: the pointer passed to realloc
 *   [alignment]             if MS_UF_ALIGN; of kinds 32..47, which always have it: the number of words in [more]; of
 *                           kinds 48..63, the same: the function that was called (struct ms_wrapped)
 *   [more]                  kinds 32..47, calls of the mapping layer: enum ms_map_word, then the path of a mapped file
 *   [n_push words]          return addresses, outermost first
 * Stack of the call = the first `keep` (outer) frames of this slot's previous stack, then the pushed ones. A
 * thread's first unit, and the first after a loss, has keep 0. MS_UF_SAME: exactly the previous stack (keep
 * and n_push are then 0 and mean nothing). Consumers look up "ip - 1". */
enum ms_unit_flag {
	MS_UF_SHORT = 1u << 0,    /* no word 2: no size, and SAME or NO_STACK */
	MS_UF_SAME = 1u << 1,     /* stack equals the slot's previous one */
	MS_UF_NO_STACK = 1u << 2, /* no stack was recorded; the slot's previous one stays as it is */
	MS_UF_CUT = 1u << 3,      /* keep == 0 only: the outermost pushed frame is not the thread's first */
	MS_UF_FAILED = 1u << 4,   /* the call failed */
	MS_UF_BIG_SIZE = 1u << 5,
	MS_UF_OLD = 1u << 6,
	MS_UF_ALIGN = 1u << 7,
};

/* What calls of the mapping layer have besides. The unit's address is the result of mmap and mremap, the new break of
 * brk and sbrk; its size the length given, or by how much the break moved. */
enum ms_map_word {
	MS_MAP_ADDR = 0,  /* given; mremap: the old one; brk, sbrk: the break before */
	MS_MAP_FLAGS = 1, /* prot (low half), flags or advice (high half) */
	MS_MAP_MORE = 2,  /* mmap: offset; mremap: old length; brk, sbrk: the new break, also if it failed */
	MS_MAP_FILE = 3,  /* mmap: fd (low half), bytes of the path that follows, padded to words (high half) */
	MS_MAP_WORDS = 4,
};

/* A realloc of a block is two units of the same slot: kind REALLOC_BEGIN (address = the old block, SHORT,
 * NO_STACK) stamped and published before the real call, then its outcome, kind REALLOC (REALLOCARRAY, or
 * REALLOC_FREE for a call that released and returned NULL) with MS_UF_OLD, stamped after it. Events of a
 * signal handler may stand between the two. FAILED outcome: the old block lives on. */

/* A pool's realloc in the same way: BEGIN is this kind, its outcome the trace's pool_realloc or pool_realloc_free. */
#define MS_POOL_REALLOC_BEGIN 52u

enum ms_unit_kind {
	MS_U_MODULE = 65,   /* struct ms_unit_module: first sight of a module by this process */
	MS_U_UNMODULE = 66, /* word 1 = map_start of a module that dlclose removed */
	MS_U_NAME = 67,     /* words 1-2 = thread name, 16 bytes, NUL padded */
	MS_U_LOSS = 68,     /* words 1-4 = events, bytes, first stamp, last stamp lost before this unit */
	MS_U_UNFOLLOWED = 80, /* word 1 = enum ms_obstacle: this thread goes on to fork or exec; what comes of it will not come */
	MS_U_FORK = 69,     /* word 1 = fork id: the next call of this thread is fork; a child's hello names the id */
	MS_U_MAP_BEGIN = 70, /* word 1 = MS_MAP_ADDR of a call of the mapping layer that begins: it may unmap */
	MS_U_MARK = 74,     /* word 1 = length of the name, 0..MS_MARK_MAX; then its bytes, padded to 8 */
	MS_U_PAUSE = 75,    /* from here on this process is not recorded: see control.paused */
	MS_U_RESUME = 76,
};

#define MS_MARK_MAX 255u

/* A module is announced by some thread, and that published, before any thread uses an address in it. */
struct ms_unit_module {
	uint64_t head;                /* kind and stamp */
	uint64_t map_start, map_end;  /* addresses covered */
	uint64_t bias;                /* address - bias = address in the ELF file */
	uint16_t words;               /* of the whole unit, this header included */
	uint16_t path_len;            /* bytes after this struct; 0 = the executable itself */
	uint8_t build_id_len, pad[3];
	uint8_t build_id[32];
	/* path bytes, padded to 8 */
};

#define MS_UNIT_HEAD(kind, stamp) ((uint64_t)(kind) | (uint64_t)(stamp) << 8)
#define MS_UNIT_KIND(w0) ((unsigned)((w0) & 0xff))
#define MS_UNIT_STAMP(w0) ((uint64_t)(w0) >> 8)
#define MS_ADDR_BITS 48
#define MS_ADDR_MASK ((1ull << MS_ADDR_BITS) - 1)

/* ---- chunks ---------------------------------------------------------------------------------------------- */

#define MS_NO_CHUNK 0xffffffffu

struct ms_chunk_header { /* written by the owning thread, before the store of slot.committed that needs it */
	_Atomic uint32_t owner; /* slot index + 1; 0 = nobody, set by msrecord: who changes that has claimed the chunk */
	_Atomic uint32_t seq;   /* 0, 1, 2 ... along the chunks of one tenancy of a slot */
	_Atomic uint32_t used;  /* bytes of units, final; valid once next is set */
	_Atomic uint32_t next;  /* chunk that follows, MS_NO_CHUNK while this is the last */
};

/* ---- slots ----------------------------------------------------------------------------------------------- */

/* A thread claims a slot by a CAS of tid from 0 to its own, fills the slot and makes it LIVE. msrecord makes it FREE
 * and then sets tid to 0 when the thread is gone. tid != 0 and FREE: being claimed, or the claimer died at it. */
enum ms_slot_state { MS_SLOT_FREE = 0, MS_SLOT_LIVE = 1 };

struct ms_slot {
	/* line 0: the hot one, written by the thread at every event */
	_Atomic uint64_t committed; /* chunk (bits 32-63), bytes published in it (bits 0-31) */
	_Atomic uint64_t intent;    /* 1 from before a stamp is taken until its unit is committed, else 0 */
	_Atomic uint32_t claiming;  /* chunk about to be claimed: the slot's, though not linked yet, if it says so */
	_Atomic uint32_t aside;     /* events of signal handlers that are not told yet, nor in lost_events: lost if that stays so */
	uint8_t pad0[40];
	/* line 1: written by the thread now and then */
	_Atomic uint32_t state;     /* enum ms_slot_state */
	_Atomic uint32_t tid;       /* 0 = nobody's */
	_Atomic uint32_t first_chunk;
	_Atomic uint32_t tenancy;   /* counts the threads that have had this slot */
	_Atomic uint64_t lost_events, lost_bytes; /* dropped and not yet told by an MS_U_LOSS unit, or never to be */
	_Atomic uint64_t stall_ns;  /* waited for room */
	_Atomic uint64_t start_stamp;
	_Atomic uint64_t hook_ticks, hooks_timed; /* clock ticks that so many calls took to be recorded */
};
_Static_assert(sizeof(struct ms_slot) == 128, "two cache lines");
_Static_assert(offsetof(struct ms_slot, state) == 64, "the hot line holds nothing that others read or write at times");

/* ---- control page ---------------------------------------------------------------------------------------- */

enum ms_clock { MS_CLOCK_TSC = 1, MS_CLOCK_MONOTONIC = 2 };
enum ms_on_full { MS_FULL_BLOCK = 1, MS_FULL_DROP = 2 };
enum ms_attached { MS_ATTACHED = 1, MS_ATTACH_NO_TSC = 2 }; /* NO_TSC: PR_SET_TSC forbids it the clock; untraced */

struct ms_control {
	uint64_t magic;
	uint32_t abi, size;           /* MS_WIRE_ABI, sizeof(struct ms_control) */
	uint64_t clock_base;          /* subtracted from every raw stamp */
	uint32_t clock;               /* enum ms_clock */
	uint32_t on_full;             /* enum ms_on_full */
	uint32_t stack_depth;         /* greatest number of frames; 0 = no stacks */
	uint32_t free_stacks;         /* 1 = releases carry stacks */
	uint32_t backlog;             /* chunks beyond one per live slot that may be in use */
	uint32_t n_chunks, n_slots;   /* <= MS_MAX_CHUNKS, MS_MAX_SLOTS */
	uint32_t pad0[3];
	/* written by msrecord while it runs; a cache line of its own */
	_Atomic uint32_t recorder_lock;   /* a robust futex word held by msrecord: the kernel sets FUTEX_OWNER_DIED */
	_Atomic uint32_t free_gen;        /* futex: raised whenever chunks or slots are freed */
	_Atomic uint32_t recorder_asleep; /* futex: 1 while msrecord sleeps in its poll; writers wake it at half backlog */
	_Atomic uint32_t detached;        /* msrecord has ended this recording: go silent */
	_Atomic uint32_t paused;          /* written by the program, too: see below */
	uint8_t pad1[44];
	/* written by the program; a cache line of its own */
	_Atomic uint32_t slots_high;      /* slots 0..slots_high-1 have been used */
	_Atomic uint32_t live_slots;      /* raised by a claim, lowered by msrecord's release */
	_Atomic uint32_t chunks_in_use;   /* raised by a claim, lowered by msrecord's release */
	_Atomic uint32_t waiting;         /* threads that wait for a chunk or slot now */
	_Atomic uint64_t unslotted_events, unslotted_bytes; /* lost because no slot could be had */
	_Atomic uint32_t attached;        /* enum ms_attached; 0 after the welcome: mapping failed (RLIMIT_AS?), untraced */
	uint8_t pad2[4096 - 164];
};
_Static_assert(offsetof(struct ms_control, recorder_lock) == 64, "own line");
_Static_assert(offsetof(struct ms_control, slots_high) == 128, "own line");
_Static_assert(sizeof(struct ms_control) == MS_PAGE, "one page");

/* Pauses. What is recorded is decided by msrecord, by stamps: at a pause it drops the acquisitions behind it, and keeps
 * the releases of blocks that the trace knows. control.paused only spares the program the work: who finds it set
 * lets acquisitions through unseen, and releases too if this image has never recorded anything; who does not
 * find out does no harm. msrecord sets it after it has taken the stamp of a pause, and clears it before it takes that
 * of a resume; a thread that says MS_U_PAUSE or MS_U_RESUME sets or clears it after that unit is published. */

#define MS_BITMAP_WORDS (MS_MAX_CHUNKS / 64)

/* Offsets within the segment; every part starts on a page. */
#define MS_OFF_SLOTS ((uint64_t)MS_PAGE)
#define MS_OFF_BITMAP (MS_OFF_SLOTS + (uint64_t)MS_MAX_SLOTS * sizeof(struct ms_slot))
#define MS_OFF_HEADERS (MS_OFF_BITMAP + MS_PAGE)
#define MS_OFF_CHUNKS (MS_OFF_HEADERS + (uint64_t)MS_MAX_CHUNKS * sizeof(struct ms_chunk_header))
#define MS_SEGMENT_SIZE (MS_OFF_CHUNKS + (uint64_t)MS_MAX_CHUNKS * MS_CHUNK_SIZE)
_Static_assert(MS_BITMAP_WORDS * 8 <= MS_PAGE, "bitmap fits its page");
_Static_assert(MS_OFF_CHUNKS % MS_PAGE == 0, "chunks start on a page");
_Static_assert(MS_OFF_SLOTS % sizeof(struct ms_slot) == 0, "no two slots share a cache line");

/* ---- the wrapper library ---------------------------------------------------------------------------------- */

/* msrecord --wrap: a shared object that msrecord writes (record/wrapper.c) and that is preloaded in front of
 * libmscapture.so. It exports the functions to be wrapped; each puts the address of its own struct ms_wrapped, in the
 * wrapper, into r11 and jumps to MS_WRAP_ENTRY of libmscapture.so, everything else being as its caller left it. */
#define MS_WRAP_FILE "libmswrap.so"
#define MS_WRAP_ENTRY "ms_wrapped_call"
#define MS_WRAPS_MAX 64u /* functions */

enum ms_wrap_role { MS_WRAP_ALLOC = 1, MS_WRAP_FREE = 2, MS_WRAP_REALLOC = 3 };

struct ms_wrapped {
	uint32_t number;      /* of the function, 0..MS_WRAPS_MAX-1 */
	uint32_t pool;        /* its pool, from 0 */
	uint8_t role;         /* enum ms_wrap_role */
	uint8_t block;        /* which argument is the block given, 1..6; 0 = none */
	uint8_t size, count;  /* which arguments multiply to the size; 0 = none */
	uint32_t name_off;    /* from this struct to the function's name, NUL-terminated */
};

/* ---- handshake ------------------------------------------------------------------------------------------- */

/* The environment names a SOCK_SEQPACKET socket in a directory only its owner may enter. A process image
 * connects at its first heap call, sends a hello, and gets a welcome with the segment's descriptor
 * (SCM_RIGHTS) or a refusal. It maps the segment and closes both descriptors. If no answer comes in 5 s, since the recorder
 * is stopped, it goes on unrecorded, and leaves a notice that says so to be found. */
#define MS_ENV_SOCKET "MSTRACE_SOCKET"

enum ms_image { MS_IMAGE_NEW = 1, MS_IMAGE_FORKED = 2, MS_IMAGE_UNFOLLOWED = 3 };

struct ms_hello {
	uint64_t magic;
	uint32_t abi;
	uint32_t image;       /* enum ms_image */
	uint32_t pid, ppid;   /* as the process sees them; msrecord trusts SO_PEERCRED for its own */
	uint64_t stamp;       /* raw clock: just before the connect */
	uint64_t fork_id;     /* MS_IMAGE_FORKED: word 1 of the MS_U_FORK unit that stands for this fork in the
	                       * parent's stream; 0 = a fork that atfork handlers did not see */
};

/* A process that is about to become a program the library can not get into, or has started one, says so at the same
 * door: nothing else in the trace would. It gets MS_NOT_FOLLOWED for an answer. */
enum ms_obstacle {                /* numbered as enum mst_obstacle */
	MS_OBSTACLE_NONE = 0,     /* of a notice: the exec told of before has failed */
	MS_OBSTACLE_STATIC = 1,
	MS_OBSTACLE_LIBC = 2,     /* another one than glibc */
	MS_OBSTACLE_ABI = 3,      /* another machine or word size */
	MS_OBSTACLE_PRIVILEGE = 4, /* set-uid, set-gid, capabilities: the loader ignores LD_PRELOAD */
	MS_OBSTACLE_SANITIZER = 5,
	MS_OBSTACLE_ENVIRONMENT = 6, /* MSTRACE_SOCKET has been taken out of it */
	MS_OBSTACLE_ALLOCATOR = 7,   /* the executable exports a malloc of its own */
	/* never in a notice: it came, and then could not be recorded */
	MS_OBSTACLE_MEMORY = 8, /* the segment could not be mapped */
	MS_OBSTACLE_CLOCK = 9,  /* PR_SET_TSC */
	/* never in a notice either: who knows of it cannot send one, see MS_U_UNFOLLOWED */
	MS_OBSTACLE_SANDBOX = 10, /* forked under a seccomp filter */
	MS_OBSTACLE_REACH = 11,   /* begun where the recorder's socket can not be reached: as another user, below another root */
	/* in a notice that follows a hello on the same connection, when no answer has come */
	MS_OBSTACLE_SILENCE = 12,
};
#define MS_NOTICE_TEXT 2000u
struct ms_notice {
	struct ms_hello hello;  /* MS_IMAGE_UNFOLLOWED; pid, ppid: of the process concerned */
	uint32_t obstacle;      /* enum ms_obstacle */
	uint32_t own_pid;       /* the sender's, as it sees itself */
	uint16_t path_len, cmdline_len, pad[2];
	char text[MS_NOTICE_TEXT]; /* path, then the arguments, joined by NUL, as far as they fit */
};
enum ms_welcome_status { MS_WELCOME = 1, MS_REFUSED_ABI = 2, MS_NOT_FOLLOWED = 3, MS_REFUSED_FULL = 4 };
struct ms_welcome {
	uint64_t magic;
	uint32_t abi;
	uint32_t status;      /* enum ms_welcome_status; a descriptor comes with MS_WELCOME only */
};

#endif
