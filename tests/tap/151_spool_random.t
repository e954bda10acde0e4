# Whatever happens to the consumer and to its destinations, each of them has each transaction once in
# the end: a load runs, and at random the consumer is killed, servers crash, destinations are paused,
# tables are copied again, or taken out and added.
# PENSTOCK_SEED repeats what happens, if not when.
use strict;
use warnings;
use IPC::Run ();
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

my $seed = $ENV{PENSTOCK_SEED} // 1;
my $seconds = $ENV{PENSTOCK_SPOOL_SECONDS} || 6;
srand($seed);
note("PENSTOCK_SEED=$seed");

my $tmp = $PostgreSQL::Test::Utils::tmp_check;
my $state = "$ENV{TESTDIR}/state";
# What is committed there is flushed late: a crash takes it away.
my %late = (wal_writer_delay => '700ms', restart_after_crash => 'on');
my $source = source_node('source', logical_decoding_work_mem => '64kB');
my %node = (near => destination_node('near'), far => destination_node('far', %late));

# One row a change, and a table in which each is kept: what is doubled is seen, and what is lost.
my $ddl = q{
	CREATE TABLE account (id int PRIMARY KEY, n bigint NOT NULL DEFAULT 0);
	CREATE TABLE entry (id bigint, account int, filler text);
	CREATE INDEX ON entry(id);
	ALTER TABLE entry REPLICA IDENTITY FULL;
	CREATE TABLE large (id bigint PRIMARY KEY, filler text);
	INSERT INTO account SELECT g FROM generate_series(1, 20) g;};
$_->safe_psql('postgres', $ddl) for $source, values %node;

my @run = ('run', '--source', uri($source), '--slot', 's', '--state-dir', $state, '--status-interval', '100ms',
	'--progress-interval', '100ms', map { ('--to', "$_=" . uri($node{$_})) } sort keys %node);
is((penstock('slot', 'create', '--source', uri($source), '--slot', 's'))[0], 0, 'slot created');

# The load: small transactions, and now and then a large one, with rows that are taken back.
my $script = "$tmp/load.sql";
append_to_file($script, q{
\set a random(1, 20)
\set rows random(1, 12)
\set kind random(1, 60)
BEGIN;
UPDATE account SET n = n + :rows WHERE id = :a;
INSERT INTO entry SELECT nextval('numbers'), :a, repeat(md5(random()::text), :rows) FROM generate_series(1, :rows);
\if :kind = 1
INSERT INTO large SELECT nextval('numbers'), repeat(md5(random()::text), 20) FROM generate_series(1, 3000);
SAVEPOINT a;
DELETE FROM large WHERE id % 3 = 0;
ROLLBACK TO a;
\elif :kind < 10
DELETE FROM entry WHERE id IN (SELECT id FROM entry ORDER BY id LIMIT 3);
\elif :kind < 12
TRUNCATE large;
\endif
COMMIT;
});
$source->safe_psql('postgres', 'CREATE SEQUENCE numbers');
my ($load_out, $load_err) = ('', '');
my $load = IPC::Run::start(
	[ 'pgbench', '-n', '-f', $script, '-c', '2', '-T', $seconds, '--rate', '150', '--max-tries', '10',
		"--random-seed=$seed", '-h', $source->host, '-p', $source->port, 'postgres' ],
	'<', \undef, '>', \$load_out, '2>', \$load_err);

my $penstock;
my %up = (near => 1, far => 1);
my $happened = '';

sub begin
{
	my @memory = rand() < 0.5 ? ('--memory-limit', '16MB') : ();
	my @spool = rand() < 0.3 ? ('--spool-bytes-max', '1MB') : ();
	$penstock = start_penstock(@run, @memory, @spool);
	return;
}

sub ask { return (penstock(@_, '--state-dir', $state))[0]; }

sub any { return $_[ int(rand(@_)) ]; }

# Whether it was taken out or not, it is taken from here on: false when that could not be said.
sub add
{
	my ($table, $name) = @_;
	my ($code, undef, $err) = penstock('tables', 'add', $table, '--to', $name, '--wait', '0', '--state-dir', $state);
	return $code == 0 || $err =~ /takes table public\.$table already/;
}

sub bring_up
{
	my ($name) = @_;
	$node{$name}->start if !$up{$name};
	$up{$name} = 1;
	ask('resume', $name, '--wait', '0');
	return;
}

my %event = (
	resync => sub { ask('tables', 'resync', any(qw(account entry large)), '--to', any(sort keys %node), '--wait', '0'); },
	remove => sub { ask('tables', 'remove', any(qw(entry large)), '--to', any(sort keys %node), '--wait', '0'); },
	add => sub { add(any(qw(entry large)), any(sort keys %node)); },
	kill => sub { $penstock->kill9; begin(); },
	stop => sub { $penstock->finish('TERM'); begin(); },
	crash => sub { $node{far}->stop('immediate') if $up{far}; $up{far} = 0; },
	crash_and_back => sub { $node{far}->stop('immediate') if $up{far}; $up{far} = 0; bring_up('far'); },
	back => sub { bring_up('far'); },
	pause => sub { ask('pause', (sort keys %node)[ int(rand(2)) ], '--wait', '0'); },
	resume => sub { bring_up($_) for sort keys %node; },
	source => sub {
		$source->safe_psql('postgres', 'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active');
	},
);

begin();
my $until = Time::HiRes::time() + $seconds;
my @names = sort keys %event;
while (Time::HiRes::time() < $until)
{
	my $name = $names[ int(rand(@names)) ];
	$happened .= " $name";
	$event{$name}->();
	select(undef, undef, undef, rand(0.6));
}
$load->finish;
is($load->full_result(0), 0, 'the load has run') or diag($load_err);
note("what happened:$happened");

# All is well again.
if ($penstock->has_ended)
{
	fail("the program has ended:$happened");
	diag($penstock->stderr);
	$penstock->kill9;
	begin();
}
bring_up($_) for sort keys %node;
for my $name (sort keys %node)
{
	for my $table (qw(entry large))
	{
		ok(wait_until(sub { add($table, $name) }), "$name: takes $table") or diag("$happened\n" . $penstock->stderr);
	}
}
my $sql = q{SELECT (SELECT count(*) || '/' || coalesce(sum(id), 0) || '/' || coalesce(sum(hashtext(filler)), 0) FROM entry)
	|| ' ' || (SELECT sum(n) FROM account) || ' ' || (SELECT count(*) || '/' || coalesce(sum(id), 0) FROM large)};
my $expected = $source->safe_psql('postgres', $sql);
for my $name (sort keys %node)
{
	ok(wait_until(sub { $node{$name}->safe_psql('postgres', $sql) eq $expected }), "$name: in step (PENSTOCK_SEED=$seed)")
	  or diag("$happened\n" . $penstock->stderr);
	same_rows($source, 'postgres', $node{$name}, 'postgres', $_, "$name: $_ is equal") for qw(account entry large);
}
is($penstock->finish('TERM'), 0, 'it ends in order');
done_testing();
