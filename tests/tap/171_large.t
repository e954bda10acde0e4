# Wide, many, long and deep: 1600 columns, hundreds of tables in one transaction, rows of many
# megabytes, thousands of savepoints.
use strict;
use warnings;
use Penstock;
use Topic;
use Test::More;

my @servers = Topic::servers();
my (undef, $source, undef, $target) = @servers;

# ---- as many columns as a table can have ----

my $numbers = join ', ', map { "c$_ int" } 2 .. 1600;
my $texts = join ', ', map { "t$_ text" } 2 .. 300;
my $values = join ', ', map { $_ % 3 ? "n + $_" : 'NULL' } 2 .. 1600;
my $words = join ', ', map { $_ % 5 ? "'x' || n" : 'NULL' } 2 .. 300;
my $all = join ', ', map { "c$_ = -c$_" } 2 .. 1600;
my $schema = "CREATE TABLE widest(c1 int PRIMARY KEY, $numbers); CREATE TABLE wide_whole(t1 int, $texts); ALTER TABLE wide_whole REPLICA IDENTITY FULL; CREATE TABLE wide_key(" . join(', ', map { "k$_ int" } 1 .. 32) . ', v text, PRIMARY KEY (' . join(', ', map { "k$_" } 1 .. 32) . '));';
my @tables = ('widest', 'wide_whole', 'wide_key');
my $keys = join ', ', map { "n % $_ + 1" } 2 .. 32;
my $topic = Topic->new(@servers, name => 'wide', schema => $schema);
my $changes = "INSERT INTO widest SELECT n, $values FROM generate_series(1, 60) n; UPDATE widest SET c2 = 0 WHERE c1 % 3 = 0; UPDATE widest SET $all WHERE c1 < 10; UPDATE widest SET c1 = c1 + 100, c1600 = 7 WHERE c1 % 5 = 0; DELETE FROM widest WHERE c1 % 7 = 0;
	INSERT INTO wide_whole SELECT n % 10, $words FROM generate_series(1, 40) n; UPDATE wide_whole SET t300 = 'y' WHERE t1 = 3; DELETE FROM wide_whole WHERE ctid IN (SELECT max(ctid) FROM wide_whole GROUP BY t1);
	INSERT INTO wide_key SELECT n, $keys, 'v' FROM generate_series(1, 100) n; UPDATE wide_key SET v = 'w' WHERE k2 = 1; UPDATE wide_key SET k32 = k32 + 100 WHERE k3 = 1; DELETE FROM wide_key WHERE k4 = 1;";
$topic->write($changes);
$topic->arrives('wide tables', @tables);
$topic->write(join('', map { "DELETE FROM $_;" } @tables) . "BEGIN; TRUNCATE widest; $changes COMMIT");
$topic->arrives('wide tables in one transaction', @tables);

# ---- many tables in one transaction, a few rows each ----

@tables = map { "many_$_" } 1 .. 300;
my $many = join '', map { "CREATE TABLE $_(id int PRIMARY KEY, v text);" } @tables;
$topic->at_target("BEGIN; $many COMMIT");
$topic->write("BEGIN; $many COMMIT; BEGIN; " . join('', map { "INSERT INTO $_ VALUES (1, 'a'), (2, 'b'), (3, '$_'); UPDATE $_ SET v = v || 'x' WHERE id = 1; DELETE FROM $_ WHERE id = 2;" } @tables) . 'COMMIT');
$topic->arrives('300 tables in one transaction', @tables);
# … and from one to the next with each change, back and forth.
$topic->write_mix(2, "IF i = 1 THEN " . join(';', map { "INSERT INTO $_ VALUES (10, 'c')" } @tables[0 .. 99]) . '; ELSE ' . join(';', map { "UPDATE $_ SET v = v || i WHERE id = 10" } reverse @tables[0 .. 99]) . '; END IF');
$topic->write('BEGIN; TRUNCATE ' . join(', ', @tables[0 .. 149]) . '; ' . join('', map { "INSERT INTO $_ VALUES (1, 'after');" } @tables[80 .. 119]) =~ s/\(1, 'after'\)/(20, 'after')/gr . 'COMMIT');
$topic->arrives('and in turn', @tables);

# ---- long values, of which most do not travel with every change ----

$schema = 'CREATE TABLE long(id int PRIMARY KEY, a text, b bytea, n int); CREATE TABLE long_whole(a text, n int); ALTER TABLE long_whole REPLICA IDENTITY FULL; ALTER TABLE long ALTER a SET STORAGE EXTERNAL;';
$topic->at_target($schema);
$topic->write($schema . q{INSERT INTO long SELECT n, repeat(md5(n::text), CASE n WHEN 1 THEN 20 * 32768 ELSE 10000 END), decode(repeat(md5(n::text), 1000), 'hex'), 0 FROM generate_series(1, 3) n; UPDATE long SET n = n + 1; UPDATE long SET id = 11 WHERE id = 1; UPDATE long SET a = 'short' WHERE id = 2; UPDATE long SET b = decode(repeat('00ff', 3000000), 'hex') WHERE id = 3;
	BEGIN; INSERT INTO long VALUES (4, repeat('é', 1000000), NULL, 0); UPDATE long SET n = 1 WHERE id = 4; UPDATE long SET id = 44 WHERE id = 4; UPDATE long SET b = '\x00' WHERE id = 44; COMMIT; DELETE FROM long WHERE id = 11;
	INSERT INTO long_whole VALUES (repeat(md5('w'), 30000), 1), (repeat(md5('w'), 30000), 1); UPDATE long_whole SET n = 2 WHERE ctid = (SELECT min(ctid) FROM long_whole)});
my @digests = ('(SELECT id, md5(a), length(a), md5(b), length(b), n FROM long)', '(SELECT md5(a), n FROM long_whole)');
$topic->arrives('20 MB in a value', @digests);
$topic->write(q{UPDATE long SET n = n + 1; INSERT INTO long SELECT n, NULL, NULL, n FROM generate_series(1001, 1300) n; UPDATE long SET b = '\x01' WHERE id > 1200; UPDATE long SET id = -id; DELETE FROM long_whole WHERE n = 2});
$topic->arrives('and left where it is', @digests);

# ---- many savepoints, kept and given up ----

$schema = 'CREATE TABLE deep(id int PRIMARY KEY, v int); CREATE TABLE deep_log(v int);';
$topic->at_target($schema);
$topic->write($schema);
my $nested = 'BEGIN; ' . join('', map { "SAVEPOINT s$_; INSERT INTO deep VALUES ($_, 0); UPDATE deep SET v = $_ WHERE id = " . int($_ / 2) . '; ' . ($_ % 3 == 0 ? "ROLLBACK TO s$_; INSERT INTO deep VALUES ($_, -1);" : $_ % 10 == 4 ? "RELEASE s$_;" : '') } 1 .. 600) . 'ROLLBACK TO s550; COMMIT;';
$topic->write($nested);
$topic->write(q{DO $$ BEGIN FOR i IN 1001 .. 4000 LOOP BEGIN INSERT INTO deep VALUES (i, 0); INSERT INTO deep_log VALUES (i); IF i % 2 = 0 THEN RAISE division_by_zero; END IF; UPDATE deep SET v = i WHERE id = i - 2; EXCEPTION WHEN division_by_zero THEN INSERT INTO deep VALUES (-i, i); END; END LOOP; END $$});
$topic->arrives('thousands of savepoints', 'deep', 'deep_log');
$topic->write('BEGIN; INSERT INTO deep SELECT n FROM generate_series(100001, 120000) n; SAVEPOINT a; UPDATE deep SET v = 1 WHERE id > 100000; ROLLBACK TO a; DELETE FROM deep WHERE id > 100000 AND id % 2 = 0; UPDATE deep SET v = 2 WHERE id > 110000; COMMIT');
$topic->arrives('tens of thousands of rows', 'deep');
$topic->stop;

$source->stop;
$target->stop;
done_testing();
