/* draw_folded flame|icicle|folded|hostile < STACKS: any folded text through a view, without a trace. */
#include "flame.h"
#include "folded.h"
#include "hostile.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>

struct builder {
	struct view_node *nodes;
	uint32_t n, cap;
	char *input; /* all of it; the names point into it */
};

static uint32_t add_node(struct builder *b, uint32_t parent, const char *s, size_t n)
{
	if (b->n == b->cap) {
		b->cap = b->cap ? 2 * b->cap : 64;
		b->nodes = realloc(b->nodes, b->cap * sizeof(*b->nodes));
		if (!b->nodes)
			ms_die("out of memory");
	}
	b->nodes[b->n] = (struct view_node){.parent = parent, .name = {s, n}};
	if (b->n) {
		b->nodes[b->n].next_sibling = b->nodes[parent].first_child;
		b->nodes[parent].first_child = b->n;
	}
	return b->n++;
}

static uint32_t find_child(struct builder *b, uint32_t parent, const char *s, size_t n)
{
	for (uint32_t c = b->nodes[parent].first_child; c; c = b->nodes[c].next_sibling)
		if (b->nodes[c].name.n == n && memcmp(b->nodes[c].name.s, s, n) == 0)
			return c;
	return add_node(b, parent, s, n);
}

static void add_weight(struct builder *b, uint32_t at, uint64_t weight)
{
	b->nodes[at].self += weight;
	for (;; at = b->nodes[at].parent) {
		b->nodes[at].total += weight;
		if (!at)
			return;
	}
}

/* "[inlined] f" marks an inlined function, "name@module" its module, as only this test knows. */
static void mark(struct view_node *n)
{
	static const char inlined[] = "[inlined] ";
	const char *at = memchr(n->name.s, '@', n->name.n);

	if (n->name.n > sizeof(inlined) && memcmp(n->name.s, inlined, sizeof(inlined) - 1) == 0) {
		n->is_inlined = true;
		n->name.s += sizeof(inlined) - 1;
		n->name.n -= sizeof(inlined) - 1;
		n->file = (struct view_text){"src/inl.h", 9};
		n->line = 42;
	}
	if (at) {
		n->module = (struct view_text){at + 1, n->name.n - (size_t)(at + 1 - n->name.s)};
		n->name.n = (size_t)(at - n->name.s);
	}
	n->is_cut = n->name.n == 11 && memcmp(n->name.s, "[cut stack]", 11) == 0;
}

static void read_input(struct builder *b)
{
	size_t len = 0, cap = 1 << 16, n;

	b->input = malloc(cap);
	while (b->input && (n = fread(b->input + len, 1, cap - len - 1, stdin)) > 0) {
		len += n;
		if (cap - len == 1)
			b->input = realloc(b->input, cap *= 2);
	}
	if (!b->input)
		ms_die("out of memory");
	b->input[len] = '\0';
}

static void read_stacks(struct builder *b)
{
	read_input(b);
	for (char *rest = b->input, *line; (line = strsep(&rest, "\n")) != NULL && *line;) {
		char *weight = strrchr(line, ' '), *name;
		uint32_t at = 0;

		if (!weight)
			ms_die("a line without a weight");
		*weight = '\0';
		while ((name = strsep(&line, ";")) != NULL)
			at = find_child(b, at, name, strlen(name));
		add_weight(b, at, strtoull(weight + 1, NULL, 10));
	}
}

static void add_hostile(struct builder *b)
{
	for (size_t i = 0; i < N_HOSTILE; i++) {
		const struct hostile *h = &hostile_strings[i];
		uint32_t at = add_node(b, 0, h->bytes, h->n);

		b->nodes[at].module = b->nodes[at].file = (struct view_text){h->bytes, h->n};
		add_weight(b, at, 1000);
	}
}

int main(int argc, char **argv)
{
	static const struct view_facts plain = {"Bytes allocated: test", "a folded text", NULL};
	static const struct view_facts hostile = {
		"]]></title><script>&\033[2J", "\xff\"'<x>", "gaps: </text> & \x80"};
	struct flame_options opt = {.width = FLAME_DEFAULT_WIDTH};
	struct builder b = {0};
	struct view_tree tree;
	struct ms_out out;
	bool is_hostile;

	ms_report_init("draw_folded", MS_EXIT_FAIL);
	if (argc != 2)
		ms_die("say what to draw");
	is_hostile = strcmp(argv[1], "hostile") == 0 || strcmp(argv[1], "hostile-folded") == 0;
	opt.is_inverted = strcmp(argv[1], "icicle") == 0;
	add_node(&b, 0, "all", 3);
	if (is_hostile)
		add_hostile(&b);
	else
		read_stacks(&b);
	for (uint32_t i = 1; i < b.n && !is_hostile; i++)
		mark(&b.nodes[i]);
	tree = (struct view_tree){b.nodes, b.n, VIEW_BYTES};
	ms_out_init_fd(&out, 1);
	if (strstr(argv[1], "folded"))
		folded_write(&tree, &out);
	else
		flame_draw(&tree, is_hostile ? &hostile : &plain, &opt, &out);
	free(b.nodes);
	free(b.input);
	return ms_report_close(&out, NULL, MS_EXIT_OK);
}
