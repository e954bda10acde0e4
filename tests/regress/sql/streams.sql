-- streams.sql -- large transactions come in parts before they end; who applies them has the same in
-- the end. Where parts begin depends on the server's version, so it is not printed.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
SET logical_decoding_work_mem = '64kB';
SELECT FROM pg_create_logical_replication_slot('streams', 'penstock');
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE t(id int PRIMARY KEY, v text, m mood);
CREATE TABLE other(id int PRIMARY KEY, v text);

-- What is in the slot, consumed: streamed and applied, it is what it would have been in one piece.
CREATE FUNCTION streamed(VARIADIC options text[] DEFAULT '{}')
RETURNS TABLE(lines bigint, streamed boolean, firsts bigint, aborts bigint, subs boolean) LANGUAGE plpgsql AS $$
DECLARE
	whole text[] := ARRAY(SELECT applied('streams', VARIADIC options));
	raw text[];
BEGIN
	options := options || '{streaming,on}';
	raw := check_formats('streams', VARIADIC options);
	PERFORM first_difference('whole and streamed differ', whole, ARRAY(SELECT applied('streams', VARIADIC options)));
	PERFORM pg_logical_slot_get_binary_changes('streams', NULL, NULL, VARIADIC options);
	RETURN QUERY SELECT cardinality(whole)::bigint, count(*) FILTER (WHERE line = 'STREAM STOP') > 0,
		count(*) FILTER (WHERE line = 'STREAM START first'), count(*) FILTER (WHERE line LIKE 'STREAM ABORT%'),
		count(*) FILTER (WHERE line = 'SUB-TRANSACTION') > 0 FROM unnest(raw) line;
END $$;

-- small ones are not streamed
INSERT INTO t VALUES (0, 'small', 'sad');
SELECT * FROM streamed();
INSERT INTO t SELECT i, repeat('x', 100), 'happy' FROM generate_series(1, 600) i;
SELECT * FROM streamed();

-- sub-transactions
BEGIN;
UPDATE t SET v = repeat('y', 100) WHERE id <= 250;
SAVEPOINT a;
UPDATE t SET v = repeat('z', 100) WHERE id > 350;
SAVEPOINT b;
DELETE FROM t WHERE id > 450;
RELEASE a;
UPDATE t SET id = -id WHERE id BETWEEN 100 AND 300;
INSERT INTO other SELECT i, repeat('x', 100) FROM generate_series(1, 500) i;
COMMIT;
SELECT * FROM streamed();

-- some of them rolled back, of those with rows at the beginning, in the middle and at the end
BEGIN;
SAVEPOINT a;
INSERT INTO other SELECT i, 'never' FROM generate_series(1001, 1500) i;
ROLLBACK TO a;
INSERT INTO other SELECT i, repeat('y', 100) FROM generate_series(1001, 1500) i;
SAVEPOINT b;
UPDATE other SET v = 'never';
SAVEPOINT c;
TRUNCATE t;
ROLLBACK TO b;
INSERT INTO other VALUES (3000, 'last');
SAVEPOINT d;
DELETE FROM other;
ROLLBACK TO d;
COMMIT;
SELECT lines, streamed, firsts, aborts > 0 AS aborted FROM streamed();

-- a table that only exists, has its columns, or whose type has its value, in the sub-transaction that is rolled back
BEGIN;
INSERT INTO other VALUES (4000, 'top');
SAVEPOINT a;
CREATE TABLE never(id int PRIMARY KEY, v text);
INSERT INTO never SELECT i, repeat('x', 100) FROM generate_series(1, 500) i;
ALTER TABLE other ADD COLUMN never int;
INSERT INTO other SELECT i, 'never', i FROM generate_series(5001, 5500) i;
ALTER TYPE mood RENAME TO other_mood;
ROLLBACK TO a;
INSERT INTO other SELECT i, 'stays' FROM generate_series(5001, 5500) i;
COMMIT;
SELECT lines, streamed, firsts FROM streamed();

-- schema changes within
BEGIN;
INSERT INTO other SELECT i, repeat('x', 100) FROM generate_series(7001, 7400) i;
ALTER TABLE other ADD COLUMN n int DEFAULT 7;
INSERT INTO other SELECT i, repeat('x', 100), i FROM generate_series(8001, 8400) i;
ALTER TABLE other ALTER COLUMN n TYPE text;
INSERT INTO other SELECT i, repeat('x', 100), i FROM generate_series(9001, 9400) i;
ALTER TABLE other RENAME COLUMN v TO w;
UPDATE other SET w = 'new' WHERE id > 9300;
CREATE TABLE made AS SELECT id, w FROM other WHERE id < 8300;
TRUNCATE t, made;
COMMIT;
SELECT * FROM streamed();

-- all of it rolled back: nothing is left, streamed or not
BEGIN;
INSERT INTO made SELECT i, repeat('x', 100) FROM generate_series(1, 600) i;
SAVEPOINT a;
INSERT INTO made SELECT i, repeat('x', 100) FROM generate_series(1, 600) i;
ROLLBACK;
INSERT INTO made VALUES (-1, 'after');
SELECT lines FROM streamed();

-- TOASTed values, and rows of tables that are not sent
CREATE TABLE toasted(id int PRIMARY KEY, n int, v text);
ALTER TABLE toasted ALTER v SET STORAGE EXTERNAL;
BEGIN;
INSERT INTO toasted SELECT i, 0, repeat(chr(96 + i), 5000 + i) FROM generate_series(1, 26) i;
UPDATE toasted SET n = 1;
UPDATE toasted SET v = v || n WHERE id > 20;
COMMIT;
SELECT * FROM streamed();
BEGIN;
INSERT INTO made SELECT i, repeat('x', 100) FROM generate_series(1, 600) i;
INSERT INTO other VALUES (20000, 'sent');
INSERT INTO made SELECT i, repeat('x', 100) FROM generate_series(1, 600) i;
COMMIT;
SELECT lines, firsts FROM streamed('exclude_tables', '*.made');
BEGIN;
INSERT INTO made SELECT i, repeat('x', 100) FROM generate_series(1, 600) i;
COMMIT;
SELECT count(*) FROM unnest(check_formats('streams', 'streaming', 'on', 'exclude_tables', '*.made'));
-- the server may have transactions of its own among them
SELECT count(*) > 0, count(*) FILTER (WHERE line !~ '^(STREAM|BEGIN|COMMIT)') FROM unnest(check_formats('streams', 'streaming', 'on', 'exclude_tables', '*.made', 'skip_empty', 'off')) line;
SELECT streamed, firsts FROM streamed('exclude_tables', '*.made', 'skip_empty', 'off');

-- messages: with the transaction and its sub-transactions, or between the parts
BEGIN;
INSERT INTO made SELECT i, repeat('x', 100) FROM generate_series(1, 400) i;
SELECT FROM pg_logical_emit_message(true, 'p', 'top');
SAVEPOINT a;
SELECT FROM pg_logical_emit_message(true, 'p', 'never');
INSERT INTO made SELECT i, repeat('x', 100) FROM generate_series(1, 400) i;
SELECT FROM pg_logical_emit_message(true, 'p', 'never');
ROLLBACK TO a;
SAVEPOINT b;
INSERT INTO made SELECT i, repeat('x', 100) FROM generate_series(1, 400) i;
SELECT FROM pg_logical_emit_message(true, 'p', 'sub');
COMMIT;
SELECT lines, streamed, firsts FROM streamed('messages', 'on');

-- one write an event, or large ones, make no difference
INSERT INTO other SELECT i, repeat('x', 100) FROM generate_series(-500, -1) i;
SELECT count(*) FROM (SELECT DISTINCT md5(string_agg(line, ' ')) FROM (VALUES ('0'), ('1000'), ('1000000')) b(bytes),
	applied('streams', 'streaming', 'on', 'batch_bytes', bytes) line GROUP BY bytes) d;
SELECT count(*) > 500, max(length(data)) < 500 FROM pg_logical_slot_peek_binary_changes('streams', NULL, NULL, 'streaming', 'on', 'batch_bytes', '0');
-- an older client cannot read it
SELECT * FROM changes('streams', 'streaming', 'on', 'protocol_max', '1');
SELECT * FROM streamed();

RESET logical_decoding_work_mem;
SELECT FROM pg_drop_replication_slot('streams');
DROP TABLE t, other, made, toasted;
DROP TYPE mood;
DROP FUNCTION streamed;
