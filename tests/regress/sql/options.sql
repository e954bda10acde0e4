-- options.sql -- a mistake in the options is an error that names it, and costs nothing.
\pset format unaligned
\pset tuples_only on
SELECT FROM pg_create_logical_replication_slot('options', 'penstock');
\set SHOW_CONTEXT never
CREATE TABLE t(id int PRIMARY KEY);
INSERT INTO t VALUES (1);

SELECT * FROM changes('options', 'unknown', '1');
SELECT * FROM changes('options', 'BATCH_BYTES', '1');
SELECT * FROM changes('options', '', '');
SELECT * FROM changes('options', repeat('long ', 100), '');
SELECT * FROM changes('options', 'batch_bytes', '');
SELECT * FROM changes('options', 'batch_bytes', NULL);
SELECT * FROM changes('options', 'batch_bytes', '-1');
SELECT * FROM changes('options', 'batch_bytes', '+1');
SELECT * FROM changes('options', 'batch_bytes', ' 1');
SELECT * FROM changes('options', 'batch_bytes', '64kB');
SELECT * FROM changes('options', 'batch_bytes', '0x10');
SELECT * FROM changes('options', 'batch_bytes', '16777217');
SELECT * FROM changes('options', 'batch_bytes', '99999999999999999999999999');
SELECT * FROM changes('options', 'batch_bytes', repeat('x', 1000));
SELECT * FROM changes('options', 'protocol_min', '0');
SELECT * FROM changes('options', 'protocol_max', '1000001');
SELECT * FROM changes('options', 'protocol_min', '2', 'protocol_max', '1');
SELECT * FROM changes('options', 'protocol_min', '1000', 'protocol_max', '1001');
SELECT * FROM changes('options', 'batch_bytes', '1', 'batch_bytes', '1');
SELECT * FROM changes('options', 'batch_bytes');
-- text is not to be had in this format
SELECT * FROM pg_logical_slot_get_changes('options', NULL, NULL);

-- nothing was consumed; the newest version that both sides know is taken
SELECT * FROM changes('options', 'protocol_max', '1000', 'batch_bytes', '0016777216');
INSERT INTO t VALUES (2);
SELECT * FROM changes('options', 'protocol_min', '1', 'protocol_max', '1');

SELECT FROM pg_drop_replication_slot('options');
DROP TABLE t;
