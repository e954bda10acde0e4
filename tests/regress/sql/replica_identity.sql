-- replica_identity.sql -- what an update or delete says of the old row.
\pset format unaligned
\pset tuples_only on
SELECT FROM pg_create_logical_replication_slot('replica_identity', 'penstock');

CREATE TABLE by_default(a int, b text, c int, PRIMARY KEY (c, a));
INSERT INTO by_default VALUES (1, 'one', 10), (2, NULL, 20);
UPDATE by_default SET b = 'uno' WHERE a = 1;
UPDATE by_default SET a = 3 WHERE a = 2;
UPDATE by_default SET c = c + 1, b = 'both' WHERE a = 3;
DELETE FROM by_default;

CREATE TABLE without_key(a int, b text);
INSERT INTO without_key VALUES (1, 'one');
UPDATE without_key SET b = 'uno';
DELETE FROM without_key;

CREATE TABLE by_full(a int PRIMARY KEY, b text, c int);
ALTER TABLE by_full REPLICA IDENTITY FULL;
INSERT INTO by_full VALUES (1, NULL, NULL), (2, 'two', 2);
UPDATE by_full SET b = 'x' WHERE a = 1;
UPDATE by_full SET a = 4, c = NULL WHERE a = 2;
DELETE FROM by_full;

CREATE TABLE by_nothing(a int PRIMARY KEY, b text);
ALTER TABLE by_nothing REPLICA IDENTITY NOTHING;
INSERT INTO by_nothing VALUES (1, 'one');
UPDATE by_nothing SET a = 2;
DELETE FROM by_nothing;

CREATE TABLE by_index(a int PRIMARY KEY, b text, c int NOT NULL, d int NOT NULL, e int);
CREATE UNIQUE INDEX by_index_dc ON by_index(d, c) INCLUDE (e);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_dc;
INSERT INTO by_index VALUES (1, 'one', 10, 100, 1000);
UPDATE by_index SET a = 2, e = 0;
UPDATE by_index SET c = 11;
DELETE FROM by_index;
-- the index goes, and nothing is left to tell rows apart by
INSERT INTO by_index VALUES (1, 'one', 10, 100, 1000);
DROP INDEX by_index_dc;
DELETE FROM by_index;

-- PostgreSQL takes no deferrable constraint for an identity
CREATE TABLE by_deferrable(a int PRIMARY KEY DEFERRABLE, b text);
INSERT INTO by_deferrable VALUES (1, 'one');
UPDATE by_deferrable SET a = 2;
DELETE FROM by_deferrable;

-- changes within one transaction, each row as the identity was then
CREATE TABLE changing(a int PRIMARY KEY, b text);
BEGIN;
INSERT INTO changing VALUES (1, 'one'), (2, 'two'), (3, 'three');
DELETE FROM changing WHERE a = 1;
ALTER TABLE changing REPLICA IDENTITY FULL;
DELETE FROM changing WHERE a = 2;
ALTER TABLE changing REPLICA IDENTITY NOTHING;
DELETE FROM changing WHERE a = 3;
COMMIT;

-- ON CONFLICT, and a row changed twice
CREATE TABLE upsert(a int PRIMARY KEY, b text);
INSERT INTO upsert VALUES (1, 'one');
INSERT INTO upsert VALUES (1, 'again'), (2, 'two') ON CONFLICT (a) DO UPDATE SET b = EXCLUDED.b;

SELECT * FROM rows('replica_identity');
SELECT FROM pg_drop_replication_slot('replica_identity');
DROP TABLE by_default, without_key, by_full, by_nothing, by_index, by_deferrable, changing, upsert;
