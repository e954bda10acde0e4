-- origins.sql -- transactions that were replicated to this server: told of, chosen by their origin.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
SELECT FROM pg_create_logical_replication_slot('origins', 'penstock', false, true);
CREATE TABLE t(id int PRIMARY KEY, v text);
SELECT FROM pg_replication_origin_create('origin_1');
SELECT FROM pg_replication_origin_create(U&'Nr. 2, "\00FC''');

-- Work in the name of an origin.
CREATE PROCEDURE as_origin(origin text, lsn pg_lsn, statement text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_replication_origin_session_setup(origin);
	PERFORM pg_replication_origin_xact_setup(lsn, now());
	EXECUTE statement;
	COMMIT;
	PERFORM pg_replication_origin_session_reset();
END $$;

INSERT INTO t VALUES (1, 'local');
CALL as_origin('origin_1', '0/1A', $$INSERT INTO t VALUES (2, 'of origin_1')$$);
CALL as_origin(U&'Nr. 2, "\00FC''', 'FFFFFFFF/0', $$INSERT INTO t VALUES (3, 'of the other')$$);
CALL as_origin('origin_1', '0/1C', $$SELECT pg_logical_emit_message(true, 'p', 'of origin_1'); SELECT pg_logical_emit_message(false, 'p', 'of origin_1')$$);
CALL as_origin('origin_1', '0/1D', $$TRUNCATE t$$);
SELECT FROM pg_logical_emit_message(false, 'p', 'local');
SELECT FROM pg_logical_emit_message(true, 'p', 'local');
SELECT * FROM unnest(check_formats('origins', 'messages', 'on'));
SELECT line::jsonb ->> 'name', line::jsonb ->> 'origin_lsn' FROM unnest(lines_of('origins', 'json', '{}')) line WHERE line LIKE '{"op":"origin"%';
SELECT * FROM applied('origins', 'messages', 'on', 'origin', 'none');
-- of one that is wanted by name; whose messages are that are not transactional is not known
SELECT * FROM applied('origins', 'messages', 'on', 'origin', 'origin_1');
SELECT * FROM applied('origins', 'origin', U&'Nr. 2, "\00FC''');
SELECT count(*) FROM applied('origins', 'messages', 'on', 'origin', 'no_such_origin');
SELECT * FROM tell('origins', 'origin', '');
-- an older client is not told, but has the changes
SELECT string_agg(line, ' ') FROM events(ARRAY(SELECT data FROM pg_logical_slot_peek_binary_changes('origins', NULL, NULL, 'protocol_max', '1'))) line
WHERE line !~ '^(session|relation)';
SELECT count(*) FROM tell('origins');

-- prepared and streamed
BEGIN;
SELECT FROM pg_replication_origin_session_setup('origin_1');
SELECT FROM pg_replication_origin_xact_setup('0/2A', now());
INSERT INTO t VALUES (10, 'prepared');
PREPARE TRANSACTION 'of origin_1';
SELECT FROM pg_replication_origin_xact_setup('0/2B', now());
COMMIT PREPARED 'of origin_1';
SELECT FROM pg_replication_origin_session_reset();
SELECT * FROM unnest(check_formats('origins', 'two_phase', 'on'));
SELECT * FROM unnest(check_formats('origins', 'two_phase', 'on', 'origin', 'none'));
SELECT * FROM applied('origins');
SELECT count(*) FROM tell('origins', 'two_phase', 'on');
SET logical_decoding_work_mem = '64kB';
CALL as_origin('origin_1', '0/2C', $$INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1001, 1600) i$$);
SELECT line, count(*) > 0 FROM unnest(check_formats('origins', 'streaming', 'on')) line WHERE line !~ 'INSERT|TABLE' GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM applied('origins', 'streaming', 'on', 'origin', 'origin_1');
SELECT count(*) FROM applied('origins', 'streaming', 'on', 'origin', 'none');
SELECT count(*) FROM unnest(check_formats('origins', 'streaming', 'on', 'origin', 'none'));
SELECT count(*) FROM unnest(check_formats('origins', 'streaming', 'on', 'origin', 'other'));
SELECT count(*) > 0 FROM pg_logical_slot_get_binary_changes('origins', NULL, NULL);
RESET logical_decoding_work_mem;

-- dropped, and its number given to another: each transaction has the name of its time
CALL as_origin('origin_1', '0/3A', $$DELETE FROM t WHERE id = 1001$$);
SELECT roident AS old_number FROM pg_replication_origin WHERE roname = 'origin_1' \gset
SELECT FROM pg_replication_origin_drop('origin_1');
SELECT FROM pg_replication_origin_create('origin_3');
SELECT :old_number = roident AS same_number FROM pg_replication_origin WHERE roname = 'origin_3';
CALL as_origin('origin_3', '0/3B', $$DELETE FROM t WHERE id = 1002$$);
SELECT * FROM applied('origins', 'origin', 'origin_3');
SELECT * FROM applied('origins', 'origin', 'origin_1');
SELECT * FROM tell('origins');

SELECT FROM pg_replication_origin_drop('origin_3');
SELECT FROM pg_replication_origin_drop(U&'Nr. 2, "\00FC''');
SELECT FROM pg_drop_replication_slot('origins');
DROP TABLE t;
DROP PROCEDURE as_origin;
