/* types.c -- the one list of types that travel in a form of their own. */
#include "types.h"

pen_encoding
pen_type_encoding(uint32_t base_type_oid)
{
	switch (base_type_oid)
	{
		case PEN_OID_BOOL:
			return PEN_ENCODING_BOOL;
		case PEN_OID_INT2:
		case PEN_OID_INT4:
		case PEN_OID_INT8:
			return PEN_ENCODING_INT;
		case PEN_OID_OID:
			return PEN_ENCODING_OID;
		case PEN_OID_FLOAT4:
			return PEN_ENCODING_FLOAT4;
		case PEN_OID_FLOAT8:
			return PEN_ENCODING_FLOAT8;
		case PEN_OID_TEXT:
		case PEN_OID_VARCHAR:
		case PEN_OID_BPCHAR:
		case PEN_OID_JSON:
			return PEN_ENCODING_TEXT;
		case PEN_OID_BYTEA:
			return PEN_ENCODING_BYTEA;
		case PEN_OID_DATE:
			return PEN_ENCODING_DATE;
		case PEN_OID_TIME:
			return PEN_ENCODING_TIME;
		case PEN_OID_TIMESTAMP:
			return PEN_ENCODING_TIMESTAMP;
		case PEN_OID_TIMESTAMPTZ:
			return PEN_ENCODING_TIMESTAMPTZ;
		case PEN_OID_UUID:
			return PEN_ENCODING_UUID;
		default:
			return PEN_ENCODING_OUTPUT;
	}
}
