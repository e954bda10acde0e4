# A transaction that is aborted while it is decoded ends in the middle of a row: only whole events
# may be sent, in order, and what came before stays.
use strict;
use warnings;
use IPC::Run;
use JSON::PP ();
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source', logical_decoding_work_mem => '8MB', max_prepared_transactions => 5,
	log_statement => 'none');
$source->safe_psql('postgres', 'CREATE TABLE bulk(id int PRIMARY KEY, t text)');
my $rows = 60_000; # more than a socket takes, and than what is decoded before the first part

# The walsender waits until its client reads on.
sub wait_blocked
{
	my ($slot) = @_;
	return $source->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity a, pg_replication_slots s
		WHERE s.slot_name = '$slot' AND a.pid = s.active_pid AND a.wait_event = 'WalSenderWriteData'");
}

# Decode while $work's transaction is in progress or prepared, abort it in the middle, read to the end.
sub capture
{
	my ($slot, $two_phase, $work, $abort) = @_;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/$slot";
	my @flag = $two_phase ? ('--two-phase') : ();
	command_ok([ 'pg_recvlogical', '-d', $source->connstr('postgres'), '--slot', $slot, '--create-slot', '--plugin', 'penstock', @flag ],
		"$slot: a slot");
	my @options = map { ('--option', $_) } $two_phase ? 'two_phase=on' : 'streaming=on';
	my $err = '';
	my $client = IPC::Run::start([ 'pg_recvlogical', '-d', $source->connstr('postgres'), '--slot', $slot, '--start', '--no-loop',
		'--status-interval', '1', '--fsync-interval', '1', '--file', $file, @options ], '2>', \$err);
	ok($source->poll_query_until('postgres', "SELECT active FROM pg_replication_slots WHERE slot_name = '$slot'"), "$slot: streaming");
	$client->signal('STOP');
	my ($in, $out) = ('', '');
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $source->connstr('postgres') ], '<', \$in, '>', \$out, IPC::Run::timeout(60));
	my $run = sub {
		$in .= "$_[0]; SELECT 'done';\n";
		$session->pump until $out =~ s/done\n//;
	};
	$run->($work);
	ok(wait_blocked($slot), "$slot: the decoding of it has begun");
	$run->($abort);
	$session->finish;
	my $end = $source->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
	$source->safe_psql('postgres', "INSERT INTO bulk VALUES (0, 'after'); DELETE FROM bulk");
	$client->signal('CONT');
	ok(wait_confirmed($source, $slot, $end), "$slot: all is read");
	$client->signal('INT');
	$client->finish;
	my ($json, $errors) = ('', '');
	ok(IPC::Run::run([ $ENV{PENSTOCK}, 'decode', $file ], '>', \$json, '2>', \$errors), "$slot: the capture is whole") or diag($errors);
	drop_slot($source, $slot);
	return map { JSON::PP::decode_json($_) } split /\n/, $json;
}

my $work = "BEGIN; CREATE TABLE fresh(id int PRIMARY KEY, t text); INSERT INTO bulk SELECT i, repeat('x', 50) FROM generate_series(1, $rows) i; INSERT INTO fresh VALUES (1, 'one')";

# in progress: larger than logical_decoding_work_mem, so it is streamed; the table that it made
# is looked up in the middle of the stream
my @events = capture('streamed', 0, "$work; INSERT INTO bulk SELECT i, repeat('y', 50) FROM generate_series($rows + 1, 2 * $rows) i; INSERT INTO fresh SELECT 2, 'two'", 'ROLLBACK');
my @ops = map { $_->{op} } @events;
my %count;
$count{$_}++ foreach @ops;
is($ops[0], 'stream_start', 'it came in parts');
is($count{stream_start}, $count{stream_stop}, 'each of which ends');
ok($count{stream_abort} >= 1 && !$count{stream_commit}, 'and it is aborted');
my ($abort) = grep { $_->{op} eq 'stream_abort' } @events;
is($abort->{subxid}, $abort->{xid}, 'as a whole');
is_deeply([ @ops[ -6 .. -1 ] ], [ qw(begin insert commit begin delete commit) ], 'what follows is there');
cmp_ok($count{insert}, '>', 1000, 'rows came before the abort');
ok(!grep({ ($_->{table} // '') eq 'fresh' } @events), 'the table that was never there is not heard of: the abort was met in the middle');

# prepared
@events = capture('prepared', 1, "$work; PREPARE TRANSACTION 'p'", "ROLLBACK PREPARED 'p'");
@ops = map { $_->{op} } @events;
%count = ();
$count{$_}++ foreach @ops;
is($ops[0], 'begin_prepare', 'a prepared transaction begins');
is_deeply([ map { $count{$_} } qw(begin_prepare prepare rollback_prepared) ], [ 1, 1, 1 ], 'ends, and is rolled back');
cmp_ok($count{insert}, '>', 1, 'rows came before the abort');
ok(!grep({ ($_->{table} // '') eq 'fresh' } @events), 'and none of the table that was never there');
is_deeply([ @ops[ -6 .. -1 ] ], [ qw(begin insert commit begin delete commit) ], 'what follows is there');

$source->stop;
done_testing();
