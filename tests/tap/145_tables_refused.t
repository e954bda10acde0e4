# What cannot be copied beside the stream is refused, with a way out: tables with another name at the
# destination, destinations whose tables are mapped, and prepared transactions in a table under copy.
use strict;
use warnings;
use IPC::Run ();
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $state = "$ENV{TMPDIR}/145_tables_refused";
mkdir $state;
chmod 0700, $state;
my $source = source_node('source');
my $target = destination_node('target');
my $tables = 'CREATE TABLE a(id int PRIMARY KEY, n int); CREATE TABLE b(id int PRIMARY KEY, n int); CREATE TABLE other(id int PRIMARY KEY, n int)';
$source->safe_psql('postgres', $tables);
$target->safe_psql('postgres', "CREATE DATABASE $_") for 'mapped', 'plain';
$target->safe_psql($_, $tables) for 'mapped', 'plain';

my $ini = "$state/penstock.ini";
append_to_file($ini, "[source]\nconninfo = " . uri($source) . "\nslot = s\nstate_dir = $state\nstatus_interval = 100ms\nprogress_interval = 100ms\ntwo_phase = on\n"
	  . join('', map { "[destination $_]\nto = " . uri($target, $_) . "\ntables = a\n" } 'mapped', 'plain')
	  . "[table public.a]\ndestination = mapped\nto = public.other\n");
is((penstock('slot', 'create', '--source', uri($source), '--slot', 's', '--two-phase'))[0], 0, 'a slot');
$source->safe_psql('postgres', 'INSERT INTO a SELECT g, 0 FROM generate_series(1, 100) g');
my $run = start_penstock('run', '--config', $ini);
ok($run->wait_for_stderr(qr/streaming from/), 'it runs') or BAIL_OUT($run->stderr);
ok(wait_confirmed($source, 's'), 'and delivers');

sub ask { return penstock(@_, '--state-dir', $state); }

sub is_refused
{
	my ($name, $pattern, @command) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($code, $out, $err) = ask(@command);
	is($code, 2, "$name is refused");
	like($err, $pattern, "$name: and why");
	return;
}

sub state_of
{
	my ($name) = @_;
	my ($state_told) = (ask('status'))[1] =~ /^$name +(\w+)/m;
	return $state_told // '';
}

is_refused('a table with another name', qr/destination mapped: table public\.a has another name there/, 'tables', 'resync', 'a', '--to', 'mapped');
is_refused('one more table where others are mapped', qr/destination mapped has \[table\] sections/, 'tables', 'add', 'b', '--to', 'mapped');
is_refused('to take out what has another name', qr/another name there/, 'tables', 'remove', 'a', '--to', 'mapped');

# ---- a prepared transaction in a table under copy ----

my ($in, $held) = ("BEGIN; LOCK TABLE a IN SHARE MODE;\n\\echo held\n", '');
my $holder = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $target->connstr('plain') ], '<', \$in, '>', \$held);
$holder->pump until $held =~ /held/;
is((ask('tables', 'resync', 'a', '--to', 'plain', '--wait', '0'))[0], 0, 'a copy is asked for');
ok($target->poll_query_until('plain', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ '^DELETE'}), 'and held up');
$source->safe_psql('postgres', q{BEGIN; INSERT INTO a VALUES (1000, 1); PREPARE TRANSACTION 'p'});
ok(wait_until(sub { state_of('plain') eq 'stopped' }), 'what is prepared there stops the destination') or diag($run->stderr);
like($run->stderr, qr/table public\.a is being copied, and a transaction that is prepared changes it; take the table out \(penstock tables remove\)/, 'with the way out');
is(state_of('mapped'), 'streaming', 'and no other');
$in .= "\\q\n";
$holder->finish;

is((ask('tables', 'remove', 'a', '--to', 'plain', '--wait', '0'))[0], 0, 'which is taken');
is((ask('resume', 'plain'))[0], 0, 'it goes on') or diag($run->stderr);
$source->safe_psql('postgres', q{COMMIT PREPARED 'p'; UPDATE a SET n = 2 WHERE id < 10});
ok(wait_confirmed($source, 's'), 'past the transaction') or diag($run->stderr);
my ($code, $out, $err) = ask('tables', 'add', 'a', '--to', 'plain');
is($code, 0, 'and the table is added again') or diag("$out$err" . $run->stderr);
$source->safe_psql('postgres', 'INSERT INTO a VALUES (1001, 1); DELETE FROM a WHERE id = 20');
ok(wait_confirmed($source, 's'), 'all is delivered');
same_rows($source, 'postgres', $target, 'plain', 'a', 'every row once');
is($target->safe_psql('mapped', 'SELECT count(*) FROM other WHERE id >= 1000'), 2, 'and at the other, under its name there');
is($run->finish('TERM'), 0, 'it stops cleanly') or diag($run->stderr);

$source->stop;
$target->stop;
done_testing();
