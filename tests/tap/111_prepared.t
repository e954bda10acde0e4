# Prepared transactions with --two-phase: passed on when they are prepared, and what becomes of them.
use strict;
use warnings;
use Penstock;
use Session;
use IPC::Run ();
use Test::More;

my $source = source_node('source', logical_decoding_work_mem => '64kB');
$source->safe_psql('postgres', 'CREATE TABLE t (id int PRIMARY KEY, b text)');
my @from = ('--source', uri($source));

# What the program has printed, without what differs from run to run: an array of "op rest".
sub lines
{
	my ($text) = @_;
	my @lines;
	for my $line (split /\n/, $text)
	{
		my ($op) = $line =~ /"op":"(\w+)"/;
		my ($gid) = $line =~ /"gid":"([^"]*)"/;
		my ($id) = $line =~ /"new":\{"id":(\d+)/;
		push @lines, join(' ', grep { defined } $op, $gid, $id);
	}
	return @lines;
}

# Wait until it has printed so many lines; what they say.
sub printed
{
	my ($penstock, $count) = @_;
	wait_until(sub { my @l = lines($penstock->stdout); @l >= $count });
	return [ lines($penstock->stdout) ];
}

# Slots, and what does not fit.
is((penstock('slot', 'create', @from, '--slot', 'plain'))[0], 0, 'slot without two-phase');
is((penstock('slot', 'create', @from, '--slot', 'two', '--two-phase'))[0], 0, 'slot with two-phase');
is($source->safe_psql('postgres', 'SELECT slot_name, two_phase FROM pg_replication_slots ORDER BY 1'),
	"plain|f\ntwo|t", 'the slots are what was asked for');
refuses('a slot that was not created for it', 2, qr/not created for prepared transactions.*without --two-phase/,
	'run', @from, '--slot', 'plain', '--two-phase', '--to', 'stdout:');
refuses('a slot that was', 2, qr/run with --two-phase/, 'run', @from, '--slot', 'two', '--to', 'stdout:');
refuses('memory tables', 2, qr/destination memory cannot take prepared transactions/,
	'run', @from, '--slot', 'two', '--two-phase', '--to', 'memory:');

my $penstock = start_penstock('run', @from, '--slot', 'two', '--two-phase', '--to', 'stdout:',
	'--status-interval', '100ms', '--progress-interval', '100ms');
$source->safe_psql('postgres', "BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'one'");
is_deeply(printed($penstock, 3), [ 'begin_prepare one', 'insert 1', 'prepare one' ], 'a prepared transaction');
$source->safe_psql('postgres', "INSERT INTO t VALUES (2); COMMIT PREPARED 'one'");
is_deeply([ @{ printed($penstock, 7) }[ 3 .. 6 ] ], [ 'begin', 'insert 2', 'commit', 'commit_prepared one' ],
	'commits, after another one');
$source->safe_psql('postgres', "BEGIN; INSERT INTO t VALUES (3); PREPARE TRANSACTION 'it''s two'");
$source->safe_psql('postgres', "ROLLBACK PREPARED 'it''s two'");
is_deeply([ @{ printed($penstock, 11) }[ 7 .. 10 ] ],
	[ "begin_prepare it's two", 'insert 3', "prepare it's two", "rollback_prepared it's two" ], 'or is rolled back');

# One so large that it is streamed, and a part of which is taken back.
$source->safe_psql('postgres', "BEGIN; INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(10, 2009) i; "
	  . "SAVEPOINT a; INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(3000, 4999) i; ROLLBACK TO a; "
	  . "INSERT INTO t VALUES (6000); PREPARE TRANSACTION 'large'");
my $large = printed($penstock, 11 + 2003);
is_deeply([ @{$large}[ 11 .. $#$large ] ],
	[ 'begin_prepare large', (map { "insert $_" } 10 .. 2009, 6000), 'prepare large' ], 'a large one is streamed');
cmp_ok($source->safe_psql('postgres', "SELECT stream_txns FROM pg_stat_replication_slots WHERE slot_name = 'two'"),
	'>', 0, 'it really is');
wait_confirmed($source, 'two');
is($penstock->finish('TERM'), 0, 'it ends in order');

# What became of it is told after a restart, without its changes.
$source->safe_psql('postgres', "COMMIT PREPARED 'large'");
my (undef, $out) = penstock('run', @from, '--slot', 'two', '--two-phase', '--to', 'stdout:', '--until', 'current');
is_deeply([ lines($out) ], ['commit_prepared large'], 'the commit comes after a restart, by itself');

# Without two-phase they come at their commit.
(undef, $out) = penstock('run', @from, '--slot', 'plain', '--to', 'stdout:', '--until', 'current');
is_deeply([ grep { !/^insert/ } lines($out) ], [ ('begin', 'commit') x 3 ], 'without two-phase: ordinary ones');

# Prepared while the slot was being created, too early for it to be seen: comes at its commit. The
# slot waits for a transaction, and then for those that ran when that had ended.
my ($first, $second) = map { Session->new($source, 'postgres') } 1 .. 2;
my $waits = q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid' AND transactionid::text = '%s'};
my $first_xid = $first->run('BEGIN; SELECT txid_current()');
my $creation = IPC::Run::start([ $ENV{PENSTOCK}, 'slot', 'create', @from, '--slot', 'late', '--two-phase' ], '>', '/dev/null');
ok($source->poll_query_until('postgres', sprintf($waits, $first_xid)), 'the slot waits for one transaction');
my $second_xid = $second->run('BEGIN; SELECT txid_current()');
$first->run('COMMIT');
ok($source->poll_query_until('postgres', sprintf($waits, $second_xid)), 'the slot waits for another');
$source->safe_psql('postgres', "BEGIN; INSERT INTO t VALUES (7000); PREPARE TRANSACTION 'late'");
$second->run('COMMIT');
ok($creation->finish, 'the slot is there');
$source->safe_psql('postgres', 'INSERT INTO t VALUES (7001)');
$source->safe_psql('postgres', "COMMIT PREPARED 'late'");
(undef, $out) = penstock('run', @from, '--slot', 'late', '--two-phase', '--to', 'stdout:', '--until', 'current');
is_deeply([ lines($out) ], [ 'begin', 'insert 7001', 'commit', 'begin', 'insert 7000', 'commit' ],
	'prepared too early: an ordinary one at its commit');

$_->quit for $first, $second;
done_testing();
