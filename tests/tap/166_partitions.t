# Partitioned at either end, or at both and differently: rows travel under the name of the partition
# that holds them, and are found wherever the destination keeps them.
use strict;
use warnings;
use Penstock;
use Topic;
use Test::More;

my @servers = Topic::servers();
my (undef, $source, undef, $target) = @servers;

# ---- partitioned at both ends, and at the source only ----

my $partitioned = q{
	CREATE TABLE log(id int NOT NULL, d date NOT NULL, t text) PARTITION BY RANGE (d);
	CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
	CREATE TABLE log_2(t text, gone int, id int NOT NULL, d date NOT NULL); ALTER TABLE log_2 DROP COLUMN gone; ALTER TABLE log ATTACH PARTITION log_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
	CREATE TABLE log_3 PARTITION OF log FOR VALUES FROM ('2026-03-01') TO ('2026-06-01') PARTITION BY LIST (t);
	CREATE TABLE log_3_a PARTITION OF log_3 FOR VALUES IN ('a'); CREATE TABLE log_3_x PARTITION OF log_3 DEFAULT;
	CREATE TABLE log_x PARTITION OF log DEFAULT;
} . 'ALTER TABLE log REPLICA IDENTITY FULL;' . join '', map { "ALTER TABLE $_ REPLICA IDENTITY FULL;" } 'log_1', 'log_2', 'log_3_a', 'log_3_x', 'log_x';
my $keyed = q{
	CREATE TABLE h(id int PRIMARY KEY, t text) PARTITION BY HASH (id);
	CREATE TABLE h_0 PARTITION OF h FOR VALUES WITH (modulus 2, remainder 0); CREATE TABLE h_1 PARTITION OF h FOR VALUES WITH (modulus 2, remainder 1);
	CREATE TABLE m(id int PRIMARY KEY, t text) PARTITION BY RANGE (id);
	CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM (MINVALUE) TO (100); CREATE TABLE m_2 PARTITION OF m FOR VALUES FROM (100) TO (MAXVALUE);
};
my @leaves = ('log_1', 'log_2', 'log_3_a', 'log_3_x', 'log_x', 'h_0', 'h_1', 'm_1', 'm_2');
my $changes = q{
	INSERT INTO log SELECT n, '2026-01-01'::date + n * 7, CASE n % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b' END FROM generate_series(1, 40) n;
	UPDATE log SET t = 'a' WHERE id % 4 = 0; UPDATE log SET d = d + 30 WHERE id % 5 = 0; UPDATE log SET t = NULL, id = id + 1000 WHERE id % 6 = 0; DELETE FROM log WHERE id % 7 = 0; INSERT INTO log SELECT id, d + 90, 'again' FROM log WHERE id < 10;
	INSERT INTO h SELECT n, 't' FROM generate_series(1, 40) n; UPDATE h SET id = id + 100 WHERE id % 3 = 0; UPDATE h SET t = 'u' WHERE id % 2 = 0; DELETE FROM h WHERE id % 5 = 0;
	INSERT INTO m SELECT n, 't' FROM generate_series(80, 120) n;
	BEGIN; UPDATE m SET id = 150 WHERE id = 90; UPDATE m SET t = 'moved' WHERE id = 150; UPDATE m SET id = 90 WHERE id = 150; UPDATE m SET t = 'back' WHERE id = 90; COMMIT;
	BEGIN; UPDATE m SET id = 151 WHERE id = 91; UPDATE m SET id = 91 WHERE id = 101; UPDATE m SET id = 101 WHERE id = 151; COMMIT; UPDATE m SET id = id + 1000 WHERE id < 95; UPDATE m SET id = id - 1100 WHERE id > 1000; DELETE FROM m WHERE id % 4 = 0;
};
my $empty = 'DELETE FROM log; DELETE FROM h; DELETE FROM m;';
my $mix = q{
	INSERT INTO log VALUES (5000 + i, '2026-01-01'::date + i % 200, 'a'); UPDATE log SET d = d + 20, t = i WHERE id = 5000 + i - 1; UPDATE log SET t = 'a' WHERE id = 5000 + i - 2; DELETE FROM log WHERE id = 5000 + i - 6 AND i % 3 = 0;
	INSERT INTO h VALUES (5000 + i, 'h'); UPDATE h SET id = -id WHERE id = 5000 + i - 3; DELETE FROM h WHERE id = -5000 - i + 7 AND i % 2 = 0;
	INSERT INTO m VALUES (5000 + i, 'm'); UPDATE m SET id = -id, t = 'low' WHERE id = 5000 + i - 1; UPDATE m SET id = -id, t = 'high' WHERE id = -5000 - i + 4; UPDATE m SET t = t || i WHERE id % 10 = i % 10};
# The same; plain tables; and other partitions below the names of the source's.
my %there = (same => $partitioned . $keyed);
$there{plain} = join '', map { "CREATE TABLE $_(id int, d date, t text);" } @leaves[0 .. 4];
$there{plain} .= join '', map { "CREATE TABLE $_(id int PRIMARY KEY, t text);" } @leaves[5 .. 8];
$there{other} = join '', map { "CREATE TABLE $_(t text, id int, d date) PARTITION BY HASH (id); CREATE TABLE o_${_}_0 PARTITION OF $_ FOR VALUES WITH (modulus 2, remainder 0); CREATE TABLE o_${_}_1 PARTITION OF $_ FOR VALUES WITH (modulus 2, remainder 1);" } @leaves[0 .. 4];
$there{other} .= join '', map { "CREATE TABLE $_(t text, id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE o_${_}_0 PARTITION OF $_ FOR VALUES FROM (MINVALUE) TO (90); CREATE TABLE o_${_}_1 PARTITION OF $_ DEFAULT;" } @leaves[5 .. 8];
my @columns = ((map { "(SELECT id, d, t FROM $_)" } @leaves[0 .. 4]), map { "(SELECT id, t FROM $_)" } @leaves[5 .. 8]);
for my $way ('same', 'plain', 'other')
{
	$source->safe_psql('postgres', "CREATE DATABASE $way");
	my $topic = Topic->new(@servers, name => $way, database => $way, source_schema => $partitioned . $keyed, target_schema => $there{$way});
	$topic->write($changes);
	$topic->arrives("$way at the destination", @columns);
	$topic->write($empty . $changes . $empty . $changes);
	$topic->write_mix(200, $mix);
	$topic->arrives("$way at the destination, mixed", @columns);
	$topic->stop;
}

# ---- partitioned at the destination only ----

my $topic = Topic->new(@servers, name => 'there', source_schema => q{
	CREATE TABLE spread(id int PRIMARY KEY, region text NOT NULL, v int);
	CREATE TABLE whole(a int, b text); ALTER TABLE whole REPLICA IDENTITY FULL;
	CREATE TABLE part_key(id int PRIMARY KEY, v int);
}, target_schema => q{
	CREATE TABLE spread(region text NOT NULL, id int, v int, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
	CREATE TABLE spread_n PARTITION OF spread FOR VALUES IN ('n', 'N'); CREATE TABLE spread_s(id int NOT NULL, v int, region text NOT NULL); ALTER TABLE spread ATTACH PARTITION spread_s FOR VALUES IN ('s');
	CREATE TABLE whole(b text, a int) PARTITION BY LIST (b); CREATE TABLE whole_x PARTITION OF whole FOR VALUES IN ('x'); CREATE TABLE whole_rest PARTITION OF whole DEFAULT;
	CREATE TABLE part_key(v int, id int PRIMARY KEY) PARTITION BY HASH (id); CREATE TABLE part_key_0 PARTITION OF part_key FOR VALUES WITH (modulus 2, remainder 0); CREATE TABLE part_key_1 PARTITION OF part_key FOR VALUES WITH (modulus 2, remainder 1);
});
my @rows = ('(SELECT id, region, v FROM spread)', '(SELECT a, b FROM whole)', '(SELECT id, v FROM part_key)');
my $moves = q{
	INSERT INTO spread SELECT n, CASE n % 3 WHEN 0 THEN 'n' WHEN 1 THEN 's' ELSE 'N' END, n FROM generate_series(1, 60) n; UPDATE spread SET region = 's' WHERE id % 4 = 0; UPDATE spread SET id = -id, region = 'n' WHERE id % 5 = 0; UPDATE spread SET v = 0; DELETE FROM spread WHERE id % 7 = 0;
	INSERT INTO whole SELECT n % 4, CASE n % 3 WHEN 0 THEN 'x' WHEN 1 THEN 'y' END FROM generate_series(1, 60) n; UPDATE whole SET b = 'x' WHERE ctid IN (SELECT min(ctid) FROM whole GROUP BY a, b); DELETE FROM whole WHERE ctid IN (SELECT max(ctid) FROM whole GROUP BY a, b); UPDATE whole SET b = NULL, a = a + 1 WHERE a = 2;
	INSERT INTO part_key SELECT n, n FROM generate_series(1, 60) n; UPDATE part_key SET id = id + 61; UPDATE part_key SET id = id - 61, v = -v; DELETE FROM part_key WHERE id % 3 = 0;
	TRUNCATE spread; INSERT INTO spread VALUES (1, 'n', 1); UPDATE spread SET region = 's';
};
$topic->write($moves);
$topic->arrives('partitioned at the destination', @rows);
$topic->write("DELETE FROM spread; DELETE FROM whole; DELETE FROM part_key; $moves DELETE FROM spread; DELETE FROM whole; DELETE FROM part_key; $moves");
$topic->write_mix(200, q{
	INSERT INTO spread VALUES (100 + i, 'n', i); UPDATE spread SET region = CASE region WHEN 'n' THEN 's' ELSE 'n' END WHERE id % 7 = i % 7; DELETE FROM spread WHERE id = 100 + i - 10 AND i % 3 = 0;
	INSERT INTO whole VALUES (i % 5, 'x'); UPDATE whole SET b = CASE b WHEN 'x' THEN 'y' ELSE 'x' END WHERE ctid = (SELECT min(ctid) FROM whole WHERE a = i % 4); INSERT INTO part_key VALUES (1000 + i, i); UPDATE part_key SET id = -id, v = 0 WHERE id = 1000 + i - 1});
$topic->arrives('partitioned at the destination, mixed', @rows);

# A row for which there is no partition yet.
$topic->write(q{INSERT INTO spread SELECT n, 'n', 1 FROM generate_series(2001, 2200) n; INSERT INTO spread VALUES (3000, 'west', 1)});
is($topic->{run}->finish, 4, 'a row without a partition stops it') or diag($topic->{run}->stderr);
like($topic->{run}->stderr, qr/INSERT into "public"\."spread".*no partition of relation "spread" found/, 'which is told');
my ($code, $err) = $topic->run_batch;
is($code, 4, 'and as a backlog') or diag($err);
$topic->at_target(q{CREATE TABLE spread_w PARTITION OF spread FOR VALUES IN ('west')});
$topic->start;
$topic->arrives('with a partition for it', @rows);

# ---- attached and detached while changes come ----

my $attached = q{CREATE TABLE live(id int PRIMARY KEY, v int) PARTITION BY RANGE (id); CREATE TABLE live_1 PARTITION OF live FOR VALUES FROM (0) TO (100);};
$topic->at_target($attached);
$topic->write($attached . 'INSERT INTO live SELECT n, 0 FROM generate_series(1, 90) n;');
$topic->at_target('CREATE TABLE live_2(v int, id int PRIMARY KEY)');
$topic->write(q{CREATE TABLE live_2(id int PRIMARY KEY, v int); INSERT INTO live_2 SELECT n, 0 FROM generate_series(100, 150) n; ALTER TABLE live ATTACH PARTITION live_2 FOR VALUES FROM (100) TO (200);
	UPDATE live SET v = v + 1; UPDATE live SET id = id + 100 WHERE id BETWEEN 60 AND 80; INSERT INTO live VALUES (199, 0)});
my @live = ('live_1', '(SELECT id, v FROM live_2)');
$topic->arrives('attached at the source', @live);
$topic->at_target('ALTER TABLE live ATTACH PARTITION live_2 FOR VALUES FROM (100) TO (200)');
$topic->write('UPDATE live SET v = v + 1; UPDATE live SET id = id - 100 WHERE id BETWEEN 160 AND 170; BEGIN; DELETE FROM live WHERE id = 1; ALTER TABLE live DETACH PARTITION live_1; UPDATE live_1 SET v = -v; INSERT INTO live_1 VALUES (1, 1); COMMIT; UPDATE live_1 SET id = id + 5000 WHERE id < 10; UPDATE live_1 SET id = id - 5000 WHERE id > 5000');
ok($topic->{run}->wait_for_stderr(qr/violates partition constraint/), 'detached at the source alone: what does not fit is told');
$topic->at_target('ALTER TABLE live DETACH PARTITION live_1');
$topic->start if $topic->{run}->has_ended;
$topic->arrives('detached at the source, and then there', @live);
$topic->write('DROP TABLE live; UPDATE live_1 SET v = 7');
$topic->arrives('after the parent is gone', 'live_1');
$topic->stop;

$source->stop;
$target->stop;
done_testing();
