# A source that is stopped in order waits for those who stream until they have confirmed everything.
# Where a destination takes nothing that would be for ever: the consumer lets go, and comes back.
use strict;
use warnings;
use IPC::Run ();
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $target = destination_node('target');
$_->safe_psql('postgres', 'CREATE TABLE t(id int PRIMARY KEY)') for $source, $target;
my $penstock = start_penstock('run', '--source', uri($source), '--slot', 's', '--create-slot', '--to', uri($target), '--status-interval', '500ms');
ok($penstock->wait_for_stderr(qr/streaming from/), 'it runs') or BAIL_OUT($penstock->stderr);

# Stop it in order, and wait for that no longer than ten seconds.
sub stops
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $stopped = !system('pg_ctl', '-D', $source->data_dir, '-m', 'fast', '-w', '-t', '10', '-s', 'stop');
	ok($stopped, "$name: the source stops") or diag($penstock->stderr);
	return $stopped ? $source->_update_pid(0) : $source->stop('immediate');
}

# ---- a destination that is locked, and nothing of it can be confirmed ----

my ($in, $out) = ("BEGIN; LOCK TABLE t;\n\\echo held\n", '');
my $holder = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $target->connstr('postgres') ], '<', \$in, '>', \$out);
$holder->pump until $out =~ /held/;
$source->safe_psql('postgres', 'INSERT INTO t SELECT generate_series(1, 100)');
ok($target->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'}), 'a transaction waits');
stops('locked');
$source->start;
$in .= "\\q\n";
$holder->finish;
ok(wait_confirmed($source, 's'), 'it comes back, and all is delivered') or diag($penstock->stderr);
same_rows($source, 'postgres', $target, 'postgres', 't', 'locked');

# ---- one that is down ----

$target->stop('immediate');
$source->safe_psql('postgres', 'INSERT INTO t SELECT generate_series(101, 200)');
stops('down');
$source->start;
$target->start;
ok(wait_confirmed($source, 's'), 'it comes back, and all is delivered') or diag($penstock->stderr);
same_rows($source, 'postgres', $target, 'postgres', 't', 'down');

# ---- and with nothing in the way ----

$source->safe_psql('postgres', 'INSERT INTO t SELECT generate_series(201, 300)');
stops('idle');
$source->start;
ok(wait_confirmed($source, 's'), 'it comes back');
same_rows($source, 'postgres', $target, 'postgres', 't', 'idle');
# ---- a session that is idle is none that ends

$source->append_conf('postgresql.conf', q{idle_session_timeout = 1s});
$source->restart;
$source->safe_psql('postgres', 'INSERT INTO t VALUES (301)');
ok(wait_confirmed($source, 's'), 'with idle_session_timeout it comes back');
my $begun = () = $penstock->stderr =~ /streaming from/g;
sleep 5;
is(scalar(() = $penstock->stderr =~ /streaming from/g), $begun, 'and stays') or diag($penstock->stderr);
is($penstock->finish('TERM'), 0, 'it stops cleanly') or diag($penstock->stderr);

$source->stop;
$target->stop;
done_testing();
