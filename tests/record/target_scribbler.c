/* target_scribbler SEED: writes at random over the segment it shares with msrecord (but not over the control
 * page's promises to itself), while a second thread goes on allocating. Ends with status 6 if nothing has
 * crashed it. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile int is_over;

static void *allocate(void *arg)
{
	(void)arg;
	while (!is_over)
		free(malloc(50));
	return NULL;
}

/* The writable mapping of the memfd. */
static unsigned char *find_segment(size_t *size)
{
	char line[512];
	unsigned long start = 0, end = 0;
	FILE *maps = fopen("/proc/self/maps", "r");
	while (maps && fgets(line, sizeof line, maps))
		if (strstr(line, "memfd:mstrace") && sscanf(line, "%lx-%lx", &start, &end) == 2)
			break;
	if (maps)
		fclose(maps);
	*size = end - start;
	return (unsigned char *)start;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	size_t size;
	srand(argc > 1 ? (unsigned)atoi(argv[1]) : 1);
	free(malloc(1));
	unsigned char *segment = find_segment(&size);
	if (!segment || pthread_create(&thread, NULL, allocate, NULL))
		return 9;
	usleep(30000); /* let msrecord see us sane */
	for (int i = 0; i < 1000; i++) {
		/* slots of the first threads, the bitmap, chunk headers, the first chunks */
		static const size_t places[] = {
			4096, 4096 + 8192 * 128, 4096 * 2 + 8192 * 128, 4096 * 2 + 8192 * 128 + 10240 * 16};
		static const size_t spans[] = {512, 64, 1024, 1u << 20};
		int place = rand() % 4;
		size_t at = places[place] + (size_t)rand() % spans[place];
		for (int n = rand() % 16; n > 0 && at + 16 < size; n--)
			segment[at + (size_t)n] = (unsigned char)rand();
		usleep(200);
		free(malloc(100));
	}
	is_over = 1;
	pthread_join(thread, NULL);
	return 6;
}
