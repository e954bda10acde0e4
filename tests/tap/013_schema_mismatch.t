# Tables that differ between source and destination: what fits goes in, what does not stops that
# destination alone, and what can be mended goes on by itself.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source', max_replication_slots => 50);
my $target = destination_node('target');
$target->safe_psql('postgres', $_) for 'CREATE DATABASE one', 'CREATE DATABASE two';
my $citext = $source->psql('postgres', 'CREATE EXTENSION citext') == 0;
$target->safe_psql($_, 'CREATE EXTENSION citext') for $citext ? ('one', 'two') : ();
my $types = q{CREATE TYPE mood AS ENUM ('calm', 'wild'); CREATE DOMAIN positive AS int CHECK (VALUE > 0);
	CREATE SCHEMA "Odd"; CREATE TYPE "Odd"."My Type" AS ENUM ('x y')};
$source->safe_psql('postgres', $types);
$target->safe_psql($_, $types) for 'one', 'two';

# A table at the source, in destination `one` perhaps otherwise (none if undef), in `two` the same;
# a slot of the table's name; then some changes.
sub prepare
{
	my ($table, $columns, $in_one, $changes) = @_;
	$source->safe_psql('postgres', "CREATE TABLE $table($columns)");
	$target->safe_psql('one', "CREATE TABLE $table($in_one)") if defined $in_one;
	$target->safe_psql('two', "CREATE TABLE $table($columns)");
	penstock('slot', 'create', '--source', uri($source), '--slot', $table);
	$source->safe_psql('postgres', $changes);
	return;
}

sub arguments
{
	my ($table, @databases) = @_;
	return ('run', '--source', uri($source), '--slot', $table, '--tables', "public.$table", '--until', 'current', '--quiet',
		map { ('--to', "$_=" . uri($target, $_)) } @databases);
}

# One test: destination one stops with exit code 4 (or another) and a line that matches; two goes on.
sub stops
{
	my ($table, $pattern, $name, $code) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($got, $out, $err) = penstock(arguments($table, 'one', 'two'));
	my @lines = grep { /^penstock run: / } split /\n/, $err;
	ok($got == ($code // 4) && @lines == 1 && $lines[0] =~ $pattern, $name) or diag("exit code $got\n$err");
	same_rows($source, 'postgres', $target, 'two', $table, "$name: the other destination has everything");
	($got, $out, $err) = penstock(arguments($table, 'one'));
	ok($got == ($code // 4) && $err =~ $pattern, "$name: alone too") or diag("exit code $got\n$err");
	return;
}

# Two tests: everything arrives, in both; columns that only the destination has are left out.
sub fits
{
	my ($table, $name, $columns) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($got, $out, $err) = penstock(arguments($table, 'one', 'two'));
	is("$got $err", '0 ', $name);
	$columns //= "(SELECT * FROM $table)";
	same_rows($source, 'postgres', $target, 'one', $columns, "$name: rows are equal");
	return;
}

# ---- what is missing, and is mended ----

my $many = q{id int PRIMARY KEY, v varchar(7), n numeric(12,3), n2 numeric(5,-2), a text[], va varchar(3)[], m mood, ma mood[], b bit(3),
	vb varbit(5), ts timestamp(3), tz timestamptz, ti time(2), iv interval(1), q "char", nm name, "Quoted ""name" text,
	odd "Odd"."My Type", odds "Odd"."My Type"[], p positive, ch char(4), by bytea, j jsonb};
prepare('column_missing', $many, 'id int PRIMARY KEY', q{INSERT INTO column_missing VALUES
	(1, 'v', 1.5, 100, '{a}', '{b}', 'wild', '{calm}', '101', '11', '2026-11-21 01:02:03.456', '2026-11-21 01:02:03+00', '01:02:03.45', '1 day 1.5 s',
	'q', 'nm', 'text', 'x y', '{x y}', 5, 'ch', '\x00', '{}')});
my $run = start_penstock(arguments('column_missing', 'one', 'two'));
ok($run->wait_for_stderr(qr/"column_missing" has no column "v" here; run: ALTER TABLE /), 'a missing column is asked for');
my ($alter) = $run->stderr =~ /run: (ALTER TABLE .*); trying again/;
ok($target->poll_query_until('two', 'SELECT count(*) = 1 FROM column_missing'), 'the other destination goes on');
$target->safe_psql('one', 'ALTER TABLE column_missing ADD COLUMN v varchar(7)');
ok($run->wait_for_stderr(qr/"column_missing" has no column "n" here; run: ALTER TABLE /), 'then the next one');
$target->safe_psql('one', 'ALTER TABLE column_missing DROP COLUMN v');
my ($status, undef, $complaint) = $target->psql('one', $alter);
is($status, 0, 'the statement can be run as it is') or diag("$alter\n$complaint");
is($run->finish, 0, 'it went on by itself once all are there') or diag($run->stderr);
same_rows($source, 'postgres', $target, $_, 'column_missing', "columns that were missing: $_") for 'one', 'two';
my $definition = q{SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'column_missing'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum};
is($target->safe_psql('one', $definition), $target->safe_psql('two', $definition), 'the columns have the right types');

prepare('table_missing', 'id int PRIMARY KEY, t text', undef, q{INSERT INTO table_missing VALUES (1, 'a')});
$run = start_penstock(arguments('table_missing', 'one', 'two'));
ok($run->wait_for_stderr(qr/there is no table .*table_missing.* here; create it .*pg_dump --schema-only/), 'a missing table is asked for');
ok($target->poll_query_until('two', 'SELECT count(*) = 1 FROM table_missing'), 'the other destination goes on');
$source->safe_psql('postgres', q{INSERT INTO table_missing VALUES (2, 'b')});
ok($run->is_running, 'it waits');
$target->safe_psql('one', 'CREATE TABLE table_missing(id int PRIMARY KEY, t text)');
is($run->finish, 0, 'it goes on by itself once the table is there') or diag($run->stderr);
is($target->safe_psql('one', 'SELECT t FROM table_missing WHERE id = 1'), 'a', 'with what it missed');

# While streaming: the source is altered first.
prepare('altered', 'id int PRIMARY KEY, t text', 'id int PRIMARY KEY, t text', q{INSERT INTO altered VALUES (1, 'a')});
$run = start_penstock(grep { !/^(--until|current|--quiet)$/ } arguments('altered', 'one', 'two'));
$target->safe_psql('two', 'ALTER TABLE altered ADD COLUMN added int');
$source->safe_psql('postgres', q{ALTER TABLE altered ADD COLUMN added int; INSERT INTO altered VALUES (2, 'b', 2); UPDATE altered SET added = 1 WHERE id = 1});
ok($run->wait_for_stderr(qr/has no column .*added.*; run: ALTER TABLE .*altered.* ADD COLUMN .*added.* int4;/), 'a column added at the source is asked for');
same_rows($source, 'postgres', $target, 'two', 'altered', 'the other destination goes on')
  if $target->poll_query_until('two', 'SELECT count(added) = 2 FROM altered');
is($target->safe_psql('one', 'SELECT count(*) FROM altered WHERE id > 1'), 0, 'nothing of that transaction was applied');
$target->safe_psql('one', 'ALTER TABLE altered ADD COLUMN added int');
ok(wait_confirmed($source, 'altered'), 'it goes on');
same_rows($source, 'postgres', $target, 'one', 'altered', 'it has caught up');
$source->safe_psql('postgres', q{ALTER TABLE altered DROP COLUMN t; INSERT INTO altered VALUES (3, 3)});
ok(wait_confirmed($source, 'altered'), 'a column dropped at the source');
is($target->safe_psql('one', 'SELECT id, t, added FROM altered WHERE id = 3'), '3||3', 'is left to its default');
is($run->finish('TERM'), 0, 'and the run ends in order') or diag($run->stderr);

# ---- what does not fit ----

prepare('type_differs', 'id int PRIMARY KEY, t text', 'id int PRIMARY KEY, t int', q{INSERT INTO type_differs VALUES (1, 'secret')});
stops('type_differs', qr/destination one: .*type_differs/, 'a text for an integer');
unlike((penstock(arguments('type_differs', 'one')))[2], qr/secret/, 'the value itself is not told');
is($target->safe_psql('one', 'SELECT count(*) FROM type_differs'), 0, 'nothing was applied');
prepare('narrower', 'id int PRIMARY KEY, n int8', 'id int PRIMARY KEY, n int2', 'INSERT INTO narrower VALUES (1, 100), (2, 40000)');
stops('narrower', qr/destination one: INSERT into .*narrower.*, LSN [0-9A-F]+\/[0-9A-F]+: .*out of range/, 'a number that is too large');
prepare('shorter', 'id int PRIMARY KEY, t text', 'id int PRIMARY KEY, t varchar(3)', q{INSERT INTO shorter VALUES (1, 'long')});
stops('shorter', qr/destination one: .*shorter.*too long/, 'a text that is too long');
prepare('time_as_number', 'id int PRIMARY KEY, t timestamp', 'id int PRIMARY KEY, t int', q{INSERT INTO time_as_number VALUES (1, 'now')});
stops('time_as_number', qr/destination one: .*time_as_number.*type/, 'a time for a number', 2);
prepare('viewed', 'id int PRIMARY KEY', undef, 'INSERT INTO viewed VALUES (1)');
$target->safe_psql('one', 'CREATE VIEW viewed AS SELECT 1 AS id');
stops('viewed', qr/"viewed" is not a table here/, 'a view in its place');
prepare('checked', 'id int PRIMARY KEY, n int', 'id int PRIMARY KEY, n int CHECK (n < 10)', 'INSERT INTO checked VALUES (1, 10)');
stops('checked', qr/destination one: .*checked/, 'a CHECK constraint of the destination');
prepare('not_nulled', 'id int PRIMARY KEY', 'id int PRIMARY KEY, more int NOT NULL', 'INSERT INTO not_nulled VALUES (1)');
stops('not_nulled', qr/destination one: .*not_nulled.*more/, 'a column that nobody fills');

# ---- rows that differ ----

my $id_name = 'id int PRIMARY KEY, t text';
prepare('row_missing', $id_name, $id_name, q{INSERT INTO row_missing VALUES (1, 'a'), (2, 'b')});
fits('row_missing', 'two rows');
$target->safe_psql('one', 'DELETE FROM row_missing WHERE id = 2');
$source->safe_psql('postgres', q{UPDATE row_missing SET t = 'A' WHERE id = 1; UPDATE row_missing SET t = 'B' WHERE id = 2; INSERT INTO row_missing VALUES (3)});
my $progress = $target->safe_psql('one', q{SELECT lsn FROM penstock.progress WHERE slot = 'row_missing'});
stops('row_missing', qr/destination one: UPDATE of .*row_missing.*: 0 rows were affected instead of 1.*\(key id\)/, 'an update of a row that is missing');
is($target->safe_psql('one', 'SELECT count(*) FROM row_missing WHERE id = 3'), 0, 'nothing behind it was applied');
$target->safe_psql('one', q{INSERT INTO row_missing VALUES (2, 'b')});
fits('row_missing', 'once mended, it goes on');
$target->safe_psql('one', 'DELETE FROM row_missing WHERE id = 3');
$source->safe_psql('postgres', 'DELETE FROM row_missing WHERE id = 3');
stops('row_missing', qr/destination one: DELETE from .*row_missing.*: 0 rows/, 'a delete of a row that is missing');
isnt($progress, '', 'progress was recorded');

prepare('doubled', $id_name, $id_name, q{INSERT INTO doubled VALUES (1, 'a')});
$target->safe_psql('one', q{INSERT INTO doubled VALUES (1, 'mine')});
stops('doubled', qr/destination one: INSERT into .*doubled.*: duplicate key/, 'a unique violation');
is($target->safe_psql('one', 'SELECT t FROM doubled'), 'mine', 'the row that was there stays');

prepare('no_identity', 'id int, t text', 'id int, t text', q{INSERT INTO no_identity VALUES (1, 'a'), (1, 'a')});
fits('no_identity', 'inserts without a replica identity');
$source->safe_psql('postgres', q{INSERT INTO no_identity VALUES (2, 'b')});
fits('no_identity', 'one more');
$source->safe_psql('postgres', q{UPDATE no_identity SET t = 'B' WHERE id = 2});
my ($code, $out, $err) = penstock(arguments('no_identity', 'one', 'two'));
is($code, 4, 'an update without a replica identity is refused');
like($err, qr/no_identity has no replica identity.*ALTER TABLE .*ADD PRIMARY KEY.*REPLICA IDENTITY FULL/, 'with the remedy');
is($target->safe_psql($_, 'SELECT count(*) FROM no_identity'), 3, "$_ has the inserts before") for 'one', 'two';

# ---- the source's table is another one now ----

prepare('recreated', $id_name, $id_name, q{INSERT INTO recreated VALUES (1, 'a')});
fits('recreated', 'before it is re-created');
$source->safe_psql('postgres', "DROP TABLE recreated; CREATE TABLE recreated($id_name); INSERT INTO recreated VALUES (2, 'b')");
$target->safe_psql('two', 'TRUNCATE recreated');
stops('recreated', qr/recreated.* was dropped and created again .*TRUNCATE.*DELETE FROM penstock.tables/, 'a table that was re-created');
$target->safe_psql('one', 'TRUNCATE recreated');
fits('recreated', 'once it is empty, it goes on');

prepare('retyped', 'id int PRIMARY KEY, v varchar(5), n int', 'id int PRIMARY KEY, v varchar(50), n bigint', q{INSERT INTO retyped VALUES (1, 'a', 1)});
fits('retyped', 'before it is retyped');
$source->safe_psql('postgres', q{ALTER TABLE retyped ALTER v TYPE varchar(10); INSERT INTO retyped VALUES (2, 'bbbbbbb', 2)});
$target->safe_psql('two', 'ALTER TABLE retyped ALTER v TYPE varchar(10)');
fits('retyped', 'a longer varchar is no other type');
$source->safe_psql('postgres', q{ALTER TABLE retyped ALTER n TYPE bigint USING n * 10; INSERT INTO retyped VALUES (3, 'c', 3)});
$target->safe_psql('two', 'TRUNCATE retyped; ALTER TABLE retyped ALTER n TYPE bigint');
($code, $out, $err) = penstock(arguments('retyped', 'one', 'two'));
is($code, 4, 'a column that was retyped');
like($err, qr/retyped.* has column n in another type now \(int8\)/, 'is refused');
is($target->safe_psql('one', 'SELECT count(*) FROM retyped'), 2, 'nothing was applied');

# ---- what fits although it differs ----

prepare('ordered', 'id int PRIMARY KEY, a text, b int, c date', q{c date, extra text DEFAULT 'mine', b int, a text, id int PRIMARY KEY, made timestamptz DEFAULT now()},
	q{INSERT INTO ordered VALUES (1, 'a', 2, '2026-11-21'), (2, 'b', 3, NULL), (3, NULL, NULL, NULL); UPDATE ordered SET b = 5 WHERE id = 1; DELETE FROM ordered WHERE id = 3});
fits('ordered', 'another order of columns, and more of them', '(SELECT id, a, b, c FROM ordered)');
is($target->safe_psql('one', 'SELECT DISTINCT extra, made IS NOT NULL FROM ordered'), 'mine|t', 'which have their defaults');

prepare('computed', 'id int PRIMARY KEY, a int, double int GENERATED ALWAYS AS (a * 2) STORED', 'id int PRIMARY KEY, a int, double int GENERATED ALWAYS AS (a * 3) STORED',
	'INSERT INTO computed VALUES (1, 10), (2, 20); UPDATE computed SET a = 11 WHERE id = 1; DELETE FROM computed WHERE id = 2');
fits('computed', 'generated columns', '(SELECT id, a FROM computed)');
is($target->safe_psql('one', 'SELECT double FROM computed'), 33, 'are computed by the destination');
is($target->safe_psql('two', 'SELECT double FROM computed'), 22, 'by each');
$source->safe_psql('postgres', 'ALTER TABLE computed REPLICA IDENTITY FULL; UPDATE computed SET a = 12; INSERT INTO computed VALUES (3, 1); DELETE FROM computed WHERE id = 3');
fits('computed', 'generated columns in whole rows', '(SELECT id, a FROM computed)');

prepare('plain_there', 'id int PRIMARY KEY, a int, double int GENERATED ALWAYS AS (a * 2) STORED', 'id int PRIMARY KEY, a int, double int', 'INSERT INTO plain_there VALUES (1, 10)');
fits('plain_there', 'generated at the source only', '(SELECT id, a FROM plain_there)');

prepare('numbered', 'id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int GENERATED BY DEFAULT AS IDENTITY, t text',
	'id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int GENERATED BY DEFAULT AS IDENTITY, t text',
	q{INSERT INTO numbered(t) VALUES ('a'), ('b'), ('c'); UPDATE numbered SET t = 'A', n = 100 WHERE id = 1; DELETE FROM numbered WHERE id = 2});
fits('numbered', 'identity columns');
$source->safe_psql('postgres', 'UPDATE numbered SET id = DEFAULT WHERE id = 3');

prepare('dressed', 'id int PRIMARY KEY, m text, p int, u text', 'id int PRIMARY KEY, m mood, p positive, u uuid',
	q{INSERT INTO dressed VALUES (1, 'wild', 7, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), (2, 'calm', 8, NULL); UPDATE dressed SET m = 'calm', p = 9 WHERE id = 1});
fits('dressed', 'enums, domains and uuid for texts and numbers');
prepare('undressed', 'id positive PRIMARY KEY, m mood, u uuid, j jsonb, d date, f float4', 'id int8 PRIMARY KEY, m text, u uuid, j json, d timestamp, f float8',
	q{INSERT INTO undressed VALUES (1, 'wild', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": 1}', '2026-11-21', 0.5); UPDATE undressed SET m = 'calm'});
fits('undressed', 'and the other way round', '(SELECT id::int, m::text, u, j::jsonb, d::date, f::float4 FROM undressed)');

SKIP:
{
	skip 'citext is not installed', 2 unless $citext;
	prepare('caseless', 'id citext PRIMARY KEY, t citext', 'id citext PRIMARY KEY, t text',
		q{INSERT INTO caseless VALUES ('Ab', 'X'), ('cD', 'Y'); UPDATE caseless SET t = 'Z' WHERE id = 'AB'; UPDATE caseless SET id = 'CD' WHERE id = 'cd'});
	fits('caseless', 'citext');
}

$source->stop;
$target->stop;
done_testing();
