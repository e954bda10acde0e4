-- native_types.sql -- types that travel in a form of their own, at their limits.
\pset format unaligned
\pset tuples_only on
SELECT FROM pg_create_logical_replication_slot('native_types', 'penstock');

CREATE TABLE native(id int PRIMARY KEY, b bool, i2 int2, i4 int4, i8 int8, o oid, f4 float4, f8 float8);
INSERT INTO native VALUES
	(1, true, 32767, 2147483647, 9223372036854775807, 4294967295, '3.4028235e+38', '1.7976931348623157e+308'),
	(2, false, -32768, -2147483648, -9223372036854775808, 0, '1e-45', '5e-324'),
	(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(4, NULL, 0, 0, 0, 1, 'NaN', 'NaN'),
	(5, NULL, -1, -1, -1, 2147483648, 'Infinity', 'Infinity'),
	(6, NULL, 1, 1, 1, 65536, '-Infinity', '-Infinity'),
	(7, NULL, 63, 64, -64, 127, '-0', '-0'),
	(8, NULL, -65, 8191, 4611686018427387904, 128, 0.1, 0.1),
	(9, NULL, 100, 16384, -4611686018427387905, 300, -3.25, 123456789.123456789);

CREATE TABLE texts(id int PRIMARY KEY, t text, v varchar(40), c char(5), j json, y bytea, u uuid);
INSERT INTO texts VALUES
	(1, '', '', '', '{}', '', '00000000-0000-0000-0000-000000000000'),
	(2, NULL, NULL, NULL, NULL, NULL, NULL),
	(3, 'it''s \ a "quoted"' || E'\n\ttext', 'grün', 'ab', '{"a":  [1, null]}', '\x00ff0a12', 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
	(4, U&'\+01F600 \4E16', repeat('x', 40), 'abcde', '"\u0000"', '\x5c', '12345678-9abc-def0-1234-56789abcdef0'),
	(5, repeat('long ', 30000), NULL, NULL, NULL, decode(repeat('00ff', 50000), 'hex'), NULL);

CREATE TABLE times(id int PRIMARY KEY, d date, t time, ts timestamp, tz timestamptz);
INSERT INTO times VALUES
	(1, '2000-01-01', '00:00', '2000-01-01', '2000-01-01 00:00Z'),
	(2, 'infinity', '24:00', 'infinity', 'infinity'),
	(3, '-infinity', '23:59:59.999999', '-infinity', '-infinity'),
	(4, '4713-01-01 BC', '12:34:56.789', '4713-01-01 00:00 BC', '4713-01-01 00:00Z BC'),
	(5, '5874897-12-31', NULL, '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999Z'),
	(6, '1999-12-31', '00:00:00.000001', '1999-12-31 23:59:59.999999', '1999-12-31 23:59:59.999999+05:30'),
	(7, '0001-12-31 BC', NULL, '2026-02-28 12:00', '2026-02-28 12:00 Europe/Berlin'),
	(8, NULL, NULL, NULL, NULL);

-- precision and length are in the typmod
CREATE TABLE modified(id int PRIMARY KEY, v varchar(7), c char(3), t time(3), ts timestamp(0), tz timestamptz(3));
INSERT INTO modified VALUES (1, 'seven..', 'x', '01:02:03.45678', '2026-01-01 00:00:00.6', '2026-01-01 00:00:00.1239Z');

SELECT * FROM changes('native_types');
SELECT FROM pg_drop_replication_slot('native_types');
DROP TABLE native, texts, times, modified;
