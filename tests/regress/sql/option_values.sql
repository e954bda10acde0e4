-- option_values.sql -- every option: what it takes, and what a mistake is answered with.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
SELECT FROM pg_create_logical_replication_slot('option_values', 'penstock');
CREATE TABLE t(id int PRIMARY KEY);
INSERT INTO t VALUES (1);

-- What the Session says is in force, or the error with its hint.
CREATE FUNCTION try(VARIADIC options text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
	line text;
BEGIN
	SELECT l INTO line FROM events(ARRAY(SELECT data FROM pg_logical_slot_peek_binary_changes('option_values', NULL, NULL, VARIADIC options))) l LIMIT 1;
	RETURN regexp_replace(line, '^session protocol (\d) \S+: (.*)$', '\1 \2');
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN concat(SQLSTATE, ' ', SQLERRM, e'\n  ' || nullif(hint, ''));
END $$;

SELECT try(VARIADIC '{}');
-- switches: as PostgreSQL takes them, or by their name alone
SELECT value, regexp_substr(try('messages', value), 'messages=\w+|invalid value.*') FROM unnest(ARRAY['on', 'off', 'true', 'false', 'yes', 'no', '1', '0', 't', 'f',
	'ON', 'True', '', 'o', 'of', '2', ' on', 'on ', 'onn', 'null']) value;
SELECT option, try(option, 'maybe') FROM unnest(ARRAY['include_generated', 'messages', 'streaming', 'two_phase', 'skip_empty', 'debug-mode']) option;
-- words
SELECT try('format', value) FROM unnest(ARRAY['', 'JSON', 'nativ', 'native ', 'proto']) value;
SELECT regexp_substr(try('values', value), 'values=\w+|invalid value.*') FROM unnest(ARRAY['text', 'binary', 'Text', '']) value;
-- numbers
SELECT option, value, try(option, value) FROM (VALUES ('batch_bytes', '16777217'), ('batch_bytes', '-1'), ('batch_bytes', '1e3'), ('batch_bytes', '2147483648'),
	('batch_bytes', '18446744073709551617'), ('protocol_min', '0'), ('protocol_min', '1000001'), ('protocol_max', '0'), ('protocol_max', '1.0'), ('protocol_max', E'\t1')) v(option, value);
SELECT regexp_substr(try('batch_bytes', value), 'batch_bytes=\w+|invalid value.*') FROM unnest(ARRAY['0', '00', '16777216', '000065536']) value;
-- versions: the newest that both know
SELECT try('protocol_min', low, 'protocol_max', high) FROM (VALUES ('1', '1'), ('1', '2'), ('2', '2'), ('1', '7'), ('3', '7'), ('2', '1')) v(low, high);
-- together
SELECT try('debug-mode', 'on');
SELECT try('messages', 'off', 'message_prefixes', 'p');
SELECT try('two_phase', 'on');
SELECT try('protocol_max', '1', option, 'on') FROM unnest(ARRAY['messages', 'streaming']) option;
SELECT try('format', 'decoderbufs', option, value) FROM (VALUES ('messages', 'on'), ('streaming', 'on'), ('two_phase', 'on'), ('values', 'binary'), ('batch_bytes', '1')) v(option, value);
SELECT try(option, 'x', option, 'x') FROM unnest(ARRAY['include_tables', 'messages', 'unknown']) option;
SELECT try('messages', 'on', 'messages', 'on');
SELECT try(option, '') FROM unnest(ARRAY['Format', 'include-tables', 'debug_mode', 'proto_version', 'ünknown']) option;
-- a mistake in the first is told before one in the second
SELECT try('batch_bytes', 'x', 'unknown', 'y');
SELECT try('origin', repeat('long', 200), 'messages', repeat('x', 70000));
-- long ones are shown in part, but no part of a character
SELECT try('values', 'x' || repeat('ü', 100));
SELECT try('x' || repeat('ü', 100), '');
-- options that name something are in force as they were given
SELECT try('include_tables', e' public.t ,\tc.* ', 'exclude_columns', 'a.b.ü', 'actions', ' insert ', 'origin', 'none', 'messages', '1', 'message_prefixes', 'a');
-- texts in texts only, binary in binary only
SELECT count(*) FROM pg_logical_slot_peek_changes('option_values', NULL, NULL);
SELECT count(*) FROM pg_logical_slot_peek_changes('option_values', NULL, NULL, 'format', 'json');
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('option_values', NULL, NULL, 'format', 'text');

-- transactions of which nothing is sent; the server may have some of its own among them
CREATE TABLE u(id int);
INSERT INTO u VALUES (1);
BEGIN;
INSERT INTO u VALUES (2);
SAVEPOINT s;
INSERT INTO t VALUES (2);
ROLLBACK TO s;
COMMIT;
INSERT INTO t VALUES (3);
SELECT * FROM unnest(check_formats('option_values', 'exclude_tables', '*.u', 'skip_empty', 'on'));
SELECT count(*) FILTER (WHERE line = 'BEGIN') >= 5 AS begins, count(*) FILTER (WHERE line = 'BEGIN') = count(*) FILTER (WHERE line = 'COMMIT') AS commits,
	count(*) FILTER (WHERE line ~ 'INSERT') AS rows FROM unnest(check_formats('option_values', 'exclude_tables', '*.u', 'skip_empty', 'off')) line;

-- one line a write, unless many are asked for; the same lines
SELECT count(*) = 7, bool_or(data ~ e'\n') FROM pg_logical_slot_peek_changes('option_values', NULL, NULL, 'format', 'json', 'exclude_tables', '*.u');
SELECT count(*), bool_or(data ~ e'\n'), bool_or(data ~ e'\n$') FROM pg_logical_slot_peek_changes('option_values', NULL, NULL, 'format', 'json', 'exclude_tables', '*.u', 'batch_bytes', '65536');
SELECT lines_of('option_values', 'json', '{}') = lines_of('option_values', 'json', '{batch_bytes,65536}'),
	lines_of('option_values', 'text', '{}') = lines_of('option_values', 'text', '{batch_bytes,100}');

SELECT FROM pg_drop_replication_slot('option_values');
DROP TABLE t, u;
DROP FUNCTION try;
