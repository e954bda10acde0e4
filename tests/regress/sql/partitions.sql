-- partitions.sql -- rows come as the leaf's, a truncation names root and leaves.
\pset format unaligned
\pset tuples_only on
SELECT FROM pg_create_logical_replication_slot('partitions', 'penstock');

CREATE TABLE root(id int, region text, v int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE root_eu PARTITION OF root FOR VALUES IN ('eu');
CREATE TABLE root_us(v int, extra int, region text NOT NULL, id int NOT NULL);
ALTER TABLE root_us DROP COLUMN extra;
ALTER TABLE root ATTACH PARTITION root_us FOR VALUES IN ('us');
INSERT INTO root VALUES (1, 'eu', 10), (2, 'us', 20);
UPDATE root SET v = v + 1;
-- between partitions: a delete and an insert
UPDATE root SET region = 'us' WHERE id = 1;
DELETE FROM root WHERE id = 1;
TRUNCATE root;
TRUNCATE root_eu;
INSERT INTO root VALUES (3, 'eu', 1);
ALTER TABLE root DETACH PARTITION root_eu;
INSERT INTO root_eu VALUES (4, 'eu', 1);
SELECT * FROM rows('partitions');

-- an identity of their own at each level
CREATE TABLE top(id int NOT NULL, k int NOT NULL) PARTITION BY RANGE (id);
CREATE UNIQUE INDEX top_key ON top(k, id);
ALTER TABLE top REPLICA IDENTITY USING INDEX top_key;
CREATE TABLE top_1 PARTITION OF top FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);
CREATE TABLE top_1_1 PARTITION OF top_1 FOR VALUES FROM (0) TO (10);
ALTER TABLE top_1_1 REPLICA IDENTITY USING INDEX top_1_1_k_id_idx;
INSERT INTO top VALUES (1, 1);
DELETE FROM top;
TRUNCATE top;
-- inheritance: each table for itself
CREATE TABLE parent(id int);
CREATE TABLE child(extra text) INHERITS (parent);
INSERT INTO child VALUES (1, 'x');
TRUNCATE parent;
TRUNCATE ONLY parent;
SELECT * FROM rows('partitions');

SELECT FROM pg_drop_replication_slot('partitions');
DROP TABLE root, root_eu, top, parent, child;
