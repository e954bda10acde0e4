-- patterns.sql -- tables and columns by name: wildcards, escapes, names of any characters.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
SELECT FROM pg_create_logical_replication_slot('patterns', 'penstock');

CREATE SCHEMA "S.1";
CREATE TABLE plain(id int PRIMARY KEY);
CREATE TABLE "Plain"(id int PRIMARY KEY);
CREATE TABLE "a.b"(id int PRIMARY KEY);
CREATE TABLE "a,b"(id int PRIMARY KEY);
CREATE TABLE " a b "(id int PRIMARY KEY);
CREATE TABLE "a""b"(id int PRIMARY KEY);
CREATE TABLE "a*b"(id int PRIMARY KEY);
CREATE TABLE "a\b"(id int PRIMARY KEY);
CREATE TABLE "S.1".aXXb(id int PRIMARY KEY);
CREATE TABLE "S.1"."größe"(id int PRIMARY KEY);
CREATE TABLE "S.1".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab(id int PRIMARY KEY);
INSERT INTO plain VALUES (1);
INSERT INTO "Plain" VALUES (1);
INSERT INTO "a.b" VALUES (1);
INSERT INTO "a,b" VALUES (1);
INSERT INTO " a b " VALUES (1);
INSERT INTO "a""b" VALUES (1);
INSERT INTO "a*b" VALUES (1);
INSERT INTO "a\b" VALUES (1);
INSERT INTO "S.1".aXXb VALUES (1);
INSERT INTO "S.1"."größe" VALUES (1);
INSERT INTO "S.1".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab VALUES (1);

-- The tables of which something is sent.
CREATE FUNCTION sent(VARIADIC options text[]) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(DISTINCT format('%s.%s', j ->> 'schema', j ->> 'table') COLLATE "C", ' | '), 'none')
	FROM unnest(lines_of('patterns', 'json', options)) line, CAST(line AS jsonb) j WHERE j ->> 'op' = 'insert' $$;

SELECT pattern, sent('include_tables', pattern) FROM unnest(ARRAY['*.*', 'public.*', 'public.plain', 'public.Plain', 'PUBLIC.plain',
	'*.?lain', '*.*lain', '*.pl*n', '*.pla*ain', '*.*p*l*a*i*n*', '*.**', '*.plain*', '*.*plain', 'public.plai', 'public.plainx',
	'*.a\.b', '*.a\,b', '*. a b ', '*.\ a b\ ', '*.\ a*', '*.*\ ', '*.a\"b', '*.*\"*', '*.a\*b', '*.a*b', '*.a\\b', '*.a\**', '*.\a*\b',
	'S\.1.*', 's\.1.*', '*1.*', '*.größe', '*.gr*e', '*.gr\öße', '*.g*ö*', '*.' || repeat('a', 62) || 'b', '*.' || repeat('a*', 31) || 'b',
	'  public . plain  ', e'\tpublic.plain\n,*.Plain ', 'public.plain,public.plain', 'none.none, public.plain, none.*']) pattern;
-- left out, also of what is taken in
SELECT pattern, sent('exclude_tables', pattern) FROM unnest(ARRAY['*.*', 'public.*', 'S\.1.*', '*.a*b, *.*lain', 'none.none']) pattern;
SELECT sent('include_tables', 'public.*', 'exclude_tables', '*.*\ *, *.*lain');
SELECT sent('include_tables', '*.plain', 'exclude_tables', 'public.plain');
-- no blow-up: names are short, whatever the pattern
SELECT sent('include_tables', '*.' || repeat('*a', 10000) || '*b');
SELECT sent('include_tables', '*.' || repeat('*', 60000) || 'plain');
SELECT sent('include_tables', string_agg('*.*x' || i, ',')) FROM generate_series(1, 1000) i;

-- malformed: the option, the value, what is wrong, what is allowed
DO $$
DECLARE
	bad text[];
	hint text;
BEGIN
	FOR bad IN SELECT ARRAY[option, value] FROM (VALUES ('include_tables', ''), ('include_tables', ' '), ('include_tables', 'a'), ('include_tables', 'a.b.c'),
		('include_tables', '.a'), ('include_tables', 'a.'), ('include_tables', 'a. '), ('include_tables', 'a.b,'), ('include_tables', ',a.b'),
		('include_tables', 'a.b,,c.d'), ('include_tables', 'a.b\'), ('include_tables', 'a\.b'), ('exclude_tables', 'a'), ('exclude_tables', '"a.b"'),
		('include_columns', 'a.b'), ('include_columns', 'a.b.c.d'), ('exclude_columns', 'c'), ('exclude_columns', 'a..c'),
		('include_tables', (SELECT string_agg('a.b', ',') FROM generate_series(1, 1001))), ('include_tables', 'a.' || repeat('b', 65535))) v(option, value)
	LOOP
		BEGIN
			PERFORM pg_logical_slot_peek_binary_changes('patterns', NULL, NULL, VARIADIC bad);
			RAISE NOTICE '% is taken', bad;
		EXCEPTION WHEN invalid_parameter_value THEN
			GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
			RAISE NOTICE E'%\n  %', SQLERRM, hint;
		END;
	END LOOP;
END $$;

SELECT FROM pg_drop_replication_slot('patterns');
DROP TABLE plain, "Plain", "a.b", "a,b", " a b ", "a""b", "a*b", "a\b";
DROP FUNCTION sent;
SET client_min_messages = warning;
DROP SCHEMA "S.1" CASCADE;
