# Tables of a running penstock are copied again, over the control socket, while the stream goes on.
use strict;
use warnings;
use IPC::Run ();
use JSON::PP ();
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $target = destination_node('target');
my $state = "$ENV{TMPDIR}/143_tables";
my $tables = q{
	CREATE TABLE a(id int PRIMARY KEY, n int, t text); CREATE TABLE b(id int PRIMARY KEY, n int);
	CREATE SCHEMA "s.x"; CREATE TABLE "s.x"."T t"(id int PRIMARY KEY, n int)};
mkdir $state;
chmod 0700, $state;
$source->safe_psql('postgres', $tables);
$source->safe_psql('postgres', q{
	CREATE TABLE late(id int PRIMARY KEY, n int); INSERT INTO late VALUES (1, 1), (2, 2);
	CREATE TABLE other(id int PRIMARY KEY);
	CREATE TABLE parted(id int) PARTITION BY RANGE (id);
	INSERT INTO a SELECT g, 0, repeat('x', 100) FROM generate_series(1, 20000) g; INSERT INTO b SELECT g, 0 FROM generate_series(1, 100) g;
	INSERT INTO "s.x"."T t" SELECT g, 0 FROM generate_series(1, 60) g;
	CREATE PROCEDURE write(rounds int, first int) LANGUAGE plpgsql AS $$ BEGIN
		FOR i IN first..first + rounds - 1 LOOP
			UPDATE a SET n = n + 1 WHERE id = 1 + i * 7 % 20000; DELETE FROM a WHERE id = 1 + i * 13 % 20000;
			INSERT INTO a VALUES (100000 + i, i, 'new');
			UPDATE b SET n = n + 1 WHERE id = 1 + i % 100; UPDATE "s.x"."T t" SET n = i WHERE id = 1 + i % 50;
			COMMIT;
		END LOOP;
	END $$});
for my $database ('one', 'two')
{
	$target->safe_psql('postgres', "CREATE DATABASE $database");
	$target->safe_psql($database, $tables);
}
my $kept = destination_node('kept', wal_writer_delay => '200ms');
$kept->safe_psql('postgres', $tables);

my @run = (
	'run', '--source', uri($source), '--slot', 's', '--state-dir', $state, '--progress-interval', '200ms', '--status-interval', '100ms',
	'--tables', 'a,b,s\.x.*,late', '--copy',
	'--to', 'one=' . uri($target, 'one'), '--to', 'two=' . uri($target, 'two'), '--to', 'three=' . uri($kept), '--to', 'cache=memory:');
$_->safe_psql($_ == $kept ? 'postgres' : 'one', 'CREATE TABLE late(id int PRIMARY KEY, n int)') for $target, $kept;
$target->safe_psql('two', 'CREATE TABLE late(id int PRIMARY KEY, n int)');

sub ask { return penstock('tables', @_, '--state-dir', $state); }

sub listed
{
	my ($table, $destination) = @_;
	my ($code, $out) = ask('list', '--json');
	return {} if $code != 0;
	my ($found) = grep { $_->{table} eq $table && $_->{destination} eq $destination } @{ JSON::PP->new->utf8->decode($out)->{tables} };
	return $found // {};
}

sub all_same
{
	my ($name, @names) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_confirmed($source, 's'), "$name: all is delivered");
	for my $table (@names)
	{
		same_rows($source, 'postgres', $target, $_, $table, "$name: $table in $_") for 'one', 'two';
		same_rows($source, 'postgres', $kept, 'postgres', $table, "$name: $table in three");
	}
	return;
}

my $run = start_penstock(@run);
ok($run->wait_for_stderr(qr/streaming from/), 'it runs') or BAIL_OUT($run->stderr);
ok(wait_confirmed($source, 's'), 'and delivers');
my ($code, $out, $err);

# ---- refused, each with its reason, and nothing happens ----

my @refused = (
	[ 'a table that there is not', qr/the source has no table public\.nowhere/, 'nowhere' ],
	[ 'beside one that there is', qr/the source has no table public\.nowhere/, 'b', 'nowhere' ],
	[ 'a pattern', qr/is no name of a table|one by one/, 'public.*' ],
	[ 'a name with three parts', qr/is no name of a table/, 'a.b.c' ],
	[ 'a partitioned table', qr/no table public\.parted .*partitions/, 'parted' ],
	[ 'a table that is not taken', qr/takes no table public\.other/, 'other' ],
	[ 'a destination that there is not', qr/there is no destination "four"/, 'b', '--to', 'four' ],
	[ 'a table in memory', qr/cache is no database: it loads its tables at each start/, 'b', '--to', 'cache' ],
);
for my $case (@refused)
{
	my ($name, $pattern, @args) = @$case;
	($code, $out, $err) = ask('resync', @args);
	is($code, 2, "$name is refused");
	like($err, qr/^penstock tables: .*$pattern/, 'and that is said');
}
is(listed('public.b', 'one')->{rows}, undef, 'nothing is copied');

# ---- under load, at one destination: damaged where the load does not notice ----

my $writer = IPC::Run::start([ 'psql', '-X', '-q', '-d', $source->connstr('postgres'), '-c', 'CALL write(1400, 1)' ]);
$target->safe_psql('one', q{DELETE FROM a WHERE id BETWEEN 19000 AND 20000; UPDATE a SET t = 'damaged' WHERE id % 5 = 0; INSERT INTO a VALUES (-1); DELETE FROM "s.x"."T t" WHERE id > 50});
($code, $out, $err) = ask('resync', 'a', 's\.x.T t', '--to', 'one');
is($code, 0, 'two tables are copied again') or diag("$out$err" . $run->stderr);
like($out, qr/^public\.a +one +ready +2\d{4} rows$/m, 'and it is told how many rows') or diag($out);
like($out, qr/^s\.x\.T t +one +ready +60 rows$/m, 'of each') or diag($out);
unlike($out, qr/two|three/, 'at this destination only');
is($target->safe_psql('one', 'SELECT count(*) FROM a WHERE id = -1'), 0, 'when it is told, the new rows are there');
ok(wait_until(sub { $source->safe_psql('postgres', 'SELECT count(*) FROM a WHERE id >= 100000') > 100 }), 'under load');
($code, $out, $err) = ask('resync', 'a');
is($code, 0, 'once more, at every database') or diag("$out$err");
is(() = $out =~ /^public\.a +\w+ +ready/mg, 3, 'all of them are ready') or diag($out);
ok($writer->finish, 'the writer is done');
all_same('under load', 'a', 'b', '"s.x"."T t"');

# ---- others go on while one is copied ----

my ($in, $held) = ("BEGIN; LOCK TABLE a IN SHARE MODE;\n\\echo held\n", '');
my $holder = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $target->connstr('one') ], '<', \$in, '>', \$held);
$holder->pump until $held =~ /held/;
($code, $out, $err) = ask('resync', 'a', '--to', 'one', '--wait', '0');
is($code, 0, 'who does not wait is told at once') or diag($err);
ok(wait_until(sub { (listed('public.a', 'one')->{state} // '') eq 'copying' }), 'it is listed as copying');
($code, $out, $err) = ask('resync', 'a');
is($code, 2, 'a table that is being copied');
like($err, qr/one: table public\.a is being copied already/, 'is not begun again');
($code, $out, $err) = ask('resync', 'b', '--to', 'two', '--wait', '30');
is($code, 0, 'another, at another destination, does not wait for it') or diag("$out$err");
$source->safe_psql('postgres', 'UPDATE b SET n = -7 WHERE id = 1; UPDATE a SET n = -7 WHERE id = 100001');
ok($target->poll_query_until('one', 'SELECT n = -7 FROM b WHERE id = 1'), 'nor do the changes of another table');
is(listed('public.a', 'one')->{state}, 'copying', 'all the while');
$in .= "\\q\n";
$holder->finish;
ok(wait_until(sub { listed('public.a', 'one')->{state} eq 'ready' }), 'then it gets ready');
all_same('locked', 'a', 'b');

# ---- a table that is not at the destination ----

$target->safe_psql('two', 'DROP TABLE late');
($code, $out, $err) = ask('resync', 'late', '--to', 'two', '--wait', '1');
is($code, 1, 'a table that the destination lacks');
like($out, qr/^public\.late +two +waiting .*: the destination has no such table; create it$/m, 'waits, and it is said for what');
$source->safe_psql('postgres', 'UPDATE b SET n = -8 WHERE id = 1; INSERT INTO late VALUES (3, 3)');
ok($target->poll_query_until('two', 'SELECT n = -8 FROM b WHERE id = 1'), 'others do not');
$target->safe_psql('two', 'CREATE TABLE late(id int PRIMARY KEY, n int)');
ok(wait_until(sub { listed('public.late', 'two')->{state} eq 'ready' }), 'once it is there, it is copied');
all_same('created', 'late', 'b');

# ---- a destination that is down ----

$kept->stop('immediate');
($code, $out, $err) = ask('resync', 'b', '--wait', '2');
is($code, 1, 'a destination that is down') or diag("$out$err");
like($out, qr/^public\.b +three +waiting .*: ./m, 'keeps the table waiting, with a reason') or diag($out);
like($out, qr/^public\.b +$_ +ready /m, "$_ does not wait for it") for 'one', 'two';
$kept->start;
$kept->safe_psql('postgres', 'SET lock_timeout = 0; UPDATE b SET n = 99');
ok(wait_until(sub { (listed('public.b', 'three')->{state} // '') eq 'ready' }), 'when it is back, the table is copied');
all_same('back', 'a', 'b', 'late');
($code, $out, $err) = ask('list');
like($out, qr/^public\.b +three +ready /m, 'and listed');

is($run->finish('TERM'), 0, 'it ends well') or diag($run->stderr);
done_testing();
