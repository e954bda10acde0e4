-- ddl.sql -- a Relation comes again, with a new number, after a real change to it and only then.
\pset format unaligned
\pset tuples_only on
SELECT FROM pg_create_logical_replication_slot('ddl', 'penstock');

CREATE TABLE t(id int PRIMARY KEY, a int);
CREATE TABLE bystander(id int PRIMARY KEY);
INSERT INTO t VALUES (1, 1);
INSERT INTO bystander VALUES (1);
ALTER TABLE t ADD COLUMN b text DEFAULT 'b';
INSERT INTO t VALUES (2, 2, 'two');
UPDATE t SET a = 3 WHERE id = 1;
ALTER TABLE t DROP COLUMN a;
INSERT INTO t VALUES (3, 'three');
ALTER TABLE t RENAME COLUMN b TO c;
INSERT INTO t VALUES (4, 'four');
ALTER TABLE t ALTER COLUMN c TYPE varchar(20);
INSERT INTO t VALUES (5, 'five');
ALTER TABLE t ALTER COLUMN id TYPE bigint;
INSERT INTO t VALUES (6, 'six');
ALTER TABLE t RENAME TO u;
INSERT INTO u VALUES (7, 'seven');
CREATE SCHEMA elsewhere;
ALTER TABLE u SET SCHEMA elsewhere;
INSERT INTO elsewhere.u VALUES (8, 'eight');
ALTER SCHEMA elsewhere RENAME TO "Else where";
INSERT INTO "Else where".u VALUES (9, 'nine');
ALTER TABLE "Else where".u ALTER c SET NOT NULL;
INSERT INTO "Else where".u VALUES (10, 'ten');
ALTER TABLE "Else where".u DROP CONSTRAINT t_pkey;
INSERT INTO "Else where".u VALUES (11, 'eleven');
INSERT INTO bystander VALUES (2);
SELECT * FROM rows('ddl');

-- none of these is a change to what was said
CREATE TABLE quiet(id int PRIMARY KEY, a int, b text);
INSERT INTO quiet VALUES (1);
VACUUM quiet;
INSERT INTO quiet VALUES (2);
ANALYZE quiet;
INSERT INTO quiet VALUES (3);
CREATE INDEX quiet_a ON quiet(a);
INSERT INTO quiet VALUES (4);
VACUUM FULL quiet;
INSERT INTO quiet VALUES (5);
CLUSTER quiet USING quiet_a;
REINDEX TABLE quiet;
INSERT INTO quiet VALUES (6);
ALTER TABLE quiet ALTER a SET DEFAULT 7;
ALTER TABLE quiet ADD CHECK (a > 0);
ALTER TABLE quiet SET (fillfactor = 70);
COMMENT ON TABLE quiet IS 'comment';
GRANT SELECT ON quiet TO PUBLIC;
INSERT INTO quiet VALUES (7);
ALTER TABLE bystander ADD COLUMN more int;
CREATE TYPE unrelated AS ENUM ('a');
CREATE SCHEMA unrelated;
DROP SCHEMA unrelated;
DROP TYPE unrelated;
TRUNCATE quiet;
INSERT INTO quiet VALUES (8);
-- undone changes neither
BEGIN;
ALTER TABLE quiet ADD COLUMN gone int;
ROLLBACK;
BEGIN;
INSERT INTO quiet VALUES (9);
SAVEPOINT s;
ALTER TABLE quiet ADD COLUMN gone int;
INSERT INTO quiet VALUES (10, 1, 'x', 1);
ROLLBACK TO s;
INSERT INTO quiet VALUES (11);
COMMIT;
SELECT * FROM rows('ddl');

-- within a transaction, each row as the table was then; a rewrite's rows do not come again
BEGIN;
INSERT INTO quiet VALUES (20, 1, 'x');
ALTER TABLE quiet ADD COLUMN c int;
INSERT INTO quiet VALUES (21, 1, 'x', 5);
ALTER TABLE quiet DROP CONSTRAINT quiet_a_check;
ALTER TABLE quiet ALTER COLUMN a TYPE text USING 'a' || a;
INSERT INTO quiet VALUES (22, 'text', 'x', 5);
ALTER TABLE quiet DROP COLUMN b;
DELETE FROM quiet WHERE id = 20;
CREATE TABLE fresh(id int, v text);
INSERT INTO fresh VALUES (1, 'new');
ALTER TABLE fresh ADD PRIMARY KEY (id);
DELETE FROM fresh;
DROP TABLE fresh;
COMMIT;
-- a table of the same name is another relation
DROP TABLE quiet;
CREATE TABLE quiet(id int PRIMARY KEY);
INSERT INTO quiet VALUES (1);
SELECT * FROM rows('ddl');

-- a type's new name or schema
CREATE TYPE old_name AS ENUM ('a');
CREATE TABLE typed(id int PRIMARY KEY, e old_name);
INSERT INTO typed VALUES (1, 'a');
ALTER TYPE old_name RENAME TO new_name;
INSERT INTO typed VALUES (2, 'a');
ALTER TYPE new_name SET SCHEMA "Else where";
INSERT INTO typed VALUES (3, 'a');
SELECT * FROM rows('ddl');

SELECT FROM pg_drop_replication_slot('ddl');
DROP TABLE bystander, quiet, typed, "Else where".u;
DROP SCHEMA "Else where" CASCADE;
