-- 00_helpers.sql -- the stream as text, for all tests that follow; pg_regress runs it first.
-- changes(slot, options...) walks the protobuf generically, by proto/penstock.proto and with no code
-- of ours, and gives one line an event. What differs from run to run (xids, LSNs, times, oids) is
-- checked here and not printed.
\set ECHO none

-- The fields of one message, in order: varints and fixed numbers as 64 bits, the rest as bytes.
CREATE FUNCTION fields(message bytea, OUT field int, OUT number bigint, OUT content bytea)
RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
	pos int := 0;
	size int := length(message);
	part int;
	wire int;
	tag bigint;
BEGIN
	WHILE pos < size LOOP
		number := NULL;
		content := NULL;
		tag := NULL;
		-- a tag, then a varint if the tag says so: both are read by the same loop
		LOOP
			number := 0;
			FOR shift IN 0..9 LOOP
				part := get_byte(message, pos);
				pos := pos + 1;
				number := number | ((part & 127)::bigint << (7 * shift));
				EXIT WHEN part < 128;
			END LOOP;
			EXIT WHEN tag IS NOT NULL;
			tag := number;
			field := tag >> 3;
			wire := tag & 7;
			EXIT WHEN wire IN (1, 5);
		END LOOP;
		IF wire IN (1, 5) THEN
			part := CASE wire WHEN 1 THEN 8 ELSE 4 END;
			number := 0;
			FOR i IN 0..part - 1 LOOP
				number := number | (get_byte(message, pos + i)::bigint << (8 * i));
			END LOOP;
			pos := pos + part;
		ELSIF wire = 2 THEN
			IF pos + number > size THEN
				RAISE 'field % is longer than its message', field;
			END IF;
			content := substring(message FROM pos + 1 FOR number::int);
			pos := pos + number;
			number := NULL;
		ELSIF wire <> 0 THEN
			RAISE 'field % has the wire type %', field, wire;
		END IF;
		RETURN NEXT;
	END LOOP;
END $$;

CREATE FUNCTION zigzag(n bigint) RETURNS bigint IMMUTABLE LANGUAGE sql
AS 'SELECT ((n >> 1) & 9223372036854775807) # -(n & 1)';

-- The number that IEEE bits stand for; exact, by way of m * 2^-k = m * 5^k / 10^k.
CREATE FUNCTION ieee(bits bigint, exponent_bits int, mantissa_bits int) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	sign text := CASE WHEN bits >> (exponent_bits + mantissa_bits) & 1 = 1 THEN '-' ELSE '' END;
	top int := (1 << exponent_bits) - 1;
	exponent int := bits >> mantissa_bits & top;
	mantissa numeric := bits & ((1::bigint << mantissa_bits) - 1);
BEGIN
	IF exponent = top THEN
		RETURN CASE WHEN mantissa <> 0 THEN 'NaN' ELSE sign || 'Infinity' END;
	END IF;
	IF exponent > 0 THEN
		mantissa := mantissa + (1::bigint << mantissa_bits);
	END IF;
	exponent := greatest(exponent, 1) - top / 2 - mantissa_bits;
	IF exponent >= 0 THEN
		RETURN sign || trunc(mantissa * 2::numeric ^ exponent);
	END IF;
	RETURN sign || trunc(mantissa * 5::numeric ^ -exponent) || 'e' || exponent;
END $$;

-- Days and microseconds since 2000-01-01, exactly.
CREATE FUNCTION day(n bigint) RETURNS text STABLE LANGUAGE sql SET DateStyle = 'ISO' AS $$
	SELECT CASE n WHEN 2147483647 THEN 'infinity' WHEN -2147483648 THEN '-infinity'
		ELSE (date '2000-01-01' + n::int)::text END $$;

CREATE FUNCTION moment(us bigint) RETURNS text STABLE LANGUAGE plpgsql SET DateStyle = 'ISO' AS $$
DECLARE
	days int := us / 86400000000 - (us % 86400000000 < 0)::int;
BEGIN
	IF us IN (9223372036854775807, -9223372036854775808) THEN
		RETURN CASE WHEN us > 0 THEN 'infinity' ELSE '-infinity' END;
	END IF;
	RETURN date '2000-01-01' + days + (us - 86400000000 * days) * interval '1 us';
END $$;

CREATE FUNCTION brief(value text) RETURNS text IMMUTABLE LANGUAGE sql AS $$
	SELECT CASE WHEN length(value) > 200 THEN format('<%s characters, md5 %s>', length(value), md5(value))
		ELSE value END $$;

-- A Value by its member; the column's encoding must allow that member.
CREATE FUNCTION print_value(value bytea, encoding text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	f record;
	many int;
BEGIN
	SELECT count(*) INTO many FROM fields(value);
	IF many > 1 THEN
		RAISE 'a Value has % members', many;
	END IF;
	SELECT * INTO f FROM fields(value);
	IF NOT FOUND THEN
		RETURN 'NULL';
	ELSIF f.field = 7 THEN
		RETURN 'UNCHANGED';
	ELSIF f.field <> ALL (CASE encoding WHEN 'BOOL' THEN '{1}'::int[] WHEN 'FLOAT4' THEN '{3}'
		WHEN 'FLOAT8' THEN '{4}' WHEN 'BYTEA' THEN '{6}' WHEN 'BINARY' THEN '{6}' WHEN 'UUID' THEN '{6}'
		WHEN 'TEXT' THEN '{5,6}' WHEN 'OUTPUT' THEN '{5,6}' ELSE '{2}' END) THEN
		RAISE 'member % for encoding %', f.field, encoding;
	END IF;
	RETURN CASE encoding
		WHEN 'BOOL' THEN (f.number = 1)::text
		WHEN 'FLOAT4' THEN CASE WHEN f.number = 2147483648 THEN '-0'
			ELSE ieee(f.number, 8, 23)::float4::text END
		WHEN 'FLOAT8' THEN CASE WHEN f.number = -9223372036854775808 THEN '-0'
			ELSE ieee(f.number, 11, 52)::float8::text END
		WHEN 'DATE' THEN day(zigzag(f.number))
		WHEN 'TIME' THEN CASE WHEN zigzag(f.number) = 86400000000 THEN '24:00:00'
			ELSE (time '00:00' + zigzag(f.number) * interval '1 us')::text END
		WHEN 'TIMESTAMP' THEN moment(zigzag(f.number))
		WHEN 'TIMESTAMPTZ' THEN moment(zigzag(f.number)) || 'Z'
		WHEN 'UUID' THEN encode(f.content, 'hex')::uuid::text
		ELSE brief(CASE f.field WHEN 2 THEN zigzag(f.number)::text WHEN 6 THEN '\x' || encode(f.content, 'hex')
			ELSE quote_literal(convert_from(f.content, 'UTF8')) END)
		END;
END $$;

CREATE FUNCTION print_name(message bytea, n int) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce((SELECT convert_from(content, 'UTF8') FROM fields(message) WHERE field = n), '') $$;

CREATE FUNCTION print_number(message bytea, n int) RETURNS bigint LANGUAGE sql AS $$
	SELECT coalesce((SELECT number FROM fields(message) WHERE field = n), 0) $$;

-- A Column's fields by their numbers: all at once, since there may be many columns.
CREATE FUNCTION column_fields(col bytea) RETURNS jsonb LANGUAGE sql AS $$
	SELECT '{"4":"","5":"","6":0,"8":0,"9":0,"10":0,"11":0}' || jsonb_object_agg(field,
			CASE WHEN number IS NULL THEN to_jsonb(convert_from(content, 'UTF8')) ELSE to_jsonb(number) END)
	FROM fields(col) $$;

CREATE FUNCTION encoding_of(c jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT ('{BOOL,INT,OID,FLOAT4,FLOAT8,TEXT,BYTEA,DATE,TIME,TIMESTAMP,TIMESTAMPTZ,UUID,OUTPUT,BINARY}'::text[])
		[(c ->> '12')::int] $$;

-- name@attnum type (typmod), then what else is true of it; pk and id with their positions.
CREATE FUNCTION print_column(c jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	type_name text := c ->> '5';
	known text := (SELECT typname FROM pg_type WHERE oid = (c ->> '3')::oid);
BEGIN
	IF known <> type_name THEN
		type_name := type_name || ' (now ' || known || ')';
	END IF;
	RETURN concat_ws(' ', quote_ident(c ->> '1') || '@' || (c ->> '2'),
		CASE WHEN c ->> '4' <> 'pg_catalog' THEN quote_ident(c ->> '4') || '.' ELSE '' END || type_name,
		CASE WHEN zigzag((c ->> '6')::int) <> -1 THEN '(' || zigzag((c ->> '6')::int) || ')' END,
		CASE WHEN c -> '7' <> c -> '3' THEN 'over ' || (c ->> '7')::oid::regtype END,
		CASE WHEN c ->> '8' = '1' THEN 'notnull' END,
		'pk' || nullif(c ->> '9', '0'), 'id' || nullif(c ->> '10', '0'),
		(ARRAY['stored', 'virtual'])[(c ->> '11')::int], encoding_of(c));
END $$;

-- brief: without what other formats do not say, the number and the encodings.
CREATE FUNCTION print_relation(message bytea, brief boolean DEFAULT false) RETURNS text LANGUAGE sql AS $$
	SELECT format('relation %s%I.%I %s identity %s (%s)', CASE WHEN NOT brief THEN print_number(message, 1) || ' ' END,
		print_name(message, 3), print_name(message, 4), (ARRAY['table', 'partitioned'])[print_number(message, 5)],
		(ARRAY['default', 'nothing', 'full', 'index'])[print_number(message, 6)],
		(SELECT string_agg(print_column(CASE WHEN brief THEN c || '{"12": 0}' ELSE c END), ', ' ORDER BY n)
		 FROM fields(message) WITH ORDINALITY f(field, number, content, n), column_fields(content) c WHERE field = 7)) $$;

-- What a row needs of a Relation: its name and for each column name, encoding, identity.
CREATE FUNCTION relation_columns(message bytea) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('name', print_name(message, 4), 'columns', coalesce(jsonb_agg(jsonb_build_object(
		'name', c ->> '1', 'encoding', encoding_of(c), 'key', c ->> '10' <> '0') ORDER BY n), '[]'))
	FROM (SELECT n, column_fields(content) AS c FROM fields(message) WITH ORDINALITY f(field, number, content, n)
		WHERE field = 7) f $$;

-- The tuples of a change: their Values must be as many as the relation has columns (or keys).
CREATE FUNCTION print_change(kind text, message bytea, relations jsonb) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	relation jsonb := relations -> print_number(message, 1)::text;
	line text := format('%s %s', kind, relation ->> 'name');
	columns jsonb[];
	cells text[];
	names text[] := '{1,"",key ,old }';
BEGIN
	IF relation IS NULL THEN
		RAISE 'no relation has the number %', print_number(message, 1);
	END IF;
	FOR tuple IN 2..4 LOOP
		CONTINUE WHEN NOT EXISTS (SELECT FROM fields(message) WHERE field = tuple);
		columns := (SELECT array_agg(c ORDER BY n) FROM jsonb_array_elements(relation -> 'columns')
			WITH ORDINALITY e(c, n) WHERE tuple <> 3 OR (c ->> 'key')::bool);
		cells := (SELECT array_agg((c ->> 'name') || '=' || print_value(content, c ->> 'encoding') ORDER BY n)
			FROM (SELECT content, row_number() OVER () AS n FROM fields(message) WHERE field = tuple) f
			FULL JOIN unnest(columns) WITH ORDINALITY e(c, n) USING (n));
		IF array_position(cells, NULL) IS NOT NULL THEN
			RAISE 'not as many values as columns: %', cells;
		END IF;
		line := line || ' ' || names[tuple] || '(' || array_to_string(cells, ', ') || ')';
	END LOOP;
	RETURN line;
END $$;

-- Bytes that are text more often than not.
CREATE FUNCTION print_bytes(bytes bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN brief(quote_literal(convert_from(bytes, 'UTF8')));
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
	RETURN brief('\x' || encode(bytes, 'hex'));
END $$;

CREATE FUNCTION print_content(message bytea, n int) RETURNS text LANGUAGE sql AS $$
	SELECT print_bytes(coalesce((SELECT content FROM fields(message) WHERE field = n), '')) $$;

-- Numbers that differ from run to run, for comparison only.
CREATE FUNCTION hidden(VARIADIC parts text[] DEFAULT '{}') RETURNS text IMMUTABLE LANGUAGE sql AS
$$ SELECT chr(1) || concat_ws(' ', VARIADIC parts) $$;

CREATE FUNCTION visible(line text) RETURNS text IMMUTABLE LANGUAGE sql AS
$$ SELECT regexp_replace(line, '\x01[^\x01]*$', '') $$;

CREATE FUNCTION lsn_of(message bytea, n int) RETURNS text LANGUAGE sql AS
$$ SELECT ('0/0'::pg_lsn + (number + CASE WHEN number < 0 THEN 2::numeric ^ 64 ELSE 0 END))::text FROM print_number(message, n) number $$;

CREATE FUNCTION time_of(message bytea, n int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF abs(extract(epoch FROM now() - moment(print_number(message, n))::timestamp AT TIME ZONE 'UTC')) > 3600 THEN
		RAISE 'a time is %', moment(print_number(message, n));
	END IF;
	RETURN moment(print_number(message, n));
END $$;

-- The events of writes, one line each with what hidden() adds, and checks of what is not printed:
-- the order of events, numbers that must agree, versions.
CREATE FUNCTION raw_events(writes bytea[], lsns pg_lsn[] DEFAULT NULL) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	relations jsonb := '{}';
	within int;                 -- the kind of event that began what we are in, or NULL
	begun bytea;                -- and its message
	streamed bigint[] := '{}';  -- transactions of which parts have come
	sub bigint;                 -- in a stream, whose changes follow
	suffix text;
	last_end bigint := 0;
	last_kind int;
	batch record;
	event record;
	f record;
	kind int;
	own_xid bigint;
BEGIN
	FOR batch IN SELECT * FROM unnest(writes) WITH ORDINALITY w(bytes, n) LOOP
		FOR event IN SELECT * FROM fields(batch.bytes) LOOP
			IF event.field <> 2 THEN
				RAISE 'field % in a Batch', event.field;
			END IF;
			SELECT * INTO f FROM fields(event.content);
			kind := f.field;
			own_xid := print_number(f.content, 1);
			suffix := CASE WHEN within = 11 THEN hidden(sub::text) ELSE hidden() END;
			IF kind IN (3, 4, 5, 6, 7, 8, 10, 12, 15, 18) <> (within IS NOT NULL) AND kind <> 9 THEN
				RAISE 'event % within %', kind, within;
			ELSIF kind IN (11, 13, 14, 16) AND (own_xid = ANY (streamed)) = (kind = 11 AND print_number(f.content, 2) = 1) THEN
				RAISE 'event % of transaction % among %', kind, own_xid, streamed;
			ELSIF kind = 10 AND last_kind NOT IN (2, 11, 17) THEN
				RAISE 'an origin stands after event %', last_kind;
			END IF;
			CASE kind
			WHEN 1 THEN
				relations := '{}';
				streamed := '{}';
				IF print_number(f.content, 2) <> current_setting('server_version_num')::int
					OR print_name(f.content, 4) !~ '^\d+\.\d+\.\d+$' THEN
					RAISE 'versions % %', print_number(f.content, 2), print_name(f.content, 4);
				END IF;
				RETURN NEXT format('session protocol %s %s: %s', print_number(f.content, 1), print_name(f.content, 3),
					(SELECT string_agg(print_name(content, 1) || '=' || print_name(content, 2), ' ' ORDER BY n)
					 FROM fields(f.content) WITH ORDINALITY o(field, number, content, n) WHERE field = 5)) || hidden();
			WHEN 2 THEN
				IF own_xid = 0 THEN
					RAISE 'begin without xid';
				END IF;
				RETURN NEXT 'begin' || hidden(own_xid::text, lsn_of(f.content, 2), time_of(f.content, 3));
			WHEN 3 THEN
				IF within <> 2 OR print_number(f.content, 1) <> print_number(begun, 2)
					OR print_number(f.content, 3) <> print_number(begun, 3)
					OR print_number(f.content, 2) <= print_number(f.content, 1)
					OR print_number(begun, 2) <= last_end - 1 THEN
					RAISE 'commit does not fit its begin';
				END IF;
				last_end := print_number(f.content, 2);
				IF lsns[batch.n] - '0/0'::pg_lsn <> last_end THEN
					RAISE 'the write of a commit is at %, its end at %', lsns[batch.n] - '0/0'::pg_lsn, last_end;
				END IF;
				RETURN NEXT 'commit' || hidden(print_number(begun, 1)::text, lsn_of(f.content, 1), time_of(f.content, 3),
					lsn_of(f.content, 2));
			WHEN 4 THEN
				IF relations ? print_number(f.content, 1)::text THEN
					RAISE 'relation number % is used twice', print_number(f.content, 1);
				END IF;
				relations := relations || jsonb_build_object(print_number(f.content, 1), relation_columns(f.content));
				RETURN NEXT print_relation(f.content) || hidden(print_number(f.content, 2)::text, print_relation(f.content, true));
			WHEN 5 THEN RETURN NEXT print_change('insert', f.content, relations) || suffix;
			WHEN 6 THEN RETURN NEXT print_change('update', f.content, relations) || suffix;
			WHEN 7 THEN RETURN NEXT print_change('delete', f.content, relations) || suffix;
			WHEN 8 THEN
				RETURN NEXT concat('truncate ', (SELECT string_agg(relations -> (r.number)::text ->> 'name', ', ' ORDER BY n)
					-- a packed field: each of its varints is read as a message of one tag would be
					FROM packed((SELECT content FROM fields(f.content) WHERE field = 1)) WITH ORDINALITY r(number, n)),
					CASE WHEN print_number(f.content, 2) = 1 THEN ' cascade' END,
					CASE WHEN print_number(f.content, 3) = 1 THEN ' restart identity' END, suffix);
			WHEN 9 THEN
				IF print_number(f.content, 2) = 1 AND within IS NULL OR print_number(f.content, 2) = 0 AND within IS NOT NULL THEN
					RAISE 'a message, transactional: %, within %', print_number(f.content, 2), within;
				END IF;
				RETURN NEXT concat('message ', CASE WHEN within IS NOT NULL THEN 'transactional ' END, print_content(f.content, 3),
					' ', print_content(f.content, 4), suffix, ' ', lsn_of(f.content, 1));
			WHEN 10 THEN
				RETURN NEXT concat('origin ', print_content(f.content, 1), hidden(CASE WHEN within <> 11 THEN lsn_of(f.content, 2) END));
			WHEN 11 THEN
				streamed := streamed || own_xid;
				sub := own_xid;
				RETURN NEXT concat('stream start', CASE WHEN print_number(f.content, 2) = 1 THEN ' first' END, hidden(own_xid::text));
			WHEN 12 THEN
				IF within <> 11 THEN
					RAISE 'stream stop within %', within;
				END IF;
				RETURN NEXT 'stream stop' || hidden(print_number(begun, 1)::text);
			WHEN 13 THEN
				IF own_xid = print_number(f.content, 2) THEN
					streamed := array_remove(streamed, own_xid);
				END IF;
				RETURN NEXT concat('stream abort', CASE WHEN own_xid <> print_number(f.content, 2) THEN ' sub-transaction' END,
					hidden(own_xid::text, print_number(f.content, 2)::text));
			WHEN 14 THEN
				streamed := array_remove(streamed, own_xid);
				RETURN NEXT 'stream commit' || hidden(own_xid::text, lsn_of(f.content, 2), time_of(f.content, 4), lsn_of(f.content, 3));
			WHEN 15 THEN
				IF within <> 11 OR own_xid = sub THEN
					RAISE 'sub-transaction % within % after %', own_xid, within, sub;
				END IF;
				sub := own_xid;
			WHEN 16, 17, 18, 19 THEN
				IF kind = 18 AND (within <> 17 OR begun <> f.content) THEN
					RAISE 'prepare does not fit its begin';
				END IF;
				IF kind = 16 THEN
					streamed := array_remove(streamed, own_xid);
				END IF;
				RETURN NEXT concat((ARRAY['stream prepare', 'begin prepare', 'prepare', 'commit prepared'])[kind - 15], ' ',
					print_content(f.content, 2), hidden(own_xid::text, lsn_of(f.content, 3), time_of(f.content, 5), lsn_of(f.content, 4)));
			WHEN 20 THEN
				RETURN NEXT concat('rollback prepared ', print_content(f.content, 2), hidden(own_xid::text, lsn_of(f.content, 3),
					time_of(f.content, 5), time_of(f.content, 6), lsn_of(f.content, 4)));
			END CASE;
			IF kind IN (2, 11, 17) THEN
				within := kind;
				begun := f.content;
			ELSIF kind IN (3, 12, 18) THEN
				within := NULL;
			END IF;
			last_kind := kind;
		END LOOP;
	END LOOP;
	IF within IS NOT NULL THEN
		RAISE 'a transaction has no end';
	END IF;
END $$;

CREATE FUNCTION events(writes bytea[], lsns pg_lsn[] DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS
$$ SELECT visible(line) FROM raw_events(writes, lsns) line $$;

CREATE FUNCTION packed(content bytea) RETURNS SETOF bigint LANGUAGE sql AS $$
	-- no test has more than 127 relations
	SELECT get_byte(content, i) FROM generate_series(0, length(content) - 1) i $$;

-- What is in the slot, consumed; the other formats must say the same (01_formats.sql).
CREATE FUNCTION changes(slot name, VARIADIC options text[] DEFAULT '{}') RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
	writes bytea[];
	lsns pg_lsn[];
BEGIN
	PERFORM check_formats(slot, VARIADIC options);
	SELECT array_agg(data ORDER BY n), array_agg(lsn ORDER BY n) INTO writes, lsns
	FROM pg_logical_slot_get_binary_changes(slot, NULL, NULL, VARIADIC options)
		WITH ORDINALITY c(lsn, xid, data, n);
	RETURN QUERY SELECT * FROM events(writes, lsns);
END $$;

-- The same without the Session: for all tests but one.
CREATE FUNCTION rows(slot name, VARIADIC options text[] DEFAULT '{}') RETURNS SETOF text
LANGUAGE sql AS $$ SELECT line FROM changes(slot, VARIADIC options) line WHERE line NOT LIKE 'session %' $$;

\set ECHO all
\pset format unaligned
\pset tuples_only on
SELECT field, number, content FROM fields('\x0896011a0361626325 00000080'::bytea);
SELECT zigzag(0), zigzag(-1), zigzag(1), zigzag(-2);
SELECT ieee(1, 11, 52)::float8, ieee(4607182418800017408, 11, 52)::float8, ieee(9218868437227405311, 11, 52)::float8,
	ieee(-4503599627370496, 11, 52), ieee(1, 8, 23)::float4, ieee(2139095039, 8, 23)::float4;
SELECT moment(-1), moment(9223371331199999999), day(-1);
