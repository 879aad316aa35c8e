/*
 * A module of two functions, built several times with other frame sizes. plugin_call calls from the same
 * offset in each build, so that a rule kept for it in one would be taken, wrongly, for that in another;
 * plugin_call_late calls from an offset of its own.
 */
#define EXPORT __attribute__((visibility("default")))

EXPORT void plugin_call(void (*callback)(void));
EXPORT void plugin_call_late(void (*callback)(void));

void plugin_call(void (*callback)(void))
{
	volatile char pad[FRAME];

	pad[0] = 1;
	callback();
	pad[1] = pad[0];
}

void plugin_call_late(void (*callback)(void))
{
	__asm__ volatile(".skip " NOPS ", 0x90");
	callback();
	__asm__ volatile("");
}
