#include "sample.h"

#include <stdlib.h>

#include "bytes.h"
#include "format.h"

#define SHIFT_MAX 30u
#define KNOWN(field) (UINT64_C(1) << (field))

/* ---- fields ----------------------------------------------------------------------------------------------- */

struct field {
	const char *name;
	enum mst_sample_unit unit;
};

static const struct field fields[MST_SAMPLE_FIELDS] = {
	[MST_SAMPLE_RSS] = {"rss", MST_UNIT_BYTES},
	[MST_SAMPLE_PSS] = {"pss", MST_UNIT_BYTES},
	[MST_SAMPLE_PSS_ANON] = {"pss_anon", MST_UNIT_BYTES},
	[MST_SAMPLE_PSS_FILE] = {"pss_file", MST_UNIT_BYTES},
	[MST_SAMPLE_PSS_SHMEM] = {"pss_shmem", MST_UNIT_BYTES},
	[MST_SAMPLE_SHARED_CLEAN] = {"shared_clean", MST_UNIT_BYTES},
	[MST_SAMPLE_SHARED_DIRTY] = {"shared_dirty", MST_UNIT_BYTES},
	[MST_SAMPLE_PRIVATE_CLEAN] = {"private_clean", MST_UNIT_BYTES},
	[MST_SAMPLE_PRIVATE_DIRTY] = {"private_dirty", MST_UNIT_BYTES},
	[MST_SAMPLE_ANON] = {"anon", MST_UNIT_BYTES},
	[MST_SAMPLE_FILE] = {"file", MST_UNIT_BYTES},
	[MST_SAMPLE_SHMEM] = {"shmem", MST_UNIT_BYTES},
	[MST_SAMPLE_ANON_HUGE] = {"anon_huge", MST_UNIT_BYTES},
	[MST_SAMPLE_LAZY_FREE] = {"lazy_free", MST_UNIT_BYTES},
	[MST_SAMPLE_LOCKED] = {"locked", MST_UNIT_BYTES},
	[MST_SAMPLE_SWAP] = {"swap", MST_UNIT_BYTES},
	[MST_SAMPLE_SWAP_PSS] = {"swap_pss", MST_UNIT_BYTES},
	[MST_SAMPLE_PEAK_RSS] = {"peak_rss", MST_UNIT_BYTES},
	[MST_SAMPLE_VIRTUAL] = {"virtual", MST_UNIT_BYTES},
	[MST_SAMPLE_PAGE_TABLES] = {"page_tables", MST_UNIT_BYTES},
	[MST_SAMPLE_MINOR_FAULTS] = {"minor_faults", MST_UNIT_COUNT},
	[MST_SAMPLE_MAJOR_FAULTS] = {"major_faults", MST_UNIT_COUNT},
	[MST_SAMPLE_THREADS] = {"threads", MST_UNIT_COUNT},
	[MST_SAMPLE_CPU] = {"cpu_ns", MST_UNIT_NS},
	[MST_SAMPLE_GROUP_CURRENT] = {"group_current", MST_UNIT_BYTES},
	[MST_SAMPLE_GROUP_PEAK] = {"group_peak", MST_UNIT_BYTES},
	[MST_SAMPLE_GROUP_MAX] = {"group_max", MST_UNIT_BYTES},
	[MST_SAMPLE_GROUP_HIGH] = {"group_high", MST_UNIT_BYTES},
	[MST_SAMPLE_GROUP_SWAP] = {"group_swap", MST_UNIT_BYTES},
	[MST_SAMPLE_GROUP_SWAP_MAX] = {"group_swap_max", MST_UNIT_BYTES},
	[MST_SAMPLE_GROUP_LOW_EVENTS] = {"group_low_events", MST_UNIT_COUNT},
	[MST_SAMPLE_GROUP_HIGH_EVENTS] = {"group_high_events", MST_UNIT_COUNT},
	[MST_SAMPLE_GROUP_MAX_EVENTS] = {"group_max_events", MST_UNIT_COUNT},
	[MST_SAMPLE_GROUP_OOM_EVENTS] = {"group_oom_events", MST_UNIT_COUNT},
	[MST_SAMPLE_GROUP_OOM_KILLS] = {"group_oom_kills", MST_UNIT_COUNT},
	[MST_SAMPLE_GROUP_PRESSURE_SOME] = {"group_pressure_some_ns", MST_UNIT_NS},
	[MST_SAMPLE_GROUP_PRESSURE_FULL] = {"group_pressure_full_ns", MST_UNIT_NS},
	[MST_SAMPLE_HOOK_TIME] = {"hook_ns", MST_UNIT_NS},
	[MST_SAMPLE_HOOKS_TIMED] = {"hooks_timed", MST_UNIT_COUNT},
	[MST_SAMPLE_STALL_TIME] = {"stall_ns", MST_UNIT_NS},
	[MST_SAMPLE_LOST_EVENTS] = {"lost_events", MST_UNIT_COUNT},
	[MST_SAMPLE_ARENA] = {"arena", MST_UNIT_BYTES},
	[MST_SAMPLE_ARENA_PEAK] = {"arena_peak", MST_UNIT_BYTES},
	[MST_SAMPLE_SAMPLING_TIME] = {"sampling_ns", MST_UNIT_NS},
};

const char *mst_sample_field_name(unsigned field)
{
	return field < MST_SAMPLE_FIELDS ? fields[field].name : NULL;
}

enum mst_sample_unit mst_sample_field_unit(unsigned field)
{
	return field < MST_SAMPLE_FIELDS ? fields[field].unit : MST_UNIT_COUNT;
}

bool mst_sample_uss(const struct mst_sample *s, uint64_t *bytes)
{
	uint64_t both = KNOWN(MST_SAMPLE_PRIVATE_CLEAN) | KNOWN(MST_SAMPLE_PRIVATE_DIRTY);

	if ((s->known & both) != both)
		return false;
	*bytes = s->value[MST_SAMPLE_PRIVATE_CLEAN] + s->value[MST_SAMPLE_PRIVATE_DIRTY];
	return true;
}

/* ---- lists ------------------------------------------------------------------------------------------------ */

void mst_samples_release(struct mst_samples *s)
{
	free(s->items);
	*s = (struct mst_samples){0};
}

static int reserve(struct mst_samples *s, size_t more)
{
	size_t cap = s->cap ? s->cap : 16;
	struct mst_sample *grown;

	while (cap < s->n + more)
		cap *= 2;
	if (cap == s->cap)
		return 0;
	grown = realloc(s->items, cap * sizeof(*grown));
	if (!grown)
		return MST_ENOMEM;
	s->items = grown;
	s->cap = cap;
	return 0;
}

int mst_samples_add(struct mst_samples *s, const struct mst_sample *sample)
{
	if (reserve(s, 1) < 0)
		return MST_ENOMEM;
	s->items[s->n++] = *sample;
	return 0;
}

/* ---- encoding --------------------------------------------------------------------------------------------- */

/* Who is sampled, in order of appearance, and each sample's place among them. */
struct subjects {
	uint32_t n;
	uint32_t first[MST_SAMPLES_MAX]; /* the subject's first sample */
	uint32_t of[MST_SAMPLES_MAX];
};

static bool is_same_subject(const struct mst_sample *a, const struct mst_sample *b)
{
	return a->process == b->process && a->group == b->group;
}

/* Passes visit the subjects in turn: the next one is most often the one behind the last. */
static uint32_t subject_of(struct subjects *s, const struct mst_sample *samples, uint32_t i)
{
	uint32_t from = i ? s->of[i - 1] + 1 : 0;

	for (uint32_t k = 0; k < s->n; k++) {
		uint32_t at = (from + k) % s->n;

		if (is_same_subject(&samples[s->first[at]], &samples[i]))
			return at;
	}
	s->first[s->n] = i;
	return s->n++;
}

static void put_subjects(const struct subjects *s, const struct mst_sample *samples, uint32_t n, struct mst_buffer *out)
{
	mst_buffer_put_varint(out, s->n);
	for (uint32_t i = 0; i < s->n; i++)
		mst_buffer_put_varint(out, samples[s->first[i]].process);
	for (uint32_t i = 0; i < s->n; i++)
		mst_buffer_put_varint(out, samples[s->first[i]].group);
	for (uint32_t i = 0; i < n; i++)
		mst_buffer_put_varint(out, s->of[i]);
}

static void put_places(const struct mst_sample *samples, uint32_t n, struct mst_buffer *out)
{
	for (uint32_t i = 0; i < n; i++)
		mst_buffer_put_varint(out, samples[i].time_ns - (i ? samples[i - 1].time_ns : 0));
	for (uint32_t i = 0; i < n; i++)
		mst_buffer_put_varint(out, samples[i].event - (i ? samples[i - 1].event : 0));
	for (uint32_t i = 0; i < n; i++)
		mst_buffer_put_varint(out, samples[i].cost_ns);
}

/* The greatest shift that loses no bit of any value: pages and kibibytes come often. */
static unsigned common_shift(const struct mst_sample *samples, uint32_t n, unsigned field)
{
	uint64_t bits = UINT64_C(1) << SHIFT_MAX;

	for (uint32_t i = 0; i < n; i++)
		if (samples[i].known & KNOWN(field))
			bits |= samples[i].value[field];
	return (unsigned)__builtin_ctzll(bits);
}

static void put_field(const struct mst_sample *samples, uint32_t n, const struct subjects *s, unsigned field,
	struct mst_buffer *column)
{
	unsigned shift = common_shift(samples, n, field);
	uint64_t last[MST_SAMPLES_MAX];

	memset(last, 0, s->n * sizeof(*last));
	mst_buffer_clear(column);
	mst_buffer_put8(column, (uint8_t)shift);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t value = samples[i].value[field] >> shift;

		if (!(samples[i].known & KNOWN(field))) {
			mst_buffer_put_varint(column, 0);
			continue;
		}
		mst_buffer_put_varint(column, 1 + mst_delta(value, last[s->of[i]]));
		last[s->of[i]] = value;
	}
}

static int put_fields(const struct mst_sample *samples, uint32_t n, const struct subjects *s, struct mst_buffer *out)
{
	struct mst_buffer column = {0};
	uint64_t known = 0;

	for (uint32_t i = 0; i < n; i++)
		known |= samples[i].known;
	mst_buffer_put_varint(out, (uint64_t)__builtin_popcountll(known));
	for (unsigned field = 1; field < MST_SAMPLE_FIELDS; field++) {
		if (!(known & KNOWN(field)))
			continue;
		put_field(samples, n, s, field, &column);
		out->failed |= column.failed;
		mst_buffer_put_varint(out, field);
		mst_buffer_put_varint(out, column.len);
		mst_buffer_put(out, column.bytes, column.len);
	}
	mst_buffer_release(&column);
	return out->failed ? MST_ENOMEM : 0;
}

int mst_samples_encode(const struct mst_sample *samples, uint32_t n, struct mst_buffer *out)
{
	struct subjects s = {.n = 0};

	for (uint32_t i = 0; i < n; i++)
		s.of[i] = subject_of(&s, samples, i);
	put_subjects(&s, samples, n, out);
	put_places(samples, n, out);
	return put_fields(samples, n, &s, out);
}

/* ---- decoding --------------------------------------------------------------------------------------------- */

static void get_subjects(struct mst_cursor *c, struct mst_sample *samples, uint32_t n, uint32_t *of, uint32_t *n_subjects)
{
	uint32_t process[MST_SAMPLES_MAX], group[MST_SAMPLES_MAX];
	uint32_t n_of = (uint32_t)mst_get_varint_max(c, n);

	if (n_of == 0)
		mst_cursor_fail(c);
	for (uint32_t i = 0; i < n_of; i++)
		process[i] = (uint32_t)mst_get_varint_max(c, MST_PROCESSES_MAX);
	for (uint32_t i = 0; i < n_of; i++)
		group[i] = (uint32_t)mst_get_varint_max(c, MST_IDS_MAX);
	for (uint32_t i = 0; i < n && !c->failed; i++) {
		of[i] = (uint32_t)mst_get_varint_max(c, n_of - 1);
		samples[i].process = process[of[i]];
		samples[i].group = group[of[i]];
	}
	*n_subjects = n_of;
}

static void get_places(struct mst_cursor *c, struct mst_sample *samples, uint32_t n)
{
	uint64_t time = 0, event = 0;

	for (uint32_t i = 0; i < n; i++)
		samples[i].time_ns = time += mst_get_varint_max(c, MST_NUMBER_MAX - time);
	for (uint32_t i = 0; i < n; i++)
		samples[i].event = event += mst_get_varint_max(c, MST_NUMBER_MAX - event);
	for (uint32_t i = 0; i < n; i++)
		samples[i].cost_ns = mst_get_varint_max(c, MST_NUMBER_MAX);
}

static void get_field(struct mst_cursor *c, struct mst_sample *samples, uint32_t n, const uint32_t *of,
	uint32_t n_subjects, unsigned field)
{
	uint64_t last[MST_SAMPLES_MAX];
	unsigned shift = mst_get8(c);

	if (shift > SHIFT_MAX) {
		mst_cursor_fail(c);
		return;
	}
	memset(last, 0, n_subjects * sizeof(*last));
	for (uint32_t i = 0; i < n; i++) {
		uint64_t coded = mst_get_varint(c);

		if (coded == 0)
			continue;
		uint64_t value = last[of[i]] = mst_undelta(coded - 1, last[of[i]]);

		if (value > (uint64_t)MST_NUMBER_MAX >> shift) {
			mst_cursor_fail(c);
			return;
		}
		samples[i].value[field] = value << shift;
		samples[i].known |= KNOWN(field);
	}
	if (!mst_cursor_finish(c))
		mst_cursor_fail(c);
}

static void get_fields(struct mst_cursor *c, struct mst_sample *samples, uint32_t n, const uint32_t *of,
	uint32_t n_subjects)
{
	uint64_t n_fields = mst_get_varint(c), before = 0;

	while (n_fields-- > 0 && !c->failed) {
		uint64_t field = mst_get_varint_max(c, UINT32_MAX), len = mst_get_varint(c);
		struct mst_cursor column = mst_cursor_over(c->p, 0);

		if (field <= before || len > mst_cursor_left(c)) {
			mst_cursor_fail(c);
			break;
		}
		column = mst_cursor_over(mst_get_bytes(c, (size_t)len), (size_t)len);
		before = field;
		if (field >= MST_SAMPLE_FIELDS)
			continue; /* a later version's */
		get_field(&column, samples, n, of, n_subjects, (unsigned)field);
		if (column.failed)
			mst_cursor_fail(c);
	}
}

int mst_samples_decode(const uint8_t *raw, size_t len, uint32_t n_items, struct mst_samples *out, const char **why)
{
	struct mst_cursor c = mst_cursor_over(raw, len);
	uint32_t of[MST_SAMPLES_MAX] = {0}, n_subjects = 0;
	struct mst_sample *samples;

	*why = "the number of samples is out of range";
	if (n_items == 0 || n_items > MST_SAMPLES_MAX || n_items > len)
		return MST_EDAMAGED;
	if (reserve(out, n_items) < 0)
		return MST_ENOMEM;
	samples = out->items + out->n;
	memset(samples, 0, n_items * sizeof(*samples));
	get_subjects(&c, samples, n_items, of, &n_subjects);
	get_places(&c, samples, n_items);
	if (!c.failed)
		get_fields(&c, samples, n_items, of, n_subjects);
	*why = "samples are out of range, or end too early or too late";
	if (!mst_cursor_finish(&c))
		return MST_EDAMAGED;
	out->n += n_items;
	return 0;
}
