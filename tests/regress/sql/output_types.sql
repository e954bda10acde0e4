-- output_types.sql -- types that travel as their output text.
\pset format unaligned
\pset tuples_only on
SELECT FROM pg_create_logical_replication_slot('output_types', 'penstock');

CREATE TABLE numerics(id int PRIMARY KEY, n numeric, n2 numeric(10,2), a numeric[], m money);
INSERT INTO numerics VALUES
	(1, 0, 0, '{}', 0),
	(2, 'NaN', 'NaN', '{NaN,Infinity,-Infinity,NULL}', '-92233720368547758.08'),
	(3, 'Infinity', NULL, NULL, '92233720368547758.07'),
	(4, '-Infinity', 99999999.99, '{1.10,-0.5}', '1234.5'),
	(5, '123456789012345678901234567890.123456789000', 1.005, '{{1,2},{3,4}}', NULL),
	(6, '1e-20', 1, '[5:6]={1,2}', -0.01);

CREATE TABLE arrays(id int PRIMARY KEY, i int[], t text[], b bytea[], f float8[], ts timestamptz[], d date[]);
INSERT INTO arrays VALUES
	(1, '{}', '{}', '{}', '{}', '{}', '{}'),
	(2, '{1,NULL,-2147483648}', ARRAY['', 'NULL', NULL, 'a,b', '"', '\', ' x '], ARRAY['\x00ff'::bytea], '{NaN,-0,0.1,1e300}',
		'{"2026-07-01 12:00+02",infinity}', '{0044-03-15 BC}');

CREATE TYPE mood AS ENUM ('sad', 'it''s ok');
CREATE TABLE enums(id int PRIMARY KEY, m mood, a mood[]);
INSERT INTO enums VALUES (1, 'sad', '{sad,"it''s ok"}');
ALTER TYPE mood ADD VALUE 'happy' BEFORE 'sad';
INSERT INTO enums VALUES (2, 'happy', '{happy}');
BEGIN;
ALTER TYPE mood RENAME VALUE 'sad' TO 'blue';
INSERT INTO enums VALUES (3, 'blue', NULL);
COMMIT;

CREATE TYPE pair AS (x int, "the y" text);
CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100);
CREATE DOMAIN low AS percent CHECK (VALUE < 50);
CREATE DOMAIN named_pair AS pair;
CREATE DOMAIN price AS numeric(8,2);
CREATE DOMAIN tags AS text[];
CREATE TABLE composites(id int PRIMARY KEY, p pair, a pair[], d percent, l low, np named_pair, pr price, dp percent[], tg tags);
INSERT INTO composites VALUES
	(1, '(1,"a ""b"", c")', ARRAY[(1, 'x')::pair, (NULL, NULL)::pair], 100, 49, '(2,)', 1.5, '{1,2}', '{a,b}'),
	(2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
ALTER TYPE pair ADD ATTRIBUTE z timestamptz;
INSERT INTO composites(id, p, np) VALUES (3, (3, 'y', '2026-01-01 00:00+01')::pair, (4, '', 'infinity')::pair);

CREATE TABLE ranges(id int PRIMARY KEY, i int4range, n numrange, t tstzrange, m int4multirange, d datemultirange);
INSERT INTO ranges VALUES
	(1, 'empty', '(,)', '[2026-01-01 00:00+02,)', '{}', '{}'),
	(2, '[1,5]', '(0.5,1.50]', '("2026-01-01 00:00Z",infinity]', '{[1,2],[5,7)}', '{[2026-01-01,2026-02-01)}');

CREATE TABLE others(id int PRIMARY KEY, jb jsonb, i inet, c cidr, ma macaddr, iv interval, b bit(4), vb varbit,
	x xml, tv tsvector, tq tsquery, ch "char", n name, tz timetz, rc regclass, rp regproc, p point, bx box, l pg_lsn, jp jsonpath, o oidvector);
INSERT INTO others VALUES
	(1, '{"b": [1.0, null, "\u00fc"], "a": 1e2}', '192.168.1.7/24', '10.0.0.0/8', '08:00:2b:01:02:03',
		'-1 year 2 mons -3 days 04:05:06.789', '1010', '', '<a b="1">x</a>', 'a:1A fat:2B,4', 'fat & !rat', 'x', 'a name', '12:00:00.5+05:30',
		'pg_class', 'now', '(1.5,-0.1)', '((0,0),(1,1))', '16/B374D848', '$.a[*] ? (@ > 1)', '1 2 3'),
	(2, 'null', '::1', '::/0', NULL, '0', '0000', '101', '<?xml version="1.0" encoding="UTF-8"?><a/>', '', '', '', '', '24:00:00-15:59',
		'others', NULL, NULL, NULL, NULL, NULL, ''),
	(3, '""', NULL, NULL, NULL, '1 day -00:00:01', NULL, NULL, '', NULL, NULL, '"', NULL, NULL, '4000000000', NULL, NULL, NULL, NULL, NULL, NULL);

SELECT * FROM rows('output_types');
SELECT FROM pg_drop_replication_slot('output_types');
DROP TABLE numerics, arrays, enums, composites, ranges, others;
DROP DOMAIN low, percent, named_pair, price, tags;
DROP TYPE pair, mood;
