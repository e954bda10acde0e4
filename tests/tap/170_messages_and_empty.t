# What leaves no row for a destination still moves it on: progress and slot follow, and WAL can go.
use strict;
use warnings;
use Penstock;
use Topic;
use Test::More;

my @servers = Topic::servers();
my (undef, $source, undef, $target) = @servers;

my $schema = 'CREATE TABLE t(id int PRIMARY KEY, v int);';
my $topic = Topic->new(@servers, name => 'quiet', schema => $schema, options => [ '--tables', 'public.t' ], source_schema => $schema . q{
	CREATE TABLE filtered(id int PRIMARY KEY, v text); CREATE UNLOGGED TABLE unlogged(id int); CREATE SEQUENCE s; CREATE MATERIALIZED VIEW m AS SELECT * FROM t; CREATE SCHEMA other; CREATE TABLE other.t(id int PRIMARY KEY);
	CREATE TABLE no_identity(id int)});
$topic->write('INSERT INTO t VALUES (1, 0)');
$topic->arrives('a row', 't');

sub progress
{
	my ($database) = @_;
	return $target->safe_psql($database, 'SELECT lsn FROM penstock.progress');
}

# Tests: everything has passed, rows are equal, and both progresses are past what was written.
sub passes
{
	my ($name, $sql) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$topic->write($sql);
	my $end = $source->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
	$topic->arrives($name, 't');
	for my $database ($topic->databases)
	{
		my $lsn = progress($database);
		is($source->safe_psql('postgres', "SELECT '$lsn' >= '$end'::pg_lsn"), 't', "$name: progress of $database moves") or diag("$lsn, $end");
	}
	return;
}

passes('messages', q{SELECT pg_logical_emit_message(false, 'p', 'content'); SELECT pg_logical_emit_message(true, 'p', repeat('x', 1000000)); SELECT pg_logical_emit_message(false, '', '\x00ff00'::bytea);
	BEGIN; SELECT pg_logical_emit_message(true, 'p', 'a'); SAVEPOINT a; SELECT pg_logical_emit_message(true, 'p', 'b'); ROLLBACK TO a; COMMIT; BEGIN; SELECT pg_logical_emit_message(true, 'p', 'c'); SELECT pg_logical_emit_message(false, 'p', 'd'); ROLLBACK});
passes('messages among rows', q{BEGIN; INSERT INTO t VALUES (2, 0); SELECT pg_logical_emit_message(true, 'p', 'a'); UPDATE t SET v = 1 WHERE id = 2; SELECT pg_logical_emit_message(false, 'p', 'b'); COMMIT;
	BEGIN; SELECT pg_logical_emit_message(false, 'p', 'b'); INSERT INTO t VALUES (3, 0); ROLLBACK; INSERT INTO t VALUES (4, 0)});
passes('nothing', 'BEGIN; COMMIT; BEGIN; ROLLBACK; BEGIN; SAVEPOINT a; RELEASE a; COMMIT; SELECT pg_current_xact_id(); BEGIN; SELECT pg_current_xact_id(); SAVEPOINT a; SELECT * FROM t FOR UPDATE; COMMIT; CHECKPOINT; SELECT pg_switch_wal()');
passes('only filtered tables', q{INSERT INTO filtered SELECT n, repeat('x', 100) FROM generate_series(1, 5000) n; UPDATE filtered SET v = 'y'; DELETE FROM filtered; TRUNCATE filtered, other.t; INSERT INTO other.t VALUES (1); INSERT INTO no_identity VALUES (1); UPDATE no_identity SET id = 2});
passes('what is not in the stream at all', q{INSERT INTO unlogged SELECT generate_series(1, 1000); CREATE TEMPORARY TABLE tmp AS SELECT * FROM t; DROP TABLE tmp; SELECT nextval('s') FROM generate_series(1, 100); REFRESH MATERIALIZED VIEW m; ANALYZE; CREATE TABLE c AS SELECT * FROM t; DROP TABLE c;
	SELECT lo_unlink(lo_from_bytea(0, 'abc')); CREATE INDEX ON filtered(v); VACUUM FULL filtered; ALTER TABLE t ADD COLUMN w int; ALTER TABLE t DROP COLUMN w; COMMENT ON TABLE t IS 'x'; CREATE ROLE gone; DROP ROLE gone});
passes('rows between', q{BEGIN; INSERT INTO filtered VALUES (1); INSERT INTO t VALUES (10, 0); TRUNCATE filtered; COMMIT; BEGIN; INSERT INTO t VALUES (11, 0); SAVEPOINT a; INSERT INTO t VALUES (12, 0); ROLLBACK TO a; COMMIT; BEGIN; INSERT INTO t VALUES (13, 0); ROLLBACK; TRUNCATE filtered});
passes('a truncate of both', 'BEGIN; TRUNCATE t, filtered; INSERT INTO t VALUES (20, 0); COMMIT');
$topic->write_mix(300, q{PERFORM pg_logical_emit_message(i % 2 = 0, 'mix', i::text); INSERT INTO filtered VALUES (i); IF i % 5 = 3 THEN INSERT INTO t VALUES (1000 + i, i); UPDATE t SET v = v + 1 WHERE id = 1000 + i - 5; END IF;
	IF i % 50 = 0 THEN COMMIT; PERFORM pg_current_xact_id(); COMMIT; END IF; IF i % 7 = 0 THEN ROLLBACK; END IF});
$topic->arrives('mixed', 't');

# Commits at the destination are of the progress row alone, and few; rows are not touched.
my $writes = q{SELECT pg_stat_force_next_flush(); SELECT n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables WHERE relname = 't'};
my $before = $target->safe_psql($topic->batch, $writes);
passes('a thousand empty transactions', 'DO $$ BEGIN FOR i IN 1 .. 1000 LOOP INSERT INTO filtered VALUES (100000 + i); COMMIT; END LOOP; END $$');
is($target->safe_psql($topic->batch, $writes), $before, 'a run with nothing to do changes no row');
my $restart = q{SELECT restart_lsn, confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'quiet_batch'};
my $old = $source->safe_psql('postgres', $restart);
$topic->write('INSERT INTO filtered VALUES (-1); CHECKPOINT; INSERT INTO filtered VALUES (-2); CHECKPOINT');
$topic->run_batch for 1 .. 2;
isnt($source->safe_psql('postgres', $restart), $old, 'the slot lets go of WAL');

# Killed in between: what was only moved on is not repeated, and no row is lost or doubled.
for my $n (1 .. 3)
{
	$topic->write("INSERT INTO t SELECT n, 0 FROM generate_series(5000 + $n * 100, 5050 + $n * 100) n; INSERT INTO filtered VALUES (-10 - $n)");
	$topic->{run}->kill9;
	$topic->start;
}
$topic->arrives('after kill -9', 't');
$topic->stop;

$source->stop;
$target->stop;
done_testing();
