-- peek.sql -- peek and get: a slot's changes as jsonb, and what is consumed when.
\pset format unaligned
\pset tuples_only on
\set VERBOSITY terse
CREATE EXTENSION penstock;
SELECT FROM pg_create_logical_replication_slot('peek', 'penstock');

-- What differs from run to run is left out; of a relation its name and columns are left.
CREATE FUNCTION brief(change jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT CASE WHEN change ->> 'op' = 'relation' THEN
		jsonb_build_object('op', 'relation', 'table', change -> 'table', 'columns', jsonb_path_query_array(change, '$.columns[*].name'))
	ELSE change - '{xid,lsn,time,end_lsn,message_lsn}'::text[] END $$;

CREATE TABLE t(id int PRIMARY KEY, n numeric, j jsonb, a int[], y bytea);
INSERT INTO t VALUES (1, 1.50, '{"k": [1, "é"]}', '{1,NULL}', '\x00ff'), (2, 'NaN', NULL, NULL, NULL);
BEGIN;
UPDATE t SET id = 3, n = 12345678901234567890.1234567890 WHERE id = 1;
DELETE FROM t WHERE id = 2;
TRUNCATE t;
COMMIT;
SELECT brief(change) FROM penstock.peek('peek');
-- the columns before it: those of PostgreSQL's function; the LSN of a commit is where it ends
SELECT bool_and(xid::text = change ->> 'xid') AS xids FROM penstock.peek('peek') WHERE change ? 'xid';
SELECT bool_and(lsn = (change ->> 'end_lsn')::pg_lsn) AS lsns FROM penstock.peek('peek') WHERE change ->> 'op' = 'commit';
SELECT pg_typeof(lsn), pg_typeof(xid), pg_typeof(change) FROM penstock.peek('peek') LIMIT 1;

-- options of the plugin; those that the functions give themselves cannot be given
SELECT penstock.emit('p', '{"from": "emit"}'::jsonb) IS NOT NULL;
SELECT brief(change) FROM penstock.peek('peek', NULL, NULL, 'messages', 'on', 'actions', 'truncate', 'message_prefixes', 'p');
SELECT count(*) FROM penstock.peek('peek', NULL, NULL, 'format', 'json');
SELECT count(*) FROM penstock.peek('peek', NULL, NULL, 'batch_bytes', '1');
SELECT count(*) FROM penstock.peek('peek', NULL, NULL, VARIADIC ARRAY['messages']);
SELECT count(*) FROM penstock.get('peek', NULL, NULL, 'no_such_option', '1');

-- parts: a transaction is never split
SELECT array_agg(change ->> 'op') FROM penstock.peek('peek', NULL, 1);
SELECT array_agg(change ->> 'op') FROM penstock.peek('peek', '0/1');
SELECT array_agg(change ->> 'op') FROM penstock.get('peek', '0/1');
SELECT lsn AS first_end FROM penstock.peek('peek') WHERE change ->> 'op' = 'commit' LIMIT 1 \gset
SELECT array_agg(change ->> 'op') FROM penstock.peek('peek', :'first_end');

-- get: LIMIT 0 and a cursor without a FETCH never start it
SELECT * FROM penstock.get('peek') LIMIT 0;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM penstock.get('peek');
CLOSE c;
COMMIT;
SELECT count(*) FILTER (WHERE change ->> 'op' = 'commit') FROM penstock.peek('peek');
-- by the number of changes, and by LSN
SELECT array_agg(change ->> 'op') FROM penstock.get('peek', NULL, 1);
SELECT confirmed_flush_lsn = :'first_end' AS confirmed FROM pg_replication_slots WHERE slot_name = 'peek';
SELECT array_agg(change ->> 'op') FROM penstock.get('peek', :'first_end');
SELECT confirmed_flush_lsn = :'first_end' AS confirmed FROM pg_replication_slots WHERE slot_name = 'peek';
SELECT array_agg(change ->> 'op') FROM penstock.get('peek', NULL, 0);
SELECT count(*) FROM penstock.get('peek');
-- as PostgreSQL's: a LIMIT is too late, and so is a ROLLBACK
INSERT INTO t(id) VALUES (4), (5);
SELECT change ->> 'op' FROM penstock.get('peek') LIMIT 1;
SELECT count(*) FROM penstock.peek('peek');
INSERT INTO t(id) VALUES (6);
BEGIN;
SELECT count(*) FROM penstock.get('peek');
ROLLBACK;
SELECT count(*) FROM penstock.peek('peek');
-- with nothing to give it moves on all the same
CREATE TABLE other(id int);
SELECT pg_current_wal_flush_lsn() AS flushed \gset
SELECT count(*) FROM penstock.get('peek');
SELECT confirmed_flush_lsn >= :'flushed' AS moved FROM pg_replication_slots WHERE slot_name = 'peek';

-- unlike PostgreSQL's: what cannot be decoded or cast is not consumed, nor what comes before it
SET client_min_messages = warning;
CREATE TYPE unreadable;
CREATE FUNCTION unreadable_in(cstring) RETURNS unreadable LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION unreadable_out(unreadable) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'trigger_out';
CREATE TYPE unreadable (INPUT = unreadable_in, OUTPUT = unreadable_out, LIKE = int4);
RESET client_min_messages;
CREATE TABLE bad(id int PRIMARY KEY, u unreadable);
INSERT INTO t(id) VALUES (7);
INSERT INTO bad VALUES (1, '1');
SELECT confirmed_flush_lsn AS before FROM pg_replication_slots WHERE slot_name = 'peek' \gset
SELECT count(*) FROM penstock.peek('peek');
SELECT count(*) FROM penstock.get('peek');
DO $$ BEGIN
	PERFORM FROM penstock.get('peek');
EXCEPTION WHEN others THEN
	RAISE NOTICE '%', SQLERRM;
END $$;
SELECT confirmed_flush_lsn = :'before' AS unmoved FROM pg_replication_slots WHERE slot_name = 'peek';
SELECT brief(change) FROM penstock.get('peek', NULL, NULL, 'exclude_tables', 'public.bad');

-- what has been processed and no more, by peek
INSERT INTO t(id) VALUES (8);
INSERT INTO t(id) VALUES (9);
SELECT max(lsn) AS last FROM penstock.peek('peek', NULL, 1) \gset
SELECT FROM pg_replication_slot_advance('peek', :'last');
SELECT brief(change) FROM penstock.peek('peek') WHERE change ? 'new';

SELECT FROM pg_drop_replication_slot('peek');
SET client_min_messages = warning;
DROP TABLE t, other, bad;
DROP TYPE unreadable CASCADE;
DROP FUNCTION brief(jsonb);
DROP EXTENSION penstock;
DROP SCHEMA penstock;
