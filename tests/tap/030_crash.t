# Nothing lost, nothing doubled: the consumer, a destination and the source are killed under load.
use strict;
use warnings;
use Penstock;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{PENSTOCK_CRASH_SECONDS} || 8;
my @tables = qw(pgbench_accounts pgbench_branches pgbench_tellers pgbench_history keyless);

my $source = source_node('source');
my $followers = destination_node('followers', wal_writer_delay => '200ms');
$followers->safe_psql('postgres', "CREATE DATABASE $_") for qw(one two);

# Tables first, so that all begin equal: the followers get a copy.
IPC::Run::run([ 'pgbench', '-i', '-q', '-s', '1', '-d', $source->connstr('postgres') ], '>&', '/dev/null')
  or BAIL_OUT('pgbench -i failed');
$source->safe_psql('postgres', q{
	CREATE TABLE keyless (a int, b text);
	ALTER TABLE keyless REPLICA IDENTITY FULL;
	INSERT INTO keyless SELECT i % 3, 'row' FROM generate_series(1, 9) i;});
for my $database (qw(one two))
{
	my $copy = sprintf('pg_dump -d "%s" | psql -q -X -d "%s"',
		$source->connstr('postgres'), $followers->connstr($database));
	system($copy . ' >/dev/null') == 0 or BAIL_OUT('pg_dump failed');
}

my @to = ('--to', 'one=' . uri($followers, 'one'), '--to', 'two=' . uri($followers, 'two'));
my @run = ('run', '--source', uri($source), '--slot', 'crash', '--to', 'memory:', @to);

# A load that also hits a table without a key and rolls back now and then.
my $script = "$PostgreSQL::Test::Utils::tmp_check/load.sql";
append_to_file($script, q{
\set aid random(1, 100000)
\set d random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :d WHERE aid = :aid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, :aid, :d, now());
INSERT INTO keyless VALUES (:d % 3, 'row');
DELETE FROM keyless WHERE ctid = (SELECT ctid FROM keyless WHERE a = :d % 3 LIMIT 1 FOR UPDATE SKIP LOCKED);
END;
});

# One kind of load for the pgbench's own tables, one for the table without a key.
sub start_load
{
	my @load = map {
		IPC::Run::start([ 'pgbench', '-n', '-c', $_->[0], '-T', $seconds, @{ $_->[1] }, '-d',
				$source->connstr('postgres') ], '>&', '/dev/null')
	} ([ 4, ['-N'] ], [ 1, [ '-R', '100', '-f', $script ] ]);
	return @load;
}

sub all_equal
{
	my ($what) = @_;
	my $dump = "$PostgreSQL::Test::Utils::tmp_check/memory.json";
	my ($code, undef, $err) = penstock(@run, '--until', 'current', '--dump-tables', $dump);
	is($code, 0, "$what: the backlog is delivered") or diag($err);
	for my $table (@tables)
	{
		same_rows($source, 'postgres', $followers, $_, $table, "$what: $table in $_") for qw(one two);
		same_dump($source, 'postgres', $dump, $table, "$what: $table in memory");
	}
	return;
}

my ($created) = penstock('slot', 'create', '--source', uri($source), '--slot', 'crash');
is($created, 0, 'slot created');

# The consumer, five times.
{
	my @load = start_load();
	for my $n (1 .. 5)
	{
		my $penstock = start_penstock(@run);
		select(undef, undef, undef, $seconds / 6);
		ok($penstock->is_running, "run $n lives until it is killed") or diag($penstock->stderr);
		$penstock->kill9;
	}
	$_->finish for @load;
	all_equal('kill -9 of the consumer');
}

# The destinations' server, three times, while one consumer goes on.
{
	my $penstock = start_penstock(@run);
	my @load = start_load();
	for my $n (1 .. 3)
	{
		select(undef, undef, undef, $seconds / 5);
		$followers->stop('immediate');
		select(undef, undef, undef, 0.3);
		$followers->start;
	}
	$_->finish for @load;
	ok(wait_until(sub { $penstock->stderr =~ /destination one: open again|one: open again/ }),
		'the consumer comes back by itself');
	wait_confirmed($source, 'crash');
	is($penstock->finish('INT'), 0, 'and stops cleanly') or diag($penstock->stderr);
	all_equal('crash of the destinations');
}

# The source, twice: commits that it has not flushed are in nobody's hands.
{
	my $penstock = start_penstock(@run);
	for my $n (1 .. 2)
	{
		my @load = start_load();
		select(undef, undef, undef, $seconds / 4);
		$source->stop('immediate');
		eval { $_->finish } for @load;
		$source->start;
	}
	$source->safe_psql('postgres', 'INSERT INTO pgbench_history (tid) VALUES (-1)');
	wait_confirmed($source, 'crash');
	is($penstock->finish('TERM'), 0, 'the consumer outlives its source') or diag($penstock->stderr);
	all_equal('crash of the source');
}

done_testing();
