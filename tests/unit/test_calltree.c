/* The call tree against a model that spells every stack out as a line of text and adds the weights by line.
 * The reader is a fake: a random stack tree over few functions, some inlined, some without symbols. */
#include "mstrace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_STACKS = 400, N_CODES = 12, MAX_SYMBOLS = 3 };

struct mst_reader {
	struct mst_stack stacks[MAX_STACKS + 1];
	uint32_t n_stacks;
	struct mst_code codes[N_CODES + 1];
	struct mst_symbol symbols[N_CODES + 1][MAX_SYMBOLS];
	size_t n_symbols[N_CODES + 1];
};

static struct mst_reader fake;

uint32_t mst_reader_n_stacks(const struct mst_reader *r)
{
	return r->n_stacks;
}

const struct mst_stack *mst_reader_stack(const struct mst_reader *r, uint32_t id)
{
	return id > MST_STACK_CUT && id <= r->n_stacks ? &r->stacks[id] : NULL;
}

const struct mst_code *mst_reader_code(const struct mst_reader *r, uint32_t id)
{
	return id && id <= N_CODES ? &r->codes[id] : NULL;
}

const struct mst_symbol *mst_reader_symbols(const struct mst_reader *r, uint32_t code, size_t *n)
{
	*n = code <= N_CODES ? r->n_symbols[code] : 0;
	return r->symbols[code <= N_CODES ? code : 0];
}

static uint32_t roll(uint32_t n)
{
	return (uint32_t)rand() % n;
}

static void make_codes(void)
{
	for (uint32_t c = 1; c <= N_CODES; c++) {
		fake.codes[c] = (struct mst_code){.module = 1 + roll(2), .offset = c * 16};
		fake.n_symbols[c] = roll(MAX_SYMBOLS + 1);
		for (size_t i = 0; i < fake.n_symbols[c]; i++)
			fake.symbols[c][i] = (struct mst_symbol){.function = 1 + roll(5),
				.file = 1 + roll(3),
				.line = roll(99),
				.is_inlined = i + 1 < fake.n_symbols[c]};
	}
}

static void make_stacks(void)
{
	memset(&fake, 0, sizeof fake);
	make_codes();
	fake.n_stacks = MAX_STACKS;
	for (uint32_t id = 2; id <= MAX_STACKS; id++)
		fake.stacks[id] =
			(struct mst_stack){.parent = roll(4) ? roll(id) : id - 1, .code = 1 + roll(N_CODES)};
}

/* ---- the model: "/name/name..." -> weight -------------------------------------------------------------- */

static struct line {
	char *path;
	uint64_t total;
} lines[MAX_STACKS * MAX_SYMBOLS * MAX_STACKS];
static size_t n_lines;

static void add_line(const char *path, uint64_t weight)
{
	for (size_t i = 0; i < n_lines; i++) {
		if (strcmp(lines[i].path, path) == 0) {
			lines[i].total += weight;
			return;
		}
	}
	lines[n_lines++] = (struct line){strdup(path), weight};
}

static void forget_lines(void)
{
	while (n_lines > 0)
		free(lines[--n_lines].path);
}

/* Every prefix of the stack's path gets the weight. */
static void model_add(uint32_t stack, uint64_t weight)
{
	uint32_t chain[MAX_STACKS];
	int depth = 0;
	char path[20000] = "";
	size_t len = 0;
	for (uint32_t id = stack; id; id = id == MST_STACK_CUT ? 0 : fake.stacks[id].parent)
		chain[depth++] = id;
	while (depth-- > 0) {
		uint32_t code = fake.stacks[chain[depth]].code;
		if (chain[depth] == MST_STACK_CUT) {
			len += (size_t)sprintf(path + len, "/cut");
			add_line(path, weight);
			continue;
		}
		if (fake.n_symbols[code] == 0) {
			len += (size_t)sprintf(path + len, "/c%u", code);
			add_line(path, weight);
		}
		for (size_t i = fake.n_symbols[code]; i-- > 0;) {
			len += (size_t)sprintf(path + len, "/f%u@%u", fake.symbols[code][i].function,
				fake.codes[code].module);
			add_line(path, weight);
		}
	}
}

static void check_node(const struct mst_callnode *nodes, uint32_t i, char *path)
{
	const struct mst_callnode *n = &nodes[i];
	char name[64];
	if (n->is_cut)
		snprintf(name, sizeof name, "/cut");
	else if (n->function)
		snprintf(name, sizeof name, "/f%u@%u", n->function, n->module);
	else
		snprintf(name, sizeof name, "/c%u", n->code);
	strcat(path, name);
	for (size_t k = 0; k < n_lines; k++) {
		if (strcmp(lines[k].path, path) != 0)
			continue;
		assert_int_equal(lines[k].total, n->total);
		lines[k].total = UINT64_MAX; /* each line is one node */
		return;
	}
	fail_msg("no stack has the path %s", path);
}

/* Checks the children of `i`, and theirs, against the lines; returns the number of nodes below. */
static uint32_t check_children(const struct mst_callnode *nodes, uint32_t i, const char *path)
{
	static char paths[MAX_STACKS * MAX_SYMBOLS][20000];
	static uint32_t depth;
	uint32_t n = 0;
	uint64_t sum = nodes[i].self, previous = UINT64_MAX;
	char *here = paths[depth++];
	for (uint32_t c = nodes[i].first_child; c; c = nodes[c].next_sibling) {
		assert_int_equal(nodes[c].parent, i);
		assert_true(c > i);
		assert_true(nodes[c].total <= previous);
		previous = nodes[c].total;
		sum += nodes[c].total;
		strcpy(here, path);
		check_node(nodes, c, here);
		n += 1 + check_children(nodes, c, here);
	}
	depth--;
	assert_int_equal(sum, nodes[i].total);
	return n;
}

static void equals_the_model_on_random_stacks(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		srand(seed);
		make_stacks();
		struct mst_calltree *t = NULL;
		assert_int_equal(mst_calltree_new(&fake, &t), 0);
		for (int i = 0; i < 60; i++) {
			uint32_t stack = roll(MAX_STACKS + 1);
			uint64_t weight = 1 + roll(1000);
			model_add(stack, weight);
			assert_int_equal(mst_calltree_add(t, stack, weight), 0);
		}
		uint32_t n;
		const struct mst_callnode *nodes = mst_calltree_finish(t, &n);
		assert_non_null(nodes);
		assert_int_equal(check_children(nodes, 0, "") + 1, n);
		assert_int_equal(n_lines + 1, n);
		forget_lines();
		mst_calltree_free(t);
	}
}

static const struct mst_callnode *tree_of(
	struct mst_calltree **t, const uint32_t *stacks, size_t n, uint32_t *n_nodes)
{
	assert_int_equal(mst_calltree_new(&fake, t), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(mst_calltree_add(*t, stacks[i], 10), 0);
	return mst_calltree_finish(*t, n_nodes);
}

static void is_only_a_root_without_weights(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof fake);
	struct mst_calltree *t;
	uint32_t n;
	const struct mst_callnode *nodes = tree_of(&t, NULL, 0, &n);
	assert_int_equal(n, 1);
	assert_int_equal(nodes[0].total, 0);
	assert_int_equal(nodes[0].first_child, 0);
	assert_int_equal(mst_calltree_add(t, 0, 1), MST_EARG);
	mst_calltree_free(t);
}

static void gives_unrecorded_and_unknown_stacks_to_the_root(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof fake);
	struct mst_calltree *t;
	uint32_t n;
	const uint32_t stacks[] = {MST_STACK_NONE, 77, UINT32_MAX};
	const struct mst_callnode *nodes = tree_of(&t, stacks, 3, &n);
	assert_int_equal(n, 1);
	assert_int_equal(nodes[0].self, 30);
	assert_int_equal(nodes[0].total, 30);
	mst_calltree_free(t);
}

static void survives_wrong_tables(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof fake);
	fake.n_stacks = 4;
	fake.stacks[2] = (struct mst_stack){.parent = 4, .code = 99}; /* not below itself, and no such code */
	fake.stacks[3] = (struct mst_stack){.parent = 3, .code = 1};
	fake.stacks[4] = (struct mst_stack){.parent = 2, .code = 1};
	struct mst_calltree *t;
	uint32_t n;
	const uint32_t stacks[] = {2, 3, 4};
	const struct mst_callnode *nodes = tree_of(&t, stacks, 3, &n);
	assert_int_equal(n, 4);
	assert_int_equal(nodes[0].total, 30);
	assert_int_equal(nodes[1].code, 99);
	assert_int_equal(nodes[1].total, 20);
	mst_calltree_free(t);
}

static void calls_inlined_what_is_so_everywhere(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof fake);
	fake.n_stacks = 3;
	fake.stacks[2] = (struct mst_stack){.code = 1};
	fake.stacks[3] = (struct mst_stack){.code = 2};
	fake.n_symbols[1] = fake.n_symbols[2] = 1;
	fake.symbols[1][0] = (struct mst_symbol){.function = 1, .is_inlined = true};
	fake.symbols[2][0] = (struct mst_symbol){.function = 1};
	struct mst_calltree *t;
	uint32_t n;
	const uint32_t one[] = {2}, both[] = {2, 3};
	assert_true(tree_of(&t, one, 1, &n)[1].is_inlined);
	mst_calltree_free(t);
	assert_false(tree_of(&t, both, 2, &n)[1].is_inlined);
	assert_int_equal(n, 2);
	mst_calltree_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_the_model_on_random_stacks),
		cmocka_unit_test(is_only_a_root_without_weights),
		cmocka_unit_test(gives_unrecorded_and_unknown_stacks_to_the_root),
		cmocka_unit_test(survives_wrong_tables),
		cmocka_unit_test(calls_inlined_what_is_so_everywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
