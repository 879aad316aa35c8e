#include "addrmap.h"

#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "few.h"
#include "mstrace.h"
#include "slabs.h"

#define TRACT_BITS 16u /* of address space */
#define CELL_BITS 10u
#define CELLS (1u << (TRACT_BITS - CELL_BITS))
#define TAG_BITS 7u
#define TABLE_BITS_MIN 5u
#define TABLE_BITS_ROOMY 17u /* so large a table may be half full: 2 MiB */

/* An entry. */
#define SIZE_BITS 24u
#define SIZE_MASK (((uint64_t)1 << SIZE_BITS) - 1)
#define SIZE_APART SIZE_MASK	    /* the size is the entry with the same tag and this bit: */
#define TAG_OF_SIZE (1u << TAG_BITS)

/* A cell: number of entries, address of the leaf, log2 of its size; 0 = no blocks. */
#define CELL_COUNT_SHIFT 48u
#define CELL_ONE ((uint64_t)1 << CELL_COUNT_SHIFT)
#define CELL_LEAF_MASK ((CELL_ONE - 1) & ~(uint64_t)15)
#define LEAF_ENTRY 9u /* bytes: tag and entry */
_Static_assert((1u << MST_SLABS_BITS_MAX) / LEAF_ENTRY >= 2u << TAG_BITS, "a leaf holds all tags");
_Static_assert(MST_SLABS_BITS_MIN == 5 && MST_SLABS_BITS_MAX < 16, "a leaf's address leaves room for its size");

struct tract {
	uint32_t refs; /* maps that use it */
	uint32_t n_cells; /* that are not 0 */
	uint64_t cells[CELLS];
};

/* Linear probing, at most a quarter full as long as it is small: neighbours' keys are spread evenly by the hash, so that nearly all
 * stand at their home, where alone the short ways look. They do not know a tract that has few blocks, for its key is not
 * the one they look for. */
struct slot {
	uint64_t key; /* tract_key() of its addresses, perhaps with HAS_FEW; 0 if empty */
	union {
		struct tract *tract; /* NULL = empty */
		struct mst_few *few; /* with HAS_FEW */
	};
};
#define HAS_FEW ((uint64_t)1 << 60) /* no key has it */
#define PLACE_OF_SIZE (1u << MST_FEW_PLACE_BITS) /* as TAG_OF_SIZE */
_Static_assert(MST_FEW_PLACE_BITS == TRACT_BITS - CELL_BITS + TAG_BITS, "a place is a cell and a tag");

struct mst_addrmap {
	struct slot *slots;      /* 2^(64 - table_shift) */
	struct mst_slabs *slabs; /* where leaves come from; shared with clones */
	unsigned table_shift; /* of a hash, to become the number of a slot */
	bool has_shared; /* some tracts may have refs > 1; else no one looks at their heads */
	size_t n_tracts; /* slots in use, */
	size_t n_full;   /* and those of them that have cells */
	uint64_t count;
	size_t leaf_bytes;
};

#define MIX UINT64_C(0x9e3779b97f4a7c15)

static inline uint64_t tract_key(uint64_t addr)
{
	return addr >> TRACT_BITS | addr << 61;
}

static inline unsigned cell_number(uint64_t addr)
{
	return (unsigned)(addr >> CELL_BITS) % CELLS;
}

static inline uint8_t tag_of(uint64_t addr)
{
	return (uint8_t)(addr >> (CELL_BITS - TAG_BITS) & (TAG_OF_SIZE - 1));
}

/* ---- leaves ----------------------------------------------------------------------------------------------- */

static inline unsigned cell_count(uint64_t cell)
{
	return (unsigned)(cell >> CELL_COUNT_SHIFT);
}

static inline unsigned leaf_bits(uint64_t cell)
{
	return (unsigned)(cell & 15);
}

static inline uint8_t *leaf_tags(uint64_t cell)
{
	return (uint8_t *)(uintptr_t)(cell & CELL_LEAF_MASK);
}

/* Entry i stands at leaf_end()[-1 - i]. */
static inline uint64_t *leaf_end(uint64_t cell)
{
	return (uint64_t *)(void *)(leaf_tags(cell) + ((size_t)1 << leaf_bits(cell)));
}

static inline uint64_t *leaf_entry(uint64_t cell, unsigned i)
{
	return leaf_end(cell) - 1 - i;
}

static inline bool leaf_is_full(uint64_t cell)
{
	static const uint16_t capacity[16] = {[5] = 3, 7, 14, 28, 56, 113, 227, 455}; /* 2^i / LEAF_ENTRY */

	return cell_count(cell) >= capacity[leaf_bits(cell)];
}

/* Number of the entry with that tag; the cell's count or more if there is none. */
static inline unsigned leaf_find(uint64_t cell, uint8_t tag)
{
	const uint8_t *tags = leaf_tags(cell);
	unsigned n = cell_count(cell), i = 0;

#ifdef __SSE2__
	const __m128i wanted = _mm_set1_epi8((char)tag);

	for (; i < n; i += 32) { /* no leaf is smaller than what is loaded */
		const __m128i *some = (const __m128i *)(const void *)(tags + i);
		unsigned like = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_load_si128(some), wanted)) |
			(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_load_si128(some + 1), wanted)) << 16;

		if (like != 0) /* what stands behind the tags may look like one */
			return i + (unsigned)__builtin_ctz(like);
	}
#else
	while (i < n && tags[i] != tag)
		i++;
#endif
	return i;
}

static inline bool leaf_has(uint64_t cell, uint8_t tag)
{
	return leaf_find(cell, tag) < cell_count(cell);
}

/* The cell with one more entry, behind the others; there is room. */
static inline uint64_t leaf_append(uint64_t cell, uint8_t tag, uint64_t entry)
{
	unsigned n = cell_count(cell);

	leaf_tags(cell)[n] = tag;
	*leaf_entry(cell, n) = entry;
	return cell + CELL_ONE;
}

/* The cell without entry i. */
static inline uint64_t leaf_remove(uint64_t cell, unsigned i)
{
	unsigned last = cell_count(cell) - 1;

	leaf_tags(cell)[i] = leaf_tags(cell)[last];
	*leaf_entry(cell, i) = *leaf_entry(cell, last);
	return cell - CELL_ONE;
}

/* An empty one as a cell; 0 if memory is short. */
static uint64_t leaf_new(struct mst_addrmap *m, unsigned bits)
{
	uintptr_t leaf = (uintptr_t)mst_slabs_take(m->slabs, bits);

	return leaf != 0 && (leaf & ~(uintptr_t)CELL_LEAF_MASK) == 0 ? (uint64_t)leaf | bits : 0;
}

static void leaf_free(struct mst_addrmap *m, uint64_t cell)
{
	mst_slabs_give(m->slabs, leaf_tags(cell), leaf_bits(cell));
}

/* A copy in a leaf of 2^bits bytes, which suffice. */
static uint64_t leaf_copy(struct mst_addrmap *m, uint64_t cell, unsigned bits)
{
	uint64_t copy = leaf_new(m, bits);
	unsigned n = cell_count(cell);

	if (copy != 0 && n != 0) {
		memcpy(leaf_tags(copy), leaf_tags(cell), n);
		memcpy(leaf_end(copy) - n, leaf_end(cell) - n, n * sizeof(uint64_t));
		copy += n * CELL_ONE;
	}
	return copy;
}

/* ---- tracts ----------------------------------------------------------------------------------------------- */

static void few_unref(struct mst_addrmap *m, struct mst_few *few)
{
	if (--few->refs == 0)
		mst_few_free(m->slabs, few);
}

static void tract_unref(struct mst_addrmap *m, struct tract *t)
{
	if (--t->refs != 0)
		return;
	for (unsigned i = 0; i < CELLS; i++)
		if (t->cells[i] != 0)
			leaf_free(m, t->cells[i]);
	free(t);
}

static struct tract *tract_new(void)
{
	struct tract *t = calloc(1, sizeof(*t));

	if (t)
		t->refs = 1;
	return t;
}

static struct tract *tract_copy(struct mst_addrmap *m, const struct tract *from)
{
	struct tract *t = tract_new();

	for (unsigned i = 0; t && i < CELLS; i++) {
		if (from->cells[i] == 0)
			continue;
		t->cells[i] = leaf_copy(m, from->cells[i], leaf_bits(from->cells[i]));
		if (t->cells[i] == 0) {
			tract_unref(m, t);
			return NULL;
		}
		t->n_cells++;
	}
	return t;
}

static inline size_t table_size(const struct mst_addrmap *m)
{
	return (size_t)1 << (64 - m->table_shift);
}

static inline size_t table_home(const struct mst_addrmap *m, uint64_t key)
{
	return (size_t)(key * MIX >> m->table_shift);
}

static inline bool has_few(const struct slot *s)
{
	return s->key & HAS_FEW;
}

static inline uint64_t slot_key(const struct slot *s)
{
	return s->key & ~HAS_FEW;
}

/* The slot of that key, or the empty one where it would be. */
static inline struct slot *table_find(const struct mst_addrmap *m, uint64_t key)
{
	size_t at = table_home(m, key);

	while (slot_key(&m->slots[at]) != key && m->slots[at].tract)
		at = (at + 1) & (table_size(m) - 1);
	return &m->slots[at];
}

/* The tract of that key if it stands at its home. */
static inline struct tract *table_at_home(const struct mst_addrmap *m, uint64_t key)
{
	const struct slot *s = &m->slots[table_home(m, key)];

	return s->key == key ? s->tract : NULL;
}

static bool table_grow(struct mst_addrmap *m)
{
	size_t n = table_size(m);
	struct slot *before = m->slots, *grown = calloc(2 * n, sizeof(*grown));

	if (!grown)
		return false;
	m->slots = grown;
	m->table_shift--;
	for (size_t i = 0; i < n; i++)
		if (before[i].tract)
			*table_find(m, slot_key(&before[i])) = before[i];
	free(before);
	return true;
}

static bool table_is_full(const struct mst_addrmap *m)
{
	unsigned part = table_size(m) < (size_t)1 << TABLE_BITS_ROOMY ? 4 : 2;

	return part * (m->n_tracts + 1) > table_size(m);
}

/* A slot for that key, without blocks yet; NULL if memory is short. */
static struct slot *table_add(struct mst_addrmap *m, uint64_t key)
{
	struct mst_few *few;
	struct slot *s;

	if (table_is_full(m) && !table_grow(m))
		return NULL;
	few = mst_few_new(m->slabs, MST_SLABS_BITS_MIN, NULL);
	if (!few)
		return NULL;
	s = table_find(m, key);
	*s = (struct slot){.key = key | HAS_FEW, .few = few};
	m->n_tracts++;
	m->leaf_bytes += (size_t)1 << few->bits;
	return s;
}

/* Empties a slot; those behind it that an empty slot would hide move up. */
static void table_remove(struct mst_addrmap *m, struct slot *gone)
{
	size_t mask = table_size(m) - 1, hole = (size_t)(gone - m->slots);

	for (size_t at = (hole + 1) & mask; m->slots[at].tract; at = (at + 1) & mask) {
		size_t home = table_home(m, slot_key(&m->slots[at]));

		if (((at - home) & mask) >= ((at - hole) & mask)) {
			m->slots[hole] = m->slots[at];
			hole = at;
		}
	}
	m->slots[hole] = (struct slot){.key = 0, .tract = NULL};
	m->n_tracts--;
}

/* The slot's tract, made this map's own; NULL if it was shared and memory is short. */
static struct tract *own_tract(struct mst_addrmap *m, struct slot *s)
{
	struct tract *own;

	if (s->tract->refs == 1)
		return s->tract;
	own = tract_copy(m, s->tract);
	if (own) {
		tract_unref(m, s->tract);
		s->tract = own;
	}
	return own;
}

/* Gives up a slot without blocks. */
static void drop_tract(struct mst_addrmap *m, struct slot *s)
{
	if (has_few(s)) {
		m->leaf_bytes -= (size_t)1 << s->few->bits;
		few_unref(m, s->few);
	} else {
		m->n_full--;
		tract_unref(m, s->tract);
	}
	table_remove(m, s);
}

static void drop_if_empty(struct mst_addrmap *m, struct slot *s)
{
	if (has_few(s) ? s->few->n == 0 : s->tract->n_cells == 0)
		drop_tract(m, s);
}

/* Room for `more` entries in a cell. */
static bool cell_reserve(struct mst_addrmap *m, struct tract *t, uint64_t *cell, unsigned more)
{
	unsigned bits = *cell ? leaf_bits(*cell) : MST_SLABS_BITS_MIN;
	uint64_t grown;

	while ((1u << bits) / LEAF_ENTRY < cell_count(*cell) + more)
		bits++;
	if (*cell != 0 && bits == leaf_bits(*cell))
		return true;
	grown = leaf_copy(m, *cell, bits);
	if (grown == 0)
		return false;
	m->leaf_bytes += (size_t)1 << bits;
	if (*cell != 0) {
		m->leaf_bytes -= (size_t)1 << leaf_bits(*cell);
		leaf_free(m, *cell);
	} else {
		t->n_cells++;
	}
	*cell = grown;
	return true;
}

/* Takes out the block that is there under that tag; the leaf stays. */
static struct mst_live cell_take(uint64_t *cell, uint8_t tag)
{
	unsigned i = leaf_find(*cell, tag);
	uint64_t entry = *leaf_entry(*cell, i);
	struct mst_live block = {.ordinal = entry >> SIZE_BITS, .size = entry & SIZE_MASK};

	*cell = leaf_remove(*cell, i);
	if (block.size == SIZE_APART) {
		i = leaf_find(*cell, tag | TAG_OF_SIZE);
		block.size = *leaf_entry(*cell, i);
		*cell = leaf_remove(*cell, i);
	}
	return block;
}

/* Frees the leaf of a cell without blocks, and its tract if that was the last. */
static void cell_clear(struct mst_addrmap *m, struct tract *t, uint64_t *cell, uint64_t key)
{
	m->leaf_bytes -= (size_t)1 << leaf_bits(*cell);
	leaf_free(m, *cell);
	*cell = 0;
	if (--t->n_cells == 0)
		drop_tract(m, table_find(m, key));
}

/* ---- tracts with few blocks ------------------------------------------------------------------------------- */

/* The slot's few blocks get cells instead. */
static int spread(struct mst_addrmap *m, struct slot *s)
{
	struct mst_few *few = s->few;
	size_t bytes_before = m->leaf_bytes;
	struct tract *t = tract_new();
	bool has_room = t;

	for (unsigned i = 0; i < few->n && has_room; i++) {
		unsigned place = few->places[i] & (PLACE_OF_SIZE - 1);
		uint8_t of_size = few->places[i] & PLACE_OF_SIZE ? TAG_OF_SIZE : 0;
		uint64_t *cell = &t->cells[place >> TAG_BITS];

		has_room = cell_reserve(m, t, cell, 1);
		if (has_room)
			*cell = leaf_append(*cell, (uint8_t)(place & (TAG_OF_SIZE - 1)) | of_size, *mst_few_entry(few, i));
	}
	if (!has_room) {
		m->leaf_bytes = bytes_before;
		if (t)
			tract_unref(m, t);
		return MST_ENOMEM;
	}
	*s = (struct slot){.key = slot_key(s), .tract = t};
	m->leaf_bytes -= (size_t)1 << few->bits;
	m->n_full++;
	few_unref(m, few);
	return 0;
}

/* Makes room for `more` entries in the slot's few, which are this map's own then; or spreads them. */
static int few_reserve(struct mst_addrmap *m, struct slot *s, unsigned more)
{
	struct mst_few *few = s->few, *grown;
	unsigned bits = few->bits;

	while (mst_few_capacity(bits) < few->n + more)
		bits++;
	if (bits > MST_FEW_BITS_MAX)
		return spread(m, s);
	if (bits == few->bits && few->refs == 1)
		return 0;
	grown = mst_few_new(m->slabs, bits, few);
	if (!grown)
		return MST_ENOMEM;
	m->leaf_bytes += ((size_t)1 << bits) - ((size_t)1 << few->bits);
	s->few = grown;
	few_unref(m, few);
	return 0;
}

/* Takes out the block that is there at that place. */
static struct mst_live few_take(struct mst_few *few, unsigned place)
{
	unsigned i = mst_few_find(few, place);
	uint64_t entry = *mst_few_entry(few, i);
	struct mst_live block = {.ordinal = entry >> SIZE_BITS, .size = entry & SIZE_MASK};

	mst_few_remove(few, i);
	if (block.size == SIZE_APART) {
		i = mst_few_find(few, place | PLACE_OF_SIZE);
		block.size = *mst_few_entry(few, i);
		mst_few_remove(few, i);
	}
	return block;
}

static inline bool few_has(const struct mst_few *few, unsigned place)
{
	return mst_few_find(few, place) < few->n;
}

/* ---- the map ---------------------------------------------------------------------------------------------- */

struct mst_addrmap *mst_addrmap_new(void)
{
	struct mst_addrmap *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->table_shift = 64 - TABLE_BITS_MIN;
	m->slots = calloc(table_size(m), sizeof(*m->slots));
	m->slabs = mst_slabs_new();
	if (m->slots && m->slabs)
		return m;
	if (m->slabs)
		mst_slabs_unref(m->slabs);
	free(m->slots);
	free(m);
	return NULL;
}

struct mst_addrmap *mst_addrmap_clone(struct mst_addrmap *m)
{
	size_t n = table_size(m);
	struct mst_addrmap *c = malloc(sizeof(*c));

	if (!c)
		return NULL;
	*c = *m;
	c->slots = malloc(n * sizeof(*c->slots));
	if (!c->slots) {
		free(c);
		return NULL;
	}
	memcpy(c->slots, m->slots, n * sizeof(*c->slots));
	for (size_t i = 0; i < n; i++) {
		if (has_few(&c->slots[i]))
			c->slots[i].few->refs++;
		else if (c->slots[i].tract)
			c->slots[i].tract->refs++;
	}
	m->has_shared = c->has_shared = true;
	mst_slabs_ref(c->slabs);
	return c;
}

/* At the map's end: pieces that nobody shares go all at once, with the slabs. */
static void leave_tract(struct mst_addrmap *m, struct slot *s)
{
	if (has_few(s)) {
		if (m->has_shared)
			few_unref(m, s->few);
	} else if (s->tract) {
		if (m->has_shared)
			tract_unref(m, s->tract);
		else
			free(s->tract);
	}
}

void mst_addrmap_free(struct mst_addrmap *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < table_size(m); i++)
		leave_tract(m, &m->slots[i]);
	mst_slabs_unref(m->slabs);
	free(m->slots);
	free(m);
}

void mst_addrmap_prefetch(const struct mst_addrmap *m, const uint64_t *addrs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const uint64_t key = tract_key(addrs[i]);
		const struct slot *s = &m->slots[table_home(m, key)];

		if (s->key == key && s->tract)
			__builtin_prefetch(leaf_tags(s->tract->cells[cell_number(addrs[i])]), 1);
		else if (s->key == (key | HAS_FEW))
			__builtin_prefetch(s->few, 1);
	}
}

static int insert_few(struct mst_addrmap *m, struct mst_few *few, uint64_t addr, uint64_t ordinal, uint64_t size, struct mst_live *old)
{
	unsigned place = mst_few_place(addr);
	bool is_apart = size >= SIZE_APART, had_one = few_has(few, place);

	if (had_one)
		*old = few_take(few, place);
	mst_few_append(few, place, ordinal << SIZE_BITS | (is_apart ? SIZE_APART : size));
	if (is_apart)
		mst_few_append(few, place | PLACE_OF_SIZE, size);
	m->count += !had_one;
	return had_one;
}

static int insert_cell(struct mst_addrmap *m, struct slot *s, uint64_t addr, uint64_t ordinal, uint64_t size, struct mst_live *old)
{
	struct tract *t = own_tract(m, s);
	uint64_t *cell = t ? &t->cells[cell_number(addr)] : NULL;
	bool is_apart = size >= SIZE_APART, had_one;

	if (!t || !cell_reserve(m, t, cell, 1 + is_apart))
		return MST_ENOMEM;
	had_one = leaf_has(*cell, tag_of(addr));
	if (had_one)
		*old = cell_take(cell, tag_of(addr));
	*cell = leaf_append(*cell, tag_of(addr), ordinal << SIZE_BITS | (is_apart ? SIZE_APART : size));
	if (is_apart)
		*cell = leaf_append(*cell, tag_of(addr) | TAG_OF_SIZE, size);
	m->count += !had_one;
	return had_one;
}

/* Any insertion. Apart, or its registers would have to be saved for the short way, too. */
static __attribute__((noinline)) int insert(struct mst_addrmap *m, uint64_t addr, uint64_t ordinal, uint64_t size, struct mst_live *old)
{
	struct slot *s = table_find(m, tract_key(addr));
	int rc;

	if (!s->tract && !(s = table_add(m, tract_key(addr))))
		return MST_ENOMEM;
	rc = has_few(s) ? few_reserve(m, s, 1 + (size >= SIZE_APART)) : 0;
	if (rc == 0 && has_few(s))
		return insert_few(m, s->few, addr, ordinal, size, old);
	if (rc == 0)
		rc = insert_cell(m, s, addr, ordinal, size, old);
	if (rc < 0)
		drop_if_empty(m, s);
	return rc;
}

static __attribute__((noinline)) int append_growing(struct mst_addrmap *m, struct tract *t, uint64_t *cell, uint8_t tag, uint64_t entry)
{
	if (!cell_reserve(m, t, cell, 1))
		return MST_ENOMEM;
	*cell = leaf_append(*cell, tag, entry);
	m->count++;
	return 0;
}

/* Most blocks are ordinary ones and find room beside their neighbours. What is not done here is left to others in the last
 * place, so that no registers are saved. */
int mst_addrmap_insert(struct mst_addrmap *m, uint64_t addr, uint64_t ordinal, uint64_t size, struct mst_live *old)
{
	struct tract *t = table_at_home(m, tract_key(addr));
	uint64_t cell;

	if (!t || m->has_shared || size >= SIZE_APART)
		return insert(m, addr, ordinal, size, old);
	cell = t->cells[cell_number(addr)];
	if (leaf_has(cell, tag_of(addr)))
		return insert(m, addr, ordinal, size, old);
	if (leaf_is_full(cell))
		return append_growing(m, t, &t->cells[cell_number(addr)], tag_of(addr), ordinal << SIZE_BITS | size);
	t->cells[cell_number(addr)] = leaf_append(cell, tag_of(addr), ordinal << SIZE_BITS | size);
	m->count++;
	return 0;
}

static int take_few(struct mst_addrmap *m, struct slot *s, uint64_t addr, struct mst_live *block)
{
	if (!few_has(s->few, mst_few_place(addr)))
		return 0;
	if (s->few->refs != 1 && few_reserve(m, s, 0) < 0)
		return MST_ENOMEM;
	*block = few_take(s->few, mst_few_place(addr));
	m->count--;
	if (s->few->n == 0)
		drop_tract(m, s);
	return 1;
}

/* Any removal. */
static __attribute__((noinline)) int take_out(struct mst_addrmap *m, uint64_t addr, struct mst_live *block)
{
	struct slot *s = table_find(m, tract_key(addr));
	uint64_t *cell;

	if (has_few(s))
		return take_few(m, s, addr, block);
	if (!s->tract || !leaf_has(s->tract->cells[cell_number(addr)], tag_of(addr)))
		return 0;
	if (!own_tract(m, s))
		return MST_ENOMEM;
	cell = &s->tract->cells[cell_number(addr)];
	*block = cell_take(cell, tag_of(addr));
	if (cell_count(*cell) == 0)
		cell_clear(m, s->tract, cell, s->key);
	m->count--;
	return 1;
}

static __attribute__((noinline)) int clear_after_last(struct mst_addrmap *m, struct tract *t, uint64_t *cell, uint64_t key)
{
	cell_clear(m, t, cell, key);
	return 1;
}

/* Most blocks are ordinary ones. */
int mst_addrmap_remove(struct mst_addrmap *m, uint64_t addr, struct mst_live *block)
{
	struct tract *t = table_at_home(m, tract_key(addr));
	uint64_t cell, entry;
	unsigned i;

	if (!t || m->has_shared)
		return take_out(m, addr, block);
	cell = t->cells[cell_number(addr)];
	i = leaf_find(cell, tag_of(addr));
	if (i >= cell_count(cell))
		return 0;
	entry = *leaf_entry(cell, i);
	if ((entry & SIZE_MASK) == SIZE_APART)
		return take_out(m, addr, block);
	*block = (struct mst_live){.ordinal = entry >> SIZE_BITS, .size = entry & SIZE_MASK};
	cell = leaf_remove(cell, i);
	t->cells[cell_number(addr)] = cell;
	m->count--;
	return cell_count(cell) == 0 ? clear_after_last(m, t, &t->cells[cell_number(addr)], tract_key(addr)) : 1;
}

bool mst_addrmap_has(const struct mst_addrmap *m, uint64_t addr)
{
	const struct slot *s = table_find(m, tract_key(addr));

	if (has_few(s))
		return few_has(s->few, mst_few_place(addr));
	return s->tract && leaf_has(s->tract->cells[cell_number(addr)], tag_of(addr));
}

uint64_t mst_addrmap_count(const struct mst_addrmap *m)
{
	return m->count;
}

size_t mst_addrmap_memory(const struct mst_addrmap *m)
{
	return sizeof(*m) + sizeof(*m->slots) * table_size(m) + m->n_full * sizeof(struct tract) +
		m->leaf_bytes;
}
