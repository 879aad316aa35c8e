/* grow.h - arrays that grow as they are used. */
#ifndef MST_GROW_H
#define MST_GROW_H

#include <stddef.h>
#include <stdint.h>

/* Grows *array (a pointer to the pointer) of *cap items of `size` bytes to at least `need` items, at least
 * doubling; new items are zero. 0, or MST_ENOMEM leaving everything as it was. */
int mst_grow(void *array, size_t *cap, size_t need, size_t size);

/* The same for tables counted in 32 bits. */
int mst_grow32(void *array, uint32_t *cap, uint32_t need, size_t size);

#endif
