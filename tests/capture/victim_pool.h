/* victim_pool.h - a pool that takes no lock and calls nobody, so that handlers and jumps may meet it anywhere. */
#ifndef VICTIM_POOL_H
#define VICTIM_POOL_H

#include <stddef.h>

void *victim_pool_get(size_t size);
void *victim_pool_change(void *block, size_t size);
void victim_pool_put(void *block);

#endif
