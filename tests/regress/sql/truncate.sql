-- truncate.sql -- all tables of one statement in one event.
\pset format unaligned
\pset tuples_only on
SELECT FROM pg_create_logical_replication_slot('truncate', 'penstock');

CREATE TABLE a(id serial PRIMARY KEY);
CREATE TABLE b(id int PRIMARY KEY, a int REFERENCES a);
CREATE TABLE c(id int);
INSERT INTO a DEFAULT VALUES;
TRUNCATE c;
TRUNCATE b, c;
TRUNCATE a CASCADE;
TRUNCATE a, b RESTART IDENTITY;
TRUNCATE c CONTINUE IDENTITY;
TRUNCATE a, c RESTART IDENTITY CASCADE;
BEGIN;
INSERT INTO c VALUES (1);
TRUNCATE c;
INSERT INTO c VALUES (2);
COMMIT;
BEGIN;
TRUNCATE a, b, c;
ROLLBACK;
-- an unlogged table is not in the WAL, so it leaves no trace, alone or among others
CREATE UNLOGGED TABLE u(id int);
TRUNCATE u;
TRUNCATE u, c;
SELECT * FROM rows('truncate');

SELECT FROM pg_drop_replication_slot('truncate');
DROP TABLE a, b, c, u;
