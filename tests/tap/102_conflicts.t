# What becomes of rows that a destination rejects: it stops there, or puts them over those that are
# there, or leaves them out and keeps them. Never is anything else lost.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $target = destination_node('target');
my $schema = q{
	CREATE TABLE t(id int PRIMARY KEY, a int, t text);
	CREATE TABLE u(id int PRIMARY KEY, u int);
	CREATE TABLE loose(a int, b text);
};
$source->safe_psql('postgres', $schema . 'ALTER TABLE loose REPLICA IDENTITY FULL');

# A destination that is in step, with a slot of its own name, and its arguments.
my %arguments;
sub in_step
{
	my ($name, @more) = @_;
	$source->safe_psql('postgres', 'TRUNCATE t, u, loose');
	$target->safe_psql('postgres', "CREATE DATABASE $name");
	$target->safe_psql($name, $schema . 'ALTER TABLE t ADD CHECK (a < 1000); ALTER TABLE u ADD UNIQUE (u)');
	$arguments{$name} = [ 'run', '--source', uri($source), '--slot', $name, '--to', "$name=" . uri($target, $name), '--until', 'current', '--verbose', @more ];
	my ($code, $out, $err) = penstock(@{ $arguments{$name} }, '--create-slot');
	is($code, 0, "$name: a slot") or diag($err);
	return;
}

sub change
{
	$source->safe_psql('postgres', $_) for @_;
	return;
}

sub ends_with
{
	my ($name, $expected, $what) = @_;
	my ($code, $out, $err) = penstock(@{ $arguments{$name} });
	is($code, $expected, "$name: $what") or diag($err);
	return $err;
}

# How many the sessions of a run have counted.
sub conflicts
{
	my ($said) = @_;
	my $sum = 0;
	$sum += $1 while $said =~ /(\d+) conflicts\b/g;
	return $sum;
}

sub value { return $target->safe_psql($_[0], $_[1]); }

my $hundred = 'generate_series(1, 100) i';

# ---- error ----

in_step('stops');
change("INSERT INTO t SELECT i, i FROM $hundred");
ends_with('stops', 0, 'rows');
$target->safe_psql('stops', 'DELETE FROM t WHERE id = 50');
change('INSERT INTO u SELECT 1, 1', "UPDATE t SET a = a + 1, t = 'secret'", 'INSERT INTO u SELECT 2, 2');
my $err = ends_with('stops', 4, 'a missing row stops it');
like($err, qr/destination stops: UPDATE of "public"."t", LSN [0-9A-F]+\/[0-9A-F]+: 0 rows were affected instead of 1.*\(key id\); this destination is stopped/, 'table, key and LSN are named');
unlike($err, qr/secret/, 'values are not');
is(value('stops', 'SELECT count(*), max(id) FROM u'), '1|1', 'what was committed before is there, nothing behind it');
is(value('stops', q{SELECT count(*) FROM t WHERE t = 'secret'}), 0, 'and nothing of the transaction');
my ($lsn) = $err =~ /LSN ([0-9A-F]+\/[0-9A-F]+): 0 rows/;
is(value('stops', "SELECT lsn <= '$lsn' FROM penstock.progress"), 't', 'progress is before it');
$target->safe_psql('stops', 'INSERT INTO t VALUES (50, 50)');
ends_with('stops', 0, 'once mended it goes on');
same_rows($source, 'postgres', $target, 'stops', $_) for 't', 'u';
change('INSERT INTO t VALUES (101, 5000)');
like(ends_with('stops', 4, 'a constraint'), qr/INSERT into "public"."t" \(key id\), LSN [0-9A-F\/]+: .*violates check constraint/, 'is named with table, key and LSN');
change("INSERT INTO t SELECT 1000 + i, 7 FROM $hundred");
like(ends_with('stops', 4, 'also with many rows behind it'), qr/INSERT into "public"."t" \(key id\), LSN [0-9A-F\/]+: .*violates check constraint/, 'the row is named');
$target->safe_psql('stops', 'ALTER TABLE t DROP CONSTRAINT t_a_check');
ends_with('stops', 0, 'once that is mended too');
same_rows($source, 'postgres', $target, 'stops', $_) for 't', 'u';

# ---- upsert ----

in_step('over', '--on-conflict', 'upsert');
$target->safe_psql('over', "INSERT INTO t VALUES (5, 999, 'theirs'), (500, 0, 'theirs')");
change("INSERT INTO t SELECT i, i, 'ours' FROM $hundred", 'UPDATE t SET a = a + 1', 'INSERT INTO u VALUES (1, 1)');
$err = ends_with('over', 0, 'an insert over a row that is there');
like($err, qr/in order: .*\d+ conflict\b/, 'in order');
same_rows($source, 'postgres', $target, 'over', '(SELECT * FROM t WHERE id <> 500)');
is(value('over', 'SELECT count(*) FROM t WHERE id = 500'), 1, 'what the source does not name is left alone');
$target->safe_psql('over', 'CREATE TABLE bare(id int PRIMARY KEY); INSERT INTO bare VALUES (2)');
change('CREATE TABLE bare(id int PRIMARY KEY)', 'INSERT INTO bare VALUES (1), (2), (3)');
$err = ends_with('over', 0, 'where there is nothing but the key');
same_rows($source, 'postgres', $target, 'over', 'bare');
change('DROP TABLE bare');
$target->safe_psql('over', 'DELETE FROM t WHERE id IN (1, 2, 3)');
change("UPDATE t SET t = 'new'", 'DELETE FROM t WHERE id < 3', "INSERT INTO t VALUES (1, 1, 'again')");
$err = ends_with('over', 0, 'missing rows');
is(conflicts($err), 5, 'are counted');
is(value('over', q{SELECT count(*), count(*) FILTER (WHERE t = 'new'), min(id) FROM t WHERE id <> 500}), '98|97|1', 'and stay missing');
change("INSERT INTO t SELECT 1000 + i, 1 FROM $hundred");
like(ends_with('over', 0, 'behind them'), qr/100 rows by 1 COPY, 0 replayed$/m, 'all is as before');
change('INSERT INTO t VALUES (2000, 5000)');
like(ends_with('over', 4, 'a constraint still stops it'), qr/violates check constraint/, 'and is named');

# ---- skip ----

in_step('leaves', '--on-conflict', 'skip');
$target->safe_psql('leaves', q{INSERT INTO t VALUES (5, 999, 'theirs'); INSERT INTO u VALUES (70, 7)});
change("INSERT INTO t SELECT i, i, 'ours' FROM $hundred; INSERT INTO u VALUES (7, 7), (8, 8)", 'INSERT INTO t VALUES (101, 5000)', "UPDATE t SET t = t || '!' WHERE id = 101; UPDATE t SET t = 'x' WHERE id < 10");
$err = ends_with('leaves', 0, 'rows that are rejected');
like($err, qr/warning: destination leaves: INSERT into "public"."t" \(key id\), LSN [0-9A-F\/]+: duplicate key .*; left out, and kept in penstock.conflicts/, 'are told');
unlike($err, qr/theirs|ours/, 'without their values');
is(conflicts($err), 4, 'and counted');
is(value('leaves', 'SELECT count(*) FROM t'), 100, 'all others are there');
is(value('leaves', 'SELECT id, u FROM u ORDER BY 1'), "8|8\n70|7", 'in all tables');
is(value('leaves', q{SELECT a, t FROM t WHERE id = 5}), '5|x', 'a later change goes to the row that was there');
is(value('leaves', q{SELECT slot, table_name, operation, sqlstate, change #>> '{new,id}' FROM penstock.conflicts ORDER BY at}),
	"leaves|t|insert|23505|5\nleaves|u|insert|23505|7\nleaves|t|insert|23514|101\nleaves|t|update||101", 'they are kept');
is(value('leaves', q{SELECT bool_and(commit_lsn < (SELECT lsn FROM penstock.progress) AND xid > 0 AND message LIKE '%LSN%') FROM penstock.conflicts}), 't', 'with their place');
ends_with('leaves', 0, 'and not met again');
is(value('leaves', 'SELECT count(*) FROM penstock.conflicts'), 4, 'kept once');
change("INSERT INTO loose SELECT i, 'x' FROM $hundred", 'DELETE FROM loose WHERE a = 1', 'INSERT INTO t VALUES (200, 1), (201, 1)');
ends_with('leaves', 0, 'a table without a key');
$target->safe_psql('leaves', 'DELETE FROM loose WHERE a = 2');
change(q{UPDATE loose SET b = 'y'});
is(conflicts(ends_with('leaves', 0, 'a whole row that is missing')), 1, 'is left out');
same_rows($source, 'postgres', $target, 'leaves', 'loose', 'the others are not') if $source->safe_psql('postgres', 'DELETE FROM loose WHERE a = 2') eq '';
is(value('leaves', q{SELECT change #>> '{old,a}' FROM penstock.conflicts WHERE table_name = 'loose'}), 2, 'and is kept whole');

# One that rejects does not stop the others.
my @all = ('run', '--source', uri($source), '--slot', 'both', '--create-slot', '--to', 'near=' . uri($target, 'near'), '--to', 'far=' . uri($target, 'far'), '--until', 'current');
for my $name ('near', 'far')
{
	$target->safe_psql('postgres', "CREATE DATABASE $name");
	$target->safe_psql($name, $schema);
}
change('TRUNCATE t, u, loose');
my ($code, $out);
($code, $out, $err) = penstock(@all);
is($code, 0, 'two destinations') or diag($err);
$target->safe_psql('near', 'INSERT INTO t VALUES (10)');
change("INSERT INTO t SELECT i FROM $hundred", 'INSERT INTO u VALUES (1, 1)');
($code, $out, $err) = penstock(@all);
isnt($code, 0, 'one that stops is told');
same_rows($source, 'postgres', $target, 'far', $_) for 't', 'u';

refuses('an unknown policy', 2, qr/on-conflict: "ignore" is not one of: error, upsert, skip/, @all, '--on-conflict', 'ignore');

$source->stop;
$target->stop;
done_testing();
