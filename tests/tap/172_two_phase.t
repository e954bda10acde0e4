# A transaction that is prepared arrives when it is committed, at the place of its commit; one that is
# rolled back never does, and one that is open holds up nothing else.
use strict;
use warnings;
use Penstock;
use Topic;
use Test::More;

my @servers = Topic::servers();
my (undef, $source, undef, $target) = @servers;

my $topic = Topic->new(@servers, name => 'prepared', schema => q{
	CREATE TABLE t(id int PRIMARY KEY, v text); CREATE TABLE whole(a int); ALTER TABLE whole REPLICA IDENTITY FULL; CREATE TABLE big(id int PRIMARY KEY, v text);
	ALTER TABLE big ALTER v SET STORAGE EXTERNAL});
my @tables = ('t', 'whole', 'big');
$topic->write(q{INSERT INTO t SELECT n, 'start' FROM generate_series(1, 50) n; INSERT INTO whole SELECT n % 3 FROM generate_series(1, 10) n; INSERT INTO big VALUES (1, repeat('b', 5000))});
$topic->arrives('the start', @tables);

$topic->write(q{BEGIN; UPDATE t SET v = 'prepared' WHERE id < 10; INSERT INTO t VALUES (100, 'a'); DELETE FROM whole WHERE a = 1; UPDATE big SET id = 2; PREPARE TRANSACTION 'a';
	BEGIN; INSERT INTO t VALUES (200, 'gone'); PREPARE TRANSACTION 'rolled back'; INSERT INTO t VALUES (300, 'beside'); UPDATE t SET v = 'beside' WHERE id = 20; UPDATE whole SET a = 7 WHERE a = 2});
$topic->arrives('what is beside open ones', @tables);
$topic->answers(q{SELECT count(*) FROM t WHERE v IN ('prepared', 'a', 'gone')}, 0, 'they are not there yet');
$topic->answers('SELECT count(*) FROM pg_prepared_xacts', 0, 'nor prepared');
$topic->write(q{ROLLBACK PREPARED 'rolled back'; INSERT INTO t VALUES (200, 'in its place'); COMMIT PREPARED 'a'; UPDATE t SET v = v || '!' WHERE id IN (1, 100)});
$topic->arrives('once they are decided', @tables);

# In the order of commits: what was prepared first and committed last comes last.
$topic->write(q{
	BEGIN; INSERT INTO t VALUES (401, 'first prepared'); INSERT INTO big VALUES (10, repeat('x', 9000)); PREPARE TRANSACTION 'first'; BEGIN; INSERT INTO t VALUES (402, 'second prepared'); PREPARE TRANSACTION 'second';
	COMMIT PREPARED 'second'; UPDATE t SET v = 'then' WHERE id = 402; DELETE FROM t WHERE id = 30; COMMIT PREPARED 'first'; UPDATE t SET id = 30 WHERE id = 401; UPDATE big SET id = 11 WHERE id = 10;
	BEGIN; SAVEPOINT a; INSERT INTO t VALUES (403, 'kept'); SAVEPOINT b; INSERT INTO t VALUES (404, 'not kept'); ROLLBACK TO b; INSERT INTO t VALUES (405, 'kept'); PREPARE TRANSACTION 'subs'; COMMIT PREPARED 'subs';
	BEGIN; ALTER TABLE whole ADD COLUMN b int; UPDATE whole SET b = 1 WHERE a = 7; PREPARE TRANSACTION 'ddl'; COMMIT PREPARED 'ddl';
	BEGIN; TRUNCATE whole; INSERT INTO whole VALUES (1, 2); PREPARE TRANSACTION 'truncate'; ROLLBACK PREPARED 'truncate'; BEGIN; TRUNCATE whole; INSERT INTO whole VALUES (3, 4); PREPARE TRANSACTION 'truncate'; COMMIT PREPARED 'truncate';
	BEGIN; SELECT * FROM t FOR UPDATE; PREPARE TRANSACTION 'empty'; COMMIT PREPARED 'empty'; BEGIN; PREPARE TRANSACTION 'nothing'; ROLLBACK PREPARED 'nothing'});
$topic->at_target('ALTER TABLE whole ADD COLUMN b int');
$topic->arrives('in the order of commits', @tables);

# A few hundred, the same names again and again, some given up, some left open for a while.
my $mix = join '', map {
	my $gid = 'mix ' . $_ % 10;
	"BEGIN; INSERT INTO t VALUES (1000 + $_, 'mix'); UPDATE t SET v = v || $_ WHERE id % 50 = $_ % 50; DELETE FROM t WHERE id = 1000 + $_ - 7; INSERT INTO whole VALUES ($_); PREPARE TRANSACTION '$gid'; "
	  . ($_ % 3 ? "COMMIT" : "ROLLBACK") . " PREPARED '$gid'; INSERT INTO t VALUES (5000 + $_, 'one phase'); "
} 1 .. 80;
$topic->write("BEGIN; INSERT INTO t VALUES (9001, 'open'); PREPARE TRANSACTION 'open'; $mix");
$topic->arrives('many, beside one that stays open', @tables);
$topic->answers('SELECT count(*) FROM t WHERE id = 9001', 0, 'which is not there');

# Open across the end of everything: consumers, source, destination.
$topic->{run}->kill9;
$_->restart for $source, $target;
$topic->start;
$topic->write(q{INSERT INTO t VALUES (9002, 'after')});
$topic->arrives('after a restart of everything', @tables);
$topic->answers('SELECT count(*) FROM t WHERE id = 9001', 0, 'it is still not there');
$topic->{run}->kill9;
$topic->write(q{COMMIT PREPARED 'open'; UPDATE t SET v = 'closed' WHERE id = 9001; BEGIN; INSERT INTO t VALUES (9003, 'never'); PREPARE TRANSACTION 'never'; ROLLBACK PREPARED 'never'});
$topic->start;
$topic->arrives('once it is committed', @tables);
$topic->answers(q{SELECT (SELECT v FROM t WHERE id = 9001), (SELECT count(*) FROM t WHERE id = 9003), (SELECT count(*) FROM pg_prepared_xacts)}, 'closed|0|0', 'it is there');
$topic->stop;

$source->stop;
$target->stop;
done_testing();
