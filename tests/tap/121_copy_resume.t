# A copy that is broken off goes on by table: what is complete stays, the rest comes under a new
# snapshot, and the stream brings each table exactly what its copy has not.
use strict;
use warnings;
use IPC::Run ();
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{PENSTOCK_SEED} // 1;
srand($seed);
note("PENSTOCK_SEED=$seed");

my $source = source_node('source');
my $target = destination_node('target', max_connections => 50);
my @tables = ('small_1', 'small_2', 'large', 'keyless', 'referenced', 'referring');
my $tables = q{
	CREATE TABLE small_1(id int PRIMARY KEY, t text); CREATE TABLE small_2(id int PRIMARY KEY, t text);
	CREATE TABLE large(id int PRIMARY KEY, n int, t text);
	CREATE TABLE keyless(a int, b text);
	CREATE TABLE referenced(id int PRIMARY KEY, t text); CREATE TABLE referring(id int PRIMARY KEY, r int REFERENCES referenced)};
$source->safe_psql('postgres', $tables);
$source->safe_psql('postgres', q{
	INSERT INTO small_1 SELECT g, 't' FROM generate_series(1, 100) g; INSERT INTO small_2 SELECT g, 't' FROM generate_series(1, 100) g;
	INSERT INTO large SELECT g, 0, repeat('x', 100) FROM generate_series(1, 60000) g;
	INSERT INTO keyless SELECT g % 5, 'x' FROM generate_series(1, 1000) g;
	INSERT INTO referenced SELECT g, 't' FROM generate_series(1, 10000) g; INSERT INTO referring SELECT g, g FROM generate_series(1, 10000) g;
	CREATE PROCEDURE write(rounds int) LANGUAGE plpgsql AS $$ BEGIN
		FOR i IN 1..rounds LOOP
			INSERT INTO small_1 VALUES (1000 + i, 'new'); DELETE FROM small_2 WHERE id = i % 100; INSERT INTO small_2 VALUES (i % 100, 'again');
			UPDATE large SET n = n + 1 WHERE id = 1 + i * 7 % 60000; DELETE FROM large WHERE id = 1 + i * 13 % 60000;
			INSERT INTO keyless VALUES (i, 'new');
			INSERT INTO referenced VALUES (100000 + i, 'new'); INSERT INTO referring VALUES (100000 + i, 100000 + i);
			COMMIT;
		END LOOP;
	END $$});

sub database
{
	my ($name) = @_;
	$target->safe_psql('postgres', "CREATE DATABASE $name");
	$target->safe_psql($name, $tables);
	return $name;
}

sub arguments
{
	my ($slot, @databases) = @_;
	return ('run', '--source', uri($source), '--slot', $slot, map { ('--to', "$_=" . uri($target, $_)) } @databases);
}

sub all_same
{
	my ($name, @databases) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $database (@databases)
	{
		same_rows($source, 'postgres', $target, $database, $_, "$name: $_ in $database") for @tables;
	}
	return;
}

sub state_of
{
	my ($database, $table) = @_;
	return $target->safe_psql($database, "SELECT state FROM penstock.tables WHERE table_name = '$table'");
}

sub lsn_of
{
	my ($database, $table) = @_;
	return $target->safe_psql($database, "SELECT lsn FROM penstock.tables WHERE table_name = '$table'");
}

# Somebody holds a lock on the table at a destination: its copy waits. Returns a function that ends it.
sub hold
{
	my ($database, $table) = @_;
	my $in = "BEGIN; LOCK TABLE $table IN SHARE MODE;\n\\echo held\n";
	my $out = '';
	my $holder = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $target->connstr($database) ], '<', \$in, '>', \$out);
	$holder->pump until $out =~ /held/;
	return sub { $in .= "\\q\n"; $holder->finish; };
}

# ---- killed when all but one table are complete ----

database($_) for 'one', 'two';
my $release = hold('one', 'small_2');
my $run = start_penstock(arguments('s', 'one', 'two'), '--copy', '--copy-jobs', '3', '--copy-split', '1MB');
ok($target->poll_query_until('one', q{SELECT count(*) = 5 FROM penstock.tables WHERE state = 'ready'}), 'the others get ready');
$run->kill9;
my %lsn = map { ($_ => lsn_of('one', $_)) } @tables;
is(state_of('one', 'small_2'), 'copying', 'one table is not');
$source->safe_psql('postgres', 'CALL write(100)');
$release->();
my ($code, $out, $err) = penstock(arguments('s', 'one', 'two'), '--until', 'current');
is($code, 0, 'the next start goes on, without being told to') or diag($err);
like($err, qr/copying 1 tables/, 'with the one table');
all_same('after kill -9', 'one', 'two');
is(lsn_of('one', $_), $lsn{$_}, "$_ was not copied again") for grep { $_ ne 'small_2' } @tables;
is($target->safe_psql('one', qq{SELECT lsn > '$lsn{small_2}' FROM penstock.tables WHERE table_name = 'small_2'}), 't', 'the one table is newer');
is($source->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'), 1, 'no slot is left over');

# ---- told to stop while it copies ----

database('three');
$release = hold('three', 'keyless');
$run = start_penstock(arguments('s', 'one', 'two', 'three'), '--copy');
ok($target->poll_query_until('three', q{SELECT count(*) = 5 FROM penstock.tables WHERE state = 'ready'}), 'one more destination gets its rows');
is($run->finish('TERM'), 0, 'told to stop, it stops') or diag($run->stderr);
is(state_of('three', 'keyless'), 'copying', 'with one table to go');
$source->safe_psql('postgres', 'UPDATE small_1 SET t = upper(t); TRUNCATE keyless; INSERT INTO keyless VALUES (1, 2)');
$release->();
($code, $out, $err) = penstock(arguments('s', 'one', 'two', 'three'), '--copy', '--until', 'current');
is($code, 0, 'it goes on later') or diag($err);
all_same('after a stop', 'one', 'two', 'three');

# ---- a destination that fails does not keep the others ----

database($_) for 'four', 'five';
$target->safe_psql('four', q{ALTER TABLE large ADD CHECK (id <> 41)});
$source->safe_psql('postgres', q{INSERT INTO large VALUES (41, 1, 'secret') ON CONFLICT DO NOTHING});
$run = start_penstock(arguments('t', 'four', 'five'), '--copy');
ok($run->wait_for_stderr(qr/four: .*copying table "public"."large": .*violates check constraint.*stopped/), 'a row that is rejected stops that destination') or diag($run->stderr);
unlike($run->stderr, qr/secret/, 'without telling the row');
ok($target->poll_query_until('five', q{SELECT count(*) = 6 FROM penstock.tables WHERE state = 'ready'}), 'the other one is complete');
$source->safe_psql('postgres', q{INSERT INTO small_1 VALUES (-1, 'streamed')});
ok($target->poll_query_until('five', q{SELECT count(*) = 1 FROM small_1 WHERE id = -1}), 'and followed');
$run->finish('TERM');
$target->safe_psql('four', 'ALTER TABLE large DROP CONSTRAINT large_id_check');
($code, $out, $err) = penstock(arguments('t', 'four', 'five'), '--copy', '--until', 'current');
is($code, 0, 'once mended, the copy goes on') or diag($err);
all_same('after a rejected row', 'four', 'five');

# ---- connections lost, of either side ----

database('six');
$release = hold('six', 'referring');
$run = start_penstock(arguments('u', 'six'), '--copy', '--copy-jobs', '2', '--until', 'current');
ok($target->poll_query_until('six', q{SELECT count(*) = 5 FROM penstock.tables WHERE state = 'ready'}), 'all but one table');
$source->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%' OR query LIKE 'LOCK TABLE%' OR backend_type = 'walsender'});
$release->();
is($run->finish, 0, 'lost by the source') or diag($run->stderr);
all_same('after the source was lost', 'six');

database('seven');
$release = hold('seven', 'referring');
$run = start_penstock(arguments('v', 'seven'), '--copy', '--copy-jobs', '1', '--until', 'current');
ok($target->poll_query_until('seven', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = 'seven' AND wait_event_type = 'Lock'}), 'at work');
$target->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'seven' AND wait_event_type = 'Lock'});
$release->();
is($run->finish, 0, 'lost by the destination') or diag($run->stderr);
like($run->stderr, qr/seven: .*trying again/, 'it told so');
all_same('after the destination was lost', 'seven');

# ---- killed at any moment, while others write ----

database($_) for 'eight', 'nine';
my $writer = IPC::Run::start([ 'psql', '-X', '-q', '-d', $source->connstr('postgres'), '-c', 'DELETE FROM small_1 WHERE id > 1000',
	'-c', 'DELETE FROM referring WHERE id >= 100000', '-c', 'DELETE FROM referenced WHERE id >= 100000', '-c', 'CALL write(2000)' ]);
for (1 .. 6)
{
	$run = start_penstock(arguments('w', 'eight', 'nine'), '--copy', '--copy-split', '300kB', '--copy-jobs', '2');
	select(undef, undef, undef, 0.05 + rand(0.35));
	$run->kill9;
}
ok($writer->finish, 'the writer is done');
($code, $out, $err) = penstock(arguments('w', 'eight', 'nine'), '--copy', '--copy-split', '300kB', '--until', 'current');
is($code, 0, 'it comes to an end') or diag($err);
all_same("killed at random (PENSTOCK_SEED=$seed)", 'eight', 'nine');
is($target->safe_psql($_, q{SELECT count(*) FROM penstock.tables WHERE state <> 'ready'}), 0, "all is ready in $_") for 'eight', 'nine';

$source->stop;
$target->stop;
done_testing();
