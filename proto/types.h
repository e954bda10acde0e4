/* types.h -- which PostgreSQL types have a form of their own on the wire.
 * The plugin and the consumer's loader of existing rows must agree, so both ask here. */
#ifndef PEN_TYPES_H
#define PEN_TYPES_H

#include <stdint.h>

/* The same numbers as enum Encoding in penstock.proto, where each is explained. */
typedef enum pen_encoding
{
	PEN_ENCODING_UNSPECIFIED = 0,
	PEN_ENCODING_BOOL = 1,
	PEN_ENCODING_INT = 2,
	PEN_ENCODING_OID = 3,
	PEN_ENCODING_FLOAT4 = 4,
	PEN_ENCODING_FLOAT8 = 5,
	PEN_ENCODING_TEXT = 6,
	PEN_ENCODING_BYTEA = 7,
	PEN_ENCODING_DATE = 8,
	PEN_ENCODING_TIME = 9,
	PEN_ENCODING_TIMESTAMP = 10,
	PEN_ENCODING_TIMESTAMPTZ = 11,
	PEN_ENCODING_UUID = 12,
	PEN_ENCODING_OUTPUT = 13,
	PEN_ENCODING_BINARY = 14
} pen_encoding;

/* Oids of the built-in types that this project names; they never change between versions. */
enum
{
	PEN_OID_BOOL = 16,
	PEN_OID_BYTEA = 17,
	PEN_OID_INT8 = 20,
	PEN_OID_INT2 = 21,
	PEN_OID_INT4 = 23,
	PEN_OID_TEXT = 25,
	PEN_OID_OID = 26,
	PEN_OID_JSON = 114,
	PEN_OID_FLOAT4 = 700,
	PEN_OID_FLOAT8 = 701,
	PEN_OID_BPCHAR = 1042,
	PEN_OID_VARCHAR = 1043,
	PEN_OID_DATE = 1082,
	PEN_OID_TIME = 1083,
	PEN_OID_TIMESTAMP = 1114,
	PEN_OID_TIMESTAMPTZ = 1184,
	PEN_OID_NUMERIC = 1700,
	PEN_OID_UUID = 2950
};

/*
 * The encoding of a column whose type, below all domains, is base_type_oid: a form of its own, or
 * PEN_ENCODING_OUTPUT. Never UNSPECIFIED or BINARY.
 */
extern pen_encoding pen_type_encoding(uint32_t base_type_oid);

#endif
