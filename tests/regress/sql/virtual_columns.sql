-- virtual_columns.sql -- virtual generated columns (PostgreSQL 18) are stored nowhere, and not sent.
\pset format unaligned
\pset tuples_only on
SELECT FROM pg_create_logical_replication_slot('virtual_columns', 'penstock');

-- before 18 a dropped column stands in for one: the same numbers, the same rows
SELECT current_setting('server_version_num')::int >= 180000 AS has_virtual \gset
\if :has_virtual
CREATE TABLE virtual(id int PRIMARY KEY, double int GENERATED ALWAYS AS (id * 2) VIRTUAL, name text,
	upper_name text GENERATED ALWAYS AS (upper(name)) VIRTUAL, stored int GENERATED ALWAYS AS (id * 3) STORED);
\else
CREATE TABLE virtual(id int PRIMARY KEY, double int, name text,
	upper_name text, stored int GENERATED ALWAYS AS (id * 3) STORED);
ALTER TABLE virtual DROP COLUMN double, DROP COLUMN upper_name;
\endif
INSERT INTO virtual(id, name) VALUES (1, 'one'), (2, NULL);
UPDATE virtual SET name = 'two' WHERE id = 2;
UPDATE virtual SET id = 3 WHERE id = 2;
ALTER TABLE virtual REPLICA IDENTITY FULL;
UPDATE virtual SET name = 'three' WHERE id = 3;
DELETE FROM virtual WHERE id = 1;
SELECT * FROM rows('virtual_columns');
SELECT FROM pg_drop_replication_slot('virtual_columns');
