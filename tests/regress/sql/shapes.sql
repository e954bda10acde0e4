-- shapes.sql -- tables of unusual shape or name.
\pset format unaligned
\pset tuples_only on
SELECT FROM pg_create_logical_replication_slot('shapes', 'penstock');

CREATE TABLE generated(id int PRIMARY KEY, a int, g int GENERATED ALWAYS AS (a * 2) STORED,
	i int GENERATED ALWAYS AS IDENTITY, h text GENERATED ALWAYS AS (a::text) STORED);
INSERT INTO generated VALUES (1, 5);
UPDATE generated SET a = 7;
DELETE FROM generated;

CREATE TABLE empty();
INSERT INTO empty DEFAULT VALUES;
TRUNCATE empty;
CREATE TABLE emptied(a int);
INSERT INTO emptied VALUES (1);
ALTER TABLE emptied REPLICA IDENTITY FULL;
ALTER TABLE emptied DROP COLUMN a;
INSERT INTO emptied DEFAULT VALUES;
DELETE FROM emptied;
ALTER TABLE emptied ADD COLUMN b int;
INSERT INTO emptied VALUES (2);

CREATE SCHEMA "Sch""ema";
CREATE TABLE "Sch""ema"."Tab le.x"("a b" int PRIMARY KEY, "Ünï" text, "sel""ect" int, "123456789012345678901234567890123456789012345678901234567890123" int);
INSERT INTO "Sch""ema"."Tab le.x" VALUES (1, 'x', 2, 3);
DELETE FROM "Sch""ema"."Tab le.x";
SET quote_all_identifiers = on;
CREATE TABLE pointing(id int PRIMARY KEY, r regclass);
INSERT INTO pointing VALUES (1, '"Sch""ema"."Tab le.x"'), (2, 'pg_class'), (3, 'pointing');
SELECT * FROM rows('shapes');
RESET quote_all_identifiers;

-- the most columns that a heap takes
DO $$ BEGIN
	EXECUTE 'CREATE TABLE wide(' || (SELECT string_agg('c' || i || ' int', ', ' ORDER BY i) FROM generate_series(1, 1600) i) || ')';
	EXECUTE 'INSERT INTO wide VALUES (' || (SELECT string_agg(CASE WHEN i % 2 = 0 THEN 'NULL' ELSE i::text END, ', ' ORDER BY i)
		FROM generate_series(1, 1600) i) || ')';
END $$;
SELECT regexp_count(line, ','), regexp_count(line, 'NULL'), left(line, 60), right(line, 40) FROM rows('shapes') line;

SELECT FROM pg_drop_replication_slot('shapes');
DROP TABLE generated, empty, emptied, pointing, wide;
DROP SCHEMA "Sch""ema" CASCADE;
