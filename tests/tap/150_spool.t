# One destination that is away, slow or crashed costs the others nothing and the source no disk: its
# share waits in a spool, from which it catches up without a row lost or doubled.
use strict;
use warnings;
use Penstock;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $state = "$ENV{TESTDIR}/state";
my $source = source_node('source');
my $near = destination_node('near');
my $far = destination_node('far', wal_writer_delay => '200ms');
my $ddl = 'CREATE TABLE t (id int PRIMARY KEY, n int DEFAULT 0, filler text);';
$_->safe_psql('postgres', $ddl) for $source, $near, $far;

my @run = ('run', '--source', uri($source), '--slot', 's', '--state-dir', $state, '--status-interval', '100ms', '--progress-interval', '100ms',
	'--to', 'near=' . uri($near), '--to', 'far=' . uri($far));
my ($created) = penstock('slot', 'create', '--source', uri($source), '--slot', 's');
is($created, 0, 'slot created');

my $next = 1;
my $penstock;

# So many transactions, each with new rows, a change of all in one of ten, and a delete.
sub work
{
	my ($count, $filler) = @_;
	$filler //= 10;
	my $sql = '';
	for (1 .. $count)
	{
		$sql .= "INSERT INTO t SELECT g, 0, repeat('x', $filler) FROM generate_series($next, " . ($next + 9) . ") g;";
		$sql .= "BEGIN; UPDATE t SET n = n + 1 WHERE id % 10 = " . ($next % 7) . "; DELETE FROM t WHERE id = " . ($next + 3) . "; COMMIT;";
		$next += 10;
	}
	$source->safe_psql('postgres', $sql);
	return;
}

sub segments
{
	my ($name) = @_;
	my @files = glob("$state/s/spool/$name/*.log");
	return scalar @files;
}

# The absent one is back, and told so: its worker need not find out by itself.
sub back
{
	$far->start;
	my ($code, undef, $err) = penstock('resume', 'far', '--state-dir', $state, '--wait', '0');
	is($code, 0, 'told that it is back') or diag($err);
	return;
}

sub in_step
{
	my ($node, $name) = @_;
	my $count = $source->safe_psql('postgres', 'SELECT count(*), sum(n), sum(id), sum(hashtext(filler)) FROM t');
	ok(wait_until(sub { $node->safe_psql('postgres', 'SELECT count(*), sum(n), sum(id), sum(hashtext(filler)) FROM t') eq $count }), "$name: in step")
	  or BAIL_OUT($penstock->stderr);
	same_rows($source, 'postgres', $node, 'postgres', 't', "$name: equal");
	return;
}

# ---- down for a while ----

$penstock = start_penstock(@run);
work(5);
in_step($_, 'at first') for $near, $far;
is(segments('far'), 0, 'nothing is on disk');

$far->stop('fast');
work(20);
in_step($near, 'the other one is down');
ok(wait_confirmed($source, 's'), 'the source may let go of what the absent one has not got');
cmp_ok(segments('far'), '>', 0, 'its share is on disk');
like($penstock->stderr, qr/far: it is away: its share goes to disk/, 'which is told');
is($penstock->stderr =~ /near: .*(trying again|away)/, '', 'and the other one is not troubled');
back();
in_step($far, 'back');
work(5);
in_step($_, 'afterwards') for $near, $far;
ok(wait_until(sub { segments('far') == 0 }), 'the spool is empty again');

# ---- the consumer is killed while it has a spool, twice ----

$far->stop('immediate');
work(20);
ok(wait_confirmed($source, 's'), 'spooled before the consumer is killed');
$penstock->kill9;
work(5);
$penstock = start_penstock(@run);
in_step($near, 'after a kill, the other one still down');
ok(wait_confirmed($source, 's'), 'spooled after it too');
$penstock->kill9;
work(2);
$far->start;
$penstock = start_penstock(@run);
in_step($_, 'after two kills') for $near, $far;

# ---- a crash of the destination loses commits that were not flushed ----

for my $round (1 .. 2)
{
	work(10);
	$far->stop('immediate');
	work(10);
	back();
	work(1);
	in_step($_, "crash $round") for $near, $far;
}
is($penstock->finish('TERM'), 0, 'stops cleanly');

# ---- slow: its table is locked, and memory is short ----

$penstock = start_penstock(@run, '--memory-limit', '16MB');
work(1);
in_step($far, 'before the lock');
my $locker = IPC::Run::start([ 'psql', '-X', '-q', '-d', $far->connstr('postgres') . ' application_name=locker',
		'-c', 'BEGIN; LOCK TABLE t; SELECT pg_sleep(600)' ], '<', \undef, '>&', '/dev/null');
$far->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE relation = 't'::regclass AND mode = 'AccessExclusiveLock' AND granted});
$source->safe_psql('postgres', "INSERT INTO t SELECT g, 1, repeat(md5(g::text), 30) FROM generate_series(100001, 108000) g");
work(10, 1000);
in_step($near, 'the other one is slow');
cmp_ok(segments('far'), '>', 0, 'what memory has no room for is on disk');
$far->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'locker'});
$locker->finish;
in_step($far, 'slow no more');
work(3);
in_step($_, 'at the end') for $near, $far;
ok(wait_until(sub { segments('far') == 0 }), 'back in memory');
is($penstock->finish('TERM'), 0, 'stops cleanly again');

# ---- a spool that is full ----

$far->stop('fast');
$penstock = start_penstock(@run, '--spool-bytes-max', '1MB');
ok(wait_until(sub { $penstock->stderr =~ /far: it is away/ }), 'away from the start');
$source->safe_psql('postgres', "INSERT INTO t SELECT g, 2, md5(random()::text) || md5(random()::text) || md5(random()::text) FROM generate_series(200001, 220000) g");
ok(wait_until(sub { $penstock->stderr =~ /far: its spool is full/ }), 'full: told');
back();
in_step($_, 'held, and then') for $near, $far;
is($penstock->finish('TERM'), 0, 'stops cleanly once more');

$far->stop('fast');
$penstock = start_penstock(@run, '--spool-bytes-max', '1MB', '--on-full', 'detach');
ok(wait_until(sub { $penstock->stderr =~ /far: it is away/ }), 'away again');
$source->safe_psql('postgres', "UPDATE t SET filler = md5(random()::text) || md5(random()::text) || md5(random()::text)");
ok(wait_until(sub { $penstock->stderr =~ /far: its spool is full .*was detached.*copy it anew/ }), 'detached: told');
in_step($near, 'after the detachment');
ok(wait_confirmed($source, 's'), 'which holds nothing back any more');
$far->start;
work(2);
in_step($near, 'the detached one is back, but not taken up');
is($penstock->finish('TERM'), 4, 'a person is needed: the exit code says so');
done_testing();
