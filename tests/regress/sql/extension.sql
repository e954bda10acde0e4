-- extension.sql -- the extension's functions, as far as they need no slot of ours.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
CREATE EXTENSION penstock;

-- what it consists of: all of it in its schema, nothing with the rights of its owner or open to a search_path
SELECT pg_describe_object(classid, objid, 0) COLLATE "C" FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND classid <> 'pg_type'::regclass
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'penstock') ORDER BY 1;
SELECT proname, provolatile, proparallel, proisstrict, prosecdef, proconfig, obj_description(p.oid, 'pg_proc') IS NOT NULL AS commented
FROM pg_proc p WHERE pronamespace = 'penstock'::regnamespace AND (prosecdef OR proconfig IS NULL OR obj_description(p.oid, 'pg_proc') IS NULL);
SELECT proname, provolatile, proparallel, proisstrict FROM pg_proc WHERE pronamespace = 'penstock'::regnamespace
ORDER BY proname COLLATE "C", pronargs;
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = 'penstock.slots'::regclass AND attnum > 0 ORDER BY attnum;
SELECT count(*) FROM penstock.slots;

-- messages
SELECT penstock.emit('p', '{"a": 1}'::jsonb) < penstock.emit('p', '\x00ff'::bytea) AS later;
SELECT penstock.emit('p', 'null'::jsonb, false) < penstock.emit(prefix => 'p', content => ''::bytea, transactional => false) AS later;
SELECT penstock.emit(NULL, '{}'::jsonb) IS NULL, penstock.emit('p', NULL::bytea) IS NULL;
SELECT penstock.emit('p', 'which of the two?');
SELECT penstock.heartbeat() < penstock.heartbeat() AS later;
-- in the search_path of a caller who is out for trouble
CREATE SCHEMA trouble;
CREATE FUNCTION trouble.pg_logical_emit_message(boolean, text, bytea) RETURNS pg_lsn LANGUAGE plpgsql AS 'BEGIN RAISE ''caught''; END';
CREATE FUNCTION trouble.pg_is_in_recovery() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE ''caught''; END';
CREATE FUNCTION trouble.cat(text[], text[]) RETURNS text[] LANGUAGE plpgsql AS 'BEGIN RAISE ''caught''; END';
CREATE OPERATOR trouble.|| (FUNCTION = trouble.cat, LEFTARG = text[], RIGHTARG = text[]);
SET search_path = trouble, pg_catalog, public;
SELECT penstock.emit('p', ''::bytea) IS NOT NULL, penstock.heartbeat() IS NOT NULL;
SELECT penstock.peek('no_such_slot');
SELECT count(*) > 0 FROM penstock.check();
RESET search_path;
DROP SCHEMA trouble CASCADE;

-- slots that are not there
SELECT * FROM penstock.peek('no_such_slot');
SELECT * FROM penstock.get('no_such_slot');
SELECT * FROM penstock.peek(NULL);
SELECT * FROM penstock.get(NULL);

-- replica identities, each with its remedy
CREATE SCHEMA "Check";
SET search_path = "Check";
CREATE TABLE good(id int PRIMARY KEY);
CREATE TABLE good_index(id int NOT NULL UNIQUE);
ALTER TABLE good_index REPLICA IDENTITY USING INDEX good_index_id_key;
CREATE TABLE no_key(id int);
CREATE TABLE no_primary_key(a int NOT NULL, b int, c int NOT NULL, "D" int NOT NULL);
CREATE UNIQUE INDEX nullable ON no_primary_key(a, b);
CREATE UNIQUE INDEX partial ON no_primary_key(a) WHERE b > 0;
CREATE UNIQUE INDEX expression ON no_primary_key((a + 1));
CREATE TABLE candidate(LIKE no_primary_key INCLUDING ALL);
CREATE UNIQUE INDEX "Candidate" ON candidate("D", a) INCLUDE (b);
CREATE TABLE deferrable_key(id int PRIMARY KEY DEFERRABLE);
CREATE TABLE deferrable_key_2(id int PRIMARY KEY DEFERRABLE, k int NOT NULL UNIQUE);
CREATE TABLE nothing(id int);
ALTER TABLE nothing REPLICA IDENTITY NOTHING;
CREATE TABLE nothing_key(id int PRIMARY KEY);
ALTER TABLE nothing_key REPLICA IDENTITY NOTHING;
CREATE TABLE index_gone(id int PRIMARY KEY, k int NOT NULL);
CREATE UNIQUE INDEX gone ON index_gone(k);
ALTER TABLE index_gone REPLICA IDENTITY USING INDEX gone;
DROP INDEX gone;
CREATE TABLE full_row(id int);
ALTER TABLE full_row REPLICA IDENTITY FULL;
CREATE TABLE full_key(id int PRIMARY KEY);
ALTER TABLE full_key REPLICA IDENTITY FULL;
CREATE TABLE "Quoted ""table"(id int);
CREATE TABLE root(id int) PARTITION BY RANGE (id);
CREATE TABLE leaf PARTITION OF root FOR VALUES FROM (0) TO (10);
CREATE TABLE leaf_key PARTITION OF root (PRIMARY KEY (id)) FOR VALUES FROM (10) TO (20);
CREATE TABLE root_key(id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE root_key_leaf PARTITION OF root_key FOR VALUES FROM (0) TO (10);
-- not in the WAL, or not tables: no findings
CREATE UNLOGGED TABLE unlogged(id int);
CREATE TEMP TABLE temporary(id int);
CREATE VIEW view AS SELECT 1;
CREATE MATERIALIZED VIEW materialized AS SELECT 1;
CREATE SEQUENCE sequence;
RESET search_path;
CREATE TEMP VIEW findings AS SELECT * FROM penstock.check_tables() WHERE item LIKE 'table "Check".%' ORDER BY item COLLATE "C";
SELECT item, found FROM findings;
SELECT remedy FROM findings;
SELECT level, count(*) FROM findings GROUP BY 1;
SELECT count(*) FROM penstock.check_tables() WHERE item ~ 'information_schema|pg_|temporary';
-- the remedies that are statements are good: run until none is left
DO $$
DECLARE
	f record;
BEGIN
	FOR f IN SELECT * FROM findings WHERE remedy ~ '^ALTER TABLE' AND remedy !~ 'PRIMARY KEY' LOOP
		EXECUTE f.remedy;
	END LOOP;
END $$;
SELECT item, remedy FROM findings;
-- check() has the same rows, worst first
SELECT count(*) FROM penstock.check() c JOIN findings f USING (level, item, found, remedy);
SELECT array_agg(array_position('{error,warning,info,ok}', level) ORDER BY n)
	= array_agg(array_position('{error,warning,info,ok}', level) ORDER BY array_position('{error,warning,info,ok}', level)) AS sorted
FROM penstock.check() WITH ORDINALITY c(level, item, found, remedy, n);
SELECT count(*) FROM penstock.check('-1 day') WHERE level = 'ok';

SET client_min_messages = warning;
DROP SCHEMA "Check" CASCADE;
DROP VIEW findings;
DROP EXTENSION penstock;
DROP SCHEMA penstock;
