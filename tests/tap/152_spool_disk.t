# The disk has no room for a spool: its limit is that of a file's size here. That destination is held
# up, which is told, and nothing of it is lost; with room again it goes on.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $state = "$ENV{TESTDIR}/state";
my $source = source_node('source', logical_decoding_work_mem => '64kB');
my $near = destination_node('near');
my $far = destination_node('far');
$_->safe_psql('postgres', 'CREATE TABLE t(id int PRIMARY KEY, n int, filler text)') for $source, $near, $far;

# What it would die of otherwise.
$SIG{XFSZ} = 'IGNORE';
my @run = ('run', '--source', uri($source), '--slot', 's', '--state-dir', $state, '--status-interval', '100ms', '--progress-interval', '100ms',
	'--memory-limit', '16MB', '--to', 'near=' . uri($near), '--to', 'far=' . uri($far));
my $penstock = start_penstock(@run, '--create-slot');
my $next = 1;

sub room
{
	my ($bytes) = @_;
	system_or_bail('prlimit', '--pid', $penstock->pid, "--fsize=$bytes:");
	return;
}

# How often it was told that there is no room.
sub told { return scalar(() = $penstock->stderr =~ /far: its spool is full: .*File too large/g); }

# So many transactions of a hundred rows, a tenth of a megabyte each.
sub work
{
	my ($count) = @_;
	for (1 .. $count)
	{
		my $last = $next + 99;
		$source->safe_psql('postgres', "INSERT INTO t SELECT g, 0, (SELECT string_agg(md5(g::text || i), '') FROM generate_series(1, 32) i) FROM generate_series($next, $last) g; UPDATE t SET n = n + 1 WHERE id % 100 = $next % 97");
		$next = $last + 1;
	}
	return;
}

sub in_step
{
	my ($node, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $sql = 'SELECT count(*), sum(n), sum(hashtext(filler)) FROM t';
	my $count = $source->safe_psql('postgres', $sql);
	ok(wait_until(sub { $node->safe_psql('postgres', $sql) eq $count }), "$name: in step") or diag($penstock->stderr);
	same_rows($source, 'postgres', $node, 'postgres', 't', "$name: equal");
	return;
}

ok($penstock->wait_for_stderr(qr/streaming from/), 'it runs') or BAIL_OUT($penstock->stderr);
work(2);
in_step($_, 'at first, ' . $_->name) for $near, $far;

# ---- no room for what is absent ----

$far->stop('fast');
room(262144);
work(10);
ok($penstock->wait_for_stderr(qr/far: its spool is full: .*could not write .*File too large; the stream waits/), 'that it cannot be written is told') or diag($penstock->stderr);
ok($penstock->is_running && !$penstock->has_ended, 'and it goes on');
my $confirmed = $source->safe_psql('postgres', q{SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 's'});
is($source->safe_psql('postgres', "SELECT '$confirmed' < pg_current_wal_lsn()"), 't', 'what is nowhere else is not confirmed');
room('unlimited');
work(2);
in_step($near, 'with room again');
ok(wait_confirmed($source, 's'), 'the share of the absent one is on disk');
$far->start;
in_step($far, 'back');

# ---- the same, and it comes back before there is room ----

$far->stop('fast');
room(262144);
work(10);
ok(wait_until(sub { told() > 1 }), 'no room again') or diag($penstock->stderr);
$far->start;
in_step($_, 'room or not, ' . $_->name) for $near, $far;
room('unlimited');
work(2);
in_step($_, 'afterwards, ' . $_->name) for $near, $far;

# ---- and killed in the middle of it ----

$far->stop('fast');
room(262144);
work(10);
ok(wait_until(sub { told() > 2 }), 'no room a third time') or diag($penstock->stderr);
$penstock->kill9;
released($source, 's');
$far->start;
$penstock = start_penstock(@run);
in_step($_, 'killed, ' . $_->name) for $near, $far;
is($penstock->finish('TERM'), 0, 'it stops cleanly') or diag($penstock->stderr);

$_->stop for $source, $near, $far;
done_testing();
