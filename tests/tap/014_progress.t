# How far a destination is stands with its data, and the slot never gets ahead of it: what does not
# agree is refused, with what was found and what to do.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $other = source_node('other');
my $target = destination_node('target');
my $names = 0;

$source->safe_psql('postgres', 'CREATE DATABASE second');
for my $where ([ $source, 'postgres' ], [ $source, 'second' ], [ $other, 'postgres' ])
{
	$where->[0]->safe_psql($where->[1], 'CREATE TABLE t(id int PRIMARY KEY); CREATE TABLE u(id int PRIMARY KEY)');
}

# A destination with nothing in it: its database's name.
sub fresh
{
	my $name = 'd' . ++$names;
	$target->safe_psql('postgres', "CREATE DATABASE $name");
	$target->safe_psql($name, 'CREATE TABLE t(id int PRIMARY KEY); CREATE TABLE u(id int PRIMARY KEY)');
	return $name;
}

sub arguments
{
	my ($database, @more) = @_;
	return ('run', '--source', uri($source), '--slot', 's', '--to', uri($target, $database), @more);
}

# A slot `s` and a destination that has everything: its database's name.
sub in_step
{
	drop_slot($source, 's') if $source->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots');
	$source->safe_psql('postgres', 'TRUNCATE t, u');
	my $database = fresh();
	my ($code, $out, $err) = penstock(arguments($database, '--create-slot', '--until', 'current'));
	$source->safe_psql('postgres', 'INSERT INTO t VALUES (1)');
	($code, $out, $err) = penstock(arguments($database, '--until', 'current')) if $code == 0;
	is($target->safe_psql($database, 'SELECT count(*) FROM t'), 1, "$database is in step") or diag($err);
	return $database;
}

sub progress
{
	my ($database) = @_;
	return $target->safe_psql($database, q{SELECT lsn FROM penstock.progress WHERE slot = 's'});
}

sub confirmed
{
	return $source->safe_psql('postgres', q{SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 's'});
}

# Tests: it is refused with this complaint, twice, and nothing moves by that.
sub is_refused
{
	my ($database, $pattern, $name, @arguments) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	@arguments = arguments($database, '--until', 'current') unless @arguments;
	my @before = (progress($database), confirmed(), rows($target, $database, 't'));
	refuses($name, 4, $pattern, @arguments) for 1 .. 2;
	is_deeply([ progress($database), confirmed(), rows($target, $database, 't') ], \@before, "$name: nothing moved");
	return;
}

sub continues
{
	my ($database, $name, @more) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($code, $out, $err) = penstock(arguments($database, '--until', 'current', @more));
	is($code, 0, $name) or diag($err);
	same_rows($source, 'postgres', $target, $database, 't', "$name: nothing is missing");
	return;
}

# ---- the slot is another one, or elsewhere ----

my $d = in_step();
$source->safe_psql('postgres', 'INSERT INTO t VALUES (2)');
released($source, 's');
$source->safe_psql('postgres', q{SELECT pg_replication_slot_advance('s', pg_current_wal_lsn())});
is_refused($d, qr/slot "s" is confirmed up to [0-9A-F\/]+, but the destination has only .* lost .*DELETE FROM penstock.progress WHERE slot = 's'/,
	'a slot that was advanced by somebody');
$source->safe_psql('postgres', 'INSERT INTO t VALUES (3)');
$target->safe_psql($d, q{INSERT INTO t VALUES (2); DELETE FROM penstock.progress WHERE slot = 's'});
continues($d, 'the remedy helps');

drop_slot($source, 's');
is_refused($d, qr/slot "s" does not exist, but a destination has progress for it: .*lost/, 'a slot that is gone');
is_refused($d, qr/slot "s" does not exist, but a destination has progress for it: .*lost/, 'a slot that is gone, with --create-slot',
	arguments($d, '--until', 'current', '--create-slot'));
penstock('slot', 'create', '--source', uri($source), '--slot', 's');
is_refused($d, qr/slot "s" is confirmed up to .*re-created/, 'a slot that was re-created');

$d = in_step();
penstock('slot', 'create', '--source', uri($other), '--slot', 's');
is_refused($d, qr/progress of slot "s" was recorded for system \d+, but this is \d+/, 'another server',
	'run', '--source', uri($other), '--slot', 's', '--to', uri($target, $d), '--until', 'current');
continues($d, 'back at the right server');
drop_slot($source, 's');
penstock('slot', 'create', '--source', uri($source, 'second'), '--slot', 's');
is_refused($d, qr/progress of slot "s" was recorded for database postgres, but this is second/, 'another database',
	'run', '--source', uri($source, 'second'), '--slot', 's', '--to', uri($target, $d), '--until', 'current');

# ---- the destination is another one ----

$d = in_step();
my $old = progress($d);
$source->safe_psql('postgres', 'INSERT INTO t VALUES (2)');
continues($d, 'one row more');
$target->safe_psql($d, "UPDATE penstock.progress SET lsn = '$old'; DELETE FROM t WHERE id = 2");
is_refused($d, qr/slot "s" is confirmed up to .* destination has only what was committed before .*destination restored/, 'a destination that was restored');

$d = in_step();
$target->safe_psql($d, q{UPDATE penstock.progress SET lsn = 'FFFF/0'});
is_refused($d, qr{it has transactions up to FFFF/0, but the source's WAL ends at .*restored}, 'progress beyond the source\'s WAL');

$d = in_step();
$target->safe_psql($d, 'UPDATE penstock.progress SET timeline = 7');
is_refused($d, qr/fed from timeline 7, which is no ancestor of the source's timeline 1/, 'another timeline');
$target->safe_psql($d, 'UPDATE penstock.progress SET timeline = 1');

my $late = fresh();
is_refused($d, qr/./, 'a destination added later', arguments($d, '--to', uri($target, $late), '--until', 'current', '--tables', 'nothing'));
$source->safe_psql('postgres', 'INSERT INTO t VALUES (2)');
my ($code, $out, $err) = penstock(arguments($d, '--to', uri($target, $late), '--until', 'current'));
is($code, 0, 'a second destination may come later') or diag($err);
is($target->safe_psql($late, 'SELECT string_agg(id::text, $$,$$) FROM t'), '2', 'it gets what is new');

# ---- the filter ----

$d = in_step();
is_refused($d, qr/list of tables has changed.* UPDATE penstock.progress SET fingerprint = '\w+' WHERE slot = 's'/, 'other tables',
	arguments($d, '--until', 'current', '--tables', 'public.t'));
($code, $out, $err) = penstock(arguments($d, '--until', 'current', '--tables', 'public.t'));
my ($statement) = $err =~ /(UPDATE penstock.progress SET fingerprint = '\w+' WHERE slot = 's')/;
$target->safe_psql($d, $statement);
$source->safe_psql('postgres', 'INSERT INTO t VALUES (2); INSERT INTO u VALUES (2)');
continues($d, 'the remedy helps', '--tables', 'public.t');
is($target->safe_psql($d, 'SELECT count(*) FROM u'), 0, 'with the new list');

# ---- while it runs ----

$d = in_step();
$target->safe_psql($late, q{DELETE FROM penstock.progress; DROP TABLE t});
my $run = start_penstock(arguments($d, '--to', uri($target, $late), '--progress-interval', '200ms', '--status-interval', '100ms'));
ok($run->wait_for_stderr(qr/streaming/), 'a run streams');
my $start = progress($d);
$source->safe_psql('second', 'INSERT INTO u SELECT generate_series(1, 100)');
my $beyond = $source->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
my $ahead = 0;

# What the slot has confirmed, counting in $ahead where that is beyond a destination.
sub look
{
	my $confirmed = confirmed();
	for my $database ($d, $late)
	{
		$ahead++ if $target->safe_psql($database, "SELECT lsn < '$confirmed' FROM penstock.progress WHERE slot = 's'") eq 't';
	}
	return $confirmed;
}

ok(wait_until(sub {
	my $confirmed = look();
	return $source->safe_psql('postgres', "SELECT '$confirmed'::pg_lsn >= '$beyond'") eq 't';
}), 'progress and slot move although nothing for us happens');
isnt(progress($d), $start, 'the row has moved');

$source->safe_psql('postgres', 'INSERT INTO t VALUES (2)');
ok($run->wait_for_stderr(qr/there is no table .*trying again/), 'one destination cannot go on');
$beyond = $source->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
ok($target->poll_query_until($d, "SELECT lsn >= '$beyond' FROM penstock.progress WHERE slot = 's'"), 'the other does');
for (1 .. 5)
{
	look();
	$source->safe_psql('postgres', "INSERT INTO t VALUES (10 + $_)");
}
is($source->safe_psql('postgres', "SELECT '" . confirmed() . "'::pg_lsn < '$beyond'"), 't', 'the slot waits for the one that cannot');
$target->safe_psql($late, 'CREATE TABLE t(id int PRIMARY KEY)');
ok(wait_confirmed($source, 's'), 'once it can, the slot follows');
is($ahead, 0, 'the slot was never ahead of a destination');
is($target->safe_psql($late, 'SELECT count(*) FROM t'), 6, 'and it has all');
is($run->finish('TERM'), 0, 'the run ends in order') or diag($run->stderr);
is(progress($d), progress($late), 'both at the same place');

$d = in_step();
$old = $target->safe_psql($d, q{SELECT lsn - 1 FROM penstock.progress});
$run = start_penstock(arguments($d));
ok($run->wait_for_stderr(qr/streaming/), 'another run streams');
$target->safe_psql($d, "UPDATE penstock.progress SET lsn = '$old'");
$source->safe_psql('postgres', 'INSERT INTO t VALUES (2)');
is($run->finish, 4, 'progress that somebody sets back while it runs is refused');
like($run->stderr, qr/progress was moved by another session.*slot "s" is confirmed up to/s, 'and told');
is($target->safe_psql($d, 'SELECT count(*) FROM t'), 1, 'and nothing applied');

# ---- until ----

$d = in_step();
($code, $out, $err) = penstock(arguments($d, '--until', 'current')) for 1 .. 3;
is($code, 0, '--until current on an idle server') or diag($err);
my ($seconds) = $err =~ / changes in ([\d.]+) s /;
cmp_ok($seconds, '<', 10, 'does not wait for something to happen');
$source->safe_psql('postgres', 'BEGIN; INSERT INTO t VALUES (9); ROLLBACK; SET synchronous_commit = off; INSERT INTO t VALUES (2)');
continues($d, '--until current, after an asynchronous commit');
$source->safe_psql('postgres', 'INSERT INTO t VALUES (3)');
my $lsn = $source->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
$source->safe_psql('postgres', "INSERT INTO t VALUES ($_)") for 11 .. 20;
($code, $out, $err) = penstock(arguments($d, '--until', $lsn));
is($code, 0, '--until an LSN') or diag($err);
is($target->safe_psql($d, 'SELECT count(*) FROM t WHERE id <= 10'), 3, 'has what was committed before it');
cmp_ok($target->safe_psql($d, 'SELECT count(*) FROM t'), '<', 13, 'and stops there');
continues($d, 'the rest comes next time');
($code, $out, $err) = penstock(arguments($d, '--until', '0/1'));
is($code, 0, '--until an LSN that has long passed') or diag($err);
$run = start_penstock(arguments($d, '--until', 'FF/0'));
ok($run->wait_for_stderr(qr/streaming/) && $run->is_running, '--until an LSN that is far away waits');
is($run->finish('INT'), 0, 'until it is told to stop');

# ---- a new timeline of the same source ----

$d = in_step();
$source->stop;
append_to_file($source->data_dir . '/recovery.signal', '');
$source->append_conf('postgresql.conf', q{restore_command = 'false'});
$source->start;
ok($source->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()'), 'the source begins a new timeline');
is($source->safe_psql('postgres', q{SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 8, 1)}), 2, 'its second');
$source->safe_psql('postgres', 'INSERT INTO t VALUES (2)');
continues($d, 'a descendant of the timeline goes on');
is($target->safe_psql($d, q{SELECT timeline FROM penstock.progress WHERE slot = 's'}), 2, 'and is recorded');
my $switch = $source->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
$target->safe_psql($d, "UPDATE penstock.progress SET timeline = 1, lsn = '$switch'");
is_refused($d, qr/transactions up to $switch of timeline 1, but the source left that timeline at .*promoted/, 'what the old timeline had beyond the switch');

$_->stop for $source, $other, $target;
done_testing();
