/* mismatches.c - which blocks were released otherwise than they were acquired?
 *
 * What goes together: malloc and its kin with free and its kin (aligned_alloc and posix_memalign too), new with
 * delete, new[] with delete[]; a sized release says the size asked for, a delete the alignment. A release that
 * does not is a finding, counted by what was called and by both call stacks.
 *
 * Only what is certain is told. Released and acquired must be the same block of the same process (a forked
 * child's release of what it inherited is not looked at). An operator new or delete that the recorder could
 * not see is recorded as the malloc or free that it makes; where its name stands in the stack, at or next to
 * the innermost frames, such a pair is no finding: it is counted as unclear. */
#include "analysis.h"
#include "room.h"
#include "trace.h"

#include <stdlib.h>

enum family { OTHER, MALLOC, NEW, NEW_ARRAY };
enum fault { WRONG_FUNCTION, WRONG_SIZE, WRONG_ALIGNMENT };

static const char *const fault_names[] = {"function", "size", "alignment"};

struct key {
	uint32_t acquired_at, released_at; /* stack ids */
	uint8_t acquired_by, released_by, fault;
};

struct finding {
	struct key key;
	uint32_t next; /* in the same chain; 0 = none. Indices count from 1 */
	uint64_t count, bytes, said_bytes;
};

struct state {
	struct finding *findings; /* [0] is not used */
	size_t n, cap;
	uint32_t *heads;
	size_t n_heads; /* a power of two, not below n */
};

static const struct ms_column head[] = {
	{"mismatches", "mismatches", MS_COLUMN_COUNT},
	{"bytes", "bytes in them", MS_COLUMN_BYTES},
	{"kinds", "different ones", MS_COLUMN_COUNT},
	{"shown", "shown", MS_COLUMN_COUNT},
	{"unclear", "unclear: in operators that were not recorded", MS_COLUMN_COUNT},
};

static const struct ms_column rows[] = {
	{"count", "count", MS_COLUMN_COUNT},
	{"bytes", "bytes", MS_COLUMN_BYTES},
	{"wrong", "wrong", MS_COLUMN_STRING},
	{"acquired_by", "acquired by", MS_COLUMN_STRING},
	{"released_by", "released by", MS_COLUMN_STRING},
	{"said_bytes", "said", MS_COLUMN_BYTES},
	{"stack", "stack", MS_COLUMN_NUMBER},
	{"released_stack", "released", MS_COLUMN_NUMBER},
	{"frames", "acquired at", MS_COLUMN_FRAMES},
	{"released_frames", "released at", MS_COLUMN_FRAMES},
};

static const struct ms_opt options[] = {
	MS_OPT_FLAG(0, "fail", struct options, fail, "exit with 1 if there is any"),
	MS_OPT_END,
};

/* ---- what is a mismatch ---- */

static enum family family_of(unsigned op)
{
	switch (op) {
	case MST_OP_NEW:
	case MST_OP_NEW_NOTHROW:
	case MST_OP_DELETE:
	case MST_OP_DELETE_SIZED:
		return NEW;
	case MST_OP_NEW_ARRAY:
	case MST_OP_NEW_ARRAY_NOTHROW:
	case MST_OP_DELETE_ARRAY:
	case MST_OP_DELETE_ARRAY_SIZED:
		return NEW_ARRAY;
	default:
		return op >= MST_OP_MALLOC && op <= MST_OP_REALLOC_END ? MALLOC : OTHER;
	}
}

static bool is_aligned_otherwise(enum family family, const struct mst_event *ev, const struct mst_block *block)
{
	if (family == MALLOC && (ev->op != MST_OP_FREE_ALIGNED_SIZED || block->op != MST_OP_ALIGNED_ALLOC))
		return false;
	return ev->align != block->align;
}

/* Returns false if nothing is wrong. */
static bool find_fault(const struct mst_event *ev, const struct mst_block *block, enum fault *fault)
{
	enum family had = family_of(block->op), got = family_of(ev->op);

	if (had == OTHER || got == OTHER)
		return false;
	*fault = had != got			       ? WRONG_FUNCTION
		 : ev->flags & MST_EV_WRONG_SIZE       ? WRONG_SIZE
						       : WRONG_ALIGNMENT;
	return *fault != WRONG_ALIGNMENT || is_aligned_otherwise(had, ev, block);
}

/* ---- counting them ---- */

static size_t hash_of(const struct key *k)
{
	uint64_t h = (uint64_t)k->acquired_at << 32 | k->released_at;

	h = (h ^ (uint64_t)k->acquired_by << 16 ^ (uint64_t)k->released_by << 8 ^ k->fault) *
	    UINT64_C(0x9e3779b97f4a7c15);
	return (size_t)(h >> 32);
}

static bool is_same(const struct key *a, const struct key *b)
{
	return a->acquired_at == b->acquired_at && a->released_at == b->released_at &&
	       a->acquired_by == b->acquired_by && a->released_by == b->released_by && a->fault == b->fault;
}

/* Room for one more. */
static void grow(struct state *s)
{
	s->findings = ms_room(s->findings, &s->cap, s->n + 2, sizeof(*s->findings));
	if (s->n < s->n_heads)
		return;
	free(s->heads);
	s->n_heads = s->n_heads ? 2 * s->n_heads : 64;
	s->heads = ms_zeroed(s->n_heads, sizeof(*s->heads));
	for (uint32_t i = 1; i <= s->n; i++) {
		uint32_t *chain = &s->heads[hash_of(&s->findings[i].key) & (s->n_heads - 1)];

		s->findings[i].next = *chain;
		*chain = i;
	}
}

static struct finding *find(struct state *s, const struct key *key)
{
	grow(s);
	uint32_t *chain = &s->heads[hash_of(key) & (s->n_heads - 1)];

	for (uint32_t i = *chain; i; i = s->findings[i].next)
		if (is_same(&s->findings[i].key, key))
			return &s->findings[i];
	s->findings[++s->n] = (struct finding){.key = *key, .next = *chain};
	*chain = (uint32_t)s->n;
	return &s->findings[s->n];
}

static void *begin(const struct pass *pass)
{
	(void)pass;
	return ms_zeroed(1, sizeof(struct state));
}

static void released(void *state, const struct mst_event *ev, const struct mst_block *block)
{
	enum fault fault;

	if (!find_fault(ev, block, &fault))
		return;
	const struct key key = {block->stack, ev->stack, block->op, ev->op, (uint8_t)fault};
	struct finding *f = find(state, &key);

	f->count++;
	f->bytes += block->size;
	f->said_bytes += fault == WRONG_SIZE ? ev->said_size : 0;
}

/* ---- the answer ---- */

/* Does the name of such an operator stand among the innermost frames of the stack? */
static bool is_inside(const struct pass *pass, uint32_t stack, const char *operator, struct ms_frames *frames)
{
	enum { INNERMOST = 4 };

	ms_trace_frames(pass->reader, stack, frames);
	for (size_t i = 0; i < frames->n && i < INNERMOST; i++)
		if (frames->items[i].function &&
			strncmp(frames->items[i].function, operator, strlen(operator)) == 0)
			return true;
	return false;
}

/* Was one of the two an operator's inner call? */
static bool is_unclear(const struct pass *pass, const struct finding *f, struct ms_frames *frames)
{
	if (f->key.fault != WRONG_FUNCTION)
		return false;
	if (family_of(f->key.acquired_by) == MALLOC)
		return is_inside(pass, f->key.acquired_at, "operator new", frames);
	return family_of(f->key.released_by) == MALLOC &&
	       is_inside(pass, f->key.released_at, "operator delete", frames);
}

static int compare(const void *a, const void *b)
{
	const struct finding *x = a, *y = b;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	if (x->key.acquired_at != y->key.acquired_at)
		return x->key.acquired_at < y->key.acquired_at ? -1 : 1;
	return x->key.released_at < y->key.released_at ? -1 : x->key.released_at > y->key.released_at;
}

/* Takes the unclear ones out; returns how many releases they stand for. */
static uint64_t take_unclear(struct state *s, const struct pass *pass, struct ms_frames *frames)
{
	uint64_t unclear = 0;
	size_t kept = 0;

	for (size_t i = 1; i <= s->n; i++) {
		if (is_unclear(pass, &s->findings[i], frames))
			unclear += s->findings[i].count;
		else
			s->findings[++kept] = s->findings[i];
	}
	s->n = kept;
	return unclear;
}

static void add_stack(struct ms_table *t, const struct pass *pass, uint32_t stack, struct ms_frames *frames)
{
	ms_trace_frames(pass->reader, stack, frames);
	ms_table_frames(t, frames->items, frames->n);
}

static void add_row(struct ms_table *t, const struct pass *pass, const struct finding *f,
	struct ms_frames *frames)
{
	ms_table_row(t);
	ms_table_number(t, f->count);
	ms_table_number(t, f->bytes);
	ms_table_string(t, fault_names[f->key.fault]);
	ms_table_string(t, mst_op_name(f->key.acquired_by));
	ms_table_string(t, mst_op_name(f->key.released_by));
	if (f->key.fault == WRONG_SIZE)
		ms_table_number(t, f->said_bytes);
	else
		ms_table_absent(t);
	ms_table_number(t, f->key.acquired_at);
	ms_table_number(t, f->key.released_at);
	add_stack(t, pass, f->key.acquired_at, frames);
	add_stack(t, pass, f->key.released_at, frames);
}

static void end(void *state, const struct pass *pass, struct answer *answer)
{
	struct state *s = state;
	struct ms_frames frames = {0};
	uint64_t unclear = take_unclear(s, pass, &frames), count = 0, bytes = 0;
	size_t shown = pass->options->top && pass->options->top < s->n ? pass->options->top : s->n;

	if (s->n)
		qsort(s->findings + 1, s->n, sizeof(*s->findings), compare);
	answer->rows = ms_table_new(rows, sizeof(rows) / sizeof(*rows));
	answer->rows_key = "pairs";
	for (size_t i = 1; i <= s->n; i++) {
		count += s->findings[i].count;
		bytes += s->findings[i].bytes;
		if (i <= shown)
			add_row(answer->rows, pass, &s->findings[i], &frames);
	}
	answer->head = ms_table_new(head, sizeof(head) / sizeof(*head));
	ms_table_row(answer->head);
	ms_table_number(answer->head, count);
	ms_table_number(answer->head, bytes);
	ms_table_number(answer->head, s->n);
	ms_table_number(answer->head, shown);
	ms_table_number(answer->head, unclear);
	answer->is_no = pass->options->fail && count > 0;
	free(frames.items);
	free(s->findings);
	free(s->heads);
	free(s);
}

const struct analysis analysis_mismatches = {
	.name = "mismatches",
	.summary = "blocks released otherwise than they were acquired, by both call stacks",
	.options = options,
	.needs_stacks = true,
	.begin = begin,
	.released = released,
	.end = end,
};
