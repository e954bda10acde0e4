/* varint.h -- the numbers of protobuf, as bytes. For those who encode by hand: wire.c, and the
 * plugin's format decoderbufs. The room must be there; each function returns the byte after. */
#ifndef PEN_VARINT_H
#define PEN_VARINT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PEN_VARINT_MAX_BYTES 10

static inline size_t
pen_varint_size(uint64_t value)
{
	size_t n = 1;

	while (value >= 0x80)
	{
		value >>= 7;
		n++;
	}
	return n;
}

static inline uint8_t *
pen_put_varint(uint8_t *p, uint64_t value)
{
	while (value >= 0x80)
	{
		*p++ = (uint8_t) (value | 0x80);
		value >>= 7;
	}
	*p++ = (uint8_t) value;
	return p;
}

/* Little-endian. */
static inline uint8_t *
pen_put_fixed32(uint8_t *p, uint32_t value)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	value = __builtin_bswap32(value);
#endif
	memcpy(p, &value, sizeof(value));
	return p + sizeof(value);
}

static inline uint8_t *
pen_put_fixed64(uint8_t *p, uint64_t value)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	value = __builtin_bswap64(value);
#endif
	memcpy(p, &value, sizeof(value));
	return p + sizeof(value);
}

#endif
