/* test_damage.c - the promise of FORMAT.md §11, tested on every cut and every bit of a small file, and at random on a
 * larger one: never a crash, always noticed, only the frames touched are lost, and the loss is counted exactly.
 *
 * MS_DAMAGE_STRIDE=n tests every n-th bit only (for slow builds). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sample_trace.h"

#define KIND_EVT 7

/* ---- what a reading gave ---------------------------------------------------------------------------------- */

struct outcome {
	int rc;               /* of opening and reading */
	uint8_t *delivered;   /* [event] was given, and as it should be */
	size_t n_delivered;
	bool is_wrong;        /* an event that differs, or stands out of order */
	struct mst_loss loss;
};

static void outcome_read(struct outcome *o, const struct sample *s, int fd)
{
	struct mst_reader *r = NULL;
	struct mst_event ev;
	uint64_t next = 0;

	*o = (struct outcome){.delivered = calloc(s->n_events, 1)};
	o->rc = mst_reader_open_fd(fd, NULL, &r, NULL);
	while (o->rc == 0 && (o->rc = mst_reader_next(r, &ev)) > 0) {
		if (ev.number < next || ev.number >= s->n_events || !sample_agrees(&s->events[ev.number], &ev))
			o->is_wrong = true;
		else
			o->delivered[ev.number] = 1;
		next = ev.number + 1;
		o->n_delivered++;
		o->rc = 0;
	}
	if (r)
		mst_reader_loss(r, &o->loss);
	mst_reader_close(r);
}

static bool outcome_noticed(const struct outcome *o)
{
	return o->rc < 0 || o->loss.places != 0 || o->loss.is_truncated;
}

/* ---- where the frames are --------------------------------------------------------------------------------- */

struct map {
	struct mst_frame_info frames[4096];
	size_t n;
};

static void map_frame(void *ctx, const struct mst_frame_info *f)
{
	struct map *m = ctx;

	m->frames[m->n++] = *f;
}

static size_t frame_end(const struct mst_frame_info *f)
{
	return (size_t)(f->offset + f->header_len + ((f->stored_len + 7u) & ~7u));
}

static void map_make(struct map *m, const struct sample *s)
{
	struct mst_verify_result result;
	struct mst_problem problem;
	int fd = sample_fd(s->bytes, s->len);

	m->n = 0;
	if (mst_verify(fd, &result, map_frame, NULL, m, &problem) != 0)
		fail_msg("the sample is not sound: %s", problem.text);
	assert_int_equal(result.n_events, s->n_events);
	assert_int_equal(result.bytes, s->len);
	assert_true(result.has_end && result.has_index);
	close(fd);
}

/* Every event but those of frames that overlap [from, to) must have been delivered. */
static void only_touched_are_lost(const struct sample *s, const struct map *m, const struct outcome *o, size_t from,
	size_t to, const char *what)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct mst_frame_info *f = &m->frames[i];

		if (f->kind != KIND_EVT || (f->offset < to && frame_end(f) > from))
			continue;
		for (uint64_t e = f->first_event; e < f->first_event + f->n_items; e++)
			if (!o->delivered[e])
				fail_msg("%s [%zu, %zu): event %zu of an untouched frame is lost", what, from, to, (size_t)e);
	}
	if (o->is_wrong)
		fail_msg("%s [%zu, %zu): a wrong event was delivered", what, from, to);
	(void)s;
}

static size_t stride(void)
{
	const char *text = getenv("MS_DAMAGE_STRIDE");

	return text && atoi(text) > 0 ? (size_t)atoi(text) : 1;
}

static const struct sample_options small = {.n_events = 160, .frame_events = 40, .seed = 7};
static const struct sample_options larger = {.n_events = 30000, .frame_events = 1000, .seed = 8, .n_strings = 3000};

/* ---- every cut, every bit --------------------------------------------------------------------------------- */

static void every_cut_keeps_the_frames_before_it(void **state)
{
	struct map map;
	struct sample s;

	(void)state;
	sample_make(&s, &small);
	map_make(&map, &s);
	for (size_t cut = 0; cut < s.len; cut++) {
		int fd = sample_fd(s.bytes, cut);
		struct outcome o;

		outcome_read(&o, &s, fd);
		if (!outcome_noticed(&o))
			fail_msg("cut at %zu of %zu was not noticed", cut, s.len);
		if (cut > frame_end(&map.frames[0]))
			assert_int_equal(o.rc, 0);
		only_touched_are_lost(&s, &map, &o, cut, s.len, "cut");
		free(o.delivered);
		close(fd);
	}
	sample_release(&s);
}

static void every_flipped_bit_is_noticed_and_costs_one_frame(void **state)
{
	struct map map;
	struct sample s;
	size_t frame = 0;

	(void)state;
	sample_make(&s, &small);
	map_make(&map, &s);
	for (size_t bit = 0; bit < s.len * 8; bit += stride()) {
		struct outcome o;
		int fd;

		while (frame_end(&map.frames[frame]) <= bit / 8)
			frame++;
		s.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		fd = sample_fd(s.bytes, s.len);
		outcome_read(&o, &s, fd);
		if (!outcome_noticed(&o))
			fail_msg("flipping bit %zu was not noticed", bit);
		assert_int_equal(o.rc, 0);
		only_touched_are_lost(&s, &map, &o, (size_t)map.frames[frame].offset, frame_end(&map.frames[frame]), "flip");
		if (!o.loss.is_truncated && o.loss.events != s.n_events - o.n_delivered)
			fail_msg("flipping bit %zu: %zu events said to be lost, %zu are", bit, (size_t)o.loss.events,
				s.n_events - o.n_delivered);
		s.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		free(o.delivered);
		close(fd);
	}
	sample_release(&s);
}

/* ---- at random -------------------------------------------------------------------------------------------- */

static uint32_t random_state;

static size_t draw(size_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (size_t)((uint64_t)(random_state >> 4) * n >> 28);
}

struct bytes {
	uint8_t *p;
	size_t len;
};

static struct bytes copy_of(const struct sample *s)
{
	struct bytes b = {malloc(s->len + 100000), s->len};

	assert_non_null(b.p);
	memcpy(b.p, s->bytes, s->len);
	return b;
}

/* Overwrites a range with noise, at least one bit of which is different. */
static void burst(struct bytes *b, size_t at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		b->p[at + i] = (uint8_t)(b->p[at + i] ^ (1 + draw(255)));
}

static void insert(struct bytes *b, size_t at, const uint8_t *what, size_t len)
{
	memmove(b->p + at + len, b->p + at, b->len - at);
	memcpy(b->p + at, what, len);
	b->len += len;
}

static void delete_range(struct bytes *b, size_t at, size_t len)
{
	memmove(b->p + at, b->p + at + len, b->len - at - len);
	b->len -= len;
}

static void check(const struct sample *s, const struct map *m, const struct bytes *b, size_t from, size_t to,
	const char *what)
{
	int fd = sample_fd(b->p, b->len);
	struct outcome o;

	outcome_read(&o, s, fd);
	if (!outcome_noticed(&o))
		fail_msg("%s [%zu, %zu) was not noticed", what, from, to);
	only_touched_are_lost(s, m, &o, from, to, what);
	if (!o.loss.is_truncated && o.loss.events != s->n_events - o.n_delivered)
		fail_msg("%s [%zu, %zu): %zu events said to be lost, %zu are", what, from, to, (size_t)o.loss.events,
			s->n_events - o.n_delivered);
	free(o.delivered);
	close(fd);
}

static void bursts_insertions_and_deletions_cost_only_what_they_touch(void **state)
{
	struct map map;
	struct sample s;

	(void)state;
	random_state = 5;
	sample_make(&s, &larger);
	map_make(&map, &s);
	for (unsigned round = 0; round < 300 / stride() + 1; round++) {
		size_t at = draw(s.len - 6000), len = 1 + draw(round % 3 ? 20 : 5000);
		uint8_t noise[5001];
		struct bytes b = copy_of(&s);

		memset(noise, (int)draw(256), sizeof(noise));
		switch (round % 4) {
		case 0:
			burst(&b, at, len);
			check(&s, &map, &b, at, at + len, "burst");
			break;
		case 1:
			insert(&b, at, noise, len);
			/* Between two frames an insertion touches neither. */
			check(&s, &map, &b, at, at + 1, "insertion");
			break;
		case 2:
			delete_range(&b, at, len);
			check(&s, &map, &b, at, at + len, "deletion");
			break;
		default:
			burst(&b, at, len);
			memset(b.p + at, 0, len);
			if (memcmp(b.p + at, s.bytes + at, len) != 0)
				check(&s, &map, &b, at, at + len, "zeros");
		}
		free(b.p);
	}
	sample_release(&s);
}

/* Frame i of the map, as bytes. */
static void frame_bytes(const struct sample *s, const struct map *m, size_t i, const uint8_t **p, size_t *len)
{
	*p = s->bytes + m->frames[i].offset;
	*len = frame_end(&m->frames[i]) - (size_t)m->frames[i].offset;
}

static void a_frame_said_twice_is_noticed_and_costs_nothing(void **state)
{
	struct map map;
	struct sample s;

	(void)state;
	random_state = 6;
	sample_make(&s, &larger);
	map_make(&map, &s);
	for (unsigned round = 0; round < 60; round++) {
		size_t from = draw(map.n), to = draw(map.n + 1), len;
		struct bytes b = copy_of(&s);
		const uint8_t *p;

		frame_bytes(&s, &map, from, &p, &len);
		insert(&b, to == map.n ? s.len : (size_t)map.frames[to].offset, p, len);
		check(&s, &map, &b, 0, 0, "repetition");
		free(b.p);
	}
	sample_release(&s);
}

static void swapped_frames_are_noticed_and_cost_only_themselves(void **state)
{
	struct map map;
	struct sample s;

	(void)state;
	sample_make(&s, &larger);
	map_make(&map, &s);
	for (size_t i = 0; i + 1 < map.n; i++) {
		struct bytes b = copy_of(&s);
		size_t at = (size_t)map.frames[i].offset, len, next_len;
		const uint8_t *p, *next;

		frame_bytes(&s, &map, i, &p, &len);
		frame_bytes(&s, &map, i + 1, &next, &next_len);
		memcpy(b.p + at, next, next_len);
		memcpy(b.p + at + next_len, p, len);
		check(&s, &map, &b, at, at + len + next_len, "swap");
		free(b.p);
	}
	sample_release(&s);
}

static void frames_of_another_trace_are_noticed_and_not_used(void **state)
{
	struct sample_options other_options = larger;
	struct map map;
	struct sample s, other;

	(void)state;
	other_options.file_id = 99;
	sample_make(&s, &larger);
	sample_make(&other, &other_options);
	map_make(&map, &s);
	assert_int_equal(other.len, s.len); /* the two differ in id and hashes alone */
	for (size_t i = 1; i < map.n; i++) {
		struct bytes b = copy_of(&s);
		const uint8_t *p;
		size_t len;

		frame_bytes(&other, &map, i, &p, &len);
		insert(&b, (size_t)map.frames[i].offset, p, len);
		check(&s, &map, &b, 0, 0, "foreign frame");
		memcpy(b.p, s.bytes, s.len);
		b.len = s.len;
		memcpy(b.p + map.frames[i].offset, p, len);
		check(&s, &map, &b, (size_t)map.frames[i].offset, frame_end(&map.frames[i]), "foreign frame instead");
		free(b.p);
	}
	sample_release(&other);
	sample_release(&s);
}

static void a_second_trace_behind_the_first_is_noticed_and_not_used(void **state)
{
	struct sample_options other_options = larger;
	struct sample s, other;
	struct outcome o;
	struct bytes both;
	int fd;

	(void)state;
	other_options.file_id = 99;
	sample_make(&s, &larger);
	sample_make(&other, &other_options);
	both = (struct bytes){malloc(s.len + other.len), s.len};
	assert_non_null(both.p);
	memcpy(both.p, s.bytes, s.len);
	insert(&both, s.len, other.bytes, other.len);
	fd = sample_fd(both.p, both.len);
	outcome_read(&o, &s, fd);
	assert_int_equal(o.n_delivered, s.n_events);
	assert_false(o.is_wrong);
	assert_true(o.loss.places != 0);
	free(o.delivered);
	free(both.p);
	close(fd);
	sample_release(&other);
	sample_release(&s);
}

/* ---- salvage ---------------------------------------------------------------------------------------------- */

/* Salvages b and holds the result against what a reader makes of b itself. */
static void check_salvage(const struct sample *s, const struct bytes *b)
{
	struct mst_verify_result found, left;
	struct mst_problem problem;
	struct outcome before, after;
	int in = sample_fd(b->p, b->len), out = sample_fd((const uint8_t *)"", 0);

	outcome_read(&before, s, in);
	assert_int_equal(mst_salvage(in, out, &found, &problem), 0);
	outcome_read(&after, s, out);
	assert_false(after.is_wrong || after.loss.is_truncated);
	assert_int_equal(after.n_delivered, before.n_delivered);
	assert_memory_equal(after.delivered, before.delivered, s->n_events);
	if (!before.loss.is_truncated)
		assert_int_equal(after.loss.events, before.loss.events);
	if (before.loss.events == 0 && before.loss.frames == 0)
		assert_int_equal(mst_verify(out, &left, NULL, NULL, NULL, &problem), 0);
	free(before.delivered);
	free(after.delivered);
	close(in);
	close(out);
}

static void salvage_of_a_sound_file_loses_nothing(void **state)
{
	struct sample s;

	(void)state;
	sample_make(&s, &larger);
	check_salvage(&s, &(struct bytes){s.bytes, s.len});
	sample_release(&s);
}

static void salvage_of_a_sound_file_is_that_file(void **state)
{
	struct mst_verify_result found;
	struct mst_problem problem;
	struct sample s;

	(void)state;
	sample_make(&s, &larger);
	uint8_t *copy = malloc(s.len + 1);
	int in = sample_fd(s.bytes, s.len), out = sample_fd((const uint8_t *)"", 0);

	assert_int_equal(mst_salvage(in, out, &found, &problem), 0);
	assert_int_equal(pread(out, copy, s.len + 1, 0), s.len);
	assert_memory_equal(copy, s.bytes, s.len);
	free(copy);
	close(in);
	close(out);
	sample_release(&s);
}

static void salvage_keeps_every_intact_frame(void **state)
{
	struct sample s;

	(void)state;
	random_state = 9;
	sample_make(&s, &larger);
	for (unsigned round = 0; round < 60 / stride() + 1; round++) {
		struct bytes b = copy_of(&s);
		size_t at = draw(s.len - 6000), len = 1 + draw(3000);

		if (round % 3 == 0)
			burst(&b, at, len);
		else if (round % 3 == 1)
			delete_range(&b, at, len);
		else
			b.len = 1000 + draw(b.len - 1000);
		check_salvage(&s, &b);
		free(b.p);
	}
	sample_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cut_keeps_the_frames_before_it),
		cmocka_unit_test(every_flipped_bit_is_noticed_and_costs_one_frame),
		cmocka_unit_test(bursts_insertions_and_deletions_cost_only_what_they_touch),
		cmocka_unit_test(a_frame_said_twice_is_noticed_and_costs_nothing),
		cmocka_unit_test(swapped_frames_are_noticed_and_cost_only_themselves),
		cmocka_unit_test(frames_of_another_trace_are_noticed_and_not_used),
		cmocka_unit_test(a_second_trace_behind_the_first_is_noticed_and_not_used),
		cmocka_unit_test(salvage_of_a_sound_file_loses_nothing),
		cmocka_unit_test(salvage_of_a_sound_file_is_that_file),
		cmocka_unit_test(salvage_keeps_every_intact_frame),
	};

	/* A fixed threshold: the decoder's scratch comes zeroed from the kernel each time, touched only where needed. */
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
