# Memory tables load again when DDL may have changed rows that did not come through the stream,
# while the load goes on, also on a temporary slot, which cannot go back.
use strict;
use warnings;
use Penstock;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

my $dir = $PostgreSQL::Test::Utils::tmp_check;
my $source = source_node('source');
my $target = destination_node('target');
for my $node ($source, $target)
{
	$node->safe_psql('postgres', 'CREATE TABLE t (id serial PRIMARY KEY, a int)');
}
append_to_file("$dir/load.sql", qq{
\\set back random(0, 50)
INSERT INTO t (a) VALUES (1);
UPDATE t SET a = a + 1 WHERE id = (SELECT max(id) FROM t) - :back;
});

sub memory_rows
{
	my ($penstock) = @_;
	$penstock->signal('USR1');
	my ($rows) = $penstock->stderr =~ /.*"public\.t":(\d+)/s;
	return $rows // -1;
}

# Three columns come while rows do; each makes the tables load again.
sub load_and_alter
{
	my ($name, $penstock) = @_;
	ok($penstock->wait_for_stderr(qr/streaming from slot/), "$name: streaming") or diag($penstock->stderr);
	my $load = IPC::Run::start([ 'pgbench', '-n', '-c', '2', '-T', '5', '-f', "$dir/load.sql", '-d',
			$source->connstr('postgres') ], '>&', '/dev/null');
	for my $n (1 .. 3)
	{
		select(undef, undef, undef, 1);
		my $column = "${name}_$n";
		for my $node ($target, $source)
		{
			$node->safe_psql('postgres', "ALTER TABLE t ADD COLUMN $column int DEFAULT $n");
		}
	}
	$load->finish;
	# With this row, the last of all, every update has come too.
	$source->safe_psql('postgres', 'INSERT INTO t (a) VALUES (0)');
	my $rows = $source->safe_psql('postgres', 'SELECT count(*) FROM t');
	ok(wait_until(sub { memory_rows($penstock) == $rows }), "$name: all $rows rows are in memory")
	  or diag($penstock->stderr);
	return;
}

{
	my $penstock = start_penstock('run', '--source', uri($source), '--dump-tables', "$dir/alone.json");
	load_and_alter('alone', $penstock);
	is($penstock->finish('INT'), 0, 'alone: stops cleanly') or diag($penstock->stderr);
	like($penstock->stderr, qr/open again/, 'alone: it did load again');
	same_dump($source, 'postgres', "$dir/alone.json", 't', 'alone: memory is equal');
	is($source->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'), 0, 'alone: no slot is left');
}

# Beside a database that goes on from where it was.
{
	my @run = ('run', '--source', uri($source), '--slot', 'beside', '--create-slot', '--to', 'memory:',
		'--to', uri($target));
	system(sprintf('psql -X -q -d "%s" -c "COPY t TO STDOUT" | psql -X -q -d "%s" -c "COPY t FROM STDIN"',
			$source->connstr('postgres'), $target->connstr('postgres'))) == 0
	  or BAIL_OUT('copy failed');
	my $penstock = start_penstock(@run);
	load_and_alter('beside', $penstock);
	wait_confirmed($source, 'beside');
	is($penstock->finish('INT'), 0, 'beside: stops cleanly') or diag($penstock->stderr);
	my ($code, undef, $err) = penstock(@run, '--until', 'current', '--dump-tables', "$dir/beside.json");
	is($code, 0, 'beside: until current') or diag($err);
	same_dump($source, 'postgres', "$dir/beside.json", 't', 'beside: memory is equal');
	same_rows($source, 'postgres', $target, 'postgres', 't', 'beside: the database is equal');
}

# Slots, that of the load too, wait for every transaction that is open; a stop does not.
{
	my ($in, $out) = ("BEGIN; SELECT txid_current(); SELECT 'open';\n", '');
	my $psql = IPC::Run::start([ 'psql', '-X', '-A', '-t', '-q', '-d', $source->connstr('postgres') ], '<', \$in, '>', \$out);
	$psql->pump until $out =~ /open/;
	my %waiting = (loading => [ '--slot', 'beside' ], 'a slot of its own' => [], 'a new slot' => [ '--slot', 'new', '--create-slot' ]);
	for my $name (sort keys %waiting)
	{
		my $penstock = start_penstock('run', '--source', uri($source), '--to', 'memory:', @{ $waiting{$name} });
		ok($source->poll_query_until('postgres',
				q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'CREATE_REPLICATION_SLOT%' AND wait_event_type = 'Lock'}),
			"$name: waits for a transaction");
		my $began = Time::HiRes::time();
		is($penstock->finish('TERM'), 0, "$name: stops in order") or diag($penstock->stderr);
		cmp_ok(Time::HiRes::time() - $began, '<', 5, "$name: stops at once");
	}
	is($source->safe_psql('postgres', q{SELECT count(*) FROM pg_replication_slots WHERE slot_name <> 'beside'}), 0, 'no slot is left');
	$psql->kill_kill;
}

done_testing();
