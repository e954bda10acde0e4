-- columns.sql -- which columns are sent, and that a key is never sent in part; actions.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
SELECT FROM pg_create_logical_replication_slot('columns', 'penstock');

CREATE TABLE t(id int, k int, v text, "W.x" text, PRIMARY KEY (k, id));
CREATE TABLE u(id int PRIMARY KEY, v text);
CREATE TABLE f(id int PRIMARY KEY, v text, n int);
ALTER TABLE f REPLICA IDENTITY FULL;
CREATE TABLE nothing(v text, n int);
CREATE PROCEDURE work() LANGUAGE sql AS $$
	TRUNCATE t, u, f, nothing;
	INSERT INTO t VALUES (1, 2, 'v', 'w');
	INSERT INTO u VALUES (1, 'v');
	INSERT INTO f VALUES (1, 'v', 10);
	INSERT INTO nothing VALUES ('v', 10);
	UPDATE t SET v = 'new', k = 3;
	UPDATE u SET v = 'new';
	UPDATE f SET v = 'new', n = 11;
	DELETE FROM t;
	DELETE FROM u;
	DELETE FROM f;
$$;
CALL work();
-- tables that no pattern names keep all of theirs
SELECT * FROM tell('columns', 'include_columns', '*.t.id, *.t.k, *.f.v');
CALL work();
SELECT * FROM tell('columns', 'exclude_columns', '*.t.v, *.*.W\.x, *.f.id, nothing.nothing.*');
CALL work();
-- both: what one takes in the other may leave out
SELECT * FROM tell('columns', 'include_columns', '*.*.id, *.t.*, *.nothing.v', 'exclude_columns', 'public.t.v, public.nothing.v');
CALL work();
-- a key in part is an error that names the column, unless nothing is sent that has a key
SELECT * FROM tell('columns', 'exclude_columns', '*.t.id');
SELECT * FROM tell('columns', 'include_columns', 'public.t.*, public.u.v');
SELECT count(*) FROM lines_of('columns', 'text', '{exclude_columns,*.*.id,exclude_tables,"*.t,*.u"}');
-- of what is left of a key nothing is made
SELECT * FROM changes('columns', 'exclude_columns', '*.t.id, *.u.*, *.nothing.*', 'actions', 'insert,truncate');
-- and nothing of it was consumed before
CALL work();
SELECT * FROM tell('columns', 'exclude_columns', '*.t.k', 'actions', 'delete');
SELECT count(*) FROM tell('columns', 'exclude_columns', '*.f.*, *.nothing.*');

-- nor of a primary key, where every row comes whole
ALTER TABLE t REPLICA IDENTITY FULL;
CALL work();
SELECT * FROM rows('columns', 'exclude_columns', '*.t.id', 'include_tables', '*.t');
ALTER TABLE t REPLICA IDENTITY DEFAULT;

-- the column lists of a publication and patterns: what both let through
CREATE PUBLICATION few FOR TABLE t (id, k, v), f;
CALL work();
SELECT * FROM tell('columns', 'publications', 'few', 'exclude_columns', '*.t.v, *.t.W\.x, *.f.v', 'include_columns', '*.t.*');
CALL work();
SELECT * FROM tell('columns', 'publications', 'few', 'exclude_columns', '*.t.k');
SELECT count(*) FROM tell('columns', 'publications', 'few');
DROP PUBLICATION few;

-- a column that is renamed to what a pattern names, or away from it
INSERT INTO u VALUES (1, 'sent');
ALTER TABLE u RENAME v TO secret;
INSERT INTO u VALUES (2, 'not sent');
ALTER TABLE u RENAME TO u2;
INSERT INTO u2 VALUES (3, 'sent');
ALTER TABLE u2 RENAME TO u;
ALTER TABLE u ADD COLUMN more int;
INSERT INTO u VALUES (4, 'not sent', 4);
SELECT * FROM tell('columns', 'exclude_columns', 'public.u.secret');

-- actions
ALTER TABLE u RENAME secret TO v;
CALL work();
SELECT action, (SELECT string_agg(DISTINCT regexp_substr(line, ': (INSERT|UPDATE|DELETE)|^TRUNCATE'), ' ')
	FROM unnest(check_formats('columns', 'actions', action)) line)
FROM unnest(ARRAY['insert', 'update', 'delete', 'truncate', 'insert,delete', ' update , insert,truncate ', 'delete,delete']) action;
SELECT * FROM tell('columns', 'actions', '');
SELECT * FROM tell('columns', 'actions', 'insert,');
SELECT * FROM tell('columns', 'actions', 'insert update');
SELECT * FROM tell('columns', 'actions', 'Insert');
SELECT * FROM tell('columns', 'actions', 'all');
SELECT count(*) FROM tell('columns');

-- generated columns
CREATE TABLE g(id int PRIMARY KEY, a int, s int GENERATED ALWAYS AS (a * 2) STORED);
CREATE TABLE g_full(a int, s int GENERATED ALWAYS AS (a * 2) STORED);
ALTER TABLE g_full REPLICA IDENTITY FULL;
CREATE TABLE g_key(a int, s int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY);
INSERT INTO g VALUES (1, 1);
UPDATE g SET a = 2;
INSERT INTO g_full VALUES (1);
UPDATE g_full SET a = 2;
INSERT INTO g_key VALUES (1);
SELECT * FROM changes('columns');
INSERT INTO g VALUES (2, 1);
UPDATE g SET a = 2;
INSERT INTO g_full VALUES (1);
UPDATE g_full SET a = 2;
SELECT * FROM tell('columns', 'include_generated', 'off');
INSERT INTO g_key VALUES (3);
SELECT * FROM tell('columns', 'include_generated', 'off');
SELECT * FROM tell('columns', 'include_generated', 'off', 'actions', 'insert');
-- a column list never has them, also where it has all other columns
CREATE PUBLICATION listed FOR TABLE g (id, a);
INSERT INTO g VALUES (5, 1);
SELECT * FROM rows('columns', 'publications', 'listed');
CREATE PUBLICATION unlisted FOR TABLE g;
INSERT INTO g VALUES (6, 1);
SELECT * FROM rows('columns', 'publications', 'listed, unlisted');
DROP PUBLICATION listed, unlisted;
-- those that are stored nowhere are in no change; servers before 18 have none, so that they have as much to tell
DO $$ BEGIN
	EXECUTE format('CREATE TABLE virtual(id int PRIMARY KEY, a int %s)', CASE WHEN current_setting('server_version_num')::int >= 180000
		THEN ', v int GENERATED ALWAYS AS (a * 2) VIRTUAL' END);
	INSERT INTO virtual VALUES (1, 2);
	UPDATE virtual SET a = 3;
	ALTER TABLE virtual REPLICA IDENTITY FULL;
	UPDATE virtual SET a = 4;
	DELETE FROM virtual;
END $$;
SELECT * FROM rows('columns');

SELECT FROM pg_drop_replication_slot('columns');
DROP TABLE t, u, f, nothing, g, g_full, g_key, virtual;
DROP PROCEDURE work;
