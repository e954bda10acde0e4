# Killed between any two changes of state, and started again: nothing is lost and nothing doubled.
# The program is one that was built with the places in it: consumer/base/failpoint.h.
use strict;
use warnings;
use File::Basename ();
use IPC::Run ();
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $plain = $ENV{PENSTOCK};
my $with_failpoints = File::Basename::dirname($plain) . '/penstock-failpoints';
my $source = source_node('source', logical_decoding_work_mem => '64kB');
my $target = destination_node('target', max_prepared_transactions => 10);
my $other = destination_node('other');
# A row of `events` that comes twice is there twice: its key is no key at the destinations.
my $tables = 'CREATE TABLE a(id int PRIMARY KEY, n int DEFAULT 0, filler text); CREATE TABLE events(id int %s, what text); CREATE TABLE late(id int PRIMARY KEY)';
my $number = 0;
my ($slot, $state, @run);

# A database at each, and a slot of its own unless the run makes one, for the next place to die at.
sub begin
{
	my ($slot_made) = @_;
	$number++;
	$slot = "s$number";
	$state = "$ENV{TESTDIR}/state$number";
	$source->safe_psql('postgres', "CREATE DATABASE d$number");
	$source->safe_psql("d$number", sprintf($tables, 'PRIMARY KEY') . "; INSERT INTO a SELECT g, 0, repeat('x', 100) FROM generate_series(1, 5000) g; INSERT INTO events SELECT g, 'before' FROM generate_series(1, 2000) g");
	for my $node ($target, $other)
	{
		$node->safe_psql('postgres', "CREATE DATABASE d$number");
		$node->safe_psql("d$number", sprintf($tables, ''));
	}
	@run = ('run', '--source', uri($source, "d$number"), '--slot', $slot, '--to', 'target=' . uri($target, "d$number"), '--state-dir', $state,
		'--status-interval', '100ms', '--progress-interval', '100ms');
	if ($slot_made)
	{
		$source->safe_psql("d$number", 'TRUNCATE a, events');
		is((penstock('slot', 'create', '--source', uri($source, "d$number"), '--slot', $slot, $slot_made eq 'two_phase' ? '--two-phase' : ()))[0], 0, "$slot is there");
	}
	return;
}

# Small transactions, a large one that is streamed, keys that change, rows that go.
sub work
{
	my ($from, $width) = @_;
	my $sql = '';
	$width //= 100;
	$sql .= "INSERT INTO a VALUES ($_, 1, 'w'); INSERT INTO events VALUES ($_, 'w'); UPDATE a SET n = n + 1 WHERE id % 50 = $_ % 50;" for $from .. $from + 20;
	$source->safe_psql("d$number", $sql);
	$source->safe_psql("d$number", "BEGIN; INSERT INTO a SELECT g, 2, repeat('y', $width) FROM generate_series($from + 100, $from + 1300) g; INSERT INTO events SELECT g, 'large' FROM generate_series($from + 100, $from + 900) g; UPDATE a SET id = -id WHERE id = $from + 200; DELETE FROM a WHERE id BETWEEN $from + 300 AND $from + 350; COMMIT");
	return;
}

sub equal
{
	my ($name, @nodes) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $node (@nodes)
	{
		same_rows($source, "d$number", $node, "d$number", $_, "$name: $_") for 'a', 'events';
	}
	return;
}

# Run until it dies there; is it dead, and of that?
sub dies
{
	my ($place, @more) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	local $ENV{PENSTOCK} = $with_failpoints;
	local $ENV{PENSTOCK_FAILPOINT} = $place;
	my $penstock = start_penstock(@run, @more);
	my $dead = wait_until(sub { $penstock->has_ended });
	ok($dead && $penstock->finish == -1, "$place: dies there") or diag($penstock->stderr);
	released($source, $slot) if $source->safe_psql('postgres', "SELECT count(*) FROM pg_replication_slots WHERE slot_name = '$slot'");
	return;
}

sub ends
{
	my ($name, @more) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($code, $out, $err) = penstock(@run, @more, '--until', 'current');
	is($code, 0, "$name: goes on to the end") or diag($err);
	return;
}

# ---- the copy ----

for my $place ('slot-created', 'copy-rows', 'copy-rows:5', 'copied', 'copied:2', 'copy-recorded', 'copy-committed', 'copy-committed:2')
{
	begin();
	dies($place, '--copy', '--copy-jobs', '1');
	work(10000);
	ends($place, '--copy');
	equal($place, $target);
	drop_slot($source, $slot);
}

# ---- the stream ----

for my $place ('part-sent:3', 'commit-sent', 'commit-sent:2', 'committed', 'committed:2', 'confirm:2', 'confirmed:2', 'stream-spilled', 'stream-spilled:3', 'ahead-claimed', 'ahead-committed')
{
	begin('plain');
	my @small = ('--batch-rows-max', '40', '--memory-limit', '16MB');
	my $width = $place =~ /spilled/ ? 15000 : 100;    # more than there is memory for
	work(10000, $width);
	work(20000);
	dies($place, @small);
	work(30000);
	dies($place, @small);
	ends($place);
	equal($place, $target);
	drop_slot($source, $slot);
}

# ---- transactions that are prepared ----

for my $place ('prepared', 'prepared-ended')
{
	begin('two_phase');
	my $prepare = sub { my ($id) = @_; $source->safe_psql("d$number", "BEGIN; INSERT INTO a VALUES ($id); INSERT INTO events VALUES ($id, 'p'); PREPARE TRANSACTION 'p$number-$id'") };
	$prepare->($_) for 1 .. 4;
	$source->safe_psql("d$number", "COMMIT PREPARED 'p$number-1'");
	$source->safe_psql("d$number", "ROLLBACK PREPARED 'p$number-2'");
	dies($place, '--two-phase');
	$source->safe_psql("d$number", "COMMIT PREPARED 'p$number-3'");
	dies("$place:2", '--two-phase') if $place eq 'prepared';
	ends($place, '--two-phase');
	equal($place, $target);
	is($target->safe_psql("d$number", 'SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()'), 1, "$place: one is prepared still");
	$source->safe_psql("d$number", "COMMIT PREPARED 'p$number-4'");
	ends($place, '--two-phase');
	equal("$place, all ended", $target);
	drop_slot($source, $slot);
}

# ---- a conflict that is left out ----

begin('plain');
$target->safe_psql("d$number", 'ALTER TABLE events ADD PRIMARY KEY (id); INSERT INTO events VALUES (10005, $$mine$$)');
work(10000);
dies('conflict-kept', '--on-conflict', 'skip');
ends('conflict-kept', '--on-conflict', 'skip');
is($target->safe_psql("d$number", q{SELECT count(*), min(what) FROM events WHERE id = 10005}), '1|mine', 'conflict-kept: the row is the one that was there');
is($target->safe_psql("d$number", 'SELECT count(*) FROM penstock.conflicts'), 1, 'conflict-kept: kept once');
same_rows($source, "d$number", $target, "d$number", 'a', 'conflict-kept: a');
drop_slot($source, $slot);

# ---- a spool ----

for my $place ('spool-written', 'spool-written:2', 'spool-synced', 'spool-read:2')
{
	begin('plain');
	my @both = ('--to', 'other=' . uri($other, "d$number"));
	ends("$place: first", @both);
	work(10000);
	$other->stop('fast') if $place ne 'spool-read:2';
	if ($place eq 'spool-read:2')
	{
		$other->stop('fast');
		my $penstock = start_penstock(@run, @both);
		ok($penstock->wait_for_stderr(qr/other: it is away: its share goes to disk/), "$place: it is away");
		ok(wait_confirmed($source, $slot), "$place: its share is on disk");
		$penstock->kill9;
		released($source, $slot);
		$other->start;
	}
	dies($place, @both);
	work(20000);
	$other->start if $place ne 'spool-read:2';
	ends($place, @both);
	equal($place, $target, $other);
	drop_slot($source, $slot);
}

# ---- a table that is added ----

begin('plain');
{
	local $ENV{PENSTOCK} = $with_failpoints;
	local $ENV{PENSTOCK_FAILPOINT} = 'tables-written';
	$source->safe_psql("d$number", 'INSERT INTO late SELECT generate_series(1, 100)');
	my $penstock = start_penstock(@run, '--tables', 'a,events');
	ok($penstock->wait_for_stderr(qr/streaming from/), 'tables-written: it runs');
	penstock('tables', 'add', 'late', '--state-dir', $state, '--wait', '0');
	ok(wait_until(sub { $penstock->has_ended }) && $penstock->finish == -1, 'tables-written: dies there');
	released($source, $slot);
}
work(10000);
{
	my $penstock = start_penstock(@run, '--tables', 'a,events');
	ok(wait_until(sub { $target->safe_psql("d$number", 'SELECT count(*) FROM late') == 100 }), 'tables-written: the table comes all the same') or diag($penstock->stderr);
	ok(wait_confirmed($source, $slot), 'tables-written: all is delivered');
	equal('tables-written', $target);
	is($penstock->finish('TERM'), 0, 'tables-written: it stops cleanly');
}

$_->stop for $source, $target, $other;
done_testing();
