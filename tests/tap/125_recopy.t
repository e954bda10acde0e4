# A destination that has lost something for good, because it was detached or restored to an earlier
# time, is refused until everything of it is asked to be copied anew; the others are not troubled.
use strict;
use warnings;
use IPC::Run ();
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $state = "$ENV{TESTDIR}/state";
my $source = source_node('source');
my $near = destination_node('near');
my $far = destination_node('far');
my $ddl = q{
	CREATE TABLE t (id int PRIMARY KEY, n int DEFAULT 0, filler text);
	CREATE TABLE events (id bigint PRIMARY KEY, what text);};
$_->safe_psql('postgres', $ddl) for $source, $near, $far;
$source->safe_psql('postgres', q{
	INSERT INTO t SELECT g, 0, 'first' FROM generate_series(1, 1000) g;
	INSERT INTO events SELECT g, 'e' FROM generate_series(1, 100) g});

my @run = ('run', '--source', uri($source), '--slot', 's', '--state-dir', $state, '--status-interval', '200ms', '--progress-interval', '200ms',
	'--to', 'near=' . uri($near), '--to', 'far=' . uri($far), '--spool-bytes-max', '1MB', '--on-full', 'detach');
my @anew = ('--copy', '--copy-mode', 'truncate');
my $next = 2000;

# Rows come, change and go.
sub work
{
	$next++;
	$source->safe_psql('postgres', "INSERT INTO t VALUES ($next, 1, 'new'); UPDATE t SET n = n + 1 WHERE id % 7 = $next % 7; DELETE FROM t WHERE id = $next - 1900; INSERT INTO events VALUES ($next, 'w')");
	return;
}

sub in_step
{
	my ($name, $penstock, @nodes) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $sql = 'SELECT count(*), sum(n), sum(id), sum(hashtext(filler)) FROM t UNION ALL SELECT count(*), sum(id), 0, 0 FROM events';
	my $expected = $source->safe_psql('postgres', $sql);
	for my $node (@nodes)
	{
		ok(wait_until(sub { $node->safe_psql('postgres', $sql) eq $expected }), "$name: " . $node->name . ' is in step')
		  or diag($penstock->stderr);
		same_rows($source, 'postgres', $node, 'postgres', $_, "$name: $_ in " . $node->name) for 't', 'events';
	}
	return;
}

sub progress
{
	return $far->safe_psql('postgres', q{SELECT lsn FROM penstock.progress WHERE slot = 's'});
}

# ---- both are copied, then one is detached ----

my $penstock = start_penstock(@run, '--copy');
in_step('copied', $penstock, $near, $far);
work();
in_step('followed', $penstock, $near, $far);
$far->stop('fast');
work();
ok($penstock->wait_for_stderr(qr/far: it is away/), 'one is away');
$source->safe_psql('postgres', "UPDATE t SET filler = (SELECT string_agg(md5(random()::text || t.id || g), '') FROM generate_series(1, 60) g)");
ok($penstock->wait_for_stderr(qr/far: its spool is full .*was detached.*start again with --copy --copy-mode truncate to copy it anew/), 'and detached');
in_step('detached', $penstock, $near);
ok(wait_confirmed($source, 's'), 'the source holds nothing back for it');
is($penstock->finish('TERM'), 4, 'the exit code says that a person is needed');

# ---- who comes without --copy is refused, and nothing of it is touched ----

$far->start;
my $before = progress();
my $recorded = rows($far, 'postgres', 'penstock.tables');
my $rows = rows($far, 'postgres', 't');
for my $round (1 .. 2)
{
	$penstock = start_penstock(@run);
	ok($penstock->wait_for_stderr(qr/destination far: slot "s" is confirmed up to .*copy it anew with --copy --copy-mode truncate/), "start $round: refused, with the remedy");
	work();
	in_step("start $round", $penstock, $near);
	unlike($penstock->stderr, qr/near: .*(stopped|trying again)/, "start $round: the other one goes on");
	is($penstock->finish('TERM'), 4, "start $round: the exit code");
}
is(progress(), $before, 'its progress is what it was');
is(rows($far, 'postgres', 'penstock.tables'), $recorded, 'and what is recorded of its tables');
is(rows($far, 'postgres', 't'), $rows, 'and its rows');

# Nor does --copy alone throw rows away.
my ($code, $out, $err) = penstock(@run, '--copy', '--until', 'current');
is($code, 4, '--copy alone is refused where there are rows');
like($err, qr/destination far: table "public"."\w+" has rows already; TRUNCATE it, or choose --copy-mode truncate/, 'with the remedy');
is(progress(), $before, 'and its progress stays');

# ---- a copy that fails before it begins leaves the progress that is refused ----

$far->safe_psql('postgres', 'ALTER TABLE t RENAME filler TO other');
($code, $out, $err) = penstock(@run, @anew, '--until', 'current');
like($err, qr/destination far: table "public"."t" has no column "filler" here/, 'what does not fit is refused');
is(progress(), $before, 'before its progress is touched');
$far->safe_psql('postgres', 'ALTER TABLE t RENAME other TO filler');

# ---- copied anew ----

$near->safe_psql('postgres', 'CREATE TABLE marks AS SELECT ctid AS place, xmin::text AS made FROM t');
my $locker = IPC::Run::start([ 'psql', '-X', '-q', '-d', $far->connstr('postgres') . ' application_name=locker',
		'-c', 'BEGIN; LOCK TABLE t IN SHARE MODE; SELECT pg_sleep(600)' ], '<', \undef, '>&', '/dev/null');
$far->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE relation = 't'::regclass AND mode = 'ShareLock' AND granted});
$penstock = start_penstock(@run, @anew);
ok($far->poll_query_until('postgres', q{SELECT array_agg(state ORDER BY table_name) = '{ready,copying}' FROM penstock.tables WHERE slot = 's'}), 'it begins');
like($penstock->stderr, qr/far: it has only what was committed before .*: everything is copied anew/, 'which is told');
isnt(progress(), $before, 'with its progress');
$penstock->kill9;
$far->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'locker'});
$locker->finish;
work();
$penstock = start_penstock(@run);
in_step('killed, and gone on', $penstock, $near, $far);
like($penstock->stderr, qr/copying 1 tables/, 'with the table that was not complete');
unlike($penstock->stderr, qr/near: .*(copied anew|stopped)/, 'of this one only');
is($near->safe_psql('postgres', 'SELECT count(*) > 700 FROM marks JOIN t ON t.ctid = place AND t.xmin::text = made'), 't', 'the rows of the other one were not copied');
work();
in_step('followed again', $penstock, $near, $far);
is($penstock->finish('TERM'), 0, 'in order again');
is($far->safe_psql('postgres', q{SELECT string_agg(table_name || ' ' || state, ',' ORDER BY table_name) FROM penstock.tables WHERE slot = 's'}), 'events ready,t ready', 'all tables are recorded');
($code, $out, $err) = penstock(@run, @anew, '--until', 'current');
is($code, 0, 'the same command again') or diag($err);
unlike($err, qr/copying|copied anew/, 'copies nothing');

# ---- restored to an earlier time, with a spool of a later one ----

my $old = progress();
my $old_rows = "CREATE TABLE restored AS SELECT * FROM t; CREATE TABLE restored_events AS SELECT * FROM events";
$far->safe_psql('postgres', $old_rows);
$penstock = start_penstock(@run);
work();
in_step('before it is restored', $penstock, $near, $far);
ok(wait_confirmed($source, 's'), 'the slot is confirmed beyond');
$far->stop('fast');
work();
ok($penstock->wait_for_stderr(qr/far: it is away/), 'away again');
ok(wait_confirmed($source, 's'), 'what it lacks is on disk');
is($penstock->finish('TERM'), 0, 'stopped while it is away');
$far->start;
$far->safe_psql('postgres', qq{
	BEGIN; TRUNCATE t, events; INSERT INTO t SELECT * FROM restored; INSERT INTO events SELECT * FROM restored_events;
	UPDATE penstock.progress SET lsn = '$old' WHERE slot = 's'; COMMIT});
$penstock = start_penstock(@run);
ok($penstock->wait_for_stderr(qr/destination far: slot "s" is confirmed up to .*--copy --copy-mode truncate/), 'refused: the disk begins too late for it');
$penstock->finish('TERM');
is(progress(), $old, 'its progress is what it was');
$penstock = start_penstock(@run, @anew);
in_step('restored, and copied anew', $penstock, $near, $far);
work();
in_step('and followed', $penstock, $near, $far);
is($penstock->finish('TERM'), 0, 'in order at the end');

# ---- events only: what is there is kept ----

my @events = ('run', '--source', uri($source), '--slot', 'e', '--tables', 'public.events', '--to', uri($far), '--until', 'current');
$far->safe_psql('postgres', 'TRUNCATE events');
is((penstock(@events, '--copy'))[0], 0, 'events are copied');
$old = $far->safe_psql('postgres', q{SELECT lsn FROM penstock.progress WHERE slot = 'e'});
my $last = $far->safe_psql('postgres', 'SELECT max(id) FROM events');
work() for 1 .. 3;
is((penstock(@events))[0], 0, 'followed');
$far->safe_psql('postgres', "UPDATE penstock.progress SET lsn = '$old' WHERE slot = 'e'; DELETE FROM events WHERE id > $last; CREATE TABLE kept AS SELECT id, xmin::text AS made FROM events");
refuses('an earlier time is refused', 4, qr/--copy --copy-mode truncate/, @events);
($code, $out, $err) = penstock(@events, '--copy', '--copy-mode', 'append');
is($code, 0, 'append goes on where it ends') or diag($err);
same_rows($source, 'postgres', $far, 'postgres', 'events');
is($far->safe_psql('postgres', 'SELECT count(*) = (SELECT count(*) FROM kept) FROM kept JOIN events e USING (id) WHERE made = e.xmin::text'), 't', 'and what was there stayed');

$_->stop for $source, $near, $far;
done_testing();
