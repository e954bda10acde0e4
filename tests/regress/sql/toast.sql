-- toast.sql -- values stored out of line: sent when they are new, UNCHANGED when an update left them.
\pset format unaligned
\pset tuples_only on
SELECT FROM pg_create_logical_replication_slot('toast', 'penstock');

-- Stored out of line without compression, so that sizes are sure.
CREATE FUNCTION make_external(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	col name;
BEGIN
	FOR col IN SELECT attname FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND attlen = -1 AND attname <> 'n' LOOP
		EXECUTE format('ALTER TABLE %s ALTER %I SET STORAGE EXTERNAL', relation, col);
	END LOOP;
END $$;

CREATE DOMAIN long_text AS text;
CREATE TABLE toasted(id int PRIMARY KEY, n int, t text, y bytea, j jsonb, a int[], d long_text);
SELECT make_external('toasted');
INSERT INTO toasted VALUES (1, 0, repeat('text', 1000), decode(repeat('ab', 4000), 'hex'),
	jsonb_build_object('k', repeat('json', 1000)), array_fill(7, ARRAY[2000]), repeat('domain', 1000));
SELECT count(*) > 0 FROM pg_class c WHERE c.oid = 'toasted'::regclass AND pg_relation_size(c.reltoastrelid) > 0;
UPDATE toasted SET n = 1;
UPDATE toasted SET t = repeat('new ', 1000);
UPDATE toasted SET y = NULL, j = '{}';
UPDATE toasted SET id = 2;
UPDATE toasted SET t = t || 'more';
DELETE FROM toasted;

-- compressed within the row: never unchanged
CREATE TABLE compressed(id int PRIMARY KEY, n int, t text);
INSERT INTO compressed VALUES (1, 0, repeat('z', 3000));
UPDATE compressed SET n = 1;

-- the key itself is out of line
CREATE TABLE long_key(k text PRIMARY KEY, n int);
ALTER TABLE long_key ALTER k SET STORAGE EXTERNAL;
INSERT INTO long_key VALUES (repeat('k', 2500), 0);
UPDATE long_key SET n = 1;
UPDATE long_key SET k = 'short';
UPDATE long_key SET k = repeat('l', 2500);
DELETE FROM long_key;

CREATE TABLE full_toast(id int PRIMARY KEY, n int, t text, y bytea);
SELECT make_external('full_toast');
ALTER TABLE full_toast REPLICA IDENTITY FULL;
INSERT INTO full_toast VALUES (1, 0, repeat('text', 1000), decode(repeat('cd', 4000), 'hex')), (2, 0, NULL, '');
UPDATE full_toast SET n = 1;
UPDATE full_toast SET t = 'now short' WHERE id = 1;
DELETE FROM full_toast;

SELECT * FROM rows('toast');
SELECT FROM pg_drop_replication_slot('toast');
DROP TABLE toasted, compressed, long_key, full_toast;
DROP DOMAIN long_text;
DROP FUNCTION make_external;
