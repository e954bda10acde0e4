/* shortest.h -- floating-point numbers as PostgreSQL prints them. */
#ifndef PEN_SHORTEST_H
#define PEN_SHORTEST_H

#include <stddef.h>

/* Room for any result of the functions below; they write no NUL. */
#define PEN_FLOAT_TEXT_MAX 32

/*
 * The fewest digits that read back as the same value, the closest where there are several, in the
 * form of float8out and float4out with extra_float_digits = 1 ("0.1", "1e+15", "NaN",
 * "-Infinity"). Return the length. A finite result is a JSON number.
 */
extern size_t pen_float8_text(char *to, double value);
extern size_t pen_float4_text(char *to, float value);

#endif
