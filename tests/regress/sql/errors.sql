-- errors.sql -- an error in the middle of decoding leaves a session in which decoding works.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
SELECT FROM pg_create_logical_replication_slot('errors', 'penstock');

-- a type whose values cannot be printed; from 18 on the notices about its shell show the line too
SET client_min_messages = warning;
CREATE TYPE unprintable;
CREATE FUNCTION unprintable_in(cstring) RETURNS unprintable LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION unprintable_out(unprintable) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'trigger_out';
CREATE TYPE unprintable (INPUT = unprintable_in, OUTPUT = unprintable_out, LIKE = int4);
RESET client_min_messages;
CREATE TABLE good(id int PRIMARY KEY, a int[]);
CREATE TABLE bad(id int PRIMARY KEY, n numeric, u unprintable);
INSERT INTO good VALUES (1, '{1}');
SELECT pg_current_wal_insert_lsn() AS lsn \gset before_
BEGIN;
INSERT INTO good SELECT i, '{2}' FROM generate_series(2, 5000) i;
INSERT INTO bad VALUES (1, 1, NULL), (2, 2, '7');
INSERT INTO good VALUES (5001, '{3}');
COMMIT;

SET DateStyle = 'German, DMY';
SELECT * FROM rows('errors');
SHOW DateStyle;
SHOW search_path;
SELECT line FROM pg_logical_slot_peek_binary_changes('errors', :'before_lsn', NULL) WITH ORDINALITY w(lsn, xid, data, n),
	LATERAL (SELECT * FROM events(ARRAY[data]) line WHERE n = 1) e WHERE line NOT LIKE 'session %';

-- caught and tried again, in one statement: each begins afresh, with no rest of the one before
DO $$
BEGIN
	FOR i IN 1..5 LOOP
		BEGIN
			PERFORM FROM pg_logical_slot_peek_binary_changes('errors', NULL, NULL);
		EXCEPTION WHEN others THEN
			RAISE NOTICE '%: % %', SQLERRM, current_setting('DateStyle'), current_setting('search_path');
		END;
	END LOOP;
END $$;
BEGIN;
DECLARE c CURSOR FOR SELECT 1;
SAVEPOINT s;
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('errors', NULL, NULL);
ROLLBACK TO s;
FETCH c;
SHOW DateStyle;
COMMIT;
SELECT FROM pg_drop_replication_slot('errors');

-- another slot, and invalidations that find what is left of the first
ALTER TABLE good ADD COLUMN b int;
SELECT FROM pg_create_logical_replication_slot('errors_2', 'penstock');
INSERT INTO good VALUES (6000, '{4}', 1);
DROP TABLE bad;
SELECT * FROM rows('errors_2');
SELECT FROM pg_drop_replication_slot('errors_2');
DROP TABLE good;
DROP TYPE unprintable CASCADE;
