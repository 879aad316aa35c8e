/* translate_stacks.c - nodes of a process's tree to stacks of the trace: each once, as long as the modules it was resolved
 * by stay (its era). */
#include "translator.h"

/* The code of the trace for a return address. 1; 0 if it is of the capture library, which stands in no stack; or negative. */
static int find_code(struct ms_translator *tr, struct ms_process *proc, uint64_t ip, uint32_t *code)
{
	const struct ms_modmap_entry *e = ms_modmap_get(proc->modules, ip);
	proc->has_unknown |= !e;
	if (e && e->is_ours)
		return 0;
	int rc = mst_writer_code(tr->writer, e ? e->module : 0, e ? ip - e->bias : ip, code);
	if (rc >= 0 && !e)
		ms_process_add_stray(proc, ip, *code);
	return rc < 0 ? rc : 1;
}

/* The same, which programs ask of few addresses again and again: each new stack has some. */
static int recall_code(struct ms_translator *tr, struct ms_process *proc, uint64_t ip, uint32_t *code)
{
	size_t at = ip * 0x9e3779b97f4a7c15u >> (64 - MS_KNOWN_CODES_BITS);
	struct ms_known_code *known = proc->known_codes ? &proc->known_codes[at] : NULL;
	if (known && known->ip == ip && known->era == proc->era) {
		*code = known->code;
		return 1;
	}
	int rc = find_code(tr, proc, ip, code);
	if (rc > 0 && known)
		*known = (struct ms_known_code){.ip = ip, .code = *code, .era = proc->era};
	return rc;
}

static int resolve_node(struct ms_translator *tr, struct ms_process *proc, struct ms_node *node)
{
	uint32_t code;
	/* A node's parent has a smaller number and was resolved before. */
	uint32_t parent = node->parent <= MS_NODE_CUT ? node->parent : proc->tree.nodes[node->parent].stack;
	int rc = recall_code(tr, proc, node->ip, &code);
	if (rc == 0)
		node->stack = parent;
	else if (rc > 0)
		rc = mst_writer_stack(tr->writer, parent, code, &node->stack);
	if (rc >= 0)
		node->era = proc->era;
	return rc;
}

int ms_translator_find_stack(struct ms_translator *tr, struct ms_process *proc, uint32_t node, uint32_t *stack)
{
	struct ms_node *nodes = proc->tree.nodes;
	if (nodes[node].era != proc->era && node > MS_NODE_CUT) {
		size_t n = 0;
		for (uint32_t at = node; at > MS_NODE_CUT && nodes[at].era != proc->era;
			at = nodes[at].parent)
			tr->climb[n++] = at;
		while (n > 0) {
			int rc = resolve_node(tr, proc, &nodes[tr->climb[--n]]);
			if (rc < 0)
				return rc;
		}
	}
	*stack = node > MS_NODE_CUT ? nodes[node].stack : MST_STACK_NONE;
	return 0;
}
