# A table is copied anew while the stream goes on: its changes wait for its rows, those of other
# tables do not wait, and readers see the old rows until the new ones are there.
use strict;
use warnings;
use IPC::Run ();
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $target = destination_node('target');
my $tables = q{
	CREATE TABLE broken(id int PRIMARY KEY, n int, t text); CREATE TABLE keyless(a int, b text); CREATE TABLE other(id int PRIMARY KEY, n int)};
$source->safe_psql('postgres', $tables);
$target->safe_psql('postgres', "CREATE DATABASE $_") for 'one', 'two';
$target->safe_psql($_, $tables) for 'one', 'two';
$source->safe_psql('postgres', q{
	ALTER TABLE keyless REPLICA IDENTITY FULL;
	INSERT INTO broken SELECT g, 0, repeat('x', 100) FROM generate_series(1, 20000) g; INSERT INTO other SELECT g, 0 FROM generate_series(1, 100) g;
	INSERT INTO keyless SELECT g % 5, 'x' FROM generate_series(1, 500) g;
	CREATE PROCEDURE write(rounds int, first int) LANGUAGE plpgsql AS $$ BEGIN
		FOR i IN first..first + rounds - 1 LOOP
			UPDATE broken SET n = n + 1 WHERE id = 1 + i * 7 % 20000; DELETE FROM broken WHERE id = 1 + i * 13 % 20000;
			INSERT INTO broken VALUES (100000 + i, i, 'new'); UPDATE broken SET t = repeat(md5(i::text), 200) WHERE id = 100000 + i - 1;
			UPDATE broken SET n = -i WHERE id = 100000 + i - 2;
			INSERT INTO keyless VALUES (i, 'new'); DELETE FROM keyless WHERE a = i - 3;
			UPDATE other SET n = n + 1 WHERE id = 1 + i % 100;
			COMMIT;
		END LOOP;
	END $$});

my @run = ('run', '--source', uri($source), '--slot', 's', '--copy', '--progress-interval', '200ms', '--to', 'one=' . uri($target, 'one'), '--to', 'two=' . uri($target, 'two'));

sub write_rows { $source->safe_psql('postgres', "CALL write($_[0], $_[1])"); return; }

sub ready
{
	my ($database) = @_;
	return $target->poll_query_until($database, q{SELECT count(*) = 0 FROM penstock.tables WHERE state <> 'ready'});
}

# Ask for a copy at a destination by what is recorded there: it is noticed when the session begins anew.
sub ask
{
	my ($database, @tables) = @_;
	my $names = join(', ', map { "'$_'" } @tables);
	$target->safe_psql($database, "UPDATE penstock.tables SET state = 'resync', lsn = NULL WHERE table_name IN ($names)");
	$target->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '$database' AND query !~ 'LOCK TABLE'");
	$source->safe_psql('postgres', 'UPDATE other SET n = n WHERE id = 1');    # who is idle does not notice
	return;
}

sub all_same
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_confirmed($source, 's'), "$name: all is delivered");
	for my $database ('one', 'two')
	{
		same_rows($source, 'postgres', $target, $database, $_, "$name: $_ in $database") for 'broken', 'keyless', 'other';
	}
	return;
}

my $run = start_penstock(@run);
ok($target->poll_query_until('two', 'SELECT count(*) = 20000 FROM broken'), 'the initial copy');
ok(wait_confirmed($source, 's'), 'the stream runs');
write_rows(50, 1);

# ---- under load, two tables at once, both of them damaged ----

my $writer = IPC::Run::start([ 'psql', '-X', '-q', '-d', $source->connstr('postgres'), '-c', 'CALL write(1500, 100)' ]);
$target->safe_psql('one', q{DELETE FROM broken WHERE id % 3 = 0; UPDATE broken SET t = 'damaged' WHERE id % 5 = 0; INSERT INTO broken VALUES (-1); INSERT INTO keyless VALUES (1, 'damaged')});
ask('one', 'broken', 'keyless');
ok($run->wait_for_stderr(qr/one: table public.broken is copied and in step again/), 'a table is copied anew') or diag($run->stderr);
ok($run->wait_for_stderr(qr/one: table public.keyless is copied and in step again/), 'and another');
ok($writer->finish, 'the writer is done');
ok(ready('one'), 'both are ready');
all_same('under load');

# ---- other tables go on while one is copied; its changes wait ----

my ($in, $out) = ("BEGIN; LOCK TABLE broken IN SHARE MODE;\n\\echo held\n", '');
my $holder = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $target->connstr('one') ], '<', \$in, '>', \$out);
$holder->pump until $out =~ /held/;
my $before = $target->safe_psql('one', 'SELECT count(*) FROM broken');
ask('one', 'broken');
ok($target->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = 'one' AND wait_event_type = 'Lock' AND query ~ '^DELETE'}), 'its copy has begun');
write_rows(20, 5000);
ok($target->poll_query_until('one', q{SELECT count(*) = 20 FROM keyless WHERE b = 'new' AND a >= 5000} =~ s/= 20/>= 3/r), 'changes of other tables arrive');
$source->safe_psql('postgres', q{UPDATE other SET n = -5 WHERE id = 1});
ok($target->poll_query_until('one', q{SELECT n = -5 FROM other WHERE id = 1}), 'at once');
is($target->safe_psql('one', 'SELECT count(*) FROM broken'), $before, 'readers see the old rows');
$in .= "\\q\n";
$holder->finish;
$source->safe_psql('postgres', q{TRUNCATE broken, other; INSERT INTO broken VALUES (1, 1, 'after truncate'), (2, 2, NULL); INSERT INTO other VALUES (1, 1)});
ok(ready('one'), 'then it gets ready');
all_same('with parked changes');

# ---- the stream breaks, and the program is killed, while a table is copied ----

($in, $out) = ("BEGIN; LOCK TABLE broken IN SHARE MODE;\n\\echo held\n", '');
$holder = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $target->connstr('two') ], '<', \$in, '>', \$out);
$holder->pump until $out =~ /held/;
ask('two', 'broken');
ok($target->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = 'two' AND wait_event_type = 'Lock' AND query ~ '^DELETE'}), 'a copy has begun');
write_rows(20, 6000);
$source->safe_psql('postgres', q{SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 's'});
write_rows(20, 6100);
ok(wait_until(sub { $target->safe_psql('two', 'SELECT count(*) FROM keyless WHERE a >= 6100') > 0 }), 'the stream has begun anew');
$run->kill9;
$in .= "\\q\n";
$holder->finish;
write_rows(20, 6200);
is($target->safe_psql('two', q{SELECT state FROM penstock.tables WHERE table_name = 'broken'}), 'resync', 'it is not ready');
$run = start_penstock(@run);
ok(ready('two'), 'after the next start it is');
all_same('killed');
is($run->finish('TERM'), 0, 'it stops cleanly') or diag($run->stderr);

$source->stop;
$target->stop;
done_testing();
