-- catalog_changes.sql -- filters and descriptions follow catalogs that are not the table's own: of its
-- schema, its ancestors, and of prepared transactions that are undone.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
SELECT FROM pg_create_logical_replication_slot('catalogs', 'penstock', false, true);

-- a schema that is renamed to what a pattern names, and away from it
CREATE SCHEMA hidden;
CREATE TABLE hidden.t(id int PRIMARY KEY, v text);
INSERT INTO hidden.t VALUES (1, 'not sent');
ALTER SCHEMA hidden RENAME TO seen;
INSERT INTO seen.t VALUES (2, 'sent');
BEGIN;
ALTER SCHEMA seen RENAME TO hidden;
INSERT INTO hidden.t VALUES (3, 'not sent');
ALTER SCHEMA hidden RENAME TO seen;
INSERT INTO seen.t VALUES (4, 'sent');
COMMIT;
SELECT * FROM tell('catalogs', 'include_tables', 'seen.*');

-- a tree of partitions that joins another one, and leaves it; as whose rows they come
CREATE TABLE tree(id int, region text, v text) PARTITION BY LIST (region);
CREATE TABLE branch(v text, id int, region text) PARTITION BY RANGE (id);
CREATE TABLE leaf PARTITION OF branch FOR VALUES FROM (0) TO (100);
CREATE PUBLICATION as_tree FOR TABLE tree WITH (publish_via_partition_root);
INSERT INTO branch VALUES ('not published', 1, 'eu');
ALTER TABLE tree ATTACH PARTITION branch FOR VALUES IN ('eu');
INSERT INTO branch VALUES ('as tree', 2, 'eu');
ALTER PUBLICATION as_tree SET (publish_via_partition_root = false);
INSERT INTO branch VALUES ('as leaf', 3, 'eu');
ALTER PUBLICATION as_tree SET (publish_via_partition_root = true);
ALTER PUBLICATION as_tree ADD TABLE branch;
INSERT INTO branch VALUES ('as tree', 4, 'eu');
ALTER PUBLICATION as_tree DROP TABLE tree;
INSERT INTO tree VALUES (5, 'eu', 'as branch');
ALTER TABLE tree DETACH PARTITION branch;
INSERT INTO branch VALUES ('as branch', 6, 'eu');
ALTER TABLE branch DETACH PARTITION leaf;
INSERT INTO leaf VALUES ('not published', 7, 'eu');
SELECT * FROM tell('catalogs', 'publications', 'as_tree') line WHERE line NOT IN ('BEGIN', 'COMMIT');

-- a schema of the root, to which a pattern looks
CREATE SCHEMA roots;
CREATE TABLE roots.r(id int) PARTITION BY RANGE (id);
CREATE TABLE r_1 PARTITION OF roots.r FOR VALUES FROM (0) TO (100);
CREATE PUBLICATION as_root FOR TABLE roots.r WITH (publish_via_partition_root);
INSERT INTO roots.r VALUES (1);
ALTER SCHEMA roots RENAME TO trunks;
INSERT INTO trunks.r VALUES (2);
ALTER TABLE trunks.r RENAME TO s;
INSERT INTO trunks.s VALUES (3);
SELECT * FROM tell('catalogs', 'publications', 'as_root', 'include_tables', 'trunks.r') line WHERE line NOT IN ('BEGIN', 'COMMIT');

-- a filter over a column that is not sent
CREATE TABLE g(id int PRIMARY KEY, a int, b int);
ALTER TABLE g REPLICA IDENTITY FULL;
CREATE PUBLICATION filtered FOR TABLE g WHERE (a > 10);
INSERT INTO g VALUES (1, 1), (2, 20);
UPDATE g SET a = a + 10;
DELETE FROM g;
SELECT * FROM tell('catalogs', 'publications', 'filtered', 'exclude_columns', '*.*.a') line WHERE line NOT IN ('BEGIN', 'COMMIT');

-- changed in a prepared transaction: what is described there holds until it is undone
CREATE TABLE p(id int PRIMARY KEY, v text);
CREATE TYPE mood AS ENUM ('sad');
INSERT INTO p VALUES (1, 'before');
BEGIN;
ALTER TABLE p ADD COLUMN more mood DEFAULT 'sad';
CREATE TABLE made(id int);
INSERT INTO p VALUES (2, 'within', 'sad');
INSERT INTO made VALUES (1);
PREPARE TRANSACTION 'undone';
ROLLBACK PREPARED 'undone';
INSERT INTO p VALUES (3, 'after');
BEGIN;
ALTER TABLE p ADD COLUMN more int;
INSERT INTO p VALUES (4, 'within', 4);
PREPARE TRANSACTION 'done';
COMMIT PREPARED 'done';
INSERT INTO p VALUES (5, 'after', 5);
SELECT * FROM unnest(check_formats('catalogs', 'two_phase', 'on'));
SELECT * FROM tell('catalogs');

-- settings of the session are of no account to any format
CREATE TABLE styled(d date, tz timestamptz, i interval, f float8[], y bytea[], m money, dd date[], n numeric);
INSERT INTO styled VALUES ('2026-02-01', '2026-07-01 12:00Z', '1 year 2 days -3 hours', '{0.1,1e-7}', ARRAY['\x00ff'::bytea], 1234.5, '{2026-02-01}', 1.50);
SELECT check_formats('catalogs') AS lines, lines_of('catalogs', 'json', '{}') AS json_lines \gset
SET DateStyle = 'German, DMY';
SET IntervalStyle = 'sql_standard';
SET TimeZone = 'Asia/Kolkata';
SET extra_float_digits = -5;
SET bytea_output = 'escape';
SELECT lines_of('catalogs', 'text', '{}') = :'lines', lines_of('catalogs', 'json', '{}') = :'json_lines';
RESET ALL;
SELECT * FROM tell('catalogs');

SELECT FROM pg_drop_replication_slot('catalogs');
DROP PUBLICATION as_tree, as_root, filtered;
DROP TABLE seen.t, tree, branch, leaf, trunks.s, g, p, styled;
DROP SCHEMA seen, trunks;
DROP TYPE mood;
