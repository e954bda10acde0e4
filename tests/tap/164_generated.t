# Columns that a server fills: generated ones, identities, sequences. The source's values arrive
# wherever they can be stored; what the destination computes, it computes itself.
use strict;
use warnings;
use Penstock;
use Topic;
use Test::More;

my @servers = Topic::servers();
my (undef, $source, undef, $target) = @servers;

my $topic = Topic->new(@servers, name => 'computed', source_schema => q{
	CREATE TABLE doubled(id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED, b text);
	CREATE TABLE there(id int PRIMARY KEY, a int, twice int, b text);
	CREATE TABLE here(id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED, b text);
	CREATE TABLE absent(id int PRIMARY KEY, twice int GENERATED ALWAYS AS (a * 2) STORED, a int);
	CREATE TABLE whole(a int, twice int GENERATED ALWAYS AS (a * 2) STORED, b text);
	CREATE TABLE whole_here(a int, twice int GENERATED ALWAYS AS (a * 2) STORED, b text);
	ALTER TABLE whole REPLICA IDENTITY FULL; ALTER TABLE whole_here REPLICA IDENTITY FULL;
	CREATE TABLE key(a int NOT NULL, k int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY, b text);
	CREATE TABLE key_here(a int, k int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY, b text);
	CREATE TABLE big(id int PRIMARY KEY, a text, n int, g text GENERATED ALWAYS AS (a || a) STORED);
	ALTER TABLE big ALTER a SET STORAGE EXTERNAL, ALTER g SET STORAGE EXTERNAL;
}, target_schema => q{
	CREATE TABLE doubled(id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 3) STORED, b text);
	CREATE TABLE there(id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 3) STORED, b text);
	CREATE TABLE here(id int PRIMARY KEY, a int, twice int, b text);
	CREATE TABLE absent(id int PRIMARY KEY, a int);
	CREATE TABLE whole(a int, twice int GENERATED ALWAYS AS (a * 3) STORED, b text);
	CREATE TABLE whole_here(a int, twice int, b text);
	CREATE TABLE key(a int NOT NULL, k int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY, b text);
	CREATE TABLE key_here(a int, k int PRIMARY KEY, b text);
	CREATE TABLE big(id int PRIMARY KEY, a text, n int, g text GENERATED ALWAYS AS (a || '!') STORED);
});
my @tables = ('(SELECT id, a, b FROM doubled)', '(SELECT id, a, b FROM there)', 'here', '(SELECT id, a FROM absent)', '(SELECT a, b FROM whole)', 'whole_here', 'key', 'key_here', '(SELECT id, a, n FROM big)');
my $changes = join '', map { "INSERT INTO $_(id, a) SELECT n, n FROM generate_series(1, 40) n; UPDATE $_ SET a = a + 100 WHERE id % 3 = 0; UPDATE $_ SET id = -id WHERE id % 5 = 0; DELETE FROM $_ WHERE id % 7 = 0; UPDATE $_ SET a = NULL WHERE id = 1;" } 'doubled', 'there', 'here', 'absent';
$changes .= join '', map { "INSERT INTO $_(a, b) SELECT n % 5, 'b' FROM generate_series(1, 30) n; UPDATE $_ SET a = a + 10 WHERE ctid IN (SELECT min(ctid) FROM $_ GROUP BY a); DELETE FROM $_ WHERE ctid IN (SELECT max(ctid) FROM $_ GROUP BY a); UPDATE $_ SET a = NULL WHERE a = 10; UPDATE $_ SET b = 'c' WHERE a IS NULL;" } 'whole', 'whole_here';
$changes .= join '', map { "INSERT INTO $_(a, b) SELECT n, 'b' FROM generate_series(1, 30) n; UPDATE $_ SET b = 'c' WHERE a % 3 = 0; UPDATE $_ SET a = a + 100 WHERE a % 3 = 1; DELETE FROM $_ WHERE k % 4 = 0; BEGIN; UPDATE $_ SET a = 1000 WHERE a = 3; UPDATE $_ SET a = 3 WHERE a = 5; UPDATE $_ SET a = 5 WHERE a = 1000; COMMIT;" } 'key', 'key_here';
$changes .= q{INSERT INTO there VALUES (1000, 1, 77); UPDATE there SET twice = 78 WHERE id = 1000; UPDATE there SET twice = twice + 1;
	INSERT INTO big SELECT n, repeat(n::text, 3000), 0 FROM generate_series(1, 5) n; UPDATE big SET n = 1; UPDATE big SET a = repeat('b', 3000) WHERE id = 2; UPDATE big SET id = id + 10;};
my $empty = join '', map { "DELETE FROM $_;" } 'doubled', 'there', 'here', 'absent', 'whole', 'whole_here', 'key', 'key_here', 'big';
$topic->write($changes);
$topic->arrives('generated columns', @tables);
$topic->write($empty . $changes . $empty . $changes);
$topic->arrives('generated columns, again', @tables);
$topic->answers('SELECT bool_and(twice = a * 3) FROM (SELECT a, twice FROM doubled UNION ALL SELECT a, twice FROM there UNION ALL SELECT a, twice FROM whole) x', 't', 'the destination computes its own');
$topic->answers(q{SELECT bool_and(g = a || '!') FROM big}, 't', 'also from a value that did not travel');
$topic->answers('SELECT bool_and(twice = a * 2) FROM (SELECT a, twice FROM here UNION ALL SELECT a, twice FROM whole_here) x', 't', 'and has those of the source where it computes none');
$topic->stop;

# ---- identities and sequences ----

my @kinds = ('ALWAYS', 'BY DEFAULT');
my $schema = '';
for my $s (0, 1)
{
	for my $t (0, 1)
	{
		$schema .= "CREATE TABLE k_$s$t(id int GENERATED $kinds[$s] AS IDENTITY PRIMARY KEY, t text); CREATE TABLE v_$s$t(id int PRIMARY KEY, n int GENERATED $kinds[$s] AS IDENTITY, t text);";
	}
}
$schema .= 'CREATE TABLE plain(id serial PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, t text); CREATE TABLE numbered(id int PRIMARY KEY, t text);';
(my $other = $schema) =~ s/(\w_\d([01])\(.*?GENERATED )(ALWAYS|BY DEFAULT)/$1$kinds[$2]/g;
$other =~ s/plain\(id serial PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY/plain(id int PRIMARY KEY, n int/;
$other =~ s/numbered\(id int/numbered(id int GENERATED ALWAYS AS IDENTITY/;
@tables = $schema =~ /CREATE TABLE (\w+)/g;
$topic = Topic->new(@servers, name => 'identity', source_schema => $schema, target_schema => $other);
$changes = '';
for my $table (@tables)
{
	my $id = $table =~ /^v_/ || $table eq 'numbered' ? 'id, ' : '';
	my $n = $id ? 'n, ' : '';
	$changes .= "INSERT INTO $table(${id}t) SELECT ${n}'t' FROM generate_series(1, 20) n; UPDATE $table SET t = 'u' WHERE id % 2 = 0; DELETE FROM $table WHERE id % 5 = 0; INSERT INTO $table(id, t) OVERRIDING SYSTEM VALUE VALUES (5, 'again'), (500, 'far');
		DELETE FROM $table WHERE id = 500; ";
}
$topic->write($changes);
$topic->arrives('identities', @tables);
$topic->write(join('', map { "DELETE FROM $_; " } @tables) . $changes =~ s/DELETE FROM \w+ WHERE id = 500/UPDATE k_11 SET t = 'x'/gr);
$topic->arrives('identities, again', @tables);
$topic->write(join('', map { "TRUNCATE $_ RESTART IDENTITY; " } @tables) . $changes . q{UPDATE k_11 SET id = id + 10000; UPDATE v_11 SET n = n + 1; UPDATE k_01 SET t = 'v'; UPDATE v_01 SET t = 'w', id = -id; UPDATE plain SET id = -id, t = 'x'});
$topic->arrives('identities that begin again', @tables);
$topic->write_mix(150, q{
	INSERT INTO k_00(t) VALUES ('m'); INSERT INTO k_10(t) VALUES ('m'); INSERT INTO k_01(t) VALUES ('m'); INSERT INTO v_00(id, t) VALUES (20000 + i, 'm'); INSERT INTO numbered VALUES (20000 + i, 'm');
	UPDATE k_00 SET t = i WHERE id % 10 = i % 10; UPDATE v_00 SET t = i, id = id + 1000 WHERE id = 20000 + i - 1; UPDATE numbered SET t = i WHERE id % 10 = i % 10;
	DELETE FROM k_00 WHERE id = (SELECT max(id) FROM k_00 WHERE i % 3 = 0); DELETE FROM k_10 WHERE id = (SELECT min(id) FROM k_10 WHERE i % 3 = 1)});
$topic->arrives('identities, mixed', @tables);

# GENERATED ALWAYS can only be set to what its sequence gives next.
$topic->write(q{UPDATE k_00 SET id = DEFAULT WHERE id % 3 = 0; UPDATE v_00 SET n = DEFAULT, t = 'd' WHERE id % 2 = 0; UPDATE k_10 SET id = id + 100000; UPDATE v_10 SET n = n + 1; UPDATE numbered SET id = id + 100000, t = 'moved'; UPDATE plain SET n = DEFAULT});
$topic->arrives('identities that change', @tables);
$topic->answers(q{SELECT last_value FROM k_10_id_seq}, 1, 'sequences of the destination do not move with rows');

$topic->stop;

$source->stop;
$target->stop;
done_testing();
