# The stream begins anew in the middle of a transaction that changes a table under copy: what of it
# was parked comes again, and is neither parked twice nor applied before all of it has come. Rows
# without a key would be there twice.
use strict;
use warnings;
use IPC::Run ();
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $target = destination_node('target');
my $tables = 'CREATE TABLE keyless(a int, b text); CREATE TABLE other(id int PRIMARY KEY, n int); CREATE TABLE big(id int PRIMARY KEY, t text)';
$source->safe_psql('postgres', $tables);
$target->safe_psql('postgres', "CREATE DATABASE $_") for 'one', 'two';
$target->safe_psql($_, $tables) for 'one', 'two';
$source->safe_psql('postgres', q{CREATE TABLE noise(a int); INSERT INTO keyless SELECT g % 5, 'x' FROM generate_series(1, 50) g; INSERT INTO other SELECT g, 0 FROM generate_series(1, 10) g});

# Without a state directory, so that nothing goes to a spool: one destination holds up the stream.
my $run = start_penstock(
	'run', '--source', uri($source), '--slot', 's', '--status-interval', '100ms', '--tables', 'keyless,other,big', '--copy', '--memory-limit', '16MB', '--progress-interval', '200ms',
	'--to', 'one=' . uri($target, 'one'), '--to', 'two=' . uri($target, 'two'));
ok($run->wait_for_stderr(qr/streaming from/), 'it runs') or BAIL_OUT($run->stderr);
ok(wait_confirmed($source, 's'), 'and delivers');

# How often the stream has begun.
sub begun { return scalar(() = $run->stderr =~ /streaming from/g); }

sub end_sessions
{
	my ($database) = @_;
	$target->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '$database' AND query !~ 'LOCK TABLE'");
	return;
}

sub waits_for_a_lock
{
	my ($database, $pattern) = @_;
	return $target->poll_query_until('postgres', qq{SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = '$database' AND wait_event_type = 'Lock' AND query ~ '$pattern'});
}

# Hold a lock until what is returned is called.
sub hold
{
	my ($database, $lock) = @_;
	my ($in, $out) = ("BEGIN; $lock;\n\\echo held\n", '');
	my $holder = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $target->connstr($database) ], '<', \$in, '>', \$out);
	$holder->pump until $out =~ /held/;
	return sub { $in .= "\\q\n"; $holder->finish; };
}

# Have the table copied anew, and the copy wait for a lock until what is returned is called: its rows
# are as of before what comes.
sub begin_copy
{
	my $let_go = hold('one', 'LOCK TABLE keyless IN SHARE MODE');
	$target->safe_psql('one', q{UPDATE penstock.tables SET state = 'resync', lsn = NULL WHERE table_name = 'keyless'});
	end_sessions('one');
	$source->safe_psql('postgres', 'UPDATE other SET n = n WHERE id = 1');    # who is idle does not notice
	ok(waits_for_a_lock('one', '^DELETE'), 'a copy has begun');
	ok(wait_confirmed($source, 's'), 'and the stream goes on');
	return $let_go;
}

sub all_once
{
	my ($name, $count, $sum) = @_;
	my $big = 'SELECT count(*), sum(id), sum(length(t)) FROM big';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($target->poll_query_until('one', q{SELECT count(*) = 0 FROM penstock.tables WHERE state <> 'ready'}), "$name: the table gets ready") or diag($run->stderr);
	ok(wait_confirmed($source, 's'), "$name: all is delivered");
	for my $database ('one', 'two')
	{
		is($target->safe_psql($database, 'SELECT count(*), sum(a) FROM keyless'), "$count|$sum", "$name: every row once in $database");
		same_rows($source, 'postgres', $target, $database, $_, "$name: $_ in $database") for 'keyless', 'other';
		is($target->safe_psql($database, $big), $source->safe_psql('postgres', $big), "$name: big in $database");
	}
	return;
}

# ---- a transaction that gets no further than its middle, while the copy is held up ----

# The other destination waits too: who is idle does not notice that it has lost its session.
my $let_copy = begin_copy();
my $let_other = hold('one', 'LOCK TABLE other IN SHARE MODE');
my $let_two = hold('two', 'LOCK TABLE other IN SHARE MODE');
$source->safe_psql('postgres', q{
	BEGIN;
	INSERT INTO keyless SELECT g, 'parked' FROM generate_series(1, 1000) g;
	UPDATE other SET n = 7 WHERE id = 2;
	INSERT INTO big SELECT g, repeat('x', 100000) FROM generate_series(1, 300) g;
	COMMIT});
ok(waits_for_a_lock($_, 'UPDATE.*other'), "its first changes have arrived in $_") for 'one', 'two';
my $before = begun();
end_sessions('two');
ok(wait_until(sub { begun() > $before }), 'the other destination is lost, and the stream begins anew') or diag($run->stderr);
is($target->safe_psql('one', 'SELECT n FROM other WHERE id = 2'), 0, 'in the middle of the transaction');
$let_two->();
$let_other->();
$let_copy->();

all_once('held up in the middle', 1050, 500600);

# ---- the same with a copy that ends before the stream begins anew: the noise, which is not sent,
# ---- has the transaction come again later than the table could be ready

$let_copy = begin_copy();
$let_other = hold('two', 'LOCK TABLE other IN SHARE MODE');
$source->safe_psql('postgres', q{
	BEGIN;
	INSERT INTO noise SELECT g FROM generate_series(1, 200000) g;
	INSERT INTO keyless SELECT g, 'parked' FROM generate_series(1, 1000) g;
	UPDATE other SET n = 8 WHERE id = 2;
	INSERT INTO big SELECT g, repeat('x', 100000) FROM generate_series(1001, 1300) g;
	COMMIT});
ok(waits_for_a_lock('two', 'UPDATE.*other'), 'a transaction is held up elsewhere');
ok($target->poll_query_until('one', q{SELECT count(*) > 0 FROM pg_locks WHERE relation = 'other'::regclass AND mode = 'RowExclusiveLock'}), 'and its first changes have arrived here');
$let_copy->();
ok($target->poll_query_until('one', q{SELECT lsn IS NOT NULL FROM penstock.tables WHERE table_name = 'keyless'}), 'the copy is at its end');
$before = begun();
end_sessions('two');
ok(wait_until(sub { begun() > $before }), 'the stream begins anew') or diag($run->stderr);
$let_other->();
all_once('held up elsewhere', 2050, 1001100);

# ---- a truncate of the table and of another, for whose end the copy has to wait

my ($in, $out) = ("BEGIN; INSERT INTO keyless VALUES (900, 'gone'); TRUNCATE keyless, other; INSERT INTO keyless SELECT g, 'left' FROM generate_series(1, 10) g; INSERT INTO other VALUES (1, 5);\n\\echo open\n", '');
my $truncater = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $source->connstr('postgres') ], '<', \$in, '>', \$out);
$truncater->pump until $out =~ /open/;
$target->safe_psql('one', q{UPDATE penstock.tables SET state = 'resync', lsn = NULL WHERE table_name = 'keyless'});
end_sessions('one');
$source->safe_psql('postgres', q{INSERT INTO big VALUES (9001, 'x')});
ok($source->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ '^LOCK TABLE'}), 'the copy waits for the truncate');
$in .= "COMMIT;\n\\q\n";
$truncater->finish;
all_once('truncated', 10, 55);
is($run->finish('TERM'), 0, 'it stops cleanly') or diag($run->stderr);

$source->stop;
$target->stop;
done_testing();
