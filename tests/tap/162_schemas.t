# Tables that are not the same at both ends, and that change at different times while changes come.
use strict;
use warnings;
use Penstock;
use Topic;
use Test::More;

my @servers = Topic::servers();
my (undef, $source, undef, $target) = @servers;

# ---- different from the start ----

my $topic = Topic->new(@servers, name => 'differ', source_schema => q{
	CREATE TABLE shuffled(gone int, id int PRIMARY KEY, gone_too text, a text, b numeric, c date, d int[]);
	ALTER TABLE shuffled DROP COLUMN gone, DROP COLUMN gone_too;
	CREATE TABLE wider(id int2 PRIMARY KEY, k int4, f float4, v varchar(5), n numeric(5,2), t timestamp(0), c char(3), d date, ip cidr, o oid, e text);
	CREATE TABLE shuffled_whole(gone int, a text, b int, c text);
	ALTER TABLE shuffled_whole DROP COLUMN gone, REPLICA IDENTITY FULL;
	CREATE TABLE few(id int PRIMARY KEY);
	CREATE SCHEMA "Od.d"; CREATE TABLE "Od.d"."T""able"("I d" int PRIMARY KEY, "select" text, "UPPER" text, "a'b\\c" int);
}, target_schema => q{
	CREATE TABLE shuffled(extra text DEFAULT 'mine', d int[], c date, gone int, more int GENERATED ALWAYS AS IDENTITY, b numeric, made timestamptz DEFAULT now(), id int PRIMARY KEY, a text, kept int DEFAULT 7);
	ALTER TABLE shuffled DROP COLUMN gone;
	CREATE TABLE wider(e varchar, o int8, ip inet, d timestamp, c text, t timestamp, n numeric, v text, f float8, k int8, id int4 PRIMARY KEY);
	CREATE TABLE shuffled_whole(c text, extra int DEFAULT 3, a text, b int);
	CREATE TABLE few(a int[] DEFAULT '{1}', id int PRIMARY KEY, b text NOT NULL DEFAULT 'b', c serial);
	CREATE SCHEMA "Od.d"; CREATE TABLE "Od.d"."T""able"("a'b\\c" int, "UPPER" text, "select" text, upper text DEFAULT 'small', "I d" int PRIMARY KEY);
});
my @tables = ('(SELECT id, a, b, c, d FROM shuffled)', '(SELECT id, k, f::float4, v, n, t, rtrim(c) c, d::date, ip::cidr, o::oid, e FROM wider)', '(SELECT a, b, c FROM shuffled_whole)', '(SELECT id FROM few)',
	q{(SELECT "I d", "select", "UPPER", "a'b\\c" FROM "Od.d"."T""able")});
my $one = q{
	INSERT INTO shuffled VALUES (i, 'a' || i, i / 10.0, '2026-01-01'::date + i, ARRAY[i, NULL]);
	INSERT INTO wider VALUES (i, i * 1000, i / 8.0, 'v' || i, i % 999 + 0.5, '2026-01-01 01:02:03', 'c', '2026-01-01', '10.0.0.0/8', i, 'e');
	INSERT INTO shuffled_whole VALUES ('a', i % 3, 'c'); INSERT INTO few VALUES (i); INSERT INTO "Od.d"."T""able" VALUES (i, 'x', 'Y', i);
	UPDATE shuffled SET b = b + 1, d = d || i WHERE id % 10 = i % 10; UPDATE shuffled SET id = -i WHERE id = i - 3; UPDATE wider SET k = k * 2, f = -f, v = NULL WHERE id % 10 = i % 10; UPDATE wider SET id = -id WHERE id = i - 3;
	UPDATE shuffled_whole SET b = b + 1 WHERE ctid = (SELECT min(ctid) FROM shuffled_whole WHERE b < 2); UPDATE few SET id = -id WHERE id = i - 1; UPDATE "Od.d"."T""able" SET "select" = i, "a'b\\c" = NULL WHERE "I d" = i - 1;
	IF i % 4 = 0 THEN DELETE FROM shuffled WHERE id = i; DELETE FROM wider WHERE id = i - 1; DELETE FROM shuffled_whole WHERE ctid = (SELECT min(ctid) FROM shuffled_whole WHERE b = 2); DELETE FROM few WHERE id = -i + 2; DELETE FROM "Od.d"."T""able" WHERE "I d" = i; END IF};
$topic->write_mix(20, $one);
$topic->arrives('tables that differ', @tables);
$topic->at_target(q{UPDATE shuffled SET extra = 'yours', kept = id; UPDATE few SET b = id; UPDATE "Od.d"."T""able" SET upper = "I d"});
$topic->write_mix(120, $one, 21);
$topic->arrives('tables that differ, mixed', @tables);
$topic->answers(q{SELECT count(*) FROM shuffled WHERE extra = 'yours' AND kept <> 7}, $target->safe_psql($topic->live, q{SELECT count(*) FROM shuffled WHERE extra <> 'mine'}), 'what is its own stays as it was');
$topic->answers(q{SELECT count(*) > 0 AND bool_and(upper = "I d"::text OR upper = 'small') FROM "Od.d"."T""able"}, 't', 'and has its default in new rows');

# An update that moves the key keeps what only the destination has; a row that is deleted and comes back has not.
$topic->write(q{DELETE FROM shuffled; INSERT INTO shuffled SELECT n, 'n' FROM generate_series(1, 300) n});
$topic->arrives('a new start', @tables);
$topic->at_target('UPDATE shuffled SET kept = id');
$topic->write(q{UPDATE shuffled SET id = id + 1000 WHERE id % 3 = 0; UPDATE shuffled SET a = 'x' WHERE id % 3 = 1;
	BEGIN; DELETE FROM shuffled WHERE id % 3 = 2; INSERT INTO shuffled SELECT n, 'back' FROM generate_series(2, 300, 3) n; COMMIT});
$topic->arrives('moved, changed, and back', @tables);
$topic->answers('SELECT array_agg(DISTINCT kept - CASE WHEN id > 1000 THEN id - 1000 ELSE id END) FROM shuffled WHERE id % 3 <> 2 OR id > 1000', '{0}', 'what is its own moves with the key');
$topic->answers(q{SELECT DISTINCT kept FROM shuffled WHERE a = 'back'}, 7, 'a new row has the default');
$topic->stop;

# ---- changing while changes come: the destination is altered first ----

my $schema = 'CREATE TABLE t(id int PRIMARY KEY, a text, b int); CREATE TABLE w(a int, b text); ALTER TABLE w REPLICA IDENTITY FULL;';
$topic = Topic->new(@servers, name => 'skew', schema => $schema);
$topic->write(q{INSERT INTO t SELECT n, 'a', n FROM generate_series(1, 50) n; INSERT INTO w SELECT n % 5, 'w' FROM generate_series(1, 20) n});
$topic->arrives('before it is altered', 't', 'w');
$topic->at_target('ALTER TABLE t ADD COLUMN c text; ALTER TABLE w ADD COLUMN c int');
$topic->write(q{UPDATE t SET b = b + 1; ALTER TABLE t ADD COLUMN c text; UPDATE t SET c = 'c' WHERE id < 10; INSERT INTO t VALUES (100, 'x', 1, 'y'); UPDATE w SET b = 'W' WHERE a = 1; ALTER TABLE w ADD COLUMN c int; UPDATE w SET c = 1 WHERE a = 2});
$topic->arrives('a column more', 't', 'w');
$topic->write(q{ALTER TABLE t DROP COLUMN a; UPDATE t SET b = b + 1; INSERT INTO t VALUES (101, 2, 'z'); BEGIN; DELETE FROM t WHERE id = 3; ALTER TABLE t ADD COLUMN a text; INSERT INTO t VALUES (3, 3, 'again', 'new a'); UPDATE t SET a = 'A' WHERE id < 5; COMMIT;
	ALTER TABLE w DROP COLUMN b; UPDATE w SET c = 5 WHERE a = 3; DELETE FROM w WHERE ctid = (SELECT max(ctid) FROM w WHERE a = 0)});
$topic->arrives('a column dropped and added again', '(SELECT id, b, c FROM t)', '(SELECT a, c FROM w)');
$topic->answers(q{SELECT id, a FROM t WHERE id IN (3, 4, 5, 101) ORDER BY id}, "3|A\n4|A\n5|a\n101|", 'which the destination kept');

# DDL, rows and DDL in one transaction, and rewritten tables.
$topic->write(q{BEGIN; UPDATE t SET b = 0 WHERE id < 20; ALTER TABLE t ADD COLUMN d int; UPDATE t SET d = id WHERE id < 10; SAVEPOINT s; ALTER TABLE t ADD COLUMN e int; UPDATE t SET e = 1; ROLLBACK TO s; UPDATE t SET d = -id WHERE id < 5; ALTER TABLE t DROP COLUMN d; DELETE FROM t WHERE id = 7; COMMIT;
	CLUSTER t USING t_pkey; VACUUM FULL t; UPDATE t SET b = b + 1;
	CREATE TABLE later(id int PRIMARY KEY, v int); INSERT INTO later SELECT n, 0 FROM generate_series(1, 100) n; UPDATE later SET v = id; DELETE FROM later WHERE id > 50});
ok($topic->{run}->wait_for_stderr(qr/has no column .*d.*ADD COLUMN .*d.* int4/), 'a column that lived for one transaction is asked for');
$topic->at_target('ALTER TABLE t ADD COLUMN d int');
ok($topic->{run}->wait_for_stderr(qr/there is no table .*later/), 'a new table too');
$topic->at_target('CREATE TABLE later(v int, id int PRIMARY KEY)');
$topic->arrives('altered inside a transaction', '(SELECT id, b, c FROM t)', '(SELECT id, v FROM later)');
$topic->answers('SELECT string_agg(d::text, $$,$$ ORDER BY id) FROM t WHERE id < 10', '-1,-2,-3,-4,5,6,8,9', 'its values arrived');

# ---- renamed at both ends, at different times ----

$topic->write(q{ALTER TABLE t RENAME COLUMN b TO bb; UPDATE t SET bb = bb + 1; INSERT INTO t(id, bb) VALUES (200, 200)});
ok($topic->{run}->wait_for_stderr(qr/has no column .*bb/), 'a renamed column is waited for');
$topic->at_target('ALTER TABLE t RENAME COLUMN b TO bb');
$topic->arrives('renamed there as well', '(SELECT id, bb, c FROM t)');
$topic->write(q{ALTER TABLE later RENAME TO sooner; UPDATE sooner SET v = v + 1; INSERT INTO sooner VALUES (1000, 1)});
ok($topic->{run}->wait_for_stderr(qr/there is no table .*sooner/), 'a renamed table is waited for');
$topic->at_target('ALTER TABLE later RENAME TO sooner');
$topic->arrives('renamed, too', '(SELECT id, v FROM sooner)');

# A destination altered under prepared statements, without a change at the source.
for my $alter ('ALTER TABLE sooner ALTER v TYPE bigint', 'ALTER TABLE sooner ADD COLUMN x int DEFAULT 5', 'ALTER TABLE sooner DROP COLUMN x', 'ALTER TABLE sooner RENAME TO tmp; CREATE TABLE sooner (id int PRIMARY KEY, v text); INSERT INTO sooner SELECT id, v FROM tmp; DROP TABLE tmp',
	'ALTER TABLE sooner DROP CONSTRAINT sooner_pkey', 'ALTER TABLE sooner ADD PRIMARY KEY (id)', 'VACUUM FULL sooner', 'ANALYZE')
{
	$topic->at_target($alter);
	$topic->write('UPDATE sooner SET v = v + 1; DELETE FROM sooner WHERE id = (SELECT max(id) FROM sooner); INSERT INTO sooner SELECT max(id) + 3, 0 FROM sooner');
	ok($topic->live_follows, "the destination alone: $alter") or diag($topic->{run}->stderr);
}
$topic->arrives('after all that', '(SELECT id, v::text FROM sooner)');

# Dropped and created again: what the old table had is not what the new one has, and is there still.
my $again = 'CREATE TABLE again(id int PRIMARY KEY, v int);';
$topic->at_target($again);
$topic->write("$again INSERT INTO again SELECT n, 1 FROM generate_series(1, 100) n; UPDATE again SET v = 2; DROP TABLE again; $again INSERT INTO again SELECT n, 3 FROM generate_series(101, 200) n");
my ($code, $err) = $topic->run_batch;
is($code, 4, 'another table of the same name is refused, also within a batch') or diag($err);
like($err, qr/again.* was dropped and created again/, 'which is told');
is($topic->{run}->finish, 4, 'while it happens, too') or diag($topic->{run}->stderr);
$topic->answers('SELECT count(*) FROM again WHERE v = 3', 0, 'no row of the new table is among those of the old one');
$topic->at_target('TRUNCATE again');
$topic->start;
is($target->safe_psql($topic->live, 'SELECT count(*) FROM again'), 0, 'emptied there');
ok($topic->live_follows, 'it goes on') or diag($topic->{run}->stderr);
same_rows($source, 'postgres', $target, $topic->live, 'again');
$topic->stop;

$source->stop;
$target->stop;
done_testing();
