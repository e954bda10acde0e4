-- workload.sql -- what Debezium is shown. Each part (psql -v part=N) ends with its row in marker.
-- Nothing that the original plugin gets wrong is in here: tests/tap/050_decoderbufs.t has that.
\set ON_ERROR_STOP on
SELECT :part = 0 AS part_0, :part = 1 AS part_1, :part = 2 AS part_2, :part = 3 AS part_3 \gset

\if :part_0
CREATE TABLE marker(id int PRIMARY KEY);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN label AS varchar(20);
CREATE TABLE types(
	id bigint PRIMARY KEY,
	c_bool bool, c_int2 int2, c_int4 int4 NOT NULL DEFAULT 7, c_int8 int8, c_oid oid,
	c_float4 float4, c_float8 float8, c_numeric numeric, c_numeric_s numeric(12, 3), c_money money,
	c_char "char", c_bpchar char(5), c_varchar varchar(40), c_text text, c_name name,
	c_bytea bytea, c_json json, c_jsonb jsonb, c_xml xml, c_uuid uuid, c_bit bit(3), c_bit1 bit(1),
	c_varbit varbit(10), c_date date, c_time time, c_time3 time(3), c_timetz timetz,
	c_timestamp timestamp, c_timestamp3 timestamp(3), c_timestamptz timestamptz, c_interval interval,
	c_point point, c_box box, c_inet inet, c_cidr cidr, c_macaddr macaddr, c_int4range int4range,
	c_tstzrange tstzrange, c_enum mood, c_int4s int4[], c_texts text[], c_enums mood[],
	c_positive positive, c_label label, c_pair pair,
	c_generated int8 GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE "Odd ""Names"".x"(
	"Key" int PRIMARY KEY, "a.b" text, "select" text, "ünï" text, "q""q" int);
CREATE SCHEMA "Other Schema";
CREATE TABLE "Other Schema".keys(a int, b text, v text, PRIMARY KEY (a, b));
CREATE TABLE toasted(id int PRIMARY KEY, small int, big text, bytes bytea, j jsonb);
ALTER TABLE toasted ALTER big SET STORAGE EXTERNAL, ALTER bytes SET STORAGE EXTERNAL;
CREATE TABLE complete(a int, b text, c numeric);
ALTER TABLE complete REPLICA IDENTITY FULL;
CREATE TABLE by_index(a int, b int NOT NULL, c text);
CREATE UNIQUE INDEX by_index_b ON by_index(b);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_b;
CREATE TABLE changing(id int PRIMARY KEY, a int, b text);
CREATE TABLE late(id int PRIMARY KEY, v text);
CREATE TABLE parted(id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (100) TO (200);
\endif

\if :part_1
INSERT INTO types(id) VALUES (1);
INSERT INTO types VALUES (2,
	true, -32768, 2147483647, -9223372036854775808, 4294967295,
	3.25, -1e300, 12345678901234567890.123456789, 123.456, 12.34,
	'x', 'abc', 'varchar ü', 'text € 😀', 'a name',
	'\x00ff10', '{"a": 1}', '{"b": [1, 2, null]}', '<a>b</a>',
	'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '101', '1',
	'10101', '2024-02-29', '13:14:15.123456', '01:02:03.456', '12:00:00+02',
	'2024-02-29 13:14:15.123456', '1999-12-31 23:59:59.999', '2024-02-29 13:14:15.123456+05',
	'1 year 2 months 3 days 04:05:06.789',
	'(1.5,-2.5)', '(1,2),(3,4)', '192.168.1.5/24', '10.0.0.0/8', '08:00:2b:01:02:03', '[1,10)',
	'[2024-01-01 00:00:00+00,2024-02-01 00:00:00+00)', 'happy', '{1,2,NULL,4}', '{a,NULL,"c d"}',
	'{sad,ok}', 5, 'label', '(7,seven)');
INSERT INTO types(id, c_float4, c_float8, c_numeric, c_date, c_timestamp, c_timestamptz, c_time, c_timetz)
VALUES
	(3, 'NaN', 'NaN', 0, '1969-12-31', '1969-12-31 23:59:59', '1969-12-31 23:59:59+00', '00:00', '00:00+00'),
	(4, 'Infinity', '-Infinity', -0.001, '0001-01-01', '0001-01-01', '0001-01-01 00:00+00', '23:59:59.999999', '23:59:59-08');
UPDATE types SET c_text = 'changed', c_int4 = -1 WHERE id = 2;
UPDATE types SET id = 20 WHERE id = 2;
DELETE FROM types WHERE id IN (1, 3);
INSERT INTO "Odd ""Names"".x" VALUES (1, 'a', 'b', 'c', 2);
UPDATE "Odd ""Names"".x" SET "select" = NULL, "ünï" = 'é';
DELETE FROM "Odd ""Names"".x";
INSERT INTO "Other Schema".keys VALUES (1, 'one', 'x'), (2, 'two', 'y');
UPDATE "Other Schema".keys SET b = 'ONE', v = 'z' WHERE a = 1;
DELETE FROM "Other Schema".keys WHERE a = 2;
BEGIN;
INSERT INTO toasted VALUES (1, 1, repeat('big', 20000), decode(repeat('ab', 20000), 'hex'), '[]');
INSERT INTO toasted VALUES (2, 1, repeat('x', 9000), NULL,
	(SELECT jsonb_agg(md5(i::text)) FROM generate_series(1, 500) i));
COMMIT;
UPDATE toasted SET small = small + 1;
UPDATE toasted SET big = big || '!' WHERE id = 1;
UPDATE toasted SET id = 3 WHERE id = 2;
DELETE FROM toasted WHERE id = 1;
INSERT INTO marker VALUES (1);
\endif

\if :part_2
-- Written while nobody listens: what Debezium makes of the changes to a table's columns must not
-- depend on when it looks at the table.
INSERT INTO complete VALUES (1, 'one', 1.5), (2, NULL, NULL);
UPDATE complete SET c = 2.5 WHERE a = 1;
DELETE FROM complete;
INSERT INTO by_index VALUES (1, 10, 'x'), (2, 20, 'y');
UPDATE by_index SET c = 'z' WHERE b = 10;
UPDATE by_index SET b = 30 WHERE b = 20;
DELETE FROM by_index WHERE b = 10;
BEGIN;
INSERT INTO changing SELECT i, i, 'row ' || i FROM generate_series(1, 2000) i;
SAVEPOINT a;
INSERT INTO changing VALUES (-1, 0, 'rolled back');
ROLLBACK TO a;
UPDATE changing SET a = a + 1 WHERE id % 10 = 0;
COMMIT;
INSERT INTO changing VALUES (10001, 1, 'before');
ALTER TABLE changing ADD COLUMN c numeric(5, 1) DEFAULT 1.5;
INSERT INTO changing VALUES (10002, 2, 'added', 2.5);
ALTER TABLE changing DROP COLUMN a;
INSERT INTO changing VALUES (10003, 'dropped', 3.5);
ALTER TABLE changing RENAME COLUMN b TO bb;
UPDATE changing SET bb = 'renamed' WHERE id = 10002;
ALTER TABLE changing ALTER COLUMN c TYPE text;
INSERT INTO changing VALUES (10004, 'text', 'text');
INSERT INTO marker VALUES (2);
\endif

\if :part_3
INSERT INTO parted VALUES (1, 'one'), (101, 'two');
UPDATE parted SET id = 150, v = 'moved' WHERE id = 1;
DELETE FROM parted WHERE id = 101;
TRUNCATE parted;
DELETE FROM types WHERE id = 20;
ALTER TABLE late ADD COLUMN c numeric(5, 1) NOT NULL DEFAULT 1.5;
INSERT INTO late VALUES (1, 'one', 2.5), (2, NULL, DEFAULT);
UPDATE late SET c = 3 WHERE id = 2;
INSERT INTO marker VALUES (3);
\endif
