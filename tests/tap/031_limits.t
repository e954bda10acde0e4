# Memory has a limit whatever a transaction's size, and a destination that is blocked does not cost
# the stream: feedback goes on.
use strict;
use warnings;
use Penstock;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $limit_mb = 16;
my $rows = 150_000;    # of 1 kB: about ten times the limit

# What a process holds besides what memory_limit is for: program, libraries and thread stacks
# (about 8 MB), libpq's buffers of the connections, and what malloc keeps in its arenas (one a
# thread) of the chunks that were freed.
my $allowance_mb = 16;

my $source = source_node('source', wal_sender_timeout => '3s');
my $follower = destination_node('follower');
my $ddl = 'CREATE TABLE big (id int PRIMARY KEY, filler text);';
$_->safe_psql('postgres', $ddl) for $source, $follower;

my @run = ('run', '--source', uri($source), '--slot', 'limits', '--memory-limit', "${limit_mb}MB",
	'--to', uri($follower));
my ($created) = penstock('slot', 'create', '--source', uri($source), '--slot', 'limits');
is($created, 0, 'slot created');

sub peak_mb
{
	my ($penstock) = @_;
	my ($kb) = slurp_file('/proc/' . $penstock->pid . '/status') =~ /^VmHWM:\s+(\d+) kB/m;
	return $kb / 1024;
}

# Both databases have the same: one line of sums, because the rows are many.
sub same_sums
{
	my ($name) = @_;
	my $sums = 'SELECT count(*), sum(id::bigint), sum(length(filler)::bigint), sum(hashtext(filler)::bigint) FROM big';
	is($follower->safe_psql('postgres', $sums), $source->safe_psql('postgres', $sums), $name);
	return;
}

# A session of the follower that locks the table until it is ended.
sub lock_table
{
	my $locker = IPC::Run::start([ 'psql', '-X', '-q', '-d', $follower->connstr('postgres') . ' application_name=locker',
			'-c', 'BEGIN; LOCK TABLE big; SELECT pg_sleep(600)' ], '<', \undef, '>&', '/dev/null');
	$follower->poll_query_until('postgres', q{
		SELECT count(*) = 1 FROM pg_locks WHERE relation = 'big'::regclass AND mode = 'AccessExclusiveLock' AND granted});
	return $locker;
}

sub unlock_table
{
	my ($locker) = @_;
	$follower->safe_psql('postgres', q{
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'locker'});
	$locker->finish;
	return;
}

# A transaction larger than the limit, to a destination that is blocked for longer than the
# source's patience, and then is not.
{
	my $penstock = start_penstock(@run);
	ok($penstock->wait_for_stderr(qr/streaming from slot/), 'it streams') or diag($penstock->stderr);
	my $walsender = 'SELECT pid FROM pg_stat_replication';
	my $pid = $source->safe_psql('postgres', $walsender);

	my $locker = lock_table();
	$source->safe_psql('postgres', qq{
		INSERT INTO big SELECT i, repeat(md5(i::text), 32) FROM generate_series(1, $rows) i});
	ok($follower->poll_query_until('postgres', q{
		SELECT count(*) = 1 FROM pg_locks WHERE relation = 'big'::regclass AND NOT granted}),
		'the destination waits for the lock');
	sleep 7;
	is($source->safe_psql('postgres', $walsender), $pid, 'the same stream after two timeouts of the source');
	is($follower->safe_psql('postgres', q{
		SELECT count(*) FROM pg_locks WHERE relation = 'big'::regclass AND NOT granted}), 1,
		'the destination waits still');
	my $blocked_mb = peak_mb($penstock);
	cmp_ok($blocked_mb, '<', $limit_mb + $allowance_mb, 'memory is within its limit while blocked');

	unlock_table($locker);
	ok(wait_confirmed($source, 'limits'), 'when the lock is gone it goes on');
	same_sums('everything is applied once');
	my $peak_mb = peak_mb($penstock);
	cmp_ok($peak_mb, '<', $limit_mb + $allowance_mb, 'memory was within its limit all the time');
	note(sprintf('peak of resident memory: %.1f MB blocked, %.1f MB at the end', $blocked_mb, $peak_mb));
	is($source->safe_psql('postgres', $walsender), $pid, 'on the stream that it began with');

	is($penstock->finish('TERM'), 0, 'it stops cleanly') or diag($penstock->stderr);
	unlike($penstock->stderr, qr/trying again/, 'nothing had to be tried again');
	unlike(slurp_file($source->logfile), qr/due to replication timeout/, 'the source saw no timeout');
}

# Small rows: what describes an event is larger than its row. Updates and deletes come too.
{
	my $penstock = start_penstock(@run);
	ok($penstock->wait_for_stderr(qr/streaming from slot/), 'it streams again') or diag($penstock->stderr);
	my $locker = lock_table();
	$source->safe_psql('postgres', qq{
		BEGIN;
		DELETE FROM big WHERE id % 2 = 0;
		UPDATE big SET filler = id::text;
		INSERT INTO big SELECT i, 'small' FROM generate_series($rows + 1, $rows * 2) i;
		COMMIT});
	ok($follower->poll_query_until('postgres', q{
		SELECT count(*) = 1 FROM pg_locks WHERE relation = 'big'::regclass AND NOT granted}),
		'the destination waits for the lock');
	sleep 1;
	unlock_table($locker);
	ok(wait_confirmed($source, 'limits'), 'and goes on');
	same_sums('many small changes are applied once');
	my $peak_mb = peak_mb($penstock);
	cmp_ok($peak_mb, '<', $limit_mb + $allowance_mb, 'memory is within its limit for small rows');
	note(sprintf('peak of resident memory: %.1f MB', $peak_mb));
	is($penstock->finish('TERM'), 0, 'it stops cleanly') or diag($penstock->stderr);
}

# A row is held whole: what is larger than the limit passes alone.
{
	$source->safe_psql('postgres', q{
		INSERT INTO big SELECT 0, string_agg(md5(i::text), '') FROM generate_series(1, 60 * 32768) i;
		UPDATE big SET id = -1 WHERE id = 0;
		INSERT INTO big VALUES (0, 'after');});
	my ($code, undef, $err) = penstock(@run, '--until', 'current');
	is($code, 0, 'a row of 60 MB passes') or diag($err);
	same_sums('the large row is equal');
}

done_testing();
