-- messages.sql -- pg_logical_emit_message: only if asked for, by prefix, and whatever bytes it has.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
SELECT FROM pg_create_logical_replication_slot('messages', 'penstock');

CREATE TABLE t(id int PRIMARY KEY);
SELECT FROM pg_logical_emit_message(true, 'p', 'alone');
SELECT FROM pg_logical_emit_message(false, 'p', 'at once');
BEGIN;
INSERT INTO t VALUES (1);
SELECT FROM pg_logical_emit_message(true, 'p', 'in its place');
INSERT INTO t VALUES (2);
SELECT FROM pg_logical_emit_message(false, 'p', 'before the transaction');
COMMIT;
BEGIN;
SELECT FROM pg_logical_emit_message(true, 'p', 'never');
SELECT FROM pg_logical_emit_message(false, 'p', 'of a transaction that is rolled back');
ROLLBACK;
BEGIN;
SELECT FROM pg_logical_emit_message(true, 'p', 'stays');
SAVEPOINT s;
SELECT FROM pg_logical_emit_message(true, 'p', 'never');
SELECT FROM pg_logical_emit_message(false, 'p', 'of a sub-transaction that is rolled back');
ROLLBACK TO s;
SELECT FROM pg_logical_emit_message(true, 'p', 'stays, too');
COMMIT;
-- any bytes
SELECT FROM pg_logical_emit_message(true, 'bytes', '\x610062'::bytea);
SELECT FROM pg_logical_emit_message(false, 'bytes', '\x00'::bytea);
SELECT FROM pg_logical_emit_message(true, 'bytes', '\xff00fe'::bytea);
SELECT FROM pg_logical_emit_message(false, 'bytes', '\xc328'::bytea);
SELECT FROM pg_logical_emit_message(true, 'bytes', ''::bytea);
SELECT FROM pg_logical_emit_message(false, '', '');
SELECT FROM pg_logical_emit_message(true, 'Prä "f''i\x', e'lines\nand\ttabs \x7f \\ "quotes" ''''');
SELECT FROM pg_logical_emit_message(false, 'large', repeat('0123456789', 10000));
-- the commit flushes the WAL, beyond which nothing is decoded
SELECT FROM pg_logical_emit_message(true, 'last', '');

-- not asked for: no transaction is told of that has nothing else
SELECT * FROM applied('messages');
SELECT * FROM applied('messages', 'messages', 'on');
-- and by prefix: with wildcards, of which \ makes plain characters
SELECT * FROM applied('messages', 'messages', 'on', 'message_prefixes', 'large, bytes');
SELECT * FROM applied('messages', 'messages', 'on', 'message_prefixes', 'Pr* \"f''i\\x');
SELECT * FROM applied('messages', 'messages', 'on', 'message_prefixes', 'none, p\*, byte');
SELECT count(*) FROM applied('messages', 'messages', 'on', 'message_prefixes', '*');
SELECT count(*) FROM applied('messages', 'messages', 'on');
-- actions and tables do not concern them
SELECT * FROM applied('messages', 'messages', 'on', 'message_prefixes', 'p', 'exclude_tables', '*.*');
-- an older client cannot read them, but every client can read JSON
SELECT * FROM changes('messages', 'messages', 'on', 'protocol_max', '1');
SELECT count(*) FROM lines_of('messages', 'json', '{messages,on,protocol_max,1}');
SELECT * FROM changes('messages', 'message_prefixes', 'p');
SELECT * FROM changes('messages', 'messages', 'on', 'message_prefixes', '');
SELECT * FROM changes('messages', 'messages', 'on', 'message_prefixes', 'a,,b');
SELECT * FROM changes('messages', 'messages', 'on', 'message_prefixes', 'a.b');
SELECT * FROM changes('messages', 'messages', 'perhaps');
SELECT * FROM tell('messages', 'messages', 'on');

SELECT FROM pg_drop_replication_slot('messages');
DROP TABLE t;
