/* record.c -- what a spool's record may hold after its checksum has passed all the same: bytes read
 * back as chunks. Length and bytes of one record after another. */
#include <stdint.h>
#include <string.h>

#include "base/buffer.h"
#include "check.h"
#include "event/line.h"
#include "transaction/replay.h"

static void
read_chunk(const pen_chunk *chunk)
{
	pen_wire_buf line;
	pen_error error;

	pen_buffer_init(&line);
	for (size_t i = 0; i < chunk->count; i++)
		check_status(pen_event_json(&chunk->events[i], &line, &error), &error);
	pen_buffer_reset(&line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	pen_replay *replay = pen_replay_new();
	pen_error error;

	while (size > 2)
	{
		size_t len = (size_t) data[0] | (size_t) data[1] << 8;
		pen_chunk *chunk;
		void *bytes;

		data += 2;
		size -= 2;
		if (len == 0 || len > size)
			len = size;
		bytes = malloc(len);
		memcpy(bytes, data, len);
		chunk = pen_replay_chunk(replay, bytes, len, &error);
		if (chunk == NULL)
		{
			check_status(error.status, &error);
			break;
		}
		read_chunk(chunk);
		pen_chunk_unref(chunk);
		data += len;
		size -= len;
	}
	pen_replay_free(replay);
	return 0;
}
