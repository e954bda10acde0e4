-- binary_values.sql -- values=binary: what has no form of its own travels as its type's send function
-- gives it, but for types whose send form is right on this server only.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
SELECT FROM pg_create_logical_replication_slot('binary', 'penstock');

CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (x int, y text);
CREATE TYPE float_range AS RANGE (subtype = float8);
CREATE DOMAIN price AS numeric(8, 2);
CREATE DOMAIN moody AS mood;

-- A column of each built-in type that a table can have, and what stands in it.
CREATE TABLE sample(type text, value text);
INSERT INTO sample VALUES ('numeric', '-12345.6789'), ('numeric', 'NaN'), ('numeric', 'Infinity'), ('money', '-1234.56'), ('jsonb', '{"b": [1.0, null], "a": "ü"}'), ('interval', '-1 year 2 mons -3 days 04:05:06.789'),
	('timetz', '12:00:00.5+05:30'), ('inet', '192.168.1.7/24'), ('inet', '::1'), ('cidr', '10.0.0.0/8'), ('macaddr', '08:00:2b:01:02:03'), ('macaddr8', '08:00:2b:01:02:03:04:05'),
	('bit(5)', '10101'), ('varbit', ''), ('varbit', '110'), ('xml', '<a b="1">x</a>'), ('tsvector', 'a:1A fat:2B,4'), ('tsquery', 'fat & !rat'), ('"char"', 'x'), ('name', 'a name'),
	('point', '(1.5,-0.1)'), ('line', '{1,2,3}'), ('lseg', '[(0,0),(1,1)]'), ('box', '((0,0),(1,1))'), ('path', '((0,0),(1,1),(2,0))'), ('polygon', '((0,0),(1,1),(2,0))'),
	('circle', '<(0,0),1.5>'), ('pg_lsn', '16/B374D848'), ('jsonpath', '$.a[*] ? (@ > 1)'), ('oidvector', '1 2 3'), ('int2vector', '1 -2'), ('tid', '(7,8)'), ('xid', '4000000000'), ('xid8', '5000000000'), ('cid', '9'),
	('pg_snapshot', '10:20:10,14'), ('int4range', '[1,5)'), ('numrange', 'empty'), ('tstzrange', '[2026-01-01 00:00+02,)'), ('daterange', '(,2026-01-01)'), ('int8multirange', '{[1,2],[5,7)}'), ('datemultirange', '{}'),
	('int4[]', '{1,NULL,-2147483648}'), ('text[]', '{"",NULL,"a,b",ü}'), ('numeric[]', '[5:6]={1.10,NaN}'), ('bytea[]', '{"\\x00ff"}'), ('timestamptz[]', '{"2026-07-01 12:00+02",infinity}'), ('int4range[]', '{"[1,5)"}'), ('float8[]', '{NaN,-0,0.1}'), ('uuid[]', '{}'), ('point[]', '{"(1,2)"}');
-- and of these, which have their text
CREATE TABLE textual(type text, value text);
INSERT INTO textual VALUES ('regclass', 'pg_class'), ('regproc', 'now'), ('regprocedure', 'upper(text)'), ('regoper', '|/'), ('regoperator', '+(integer,integer)'), ('regtype', 'integer'), ('regrole', 'pg_monitor'),
	('regnamespace', 'pg_catalog'), ('regcollation', '"C"'), ('regconfig', 'simple'), ('regdictionary', 'simple'), ('regclass[]', '{pg_class,pg_type}'), ('regtype[]', '{integer}'), ('aclitem', NULL),
	('mood', 'happy'), ('moody', 'sad'), ('mood[]', '{sad,happy}'), ('pair', '(1,x)'), ('pair[]', '{"(1,x)"}'), ('float_range', '[0.5,1)'), ('float_range[]', '{"[0.5,1)"}'), ('refcursor', 'c');


CREATE PROCEDURE fill(kinds regclass) LANGUAGE plpgsql AS $$
DECLARE
	s record;
	n int := 0;
	value_list text;
	send text;
BEGIN
	CREATE TABLE probe(id int PRIMARY KEY);
	CREATE TABLE expected(col text, value text);
	FOR s IN EXECUTE format('SELECT * FROM %s', kinds) LOOP
		n := n + 1;
		EXECUTE format('ALTER TABLE probe ADD c%s %s', n, s.type);
		send := (SELECT proname FROM pg_proc p JOIN pg_type t ON p.oid = typsend WHERE t.oid = format_type_oid(s.type));
		IF kinds = 'sample'::regclass THEN
			EXECUTE format('INSERT INTO expected SELECT ''c%s'', (SELECT ''\x'' || encode(%I(%L::%s), ''hex''))', n, send, s.value, s.type);
		END IF;
		value_list := concat(value_list, format(', %L', s.value));
	END LOOP;
	EXECUTE format('INSERT INTO probe VALUES (1%s)', value_list);
END $$;
CREATE FUNCTION format_type_oid(type text) RETURNS oid LANGUAGE sql AS $$ SELECT to_regtype(regexp_replace(type, '\(.*\)', ''))::oid $$;

CALL fill('sample');
SELECT j -> 'new' AS row FROM unnest(lines_of('binary', 'json', '{values,binary}')) line, CAST(line AS json) j WHERE j ->> 'op' = 'insert' AND j ->> 'table' = 'probe' \gset
-- differences: none
SELECT col, type, value, :'row'::json -> col AS got FROM (SELECT type, row_number() OVER () AS n FROM sample) s JOIN expected ON col = 'c' || n
WHERE value IS DISTINCT FROM :'row'::json -> col ->> 'binary';
SELECT count(*) FROM expected;
-- the same in all formats
SELECT count(*) > 0 FROM tell('binary', 'values', 'binary');
-- is there a built-in type with a send function that has been forgotten above?
SELECT format_type(t.oid, NULL) FROM pg_type t WHERE t.oid < 10000 AND typsend <> 0 AND typtype IN ('b', 'r', 'm') AND typelem = 0 AND typname !~ '^reg|^pg_(node|ndistinct|dependencies|mcv|brin|ddl)'
	AND NOT EXISTS (SELECT FROM sample WHERE format_type_oid(type) = t.oid) AND t.oid NOT IN (16, 17, 20, 21, 23, 25, 26, 114, 700, 701, 1042, 1043, 1082, 1083, 1114, 1184, 2950, 2970, 1790)
	AND typname NOT LIKE '%range' AND t.oid < 6000 ORDER BY 1;
DROP TABLE probe, expected;

CALL fill('textual');
SELECT line FROM tell('binary', 'values', 'binary') line WHERE line LIKE '%probe: INSERT%';
DROP TABLE probe, expected;

-- what has a form of its own keeps it; domains travel as the type below them
CREATE TABLE t(id int PRIMARY KEY, b bool, i8 int8, f float4, v varchar(9), y bytea, d date, tz timestamptz, u uuid, j json, p price, pa price[], n numeric);
INSERT INTO t VALUES (1, true, -1, 0.1, 'ü', '\x00', '2026-01-01', '2026-01-01 00:00Z', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{}', 1.5, '{1.5}', NULL);
ALTER TABLE t REPLICA IDENTITY FULL;
UPDATE t SET n = 2;
DELETE FROM t;
SELECT * FROM changes('binary', 'values', 'binary');
-- unchanged stays unchanged
CREATE TABLE long(id int PRIMARY KEY, j jsonb, n int);
ALTER TABLE long ALTER j SET STORAGE EXTERNAL;
INSERT INTO long VALUES (1, jsonb_build_object('k', repeat('j', 5000)), 0);
UPDATE long SET n = 1;
SELECT * FROM tell('binary', 'values', 'binary');
-- send functions convert to the client's encoding
SET client_encoding = LATIN1;
SELECT * FROM changes('binary', 'values', 'binary');
RESET client_encoding;
SELECT * FROM changes('binary', 'values', 'hex');

SELECT FROM pg_drop_replication_slot('binary');
DROP TABLE t, long, sample, textual;
DROP PROCEDURE fill;
DROP FUNCTION format_type_oid;
DROP DOMAIN price, moody;
DROP TYPE mood, pair, float_range;
