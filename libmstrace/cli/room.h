/* room.h - memory for what a tool collects. Never NULL: a tool that has no memory ends, saying so (ms_die). */
#ifndef MS_CLI_ROOM_H
#define MS_CLI_ROOM_H

#include <stddef.h>

/* Makes room for n items of `size` bytes in an array of *cap, grown at least twofold when it is too small: appending
 * one by one is linear. Returns the array, which may have moved (NULL for items: a new one); what is new in it is
 * undefined. The caller frees it. */
void *ms_room(void *items, size_t *cap, size_t n, size_t size);

/* The same; what is new is zero. */
void *ms_room_zeroed(void *items, size_t *cap, size_t n, size_t size);

/* n items of `size` bytes, all zero. The caller frees them. */
void *ms_zeroed(size_t n, size_t size);

#endif
