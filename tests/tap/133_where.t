# What a `where` says of a row is what PostgreSQL says: the same conditions, some of them random,
# asked here and of the server, of rows that are loaded and of rows that changes bring in and out.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{PENSTOCK_SEED} // 1;
srand($seed);
note("PENSTOCK_SEED=$seed");

my $source = source_node('source');
my $file = "$PostgreSQL::Test::Utils::tmp_check/penstock.ini";

# For each column what stands in rows, and what it is compared with.
my @columns = (
	[ 'i', 'int', [ -2147483648, -1, 0, 1, 7, 2147483647 ], [qw(-1 0 1 7 7.0 1.5 -2147483648 2147483648 7e0 0.7e1)] ],
	[ 's', 'smallint', [ -32768, 0, 7 ], [qw(0 7 -32768 99999)] ],
	[ 'l', 'bigint', [ '-9223372036854775808', 7, '9223372036854775807' ], [qw(7 9223372036854775807 9223372036854775808 -9223372036854775808 1e19)] ],
	[ 'n', 'numeric', [qw('NaN' 'Infinity' '-Infinity' 0 0.10 -1.5 7.000 12345678901234567890.5)], [qw(0 0.1 -1.5 7 12345678901234567890.50 1e30 -0)] ],
	[ 'f', 'float8', [qw('NaN' 'Infinity' '-Infinity' 0.1 -0 1e300 7)], [qw(0.1 0 1e300 -1e300 7 0.10000000000000001)] ],
	[ 'r', 'real', [qw('NaN' 0.1 0.5 7)], [qw(0.1 0.5 7)] ],
	[ 't', 'text', [qw('' 'a' 'A' 'it''s'), q{'back\\slash'}, q{'a '}], [qw('' 'a' 'it''s'), q{'back\\slash'}, q{'a '}], 1 ],
	[ 'v', 'varchar(20)', [qw('' 'a')], [qw('' 'a' 'b')], 1 ],
	[ 'c', 'char(5)', [qw('' 'a' 'ab')], [qw('' 'a'), q{'a  '}, q{' a'}], 1 ],
	[ 'b', 'boolean', [qw(true false)], [qw(true false)] ],
	[ 'd', 'date', [qw('2026-11-21' 'infinity' '-infinity' '1999-12-31')], [qw('2026-11-21' 'infinity' '2000-02-29' '1999-12-31')] ],
	[ 'p', 'timestamp', [q{'2026-11-21 10:00:00.5'}, q{'infinity'}, q{'2026-11-21'}], [q{'2026-11-21'}, q{'2026-11-21T10:00:00.500'}, q{'-infinity'}] ],
	[ 'z', 'timestamptz', [q{'2026-11-21 10:00:00+02'}, q{'-infinity'}, q{'2026-11-21 00:00:00Z'}], [q{'2026-11-21 08:00:00+00'}, q{'2026-11-20 22:00:00-02:00'}, q{'infinity'}] ],
	[ 'u', 'uuid', [q{'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'}, q{'00000000-0000-0000-0000-000000000000'}], [q{'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'}, q{'00000000-0000-0000-0000-000000000001'}] ],
	[ 'o', 'oid', [ 0, 7, 4294967295 ], [qw(0 7 4294967295)] ],
	[ 'j', 'jsonb', [q{'null'}, q{'{}'}], [] ],
	[ 'e', 'point', [q{'(1,2)'}], [] ],
	[ 'k', 'w.pair', [ 'ROW(NULL,NULL)::w.pair', 'ROW(1,NULL)::w.pair' ], [] ]);

sub one_of { return $_[ int(rand(@_)) ]; }

sub random_value
{
	my ($column) = @_;
	return rand() < 0.25 ? 'NULL' : one_of(@{ $column->[2] });
}

sub random_predicate
{
	my $column = one_of(@columns);
	my ($name, $type, $values, $literals, $is_text) = @$column;
	my @ops = $is_text ? ('=', '<>', '!=') : ('=', '<>', '!=', '<', '<=', '>', '>=');
	my $kind = @$literals ? int(rand(8)) : 0;
	return "$name IS NULL" if $kind == 0 && rand() < 0.5 && $type ne 'w.pair';
	return "$name IS NOT NULL" if $kind == 0 && $type ne 'w.pair';
	return 'b' if $kind == 0;
	return "$name " . one_of('IN', 'NOT IN') . ' (' . join(', ', map { rand() < 0.1 ? 'NULL' : one_of(@$literals) } 1 .. 1 + rand(4)) . ')'
	  if $kind == 1 && $type ne 'real';
	return one_of(@$literals) . ' ' . one_of(@ops) . " $name" if $kind == 2;
	return "$name " . one_of(@ops) . ' ' . (rand() < 0.05 ? 'NULL' : one_of(@$literals));
}

sub random_condition
{
	my ($depth) = @_;
	my $kind = $depth > 0 ? int(rand(5)) : 4;
	return '(' . random_condition($depth - 1) . ' ' . one_of('AND', 'and') . ' ' . random_condition($depth - 1) . ')' if $kind == 0;
	return random_condition($depth - 1) . ' OR ' . random_condition($depth - 1) if $kind == 1;
	return 'NOT (' . random_condition($depth - 1) . ')' if $kind == 2;
	return random_predicate() . ' AND ' . random_predicate() . ' OR NOT ' . random_predicate() if $kind == 3;
	return random_predicate();
}

# Those that a random one would rarely be.
my @conditions = (
	'true', 'false', 'NULL', 'NOT NULL', 'b', 'NOT b', 'b = b', 'i = l', 'i < n', 'n >= l', 'f = r', 't = v', 'c = t', 'c = c', 't <> c',
	'p < p', 'd = d OR b', 'f > 1e308', "t = 'back\\slash'", 'i IN (1, 7, NULL)', 'i NOT IN (1, NULL)', 'i NOT IN (1, 7)',
	'b IS NULL OR NOT b AND i = 7 OR i > 0', 'NOT NOT b', '"i" = +7', 'i>-1', 'n = 7.0000', 'r = 0.1', 'f = 0.1', 'j IS NULL', 'e IS NOT NULL',
	(map { random_predicate() } 1 .. 30), (map { random_condition(3) } 1 .. 40));

my $count = @conditions;
my $definition = join(', ', map { "$_->[0] $_->[1]" } @columns);
$source->safe_psql('postgres', join(';', 'CREATE SCHEMA w', 'CREATE TYPE w.pair AS (a int, b int)',
	map { ("CREATE TABLE w.t$_(id int PRIMARY KEY, $definition)", "ALTER TABLE w.t$_ REPLICA IDENTITY FULL") } 0 .. $count));

# Table 0 has the rows; all are made like it.
sub rows_of
{
	my ($from, $to) = @_;
	return map { my $id = $_; "INSERT INTO w.t0 VALUES ($id, " . join(', ', map { random_value($_) } @columns) . ')' } $from .. $to;
}
$source->safe_psql('postgres', join(';', rows_of(1, 60), map { "INSERT INTO w.t$_ SELECT * FROM w.t0" } 1 .. $count));
append_to_file($file, '[source]' . "\nconninfo = " . uri($source) . "\n[destination m]\nto = memory:\n"
	  . join('', map { "[table w.t$_]\nwhere = $conditions[$_ - 1]\ncolumns = id, i\n" } 1 .. $count));

my $dump = "$PostgreSQL::Test::Utils::tmp_check/dump.jsonl";

# Tests: each table in memory has the rows that the server says.
sub is_what_the_server_says
{
	my ($name) = @_;
	my %got;
	for my $line (split /\n/, slurp_file($dump))
	{
		push @{ $got{$1} }, $2 if $line =~ /"table":"t(\d+)".*"row":\{"id":(\d+)/;
	}
	my $expected = $source->safe_psql('postgres', join(' UNION ALL ',
		map { "SELECT $_, (SELECT string_agg(id::text, ' ' ORDER BY id) FROM w.t$_ WHERE $conditions[$_ - 1])" } 1 .. $count) . ' ORDER BY 1');
	my $different = 0;
	my $rows = 0;
	for (split /\n/, $expected)
	{
		my ($n, $ids) = split /\|/, $_, -1;
		my $here = join(' ', sort { $a <=> $b } @{ $got{$n} // [] });
		$rows += split / /, $ids;
		next if $here eq $ids;
		$different++;
		diag("where $conditions[$n - 1]:\nserver: $ids\nhere:   $here");
	}
	cmp_ok($rows, '>', 5 * $count, "$name: many rows pass");
	is($different, 0, "$name: $count conditions are answered as by the server") or diag("PENSTOCK_SEED=$seed");
	return;
}

my ($code, $out, $err) = penstock('run', '--config', $file, '--until', 'current', '--dump-tables', $dump);
is($code, 0, 'rows are loaded') or diag($err);
is_what_the_server_says('loaded');

# The same changes to all tables while they are followed: rows come, enter, leave, move and go.
my $run = start_penstock('run', '--config', $file, '--dump-tables', $dump, '--status-interval', '100ms');
ok($run->wait_for_stderr(qr/streaming/), 'a run follows');
my @changes = rows_of(61, 80);
for my $id (1 .. 60)
{
	my @set = map { my $column = one_of(@columns); "$column->[0] = " . random_value($column) } 1 .. 3;
	my %once = map { /^(\w+) = / ? ($1 => $_) : () } @set;
	push @changes, $id % 7 == 0 ? "DELETE FROM w.t0 WHERE id = $id" : "UPDATE w.t0 SET " . join(', ', values %once) . " WHERE id = $id";
}
push @changes, 'UPDATE w.t0 SET id = id + 1000 WHERE id % 9 = 0';
$source->safe_psql('postgres', join(';', map { my $n = $_; ('BEGIN', (map { s/w\.t0/w.t$n/r } @changes), 'COMMIT') } 1 .. $count));
my $end = $source->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
ok($source->poll_query_until('postgres', "SELECT confirmed_flush_lsn >= '$end' FROM pg_replication_slots"), 'to the end');
is($run->finish('INT'), 0, 'until told to stop') or diag($run->stderr);
is_what_the_server_says('changed');

# Loaded anew it is the same.
($code, $out, $err) = penstock('run', '--config', $file, '--until', 'current', '--dump-tables', $dump);
is($code, 0, 'rows are loaded again') or diag($err);
is_what_the_server_says('loaded again');

$source->stop;
done_testing();
