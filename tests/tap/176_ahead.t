# Transactions in progress are applied ahead of their commit, unseen; and whatever happens to that, what
# is there in the end is what would be there without it.
use strict;
use warnings;
use Penstock;
use Session;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $tmp = $PostgreSQL::Test::Utils::tmp_check;
my $source = source_node('source', logical_decoding_work_mem => '64kB');
my $follower = destination_node('follower');
my $schema = q{
	CREATE TABLE big (id int PRIMARY KEY, u int, t text);
	CREATE TABLE other (id int PRIMARY KEY, t text);
	CREATE TABLE small (id int PRIMARY KEY, u int);
	CREATE TABLE full_rows (a int, b text);
	ALTER TABLE full_rows REPLICA IDENTITY FULL;};
$source->safe_psql('postgres', $schema);
$follower->safe_psql('postgres', $schema);

my @run = ('run', '--verbose', '--source', uri($source), '--slot', 's', '--to', 'f=' . uri($follower),
	'--progress-interval', '100ms', '--status-interval', '100ms', '--state-dir', "$tmp/state");
is((penstock('slot', 'create', '--source', uri($source), '--slot', 's'))[0], 0, 'slot created');
my $penstock;
my $one = Session->new($source, 'postgres');
my $two = Session->new($source, 'postgres');
my $id = 0;

# Statements that insert so many rows into a table, each large enough to be streamed.
sub fill
{
	my ($table, $count) = @_;
	my $from = $id + 1;
	$id += $count;
	my $u = $table eq 'big' ? 'i, ' : '';
	return "INSERT INTO $table SELECT i, ${u}md5(i::text) FROM generate_series($from, $id) i";
}

# A session at a destination has changed the table, and not committed.
sub is_ahead
{
	my ($node, $table, $database) = @_;
	return $node->safe_psql($database // 'postgres', qq{
		SELECT count(*) FROM pg_locks
		WHERE relation = '$table'::regclass AND mode = 'RowExclusiveLock' AND granted}) > 0;
}

sub goes_ahead
{
	my ($name, $node, $table, $database) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(wait_until(sub { is_ahead($node, $table, $database) }), "$name: it is applied before its commit");
}

sub counters
{
	my ($name) = @_;
	my (undef, $out) = penstock('status', '--json', '--state-dir', "$tmp/state");
	my ($found) = grep { $_->{name} eq ($name // 'f') } @{ decode_json($out)->{destinations} };
	return ($found->{applied_ahead}, $found->{ahead_undone});
}

# What was applied ahead and undone since the last time, both in one text.
my ($ahead, $undone);

sub since
{
	my @now = counters(@_);
	my $text = ($now[0] - $ahead) . ' applied, ' . ($now[1] - $undone) . ' undone';
	($ahead, $undone) = @now;
	return $text;
}

sub begin
{
	$penstock = start_penstock(@run, @_);
	$penstock->wait_for_stderr(qr/streaming from slot/);
	wait_until(sub { (penstock('status', '--json', '--state-dir', "$tmp/state"))[1] =~ /"state": "streaming"/ });
	wait_confirmed($source, 's');
	($ahead, $undone) = counters();
	return;
}

sub arrived
{
	my ($name, @tables) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_confirmed($source, 's') or diag('not confirmed');
	same_rows($source, 'postgres', $follower, 'postgres', $_, "$name: $_ is equal") for @tables;
	return;
}

# ---- as it should be ----

begin();
$one->run('BEGIN; ' . fill('big', 5000));
goes_ahead('one', $follower, 'big');
$source->safe_psql('postgres', 'INSERT INTO small VALUES (1, 1); UPDATE small SET u = 2');
arrived('what commits meanwhile', 'small');
is($follower->safe_psql('postgres', 'SELECT count(*) FROM big'), 0, 'nobody sees the other');
is($follower->safe_psql('postgres', "SELECT count(*) FROM penstock.tables WHERE table_name = 'big'"), 0, 'nor what is recorded of it');
$one->run('UPDATE big SET t = t || id WHERE id % 3 = 0; DELETE FROM big WHERE id % 7 = 0; UPDATE big SET id = -id WHERE id % 100 = 1');
$one->run(fill('other', 3000) . '; UPDATE small SET u = 3');
$source->safe_psql('postgres', 'INSERT INTO small SELECT i, i FROM generate_series(10, 20) i');
wait_confirmed($source, 's');
$one->run('COMMIT');
arrived('one', qw(big other small));
is(since(), '1 applied, 0 undone', 'one: it was applied ahead');

# Rows that it changes were changed before by others, up to the last moment; and after it.
for my $round (1 .. 4)
{
	$source->safe_psql('postgres', "UPDATE big SET u = u + 1 WHERE id % 5 = $round % 5");
	$one->run("BEGIN; UPDATE big SET t = md5(t), u = u * 2");
	$source->safe_psql('postgres', 'UPDATE small SET u = u + 1');
	$one->run('INSERT INTO full_rows SELECT i % 50, i % 3 FROM generate_series(1, 3000) i; DELETE FROM full_rows WHERE a < 10; UPDATE full_rows SET b = b || a WHERE a = 20');
	$one->run('COMMIT');
	$source->safe_psql('postgres', 'UPDATE big SET u = u + 1 WHERE id % 2 = 0; DELETE FROM full_rows WHERE a = 11');
}
arrived('rows of others', qw(big small full_rows));
like(since(), qr/^[1-9]\d* applied, 0 undone$/, 'rows of others: applied ahead');

# The first goes ahead, another one beside it comes at its commit.
$one->run('BEGIN; ' . fill('big', 3000));
goes_ahead('two at once', $follower, 'big');
$two->run('BEGIN; ' . fill('other', 3000));
$one->run(fill('big', 3000));
$two->run(fill('other', 3000) . '; COMMIT');
arrived('the second of two', 'other');
$one->run('COMMIT');
arrived('the first of two', 'big');
is(since(), '1 applied, 0 undone', 'two at once: one was');

# ---- what is not applied ahead ----

# A part that is rolled back.
$one->run('BEGIN; ' . fill('big', 2000) . '; SAVEPOINT a; ' . fill('big', 2000));
goes_ahead('a savepoint', $follower, 'big');
$one->run('ROLLBACK TO a; ' . fill('other', 2000) . '; COMMIT');
arrived('a savepoint', qw(big other));
is(since(), '0 applied, 1 undone', 'a savepoint: undone');

# A savepoint that is kept is no reason.
$one->run('BEGIN; SAVEPOINT a; ' . fill('big', 2000) . '; RELEASE a; SAVEPOINT b; UPDATE big SET t = 1 WHERE id % 9 = 0; COMMIT');
arrived('savepoints that stay', 'big');
is(since(), '1 applied, 0 undone', 'savepoints that stay: applied');

# All of it.
$one->run('BEGIN; ' . fill('big', 3000) . '; DELETE FROM other');
goes_ahead('a rollback', $follower, 'big');
$one->run('ROLLBACK');
$source->safe_psql('postgres', 'UPDATE small SET u = u + 1');
arrived('a rollback', qw(big other small));
ok(wait_until(sub { !is_ahead($follower, 'big') }), 'a rollback: it is undone at once');
is(since(), '0 applied, 1 undone', 'a rollback: undone');

# A truncate comes at the commit, and so does what a later version of a table has.
$one->run('BEGIN; ' . fill('big', 2000));
goes_ahead('a truncate', $follower, 'big');
$one->run('TRUNCATE other; ' . fill('other', 2000) . '; COMMIT');
arrived('a truncate', qw(big other));
is(since(), '0 applied, 1 undone', 'a truncate: undone');
$follower->safe_psql('postgres', "ALTER TABLE other ADD COLUMN c int");
$one->run('BEGIN; ' . fill('other', 2000));
goes_ahead('a change of the table', $follower, 'other');
$one->run('ALTER TABLE other ADD COLUMN c int; INSERT INTO other SELECT -i, 1, i FROM generate_series(1, 2000) i; COMMIT');
arrived('a change of the table', 'other');
is(since(), '0 applied, 1 undone', 'a change of the table: undone');

# A trigger that would see what is there before the commit.
$follower->safe_psql('postgres', q{
	CREATE TABLE seen (n bigint);
	CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.seen SELECT count(*) FROM public.small; RETURN NULL; END';
	CREATE TRIGGER see AFTER INSERT ON full_rows FOR EACH STATEMENT EXECUTE FUNCTION see();
	ALTER TABLE full_rows ENABLE ALWAYS TRIGGER see;});
$penstock->finish('TERM');
begin();
$one->run('BEGIN; INSERT INTO full_rows SELECT i, 1 FROM generate_series(1000, 1999) i');
$source->safe_psql('postgres', 'INSERT INTO small VALUES (1000, 1)');
arrived('before a trigger', 'small');
$one->run('COMMIT');
arrived('a trigger', 'full_rows');
is($follower->safe_psql('postgres', 'SELECT count(*) FROM seen WHERE n <> (SELECT count(*) FROM small)'), 0, 'a trigger sees what it would see');
# With what was sent a second time, and is there.
like(since(), qr/^0 applied, [12] undone$/, 'a trigger: undone');
$follower->safe_psql('postgres', 'DROP TRIGGER see ON full_rows');

# ---- locks ----

# Somebody there holds a row: it does not wait for long, and holds up nobody.
my $lock = Session->new($follower, 'postgres');
$lock->run('BEGIN; SELECT FROM big WHERE id % 10 = 0 FOR UPDATE');
$one->run('BEGIN; UPDATE big SET u = u + 1');
$source->safe_psql('postgres', 'UPDATE small SET u = u + 1');
arrived('a lock', 'small');
ok(wait_until(sub { !is_ahead($follower, 'big') }), 'a lock: it is undone');
$lock->run('COMMIT');
$one->run('COMMIT');
arrived('a lock', 'big');
is(since(), '0 applied, 1 undone', 'a lock: undone');

# A key that the source has not: what commits meanwhile waits for the transaction that is ahead, which
# comes after it.
$follower->safe_psql('postgres', 'CREATE TABLE keys (id int PRIMARY KEY, u int UNIQUE); ');
$source->safe_psql('postgres', 'CREATE TABLE keys (id int PRIMARY KEY, u int)');
$one->run('BEGIN; INSERT INTO keys SELECT i, i FROM generate_series(1, 3000) i');
goes_ahead('a clash', $follower, 'keys');
$source->safe_psql('postgres', 'INSERT INTO keys VALUES (5000, 5)');
is($follower->poll_query_until('postgres', 'SELECT count(*) = 1 FROM keys'), 1, 'a clash: the first to commit is first');
$source->safe_psql('postgres', 'DELETE FROM keys WHERE id = 5000');
$one->run('COMMIT');
arrived('a clash', 'keys');
is(since(), '0 applied, 1 undone', 'a clash: undone');

# The same where the transaction stays in the way in the end: as without all this.
$one->run('BEGIN; UPDATE keys SET id = id + 10000');
$one->run('INSERT INTO keys SELECT i, i FROM generate_series(20001, 23000) i');
goes_ahead('a lasting clash', $follower, 'keys');
$source->safe_psql('postgres', 'INSERT INTO keys VALUES (9999, 20005)');
$one->run('COMMIT');
ok($penstock->wait_for_stderr(qr/destination is stopped/), 'a lasting clash stops the destination');
like($penstock->stderr, qr/error: destination f: INSERT .*duplicate key/, 'a lasting clash: with its error');
$penstock->finish;
$follower->safe_psql('postgres', 'ALTER TABLE keys DROP CONSTRAINT keys_u_key');
begin();
arrived('a lasting clash, mended', 'keys');

# A change of a table there waits for the transaction that is ahead, and what commits meanwhile behind it.
$one->run('BEGIN; ' . fill('big', 3000));
goes_ahead('an ALTER TABLE', $follower, 'big');
$lock->run("SET statement_timeout = '30s'");
my $alter = IPC::Run::start([ 'psql', '-X', '-q', '-d', $follower->connstr('postgres'), '-c', 'ALTER TABLE big ADD COLUMN own int' ]);
$follower->poll_query_until('postgres', 'SELECT count(*) > 0 FROM pg_locks WHERE NOT granted');
$source->safe_psql('postgres', "UPDATE big SET u = 0 WHERE id = (SELECT max(id) FROM big)");
wait_confirmed($source, 's');
ok($alter->finish, 'an ALTER TABLE there comes through');
$one->run('COMMIT');
wait_confirmed($source, 's');
$follower->safe_psql('postgres', 'ALTER TABLE big DROP COLUMN own');
arrived('an ALTER TABLE', 'big');
is($follower->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_origin'), 2, 'its session has an origin, too');

# ---- sudden ends ----

sub kill_consumer
{
	$penstock->kill9;
	begin();
	return;
}

# In the middle of it.
$one->run('BEGIN; ' . fill('big', 3000));
goes_ahead('a kill', $follower, 'big');
kill_consumer();
# The server streams again what is behind the point from which it decodes.
$one->run(fill('big', 1000));
goes_ahead('after a kill', $follower, 'big');
$source->safe_psql('postgres', 'UPDATE small SET u = u + 1');
$one->run('UPDATE big SET t = 1 WHERE id % 2 = 0; COMMIT');
arrived('a kill', qw(big small));
is(since(), '1 applied, 0 undone', 'a kill: applied ahead the second time');

# Between its commit and ours: a lock holds up what is left of it.
$one->run('BEGIN; ' . fill('big', 3000));
goes_ahead('a kill at the commit', $follower, 'big');
$lock->run('BEGIN; LOCK TABLE other IN SHARE MODE');
$one->run('INSERT INTO other VALUES (500001); INSERT INTO other VALUES (500002); COMMIT');
$follower->poll_query_until('postgres', 'SELECT count(*) > 0 FROM pg_locks WHERE NOT granted');
$penstock->kill9;
$lock->run('COMMIT');
begin();
arrived('a kill at the commit', qw(big other));

# The session of it alone, and the destination.
since();
$one->run('BEGIN; ' . fill('big', 3000));
goes_ahead('a lost session', $follower, 'big');
$follower->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'big'::regclass AND mode = 'RowExclusiveLock'});
$source->safe_psql('postgres', 'UPDATE small SET u = u + 1');
arrived('a lost session', 'small');
$one->run(fill('big', 3000) . '; COMMIT');
arrived('a lost session', 'big');
is(since(), '0 applied, 1 undone', 'a lost session: undone');
$one->run('BEGIN; ' . fill('big', 3000));
goes_ahead('a crash there', $follower, 'big');
$follower->stop('immediate');
$source->safe_psql('postgres', 'UPDATE small SET u = u + 1');
$follower->start;
$one->run(fill('big', 3000) . '; COMMIT');
arrived('a crash there', qw(big small));

# The first session alone: the destination begins again, and the transaction does not go ahead again.
since();
$one->run('BEGIN; ' . fill('big', 3000));
goes_ahead('the first session', $follower, 'big');
$follower->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
	AND pid NOT IN (SELECT pid FROM pg_locks WHERE relation = 'big'::regclass AND mode = 'RowExclusiveLock')});
$penstock->wait_for_stderr(qr/f: open again.*f: open again/s);
$one->run(fill('big', 3000) . '; COMMIT');
arrived('the first session', 'big');
is(since(), '0 applied, 1 undone', 'the first session: not again');

# The source's end.
$one->run('BEGIN; ' . fill('big', 3000));
goes_ahead('a cut stream', $follower, 'big');
$source->safe_psql('postgres', 'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots');
$one->run(fill('big', 3000) . '; COMMIT');
arrived('a cut stream', 'big');

# Pausing, and resuming.
$one->run('BEGIN; ' . fill('big', 3000));
goes_ahead('a pause', $follower, 'big');
is((penstock('pause', 'f', '--state-dir', "$tmp/state"))[0], 0, 'paused');
ok(wait_until(sub { !is_ahead($follower, 'big') }), 'a pause undoes it');
$one->run(fill('big', 3000) . '; COMMIT');
is((penstock('resume', 'f', '--state-dir', "$tmp/state"))[0], 0, 'resumed');
arrived('a pause', 'big');

# A table that is copied anew while it goes on.
$one->run('BEGIN; ' . fill('big', 3000));
goes_ahead('a resync', $follower, 'big');
my $resync = IPC::Run::start([ $ENV{PENSTOCK}, qw(tables resync other --to f --state-dir), "$tmp/state" ], '>', '/dev/null', '2>', '/dev/null');
ok(wait_until(sub { !is_ahead($follower, 'big') }), 'a resync undoes it');
$one->run('INSERT INTO other SELECT i, 1 FROM generate_series(600001, 603000) i; COMMIT');
ok($resync->finish, 'a resync comes through');
arrived('a resync', qw(big other));

# ---- settings ----

$penstock->finish('TERM');
for my $option (qw(--apply-ahead=off --on-conflict=upsert --streaming=off))
{
	begin($option);
	$one->run('BEGIN; ' . fill('big', 3000));
	$source->safe_psql('postgres', 'UPDATE small SET u = u + 1');
	arrived($option, 'small');
	ok(!is_ahead($follower, 'big'), "$option: nothing is there before the commit");
	$one->run('COMMIT');
	arrived($option, 'big');
	like(since(), qr/^0 applied/, "$option: not ahead");
	is($penstock->finish('TERM'), 0, "$option: it ends in order");
}

# Two destinations, of which one does not move: the other does not wait.
$follower->safe_psql('postgres', 'CREATE DATABASE second');
$follower->safe_psql('second', $schema . 'ALTER TABLE other ADD COLUMN c int; CREATE TABLE keys (id int PRIMARY KEY, u int)');
$source->safe_psql('postgres', 'TRUNCATE big, other, small, full_rows, keys');
begin();
arrived('emptied', qw(big other small));
$penstock->finish('TERM');
begin('--to', 'second=' . uri($follower, 'second'), '--memory-limit', '16MB');
wait_until(sub { (penstock('status', '--json', '--state-dir', "$tmp/state"))[1] !~ /"state": "(?!streaming)/ });
$source->safe_psql('postgres', 'INSERT INTO small VALUES (1, 1)');
wait_confirmed($source, 's');
my $stuck = Session->new($follower, 'second');
$stuck->run('BEGIN; LOCK TABLE small IN SHARE MODE');
$source->safe_psql('postgres', 'UPDATE small SET u = 2');
$one->run('BEGIN; INSERT INTO big SELECT i, i, repeat(md5(i::text), 10) FROM generate_series(1, 40000) i');
goes_ahead('beside one that is stuck', $follower, 'big');
$source->safe_psql('postgres', 'UPDATE small SET u = 3');
ok($follower->poll_query_until('postgres', 'SELECT u = 3 FROM small'), 'beside one that is stuck: what commits comes');
$one->run('INSERT INTO big SELECT i, i, repeat(md5(i::text), 10) FROM generate_series(50001, 90000) i; COMMIT');
ok($follower->poll_query_until('postgres', 'SELECT count(*) = 80000 FROM big'), 'beside one that is stuck: it comes');
is(since(), '1 applied, 0 undone', 'beside one that is stuck: ahead');
$stuck->run('COMMIT');
arrived('beside one that was stuck', qw(big small));
same_rows($source, 'postgres', $follower, 'second', $_, "the one that was stuck: $_ is equal") for qw(big small);

# One that is away is fed on disk, and the other goes ahead; what it reads there is whole.
is((penstock('pause', 'second', '--state-dir', "$tmp/state"))[0], 0, 'the second is paused');
wait_until(sub { (penstock('status', '--json', '--state-dir', "$tmp/state"))[1] =~ /"spooling": true/ });
$one->run('BEGIN; UPDATE big SET u = u + 1 WHERE id < 5000');
goes_ahead('beside one that is away', $follower, 'big');
is((penstock('resume', 'second', '--state-dir', "$tmp/state"))[0], 0, 'and back');
$one->run('UPDATE big SET u = u * 2 WHERE id < 5000; COMMIT');
arrived('beside one that is away', 'big');
same_rows($source, 'postgres', $follower, 'second', 'big', 'the one that was away: big is equal');
is($penstock->finish('TERM'), 0, 'it ends in order');
is($follower->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}), 0, 'and leaves no session');

# ---- anything, at any time ----

# Transactions of all sizes side by side, some of them rolled back in part or as a whole, with rows that they
# contend for; the consumer, its sessions and the stream end now and then.
my $random = q{
	CREATE TABLE hot (id int PRIMARY KEY, v int);
	CREATE TABLE log (id int PRIMARY KEY, who int, v int);};
$_->[0]->safe_psql($_->[1], $random) for [ $source, 'postgres' ], [ $follower, 'postgres' ];
$source->safe_psql('postgres', 'INSERT INTO hot SELECT i, 0 FROM generate_series(1, 20) i; CREATE SEQUENCE ids');
append_to_file("$tmp/random.sql", <<'END');
\set n random(1, 40)
\set k random(1, 20)
\set end random(1, 10)
BEGIN;
INSERT INTO log SELECT nextval('ids'), :client_id, i FROM generate_series(1, :n * :n) i;
SAVEPOINT a;
UPDATE log SET v = v + 1 WHERE who = :client_id AND id % 7 = :k % 7;
\if :end = 1
ROLLBACK TO a;
\endif
DELETE FROM log WHERE who = :client_id AND id % 11 = :k % 11;
UPDATE hot SET v = v + 1 WHERE id = :k;
INSERT INTO log SELECT nextval('ids'), :client_id, i FROM generate_series(1, :n * 10) i;
\if :end = 2
ROLLBACK;
\else
COMMIT;
\endif
END
begin();
my $load = IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-T', 8, '-f', "$tmp/random.sql", $source->connstr('postgres') ], '>', '/dev/null', '2>', "$tmp/random.err");
for my $round (1 .. 4)
{
	select(undef, undef, undef, 1 + rand);
	$follower->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND random() < 0.5}) if $round == 2;
	$source->safe_psql('postgres', q{SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active}) if $round == 4;
	kill_consumer() if $round % 2 == 1;
}
ok($load->finish, 'transactions of all sizes') or diag(slurp_file("$tmp/random.err"));
arrived('anything', qw(hot log));
cmp_ok($source->safe_psql('postgres', 'SELECT sum(v) FROM hot'), '>', 100, 'there was something to do');
$one->run('BEGIN; UPDATE hot SET v = -v; UPDATE log SET v = -v');
$one->run('COMMIT');
arrived('one more', qw(hot log));
cmp_ok((counters())[0], '>', 0, 'and some of it went ahead');
is($penstock->finish('TERM'), 0, 'it ends in order');

$_->quit for $one, $two, $lock, $stuck;
done_testing();
