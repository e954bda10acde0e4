-- transactions.sql -- what was rolled back, and what holds no rows, leaves no trace.
\pset format unaligned
\pset tuples_only on
SELECT FROM pg_create_logical_replication_slot('transactions', 'penstock');

CREATE TABLE t(id int PRIMARY KEY, v text);
CREATE UNLOGGED TABLE unlogged(id int);
CREATE TEMP TABLE temporary(id int);
CREATE SEQUENCE s;
CREATE MATERIALIZED VIEW mv AS SELECT * FROM t;
CREATE UNIQUE INDEX mv_id ON mv(id);
SELECT * FROM changes('transactions');

-- nothing of these
BEGIN;
INSERT INTO t VALUES (1, 'rolled back');
ROLLBACK;
BEGIN;
SAVEPOINT a;
INSERT INTO t VALUES (1, 'rolled back');
ROLLBACK TO a;
COMMIT;
INSERT INTO unlogged VALUES (1);
UPDATE unlogged SET id = 2;
INSERT INTO temporary VALUES (1);
TRUNCATE temporary;
SELECT FROM nextval('s');
SELECT FROM pg_current_xact_id();
INSERT INTO t VALUES (1, 'failed'), (1, 'failed');
VACUUM t;
COMMENT ON TABLE t IS 'x';
SELECT FROM pg_logical_emit_message(true, 'prefix', 'content');
SELECT FROM pg_logical_emit_message(false, 'prefix', 'content');
SELECT * FROM changes('transactions');

-- savepoints: what stays, in order
BEGIN;
INSERT INTO t VALUES (1, 'top');
SAVEPOINT a;
INSERT INTO t VALUES (2, 'a');
SAVEPOINT b;
INSERT INTO t VALUES (3, 'b, rolled back');
ROLLBACK TO b;
INSERT INTO t VALUES (3, 'b');
RELEASE a;
SAVEPOINT c;
DELETE FROM t;
ROLLBACK TO c;
UPDATE t SET v = 'last' WHERE id = 3;
COMMIT;
DO $$ BEGIN
	INSERT INTO t VALUES (10, 'do');
	BEGIN
		INSERT INTO t VALUES (11, 'rolled back');
		RAISE 'no';
	EXCEPTION WHEN others THEN
		INSERT INTO t VALUES (12, 'handler');
	END;
END $$;
-- a materialized view is not a table: neither kind of refresh is sent, alone or among rows
REFRESH MATERIALIZED VIEW mv;
REFRESH MATERIALIZED VIEW CONCURRENTLY mv;
UPDATE t SET v = 'seen' WHERE id = 1;
REFRESH MATERIALIZED VIEW CONCURRENTLY mv;
COPY t FROM stdin;
20	copied
21	\N
22	
\.
BEGIN;
CREATE TABLE made AS SELECT id, v FROM t WHERE id < 3;
INSERT INTO unlogged VALUES (1);
COPY t TO stdout;
SELECT v INTO selected FROM t WHERE id = 20;
COMMIT;
-- a rewrite among rows: the old rows do not come again
BEGIN;
INSERT INTO t VALUES (30, 'before');
ALTER TABLE t ADD COLUMN r double precision DEFAULT random() * 0;
INSERT INTO t VALUES (31, 'after', 1);
COMMIT;
SELECT * FROM rows('transactions');

-- logged from now on: its rows of before do not come
ALTER TABLE unlogged SET LOGGED;
INSERT INTO unlogged VALUES (5);
SELECT * FROM rows('transactions');

SELECT FROM pg_drop_replication_slot('transactions');
DROP TABLE t, unlogged, temporary, made, selected CASCADE;
DROP SEQUENCE s;
