# Two databases that follow each other: what one of them applied carries a replication origin, and the
# other asks for changes without one, so that nothing goes round.
use strict;
use warnings;
use Penstock;
use Test::More;

# Both are source and destination.
my %conf = (wal_writer_delay => '10ms', log_statement => 'none', logical_decoding_work_mem => '64kB', shared_buffers => '32MB', max_connections => 50);
my ($a, $b) = (source_node('a', %conf), source_node('b', %conf));
my %other = ($a => $b, $b => $a);
my $schema = q{
	CREATE TABLE t(id int PRIMARY KEY, who text, n int); CREATE TABLE whole(who text, n int); ALTER TABLE whole REPLICA IDENTITY FULL;
	CREATE TABLE emptied(id int PRIMARY KEY); CREATE TABLE big(id int PRIMARY KEY, v text, n int); ALTER TABLE big ALTER v SET STORAGE EXTERNAL;
};
my @tables = ('t', 'whole', 'emptied', 'big');

sub slot_of { return 'from_' . $_[0]->name; }

sub arguments
{
	my ($from, @more) = @_;
	return ('run', '--source', uri($from), '--slot', slot_of($from), '--to', uri($other{$from}), '--origin', 'none', @more);
}

sub start
{
	my ($from, @more) = @_;
	return start_penstock(arguments($from, '--progress-interval', '100ms', '--status-interval', '100ms', @more));
}

# Tests: after both have passed what there is, twice over, both have the same and nothing new comes.
sub in_step
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $round (1, 2)
	{
		ok(wait_confirmed($_, slot_of($_)), "$name: " . $_->name . ' has told everything') for $a, $b;
	}
	my $all = '(' . join(' UNION ALL ', map { "SELECT '$_', x::text FROM $_ x" } @tables) . ')';
	same_rows($a, 'postgres', $b, 'postgres', $all, "$name: both are equal");
	return;
}

$_->safe_psql('postgres', $schema) for $a, $b;
for my $from ($a, $b)
{
	my ($code, $out, $err) = penstock('slot', 'create', '--source', uri($from), '--slot', slot_of($from));
	is($code, 0, 'slot of ' . $from->name) or diag($err);
}
my %run = map { $_ => start($_) } $a, $b;

# ---- rows from both sides, a transaction each ----

$a->safe_psql('postgres', q{INSERT INTO t SELECT n, 'a', 0 FROM generate_series(1, 100) n; INSERT INTO whole SELECT 'a', n % 3 FROM generate_series(1, 20) n; INSERT INTO big VALUES (1, repeat('a', 9000), 0)});
$b->safe_psql('postgres', q{INSERT INTO t SELECT n, 'b', 0 FROM generate_series(1001, 1100) n; INSERT INTO whole SELECT 'b', n % 3 FROM generate_series(1, 20) n; INSERT INTO emptied SELECT generate_series(1, 20)});
in_step('rows of both');
is($a->safe_psql('postgres', q{SELECT count(*), count(*) FILTER (WHERE who = 'a') FROM t}), '200|100', 'each row once');

# Rows of the other side change: a change of what came goes back, and no further.
$a->safe_psql('postgres', q{UPDATE t SET n = n + 1 WHERE who = 'b'; DELETE FROM t WHERE id = 1001; UPDATE whole SET n = n + 10 WHERE who = 'b'; TRUNCATE emptied; UPDATE big SET n = 1});
in_step('changes of the other');
$b->safe_psql('postgres', q{UPDATE t SET n = n + 1 WHERE who = 'a'; UPDATE t SET id = -id WHERE id < 10; DELETE FROM whole WHERE n = 1; INSERT INTO emptied VALUES (1); UPDATE big SET id = 2; INSERT INTO t VALUES (1001, 'b again', 0)});
in_step('and back');
is($b->safe_psql('postgres', 'SELECT max(n) FROM t'), 1, 'no change was applied twice');

# What is applied ahead of its commit is not the other's own either.
for my $node ($a, $b)
{
	my $from = $node == $a ? 20000 : 30000;
	$node->safe_psql('postgres', "INSERT INTO t SELECT n, '" . $node->name . "', 0 FROM generate_series($from, $from + 4000) n");
}
in_step('large ones');
is($_->safe_psql('postgres', q{SELECT count(*) FROM pg_replication_origin WHERE roname LIKE '%ahead'}), 1, 'ahead at ' . $_->name) for $a, $b;
is($a->safe_psql('postgres', 'SELECT count(*), max(n) FROM t WHERE id >= 20000'), '8002|0', 'each row once');

# Nothing goes round: once both are in step, no row is written any more.
$_->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('watch', 'test_decoding')}) for $a, $b;
for my $node ($a, $b)
{
	$node->safe_psql('postgres', 'SELECT pg_logical_emit_message(true, $$p$$, $$c$$)');
	ok(wait_confirmed($node, slot_of($node)), 'a message passes');
}
is($_->safe_psql('postgres', q{SELECT count(*) FROM pg_logical_slot_get_changes('watch', NULL, NULL) WHERE data LIKE 'table public.%'}), 0, 'nothing goes round: ' . $_->name) for $a, $b;

# ---- a backlog at both sides, applied in batches, crosswise ----

$run{$_}->finish('TERM') for $a, $b;
for my $node ($a, $b)
{
	my $sign = $node == $a ? '' : '-';
	my $name = $node->name;
	$node->safe_psql('postgres', "DO \$\$ BEGIN FOR i IN 1 .. 300 LOOP
		INSERT INTO t VALUES (${sign}(10000 + i), 'backlog of $name', 0); UPDATE t SET n = n + 1 WHERE id = ${sign}(10000 + i - 1); DELETE FROM t WHERE id = ${sign}(10000 + i - 5) AND i % 3 = 0;
		INSERT INTO whole VALUES ('backlog of $name', i % 4); INSERT INTO big VALUES (${sign}(10000 + i), repeat('x', 3000), 0); UPDATE big SET n = i WHERE id = ${sign}(10000 + i - 2);
		IF i % 5 = 0 THEN COMMIT; END IF; END LOOP; END \$\$");
}
for my $node ($a, $b, $a, $b)
{
	my ($code, $out, $err) = penstock(arguments($node, '--until', 'current', '--quiet'));
	is("$code $err", '0 ', 'the backlog of ' . $node->name);
}
my $all = '(' . join(' UNION ALL ', map { "SELECT '$_', x::text FROM $_ x" } @tables) . ')';
same_rows($a, 'postgres', $b, 'postgres', $all, 'after the backlog both are equal');
is($b->safe_psql('postgres', q{SELECT count(*) FROM whole WHERE who LIKE 'backlog of %'}), 600, 'each row once');

# ---- killed at any time, the origin stays: a row that came never goes back as one's own ----

%run = map { $_ => start($_) } $a, $b;
for my $round (1 .. 3)
{
	for my $node ($a, $b)
	{
		my $first = 100000 * $round * ($node == $a ? 1 : -1);
		$node->safe_psql('postgres', "INSERT INTO t SELECT $first + n, 'killed', 0 FROM generate_series(1, 200) n; UPDATE t SET n = n + 1 WHERE id BETWEEN $first AND $first + 100; INSERT INTO whole SELECT 'killed', n FROM generate_series(1, 50) n");
	}
	$run{$a}->kill9;
	$run{$b}->kill9 if $round > 1;
	$a->restart if $round == 2;
	$b->stop('immediate') if $round == 3;
	$b->start if $round == 3;
	for my $node ($a, $b)
	{
		$run{$node} = start($node) if $run{$node}->has_ended;
	}
}
in_step('after crashes');
is($a->safe_psql('postgres', q{SELECT count(*), sum(n) FROM t WHERE who = 'killed'}), '1200|600', 'each row once, and each change');

# A third party's origin is another's change, too: it does not go on.
$a->safe_psql('postgres', q{SELECT pg_replication_origin_create('else'); SELECT pg_replication_origin_session_setup('else'); INSERT INTO t VALUES (-77, 'from elsewhere', 0)});
$a->safe_psql('postgres', q{INSERT INTO t VALUES (-78, 'own', 0)});
ok(wait_confirmed($a, slot_of($a)), 'what came to one from elsewhere');
is($b->safe_psql('postgres', 'SELECT string_agg(id::text, $$ $$) FROM t WHERE id IN (-77, -78)'), '-78', 'does not go on to the other');
is($run{$_}->finish('TERM'), 0, 'the run from ' . $_->name . ' ends in order') or diag($run{$_}->stderr) for $a, $b;

# ---- a role that may not set an origin: refused, for a loop would be endless ----

$b->safe_psql('postgres', q{CREATE ROLE plain LOGIN; GRANT CREATE ON DATABASE postgres TO plain; GRANT ALL ON ALL TABLES IN SCHEMA public TO plain; GRANT ALL ON SCHEMA penstock TO plain; GRANT ALL ON ALL TABLES IN SCHEMA penstock TO plain});
$a->safe_psql('postgres', q{INSERT INTO t VALUES (-79, 'own', 0)});
my ($code, $out, $err) = penstock('run', '--source', uri($a), '--slot', slot_of($a), '--to', uri($b) . '&user=plain', '--origin', 'none', '--until', 'current', '--quiet');
like("$code $err", qr/^0 |^[24] .*origin/s, 'a role without the right to an origin applies without one or is told so');
my $own = $b->safe_psql('postgres', 'SELECT count(*) FROM t WHERE id = -79');
is($own, $code == 0 ? 1 : 0, 'and no half of it is there');

$_->stop for $a, $b;
done_testing();
