-- batches.sql -- many events a write: fewer writes, and the same events.
\pset format unaligned
\pset tuples_only on
SELECT FROM pg_create_logical_replication_slot('batches', 'penstock');

-- The writes of a slot, not consumed: how many, how large, and a digest of their events.
CREATE FUNCTION writes(VARIADIC options text[] DEFAULT '{}') RETURNS TABLE(writes bigint, largest text, events_md5 text)
LANGUAGE sql AS $$
	SELECT count(*), CASE WHEN max(length(data)) > 65536 + 200 THEN 'over 64 kB' WHEN max(length(data)) > 65536 THEN 'just over 64 kB'
		ELSE 'up to 64 kB' END,
		md5((SELECT string_agg(line, e'\n') FROM events(array_agg(data ORDER BY n), array_agg(lsn ORDER BY n)) line
			WHERE line NOT LIKE 'session %'))
	FROM pg_logical_slot_peek_binary_changes('batches', NULL, NULL, VARIADIC options) WITH ORDINALITY w(lsn, xid, data, n) $$;

CREATE TABLE t(id int PRIMARY KEY, t text);
BEGIN;
INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 10) i;
UPDATE t SET t = 'x' WHERE id = 1;
COMMIT;
DELETE FROM t;
-- two transactions, so two writes; or one for each of 1 Session, 2 Begin, 1 Relation, 21 rows, 2 Commit
SELECT writes, largest FROM writes();
SELECT writes, largest FROM writes('batch_bytes', '0');
SELECT writes, largest FROM writes('batch_bytes', '16777216');
SELECT count(DISTINCT events_md5), min(writes), max(writes) FROM (SELECT * FROM writes() UNION ALL SELECT * FROM writes('batch_bytes', '0')
	UNION ALL SELECT * FROM writes('batch_bytes', '100')) w;
SELECT * FROM rows('batches', 'batch_bytes', '0');

-- larger than the buffer
INSERT INTO t SELECT i, repeat('x', 90) FROM generate_series(1, 2000) i;
SELECT writes, largest FROM writes();
SELECT writes, largest FROM writes('batch_bytes', '1000000');
SELECT count(DISTINCT events_md5) FROM (SELECT * FROM writes() UNION ALL SELECT * FROM writes('batch_bytes', '0')) w;
SELECT line LIKE 'insert %' AS insert, count(*) FROM rows('batches') line GROUP BY 1 ORDER BY 1;

-- a value larger than the buffer goes in one write, whole, with what was gathered before
BEGIN;
INSERT INTO t VALUES (3000, 'before'), (3001, repeat('large', 100000)), (3002, 'after');
COMMIT;
SELECT writes, largest FROM writes();
SELECT * FROM rows('batches');

SELECT FROM pg_drop_replication_slot('batches');
DROP FUNCTION writes;
DROP TABLE t;
