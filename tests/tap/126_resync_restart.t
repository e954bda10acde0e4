# The stream begins anew in the middle of a transaction that changes a table under copy: what of it
# was parked comes again, and is not parked twice. Rows without a key would be there twice.
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
$source->safe_psql('postgres', q{INSERT INTO keyless SELECT g % 5, 'x' FROM generate_series(1, 50) g; INSERT INTO other SELECT g, 0 FROM generate_series(1, 10) g});

# Without a state directory, so that nothing goes to a spool: one destination holds up the stream.
my $run = start_penstock(
	'run', '--source', uri($source), '--slot', 's', '--copy', '--memory-limit', '16MB', '--progress-interval', '200ms',
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

# ---- a copy that is held up: its rows are as of before what comes ----

my $let_copy = hold('one', 'LOCK TABLE keyless IN SHARE MODE');
$target->safe_psql('one', q{UPDATE penstock.tables SET state = 'resync', lsn = NULL WHERE table_name = 'keyless'});
end_sessions('one');
$source->safe_psql('postgres', 'UPDATE other SET n = n WHERE id = 1');    # who is idle does not notice
ok(waits_for_a_lock('one', '^DELETE'), 'a copy has begun');
ok(wait_confirmed($source, 's'), 'and the stream goes on');

# ---- a transaction that gets no further than its middle ----

my $let_other = hold('one', 'LOCK TABLE other IN SHARE MODE');
$source->safe_psql('postgres', q{
	BEGIN;
	INSERT INTO keyless SELECT g, 'parked' FROM generate_series(1, 1000) g;
	UPDATE other SET n = 7 WHERE id = 2;
	INSERT INTO big SELECT g, repeat('x', 100000) FROM generate_series(1, 300) g;
	COMMIT});
ok(waits_for_a_lock('one', 'UPDATE.*other'), 'its first changes have arrived');
my $before = begun();
end_sessions('two');
ok(wait_until(sub { begun() > $before }), 'the other destination is lost, and the stream begins anew') or diag($run->stderr);
is($target->safe_psql('one', 'SELECT n FROM other WHERE id = 2'), 0, 'in the middle of the transaction');
$let_other->();
$let_copy->();

# ---- everything is there once ----

ok($run->wait_for_stderr(qr/one: table public\.keyless is copied and in step again/), 'the table gets ready') or diag($run->stderr);
ok(wait_confirmed($source, 's'), 'all is delivered');
for my $database ('one', 'two')
{
	is($target->safe_psql($database, 'SELECT count(*), sum(a) FROM keyless'), '1050|500600', "every row once in $database");
	same_rows($source, 'postgres', $target, $database, $_, "$_ in $database") for 'keyless', 'other', 'big';
}
is($run->finish('TERM'), 0, 'it stops cleanly') or diag($run->stderr);

$source->stop;
$target->stop;
done_testing();
