/* See share.h. */
#include "share.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's robust list, of the thread that called ms_share_init. glibc's own list for that thread is
 * replaced: we use no robust mutexes. */
static struct robust_list_head life = {
	.list = {.next = &life.list},
	.futex_offset = MS_PAGE + offsetof(struct ms_control, recorder_lock),
};
static uint32_t life_tid;
static pthread_mutex_t life_mutex = PTHREAD_MUTEX_INITIALIZER; /* of the list's links */

int ms_share_init(void)
{
	life_tid = (uint32_t)syscall(SYS_gettid);
	return syscall(SYS_set_robust_list, &life, sizeof life) ? -errno : 0;
}

/* The kernel may walk the list at any instant (we are killed): each store leaves it whole. */
static void live_with(struct robust_list *node)
{
	pthread_mutex_lock(&life_mutex);
	node->next = life.list.next;
	atomic_signal_fence(memory_order_seq_cst);
	life.list.next = node;
	pthread_mutex_unlock(&life_mutex);
}

static void live_without(const struct robust_list *node)
{
	pthread_mutex_lock(&life_mutex);
	struct robust_list *at = &life.list;
	while (at->next != &life.list && at->next != node)
		at = at->next;
	if (at->next == node)
		at->next = node->next;
	pthread_mutex_unlock(&life_mutex);
}

/* A mapping with a private page before the segment. MAP_FAILED with errno. */
static unsigned char *map_segment(int fd)
{
	size_t size = MS_PAGE + MS_SEGMENT_SIZE;
	unsigned char *base =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return base;
	if (mmap(base + MS_PAGE, MS_SEGMENT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) !=
		MAP_FAILED)
		return base;
	int error = errno;
	munmap(base, size);
	errno = error;
	return MAP_FAILED;
}

static void fill_control(struct ms_control *control, const struct ms_share_config *config)
{
	control->magic = MS_WIRE_MAGIC;
	control->abi = MS_WIRE_ABI;
	control->size = sizeof *control;
	control->clock_base = config->clock_base;
	control->clock = config->clock;
	control->on_full = config->on_full;
	control->stack_depth = config->stack_depth;
	control->free_stacks = config->free_stacks;
	control->backlog = config->backlog;
	control->n_chunks = MS_MAX_CHUNKS;
	control->n_slots = MS_MAX_SLOTS;
	atomic_store_explicit(&control->recorder_lock, life_tid, memory_order_relaxed);
}

int ms_share_open(const struct ms_share_config *config, struct ms_share *share, int *fd)
{
	memset(share, 0, sizeof *share);
	int memfd = memfd_create("mstrace", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memfd < 0)
		return -errno;
	/* Sealed against a change of size: a truncated segment would kill us by SIGBUS. */
	if (ftruncate(memfd, (off_t)MS_SEGMENT_SIZE) ||
		fcntl(memfd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
		goto fail;
	unsigned char *mapping = map_segment(memfd);
	if (mapping == MAP_FAILED)
		goto fail;
	fill_control((struct ms_control *)(void *)(mapping + MS_PAGE), config);
	ms_segment_view(&share->segment, mapping + MS_PAGE);
	share->mapping = mapping;
	live_with((struct robust_list *)(void *)mapping);
	*fd = memfd;
	return 0;
fail:;
	int error = errno;
	close(memfd);
	return -error;
}

void ms_share_close(struct ms_share *share)
{
	if (!share->mapping)
		return;
	live_without((struct robust_list *)(void *)share->mapping);
	munmap(share->mapping, MS_PAGE + MS_SEGMENT_SIZE);
	share->mapping = NULL;
}

static void wake(_Atomic uint32_t *futex)
{
	syscall(SYS_futex, futex, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void ms_share_detach(const struct ms_share *share)
{
	if (!share->mapping)
		return; /* an arrival without a segment: a notice */
	atomic_store_explicit(&share->segment.control->detached, 1, memory_order_release);
	if (ms_arena_freed(&share->segment))
		wake(&share->segment.control->free_gen);
}

void ms_share_pause(const struct ms_share *share, bool is_paused)
{
	if (!share->mapping)
		return; /* an arrival without a segment: a notice */
	atomic_store(&share->segment.control->paused, is_paused);
}

bool ms_share_is_paused(const struct ms_share *share)
{
	return atomic_load(&share->segment.control->paused);
}

void ms_share_freed(const struct ms_share *share)
{
	if (ms_arena_freed(&share->segment))
		wake(&share->segment.control->free_gen);
}
