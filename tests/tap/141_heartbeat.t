# A slot holds back no more WAL than it must: on an idle database, in a cluster that is busy elsewhere,
# and when nothing happens at all; and when it does hold back much, that is told.
use strict;
use warnings;
use JSON::PP ();
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $target = destination_node('target');
my $state = "$ENV{TMPDIR}/141_heartbeat";
my $table = 'CREATE TABLE t(id int PRIMARY KEY, v text)';
mkdir $state;
$_->safe_psql('postgres', $table) for $source, $target;
$source->safe_psql('postgres', 'CREATE DATABASE other');
$source->safe_psql('other', 'CREATE TABLE busy(v text)');
# An observer sees what is written into the WAL.
$source->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('observer', 'test_decoding')});

sub start
{
	my (@more) = @_;
	my $run = start_penstock(
		'run', '--source', uri($source), '--slot', 's', '--create-slot', '--to', 'f=' . uri($target),
		'--progress-interval', '200ms', '--status-interval', '100ms', '--state-dir', $state, @more);
	$run->wait_for_stderr(qr/streaming from/) or BAIL_OUT('it does not start: ' . $run->stderr);
	return $run;
}

sub heartbeats
{
	return $source->safe_psql('postgres',
		q{SELECT count(*) FROM pg_logical_slot_peek_changes('observer', NULL, NULL) WHERE data LIKE '%prefix: penstock.heartbeat,%'});
}

sub current { return $source->safe_psql('postgres', 'SELECT pg_current_wal_lsn()'); }

sub status
{
	my ($code, $out, $err) = penstock('status', '--json', '--state-dir', $state);
	return $code == 0 ? JSON::PP->new->utf8->decode($out) : {};
}

sub write_wal
{
	my ($database, $name, $megabytes) = @_;
	return $source->safe_psql($database,
		"INSERT INTO $name SELECT repeat('x', 1000) FROM generate_series(1, 1000 * $megabytes)");
}

# Wait until a query on the source is true, with a checkpoint each time: it writes which transactions
# run, which the background writer does only four times a minute, and without that no slot lets go.
sub poll_with_checkpoints
{
	my ($query) = @_;
	return wait_until(sub { $source->safe_psql('postgres', 'CHECKPOINT'); $source->safe_psql('postgres', $query) eq 't' });
}

# ---- busy elsewhere: keepalives are enough, and nothing is written ----

my $run = start('--heartbeat-interval', '10min');
my $before = current();
write_wal('other', 'busy', 2) for 1 .. 3;
ok(wait_confirmed($source, 's'), 'a slot on an idle database moves while others write');
ok( poll_with_checkpoints("SELECT restart_lsn > '$before' FROM pg_replication_slots WHERE slot_name = 's'"),
	'and lets go of the WAL');
is(heartbeats(), 0, 'without a message');
is($run->finish('TERM'), 0, 'it ends well');

# ---- nothing happens at all ----

$run = start('--heartbeat-interval', '200ms');
ok(wait_until(sub { heartbeats() >= 2 }), 'where nothing arrives, messages are written');
my $last = $source->safe_psql('postgres',
	q{SELECT max(lsn) FROM pg_logical_slot_peek_changes('observer', NULL, NULL) WHERE data LIKE '%penstock.heartbeat%'});
ok(wait_confirmed($source, 's', $last), 'and the slot moves by them');
$source->safe_psql('postgres', q{INSERT INTO t VALUES (1, 'one')});
ok($target->poll_query_until('postgres', 'SELECT count(*) = 1 FROM t'), 'a row among them arrives');

# The ordinary connection is lost: it is noticed, and all goes on.
$source->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()});
ok($run->wait_for_stderr(qr/source: .*; trying again/), 'a lost connection beside the stream is noticed');
$before = heartbeats();
ok(wait_until(sub { heartbeats() > $before }), 'and made again');
is($run->finish('TERM'), 0, 'it ends well');

# ---- where a role may not ----

$source->safe_psql('postgres', q{
	CREATE ROLE follower LOGIN REPLICATION;
	REVOKE EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text) FROM PUBLIC});
$run = start_penstock(
	'run', '--source', uri($source) . '&user=follower', '--slot', 's', '--to', 'f=' . uri($target),
	'--heartbeat-interval', '10ms', '--progress-interval', '200ms');
ok($run->wait_for_stderr(qr/could not write a heartbeat: permission denied/), 'a role that may not write messages is told');
$source->safe_psql('postgres', q{INSERT INTO t VALUES (2, 'two')});
ok($target->poll_query_until('postgres', 'SELECT count(*) = 2 FROM t'), 'and followed all the same');
is($run->finish('TERM'), 0, 'it ends well');
is(scalar(() = $run->stderr =~ /could not write a heartbeat/g), 1, 'it was told once');

# ---- the guard ----

$run = start('--retained-wal-max', '8MB');
ok(wait_until(sub { my $s = status(); $s->{ready} && defined $s->{source}{retained_bytes} }), 'within the limit it is ready');
is((penstock('pause', '--state-dir', $state))[0], 0, 'a paused destination holds the slot');
write_wal('other', 'busy', 10);
ok(wait_until(sub { !status()->{ready} }), 'beyond the limit it is not');
like(status()->{reasons}[0], qr/^slot "s" holds back \d+ bytes of WAL, more than retained-wal-max$/, 'and says why');
cmp_ok(status()->{source}{retained_bytes}, '>', 8 * 1024 * 1024, 'with the number');
is(status()->{source}{wal_status}, 'reserved', 'and what the server thinks of it');
ok($run->wait_for_stderr(qr/warning: source: slot "s" holds back \d+ bytes of WAL, more than retained-wal-max \(8388608\)/), 'that is logged');
is((penstock('resume', '--state-dir', $state))[0], 0, 'resumed');
ok(poll_with_checkpoints(q{SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) < 1000000 FROM pg_replication_slots WHERE slot_name = 's'}),
	'the slot lets go');
ok(wait_until(sub { status()->{ready} }), 'and it is ready again');
ok($run->wait_for_stderr(qr/within retained-wal-max again/), 'which is logged too');
is(scalar(() = $run->stderr =~ /more than retained-wal-max/g), 1, 'each once');
is($run->finish('TERM'), 0, 'it ends well');

done_testing();
