-- publication_partitions.sql -- rows of partitions as those of the published root, or as their own.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
SELECT FROM pg_create_logical_replication_slot('partitions', 'penstock');
SELECT FROM pg_create_logical_replication_slot('measure', 'pgoutput');

-- The events, and whether pgoutput has the same changes in order by first letter; both slots consumed.
CREATE FUNCTION compared(publications text, VARIADIC options text[] DEFAULT '{}') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	lines text[] := ARRAY(SELECT line FROM tell('partitions', VARIADIC ARRAY['publications', publications] || options) line
		WHERE line NOT IN ('BEGIN', 'COMMIT'));
	kinds text := (SELECT string_agg(regexp_substr(line, '(?<=: )[IUD](?=(NSERT|PDATE|ELETE) )|^T(?=RUNCATE)'), '' ORDER BY n)
		FROM unnest(lines) WITH ORDINALITY l(line, n));
	measured text := (SELECT string_agg(chr(get_byte(data, 0)), '' ORDER BY n) FILTER (WHERE chr(get_byte(data, 0)) IN ('I', 'U', 'D', 'T'))
		FROM pg_logical_slot_get_binary_changes('measure', NULL, NULL, 'proto_version', '1', 'publication_names', publications)
			WITH ORDINALITY m(lsn, xid, data, n));
BEGIN
	RETURN QUERY SELECT unnest(lines);
	RETURN NEXT CASE WHEN kinds IS NOT DISTINCT FROM measured THEN 'as pgoutput: ' ELSE 'but pgoutput ' || measured || ': ' END || coalesce(kinds, 'none');
END $$;

-- two levels; the leaves have their columns in other places, and dropped ones among them
CREATE TABLE root(id int, region text, v text, g int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE mid(g int, junk int, v text, region text NOT NULL, id int NOT NULL) PARTITION BY RANGE (id);
ALTER TABLE mid DROP COLUMN junk;
CREATE TABLE leaf_1(junk_1 int, id int NOT NULL, v text, junk_2 text, region text NOT NULL, g int);
ALTER TABLE leaf_1 DROP COLUMN junk_1, DROP COLUMN junk_2;
ALTER TABLE root ATTACH PARTITION mid FOR VALUES IN ('eu', 'uk');
ALTER TABLE mid ATTACH PARTITION leaf_1 FOR VALUES FROM (0) TO (100);
CREATE TABLE leaf_2 PARTITION OF mid FOR VALUES FROM (100) TO (200);
CREATE TABLE leaf_us PARTITION OF root FOR VALUES IN ('us');

CREATE PUBLICATION as_root FOR TABLE root WITH (publish_via_partition_root);
CREATE PUBLICATION as_leaves FOR TABLE root;
CREATE PUBLICATION as_mid FOR TABLE mid WITH (publish_via_partition_root);
CREATE PUBLICATION one_leaf FOR TABLE leaf_1;
CREATE PUBLICATION all_as_root FOR ALL TABLES WITH (publish_via_partition_root);
CREATE PUBLICATION filtered FOR TABLE root (region, id, g) WHERE (id <> 150) WITH (publish_via_partition_root);
CREATE PUBLICATION filtered_leaf FOR TABLE leaf_1 (id, region) WHERE (id = 1);

CREATE PROCEDURE work() LANGUAGE sql AS $$
	INSERT INTO root VALUES (1, 'eu', 'one', 10), (150, 'uk', 'two', 20), (3, 'us', 'three', 30);
	UPDATE root SET v = 'new';
	UPDATE root SET id = 2 WHERE id = 1;
	UPDATE root SET id = 151 WHERE id = 2;
	UPDATE root SET region = 'us' WHERE id = 150;
	DELETE FROM root WHERE id = 151;
	TRUNCATE leaf_2;
	TRUNCATE mid;
	TRUNCATE root;
$$;
CALL work();
SELECT * FROM compared('as_root');
CALL work();
SELECT * FROM compared('as_leaves');
CALL work();
SELECT * FROM compared('as_mid');
CALL work();
SELECT * FROM compared('one_leaf');
CALL work();
SELECT * FROM compared('all_as_root', 'include_tables', '*.root, *.mid, *.leaf*');
-- the topmost that one of them names wins
CALL work();
SELECT * FROM compared('as_mid, as_root');
CALL work();
SELECT * FROM compared('as_root, as_leaves, one_leaf, filtered_leaf');
CALL work();
SELECT * FROM compared('filtered');
CALL work();
SELECT * FROM compared('filtered, one_leaf');
-- what is the root's is matched by the root's name
CALL work();
SELECT * FROM tell('partitions', 'publications', 'as_root', 'exclude_tables', '*.leaf*, *.mid', 'exclude_columns', 'public.root.v, public.leaf_us.g');
SELECT count(*) > 0 FROM pg_logical_slot_get_binary_changes('measure', NULL, NULL, 'proto_version', '1', 'publication_names', 'as_root');
CALL work();
SELECT count(*) FROM tell('partitions', 'publications', 'as_root', 'include_tables', '*.leaf*, *.mid');
SELECT count(*) > 0 FROM pg_logical_slot_get_binary_changes('measure', NULL, NULL, 'proto_version', '1', 'publication_names', 'as_root');

-- which columns a filter on the root needs, an attached leaf has elsewhere
CREATE TABLE leaf_fi(g int, v text, id int NOT NULL, region text NOT NULL);
ALTER TABLE root ATTACH PARTITION leaf_fi FOR VALUES IN ('fi');
INSERT INTO root VALUES (150, 'fi', 'hidden', 150), (7, 'fi', 'seen', 150);
UPDATE root SET id = 8 WHERE id = 7;
UPDATE root SET id = 151 WHERE id = 150;
UPDATE root SET id = 150 WHERE id = 8;
SELECT * FROM compared('filtered');

ALTER TABLE root DETACH PARTITION leaf_fi;
DROP PUBLICATION filtered, filtered_leaf;
DROP TABLE leaf_fi;

-- leaves come, go and change while rows come; one with an identity of its own is described by itself
BEGIN;
INSERT INTO root VALUES (1, 'us', 'one', 1);
ALTER TABLE root ADD COLUMN added int DEFAULT 5;
INSERT INTO root VALUES (2, 'us', 'two', 2);
ALTER TABLE root RENAME COLUMN v TO w;
ALTER TABLE root RENAME TO trunk;
CREATE TABLE leaf_fr PARTITION OF trunk FOR VALUES IN ('fr');
INSERT INTO trunk VALUES (3, 'fr', 'three', 3), (3, 'us', 'three', 3);
ALTER TABLE trunk DETACH PARTITION leaf_fr;
INSERT INTO leaf_fr VALUES (4, 'fr', 'alone', 4);
ALTER TABLE leaf_us REPLICA IDENTITY FULL;
UPDATE trunk SET w = 'full' WHERE id = 2;
UPDATE trunk SET id = 5 WHERE id = 2;
INSERT INTO trunk VALUES (5, 'eu', 'five', 5);
UPDATE trunk SET id = 6 WHERE region = 'eu';
DELETE FROM trunk;
COMMIT;
SELECT * FROM compared('as_root');
SELECT FROM pg_drop_replication_slot('partitions');
SELECT FROM pg_drop_replication_slot('measure');
DROP PUBLICATION as_root, as_leaves, as_mid, one_leaf, all_as_root;
DROP TABLE trunk, leaf_fr;
DROP PROCEDURE work;
DROP FUNCTION compared;
