-- 01_formats.sql -- the formats json and text against the native one, for all tests that follow.
-- check_formats(slot, options...) reads the slot in all three formats and consumes nothing. From each
-- line of JSON, by proto/FORMAT.md and with no code of ours, it makes the line that 00_helpers.sql
-- makes of the native event, and the line that the format text should have: all must be the same,
-- xids, LSNs and times included. penstock.decode() of the native events must give that JSON too.
\set ECHO none

CREATE FUNCTION decoded(capture bytea[], OUT lsn pg_lsn, OUT xid xid, OUT change jsonb) RETURNS SETOF record
LANGUAGE c IMMUTABLE STRICT AS 'penstock', 'penstock_decode';

-- ---- the text that the format text has ----

CREATE FUNCTION text_escape(value text, quote text) RETURNS text IMMUTABLE LANGUAGE sql AS $$
	SELECT quote || coalesce(string_agg(CASE WHEN c = '\' THEN '\\' WHEN c = e'\n' THEN '\n'
		WHEN c < ' ' OR c = e'\x7f' THEN '\x' || lpad(to_hex(ascii(c)), 2, '0')
		WHEN c = quote THEN quote || quote ELSE c END, '' ORDER BY n), '') || quote
	FROM regexp_split_to_table(value, '') WITH ORDINALITY s(c, n) $$;

CREATE FUNCTION text_quoted(value text, quote text DEFAULT '''') RETURNS text IMMUTABLE LANGUAGE sql AS $$
	SELECT CASE WHEN value !~ '[\x01-\x1f\x7f]' THEN
		quote || replace(replace(value, '\', '\\'), quote, quote || quote) || quote ELSE text_escape(value, quote) END $$;

CREATE FUNCTION text_name(name text) RETURNS text IMMUTABLE LANGUAGE sql AS $$
	SELECT CASE WHEN name ~ '^[a-z_][a-z0-9_]*$' THEN name ELSE text_quoted(name, '"') END $$;

-- A prefix, content, gid or name: a string or {"bytes":…}.
CREATE FUNCTION text_bytes(value json) RETURNS text STRICT LANGUAGE plpgsql AS $$
DECLARE
	bytes bytea := value ->> 'bytes';
	part bytea;
	result text := '';
BEGIN
	-- only NUL keeps text from being a string, and is escaped here
	WHILE position('\x00'::bytea IN bytes) > 0 LOOP
		part := substring(bytes FOR position('\x00'::bytea IN bytes) - 1);
		result := result || trim('''' FROM text_quoted(convert_from(part, 'UTF8'))) || '\x00';
		bytes := substring(bytes FROM length(part) + 2);
	END LOOP;
	RETURN '''' || result || trim('''' FROM text_quoted(convert_from(bytes, 'UTF8'))) || '''';
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
	RETURN value ->> 'bytes';
END $$;

CREATE FUNCTION text_any(value json) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN json_typeof(value) = 'string' THEN text_quoted(value #>> '{}') ELSE text_bytes(value) END $$;

CREATE FUNCTION line_any(value json) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN json_typeof(value) = 'string' THEN brief(quote_literal(value #>> '{}')) ELSE brief(value ->> 'bytes') END $$;

-- ---- values and rows, as both have them ----

-- By the column's type below all domains; which JSON type a value has is checked.
CREATE FUNCTION retell_value(value json, type regtype, OUT line text, OUT words text) LANGUAGE plpgsql AS $$
DECLARE
	plain text := value #>> '{}';
	kind text := json_typeof(value);
BEGIN
	IF kind = 'null' THEN
		line := 'NULL';
		words := 'null';
		RETURN;
	ELSIF kind = 'object' THEN
		line := brief(coalesce(value ->> 'bytes', value ->> 'binary'));
		words := coalesce(value ->> 'bytes', value ->> 'binary');
		IF words !~ '^\\x([0-9a-f]{2})*$' OR (SELECT count(*) FROM json_object_keys(value)) <> 1 THEN
			RAISE 'not an object of a value: %', value;
		END IF;
		RETURN;
	ELSIF type IN ('float4'::regtype, 'float8', 'numeric') AND plain ~ '^(NaN|-?Infinity)$' THEN
		NULL;
	ELSIF kind <> (CASE WHEN type = 'bool'::regtype THEN 'boolean'
		WHEN type IN ('int2'::regtype, 'int4', 'int8', 'oid', 'float4', 'float8', 'numeric') THEN 'number' ELSE 'string' END) THEN
		RAISE 'type % is JSON %', type, value;
	END IF;
	line := plain;
	words := plain;
	CASE
	WHEN type IN ('bool'::regtype, 'int2', 'int4', 'int8', 'oid') THEN NULL;
	WHEN type = 'float4'::regtype THEN line := CASE plain WHEN '-0' THEN plain ELSE plain::float4::text END;
	WHEN type = 'float8'::regtype THEN line := CASE plain WHEN '-0' THEN plain ELSE plain::float8::text END;
	WHEN type = 'numeric'::regtype THEN line := quote_literal(plain);
	WHEN type = 'bytea'::regtype THEN line := brief(plain);
	WHEN type IN ('date'::regtype, 'time', 'uuid') THEN words := text_quoted(plain);
	WHEN type = 'timestamp'::regtype THEN
		line := replace(plain, 'T', ' ');
		words := text_quoted(line);
	WHEN type = 'timestamptz'::regtype THEN
		line := replace(replace(plain, 'T', ' '), '+00:00', '') || 'Z';
		words := text_quoted(replace(replace(plain, 'T', ' '), '+00:00', '+00'));
	ELSE
		line := brief(quote_literal(plain));
		words := text_quoted(plain);
	END CASE;
END $$;

-- The columns of a row in their order; a key has only some. unchanged: names, or NULL.
CREATE FUNCTION retell_row(tuple json, unchanged json, columns json, is_key boolean, OUT line text, OUT words text)
LANGUAGE plpgsql AS $$
DECLARE
	col json;
	cell record;
	many int := 0;
BEGIN
	line := '';
	words := '';
	FOR col IN SELECT * FROM json_array_elements(columns) LOOP
		IF tuple -> (col ->> 'name') IS NOT NULL THEN
			cell := retell_value(tuple -> (col ->> 'name'), (coalesce(col ->> 'base_type_oid', col ->> 'type_oid'))::oid);
			many := many + 1;
		ELSIF unchanged::jsonb ? (col ->> 'name') THEN
			SELECT 'UNCHANGED' AS line, 'unchanged' AS words INTO cell;
		ELSIF is_key THEN
			CONTINUE;
		ELSE
			RAISE 'no column % in %', col ->> 'name', tuple;
		END IF;
		line := line || CASE WHEN line <> '' THEN ', ' ELSE '' END || (col ->> 'name') || '=' || cell.line;
		words := words || CASE WHEN words <> '' THEN ', ' ELSE '' END || text_name(col ->> 'name') || '=' || cell.words;
	END LOOP;
	IF many <> (SELECT count(*) FROM json_object_keys(tuple)) THEN
		RAISE 'other columns in % than in %', tuple, columns;
	END IF;
	line := '(' || line || ')';
	words := '(' || words || ')';
END $$;

-- ---- lines ----

CREATE FUNCTION retell_change(change json, columns json, OUT line text, OUT words text) LANGUAGE plpgsql AS $$
DECLARE
	op text := change ->> 'op';
	part record;
BEGIN
	line := concat(op, ' ', change ->> 'table');
	words := concat(text_name(change ->> 'schema'), '.', text_name(change ->> 'table'), ': ', upper(op));
	IF change -> 'key' IS NOT NULL THEN
		part := retell_row(change -> 'key', NULL, columns, true);
		line := line || ' key' || part.line;
		words := words || ' key ' || part.words;
	ELSIF change -> 'old' IS NOT NULL THEN
		part := retell_row(change -> 'old', NULL, columns, false);
		line := line || ' old' || part.line;
		words := words || ' old ' || part.words;
	END IF;
	IF change -> 'new' IS NOT NULL THEN
		part := retell_row(change -> 'new', change -> 'unchanged', columns, false);
		-- a row without columns cannot be told from none
		IF part.line <> '()' THEN
			-- the native event has it first
			line := overlay(line PLACING ' ' || part.line FROM length(op || ' ' || (change ->> 'table')) + 1 FOR 0);
			words := words || CASE op WHEN 'update' THEN ' new ' ELSE ' ' END || part.words;
		END IF;
	END IF;
END $$;

-- A column with the numbers that its fields have in the .proto file.
CREATE FUNCTION retell_column(col json) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('1', col ->> 'name', '2', col -> 'attnum', '3', col -> 'type_oid', '4', col ->> 'type_schema',
		'5', col ->> 'type', '6', coalesce((col ->> 'typmod')::bigint * 2, 1), '7', coalesce(col -> 'base_type_oid', col -> 'type_oid'),
		'8', (col ->> 'not_null')::bool::int, '9', coalesce(col ->> 'primary_key', '0'), '10', coalesce(col ->> 'identity', '0'),
		'11', coalesce((col ->> 'generated')::bool::int, 0), '12', 0) $$;

CREATE FUNCTION retell_relation(relation json, OUT line text, OUT words text) LANGUAGE sql AS $$
	SELECT format('relation %I.%I %s identity %s (%s)', relation ->> 'schema', relation ->> 'table',
			CASE relation ->> 'partitioned' WHEN 'true' THEN 'partitioned' ELSE 'table' END, relation ->> 'replica_identity',
			string_agg(print_column(retell_column(c)), ', ' ORDER BY n)),
		format('%s.%s: TABLE (%s)%s', text_name(relation ->> 'schema'), text_name(relation ->> 'table'),
			string_agg(concat(text_name(c ->> 'name'), ' ',
				CASE WHEN c ->> 'type_schema' <> 'pg_catalog' THEN text_name(c ->> 'type_schema') || '.' END, text_name(c ->> 'type'),
				'[' || (c ->> 'typmod') || ']', CASE c ->> 'not_null' WHEN 'true' THEN ' not null' END,
				CASE c ->> 'generated' WHEN 'true' THEN ' generated' END, CASE WHEN c ->> 'identity' IS NOT NULL THEN ' key' END),
				', ' ORDER BY n),
			CASE relation ->> 'replica_identity' WHEN 'full' THEN ' replica identity full' END)
	FROM json_array_elements(relation -> 'columns') WITH ORDINALITY e(c, n) $$;

-- The members, in their order: of what FORMAT.md allows for this op.
CREATE FUNCTION check_members(line json, streamed boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	op text := line ->> 'op';
	got text := (SELECT string_agg(key, ' ' ORDER BY n) FROM json_object_keys(line) WITH ORDINALITY k(key, n));
	head text := CASE WHEN streamed THEN 'op xid( subxid)?' ELSE 'op xid lsn time seq' END;
	expected text := CASE
		WHEN op = 'begin' THEN 'op xid lsn time'
		WHEN op = 'commit' THEN 'op xid lsn time end_lsn'
		WHEN op = 'insert' THEN head || ' schema table new'
		WHEN op = 'update' THEN head || ' schema table new( unchanged)?( key| old)?'
		WHEN op = 'delete' THEN head || ' schema table( key| old)?'
		WHEN op = 'truncate' THEN head || ' tables cascade restart_identity'
		WHEN op = 'relation' THEN 'op schema table oid partitioned replica_identity columns'
		WHEN op = 'message' AND line ->> 'transactional' = 'true' THEN head || ' message_lsn transactional prefix content'
		WHEN op = 'message' THEN 'op message_lsn transactional prefix content'
		WHEN op = 'origin' THEN CASE WHEN streamed THEN 'op xid name' ELSE 'op xid lsn time name origin_lsn' END
		WHEN op = 'stream_start' THEN 'op xid first'
		WHEN op = 'stream_stop' THEN 'op xid'
		WHEN op = 'stream_abort' THEN 'op xid subxid'
		WHEN op = 'stream_commit' THEN 'op xid lsn time end_lsn'
		WHEN op IN ('begin_prepare', 'prepare', 'stream_prepare', 'commit_prepared') THEN 'op xid gid lsn time end_lsn'
		WHEN op = 'rollback_prepared' THEN 'op xid gid prepare_end_lsn prepare_time time end_lsn' END;
	member record;
BEGIN
	IF got ~ ('^' || expected || '$') IS NOT TRUE THEN
		RAISE 'members of %: %', op, got;
	END IF;
	FOR member IN SELECT key, value #>> '{}' AS value, json_typeof(value) AS kind FROM json_each(line) LOOP
		IF member.key LIKE '%lsn' AND member.value !~ '^(0|[1-9A-F][0-9A-F]{0,7})/(0|[1-9A-F][0-9A-F]{0,7})$'
			OR member.key LIKE '%time' AND member.value !~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$'
			OR member.key IN ('xid', 'subxid', 'seq', 'oid') AND member.value !~ '^[1-9]\d{0,9}$'
			OR member.kind <> (CASE WHEN member.key IN ('xid', 'subxid', 'seq', 'oid') THEN 'number'
				WHEN member.key IN ('new', 'key', 'old') THEN 'object' WHEN member.key IN ('unchanged', 'tables', 'columns') THEN 'array'
				WHEN member.key IN ('cascade', 'restart_identity', 'transactional', 'first', 'partitioned') THEN 'boolean'
				WHEN member.key IN ('prefix', 'content', 'gid', 'name') THEN member.kind ELSE 'string' END) THEN
			RAISE 'member % is %', member.key, member.value;
		END IF;
	END LOOP;
END $$;

CREATE FUNCTION moment_of(line json, member text) RETURNS text LANGUAGE sql SET DateStyle = 'ISO'
AS $$ SELECT ((line ->> member)::timestamptz AT TIME ZONE 'UTC')::text $$;

-- Each line of JSON as the line of its native event, and as that of format text.
CREATE FUNCTION retell(lines text[], OUT line text, OUT words text) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
	relations jsonb := '{}';  -- their columns, by schema and name; as text, which keeps the order
	begun json;
	seq bigint;
	one text;
	j json;
	op text;
	part record;
	suffix text;
	place text;
BEGIN
	FOREACH one IN ARRAY coalesce(lines, '{}') LOOP
		IF one::jsonb IS NULL OR one ~ '[\x01-\x1f]' THEN
			RAISE 'not a line: %', one;
		END IF;
		j := one;
		op := j ->> 'op';
		PERFORM check_members(j, coalesce(begun ->> 'op' = 'stream_start' AND op NOT LIKE 'stream%', false));
		IF op IN ('begin', 'begin_prepare', 'stream_start') THEN
			begun := j;
			seq := 0;
		ELSIF op IN ('insert', 'update', 'delete', 'truncate') OR op = 'message' AND j ->> 'transactional' = 'true' THEN
			seq := seq + 1;
		END IF;
		IF j ->> 'seq' <> seq::text OR (op NOT IN ('relation', 'message') AND op NOT LIKE 'stream%' AND op NOT LIKE '%prepared'
			AND (j ->> 'xid', j ->> 'lsn', j ->> 'time') IS DISTINCT FROM (begun ->> 'xid', begun ->> 'lsn', begun ->> 'time')) THEN
			RAISE 'not of this transaction: %, %', begun, j;
		END IF;
		suffix := CASE WHEN begun ->> 'op' = 'stream_start' THEN hidden(coalesce(j ->> 'subxid', j ->> 'xid')) ELSE hidden() END;
		place := hidden(j ->> 'xid', j ->> 'lsn', moment_of(j, 'time'), j ->> 'end_lsn');
		words := replace(upper(op), '_', ' ');
		line := lower(words);
		CASE
		WHEN op = 'relation' THEN
			part := retell_relation(j);
			relations := relations || jsonb_build_object((j ->> 'schema') || '.' || (j ->> 'table'), (j -> 'columns')::text);
			line := 'relation' || hidden(j ->> 'oid', part.line);
			words := part.words;
		WHEN op IN ('insert', 'update', 'delete') THEN
			part := retell_change(j, (relations ->> ((j ->> 'schema') || '.' || (j ->> 'table')))::json);
			line := part.line || suffix;
			words := part.words;
		WHEN op = 'truncate' THEN
			SELECT concat('truncate ', string_agg(t ->> 'table', ', ' ORDER BY n), CASE j ->> 'cascade' WHEN 'true' THEN ' cascade' END,
					CASE j ->> 'restart_identity' WHEN 'true' THEN ' restart identity' END, suffix),
				concat('TRUNCATE ', string_agg(text_name(t ->> 'schema') || '.' || text_name(t ->> 'table'), ', ' ORDER BY n),
					CASE j ->> 'restart_identity' WHEN 'true' THEN ' RESTART IDENTITY' END,
					CASE j ->> 'cascade' WHEN 'true' THEN ' CASCADE' END)
			INTO line, words FROM json_array_elements(j -> 'tables') WITH ORDINALITY e(t, n);
		WHEN op = 'message' THEN
			part := ROW(CASE j ->> 'transactional' WHEN 'true' THEN 'transactional ' ELSE '' END);
			line := concat('message ', part.f1, line_any(j -> 'prefix'), ' ', line_any(j -> 'content'), suffix, ' ', j ->> 'message_lsn');
			words := concat('MESSAGE ', part.f1, text_any(j -> 'prefix'), ' ', text_any(j -> 'content'));
		WHEN op = 'origin' THEN
			line := 'origin ' || line_any(j -> 'name') || hidden(j ->> 'origin_lsn');
			words := 'ORIGIN ' || text_any(j -> 'name');
		WHEN op = 'stream_start' THEN
			line := concat(line, CASE j ->> 'first' WHEN 'true' THEN ' first' END, place);
			words := concat(words, CASE j ->> 'first' WHEN 'true' THEN ' first' END);
		WHEN op = 'stream_abort' THEN
			part := ROW(CASE WHEN j ->> 'xid' <> j ->> 'subxid' THEN ' sub-transaction' END);
			line := concat(line, part.f1, hidden(j ->> 'xid', j ->> 'subxid'));
			words := words || coalesce(part.f1, '');
		WHEN op = 'rollback_prepared' THEN
			line := concat(line, ' ', line_any(j -> 'gid'), hidden(j ->> 'xid', j ->> 'prepare_end_lsn', moment_of(j, 'prepare_time'),
				moment_of(j, 'time'), j ->> 'end_lsn'));
			words := words || ' ' || text_any(j -> 'gid');
		ELSE
			line := concat(line, ' ' || line_any(j -> 'gid'), place);
			words := concat(words, ' ' || text_any(j -> 'gid'));
		END CASE;
		IF op IN ('commit', 'prepare', 'stream_stop') THEN
			begun := NULL;
		END IF;
		RETURN NEXT;
	END LOOP;
END $$;

-- ---- all formats of a slot ----

CREATE FUNCTION lines_of(slot name, format text, options text[]) RETURNS text[] LANGUAGE sql AS $$
	SELECT array_agg(line ORDER BY c.n, s.n) FROM pg_logical_slot_peek_changes(slot, NULL, NULL, VARIADIC options || ARRAY['format', format])
		WITH ORDINALITY c(lsn, xid, data, n), string_to_table(data, e'\n') WITH ORDINALITY s(line, n) $$;

CREATE FUNCTION first_difference(what text, a text[], b text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	d record;
BEGIN
	SELECT * INTO d FROM unnest(a, b) WITH ORDINALITY u(a, b, n) WHERE u.a IS DISTINCT FROM u.b ORDER BY n LIMIT 1;
	IF FOUND THEN
		RAISE '% at line %: % -- and %', what, d.n, replace(coalesce(d.a, 'nothing'), chr(1), ' | '),
			replace(coalesce(d.b, 'nothing'), chr(1), ' | ');
	END IF;
END $$;

-- The warnings of missing publications come at the end, when the slot is consumed.
CREATE FUNCTION check_formats(slot name, VARIADIC options text[] DEFAULT '{}') RETURNS text[]
LANGUAGE plpgsql SET client_min_messages = error AS $$
DECLARE
	writes bytea[];
	lsns pg_lsn[];
	native text[];
	json_lines text[];
	text_lines text[];
	retold record;
BEGIN
	SELECT array_agg(data ORDER BY n), array_agg(lsn ORDER BY n) INTO writes, lsns
	FROM pg_logical_slot_peek_binary_changes(slot, NULL, NULL, VARIADIC options) WITH ORDINALITY c(lsn, xid, data, n);
	json_lines := lines_of(slot, 'json', options);
	text_lines := lines_of(slot, 'text', options);
	native := ARRAY(SELECT CASE WHEN line LIKE 'relation %' THEN regexp_replace(line, '^[^\x01]*', 'relation') ELSE line END
		FROM raw_events(writes, lsns) line WHERE line NOT LIKE 'session %');
	SELECT array_agg(line) AS lines, array_agg(words) AS words INTO retold FROM retell(json_lines);
	PERFORM first_difference('native and json differ', native, retold.lines);
	PERFORM first_difference('text and json differ',
		ARRAY(SELECT line FROM unnest(text_lines) line WHERE line NOT IN ('SUB-TRANSACTION', 'TOP-LEVEL TRANSACTION')), retold.words);
	PERFORM first_difference('json and decode() differ', ARRAY(SELECT line::jsonb::text FROM unnest(json_lines) line),
		ARRAY(SELECT change::text FROM decoded(writes)));
	RETURN text_lines;
END $$;

-- The same as lines of format text; consumed.
CREATE FUNCTION tell(slot name, VARIADIC options text[] DEFAULT '{}') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	lines text[] := check_formats(slot, VARIADIC options);
BEGIN
	PERFORM pg_logical_slot_get_binary_changes(slot, NULL, NULL, VARIADIC options);
	RETURN QUERY SELECT CASE WHEN length(line) > 500 THEN format('%s … <%s characters, md5 %s>', left(line, 100), length(line), md5(line))
		ELSE line END FROM unnest(lines) line;
END $$;

-- What a reader that applies the stream has done, as lines of format text: a transaction when it ends,
-- with what was streamed of it, without what was aborted. Descriptions and begins are left out. Not
-- consumed. xid: the top-level transaction's.
CREATE FUNCTION applied(slot name, VARIADIC options text[] DEFAULT '{}') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	within bigint;
	xids bigint[] := '{}';     -- of each change: the top-level transaction, the sub-transaction, the line
	subs bigint[] := '{}';
	changes text[] := '{}';
	aborted bigint[] := '{}';
	lines text[] := lines_of(slot, 'json', options);
	row record;
	op text;
BEGIN
	FOR row IN SELECT json_line::json AS j, brief(words) AS words FROM ROWS FROM (unnest(lines), retell(lines)) r(json_line, line, words) LOOP
		op := row.j ->> 'op';
		IF op IN ('begin', 'begin_prepare', 'stream_start') THEN
			within := row.j ->> 'xid';
		ELSIF op IN ('insert', 'update', 'delete', 'truncate', 'message', 'origin') AND row.j ->> 'transactional' IS DISTINCT FROM 'false' THEN
			-- each part of a stream repeats the origin
			CONTINUE WHEN op = 'origin' AND within = ANY (xids);
			xids := xids || within;
			subs := subs || coalesce(row.j ->> 'subxid', row.j ->> 'xid')::bigint;
			changes := changes || row.words;
		ELSIF op = 'stream_abort' THEN
			aborted := aborted || (row.j ->> 'subxid')::bigint;
		ELSIF op IN ('commit', 'prepare', 'stream_commit', 'stream_prepare') THEN
			RETURN QUERY SELECT change FROM unnest(xids, subs, changes) WITH ORDINALITY u(xid, sub, change, n)
				WHERE xid = (row.j ->> 'xid')::bigint AND sub <> ALL (aborted) ORDER BY n;
			RETURN NEXT replace(row.words, 'STREAM ', '');
		ELSIF op NOT IN ('relation', 'stream_stop') THEN
			RETURN NEXT row.words;
		END IF;
	END LOOP;
END $$;

\set ECHO all
\pset format unaligned
\pset tuples_only on
SELECT text_quoted(e'a''b\\\n\x01\x7fü'), text_name('plain_1'), text_name('1'), text_name('a"B');
SELECT text_any('"a"'), text_any('{"bytes":"\\x610062"}'), text_any('{"bytes":"\\xff00"}'), text_any('{"bytes":"\\x00"}');
