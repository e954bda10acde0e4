-- toast_kinds.sql -- every kind of varlena in every way that a table stores it: the value is the same,
-- and where it is out of line and left alone it is unchanged.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

CREATE TYPE pair AS (n int, v text);
CREATE DOMAIN long_text AS text;
-- Digits of which pglz makes nothing, the same each time.
CREATE FUNCTION noise(n int) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT left(string_agg(md5(i::text), ''), n) FROM generate_series(1, n / 32 + 1) i $$;
CREATE TABLE kinds(type text, short text, regular text, random text);
INSERT INTO kinds VALUES
	('text', '''x''', 'repeat(''x'', 9000)', 'noise(9000)'),
	('varchar', '''x''', 'repeat(''x'', 9000)', 'noise(9000)'),
	('char(9000)', '''x''', 'repeat(''x'', 9000)', 'noise(9000)'),
	('bytea', '''\x00''', 'decode(repeat(''00ff'', 4500), ''hex'')', 'convert_to(noise(9000), ''UTF8'')'),
	('json', '''{}''', 'json_build_object(''a'', repeat(''x'', 9000))', 'json_build_object(''a'', noise(9000))'),
	('jsonb', '''{}''', 'jsonb_build_object(''a'', repeat(''x'', 9000))', 'jsonb_build_object(''a'', noise(9000))'),
	('numeric', '1.50', '(repeat(''7'', 9000))::numeric', '(translate(noise(9000), ''abcdef'', ''123456'') || ''.5'')::numeric'),
	('int[]', '''{1}''', 'array_fill(7, ARRAY[3000])', 'ARRAY(SELECT hashint4(i) FROM generate_series(1, 3000) i)'),
	('text[]', '''{x}''', 'ARRAY[repeat(''x'', 9000), NULL]', 'ARRAY[noise(9000), NULL]'),
	('xml', '''<a/>''', 'xmlelement(name a, repeat(''x'', 9000))', 'xmlelement(name a, noise(9000))'),
	('varbit', '''1''', 'repeat(''10'', 9000)::varbit', '(''x'' || noise(9000))::varbit'),
	('tsvector', '''a''', 'to_tsvector(''simple'', repeat(''x '', 9000))', '(SELECT string_agg(md5(i::text), '' '') FROM generate_series(1, 300) i)::tsvector'),
	('pair', '''(1,x)''', 'ROW(1, repeat(''x'', 9000))::pair', 'ROW(1, noise(9000))::pair'),
	('pair[]', '''{"(1,x)"}''', 'ARRAY[ROW(1, repeat(''x'', 9000))::pair]', 'ARRAY[ROW(1, noise(9000))::pair]'),
	('path', '''((0,0),(1,1))''', 'polygon(1000, circle(''0,0'', 0.5))::path', 'polygon(1000, circle(''0,0'', 7))::path'),
	('numrange', '''[1,2)''', 'numrange(1, repeat(''7'', 5000)::numeric)', 'numrange(1, translate(noise(9000), ''abcdef'', ''123456'')::numeric)'),
	('int4multirange', '''{}''', '(SELECT range_agg(int4range(i * 2, i * 2 + 1)) FROM generate_series(1, 1000) i)', '(SELECT range_agg(int4range(i * 7, i * 7 + 1 + i % 3)) FROM generate_series(1, 1000) i)'),
	('long_text', '''x''', 'repeat(''x'', 9000)', 'noise(9000)');

-- Of each type and storage: insert three values, change another column, change the values, delete; what
-- comes must be what is in the table, or unchanged. By replica identity default and full.
CREATE PROCEDURE check_kind(kind kinds, storage text, identity text) LANGUAGE plpgsql AS $$
DECLARE
	values text[];
	news jsonb[];
	oids text := '';
	external bool;
BEGIN
	EXECUTE format('CREATE TABLE probe(id int PRIMARY KEY, n int, v %s)', kind.type);
	EXECUTE format('ALTER TABLE probe ALTER v SET STORAGE %s, REPLICA IDENTITY %s', storage, identity);
	EXECUTE format('INSERT INTO probe VALUES (1, 0, %s), (2, 0, %s), (3, 0, %s), (4, 0, NULL)', kind.short, kind.regular, kind.random);
	-- format() keeps the spaces that char(n) ends with
	values := ARRAY(SELECT CASE WHEN v IS NOT NULL THEN format('%s', v) END FROM probe ORDER BY id);
	external := (SELECT pg_relation_size(reltoastrelid) > 0 FROM pg_class WHERE oid = 'probe'::regclass);
	UPDATE probe SET n = 1;
	EXECUTE format('UPDATE probe SET v = %s WHERE id IN (2, 3)', kind.short);
	EXECUTE format('UPDATE probe SET v = %s, id = 5 WHERE id = 1', kind.random);
	UPDATE probe SET id = 6 WHERE id = 5;
	DELETE FROM probe;
	COMMIT;
	RAISE NOTICE E'% % %:\n  %', kind.type, storage, identity, concat_ws(' ', CASE WHEN external THEN 'out of line' ELSE 'in line' END,
		(SELECT string_agg(concat(j ->> 'op', CASE WHEN j -> 'unchanged' IS NOT NULL THEN ' unchanged' END,
			CASE WHEN value IS NULL THEN ''
				WHEN value = values[1] THEN ' 1' WHEN value = values[2] THEN ' 2' WHEN value = values[3] THEN ' 3' ELSE ' wrong: ' || left(value, 30) END,
			CASE WHEN old IS NULL THEN '' WHEN old = values[1] THEN '<1' WHEN old = values[2] THEN '<2' WHEN old = values[3] THEN '<3' ELSE '<wrong: ' || left(old, 30) END),
			', ' ORDER BY n)
		FROM unnest(lines_of('toast_kinds', 'json', '{}')) WITH ORDINALITY l(line, n), CAST(line AS json) j,
			LATERAL (SELECT j -> 'new' ->> 'v' AS value, j -> 'old' ->> 'v' AS old) v
		WHERE j ->> 'table' = 'probe' AND j ->> 'op' <> 'relation'));
	DROP TABLE probe;
	-- decoding would wait for WAL that is not flushed
	COMMIT;
	PERFORM tell('toast_kinds');
END $$;
DO $$
DECLARE
	kind kinds;
	storage text;
BEGIN
	FOR kind IN SELECT * FROM kinds LOOP
		-- a slot for each: one would have to read all WAL of those before it again and again
		PERFORM pg_create_logical_replication_slot('toast_kinds', 'penstock');
		COMMIT;
		FOREACH storage IN ARRAY '{EXTERNAL,EXTENDED,MAIN}'::text[] LOOP
			CALL check_kind(kind, storage, CASE WHEN storage = 'EXTENDED' THEN 'FULL' ELSE 'DEFAULT' END);
		END LOOP;
		PERFORM pg_drop_replication_slot('toast_kinds');
		COMMIT;
	END LOOP;
END $$;

DROP PROCEDURE check_kind;
DROP TABLE kinds;
DROP FUNCTION noise;
DROP DOMAIN long_text;
DROP TYPE pair;
