#include "addrmap.h"

#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "mstrace.h"
#include "pagepool.h"

#define LINE 4u       /* slots of a cache line */
#define LINES 63u     /* with the segment's head: 4096 bytes */
#define REACH_MAX 6u  /* a block that would stand more lines behind its own makes the segment split */
#define DEPTH_MAX 28u /* more bits of the hash than this are never used for the directory */

#define ADDR_BITS 48
#define ADDR_MASK (((uint64_t)1 << ADDR_BITS) - 1)
#define SIZE_LO_BITS 23
#define SIZE_LO_MASK (((uint64_t)1 << SIZE_LO_BITS) - 1)
#define SIZE_BIG (((uint64_t)1 << 39) - 1) /* in a slot: the size stands in the side list */
#define STRAY_BIT ((uint64_t)1 << SIZE_LO_BITS)
#define STRAYS_MAX 15u /* what four bits count; then they stay so */

struct slot {
	uint64_t addr_size;    /* address in the low 48 bits, size bits 23..38 above; 0 = empty */
	uint64_t ordinal_size; /* ordinal in the high 40 bits, a bit of the line's strays, size bits 0..22 */
};

struct segment {
	uint32_t refs;  /* maps that use it */
	uint32_t depth; /* bits of the hash that all its addresses share, <= the directory's */
	uint32_t reach; /* no block stands more lines behind its own */
	uint32_t unused[13];
	struct slot slots[LINES * LINE];
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
	return m->depth == 0 ? 0 : (size_t)(hash >> (64 - m->depth));
}

/* Fills a slot, or empties it (all zero); the line's strays stay as they are. */
static void slot_set(struct slot *s, uint64_t addr, uint64_t ordinal, uint64_t size)
{
	if (size > SIZE_BIG)
		size = SIZE_BIG;
	s->addr_size = addr | (size >> SIZE_LO_BITS) << ADDR_BITS;
	s->ordinal_size = ordinal << (SIZE_LO_BITS + 1) | (s->ordinal_size & STRAY_BIT) | (size & SIZE_LO_MASK);
}

static uint64_t slot_addr(const struct slot *s)
{
	return s->addr_size & ADDR_MASK;
}

static struct mst_live slot_block(const struct slot *s)
{
	return (struct mst_live){
		.ordinal = s->ordinal_size >> (SIZE_LO_BITS + 1),
		.size = (s->addr_size >> ADDR_BITS) << SIZE_LO_BITS | (s->ordinal_size & SIZE_LO_MASK),
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

/* Which slots of a line hold addr (0: which are empty), as a mask. No branches, they would not be foreseen, and no
 * loop, which gcc -O2 would keep. */
static inline unsigned line_match(const struct slot *line, uint64_t addr)
{
	return (unsigned)(slot_addr(&line[0]) == addr) | (unsigned)(slot_addr(&line[1]) == addr) << 1 |
		(unsigned)(slot_addr(&line[2]) == addr) << 2 | (unsigned)(slot_addr(&line[3]) == addr) << 3;
}

static inline unsigned stray_bit(const struct slot *s)
{
	return (unsigned)(s->ordinal_size >> SIZE_LO_BITS & 1);
}

/* Strays: blocks that belong to this line and stand in a later one. */
static inline unsigned line_strays(const struct slot *line)
{
	return stray_bit(&line[0]) | stray_bit(&line[1]) << 1 | stray_bit(&line[2]) << 2 | stray_bit(&line[3]) << 3;
}
_Static_assert(LINE == 4, "lines are written out");

static void line_set_strays(struct slot *line, unsigned n)
{
	for (unsigned i = 0; i < LINE; i++)
		line[i].ordinal_size = (line[i].ordinal_size & ~STRAY_BIT) | (n >> i & 1 ? STRAY_BIT : 0);
}

static struct slot *line_behind(struct segment *s, unsigned home, unsigned distance)
{
	unsigned line = home + distance;

	return &s->slots[LINE * (line < LINES ? line : line - LINES)];
}

/* The slot that holds addr, NULL if none does. */
static struct slot *segment_find(struct segment *s, uint64_t addr)
{
	unsigned home = home_of(addr);
	struct slot *line = &s->slots[LINE * home];
	unsigned mask = line_match(line, addr);

	if (mask == 0 && line_strays(line) != 0)
		for (unsigned d = 1; d <= s->reach && mask == 0; d++) {
			line = line_behind(s, home, d);
			mask = line_match(line, addr);
		}
	return mask ? &line[__builtin_ctz(mask)] : NULL;
}

/* An empty slot for addr at most `reach` lines behind its own, where it is noted as a stray; NULL if there is none. */
static struct slot *segment_room(struct segment *s, uint64_t addr, unsigned reach)
{
	unsigned home = home_of(addr);

	for (unsigned d = 0; d <= reach; d++) {
		struct slot *line = line_behind(s, home, d), *own = &s->slots[LINE * home];
		unsigned mask = line_match(line, 0), strays = line_strays(own);

		if (mask == 0)
			continue;
		if (d != 0) {
			if (strays < STRAYS_MAX)
				line_set_strays(own, strays + 1);
			if (d > s->reach) /* the head is a cache line that nothing else here needs */
				s->reach = d;
		}
		return &line[__builtin_ctz(mask)];
	}
	return NULL;
}

static void segment_erase(struct segment *s, struct slot *gone, uint64_t addr)
{
	struct slot *own = &s->slots[LINE * home_of(addr)];
	unsigned strays = line_strays(own);

	slot_set(gone, 0, 0, 0);
	if ((gone < own || gone >= own + LINE) && strays < STRAYS_MAX)
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
	for (unsigned i = 0; i < LINES * LINE; i++) {
		uint64_t addr = slot_addr(&full.slots[i]);
		struct segment *half = hash_of(addr) >> (64 - depth) & 1 ? one : s;
		struct mst_live b = slot_block(&full.slots[i]);

		if (addr != 0)
			slot_set(segment_room(half, addr, LINES - 1), addr, b.ordinal, b.size);
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

void mst_addrmap_prefetch(const struct mst_addrmap *m, uint64_t addr)
{
	const struct segment *s = m->directory[directory_index(m, hash_of(addr))];

	__builtin_prefetch(&s->slots[LINE * home_of(addr)], 1);
}

static int insert_high(struct mst_addrmap *m, uint64_t addr, struct mst_live block, struct mst_live *old)
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
static struct mst_live take_block(struct mst_addrmap *m, const struct slot *s)
{
	struct mst_live b = slot_block(s);

	if (b.size == SIZE_BIG) {
		struct odd *o = odd_find(m, slot_addr(s));
		b = o->block;
		odd_remove(m, o);
	}
	return b;
}

int mst_addrmap_insert(struct mst_addrmap *m, uint64_t addr, uint64_t ordinal, uint64_t size, struct mst_live *old)
{
	uint64_t hash = hash_of(addr);
	struct segment *s;
	struct slot *slot;
	int had_one = 0;

	if (addr > ADDR_MASK)
		return insert_high(m, addr, (struct mst_live){ordinal, size}, old);
	if (size >= SIZE_BIG && !odd_reserve(m))
		return MST_ENOMEM;
	for (;;) {
		s = own_segment(m, hash);
		if (!s)
			return MST_ENOMEM;
		slot = segment_find(s, addr);
		if (slot) {
			*old = take_block(m, slot);
			had_one = 1;
			break;
		}
		slot = segment_room(s, addr, REACH_MAX);
		if (slot) {
			m->count++;
			break;
		}
		if (!segment_split(m, s, hash))
			return MST_ENOMEM;
	}
	slot_set(slot, addr, ordinal, size);
	if (size >= SIZE_BIG)
		m->odd[m->n_odd++] = (struct odd){addr, {ordinal, size}};
	return had_one;
}

static int remove_high(struct mst_addrmap *m, uint64_t addr, struct mst_live *block)
{
	struct odd *o = odd_find(m, addr);

	if (!o)
		return 0;
	*block = o->block;
	odd_remove(m, o);
	m->count--;
	return 1;
}

int mst_addrmap_remove(struct mst_addrmap *m, uint64_t addr, struct mst_live *block)
{
	uint64_t hash = hash_of(addr);
	struct segment *s = m->directory[directory_index(m, hash)];
	struct slot *slot;

	if (addr > ADDR_MASK)
		return remove_high(m, addr, block);
	slot = segment_find(s, addr);
	if (!slot)
		return 0;
	if (m->has_shared && s->refs != 1) {
		s = own_segment(m, hash);
		if (!s)
			return MST_ENOMEM;
		slot = segment_find(s, addr);
	}
	*block = take_block(m, slot);
	segment_erase(s, slot, addr);
	m->count--;
	return 1;
}

bool mst_addrmap_has(const struct mst_addrmap *m, uint64_t addr)
{
	uint64_t hash = hash_of(addr);

	if (addr > ADDR_MASK)
		return odd_find(m, addr) != NULL;
	return segment_find(m->directory[directory_index(m, hash)], addr) != NULL;
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
