# Large transactions: taken while they are in progress, kept in memory and on disk, delivered when
# they have committed, and forgotten when they have not.
use strict;
use warnings;
use Penstock;
use Session;
use PostgreSQL::Test::Utils;
use Test::More;

my $tmp = $PostgreSQL::Test::Utils::tmp_check;
my $source = source_node('source', logical_decoding_work_mem => '64kB');
my $follower = destination_node('follower');
my $schema = q{
	CREATE TABLE big (id int PRIMARY KEY, t text);
	CREATE TABLE other (id int PRIMARY KEY, t text);
	CREATE TABLE ddl (id int PRIMARY KEY, b text, c text);};
$source->safe_psql('postgres', $schema);
$source->safe_psql('postgres', 'ALTER TABLE ddl DROP COLUMN c');
$follower->safe_psql('postgres', $schema);

# 4 MB of streams in memory, the rest on disk.
my @run = ('run', '--source', uri($source), '--slot', 's', '--to', uri($follower), '--memory-limit', '16MB',
	'--progress-interval', '100ms', '--status-interval', '100ms');
my @state = ('--state-dir', "$tmp/state");
my $streams = "$tmp/state/s/streams";

sub files
{
	my ($directory) = @_;
	my @files = glob("$directory/*/*.log");
	return @files;
}

sub rows_sql
{
	my ($table, $from, $to) = @_;
	return "INSERT INTO $table SELECT i, repeat(md5(i::text), 10) FROM generate_series($from, $to) i";
}

sub equal
{
	my ($what, @tables) = @_;
	wait_confirmed($source, 's') or diag('not confirmed');
	same_rows($source, 'postgres', $follower, 'postgres', $_, "$what: $_ is equal") for @tables;
	return;
}

is((penstock('slot', 'create', '--source', uri($source), '--slot', 's'))[0], 0, 'slot created');

my $penstock = start_penstock(@run, @state);

# Two transactions side by side, one of them much larger than memory, with sub-transactions that
# are kept and others that are not, at every depth.
my $one = Session->new($source, 'postgres');
my $two = Session->new($source, 'postgres');
$one->run('BEGIN; ' . rows_sql('big', 1, 8000));
$two->run('BEGIN; ' . rows_sql('other', 1, 3000));
$one->run('SAVEPOINT a; ' . rows_sql('big', 8001, 12000));
$one->run('SAVEPOINT b; ' . rows_sql('big', 12001, 16000) . '; UPDATE big SET t = t || id WHERE id < 500');
$two->run('SAVEPOINT a; ' . rows_sql('other', 3001, 6000));
ok(wait_until(sub { files($streams) > 0 }), 'what is too large for memory goes to disk');
is($follower->safe_psql('postgres', 'SELECT count(*) FROM big'), 0, 'nothing of it is applied yet');
$one->run('ROLLBACK TO b; ' . rows_sql('big', 12001, 13000));
$one->run('SAVEPOINT c; DELETE FROM big WHERE id % 7 = 0; RELEASE c');
$one->run('SAVEPOINT d; ' . rows_sql('big', 20001, 22000) . '; SAVEPOINT e; ' . rows_sql('big', 22001, 24000)
	  . '; ROLLBACK TO d; DELETE FROM big WHERE id % 7 = 1');
$two->run('ROLLBACK TO a; DELETE FROM other WHERE id % 3 = 0; SAVEPOINT x; TRUNCATE other; ROLLBACK TO x');
$source->safe_psql('postgres', "INSERT INTO ddl VALUES (1, 'between')");
$two->run('COMMIT');
wait_confirmed($source, 's');
same_rows($source, 'postgres', $follower, 'postgres', 'other', 'the one that commits first is applied first');
is($follower->safe_psql('postgres', 'SELECT count(*) FROM big'), 0, 'and nothing of the other');
$one->run('COMMIT');
equal('sub-transactions', qw(big other));
is_deeply([ files($streams) ], [], 'its files are gone');

# One that is rolled back, with what it said of tables.
$one->run('BEGIN; ' . rows_sql('big', 100001, 120000) . '; ALTER TABLE ddl ADD COLUMN c text; '
	  . "INSERT INTO ddl SELECT i, 'x', 'y' FROM generate_series(100, 3000) i");
ok(wait_until(sub { files($streams) > 0 }), 'on disk again');
$one->run('ROLLBACK');
$source->safe_psql('postgres', "INSERT INTO ddl VALUES (2, 'after a rollback')");
equal('a rollback', 'big');
is_deeply([ files($streams) ], [], 'its files are gone');
is($follower->safe_psql('postgres', 'SELECT * FROM ddl ORDER BY id'),
	"1|between|\n2|after a rollback|", 'rows after it are read by the right description');

# Changes of tables in the middle, also in sub-transactions that do not last.
$one->run("BEGIN; INSERT INTO ddl SELECT i, 'one' FROM generate_series(1000, 2999) i; SAVEPOINT a; "
	  . "ALTER TABLE ddl ADD COLUMN c text; INSERT INTO ddl SELECT i, 'two', 'c' FROM generate_series(3000, 4999) i; "
	  . "ROLLBACK TO a; INSERT INTO ddl SELECT i, 'three' FROM generate_series(5000, 6999) i; "
	  . "ALTER TABLE ddl ADD COLUMN c text DEFAULT 'd'; "
	  . "INSERT INTO ddl SELECT i, 'four', 'e' FROM generate_series(7000, 8999) i; COMMIT");
wait_confirmed($source, 's');
is( $follower->safe_psql('postgres', 'SELECT b, count(*), count(c), min(c) FROM ddl WHERE id >= 1000 GROUP BY b ORDER BY min(id)'),
	"one|2000|0|\nthree|2000|0|\nfour|2000|2000|e", 'tables change in the middle of a stream');

# Killed in the middle of a stream, and again while it is handed out.
$one->run('BEGIN; TRUNCATE big; ' . rows_sql('big', 1, 15000));
$two->run('BEGIN; ' . rows_sql('other', 10001, 12000));
ok(wait_until(sub { files($streams) > 0 }), 'a stream is under way');
$two->run('COMMIT');
wait_confirmed($source, 's');
$penstock->kill9;
ok(scalar files($streams), 'a kill leaves files');
$one->run(rows_sql('big', 15001, 30000));
$penstock = start_penstock(@run, @state);
$penstock->wait_for_stderr(qr/streaming from slot/);
# A lock holds the destination up, so that it has certainly begun and cannot have ended.
my $lock = Session->new($follower, 'postgres');
$lock->run('BEGIN; LOCK TABLE big IN SHARE MODE');
$one->run('COMMIT; ' . rows_sql('other', 20001, 20010));
$follower->poll_query_until('postgres', 'SELECT count(*) > 0 FROM pg_locks WHERE NOT granted');
$penstock->kill9;
$lock->quit;
$penstock = start_penstock(@run, @state);
equal('after kills', qw(big other));
is($follower->safe_psql('postgres', 'SELECT count(*) FROM big'), 30000, 'all of it, once');
is_deeply([ files($streams) ], [], 'the files that the kills have left are gone');
is($penstock->finish('TERM'), 0, 'it ends in order');

cmp_ok($source->safe_psql('postgres', q{
	SELECT stream_txns FROM pg_stat_replication_slots WHERE slot_name = 's'}), '>', 3, 'the server has streamed');

# Without a state directory, and much more than memory may take.
$one->run('TRUNCATE big, other');
mkdir "$tmp/scratch";
{
	local $ENV{TMPDIR} = "$tmp/scratch";
	$penstock = start_penstock(@run);
}
$one->run('BEGIN; INSERT INTO big SELECT i, repeat(md5(i::text), 100) FROM generate_series(1, 20000) i');
ok(wait_until(sub { files("$tmp/scratch/*/streams") > 0 }), 'without a state directory scratch files are elsewhere');
$one->run('COMMIT');
equal("64 MB", "big");
my ($peak_kb) = slurp_file('/proc/' . $penstock->pid . '/status') =~ /^VmHWM:\s+(\d+) kB/m;
cmp_ok($peak_kb, '<', 40000, "with a memory limit of 16 MB it takes $peak_kb kB");
is($penstock->finish('TERM'), 0, 'it ends in order');
is_deeply([ glob("$tmp/scratch/*") ], [], 'and leaves nothing');

# The same without streaming, and to memory.
$one->run('BEGIN; UPDATE big SET t = id; SAVEPOINT a; DELETE FROM big WHERE id > 100; ROLLBACK TO a; '
	  . 'DELETE FROM big WHERE id < 10000; COMMIT');
for my $streaming (qw(on off))
{
	my $dump = "$tmp/$streaming.json";
	my $load = start_penstock('run', '--source', uri($source), '--to', 'memory:', "--streaming=$streaming", '--dump-tables', $dump, '--status-interval', '100ms');
	$load->wait_for_stderr(qr/streaming from slot/);
	$one->run('BEGIN; UPDATE big SET t = t || id; SAVEPOINT a; DELETE FROM big; ROLLBACK TO a; UPDATE big SET t = t || 1 WHERE id % 2 = 0; COMMIT');
	wait_confirmed($source, $source->safe_psql('postgres', "SELECT slot_name FROM pg_replication_slots WHERE temporary"));
	is($load->finish('TERM'), 0, "memory tables, streaming $streaming");
	same_dump($source, 'postgres', $dump, 'big', "streaming $streaming: big is equal in memory");
}

$one->quit;
$two->quit;
done_testing();
