#include "addrmap.h"

#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "format.h"
#include "mstrace.h"
#include "pagepool.h"

#define LINE 4u       /* slots of a cache line */
#define LINES 63u     /* with the segment's head: 4096 bytes */
#define REACH_MAX 6u  /* a block that would stand more lines behind its own makes the segment split */
#define DEPTH_MAX 28u /* more bits of the hash than this are never used for the directory */

#define ADDR_MASK (((uint64_t)1 << 48) - 1)
#define SIZE_LO_BITS 24
#define SIZE_LO_MASK (((uint64_t)1 << SIZE_LO_BITS) - 1)
#define SIZE_BIG (((uint64_t)1 << 39) - 1) /* in a slot: the size stands in the side list */
#define STRAY_BIT 0x8000u		   /* of size_hi */
#define STRAYS_MAX 15u			   /* what four bits count; then they stay so */

/* Four slots, side by side, so that one instruction compares four addresses by their low halves. */
struct line {
	uint32_t addr_lo[LINE]; /* 0 = empty */
	uint16_t addr_hi[LINE];
	uint16_t size_hi[LINE]; /* bits 24..38 of the size, above them a bit of the line's strays */
	uint64_t ordinal_size[LINE]; /* ordinal in the high 40 bits, size bits 0..23 */
};
_Static_assert(sizeof(struct line) == 64, "a line is a cache line");

/* A slot: a line and a place in it; line NULL = none. */
struct place {
	struct line *line;
	unsigned i;
};

struct segment {
	uint32_t refs;  /* maps that use it */
	uint32_t depth; /* bits of the hash that all its addresses share, <= the directory's */
	uint32_t reach; /* no block stands more lines behind its own */
	uint32_t unused[13];
	struct line lines[LINES];
};
_Static_assert(sizeof(struct segment) == 4096, "a segment is a page");

/* The few entries that do not fit a slot. */
struct odd {
	uint64_t addr;
	struct mst_live block;
};

struct mst_addrmap {
	struct segment **directory; /* 2^depth pointers; a segment of depth d fills 2^(depth-d) neighbours */
	struct mst_pagepool *pool;  /* where segments come from; shared with clones */
	unsigned depth;
	uint64_t count;
	size_t n_segments;
	bool has_shared; /* some segments may have refs > 1; else no one looks at their heads */
	struct odd *odd; /* grows by doubling */
	size_t n_odd, cap_odd;
};

#define MIX UINT64_C(0x9e3779b97f4a7c15)

/* Which segment: the same for all of a KiB, for a program's next block is mostly near its last, and a segment that was
 * just used is still in the cache. Addresses that are no multiples of 8 go elsewhere, so that at most 128 blocks
 * ever share all bits, half of what a segment holds. A product's bits are the better mixed the higher they are: the
 * directory takes its bits from the top. */
static uint64_t hash_of(uint64_t addr)
{
	return (addr >> 10 | addr << 61) * MIX;
}

/* Number of the line an address belongs to, within its segment. */
static unsigned home_of(uint64_t addr)
{
	return (unsigned)((((addr >> 3) * MIX >> 32) * LINES) >> 32);
}

static size_t directory_index(const struct mst_addrmap *m, uint64_t hash)
{
	return (size_t)(hash >> 1 >> (63 - m->depth)); /* in two steps, for no shift may be by 64 */
}

/* Does it fit a slot? What does not stands in the side list alone. */
static inline bool is_odd(uint64_t addr)
{
	return addr > ADDR_MASK || (uint32_t)addr == 0;
}

/* Fills a slot, or empties it (all zero); the line's strays stay as they are. */
static inline void slot_set(struct line *l, unsigned i, uint64_t addr, uint64_t ordinal, uint64_t size)
{
	if (size > SIZE_BIG)
		size = SIZE_BIG;
	l->addr_lo[i] = (uint32_t)addr;
	l->addr_hi[i] = (uint16_t)(addr >> 32);
	l->size_hi[i] = (uint16_t)((l->size_hi[i] & STRAY_BIT) | size >> SIZE_LO_BITS);
	l->ordinal_size[i] = ordinal << SIZE_LO_BITS | (size & SIZE_LO_MASK);
}

static inline uint64_t slot_addr(const struct line *l, unsigned i)
{
	return (uint64_t)l->addr_hi[i] << 32 | l->addr_lo[i];
}

static inline struct mst_live slot_block(const struct line *l, unsigned i)
{
	return (struct mst_live){
		.ordinal = l->ordinal_size[i] >> SIZE_LO_BITS,
		.size = (uint64_t)(l->size_hi[i] & ~STRAY_BIT) << SIZE_LO_BITS | (l->ordinal_size[i] & SIZE_LO_MASK),
	};
}

/* ---- the side list ---------------------------------------------------------------------------------------- */

static struct odd *odd_find(const struct mst_addrmap *m, uint64_t addr)
{
	for (size_t i = 0; i < m->n_odd; i++)
		if (m->odd[i].addr == addr)
			return &m->odd[i];
	return NULL;
}

static bool odd_reserve(struct mst_addrmap *m)
{
	size_t cap = m->cap_odd ? 2 * m->cap_odd : 8;
	struct odd *grown;

	if (m->n_odd < m->cap_odd)
		return true;
	grown = realloc(m->odd, cap * sizeof(*grown));
	if (!grown)
		return false;
	m->odd = grown;
	m->cap_odd = cap;
	return true;
}

static void odd_remove(struct mst_addrmap *m, struct odd *o)
{
	*o = m->odd[--m->n_odd];
}

/* ---- segments --------------------------------------------------------------------------------------------- */

static struct segment *segment_new(struct mst_addrmap *m, unsigned depth)
{
	struct segment *s = mst_pagepool_take(m->pool);

	if (s) {
		memset(s, 0, sizeof(*s));
		s->refs = 1;
		s->depth = depth;
	}
	return s;
}

static void segment_unref(struct mst_addrmap *m, struct segment *s)
{
	if (--s->refs == 0)
		mst_pagepool_give(m->pool, s);
}

/* Which slots of a line have that low half of an address (0: which are empty), as a mask. No branches, they would not be
 * foreseen. */
static inline unsigned line_like(const struct line *l, uint32_t addr_lo)
{
#ifdef __SSE2__
	__m128i like = _mm_cmpeq_epi32(_mm_load_si128((const __m128i *)(const void *)l->addr_lo), _mm_set1_epi32((int)addr_lo));

	return (unsigned)_mm_movemask_ps(_mm_castsi128_ps(like));
#else
	return (unsigned)(l->addr_lo[0] == addr_lo) | (unsigned)(l->addr_lo[1] == addr_lo) << 1 |
		(unsigned)(l->addr_lo[2] == addr_lo) << 2 | (unsigned)(l->addr_lo[3] == addr_lo) << 3;
#endif
}
_Static_assert(LINE == 4, "lines are written out");

/* The slot of a line that holds addr, which is not odd; LINE if none does. */
static inline unsigned line_find(const struct line *l, uint64_t addr)
{
	unsigned mask = line_like(l, (uint32_t)addr);

	while (mask != 0 && l->addr_hi[__builtin_ctz(mask)] != addr >> 32)
		mask &= mask - 1;
	return mask ? (unsigned)__builtin_ctz(mask) : LINE;
}

/* Strays: blocks that belong to this line and stand in a later one. Are there any? */
static inline bool line_has_strays(const struct line *l)
{
	uint64_t all;

	memcpy(&all, l->size_hi, sizeof(all));
	return (all & STRAY_BIT * UINT64_C(0x0001000100010001)) != 0;
}

static unsigned line_strays(const struct line *l)
{
	unsigned n = 0;

	for (unsigned i = 0; i < LINE; i++)
		n |= (unsigned)(l->size_hi[i] / STRAY_BIT) << i;
	return n;
}

static void line_set_strays(struct line *l, unsigned n)
{
	for (unsigned i = 0; i < LINE; i++)
		l->size_hi[i] = (uint16_t)((l->size_hi[i] & ~STRAY_BIT) | (n >> i & 1 ? STRAY_BIT : 0));
}

static inline struct line *line_behind(struct segment *s, unsigned home, unsigned distance)
{
	unsigned line = home + distance;

	return &s->lines[line < LINES ? line : line - LINES];
}

/* The slot behind its own line that holds addr. */
static struct place find_stray(struct segment *s, uint64_t addr)
{
	unsigned home = home_of(addr);

	for (unsigned d = 1; d <= s->reach; d++) {
		struct line *l = line_behind(s, home, d);
		unsigned i = line_find(l, addr);

		if (i != LINE)
			return (struct place){l, i};
	}
	return (struct place){NULL, 0};
}

/* The slot that holds addr. */
static struct place segment_find(struct segment *s, uint64_t addr)
{
	struct line *l = &s->lines[home_of(addr)];
	unsigned i = line_find(l, addr);

	if (i != LINE)
		return (struct place){l, i};
	return line_has_strays(l) ? find_stray(s, addr) : (struct place){NULL, 0};
}

/* An empty slot for addr at most `reach` lines behind its own, where it is noted as a stray. */
static struct place segment_room(struct segment *s, uint64_t addr, unsigned reach)
{
	unsigned home = home_of(addr);

	for (unsigned d = 0; d <= reach; d++) {
		struct line *l = line_behind(s, home, d), *own = &s->lines[home];
		unsigned empty = line_like(l, 0), strays;

		if (empty == 0)
			continue;
		if (d != 0) {
			strays = line_strays(own);
			if (strays < STRAYS_MAX)
				line_set_strays(own, strays + 1);
			if (d > s->reach) /* the head is a cache line that nothing else here needs */
				s->reach = d;
		}
		return (struct place){l, (unsigned)__builtin_ctz(empty)};
	}
	return (struct place){NULL, 0};
}

static void segment_erase(struct segment *s, struct place gone, uint64_t addr)
{
	struct line *own = &s->lines[home_of(addr)];
	unsigned strays;

	slot_set(gone.line, gone.i, 0, 0, 0);
	if (gone.line == own)
		return;
	strays = line_strays(own);
	if (strays < STRAYS_MAX)
		line_set_strays(own, strays - 1);
}

/* Points the directory entries of the segments that share hash's first s->depth bits at s. */
static void directory_set(struct mst_addrmap *m, uint64_t hash, struct segment *s)
{
	size_t n = (size_t)1 << (m->depth - s->depth);
	size_t first = directory_index(m, hash) & ~(n - 1);

	for (size_t i = first; i < first + n; i++)
		m->directory[i] = s;
}

/* The segment of hash, made this map's own; NULL if it was shared and memory is short. */
static struct segment *own_segment(struct mst_addrmap *m, uint64_t hash)
{
	struct segment *shared = m->directory[directory_index(m, hash)];
	struct segment *own;

	if (!m->has_shared || shared->refs == 1)
		return shared;
	own = segment_new(m, 0);
	if (!own)
		return NULL;
	memcpy(own, shared, sizeof(*own));
	own->refs = 1;
	segment_unref(m, shared);
	directory_set(m, hash, own);
	return own;
}

static bool directory_double(struct mst_addrmap *m)
{
	size_t n = (size_t)1 << m->depth;
	struct segment **grown;

	if (m->depth == DEPTH_MAX)
		return false;
	grown = malloc(2 * n * sizeof(struct segment *));
	if (!grown)
		return false;
	for (size_t i = 0; i < n; i++)
		grown[2 * i] = grown[2 * i + 1] = m->directory[i];
	free(m->directory);
	m->directory = grown;
	m->depth++;
	return true;
}

/* Distributes the full segment `s`, which is this map's own, over two by its next bit: itself and a new one. */
static bool segment_split(struct mst_addrmap *m, struct segment *s, uint64_t hash)
{
	unsigned depth = s->depth + 1;
	struct segment full, *one;

	if (depth > m->depth && !directory_double(m))
		return false;
	one = segment_new(m, depth);
	if (!one)
		return false;
	full = *s;
	memset(s, 0, sizeof(*s));
	s->refs = 1;
	s->depth = depth;
	for (unsigned n = 0; n < LINES * LINE; n++) {
		const struct line *l = &full.lines[n / LINE];
		uint64_t addr = slot_addr(l, n % LINE);
		struct segment *half = hash_of(addr) >> (64 - depth) & 1 ? one : s;
		struct mst_live b = slot_block(l, n % LINE);

		if (addr != 0) {
			struct place p = segment_room(half, addr, LINES - 1);

			slot_set(p.line, p.i, addr, b.ordinal, b.size);
		}
	}
	directory_set(m, hash | (uint64_t)1 << (64 - depth), one);
	m->n_segments++;
	return true;
}

/* ---- the map ---------------------------------------------------------------------------------------------- */

struct mst_addrmap *mst_addrmap_new(void)
{
	struct mst_addrmap *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->directory = malloc(sizeof(struct segment *));
	m->pool = mst_pagepool_new();
	if (!m->directory || !m->pool)
		goto fail;
	m->directory[0] = segment_new(m, 0);
	if (!m->directory[0])
		goto fail;
	m->n_segments = 1;
	return m;
fail:
	if (m->pool)
		mst_pagepool_unref(m->pool);
	free(m->directory);
	free(m);
	return NULL;
}

/* Calls visit once for every segment of m, however many directory entries lead to it. */
static void each_segment(struct mst_addrmap *m, void (*visit)(struct mst_addrmap *, struct segment *))
{
	size_t n = (size_t)1 << m->depth;

	for (size_t i = 0; i < n;) {
		struct segment *s = m->directory[i];

		i += (size_t)1 << (m->depth - s->depth);
		visit(m, s);
	}
}

static void segment_ref(struct mst_addrmap *m, struct segment *s)
{
	(void)m;
	s->refs++;
}

struct mst_addrmap *mst_addrmap_clone(struct mst_addrmap *m)
{
	size_t n = (size_t)1 << m->depth;
	struct mst_addrmap *c = malloc(sizeof(*c));

	if (!c)
		return NULL;
	m->has_shared = true;
	*c = *m;
	c->directory = malloc(n * sizeof(struct segment *));
	c->odd = m->n_odd ? malloc(m->n_odd * sizeof(*c->odd)) : NULL;
	c->cap_odd = m->n_odd;
	if (!c->directory || (m->n_odd && !c->odd)) {
		free(c->directory);
		free(c->odd);
		free(c);
		return NULL;
	}
	memcpy(c->directory, m->directory, n * sizeof(struct segment *));
	if (m->n_odd)
		memcpy(c->odd, m->odd, m->n_odd * sizeof(*c->odd));
	each_segment(c, segment_ref);
	mst_pagepool_ref(c->pool);
	return c;
}

void mst_addrmap_free(struct mst_addrmap *m)
{
	if (!m)
		return;
	each_segment(m, segment_unref);
	mst_pagepool_unref(m->pool);
	free(m->directory);
	free(m->odd);
	free(m);
}

void mst_addrmap_prefetch(const struct mst_addrmap *m, const uint64_t *addrs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct segment *s = m->directory[directory_index(m, hash_of(addrs[i]))];

		__builtin_prefetch(&s->lines[home_of(addrs[i])], 1);
	}
}

static int insert_odd(struct mst_addrmap *m, uint64_t addr, struct mst_live block, struct mst_live *old)
{
	struct odd *o = odd_find(m, addr);

	if (o) {
		*old = o->block;
		o->block = block;
		return 1;
	}
	if (!odd_reserve(m))
		return MST_ENOMEM;
	m->odd[m->n_odd++] = (struct odd){addr, block};
	m->count++;
	return 0;
}

/* What a slot holds, its true size looked up in the side list if need be, where its entry is then taken out. */
static struct mst_live take_block(struct mst_addrmap *m, struct place p)
{
	struct mst_live b = slot_block(p.line, p.i);

	if (b.size == SIZE_BIG) {
		struct odd *o = odd_find(m, slot_addr(p.line, p.i));
		b = o->block;
		odd_remove(m, o);
	}
	return b;
}

/* Any insertion. Apart, or its registers would have to be saved for the short way, too. */
static __attribute__((noinline)) int insert(struct mst_addrmap *m, uint64_t addr, uint64_t ordinal, uint64_t size, struct mst_live *old)
{
	uint64_t hash = hash_of(addr);
	struct segment *s;
	struct place p;
	int had_one = 0;

	if (is_odd(addr))
		return insert_odd(m, addr, (struct mst_live){ordinal, size}, old);
	if (size >= SIZE_BIG && !odd_reserve(m))
		return MST_ENOMEM;
	for (;;) {
		s = own_segment(m, hash);
		if (!s)
			return MST_ENOMEM;
		p = segment_find(s, addr);
		if (p.line) {
			*old = take_block(m, p);
			had_one = 1;
			break;
		}
		p = segment_room(s, addr, REACH_MAX);
		if (p.line) {
			m->count++;
			break;
		}
		if (!segment_split(m, s, hash))
			return MST_ENOMEM;
	}
	slot_set(p.line, p.i, addr, ordinal, size);
	if (size >= SIZE_BIG)
		m->odd[m->n_odd++] = (struct odd){addr, {ordinal, size}};
	return had_one;
}

/* Most blocks are ordinary ones that find room in a line of their own that has no strays. */
int mst_addrmap_insert(struct mst_addrmap *m, uint64_t addr, uint64_t ordinal, uint64_t size, struct mst_live *old)
{
	struct line *l = &m->directory[directory_index(m, hash_of(addr))]->lines[home_of(addr)];
	unsigned empty = line_like(l, 0);

	if (is_odd(addr) || size >= SIZE_BIG || m->has_shared || empty == 0 || line_find(l, addr) != LINE ||
		line_has_strays(l))
		return insert(m, addr, ordinal, size, old);
	slot_set(l, (unsigned)__builtin_ctz(empty), addr, ordinal, size);
	m->count++;
	return 0;
}

static int remove_odd(struct mst_addrmap *m, uint64_t addr, struct mst_live *block)
{
	struct odd *o = odd_find(m, addr);

	if (!o)
		return 0;
	*block = o->block;
	odd_remove(m, o);
	m->count--;
	return 1;
}

/* Any removal. */
static __attribute__((noinline)) int take_out(struct mst_addrmap *m, uint64_t addr, struct mst_live *block)
{
	uint64_t hash = hash_of(addr);
	struct segment *s = m->directory[directory_index(m, hash)];
	struct place p;

	if (is_odd(addr))
		return remove_odd(m, addr, block);
	p = segment_find(s, addr);
	if (!p.line)
		return 0;
	if (m->has_shared && s->refs != 1) {
		s = own_segment(m, hash);
		if (!s)
			return MST_ENOMEM;
		p = segment_find(s, addr);
	}
	*block = take_block(m, p);
	segment_erase(s, p, addr);
	m->count--;
	return 1;
}

/* Most blocks are ordinary ones in a line of their own. */
int mst_addrmap_remove(struct mst_addrmap *m, uint64_t addr, struct mst_live *block)
{
	struct line *l = &m->directory[directory_index(m, hash_of(addr))]->lines[home_of(addr)];
	unsigned i = line_find(l, addr);

	if (is_odd(addr) || m->has_shared || i == LINE)
		return take_out(m, addr, block);
	*block = slot_block(l, i);
	if (block->size == SIZE_BIG)
		return take_out(m, addr, block);
	slot_set(l, i, 0, 0, 0);
	m->count--;
	return 1;
}

bool mst_addrmap_has(const struct mst_addrmap *m, uint64_t addr)
{
	uint64_t hash = hash_of(addr);

	if (is_odd(addr))
		return odd_find(m, addr) != NULL;
	return segment_find(m->directory[directory_index(m, hash)], addr).line != NULL;
}

uint64_t mst_addrmap_count(const struct mst_addrmap *m)
{
	return m->count;
}

size_t mst_addrmap_memory(const struct mst_addrmap *m)
{
	return sizeof(*m) + ((size_t)1 << m->depth) * sizeof(struct segment *) +
		m->n_segments * sizeof(struct segment) + m->cap_odd * sizeof(struct odd);
}
