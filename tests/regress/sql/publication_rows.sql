-- publication_rows.sql -- row filters of publications: an update that enters a filter is an insert,
-- one that leaves it a delete; pgoutput is the measure.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
SELECT FROM pg_create_logical_replication_slot('rows', 'penstock');
SELECT FROM pg_create_logical_replication_slot('measure', 'pgoutput');

-- The changes, and whether pgoutput has the same, in order by first letter; both slots consumed.
CREATE FUNCTION compared(publications text, VARIADIC options text[] DEFAULT '{}') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	lines text[] := ARRAY(SELECT line FROM tell('rows', VARIADIC ARRAY['publications', publications] || options) line
		WHERE line NOT IN ('BEGIN', 'COMMIT'));
	kinds text := (SELECT string_agg(regexp_substr(line, '(?<=: )[IUD](?=(NSERT|PDATE|ELETE) )|^T(?=RUNCATE)'), '' ORDER BY n)
		FROM unnest(lines) WITH ORDINALITY l(line, n));
	measured text := (SELECT string_agg(chr(get_byte(data, 0)), '' ORDER BY n) FILTER (WHERE chr(get_byte(data, 0)) IN ('I', 'U', 'D', 'T'))
		FROM pg_logical_slot_get_binary_changes('measure', NULL, NULL, 'proto_version', '1', 'publication_names', publications)
			WITH ORDINALITY m(lsn, xid, data, n));
BEGIN
	RETURN QUERY SELECT line FROM unnest(lines) line WHERE line !~ ': TABLE ';
	RETURN NEXT CASE WHEN kinds IS NOT DISTINCT FROM measured THEN 'as pgoutput: ' ELSE 'but pgoutput ' || measured || ': ' END || coalesce(kinds, 'none');
END $$;

CREATE TABLE t(id int PRIMARY KEY, v text, n int);
CREATE TABLE f(id int PRIMARY KEY, v text, n int);
ALTER TABLE f REPLICA IDENTITY FULL;
CREATE PUBLICATION by_key FOR TABLE t WHERE (id > 10);
CREATE PUBLICATION by_row FOR TABLE f WHERE (n > 10 AND v IS NOT NULL);
CREATE PUBLICATION other_rows FOR TABLE f WHERE (n < 0);
CREATE PUBLICATION inserted FOR TABLE f WHERE (n = 5) WITH (publish = 'insert');
CREATE PUBLICATION all_inserted FOR TABLE f WITH (publish = 'insert');
CREATE PUBLICATION by_text FOR TABLE f WHERE (left(lower(v), 3) = 'yes' OR v ~ '^\d+$');
CREATE PUBLICATION never FOR TABLE f WHERE (false);
CREATE PUBLICATION unknown FOR TABLE f WHERE (NULL);

CREATE PROCEDURE work() LANGUAGE sql AS $$
	INSERT INTO t VALUES (1, 'out', 1), (20, 'in', 1), (30, 'in', NULL);
	UPDATE t SET v = 'stays out' WHERE id = 1;
	UPDATE t SET v = 'stays in' WHERE id = 20;
	UPDATE t SET id = 2 WHERE id = 20;
	UPDATE t SET id = 21 WHERE id = 2;
	UPDATE t SET id = 22 WHERE id = 21;
	UPDATE t SET id = 3 WHERE id = 1;
	DELETE FROM t WHERE id = 3;
	DELETE FROM t WHERE id = 22;
	INSERT INTO f VALUES (1, 'out', 5), (2, 'Yes', 50), (3, NULL, 50), (4, '123', -1), (5, 'null', NULL);
	UPDATE f SET v = 'enters' WHERE id = 3;
	UPDATE f SET n = 20 WHERE id = 2;
	UPDATE f SET n = -3 WHERE id = 2;
	UPDATE f SET n = 15 WHERE id = 5;
	UPDATE f SET v = 'yes, too', n = 11 WHERE id = 4;
	TRUNCATE t;
	DELETE FROM f;
$$;
CALL work();
SELECT * FROM compared('by_key');
CALL work();
SELECT * FROM compared('by_row');
-- of two the rows of both; an action that another publishes whole is whole
CALL work();
SELECT * FROM compared('by_row, other_rows');
CALL work();
SELECT * FROM compared('by_row, inserted');
CALL work();
SELECT * FROM compared('by_row, all_inserted');
CALL work();
SELECT * FROM compared('inserted');
CALL work();
SELECT * FROM compared('by_text');
CALL work();
SELECT * FROM compared('never, unknown');
CALL work();
SELECT * FROM tell('rows', 'publications', 'by_row', 'actions', 'insert');
SELECT count(*) > 0 FROM pg_logical_slot_get_binary_changes('measure', NULL, NULL, 'proto_version', '1', 'publication_names', 'by_row');

-- every row of two publications, of which one is of the schema
CREATE SCHEMA whole;
ALTER TABLE f SET SCHEMA whole;
CREATE PUBLICATION of_schema FOR TABLES IN SCHEMA whole;
INSERT INTO whole.f VALUES (1, 'x', 0), (2, 'x', 11);
SELECT * FROM compared('by_row, of_schema');
-- one that is both in the schema and has a filter cannot be; one after the other can
ALTER TABLE whole.f SET SCHEMA public;
INSERT INTO f VALUES (3, 'x', 0), (4, 'x', 11);
SELECT * FROM compared('by_row, of_schema');

-- TOASTed values: of a key, which an old row has though the new one does not
CREATE TABLE long_key(k text, n int, v text, PRIMARY KEY (k));
ALTER TABLE long_key ALTER k SET STORAGE EXTERNAL, ALTER v SET STORAGE EXTERNAL;
CREATE PUBLICATION by_long FOR TABLE long_key WHERE (length(k) > 2400 AND right(k, 1) = 'k');
INSERT INTO long_key VALUES (repeat('k', 2500), 0, repeat('v', 3000)), ('k', 0, repeat('v', 3000));
UPDATE long_key SET n = 1;
UPDATE long_key SET k = k || 'x' WHERE n = 1 AND length(k) > 1;
UPDATE long_key SET n = 2;
DELETE FROM long_key;
SELECT regexp_replace(line, '(k|v)\1{9,}', '\1…', 'g') FROM compared('by_long') line;

-- entering the filter with a value that did not travel: without the old row no insert can be made
-- of it, with it one can
CREATE TABLE enters(id int PRIMARY KEY, n int, v text);
CREATE TABLE enters_full(id int PRIMARY KEY, n int, v text);
ALTER TABLE enters ALTER v SET STORAGE EXTERNAL;
ALTER TABLE enters_full ALTER v SET STORAGE EXTERNAL, REPLICA IDENTITY FULL;
CREATE PUBLICATION entering FOR TABLE enters WHERE (id > 10), enters_full WHERE (n > 10);
INSERT INTO enters VALUES (1, 0, repeat('v', 3000)), (2, 0, 'short');
INSERT INTO enters_full VALUES (1, 0, repeat('v', 3000)), (2, 0, 'short');
UPDATE enters SET id = id + 10;
UPDATE enters_full SET n = 11;
UPDATE enters_full SET id = id + 10;
UPDATE enters_full SET n = 1;
SELECT regexp_replace(line, '(v)\1{9,}', '\1…', 'g') FROM compared('entering') line;

SELECT FROM pg_drop_replication_slot('rows');
SELECT FROM pg_drop_replication_slot('measure');
DROP PUBLICATION by_key, by_row, other_rows, inserted, all_inserted, by_text, never, unknown, of_schema, by_long, entering;
DROP TABLE t, f, long_key, enters, enters_full;
DROP SCHEMA whole;
DROP PROCEDURE work;
DROP FUNCTION compared;
