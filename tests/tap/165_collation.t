# Text is the same text in another encoding and under another collation, also as a key: a collation to
# which different texts are equal decides neither which row is meant nor whether it has changed.
use strict;
use warnings;
use Penstock;
use Topic;
use Test::More;

$ENV{PGCLIENTENCODING} = 'UTF8';
my @servers = Topic::servers();
my (undef, $source, undef, $target) = @servers;
my $c = "TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'";
$source->safe_psql('postgres', "CREATE DATABASE $_ ENCODING '$_' $c") for 'latin1', 'sql_ascii';

# ---- another encoding ----

my $schema = q{SET client_encoding = 'UTF8'; CREATE TABLE "größe"(id int, "schlüssel" text, v varchar(10), n name, a text[], x xml, j json, c char(4), PRIMARY KEY ("schlüssel", id));
	CREATE TABLE ganz("ä" text, b text[]); ALTER TABLE ganz REPLICA IDENTITY FULL;};
my $changes = q{SET client_encoding = 'UTF8';
	INSERT INTO "größe" SELECT n, repeat('é', n), 'üß' || n, 'ñ', ARRAY['ø', NULL, 'å"'], '<a>ö</a>', '{"ä":"ö"}', 'ÿ' FROM generate_series(1, 30) n; INSERT INTO "größe" VALUES (0, '', '');
	UPDATE "größe" SET v = 'Ä' || id WHERE id % 3 = 0; UPDATE "größe" SET "schlüssel" = "schlüssel" || 'à' WHERE id % 5 = 0; DELETE FROM "größe" WHERE "schlüssel" = 'éé';
	INSERT INTO ganz SELECT CASE n % 3 WHEN 0 THEN 'é' WHEN 1 THEN 'e' END, ARRAY['è'] FROM generate_series(1, 30) n; UPDATE ganz SET b = '{ê,"ë"}' WHERE ctid IN (SELECT min(ctid) FROM ganz GROUP BY "ä"); DELETE FROM ganz WHERE ctid IN (SELECT max(ctid) FROM ganz GROUP BY "ä");
};
my @names = ('"größe"', 'ganz');
for my $encoding ('latin1', 'sql_ascii')
{
	my $topic = Topic->new(@servers, name => $encoding, database => $encoding, schema => $schema);
	$topic->write($changes);
	$topic->arrives("from $encoding", @names);
	$topic->write($changes =~ s/INSERT/DELETE FROM "größe"; DELETE FROM ganz; INSERT/r . 'BEGIN; TRUNCATE "größe"; ' . $changes . 'COMMIT');
	$topic->arrives("from $encoding, again", @names);
	if ($encoding eq 'sql_ascii')
	{
		$topic->write(q{CREATE TABLE bytes(id int PRIMARY KEY, t text); INSERT INTO bytes VALUES (1, 'ok'), (2, E'\xff')});
		$topic->at_target('CREATE TABLE bytes(id int PRIMARY KEY, t text)');
		is($topic->{run}->finish, 4, 'bytes that are no text anywhere else stop it') or diag($topic->{run}->stderr);
		like($topic->{run}->stderr, qr/INSERT into "public"\."bytes".*encoding/, 'which is told');
		my ($code, $err) = $topic->run_batch;
		is($code, 4, 'and as a backlog') or diag($err);
		$topic->answers('SELECT count(*) FROM bytes', 0, 'nothing of that transaction is there');
	}
	$topic->stop if !$topic->{run}->has_ended;
}

my $topic = Topic->new(@servers, name => 'narrow', schema => 'CREATE TABLE t(id int PRIMARY KEY, k text UNIQUE)', create => "ENCODING 'latin1' $c");
$topic->write(q{INSERT INTO t SELECT n, 'é' || n FROM generate_series(1, 300) n; UPDATE t SET k = 'ü' || id WHERE id % 3 = 0; DELETE FROM t WHERE k = 'é1'});
$topic->arrives('to latin1', 't');
$topic->write(q{UPDATE t SET k = 'x' || id WHERE id < 100; INSERT INTO t VALUES (1000, '漢')});
is($topic->{run}->finish, 4, 'what an encoding has not stops it') or diag($topic->{run}->stderr);
like($topic->{run}->stderr, qr/INSERT into "public"\."t".*has no equivalent in encoding/, 'which is told');
my ($code, $err) = $topic->run_batch;
is($code, 4, 'and as a backlog') or diag($err);
$topic->answers('SELECT count(*) FROM t WHERE id = 1000', 0, 'it is not there in some other form');

# ---- collations to which different texts are equal ----

$schema = q{
	CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
	CREATE TABLE ci_key(k text COLLATE ci PRIMARY KEY, n int);
	CREATE TABLE ci_pair(k varchar(20) COLLATE ci, id int, v text COLLATE ci UNIQUE, PRIMARY KEY (id, k));
	CREATE TABLE ci_whole(k text COLLATE ci, v varchar COLLATE ci, c char(3) COLLATE ci, n name COLLATE ci, l text[] COLLATE ci); ALTER TABLE ci_whole REPLICA IDENTITY FULL;
	CREATE TABLE ci_array(k text[] COLLATE ci PRIMARY KEY, n int);
	CREATE DOMAIN word AS text COLLATE ci; CREATE TABLE ci_domain(k word PRIMARY KEY, n int);
};
$changes = q{
	INSERT INTO ci_key SELECT 'key' || n, n FROM generate_series(1, 30) n; UPDATE ci_key SET k = upper(k) WHERE n % 3 = 0; UPDATE ci_key SET n = n + 100 WHERE k = 'KEY1'; DELETE FROM ci_key WHERE k = 'KEY2'; INSERT INTO ci_key VALUES ('Key2', 2);
	BEGIN; DELETE FROM ci_key WHERE k = 'key5'; INSERT INTO ci_key VALUES ('KEY5', 55); UPDATE ci_key SET k = 'kEy5' WHERE k = 'key5'; COMMIT;
	BEGIN; UPDATE ci_key SET k = 'tmp' WHERE k = 'key7'; UPDATE ci_key SET k = 'KEY7' WHERE k = 'key8'; UPDATE ci_key SET k = 'KEY8' WHERE k = 'tmp'; COMMIT;
	INSERT INTO ci_pair SELECT 'k' || n, n % 3, 'v' || n FROM generate_series(1, 30) n; UPDATE ci_pair SET k = upper(k), v = upper(v) WHERE id = 1; UPDATE ci_pair SET v = 'V' || v WHERE k = 'K3'; DELETE FROM ci_pair WHERE k = 'K6'; INSERT INTO ci_pair VALUES ('k6', 0, 'V6');
	INSERT INTO ci_whole VALUES ('a', 'a'), ('A', 'a'), ('a', 'A'), ('a', 'a'), ('A', 'A'), (NULL, 'a'); INSERT INTO ci_whole VALUES ('a', 'a', 'a', 'a', '{a}'), ('a', 'a', 'A', 'a', '{a}'), ('a', 'a', 'a', 'A', '{a}'), ('a', 'a', 'a', 'a', '{A}');
	UPDATE ci_whole SET k = 'one' WHERE k COLLATE "C" = 'A'; UPDATE ci_whole SET v = 'two' WHERE v COLLATE "C" = 'A'; DELETE FROM ci_whole WHERE k IS NULL; INSERT INTO ci_whole SELECT * FROM ci_whole;
	UPDATE ci_whole SET k = 'three' WHERE c::text COLLATE "C" = 'A'; UPDATE ci_whole SET k = 'four' WHERE n COLLATE "C" = 'A'; UPDATE ci_whole SET k = 'five' WHERE l[1] COLLATE "C" = 'A';
	INSERT INTO ci_domain SELECT 'Key' || n, n FROM generate_series(1, 20) n; UPDATE ci_domain SET k = lower(k) WHERE n % 2 = 0; UPDATE ci_domain SET n = 0 WHERE k = 'KEY3'; DELETE FROM ci_domain WHERE k = 'KEY4';
};
$topic = Topic->new(@servers, name => 'ci', schema => $schema);
my @tables = $schema =~ /CREATE TABLE (\w+)/g;
$topic->write($changes);
$topic->arrives('equal but different texts', @tables);
my $empty = join '', map { "DELETE FROM $_; " } @tables;
$topic->write($empty . $changes . $empty . $changes);
$topic->arrives('equal but different texts, again', @tables);
$topic->write_mix(200, q{
	INSERT INTO ci_key VALUES (CASE WHEN i % 2 = 0 THEN 'MIX' ELSE 'mix' END || i % 37, i) ON CONFLICT (k) DO UPDATE SET k = excluded.k, n = excluded.n;
	DELETE FROM ci_key WHERE k = 'mIx' || i % 31; INSERT INTO ci_domain VALUES ('m' || i % 37, i) ON CONFLICT (k) DO UPDATE SET k = upper(ci_domain.k);
	UPDATE ci_pair SET k = CASE WHEN i % 2 = 0 THEN upper(k) ELSE lower(k) END, v = CASE WHEN i % 3 = 0 THEN upper(v) ELSE lower(v) END WHERE id = i % 3;
	UPDATE ci_whole SET k = CASE WHEN i % 2 = 0 THEN upper(k) ELSE lower(k) END WHERE ctid = (SELECT min(ctid) FROM ci_whole)});
$topic->arrives('equal but different texts, mixed', @tables);
$topic->stop;

# Equal at one end only.
my $plain = 'CREATE TABLE here(k text PRIMARY KEY, n int); CREATE TABLE there(k text PRIMARY KEY, n int);';
my $ci = q{CREATE COLLATION ci2 (provider = icu, locale = 'und-u-ks-level2', deterministic = false);};
$topic = Topic->new(@servers, name => 'half', source_schema => $ci . $plain =~ s/here\(k text/here(k text COLLATE ci2/r =~ s/there\(k text COLLATE ci2/there(k text/r,
	target_schema => $ci . $plain =~ s/there\(k text/there(k text COLLATE ci2/r);
$topic->write_mix(200, q{
	INSERT INTO here VALUES (CASE WHEN i % 2 = 0 THEN 'A' ELSE 'a' END || i % 23, i) ON CONFLICT (k) DO UPDATE SET k = excluded.k, n = excluded.n; DELETE FROM here WHERE k = 'a' || i % 19;
	INSERT INTO there VALUES ('A' || i, i); UPDATE there SET k = lower(k) WHERE k = 'A' || i - 2; DELETE FROM there WHERE k = 'a' || i - 5});
$topic->arrives('equal at one end', 'here', 'there');
$topic->write(q{INSERT INTO there VALUES ('x', 1), ('X', 2)});
is($topic->{run}->finish, 4, 'two keys that are one at the destination stop it') or diag($topic->{run}->stderr);
like($topic->{run}->stderr, qr/INSERT into "public"\."there".*duplicate key/, 'which is told');
($code, $err) = $topic->run_batch;
is($code, 4, 'and as a backlog') or diag($err);
$topic->answers(q{SELECT count(*) FROM there WHERE k = 'x'}, 0, 'neither is there');

$source->stop;
$target->stop;
done_testing();
