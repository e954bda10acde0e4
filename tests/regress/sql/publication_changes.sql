-- publication_changes.sql -- publications as they were when the change was made: created, altered and
-- dropped between changes. One that does not exist is a warning and lets nothing through.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
SELECT FROM pg_create_logical_replication_slot('p', 'penstock');
CREATE SCHEMA s1;
CREATE TABLE a(id int PRIMARY KEY, v text);
CREATE TABLE b(id int PRIMARY KEY, v text);
CREATE TABLE s1.c(id int PRIMARY KEY, v text);

INSERT INTO a VALUES (1, 'before');
SELECT * FROM tell('p', 'publications', 'later');
INSERT INTO a VALUES (2, 'before');
CREATE PUBLICATION later FOR TABLE a;
INSERT INTO a VALUES (3, 'listed');
INSERT INTO b VALUES (3, 'not listed');
ALTER PUBLICATION later ADD TABLE b;
INSERT INTO b VALUES (4, 'listed');
ALTER PUBLICATION later SET (publish = 'update');
INSERT INTO b VALUES (5, 'no insert');
UPDATE b SET v = 'updated' WHERE id = 5;
ALTER PUBLICATION later SET (publish = 'insert, update, delete, truncate');
ALTER PUBLICATION later SET TABLE a (id), b WHERE (id > 100);
INSERT INTO a VALUES (6, 'without v');
INSERT INTO b VALUES (6, 'filtered'), (101, 'in the filter');
ALTER PUBLICATION later DROP TABLE a;
INSERT INTO a VALUES (7, 'dropped');
ALTER PUBLICATION later ADD TABLES IN SCHEMA s1;
INSERT INTO s1.c VALUES (8, 'by its schema');
ALTER TABLE b SET SCHEMA s1;
INSERT INTO s1.b VALUES (9, 'by its schema');
ALTER TABLE s1.c SET SCHEMA public;
INSERT INTO c VALUES (10, 'no longer');
ALTER PUBLICATION later DROP TABLES IN SCHEMA s1;
INSERT INTO s1.b VALUES (11, 'filtered'), (111, 'in the filter again');
ALTER PUBLICATION later RENAME TO renamed;
INSERT INTO s1.b VALUES (112, 'of another name');
ALTER PUBLICATION renamed RENAME TO later;
INSERT INTO s1.b VALUES (113, 'of its name again');
DROP PUBLICATION later;
INSERT INTO s1.b VALUES (114, 'dropped');
CREATE PUBLICATION later FOR ALL TABLES;
INSERT INTO s1.b VALUES (15, 'another one of that name');
SELECT * FROM tell('p', 'publications', 'later');

-- within a transaction
BEGIN;
INSERT INTO a VALUES (20, 'all');
DROP PUBLICATION later;
INSERT INTO a VALUES (21, 'none');
CREATE PUBLICATION later FOR TABLE a (id);
INSERT INTO a VALUES (22, 'few');
SAVEPOINT s;
ALTER PUBLICATION later SET TABLE a;
INSERT INTO a VALUES (23, 'rolled back');
ROLLBACK TO s;
INSERT INTO a VALUES (24, 'few');
COMMIT;
SELECT * FROM tell('p', 'publications', 'later');
-- one of two is missing: the other counts
INSERT INTO a VALUES (30, 'few');
SELECT * FROM tell('p', 'publications', 'later, missing');
-- a publication that does not concern a table makes nothing of it come again
BEGIN;
INSERT INTO a VALUES (31, 'few');
CREATE PUBLICATION unrelated FOR ALL TABLES;
INSERT INTO a VALUES (32, 'few');
DROP PUBLICATION unrelated;
INSERT INTO a VALUES (33, 'few');
COMMIT;
SELECT * FROM tell('p', 'publications', 'later');

-- malformed names
SELECT * FROM tell('p', 'publications', '');
SELECT * FROM tell('p', 'publications', ',');
SELECT * FROM tell('p', 'publications', 'a b');
SELECT * FROM tell('p', 'publications', '"a');
SELECT count(*) FROM tell('p', 'publications', (SELECT string_agg('p' || i, ',') FROM generate_series(1, 1001) i));

SELECT FROM pg_drop_replication_slot('p');
DROP PUBLICATION later;
DROP TABLE a, s1.b, c;
DROP SCHEMA s1;
