# Format decoderbufs is, byte for byte, what the plugin of that name sends; where that one is wrong,
# ours is tested by itself. The original is in the package postgresql-N-decoderbufs.
use strict;
use warnings;
use Decoderbufs;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $pkglibdir = `$ENV{PG_CONFIG} --pkglibdir`;
chomp $pkglibdir;
my $original = "$pkglibdir/decoderbufs.so";
my $have_original = -f $original && (readlink($original) // '') ne 'penstock.so';

my $source = source_node('source', timezone => 'Europe/Berlin');
my $major = int($source->safe_psql('postgres', 'SHOW server_version_num') / 10000);

# What a slot would send now: [lsn, xid, bytes in hex] each; the server's messages in $$stderr.
sub peek
{
	my ($slot, $database, $options, $settings, $stderr) = @_;
	my $debug = $options =~ /debug-mode', '(true|on)/;
	my $function = $debug ? 'peek_changes' : 'peek_binary_changes';
	my $bytes = $debug ? "convert_to(data, 'UTF8')" : 'data';
	my ($out, $err) = ('', '');
	$source->psql($database,
		"$settings; SELECT lsn, xid, encode($bytes, 'hex') FROM pg_logical_slot_$function('$slot', NULL, NULL $options)",
		stdout => \$out, stderr => \$err, on_error_die => 1);
	$$stderr = $err if $stderr;
	return [ map { [ split /\|/ ] } split /\n/, $out ];
}

# Ours decoded; the slot of it in each database is p_DATABASE.
sub peek_rows
{
	my ($database, %options) = @_;
	my $options = join '', map { ", '$_', '$options{$_}'" } sort keys %options;
	my $changes = peek("p_$database", $database, ", 'format', 'decoderbufs'$options", 'SELECT 1 WHERE false');
	return map { decode_row_message(pack('H*', $_->[2])) } @$changes;
}

sub create_slots
{
	my ($database) = @_;
	$source->safe_psql($database, "SELECT pg_create_logical_replication_slot('p_$database', 'penstock')");
	$source->safe_psql($database, "SELECT pg_create_logical_replication_slot('o_$database', 'decoderbufs')")
	  if $have_original;
}

# What was sent so far is not compared again.
sub forget
{
	my ($database) = @_;
	$source->safe_psql($database,
		'SELECT pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) FROM pg_replication_slots WHERE database = current_database()');
}

sub show
{
	my ($change) = @_;
	return $change ? join(' ', @$change[ 0, 1 ], substr($change->[2], 0, 2000)) : 'nothing';
}

# One test: both plugins send the same for what the SQL did, of at least so many messages.
sub compares
{
	my ($name, $least, $sql, $settings, $options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$source->safe_psql('postgres', $sql) if $sql;
	return compares_now($name, $least, $settings // 'SELECT 1 WHERE false', $options // '', 'postgres');
}

sub compares_now
{
	my ($name, $least, $settings, $options, $database) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $expected = peek("o_$database", $database, $options, $settings);
	my $got = peek("p_$database", $database, ", 'format', 'decoderbufs'$options", $settings);
	forget($database) unless $options;

	for my $i (0 .. ($#$expected > $#$got ? $#$expected : $#$got))
	{
		next if $expected->[$i] && $got->[$i] && "@{ $expected->[$i] }" eq "@{ $got->[$i] }";
		diag("message $i of " . @$expected . "\noriginal: " . show($expected->[$i]) . "\nours:     " . show($got->[$i]));
		return fail($name);
	}
	return cmp_ok(scalar(@$got), '>=', $least, "$name: " . @$got . ' messages');
}

create_slots('postgres');

SKIP:
{
	if (!$have_original)
	{
		diag("NOT COMPARED with the original plugin: install the package postgresql-$major-decoderbufs");
		skip "no original to compare with: install postgresql-$major-decoderbufs", 1;
	}
	compare_types();
	compare_tables();
	compare_transactions();
	compare_session_settings();
	compare_unknown_encoding();
	compare_debug_mode();
	compare_random($ENV{PENSTOCK_SEED} || time);
}
faults_of_the_original();
options_that_the_original_lacks();
library_under_that_name();
$source->stop;
done_testing();

# ---- the same ----

sub compare_types
{
	$source->safe_psql('postgres', q{
		CREATE TYPE mood AS ENUM ('sad', 'so "so"', 'ünhappy');
		CREATE TYPE pair AS (a int, b text);
		CREATE DOMAIN positive AS int CHECK (VALUE > 0);
		CREATE DOMAIN label AS varchar(20) NOT NULL;
		CREATE SCHEMA other; CREATE TYPE other.mood AS ENUM ('x');
		CREATE TABLE types(
			id bigint PRIMARY KEY, c_bool bool, c_int2 int2, c_int4 int4, c_int8 int8, c_oid oid,
			c_float4 float4, c_float8 float8, c_numeric numeric, c_numeric_s numeric(12, 3), c_money money,
			c_char "char", c_bpchar char(5), c_bpchar1 char, c_varchar varchar(40), c_varchar0 varchar,
			c_text text NOT NULL DEFAULT '', c_name name, c_bytea bytea, c_json json, c_jsonb jsonb, c_xml xml,
			c_uuid uuid, c_bit bit(3), c_bit1 bit, c_varbit varbit(10), c_varbit0 varbit,
			c_date date, c_time time, c_time3 time(3), c_timetz timetz, c_timetz2 timetz(2),
			c_timestamp timestamp, c_timestamp3 timestamp(3), c_timestamptz timestamptz, c_interval interval,
			c_interval2 interval(2), c_interval_dh interval day to hour,
			c_point point, c_box box, c_path path, c_polygon polygon, c_line line, c_circle circle, c_lseg lseg,
			c_inet inet, c_cidr cidr, c_macaddr macaddr, c_macaddr8 macaddr8, c_tsvector tsvector,
			c_tsquery tsquery, c_int4range int4range, c_numrange numrange, c_tstzrange tstzrange,
			c_enum mood, c_enum2 other.mood, c_int4s int4[], c_texts text[], c_moods mood[], c_nums numeric(5,1)[],
			c_dates date[], c_byteas bytea[], c_points point[], c_positive positive, c_label label DEFAULT 'l',
			c_pair pair, c_pairs pair[], c_regclass regclass, c_xid xid, c_pg_lsn pg_lsn,
			c_float8s float8[], c_record_range int8range[],
			c_generated int8 GENERATED ALWAYS AS (id * 2) STORED,
			c_identity int GENERATED BY DEFAULT AS IDENTITY);
		ALTER TABLE types REPLICA IDENTITY FULL;});
	forget('postgres');
	compares('values of all types', 17, q{
		INSERT INTO types(id) VALUES (1);
		INSERT INTO types VALUES (-2,
			true, -32768, 2147483647, -9223372036854775808, 4294967295,
			3.25, -1e300, 12345678901234567890.123456789, 123.456, '-12.34',
			'x', 'abc', 'y', 'varchar ü', '', E'text € 😀 \n\t"\'', 'a name',
			'\x00ff10', '{"a": 1 }', '{"b": [1, 2, null]}', '<?xml version="1.0" encoding="UTF-8"?><a>b</a>',
			'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '101', '1', '10101', '',
			'2024-02-29', '13:14:15.123456', '01:02:03.456', '12:00:00.5+02', '23:59:59.99-15:59:59',
			'2024-02-29 13:14:15.123456', '1999-12-31 23:59:59.999', '2024-02-29 13:14:15.123456+05',
			'-1 year -2 months +3 days -04:05:06.789', '1.239 s', '3 days 5 hours',
			'(1.5,-2.5)', '(1,2),(3,4)', '[(1,2),(3,4)]', '((0,0),(0,1),(1,1))', '{1,2,3}', '<(1,2),3>',
			'[(1,2),(3,4)]', '192.168.1.5/24', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05',
			'a fat cat', 'fat & rat', '[1,10)', '(,2.5]', '[2024-01-01 00:00:00+00,infinity)',
			'ünhappy', 'x', '{1,2,NULL,4}', '{a,NULL,"c d","NULL"}', '{sad,"so \"so\""}', '{1.25,NULL}',
			'{2024-01-01,infinity}', ARRAY['\xff'::bytea], ARRAY['(1,2)'::point], 5, 'label', '(7,"se ven")',
			ARRAY['(1,a)'::pair], 'types', '77', '16/B374D848', '{NaN,1e-5}', '{"[1,2)"}', DEFAULT, 7);
		INSERT INTO types(id, c_float4, c_float8, c_numeric, c_money, c_char, c_oid, c_varchar, c_bytea) VALUES
			(3, 'NaN', 'NaN', 'NaN', '-92233720368547758.08', '', 0, '', ''),
			(4, 'Infinity', '-Infinity', 'Infinity', '92233720368547758.07', E'\\\\001', 1, repeat('ü', 40), decode(repeat('00', 200), 'hex')),
			(5, '-0', '-0', '-Infinity', 0, '"', 2147483648, repeat('x', 40), '\x0a'),
			(6, 1e-45, 5e-324, 0.000000000000001, 1, 'z', 4, NULL, NULL);
		INSERT INTO types(id, c_date, c_timestamp, c_timestamptz, c_time, c_timetz) VALUES
			(7, '4713-01-01 BC', '4713-01-01 00:00 BC', '4713-01-02 00:00+00 BC', '00:00', '00:00+00'),
			(8, '0001-12-31 BC', '0001-12-31 BC', '1969-12-31 23:59:59.999999+00', '24:00', '24:00+14'),
			(9, '1970-01-01', '1970-01-01', '1970-01-01 00:00+00', '23:59:59.999999', '23:59:59.999999-14'),
			(10, '5874897-12-31', '294246-12-31 23:59:59.999999', '2000-01-01 00:00+00', NULL, NULL),
			(11, NULL, 'infinity', '-infinity', NULL, NULL), (12, NULL, '-infinity', 'infinity', NULL, NULL);
		INSERT INTO types(id, c_text) VALUES (127, repeat('a', 127)), (128, repeat('b', 128)), (16384, repeat('c', 16384));});
	compares('changes of rows of all types', 12, q{
		UPDATE types SET c_int4 = -1, c_text = 'changed';
		UPDATE types SET c_bool = NOT c_bool, c_float8 = NULL WHERE id = -2;
		DELETE FROM types WHERE id < 7;});
	return;
}

sub compare_tables
{
	$source->safe_psql('postgres', q{
		CREATE SCHEMA "Other ""Schema"".x";
		CREATE TABLE "Other ""Schema"".x"."Table.with ""all"""("Key" int PRIMARY KEY, "a.b" text, "select" text, "ünï" text, "q""q" int);});
	forget('postgres');
	compares('names that need quotes', 8, q{
		INSERT INTO "Other ""Schema"".x"."Table.with ""all""" VALUES (1, 'a', 'b', 'c', 2);
		UPDATE "Other ""Schema"".x"."Table.with ""all""" SET "select" = NULL;
		ALTER TABLE "Other ""Schema"".x"."Table.with ""all""" RENAME TO renamed;
		DELETE FROM "Other ""Schema"".x".renamed;});
	compares('replica identities', 50, q{
		CREATE TABLE pk(id int PRIMARY KEY, b text);
		CREATE TABLE composite(a int, x text, b text, PRIMARY KEY (b, a));
		CREATE TABLE no_key(a int, b text);
		CREATE TABLE deferred(a int PRIMARY KEY DEFERRABLE, b text);
		CREATE TABLE nothing(a int PRIMARY KEY, b text); ALTER TABLE nothing REPLICA IDENTITY NOTHING;
		CREATE TABLE complete(a int, b text, c numeric); ALTER TABLE complete REPLICA IDENTITY FULL;
		CREATE TABLE by_index(a int, b int NOT NULL, c text); CREATE UNIQUE INDEX by_index_b ON by_index(b);
		ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_b;
		INSERT INTO pk VALUES (1, 'x'), (2, NULL); UPDATE pk SET b = 'y'; UPDATE pk SET id = id + 10; DELETE FROM pk;
		INSERT INTO composite VALUES (1, 'x', 'y'); UPDATE composite SET x = NULL; UPDATE composite SET a = 2; DELETE FROM composite;
		INSERT INTO no_key VALUES (1, 'x'); UPDATE no_key SET b = 'y'; DELETE FROM no_key;
		INSERT INTO deferred VALUES (1, 'x'); UPDATE deferred SET b = 'y'; UPDATE deferred SET a = 3; DELETE FROM deferred;
		INSERT INTO nothing VALUES (1, 'x'); UPDATE nothing SET b = 'y'; UPDATE nothing SET a = 3; DELETE FROM nothing;
		INSERT INTO complete VALUES (1, 'x', 1.50), (NULL, NULL, NULL); UPDATE complete SET b = 'y'; DELETE FROM complete;
		INSERT INTO by_index VALUES (1, 2, 'x'); UPDATE by_index SET c = 'y'; UPDATE by_index SET b = 3; DELETE FROM by_index;
		INSERT INTO by_index VALUES (1, 2, 'x'); DROP INDEX by_index_b; UPDATE by_index SET c = 'z'; DELETE FROM by_index;
		ALTER TABLE pk REPLICA IDENTITY FULL; INSERT INTO pk VALUES (5, 'five'); UPDATE pk SET b = 'six'; DELETE FROM pk;
		ALTER TABLE no_key ADD PRIMARY KEY (a); INSERT INTO no_key VALUES (7, 'x'); UPDATE no_key SET b = 'y'; DELETE FROM no_key;});
	compares('toasted values', 15, q{
		CREATE TABLE toasted(id int PRIMARY KEY, small int, big text, bytes bytea, j jsonb, compressed text);
		ALTER TABLE toasted ALTER big SET STORAGE EXTERNAL, ALTER bytes SET STORAGE EXTERNAL;
		INSERT INTO toasted VALUES (1, 1, repeat('big', 20000), decode(repeat('ab', 20000), 'hex'), '[]', repeat('c', 100000));
		INSERT INTO toasted VALUES (2, 1, repeat('x', 9000), NULL, (SELECT jsonb_agg(md5(i::text)) FROM generate_series(1, 500) i),
			(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 5000) i));
		UPDATE toasted SET small = small + 1;
		UPDATE toasted SET big = big || '!' WHERE id = 1;
		UPDATE toasted SET id = 3 WHERE id = 2;
		ALTER TABLE toasted REPLICA IDENTITY FULL;
		UPDATE toasted SET small = 0;
		DELETE FROM toasted;});
	compares('added, dropped and changed columns', 35, q{
		CREATE TABLE changing(id int PRIMARY KEY, a int, b text);
		INSERT INTO changing VALUES (1, 1, 'before');
		ALTER TABLE changing ADD COLUMN c numeric(5, 1) DEFAULT 1.5; UPDATE changing SET a = 2;
		INSERT INTO changing VALUES (2, 2, 'added', 2.5);
		ALTER TABLE changing DROP COLUMN a; UPDATE changing SET b = 'dropped';
		INSERT INTO changing VALUES (3, 'dropped', 3.5);
		BEGIN; ALTER TABLE changing ADD COLUMN d text DEFAULT 'd'; INSERT INTO changing VALUES (4, 'in', 1, 'x');
		ALTER TABLE changing DROP COLUMN c; INSERT INTO changing VALUES (5, 'the same', 'y');
		ALTER TABLE changing RENAME COLUMN b TO "B"; UPDATE changing SET "B" = 'transaction' WHERE id = 5; COMMIT;
		ALTER TABLE changing ALTER COLUMN d TYPE varchar(9); INSERT INTO changing VALUES (6, 'text', 'text');
		ALTER TABLE changing ALTER COLUMN d SET NOT NULL; INSERT INTO changing VALUES (7, 'text', 'text');
		ALTER TABLE changing RENAME TO changed; DELETE FROM changed WHERE id = 1;
		INSERT INTO types(id, c_enum) VALUES (899, 'sad');
		ALTER SCHEMA other RENAME TO another; INSERT INTO types(id, c_enum) VALUES (898, 'sad'); ALTER TABLE changed SET SCHEMA another; DELETE FROM another.changed WHERE id = 2;
		ALTER TYPE mood ADD VALUE 'new'; INSERT INTO types(id, c_enum) VALUES (900, 'new');
		ALTER TYPE mood RENAME TO temper; INSERT INTO types(id, c_enum) VALUES (901, 'new');
		ALTER TYPE pair ADD ATTRIBUTE c int; INSERT INTO types(id, c_pair) VALUES (902, '(1,b,3)');
		UPDATE types SET c_int4 = 9 WHERE id >= 900;
		DO 'BEGIN EXECUTE ''ALTER TABLE another.changed '' || (SELECT string_agg(''ADD COLUMN n'' || i || '' int'', '', '') FROM generate_series(1, 200) i); END';
		UPDATE another.changed SET n150 = 1;});
	compares('as many columns as there can be', 8, q{
		DO 'BEGIN EXECUTE ''CREATE TABLE widest('' || (SELECT string_agg(''c'' || i || '' int'', '', '') FROM generate_series(1, 1600) i) || '')''; END';
		ALTER TABLE widest REPLICA IDENTITY FULL;
		INSERT INTO widest(c1, c1600) VALUES (1, 2); UPDATE widest SET c800 = 3; DELETE FROM widest;});
	compares('partitions, other kinds of relations', 22, q{
		CREATE TABLE parted(id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
		CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
		CREATE TABLE parted_2(v text, x int, id int PRIMARY KEY); ALTER TABLE parted_2 DROP COLUMN x;
		ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (100) TO (200);
		INSERT INTO parted VALUES (1, 'one'), (101, 'two'); UPDATE parted SET id = 150, v = 'moved' WHERE id = 1;
		DELETE FROM parted;
		CREATE MATERIALIZED VIEW summary AS SELECT id FROM types; CREATE UNIQUE INDEX ON summary(id);
		REFRESH MATERIALIZED VIEW summary; DELETE FROM types WHERE id = 901; REFRESH MATERIALIZED VIEW CONCURRENTLY summary;
		CREATE TABLE as_selected AS SELECT id FROM types;
		CREATE UNLOGGED TABLE unlogged(a int); INSERT INTO unlogged VALUES (1);
		-- dropped here: at the end of the session it would be in a transaction that one of us may not see yet
		CREATE TEMPORARY TABLE temp(a int); INSERT INTO temp VALUES (1); DROP TABLE temp;
		CREATE TABLE no_columns(); INSERT INTO no_columns DEFAULT VALUES; DELETE FROM no_columns;
		ALTER TABLE no_columns REPLICA IDENTITY FULL; INSERT INTO no_columns DEFAULT VALUES; DELETE FROM no_columns;});
	return;
}

sub compare_transactions
{
	compares('transactions', 35, q{
		CREATE TABLE t(id int PRIMARY KEY, v text);
		SELECT txid_current();
		SELECT pg_logical_emit_message(true, 'prefix', 'content'); SELECT pg_logical_emit_message(false, 'prefix', 'content');
		BEGIN; INSERT INTO t VALUES (1, 'x'); ROLLBACK;
		BEGIN; INSERT INTO t VALUES (2, 'x'); SAVEPOINT a; INSERT INTO t VALUES (3, 'y'); ROLLBACK TO a;
		SAVEPOINT b; UPDATE t SET v = 'z'; RELEASE b; INSERT INTO t VALUES (3, 'w'); COMMIT;
		BEGIN; SELECT txid_current(); ROLLBACK;
		BEGIN; INSERT INTO t VALUES (20, 'prepared'); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p';
		TRUNCATE t; TRUNCATE t, pk CASCADE;
		COPY t(id) FROM PROGRAM 'seq 1 30';
		INSERT INTO t VALUES (1, 'conflict') ON CONFLICT (id) DO UPDATE SET v = excluded.v;
		INSERT INTO t VALUES (1, 'conflict') ON CONFLICT DO NOTHING;
		SELECT id FROM t WHERE id = 1 FOR UPDATE;});
	compares('a transaction of many rows', 20000, q{
		BEGIN; INSERT INTO t SELECT i, 'row ' || i FROM generate_series(100, 15099) i; UPDATE t SET v = NULL WHERE id % 3 = 0; COMMIT;});
	compares('a transaction that is spilled to disk', 20000, q{
		BEGIN; INSERT INTO t SELECT i, repeat('row', 20) || i FROM generate_series(20000, 29999) i;
		SAVEPOINT a; UPDATE t SET v = 'sub' WHERE id >= 20000; COMMIT;}, 'SET logical_decoding_work_mem = 64');
	return;
}

# The original follows the settings of its session, and so does a client's reading of it.
sub compare_session_settings
{
	compares('types that come and go before others in search_path', 15, q{
		CREATE SCHEMA early;
		CREATE TABLE names(id int PRIMARY KEY, t temper, ts temper[], p positive);
		INSERT INTO names VALUES (1, 'sad', '{sad}', 1);
		CREATE TYPE early.temper AS ENUM ('x'); INSERT INTO names VALUES (2, 'sad', '{sad}', 1);
		CREATE TABLE early.positive(); INSERT INTO names VALUES (3, 'sad', '{sad}', 1);
		ALTER SCHEMA early RENAME TO later; INSERT INTO names VALUES (4, 'sad', '{sad}', 1);
		ALTER SCHEMA later RENAME TO early; INSERT INTO names VALUES (5, 'sad', '{sad}', 1);
		DROP TYPE early.temper; INSERT INTO names VALUES (6, 'sad', '{sad}', 1);
		DROP SCHEMA early CASCADE; INSERT INTO names VALUES (7, 'sad', '{sad}', 1);},
		'SET search_path = early, public');
	compares('settings of the session', 8, q{
		CREATE TABLE another.settings(id int PRIMARY KEY, i interval, r tstzrange, d date[], f float8[], b bytea[], m another.mood, "user" pair, money money[]);
		INSERT INTO another.settings VALUES (1, '1 year 2 days 03:04:05.6', '[2024-01-01,2024-02-01)', '{2024-02-03}', '{0.1}', ARRAY['\x41ff'::bytea], 'x', '(1,2,3)', '{1.5}');
		UPDATE another.settings SET id = 2;
		DELETE FROM another.settings;},
		q{SET intervalstyle = iso_8601; SET datestyle = 'german'; SET timezone = 'Asia/Tokyo'; SET extra_float_digits = -5;
		  SET bytea_output = escape; SET search_path = another, public; SET quote_all_identifiers = on});
	return;
}

# Bytes of a database that does not say what they mean stay as they are.
sub compare_unknown_encoding
{
	$source->safe_psql('postgres', 'CREATE DATABASE ascii ENCODING SQL_ASCII TEMPLATE template0');
	create_slots('ascii');
	$source->safe_psql('ascii', q{
		CREATE TYPE kind AS ENUM (E'\\xe9');
		CREATE TABLE t(id int PRIMARY KEY, "café" text, k kind);
		INSERT INTO t VALUES (1, E'caf\\xe9', E'\\xe9'), (2, E'caf\\xc3\\xa9', NULL), (3, 'plain', NULL);
		UPDATE t SET id = 4 WHERE id = 1;});
	return compares_now('an unknown encoding', 10, 'SELECT 1 WHERE false', '', 'ascii');
}

sub compare_debug_mode
{
	$source->safe_psql('postgres', q{
		INSERT INTO types(id, c_bool, c_float4, c_float8, c_point, c_bytea, c_text, c_enum, c_timetz)
		VALUES (1000, true, 1.5, 'NaN', '(1,-2)', 'abc', E'line\nline', 'sad', '12:00+01');
		UPDATE types SET c_bool = NULL, c_oid = 4294967295 WHERE id = 1000;
		DELETE FROM types WHERE id = 1000;
		INSERT INTO no_columns DEFAULT VALUES; DELETE FROM no_columns;
		INSERT INTO toasted VALUES (9, 1, repeat('x', 9000)); ALTER TABLE toasted REPLICA IDENTITY DEFAULT; UPDATE toasted SET small = 2;});
	compares_now('debug-mode', 10, 'SELECT 1 WHERE false', ", 'debug-mode', 'true'", 'postgres');
	my ($expected, $got);
	peek('o_postgres', 'postgres', ", 'debug-mode', 'on'", 'SELECT 1 WHERE false', \$expected);
	peek('p_postgres', 'postgres', ", 'format', 'decoderbufs', 'debug-mode', 'on'", 'SELECT 1 WHERE false', \$got);
	is($got, $expected, 'debug-mode: the client is told the same');
	compares_now('debug-mode off', 10, 'SELECT 1 WHERE false', ", 'debug-mode', 'off'", 'postgres');
	forget('postgres');
	return;
}

# Types and some of their values, for the generator.
sub random_types
{
	return (
		[ 'int', '0', '-1', '2147483647' ], [ 'int2', '7', '-32768' ], [ 'bigint', '127', '128', '-9223372036854775808' ],
		[ 'text', "''", "'ü€😀'", "repeat('long', 2000)", "repeat(md5('x'), 3000)", "'a' || chr(10)" ],
		[ 'varchar(20)', "'v'", "repeat('w', 20)" ], [ 'char(3)', "'c'" ], [ 'bool', 'true', 'false' ],
		[ 'float4', "'NaN'", '1.25', "'-Infinity'" ], [ 'float8', '1e-300', '0', "'Infinity'" ],
		[ 'numeric', '1.10', "'NaN'", '1e50' ], [ 'numeric(8,2)', '123456.78', '-0.01' ],
		[ 'date', "'2024-02-29'", "'0044-03-15 BC'" ], [ 'timestamp', "'2024-02-29 01:02:03.4'", "'infinity'" ],
		[ 'timestamptz(3)', "'1970-01-01 00:00:00+00'", "'-infinity'" ], [ 'time', "'12:34:56.789'" ],
		[ 'timetz', "'12:00:00-05:30'", "'00:00:01+14'" ], [ 'interval', "'1 mon -1 day'", "'-00:00:00.000001'" ],
		[ 'uuid', "'00000000-0000-0000-0000-0000000000ff'" ], [ 'jsonb', q('{"k": [1, "ü"]}'), "'null'" ],
		[ 'json', q('{ "k" :1}') ], [ 'bytea', "'\\x'", "'\\x00ff'", "decode(repeat('0a', 5000), 'hex')" ],
		[ 'point', "'(1e10,-0)'" ], [ 'int[]', "'{}'", "'{{1,2},{3,NULL}}'" ], [ 'text[]', q('{"a,b","",NULL}') ],
		[ 'inet', "'::1'" ], [ 'int8range', "'empty'", "'[1,)'" ], [ 'bit(8)', "B'10101010'" ], [ 'varbit', "B''", "B'1'" ],
		[ 'money', '12.5', '-1' ], [ 'oid', '4294967295', '0' ], [ '"char"', "'q'" ], [ 'name', "'Nam e'" ],
		[ 'xml', "'<x/>'" ], [ 'positive', '1', '99' ], [ 'temper', "'sad'", q('so "so"') ], [ 'pair', "'(1,,2)'" ]);
}

sub compare_random
{
	my ($seed) = @_;
	diag("random workload: PENSTOCK_SEED=$seed");
	srand($seed);
	my @types = random_types();
	my @words = ('a', 'Select', 'x y', 'q"q', 'p.p', 'ünï', 'user', 'n1', 'Z');
	my $pick = sub { return $_[ int rand @_ ]; };
	my $quoted = sub { my ($name) = @_; $name =~ s/"/""/g; return qq("$name"); };
	my $value = sub { my ($type) = @_; return rand() < 0.2 ? 'NULL' : '(' . $pick->(@$type[ 1 .. $#$type ]) . ')::' . $type->[0]; };
	my (@tables, @script);

	foreach my $n (1 .. 8)
	{
		my $name = $quoted->($pick->(@words) . $n);
		my @columns = map { { name => $quoted->($pick->(@words) . $_), type => $pick->(@types) } } 1 .. 1 + int rand 12;
		push @tables, { name => $name, columns => \@columns, next => 1, added => 100 };
		push @script, "CREATE TABLE $name(id int" . ($n % 4 ? ' PRIMARY KEY' : '') . join('', map { ", $_->{name} $_->{type}[0]" } @columns) . ')';
		push @script, "ALTER TABLE $name REPLICA IDENTITY " . $pick->('FULL', 'FULL', 'DEFAULT', 'DEFAULT', 'NOTHING');
	}
	my $open = 0;
	foreach (1 .. 500)
	{
		my $table = $pick->(@tables);
		my $columns = $table->{columns};
		my $column = @$columns ? $pick->(@$columns) : undef;
		my $id = 1 + int rand $table->{next};
		my $choice = rand;

		if ($choice < 0.45)
		{
			push @script, "INSERT INTO $table->{name} VALUES (" . join(', ', $table->{next}++, map { $value->($_->{type}) } @$columns) . ')';
		}
		elsif ($choice < 0.70 && $column)
		{
			push @script, "UPDATE $table->{name} SET $column->{name} = " . $value->($column->{type}) . " WHERE id = $id";
		}
		elsif ($choice < 0.75)
		{
			push @script, "UPDATE $table->{name} SET id = " . $table->{next}++ . " WHERE id = $id";
		}
		elsif ($choice < 0.85) { push @script, "DELETE FROM $table->{name} WHERE id = $id"; }
		elsif ($choice < 0.93) { push @script, $open ? $pick->('COMMIT', 'COMMIT', 'ROLLBACK') : 'BEGIN'; $open = !$open; }
		elsif ($choice < 0.96 && !$open)
		{
			my $new = { name => $quoted->('added' . $table->{added}++), type => $pick->(@types) };
			push @script, "ALTER TABLE $table->{name} ADD COLUMN $new->{name} $new->{type}[0] DEFAULT " . $value->($new->{type});
			push @$columns, $new;
		}
		elsif ($choice < 0.98 && !$open && $column)
		{
			push @script, "ALTER TABLE $table->{name} DROP COLUMN $column->{name}";
			@$columns = grep { $_ != $column } @$columns;
		}
	}
	push @script, 'COMMIT' if $open;
	return compares("random workload, seed $seed", 300, join(";\n", @script, ''));
}

# ---- where the original is wrong ----

sub by_name
{
	my ($tuple) = @_;
	return { map { $_->{name} => $_->{value} } @$tuple };
}

sub faults_of_the_original
{
	forget('postgres');
	$source->safe_psql('postgres', q{
		CREATE TABLE ends(id int PRIMARY KEY, d date, t timestamp, z timestamptz);
		INSERT INTO ends VALUES (1, 'infinity', 'infinity', 'infinity'), (2, '-infinity', '-infinity', '-infinity'),
			(3, '5874897-12-31', '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999+00'),
			(4, NULL, '294247-01-10 04:00:54.775806', NULL);});
	my @rows = grep { $_->{op} eq 'INSERT' } peek_rows('postgres');
	is_deeply(
		[ map { by_name($_->{new}) } @rows ],
		[
			{ id => 1, d => 2147483647, t => 9223372036854775807, z => 9223372036854775807 },
			{ id => 2, d => -2147483648, t => -9223372036854775807 - 1, z => -9223372036854775807 - 1 },
			{ id => 3, d => 2145042905, t => 9223372036854775806, z => 9223372036854775806 },
			{ id => 4, d => undef, t => 9223372036854775806, z => undef } ],
		'infinite dates are the ends of int32, and no time of the far future wraps');

	latin1_is_sent_as_utf8();

	forget('postgres');
	$source->safe_psql('postgres', q{
		CREATE TABLE adding(id int PRIMARY KEY, a int, b text);
		ALTER TABLE adding REPLICA IDENTITY FULL;
		INSERT INTO adding VALUES (1, 1, 'one');
		BEGIN; ALTER TABLE adding DROP COLUMN a; ALTER TABLE adding ADD COLUMN c int DEFAULT 3; UPDATE adding SET b = 'two'; COMMIT;});
	my ($update) = grep { $_->{op} eq 'UPDATE' } peek_rows('postgres');
	is_deeply([ by_name($update->{old}), by_name($update->{new}) ],
		[ { id => 1, b => 'one', c => 3 }, { id => 1, b => 'two', c => 3 } ],
		'rows from before a column was added and one dropped');

	my $stderr;
	peek('p_postgres', 'postgres', ", 'format', 'decoderbufs'", 'SELECT 1 WHERE false', \$stderr);
	is($stderr =~ s/^psql:<stdin>:\d+: //mgr, 'INFO:  Exiting startup callback', 'nothing is said of single rows');

	virtual_columns_are_left_out() if $major >= 18;
	return;
}

sub virtual_columns_are_left_out
{
	forget('postgres');
	$source->safe_psql('postgres', q{
		CREATE TABLE virtual(id int PRIMARY KEY, v int GENERATED ALWAYS AS (id + 1) VIRTUAL, s int GENERATED ALWAYS AS (id + 2) STORED);
		INSERT INTO virtual VALUES (1);});
	my ($insert) = grep { $_->{op} eq 'INSERT' } peek_rows('postgres');
	is_deeply([ by_name($insert->{new}), scalar @{ $insert->{info} } ], [ { id => 1, s => 3 }, 2 ],
		'virtual generated columns are left out');
	return;
}

sub latin1_is_sent_as_utf8
{
	$source->safe_psql('postgres', 'CREATE DATABASE latin1 ENCODING LATIN1 TEMPLATE template0');
	create_slots('latin1');
	$source->safe_psql('latin1', q{
		SET client_encoding = 'UTF8';
		CREATE TYPE "größe" AS ENUM ('groß');
		CREATE TABLE "tür"("schlüssel" text PRIMARY KEY, e "größe", n numeric);
		INSERT INTO "tür" VALUES ('ä', 'groß', 1);});
	my ($row) = grep { $_->{op} eq 'INSERT' } peek_rows('latin1');
	is_deeply(
		[ $row->{table}, $row->{new}[0]{name}, $row->{new}[0]{value}, $row->{new}[1]{value}, $row->{info}[1][0] ],
		[ 'public."tür"', '"schlüssel"', 'ä', 'groß', '"größe"' ],
		'another encoding of the database: names, texts and types are UTF-8');
	return;
}

# ---- what only ours can ----

# Op, table, and the values by name of each row.
sub told
{
	return map { [ $_->{op}, $_->{table}, join(' ', map { "$_->{name}=" . ($_->{value} // 'null') } @{ $_->{new} }) ] } @_;
}

sub options_that_the_original_lacks
{
	forget('postgres');
	$source->safe_psql('postgres', q{
		CREATE TABLE rooted(id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
		CREATE TABLE rooted_1(v text, id int NOT NULL PRIMARY KEY);
		ALTER TABLE rooted ATTACH PARTITION rooted_1 FOR VALUES FROM (0) TO (100);
		CREATE TABLE unpublished(id int PRIMARY KEY);
		CREATE PUBLICATION rooted FOR TABLE rooted WITH (publish_via_partition_root);
		INSERT INTO unpublished VALUES (1);
		INSERT INTO rooted VALUES (1, 'one');
		UPDATE rooted SET v = 'two';});
	is_deeply(
		[ told(peek_rows('postgres', publications => 'rooted', skip_empty => 'on')) ],
		[
			[ 'BEGIN', undef, '' ], [ 'INSERT', 'public.rooted', 'id=1 v=one' ], [ 'COMMIT', undef, '' ],
			[ 'BEGIN', undef, '' ], [ 'UPDATE', 'public.rooted', 'id=1 v=two' ], [ 'COMMIT', undef, '' ] ],
		'a publication by way of the partitions\' root, without empty transactions');
	my @rows = grep { $_->{table} }
	  peek_rows('postgres', exclude_columns => 'public.rooted_1.v', exclude_tables => '*.unpublished', actions => 'insert');
	is_deeply([ told(@rows) ], [ [ 'INSERT', 'public.rooted_1', 'id=1' ] ], 'excluded columns, tables and actions');
	is(scalar @{ $rows[0]{info} }, 1, 'type infos are as many as columns');
	return;
}

# ---- the library under the name decoderbufs ----

# In a folder of its own, which a server looks into before its own.
sub library_under_that_name
{
	my $destdir = "$PostgreSQL::Test::Utils::tmp_check/destdir";
	my $dir = "$destdir$pkglibdir";
	my @install = ("$ENV{PENSTOCK_SANDBOX}/plugin/install-decoderbufs", 'install');
	local $ENV{DESTDIR} = $destdir;

	system_or_bail('mkdir', '-p', $dir);
	system_or_bail('cp', "$pkglibdir/penstock.so", $dir);
	append_to_file("$dir/decoderbufs.so", 'of another');
	command_fails_like(\@install, qr/decoderbufs\.so is there and is not ours: a file of 10 bytes.*FORCE=1/s,
		'a file that is not ours is not overwritten');
	is(slurp_file("$dir/decoderbufs.so"), 'of another', 'nor touched');
	{
		local $ENV{FORCE} = 1;
		command_ok(\@install, 'but with FORCE=1');
	}
	is(readlink "$dir/decoderbufs.so", 'penstock.so', 'the name is a link beside the library');
	command_ok(\@install, 'which installs again as it likes');

	my $node = source_node('named', dynamic_library_path => "$dir:\$libdir");
	my @connection = ('--dbname', $node->connstr('postgres'), '--slot', 'named');
	my $capture = "$PostgreSQL::Test::Utils::tmp_check/named";
	command_ok([ 'pg_recvlogical', @connection, '--create-slot', '--plugin', 'decoderbufs' ],
		'a slot of the plugin decoderbufs');
	$node->safe_psql('postgres', "CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t VALUES (1)");
	my $end = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	$node->safe_psql('postgres', 'CHECKPOINT');
	my @rows = map { decode_row_message(pack('H*', $_)) } split /\n/,
	  $node->safe_psql('postgres', "SELECT encode(data, 'hex') FROM pg_logical_slot_peek_binary_changes('named', NULL, NULL)");
	is(join(' ', map { $_->{op} } @rows), 'BEGIN COMMIT BEGIN INSERT COMMIT', 'our library speaks decoderbufs in it');
	my ($out, $err) = run_command([ 'pg_recvlogical', @connection, '--start', '--endpos', $end, '--no-loop', '--file', $capture ]);
	like($err, qr/INFO:  Exiting startup callback/, 'it is streamed without options');
	like(slurp_file($capture), qr/public\.t/, 'in the same format');
	my ($code, $stdout, $stderr) = $node->psql('postgres', "SELECT * FROM pg_logical_slot_peek_binary_changes('named', NULL, NULL, 'colour', 'blue')");
	like($stderr, qr/option "colour" = "blue" is unknown/, 'an option that it does not know');
	$node->stop;

	local $ENV{FORCE} = 0;
	command_ok([ $install[0], 'remove' ], 'it is removed');
	ok(!-l "$dir/decoderbufs.so", 'and gone');
	append_to_file("$dir/decoderbufs.so", 'of another');
	command_ok([ $install[0], 'remove' ], 'what is not ours');
	ok(-f "$dir/decoderbufs.so", 'stays');
	return;
}
