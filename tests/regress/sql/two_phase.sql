-- two_phase.sql -- prepared transactions: told of when they are prepared, if the slot allows it and
-- the client asks for it, else when they commit, as any other.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
SELECT FROM pg_create_logical_replication_slot('one_phase', 'penstock');
SELECT FROM pg_create_logical_replication_slot('two_phase', 'penstock', false, true);
CREATE TABLE t(id int PRIMARY KEY, v text);
CREATE TABLE hidden_table(id int);

BEGIN;
INSERT INTO t VALUES (1, 'one'), (2, 'two');
SAVEPOINT s;
DELETE FROM t;
ROLLBACK TO s;
UPDATE t SET v = 'deux' WHERE id = 2;
PREPARE TRANSACTION 'first';
SELECT * FROM tell('two_phase', 'two_phase', 'on');
SELECT * FROM tell('two_phase', 'two_phase', 'on');
SELECT * FROM tell('one_phase');
INSERT INTO t VALUES (3, 'between');
COMMIT PREPARED 'first';
SELECT * FROM tell('two_phase', 'two_phase', 'on');
SELECT * FROM tell('one_phase');

BEGIN;
INSERT INTO t VALUES (4, 'never');
PREPARE TRANSACTION e'gid ''2'' \\ \x7f "ü"\n';
SELECT * FROM tell('two_phase', 'two_phase', 'on');
ROLLBACK PREPARED e'gid ''2'' \\ \x7f "ü"\n';
SELECT * FROM tell('two_phase', 'two_phase', 'on');
SELECT * FROM tell('one_phase');

-- all at once
BEGIN;
INSERT INTO t VALUES (5, 'five');
PREPARE TRANSACTION 'third';
INSERT INTO t VALUES (6, 'six');
BEGIN;
INSERT INTO t VALUES (7, 'seven');
SELECT FROM pg_logical_emit_message(true, 'p', 'in a prepared transaction');
PREPARE TRANSACTION 'fourth';
COMMIT PREPARED 'third';
ROLLBACK PREPARED 'fourth';
SELECT * FROM changes('two_phase', 'two_phase', 'on', 'messages', 'on');
SELECT * FROM tell('one_phase', 'messages', 'on');

-- nothing of it is sent, yet it is never left out, since its end comes by itself
BEGIN;
INSERT INTO hidden_table VALUES (1);
PREPARE TRANSACTION 'hidden';
SELECT * FROM tell('two_phase', 'two_phase', 'on', 'include_tables', '*.t', 'skip_empty', 'on');
COMMIT PREPARED 'hidden';
BEGIN;
INSERT INTO hidden_table VALUES (1);
PREPARE TRANSACTION 'hidden';
ROLLBACK PREPARED 'hidden';
SELECT * FROM tell('two_phase', 'two_phase', 'on', 'include_tables', '*.t');
-- but as any other when it is not told of at its prepare
SELECT * FROM tell('one_phase', 'include_tables', '*.t');

-- streamed before it is prepared
SET logical_decoding_work_mem = '64kB';
BEGIN;
INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1001, 1600) i;
SAVEPOINT s;
INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(3001, 3600) i;
ROLLBACK TO s;
INSERT INTO t VALUES (5001, 'last');
PREPARE TRANSACTION 'large';
SELECT count(*) FILTER (WHERE line = 'STREAM START first') AS first, count(*) FILTER (WHERE line LIKE 'STREAM ST%') > 2 AS more,
	count(*) FILTER (WHERE line = 'STREAM PREPARE ''large''') AS prepared, count(*) FILTER (WHERE line LIKE '%PREPARE %') AS of_all
FROM unnest(check_formats('two_phase', 'two_phase', 'on', 'streaming', 'on')) line;
SELECT regexp_replace(line, '\d{4}|x+', '…', 'g'), count(*) FROM applied('two_phase', 'two_phase', 'on', 'streaming', 'on') line GROUP BY 1 ORDER BY 1;
-- not streamed: the same
SELECT count(*), md5(string_agg(line, ' ')) = (SELECT md5(string_agg(line, ' ')) FROM applied('two_phase', 'two_phase', 'on', 'streaming', 'on') line)
FROM applied('two_phase', 'two_phase', 'on') line;
SELECT count(*) > 1 FROM pg_logical_slot_get_binary_changes('two_phase', NULL, NULL, 'two_phase', 'on', 'streaming', 'on');
COMMIT PREPARED 'large';
SELECT * FROM tell('two_phase', 'two_phase', 'on', 'streaming', 'on');
SELECT count(*) FROM applied('one_phase', 'streaming', 'on');
BEGIN;
INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(6001, 6600) i;
PREPARE TRANSACTION 'large and rolled back';
SELECT count(*) FROM applied('two_phase', 'two_phase', 'on', 'streaming', 'on');
SELECT count(*) > 1 FROM pg_logical_slot_get_binary_changes('two_phase', NULL, NULL, 'two_phase', 'on', 'streaming', 'on');
ROLLBACK PREPARED 'large and rolled back';
SELECT * FROM tell('two_phase', 'two_phase', 'on', 'streaming', 'on');
-- large, and nothing of it is sent
BEGIN;
INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(6001, 6600) i;
PREPARE TRANSACTION 'large and hidden';
SELECT * FROM tell('two_phase', 'two_phase', 'on', 'streaming', 'on', 'exclude_tables', '*.t');
COMMIT PREPARED 'large and hidden';
SELECT * FROM tell('two_phase', 'two_phase', 'on', 'streaming', 'on', 'exclude_tables', '*.t');
RESET logical_decoding_work_mem;

-- the slot must allow it, and stays as it was created whatever clients ask for
SELECT * FROM tell('one_phase', 'two_phase', 'on');
SELECT count(*) > 0 FROM tell('one_phase', 'two_phase', 'off');
BEGIN;
INSERT INTO t VALUES (9, 'nine');
PREPARE TRANSACTION 'fifth';
COMMIT PREPARED 'fifth';
SELECT * FROM tell('two_phase', 'two_phase', 'off');
SELECT * FROM changes('two_phase', 'two_phase', 'on', 'protocol_max', '1');
SELECT slot_name, two_phase FROM pg_replication_slots WHERE slot_name LIKE '%_phase' ORDER BY 1;

SELECT FROM pg_drop_replication_slot('one_phase');
SELECT FROM pg_drop_replication_slot('two_phase');
DROP TABLE t, hidden_table;
