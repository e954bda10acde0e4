-- printed_types.sql -- numeric and jsonb, whose texts the plugin prints itself, are byte for byte what
-- their output functions print.
\set ECHO none
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS penstock;
RESET client_min_messages;
\set ECHO all
CREATE TABLE printed(id serial PRIMARY KEY, n numeric, j jsonb);
SELECT FROM pg_create_logical_replication_slot('printed', 'penstock');
-- numbers: signs, group borders, trailing and leading zeros, both header forms, specials
INSERT INTO printed(n) SELECT sign * (digits || '.' || fraction)::numeric * exponent
FROM unnest(ARRAY[1, -1]) sign,
	unnest(ARRAY['0', '1', '9', '10', '99', '999', '1000', '9999', '10000', '10001', '12345678', '99999999', '100000000', '100020003000400050006']) digits,
	unnest(ARRAY['0', '00', '1', '10', '01', '0001', '00001', '0000100', '9999', '99999', '000000000001', '123456789012345678901234567890']) fraction,
	unnest(ARRAY[1, 1e-3, 1e-40, 1e40]) exponent;
INSERT INTO printed(n) VALUES ('NaN'), ('Infinity'), ('-Infinity'), (0), (-0.0), (0.000), (1e131071), (-1e131071), (1e-16383), ('1e-16383'::numeric - 1),
	(repeat('9', 131072)::numeric), (('0.' || repeat('1', 16383))::numeric), (10::numeric ^ 63), (10::numeric ^ 64), (10::numeric ^ 252), (10::numeric ^ 256 + 0.5),
	(1::numeric(1000, 63)), (1::numeric(1000, 64)), (-0.00005::numeric(1000, 100));
INSERT INTO printed(n) SELECT (i * i * i - 500000)::numeric / (i + 1) FROM generate_series(1, 300) i;
-- documents: every kind of value, escapes, nesting, emptiness, many and long keys, short and long storage
INSERT INTO printed(j) VALUES ('null'), ('true'), ('false'), ('0'), ('-12.50'), ('1e300'), ('""'), ('"text"'), ('[]'), ('{}'), ('[[]]'), ('[{}]'), ('{"":{}}'),
	('"\" \\ \/ \b \f \n \r \t \u0001 \u001f \u007f \u00e9 \u20ac \ud83d\ude00"'), ('{"\"k\\\n": "v"}'),
	('[1, "a", null, true, false, {"b": [2, {"c": "d"}]}, [], {}]'), ('{"z": 1, "a": [1.0, 1.00], "bb": null, "aa": {"x": {"y": {"z": []}}}}'),
	(jsonb_build_object('text', repeat('x', 100))), (jsonb_build_object('text', repeat('x', 200), 'n', 1.5)), (jsonb_build_array(repeat(E'"\n', 60), 123456.789, repeat('y', 3)));
INSERT INTO printed(j) SELECT jsonb_object_agg('key ' || i, jsonb_build_array(i, i / 7.0, repeat('v', i % 9), i % 2 = 0, NULL)) FROM generate_series(1, 300) i;
INSERT INTO printed(j) SELECT jsonb_agg(i) FROM generate_series(1, 2000) i;
INSERT INTO printed(j) SELECT jsonb_agg(md5(i::text)) FROM generate_series(1, 1000) i; -- TOASTed
INSERT INTO printed(j) SELECT (repeat('[', 500) || repeat(']', 500))::jsonb;
INSERT INTO printed(j) SELECT jsonb_build_object('i', i, 's', repeat('é', i), 'n', i * 1000.001) FROM generate_series(1, 100) i;
-- through JSON: a number as it is printed, a document as its text
WITH sent AS (
	SELECT (change->'new'->>'id')::int AS id, change->'new'->>'n' AS n, change->'new'->>'j' AS j
	FROM penstock.peek('printed') WHERE change->>'op' = 'insert')
SELECT count(*), count(p.n) AS numbers, count(p.j) AS documents,
	count(*) FILTER (WHERE sent.n IS DISTINCT FROM p.n::text OR sent.j IS DISTINCT FROM p.j::text) AS wrong
FROM printed p LEFT JOIN sent USING (id);
-- through the native format, which is decoded by other code
WITH sent AS (
	SELECT (change->'new'->>'id')::int AS id, change->'new'->>'n' AS n, change->'new'->>'j' AS j
	FROM (SELECT array_agg(data ORDER BY i) AS capture FROM pg_logical_slot_get_binary_changes('printed', NULL, NULL) WITH ORDINALITY c(lsn, xid, data, i)) c,
		penstock.decode(capture) WHERE change->>'op' = 'insert')
SELECT count(*), count(*) FILTER (WHERE sent.n IS DISTINCT FROM p.n::text OR sent.j IS DISTINCT FROM p.j::text) AS wrong
FROM printed p LEFT JOIN sent USING (id);
SELECT pg_drop_replication_slot('printed');
DROP TABLE printed;
