/* power.c -- the logs of consumer/store/store.h, by what is said there of their files: segments
 * %020u.log, and `synced`, in which a segment's number stands at byte 8, and its length at 16. */
#include "power.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report.h"

#define FOLDERS_MAX 30

typedef struct mark
{
	uint64_t segment;
	uint64_t bytes;
} mark;

/* Of a folder with a log; all zero where nothing has been synced yet. False: it has none. */
static bool
read_mark(const char *folder, int length, mark *synced)
{
	unsigned char bytes[24];
	char *path;
	int fd;

	memset(synced, 0, sizeof(*synced));
	if (asprintf(&path, "%.*s/synced", length, folder) < 0)
		sim_die("out of memory");
	fd = open(path, O_RDONLY);
	free(path);
	if (fd < 0)
		return false;
	if (read(fd, bytes, sizeof(bytes)) == sizeof(bytes))
	{
		for (int i = 7; i >= 0; i--)
		{
			synced->segment = synced->segment << 8 | bytes[8 + i];
			synced->bytes = synced->bytes << 8 | bytes[16 + i];
		}
	}
	close(fd);
	return true;
}

static int
cut_file(const char *path, const struct stat *stat, int type, struct FTW *place)
{
	const char *name = path + place->base;
	uint64_t number;
	mark synced;

	if (type != FTW_F || strlen(name) != 24 || strcmp(name + 20, ".log") != 0)
		return 0;
	number = strtoull(name, NULL, 10);
	if (!read_mark(path, place->base - 1, &synced) || number < synced.segment)
		return 0;
	if (number > synced.segment
			? unlink(path) != 0
			: (uint64_t) stat->st_size > synced.bytes && truncate(path, (off_t) synced.bytes) != 0)
		sim_die("%s cannot be cut", path);
	return 0;
}

void
sim_lose_power(const char *state_dir)
{
	(void) nftw(state_dir, cut_file, FOLDERS_MAX, FTW_PHYS);
}
