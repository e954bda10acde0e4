# Tables are added to a running penstock, and removed from it; that outlives restarts and kills, and
# destinations that are down meanwhile.
use strict;
use warnings;
use IPC::Run ();
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $target = destination_node('target');
my $kept = destination_node('kept', wal_writer_delay => '200ms');
my $state = "$ENV{TMPDIR}/144_tables_amended";
my $tables = q{
	CREATE TABLE a(id int PRIMARY KEY, n int); CREATE TABLE b(id int PRIMARY KEY, n int, t text);
	CREATE TABLE c(id int PRIMARY KEY, n int); CREATE SCHEMA "s.x"; CREATE TABLE "s.x"."T, t"(id int PRIMARY KEY, n int)};
mkdir $state;
chmod 0700, $state;
$_->safe_psql('postgres', $tables) for $source, $kept;
$target->safe_psql('postgres', 'CREATE DATABASE one');
$target->safe_psql('one', $tables);
$source->safe_psql('postgres', q{
	INSERT INTO a SELECT g, 0 FROM generate_series(1, 100) g; INSERT INTO b SELECT g, 0, repeat('x', 100) FROM generate_series(1, 10000) g;
	INSERT INTO c VALUES (1, 1), (2, 2); INSERT INTO "s.x"."T, t" VALUES (1, 1);
	CREATE TABLE told();
	CREATE PROCEDURE write(rounds int, first int) LANGUAGE plpgsql AS $$ BEGIN
		FOR i IN first..first + rounds - 1 LOOP
			UPDATE a SET n = n + 1 WHERE id = 1 + i % 100;
			UPDATE b SET n = n + 1 WHERE id = 1 + i * 7 % 10000; DELETE FROM b WHERE id = 1 + i * 13 % 10000; INSERT INTO b VALUES (1000000 + i, i, 'new');
			INSERT INTO c VALUES (1000000 + i, i);
			COMMIT;
			EXIT WHEN EXISTS (SELECT FROM told);
		END LOOP;
	END $$});

my @run = (
	'run', '--source', uri($source), '--slot', 's', '--state-dir', $state, '--progress-interval', '200ms', '--status-interval', '100ms',
	'--to', 'one=' . uri($target, 'one'), '--to', 'kept=' . uri($kept));

sub ask { return penstock('tables', @_, '--state-dir', $state); }

sub start
{
	my $run = start_penstock(@run, '--tables', 'a', @_);
	$run->wait_for_stderr(qr/streaming from/) or BAIL_OUT('it does not start: ' . $run->stderr);
	return $run;
}

sub state_of { return $_[0]->safe_psql($_[1], "SELECT state FROM penstock.tables WHERE table_name = '$_[2]'"); }

sub same
{
	my ($name, @names) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_confirmed($source, 's'), "$name: all is delivered");
	for my $table (@names)
	{
		same_rows($source, 'postgres', $target, 'one', $table, "$name: $table in one");
		same_rows($source, 'postgres', $kept, 'postgres', $table, "$name: $table in kept");
	}
	return;
}

my $run = start('--copy');
my ($code, $out, $err);

# ---- refused ----

my @refused = (
	[ 'add', 'a table that there is not', qr/the source has no table public\.nowhere/, 'nowhere' ],
	[ 'add', 'one that is taken', qr/destination one takes table public\.a already/, 'a' ],
	[ 'add', 'one twice', qr/takes table public\.b already/, 'b', 'public.b' ],
	[ 'remove', 'one that is not taken', qr/destination one does not take table public\.b/, 'b' ],
	[ 'add', 'a destination that there is not', qr/there is no destination "four"/, 'b', '--to', 'four' ],
);
for my $case (@refused)
{
	my ($action, $name, $pattern, @args) = @$case;
	($code, $out, $err) = ask($action, @args);
	is($code, 2, "$action: $name is refused");
	like($err, qr/^penstock tables: .*$pattern/, 'and that is said');
}
ok(!-e "$state/s/tables", 'nothing is written');

# ---- added under load, at both ----

my $writer = IPC::Run::start([ 'psql', '-X', '-q', '-d', $source->connstr('postgres'), '-c', 'CALL write(1000000, 1)' ]);
ok($target->poll_query_until('one', 'SELECT sum(n) > 100 FROM a'), 'a load runs');
($code, $out, $err) = ask('add', 'b', 's\.x.T\, t');
is($code, 0, 'two tables are added') or diag("$out$err" . $run->stderr);
like($out, qr/^public\.b +$_ +ready /m, "one is ready at $_") for 'one', 'kept';
like($out, qr/^s\.x\.T, t +$_ +ready /m, "the other is ready at $_") for 'one', 'kept';
ok($source->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE query ~ '^CALL write'}), 'still under load');
($code, $out, $err) = ask('remove', 'a', '--to', 'kept');
is($code, 0, 'a table is removed from one destination') or diag("$out$err");
like($out, qr/^public\.a +kept +removed /m, 'which is told');
my $before = $kept->safe_psql('postgres', 'SELECT sum(n) FROM a');
ok($kept->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM penstock.tables WHERE table_name = 'a')}), 'its record goes');
$source->safe_psql('postgres', 'INSERT INTO told DEFAULT VALUES');
ok($writer->finish, 'the writer is done');
$source->safe_psql('postgres', 'DROP TABLE told; CREATE VIEW told AS SELECT WHERE false');
same('added', 'b', '"s.x"."T, t"');
same_rows($source, 'postgres', $target, 'one', 'a', 'a goes on at the other');
is($kept->safe_psql('postgres', 'SELECT sum(n) FROM a'), $before, 'and is as it was where it was removed');
is($target->safe_psql('one', 'SELECT count(*) FROM c'), 0, 'a table that nobody wants does not come');

# ---- it outlives the end, and a kill ----

is($run->finish('TERM'), 0, 'it ends well') or diag($run->stderr);
$source->safe_psql('postgres', 'CALL write(50, 5000000)');
$run = start();
same('after a restart', 'b', '"s.x"."T, t"');
is($kept->safe_psql('postgres', 'SELECT sum(n) FROM a'), $before, 'what was removed stays so');

# Killed when it is written and not yet known at the destinations.
$run->kill9;
append_to_file("$state/s/tables", "+ one public.c\n- one public.c\n+ one public.c\n+ kept public.c\n");
$source->safe_psql('postgres', 'CALL write(50, 6000000)');
$run = start();
ok($target->poll_query_until('one', q{SELECT state = 'ready' FROM penstock.tables WHERE table_name = 'c'}), 'killed in the middle: the next start goes on');
ok($kept->poll_query_until('postgres', q{SELECT state = 'ready' FROM penstock.tables WHERE table_name = 'c'}), 'at the other too');
same('killed', 'b', 'c');

# ---- a destination that is down ----

$kept->stop('immediate');
($code, $out, $err) = ask('remove', 'b', '--wait', '0');
is($code, 0, 'a table is removed while a destination is down') or diag($err);
($code, $out, $err) = ask('add', 'a', '--to', 'kept', '--wait', '0');
is($code, 0, 'another one is added there') or diag($err);
$source->safe_psql('postgres', 'CALL write(50, 7000000)');
ok(wait_until(sub { (ask('list'))[1] =~ /^public\.b +one +removed/m }), 'it is removed where it can be');
$kept->start;
ok($kept->poll_query_until('postgres', q{SELECT count(*) = 1 FROM penstock.tables WHERE table_name = 'a' AND state = 'ready'}), 'when it is back, all comes about');
same('back', 'a', 'c');
is(state_of($kept, 'postgres', 'b'), '', 'what was removed too');

# ---- paused and resumed meanwhile ----

penstock('pause', 'one', '--state-dir', $state);
($code, $out, $err) = ask('add', 'b', '--to', 'one', '--wait', '0');
is($code, 0, 'a paused destination gets a table') or diag($err);
ok((penstock('status', '--state-dir', $state))[1] =~ /^one +paused/m, 'and stays paused');
$source->safe_psql('postgres', 'CALL write(50, 8000000)');
penstock('resume', 'one', '--state-dir', $state);
ok($target->poll_query_until('one', q{SELECT count(*) = 1 FROM penstock.tables WHERE table_name = 'b' AND state = 'ready'}), 'it comes when it is resumed');
ok(wait_confirmed($source, 's'), 'delivered');
same_rows($source, 'postgres', $target, 'one', 'b', 'and is like the source');
is($run->finish('TERM'), 0, 'it ends well') or diag($run->stderr);

# ---- without its file ----

rename "$state/s/tables", "$state/tables.away" or BAIL_OUT("rename: $!");
refuses('without the file the list of tables is another', 4, qr/the list of tables has changed/, @run, '--tables', 'a', '--until', 'current');
append_to_file("$state/s/tables", "+ one\n");
refuses('a damaged file is refused', 2, qr/tables, which lists tables that were added and removed/, @run, '--tables', 'a', '--until', 'current');
rename "$state/tables.away", "$state/s/tables" or BAIL_OUT("rename: $!");
is((penstock(@run, '--tables', 'a', '--until', 'current'))[0], 0, 'with it all is well');

done_testing();
