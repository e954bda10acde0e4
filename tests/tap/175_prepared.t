# With --two-phase a prepared transaction is prepared at the destination, too, and decided there when it
# is decided at the source: once, whatever dies in between.
use strict;
use warnings;
use Penstock;
use Topic;
use Test::More;

my @servers = Topic::servers();
my (undef, $source, undef, $target) = @servers;

# Both databases of the topic are in one server, where a name can be prepared only once.
my $topic = Topic->new(@servers, name => 'prepared', slot => ['--two-phase'], options => ['--two-phase'], schema => q{
	CREATE TABLE t(id int PRIMARY KEY, v text, a int[]); CREATE TABLE whole(a int); ALTER TABLE whole REPLICA IDENTITY FULL; CREATE TABLE parent(id int PRIMARY KEY); CREATE TABLE child(id int PRIMARY KEY, p int REFERENCES parent ON DELETE CASCADE)});
my @tables = ('t', 'whole', 'parent', 'child');
my $open = q{SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()};

$topic->write(q{INSERT INTO t SELECT n, 'start', ARRAY[n] FROM generate_series(1, 50) n; INSERT INTO whole SELECT n % 3 FROM generate_series(1, 10) n});
$topic->arrives('the start', @tables);
$topic->write(q{BEGIN; UPDATE t SET v = 'prepared' WHERE id < 10; INSERT INTO t VALUES (100, 'a'); DELETE FROM whole WHERE a = 1; PREPARE TRANSACTION 'a'; BEGIN; INSERT INTO t VALUES (200, 'gone'); PREPARE TRANSACTION 'it''s "gone"'; INSERT INTO t VALUES (300, 'beside')});
$topic->arrives('beside open ones', @tables);
$topic->answers($open, 2, 'they are prepared there');
$topic->write(q{ROLLBACK PREPARED 'it''s "gone"'; COMMIT PREPARED 'a'; UPDATE t SET v = v || '!' WHERE id IN (1, 100)});
$topic->arrives('decided', @tables);
$topic->answers($open, 0, 'none is left');

# All in one backlog, and the names again and again.
my $mix = join '', map {
	my $gid = 'mix ' . $_ % 10;
	"BEGIN; INSERT INTO t VALUES (1000 + $_, 'mix'); UPDATE t SET v = v || $_ WHERE id % 50 = $_ % 50; DELETE FROM t WHERE id = 1000 + $_ - 7; INSERT INTO whole VALUES ($_); PREPARE TRANSACTION '$gid'; "
	  . ($_ % 3 ? "COMMIT" : "ROLLBACK") . " PREPARED '$gid'; INSERT INTO t VALUES (5000 + $_, 'one phase'); "
} 1 .. 60;
$topic->write($mix);
$topic->arrives('many', @tables);
$topic->answers($open, 0, 'none is left');

# Large ones, whose rows go in sets: what sets are made of must not stand in the way of preparing.
$topic->write(q{BEGIN; INSERT INTO t SELECT n, 'large', ARRAY[n, NULL] FROM generate_series(10001, 10600) n; UPDATE t SET a = a || 1 WHERE id > 10000 AND id % 2 = 0; UPDATE t SET id = id + 5000 WHERE id BETWEEN 10001 AND 10100; DELETE FROM t WHERE id > 10500 AND id % 3 = 0; INSERT INTO parent SELECT generate_series(1, 300); INSERT INTO child SELECT n, n FROM generate_series(1, 300) n; DELETE FROM parent WHERE id < 50; PREPARE TRANSACTION 'large';
	BEGIN; SAVEPOINT a; UPDATE t SET v = 'sub' WHERE id < 50; ROLLBACK TO a; UPDATE t SET a = '{}' WHERE id < 50; PREPARE TRANSACTION 'subs'; INSERT INTO whole SELECT generate_series(100, 500)});
$topic->arrives('large ones beside', @tables);
$topic->answers($open, 2, 'are prepared');
$topic->write(q{COMMIT PREPARED 'large'; COMMIT PREPARED 'subs'; DELETE FROM whole WHERE a > 200});
$topic->arrives('large ones', @tables);

# ---- whatever dies in between ----

my $n = 0;
for my $death ('consumer', 'target', 'source', 'all')
{
	$n++;
	$topic->write("BEGIN; INSERT INTO t VALUES (20000 + $n, 'kept'); PREPARE TRANSACTION 'kept'; BEGIN; INSERT INTO t VALUES (30000 + $n, 'given up'); PREPARE TRANSACTION 'given up'");
	$topic->arrives("before the end of $death", @tables);
	$topic->answers($open, 2, 'two are prepared');
	$topic->{run}->kill9 if $death =~ /consumer|all/;
	$target->stop('immediate') if $death =~ /target|all/;
	$source->stop('immediate') if $death =~ /source|all/;
	$_->start for ($death =~ /target|all/ ? $target : ()), ($death =~ /source|all/ ? $source : ());
	$topic->write("COMMIT PREPARED 'kept'; ROLLBACK PREPARED 'given up'; UPDATE t SET v = 'decided' WHERE id = 20000 + $n");
	$topic->start if $topic->{run}->has_ended;
	$topic->arrives("after the end of $death", @tables);
	$topic->answers($open, 0, 'none is left');
}
# Killed while they are decided: what was decided there already is not an error the second time.
for my $round (1 .. 3)
{
	$topic->write(join '', map { "BEGIN; INSERT INTO t VALUES (40000 + $round * 100 + $_, 'k'); PREPARE TRANSACTION 'k$_'; " . ($_ % 2 ? 'COMMIT' : 'ROLLBACK') . " PREPARED 'k$_';" } 1 .. 40);
	$topic->{run}->kill9;
	$topic->start;
}
$topic->arrives('after kill -9', @tables);
$topic->answers($open, 0, 'none is left');
$topic->answers(q{SELECT count(*) FROM t WHERE v = 'k'}, 60, 'each that was committed, once');
$topic->stop;

$source->stop;
$target->stop;
done_testing();
