-- settings.sql -- the stream does not depend on the session's settings, nor are they changed by it.
\pset format unaligned
\pset tuples_only on
SELECT FROM pg_create_logical_replication_slot('settings', 'penstock');

CREATE TABLE t(id int PRIMARY KEY, d date[], ts timestamptz[], i interval, f float8[], y bytea[], m money, r regclass, tz timetz);
INSERT INTO t VALUES (1, '{2026-02-01,0044-03-15 BC}', '{2026-07-01 12:00Z}', '1 year 2 days -3 hours', '{0.1,1e-7,NaN}',
	ARRAY['\x00ff'::bytea], 1234.5, 't', '12:00+01');

-- The settings that output functions follow, as the session has them.
CREATE FUNCTION settings() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT name || ' = ' || setting FROM pg_settings WHERE name IN ('DateStyle', 'IntervalStyle', 'TimeZone', 'extra_float_digits',
		'bytea_output', 'search_path', 'quote_all_identifiers', 'lc_monetary', 'xmlbinary') ORDER BY lower(name) $$;

SELECT line FROM (SELECT string_agg(encode(data, 'hex'), '') AS line
	FROM pg_logical_slot_peek_binary_changes('settings', NULL, NULL)) w \gset before_
SET DateStyle = 'German, DMY';
SET IntervalStyle = 'sql_standard';
SET TimeZone = 'Asia/Kolkata';
SET extra_float_digits = -5;
SET bytea_output = 'escape';
SET quote_all_identifiers = on;
SET lc_monetary = 'POSIX';
SET search_path = pg_temp, public;
SELECT :'before_line' = string_agg(encode(data, 'hex'), '') AS same FROM pg_logical_slot_peek_binary_changes('settings', NULL, NULL);
SELECT settings();

-- an error in the middle: settings are as before, whether the statement, a block or a savepoint ends by it
SELECT count(*) FROM pg_logical_slot_peek_changes('settings', NULL, NULL);
SELECT settings();
DO $$
DECLARE
	n int;
BEGIN
	SET LOCAL DateStyle = 'SQL, MDY';
	FOR i IN 1..3 LOOP
		BEGIN
			SELECT count(*) INTO n FROM pg_logical_slot_peek_changes('settings', NULL, NULL);
		EXCEPTION WHEN others THEN
			RAISE NOTICE '%: %, %', SQLERRM, current_setting('DateStyle'), current_setting('search_path');
		END;
		SELECT count(*) INTO n FROM pg_logical_slot_peek_binary_changes('settings', NULL, NULL);
		RAISE NOTICE '% write: %, %', n, current_setting('DateStyle'), current_setting('TimeZone');
	END LOOP;
END $$;
SELECT settings();
BEGIN;
SET LOCAL TimeZone = 'America/New_York';
SAVEPOINT s;
SELECT count(*) FROM pg_logical_slot_peek_changes('settings', NULL, NULL);
ROLLBACK TO s;
SHOW TimeZone;
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('settings', NULL, NULL);
SHOW TimeZone;
COMMIT;
SELECT settings();
RESET ALL;
SELECT * FROM rows('settings');

SELECT FROM pg_drop_replication_slot('settings');
DROP FUNCTION settings;
DROP TABLE t;
