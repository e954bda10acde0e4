-- publications.sql -- which tables, actions and columns publications let through; what pgoutput
-- sends for the same publications is the measure, counted by kind of change.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
SELECT FROM pg_create_logical_replication_slot('publications', 'penstock');
SELECT FROM pg_create_logical_replication_slot('measure', 'pgoutput');

-- The changes of both by kind, and whether they are as many; both slots consumed.
CREATE FUNCTION compared(publications text, VARIADIC options text[] DEFAULT '{}') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	lines text[] := ARRAY(SELECT * FROM tell('publications', VARIADIC ARRAY['publications', publications] || options));
	kinds text := (SELECT coalesce(string_agg(line, ' ' ORDER BY line), 'none') FROM (SELECT kind || '=' || count(*) AS line
		FROM (SELECT regexp_substr(line, ': (INSERT|UPDATE|DELETE)|^TRUNCATE') AS kind FROM unnest(lines) line) k
		WHERE kind <> '' GROUP BY kind) g);
	measured text := (SELECT coalesce(string_agg(line, ' ' ORDER BY line), 'none') FROM (SELECT kind || '=' || count(*) AS line
		FROM (SELECT CASE chr(get_byte(data, 0)) WHEN 'I' THEN ': INSERT' WHEN 'U' THEN ': UPDATE' WHEN 'D' THEN ': DELETE'
			WHEN 'T' THEN 'TRUNCATE' END AS kind
			FROM pg_logical_slot_get_binary_changes('measure', NULL, NULL, 'proto_version', '1', 'publication_names', publications)) k
		WHERE kind <> '' GROUP BY kind) g);
BEGIN
	RETURN QUERY SELECT line FROM unnest(lines) line WHERE line NOT IN ('BEGIN', 'COMMIT');
	RETURN NEXT CASE WHEN kinds = measured THEN 'as pgoutput' ELSE format('%s, but pgoutput %s', kinds, measured) END;
END $$;

CREATE SCHEMA s1;
CREATE SCHEMA s2;
CREATE TABLE s1.a(id int PRIMARY KEY, v text, w int);
CREATE TABLE s1.b(id int PRIMARY KEY, v text);
CREATE TABLE s2.a(id int PRIMARY KEY, v text);
CREATE TABLE "Plain"(id int PRIMARY KEY, v text, w int);
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE PUBLICATION listed FOR TABLE s1.a, "Plain";
CREATE PUBLICATION schemas FOR TABLES IN SCHEMA s1;
CREATE PUBLICATION inserts FOR TABLE s1.a, s2.a WITH (publish = 'insert');
CREATE PUBLICATION deletes FOR TABLE s1.a WITH (publish = 'delete, truncate');
CREATE PUBLICATION "No, ""thing" ;
CREATE PUBLICATION few FOR TABLE s1.a (id, w), s2.a;
CREATE PUBLICATION other_few FOR TABLE s1.a (id, v);
CREATE PUBLICATION all_columns FOR TABLE s1.a (id, v, w);
CREATE PUBLICATION without_key FOR TABLE "Plain" (v) WITH (publish = 'insert');

CREATE PROCEDURE work() LANGUAGE sql AS $$
	TRUNCATE s1.a, s1.b, s2.a, "Plain";
	INSERT INTO s1.a VALUES (1, 'one', 1), (2, 'two', 2);
	INSERT INTO s1.b VALUES (1, 'one');
	INSERT INTO s2.a VALUES (1, 'one');
	INSERT INTO "Plain" VALUES (1, 'one', 1);
	UPDATE s1.a SET v = 'new' WHERE id = 1;
	UPDATE "Plain" SET id = 2;
	UPDATE s2.a SET v = NULL;
	DELETE FROM s1.a;
	DELETE FROM s1.b;
$$;
CALL work();
SELECT * FROM compared('everything');
CALL work();
SELECT * FROM compared('listed');
CALL work();
SELECT * FROM compared('schemas');
CALL work();
SELECT * FROM compared('inserts');
CALL work();
SELECT * FROM compared('deletes');
-- two add up, and a repeated one does not double
CALL work();
SELECT * FROM compared('inserts,deletes');
CALL work();
SELECT * FROM compared('listed, schemas,listed');
-- none of it; a name as SQL has it
CALL work();
SELECT * FROM compared('"No, ""thing"');
CALL work();
SELECT * FROM compared('LISTED, "No, ""thing"');
-- columns
CALL work();
SELECT * FROM compared('few');
CALL work();
SELECT * FROM compared('all_columns, listed');
CALL work();
SELECT * FROM compared('without_key');
CALL work();
-- lists that contradict each other, also where one wants all columns
SELECT * FROM compared('few,other_few');
SELECT * FROM compared('few,everything');
SELECT * FROM compared('schemas,few');
-- but not about columns that nobody gets to see
SELECT * FROM tell('publications', 'publications', 'everything,few', 'exclude_tables', 's1.a', 'actions', 'update');
CALL work();
-- and patterns and actions, each of which only takes away
SELECT * FROM tell('publications', 'publications', 'everything', 'include_tables', 's1.*,s2.*', 'exclude_tables', '*.b', 'actions', 'insert,truncate',
	'exclude_columns', 's1.a.w');
-- what no publication of tables has
CREATE TABLE mv_source(id int PRIMARY KEY);
CREATE MATERIALIZED VIEW mv AS SELECT id FROM mv_source;
CREATE UNIQUE INDEX mv_id ON mv(id);
CREATE UNLOGGED TABLE unlogged(id int);
INSERT INTO unlogged VALUES (1);
SELECT count(*) FROM tell('publications', 'publications', '"No, ""thing"');
SELECT count(*) FROM pg_logical_slot_get_binary_changes('measure', NULL, NULL, 'proto_version', '1', 'publication_names', '"No, ""thing"');
INSERT INTO mv_source VALUES (2);
REFRESH MATERIALIZED VIEW CONCURRENTLY mv;
UPDATE information_schema.sql_features SET comments = comments WHERE feature_id = 'B012';
SELECT * FROM compared('everything');

SELECT FROM pg_drop_replication_slot('publications');
SELECT FROM pg_drop_replication_slot('measure');
DROP PUBLICATION everything, listed, schemas, inserts, deletes, "No, ""thing", few, other_few, all_columns, without_key;
DROP MATERIALIZED VIEW mv;
DROP TABLE s1.a, s1.b, s2.a, "Plain", unlogged, mv_source;
DROP SCHEMA s1, s2;
DROP PROCEDURE work;
DROP FUNCTION compared;
