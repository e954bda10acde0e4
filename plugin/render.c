/* render.c -- what the formats that render the native one need of the server: memory for unpacked
 * messages, and texts that are right in any encoding. */
#include "postgres.h"

#include "render.h"

#include "mb/pg_wchar.h"

static void *
allocate(void *unused, size_t size)
{
	return palloc_extended(Max(size, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
}

/* The memory context goes as a whole. */
static void
release(void *unused, void *pointer)
{
}

ProtobufCAllocator render_allocator = {allocate, release, NULL};

static char *
put_escape(char *to, pg_wchar character)
{
	return to + sprintf(to, "\\u%04x", (unsigned int) character);
}

void
render_escape(pen_wire_buf *out, size_t offset)
{
	const uint8 *from = out->data + offset;
	size_t len = out->len - offset;
	size_t extra = 0;
	char *escaped;
	char *to;

	for (size_t i = 0; i < len; i++)
		extra += IS_HIGHBIT_SET(from[i]) ? 6 : 0;
	if (extra == 0)
		return;
	escaped = to = palloc_extended(len + extra, MCXT_ALLOC_HUGE);
	for (size_t i = 0; i < len;)
	{
		pg_wchar character;

		if (!IS_HIGHBIT_SET(from[i]))
		{
			*to++ = (char) from[i++];
			continue;
		}
		character = utf8_to_unicode(from + i);
		i += pg_utf_mblen(from + i);
		if (character > 0xFFFF)
		{
			to = put_escape(to, 0xD800 + ((character - 0x10000) >> 10));
			to = put_escape(to, 0xDC00 + ((character - 0x10000) & 0x3FF));
		}
		else
			to = put_escape(to, character);
	}
	out->len = offset;
	pen_wire_append(out, escaped, to - escaped);
	pfree(escaped);
}
