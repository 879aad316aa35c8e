/* hook.h - what makes a function one of those that this library exports. */
#ifndef MS_HOOK_H
#define MS_HOOK_H

#define HOOK __attribute__((visibility("default"), noinline))

#endif
