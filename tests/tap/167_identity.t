# By whatever a row is identified, the one that was changed at the source is the one that changes:
# keys that move, swap and come back, rows found by all their values, and values that did not travel.
use strict;
use warnings;
use Penstock;
use Topic;
use Test::More;

my @servers = Topic::servers();
my (undef, $source, undef, $target) = @servers;

# ---- keys ----

my $schema = q{
	CREATE TABLE byid(id int PRIMARY KEY, t text, n int);
	CREATE TABLE pair(a text, z int, b int, c text, PRIMARY KEY (b, a) INCLUDE (c));
	CREATE TABLE byindex(id int PRIMARY KEY, u text NOT NULL, v int NOT NULL, t text);
	CREATE UNIQUE INDEX byindex_u ON byindex(v, u);
	ALTER TABLE byindex REPLICA IDENTITY USING INDEX byindex_u;
	CREATE TABLE whole_keyed(id int PRIMARY KEY, t text, f float8);
	ALTER TABLE whole_keyed REPLICA IDENTITY FULL;
	CREATE TABLE whole_late(id int PRIMARY KEY DEFERRABLE, t text);
	ALTER TABLE whole_late REPLICA IDENTITY FULL;
	CREATE TABLE big(id int PRIMARY KEY, a text, b text, n int);
	ALTER TABLE big ALTER a SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL;
	CREATE TABLE big_key(k text PRIMARY KEY, a text, n int);
	ALTER TABLE big_key ALTER k SET STORAGE EXTERNAL;
	CREATE TABLE big_whole(a text, n int);
	ALTER TABLE big_whole ALTER a SET STORAGE EXTERNAL;
	ALTER TABLE big_whole REPLICA IDENTITY FULL;
	CREATE TABLE numbers(k numeric PRIMARY KEY, t text);
	CREATE TABLE decimals(k float8 PRIMARY KEY, t text);
	CREATE TABLE padded(k char(5) PRIMARY KEY, t text);
	CREATE TABLE documents(k jsonb PRIMARY KEY, t text);
};
my @tables = $schema =~ /CREATE TABLE (\w+)/g;
my $moves = q{
	INSERT INTO byid SELECT n, 'v' || n, n FROM generate_series(1, 10) n;
	BEGIN; UPDATE byid SET id = -1 WHERE id = 1; UPDATE byid SET id = 1 WHERE id = 2; UPDATE byid SET id = 2 WHERE id = -1; COMMIT;
	BEGIN; DELETE FROM byid WHERE id = 3; INSERT INTO byid VALUES (3, 'new', 3); DELETE FROM byid WHERE id = 3; INSERT INTO byid VALUES (3, 'newer', 3); UPDATE byid SET n = 4 WHERE id = 3; COMMIT;
	BEGIN; INSERT INTO byid VALUES (100, 'gone', 1); UPDATE byid SET id = 101 WHERE id = 100; UPDATE byid SET t = 'x' WHERE id = 101; DELETE FROM byid WHERE id = 101; COMMIT;
	BEGIN; DELETE FROM byid WHERE id = 5; UPDATE byid SET id = 5 WHERE id = 4; UPDATE byid SET id = 4 WHERE id = 6; INSERT INTO byid VALUES (6, 'six', 6); COMMIT;
	BEGIN; UPDATE byid SET id = id + 1000 WHERE id > 6; UPDATE byid SET id = id - 999 WHERE id > 1000; COMMIT;
	UPDATE byid SET n = n; UPDATE byid SET t = NULL WHERE id = 8; UPDATE byid SET n = n + 1; UPDATE byid SET n = n + 1;
	INSERT INTO pair SELECT 'a' || n % 3, n, n / 3, 'c' FROM generate_series(1, 12) n;
	UPDATE pair SET c = 'd' WHERE z = 4; UPDATE pair SET a = 'A' WHERE z = 5; UPDATE pair SET b = 77, c = 'e' WHERE z = 6; DELETE FROM pair WHERE z = 7; UPDATE pair SET z = 70 WHERE z = 8;
	BEGIN; UPDATE pair SET a = 'tmp' WHERE a = 'a0' AND b = 3; UPDATE pair SET a = 'a0' WHERE a = 'a1' AND b = 3; UPDATE pair SET a = 'a1' WHERE a = 'tmp'; COMMIT;
	INSERT INTO byindex SELECT n, 'u' || n, n, 't' FROM generate_series(1, 10) n;
	UPDATE byindex SET id = id + 100; UPDATE byindex SET u = 'U' WHERE v = 2; UPDATE byindex SET id = 1, v = 20 WHERE v = 3; DELETE FROM byindex WHERE v = 4; INSERT INTO byindex VALUES (4, 'u4', 4, NULL);
	BEGIN; UPDATE byindex SET v = -v WHERE v IN (5, 6); UPDATE byindex SET u = 'u6', v = 6 WHERE v = -5; UPDATE byindex SET u = 'u5', v = 5 WHERE v = -6; COMMIT;
	INSERT INTO whole_keyed VALUES (1, 'a', 0), (2, 'a', '-0'), (3, NULL, 'NaN'); UPDATE whole_keyed SET id = id + 10; UPDATE whole_keyed SET t = 'b' WHERE f = 0; DELETE FROM whole_keyed WHERE id = 13; INSERT INTO whole_keyed VALUES (13, 'c', NULL);
	INSERT INTO whole_late SELECT n, 't' || n FROM generate_series(1, 10) n; UPDATE whole_late SET id = id + 1; UPDATE whole_late SET t = t || '!'; DELETE FROM whole_late WHERE id = 11;
	BEGIN; SET CONSTRAINTS ALL DEFERRED; UPDATE whole_late SET id = 3 WHERE id = 2; UPDATE whole_late SET id = 2 WHERE t = 't2!'; COMMIT;
	INSERT INTO big SELECT n, repeat(n::text, 5000), repeat('b', 3000), 0 FROM generate_series(1, 10) n;
	UPDATE big SET n = 1; UPDATE big SET a = repeat('new', 3000) WHERE id = 2; UPDATE big SET id = id + 50 WHERE id IN (3, 4); UPDATE big SET b = NULL WHERE id = 5;
	BEGIN; INSERT INTO big VALUES (11, repeat('c', 9000), 'short', 0); UPDATE big SET n = 5 WHERE id = 11; UPDATE big SET id = 12 WHERE id = 11; UPDATE big SET b = repeat('d', 9000) WHERE id = 12; UPDATE big SET n = 6 WHERE id = 12; COMMIT;
	BEGIN; UPDATE big SET a = repeat('e', 9000) WHERE id = 6; UPDATE big SET n = 7 WHERE id = 6; UPDATE big SET b = repeat('f', 9000) WHERE id = 6; UPDATE big SET n = 8 WHERE id = 6; COMMIT;
	BEGIN; UPDATE big SET id = -7 WHERE id = 7; UPDATE big SET id = 7 WHERE id = 8; UPDATE big SET id = 8 WHERE id = -7; COMMIT;
	BEGIN; DELETE FROM big WHERE id = 9; INSERT INTO big VALUES (9, 'short', repeat('g', 9000), 0); UPDATE big SET n = 9 WHERE id = 9; COMMIT;
	INSERT INTO big_key SELECT repeat(n::text, 2400), repeat('x', 1900), n FROM generate_series(1, 5) n;
	UPDATE big_key SET n = n + 1; UPDATE big_key SET k = repeat('9', 2400) WHERE n = 2; UPDATE big_key SET a = 'y' WHERE n = 3; DELETE FROM big_key WHERE n = 4;
	INSERT INTO big_whole SELECT repeat((n % 3)::text, 5000), n % 2 FROM generate_series(1, 12) n;
	UPDATE big_whole SET n = 5 WHERE ctid IN (SELECT min(ctid) FROM big_whole GROUP BY a); DELETE FROM big_whole WHERE ctid IN (SELECT max(ctid) FROM big_whole GROUP BY a); UPDATE big_whole SET a = NULL WHERE n = 5;
	INSERT INTO numbers VALUES (1.0, 'a'), (2, 'b'), ('NaN', 'c'), ('Infinity', 'd'); UPDATE numbers SET k = 1.00; 
	INSERT INTO decimals VALUES (0, 'a'), ('NaN', 'b'), ('Infinity', 'c'); UPDATE decimals SET k = '-0' WHERE k = 0; UPDATE decimals SET t = t || '!'; DELETE FROM decimals WHERE k = '0'; INSERT INTO decimals VALUES ('-0', 'd');
	INSERT INTO padded VALUES ('a', 'a'), ('b  ', 'b'); UPDATE padded SET k = 'a  ' WHERE k = 'a'; UPDATE padded SET t = t || '!'; DELETE FROM padded WHERE k = 'b'; INSERT INTO padded VALUES ('b', 'c');
	INSERT INTO documents VALUES ('{"a": 1.0}', 'a'), ('[1, null]', 'b'); UPDATE documents SET k = '{"a": 1.00}' WHERE t = 'a'; UPDATE documents SET t = t || '!'; DELETE FROM documents WHERE k = '[1, null]';
} =~ s/UPDATE numbers SET k = 1.00; /UPDATE numbers SET k = 1.00 WHERE k = 1; UPDATE numbers SET t = t || '!'; DELETE FROM numbers WHERE k = 'NaN'; INSERT INTO numbers VALUES ('NaN', 'e');/r;
my $topic = Topic->new(@servers, name => 'keys', schema => $schema);
$topic->write($moves);
$topic->arrives('keys', @tables);
my $empty = join '', map { "DELETE FROM $_;" } @tables;
$topic->write($empty . $moves . $empty . $moves);
$topic->arrives('keys, twice more', @tables);
$topic->write_mix(300, q{
	INSERT INTO byid VALUES (i % 23, 'mix', i) ON CONFLICT (id) DO UPDATE SET n = excluded.n, t = CASE WHEN i % 2 = 0 THEN byid.t || 'm' END;
	UPDATE byid SET id = (i * 7) % 31 WHERE id = (i * 3) % 29 AND NOT EXISTS (SELECT FROM byid WHERE id = (i * 7) % 31);
	DELETE FROM byid WHERE id = (i * 5) % 37;
	INSERT INTO big VALUES (i % 19, CASE WHEN i % 3 = 0 THEN repeat(i::text, 2500) ELSE 'short' END, repeat(i::text, 2500), i) ON CONFLICT (id) DO UPDATE SET n = excluded.n;
	UPDATE big SET id = (i * 7) % 31, n = -i WHERE id = (i * 3) % 29 AND NOT EXISTS (SELECT FROM big WHERE id = (i * 7) % 31);
	UPDATE big SET b = CASE WHEN i % 2 = 0 THEN repeat('z', 4000) END WHERE id = (i * 11) % 31;
	DELETE FROM big WHERE id = (i * 5) % 37;
	UPDATE byindex SET u = 'm' || i, v = i % 41 WHERE id % 11 = i % 11 AND NOT EXISTS (SELECT FROM byindex WHERE v = i % 41);
	UPDATE whole_late SET id = CASE id WHEN i % 9 + 1 THEN i % 7 + 1 ELSE i % 9 + 1 END WHERE id IN (i % 9 + 1, i % 7 + 1) AND i % 9 <> i % 7});
$topic->arrives('keys, mixed', @tables);
$topic->stop;

# ---- rows that have no key ----

$schema = q{
	CREATE TABLE loose(a int, b text, c numeric, d json, e char(4), f timestamptz);
	CREATE TABLE nothing_but(a int);
	CREATE TABLE no_columns();
	ALTER TABLE loose REPLICA IDENTITY FULL; ALTER TABLE nothing_but REPLICA IDENTITY FULL; ALTER TABLE no_columns REPLICA IDENTITY FULL;
	CREATE TABLE inserts_only(a int, b text);
	CREATE TABLE nothing(id int PRIMARY KEY, t text); ALTER TABLE nothing REPLICA IDENTITY NOTHING;
	CREATE TABLE changing(id int PRIMARY KEY, u int NOT NULL UNIQUE, t text);
};
@tables = $schema =~ /CREATE TABLE (\w+)/g;
$topic = Topic->new(@servers, name => 'loose', schema => $schema);
my $loose = q{
	INSERT INTO loose SELECT n % 3, nullif('t' || n % 2, 't0'), CASE n % 4 WHEN 0 THEN 1.0 WHEN 1 THEN 1.00 WHEN 2 THEN 'NaN' END, CASE n % 3 WHEN 0 THEN '{"a":1}' WHEN 1 THEN '{"a": 1}' END::json, CASE WHEN n % 5 > 0 THEN 'e' END, 'epoch'
		FROM generate_series(1, 60) n;
	INSERT INTO loose DEFAULT VALUES; INSERT INTO loose DEFAULT VALUES; INSERT INTO loose VALUES (NULL, ''), (NULL, NULL);
	UPDATE loose SET a = 100 WHERE ctid = (SELECT max(ctid) FROM loose WHERE c::text = '1.00'); UPDATE loose SET a = 101 WHERE ctid = (SELECT min(ctid) FROM loose WHERE c::text = '1.0');
	DELETE FROM loose WHERE ctid = (SELECT max(ctid) FROM loose WHERE a IS NULL AND b IS NULL); DELETE FROM loose WHERE b = ''; UPDATE loose SET b = 'found' WHERE a IS NULL;
	UPDATE loose SET c = NULL WHERE c::text = '1.00'; UPDATE loose SET d = '[]' WHERE d::text = '{"a": 1}' AND a = 1; DELETE FROM loose WHERE a = 2 AND b IS NULL; UPDATE loose SET a = a; UPDATE loose SET e = '' WHERE e IS NULL;
	INSERT INTO nothing_but SELECT NULL FROM generate_series(1, 5); INSERT INTO nothing_but VALUES (1), (1), (2); UPDATE nothing_but SET a = 1 WHERE ctid = (SELECT min(ctid) FROM nothing_but WHERE a IS NULL); DELETE FROM nothing_but WHERE ctid IN (SELECT max(ctid) FROM nothing_but GROUP BY a);
	INSERT INTO no_columns DEFAULT VALUES; INSERT INTO no_columns DEFAULT VALUES; INSERT INTO no_columns DEFAULT VALUES;
	INSERT INTO inserts_only SELECT 1, 'same' FROM generate_series(1, 20); INSERT INTO nothing SELECT max(id) + 1 FROM (SELECT id FROM nothing UNION ALL SELECT 0) x;
};
$topic->write($loose);
$topic->arrives('rows without a key', @tables);
$topic->write($loose . "BEGIN; $loose $loose COMMIT;");
$topic->arrives('rows without a key, again', @tables);
$topic->write_mix(200, q{
	INSERT INTO loose(a, b) VALUES (i % 7, 'mix'), (i % 7, 'mix'), (NULL, i % 3);
	UPDATE loose SET a = i % 5 WHERE ctid = (SELECT ctid FROM loose WHERE b = 'mix' AND a = i % 11 LIMIT 1);
	DELETE FROM loose WHERE ctid = (SELECT ctid FROM loose WHERE a IS NULL ORDER BY ctid DESC LIMIT 1);
	INSERT INTO nothing_but VALUES (i % 4), (NULL); DELETE FROM nothing_but WHERE ctid = (SELECT ctid FROM nothing_but WHERE a = i % 3 LIMIT 1); UPDATE nothing_but SET a = i % 6 WHERE ctid = (SELECT min(ctid) FROM nothing_but)});
$topic->arrives('rows without a key, mixed', @tables);

# Equal to an =, and yet not the same.
my $alike = q{CREATE TABLE alike(f float8, g float4, c bpchar, n numeric, j jsonb, i interval, p point, u text); ALTER TABLE alike REPLICA IDENTITY FULL;};
$topic->at_target($alike);
my $rows = q{INSERT INTO alike SELECT f, g, c, n, '{"a": 1.0}', i, '(0,0)', 'u' FROM unnest('{0,-0}'::float8[]) f, unnest('{0,-0}'::float4[]) g, unnest('{a,"a "}'::bpchar[]) c, unnest('{1.0,1.00}'::numeric[]) n, unnest('{24:00,1 day}'::interval[]) i ORDER BY };
# In both orders: whichever row is found first must not be the wrong one.
$topic->write($alike . join '', map { "$rows f::text $_, g::text $_, octet_length(c) $_, n::text $_, i::text $_; UPDATE alike SET u = 'old' || u WHERE u = 'u' AND '$_' = 'ASC';" } 'ASC', 'DESC');
$topic->write(q{UPDATE alike SET u = u || 'f' WHERE f::text = '-0'; UPDATE alike SET u = u || 'g' WHERE g::text = '-0'; UPDATE alike SET u = u || 'c' WHERE octet_length(c) = 2; DELETE FROM alike WHERE octet_length(c) = 2 AND g::text = '-0'; UPDATE alike SET u = u || 'n' WHERE n::text = '1.00';
	UPDATE alike SET u = u || 'i' WHERE i::text = '1 day'; UPDATE alike SET p = '(-0,0)' WHERE f::text = '-0'});
$topic->arrives('rows that are nearly the same', 'alike');

# ---- an identity that changes, between transactions and inside one ----

$topic->write(q{
	INSERT INTO changing SELECT n, n * 10, 'a' FROM generate_series(1, 20) n; UPDATE changing SET t = 'b' WHERE id = 1;
	ALTER TABLE changing REPLICA IDENTITY FULL; UPDATE changing SET t = 'c' WHERE id = 2; UPDATE changing SET id = 103 WHERE id = 3;
	BEGIN; UPDATE changing SET t = 'd', id = id + 200 WHERE id = 4; ALTER TABLE changing REPLICA IDENTITY USING INDEX changing_u_key; UPDATE changing SET id = 205 WHERE id = 5; UPDATE changing SET u = 61 WHERE id = 6; DELETE FROM changing WHERE u = 70; COMMIT;
	ALTER TABLE changing REPLICA IDENTITY NOTHING; INSERT INTO changing VALUES (300, 300, 'e'), (301, 301, 'f');
	BEGIN; ALTER TABLE changing REPLICA IDENTITY DEFAULT; UPDATE changing SET u = u + 5; DELETE FROM changing WHERE id = 300; COMMIT;
	ALTER TABLE changing DROP CONSTRAINT changing_pkey; ALTER TABLE changing ADD PRIMARY KEY (u); UPDATE changing SET t = t || id; UPDATE changing SET u = u + 1000;
});
$topic->arrives('an identity that changes', @tables);
$topic->stop;

# ---- what the destination has other ideas of ----

$schema = q{CREATE TABLE plain(id int PRIMARY KEY, t text); CREATE TABLE other(id int PRIMARY KEY, n int, t text); CREATE TABLE part(id int PRIMARY KEY, t text); CREATE TABLE late(id int PRIMARY KEY, t text);
	CREATE TABLE whole(a int, b int); ALTER TABLE whole REPLICA IDENTITY FULL;};
@tables = $schema =~ /CREATE TABLE (\w+)/g;
$topic = Topic->new(@servers, name => 'other', source_schema => $schema, target_schema => q{
	CREATE TABLE plain(id int, t text); CREATE TABLE other(id int, n int PRIMARY KEY, t text);
	CREATE TABLE part(id int, t text); CREATE UNIQUE INDEX ON part(id) WHERE id > 10; CREATE TABLE late(id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, t text);
	CREATE TABLE whole(a int, b int UNIQUE)});
$topic->write(q{INSERT INTO plain VALUES (1), (2), (3); INSERT INTO other VALUES (1, 1), (2, 2), (3, 3); INSERT INTO part VALUES (1), (2), (11); INSERT INTO late VALUES (1), (2), (3); INSERT INTO whole VALUES (1, 1), (1, 2), (1, NULL), (1, NULL)});
my $rounds = join '', map { "UPDATE $_ SET t = 'x' || i WHERE id % 3 = i % 3; UPDATE $_ SET id = id + 20 WHERE id % 20 = i % 4; " } 'plain', 'other', 'part', 'late';
$topic->write_mix(200, $rounds . q{
	INSERT INTO plain VALUES (-i); INSERT INTO part VALUES (-i); INSERT INTO late VALUES (-i, 'late'); INSERT INTO other VALUES (-i, -i);
	IF i % 5 = 0 THEN DELETE FROM plain WHERE id = -i + 1; DELETE FROM part WHERE id = -i + 2; DELETE FROM late WHERE id = -i + 3; DELETE FROM other WHERE id = -i + 1; INSERT INTO other VALUES (-i + 1, i); END IF;
	INSERT INTO whole VALUES (i, i + 10); UPDATE whole SET b = NULL WHERE a = i - 2; UPDATE whole SET a = -a, b = CASE WHEN a = i - 1 THEN -b ELSE b END WHERE a IN (i - 1, i - 2)});
$topic->arrives('other keys at the destination', @tables);

# A row too many there is noticed, not changed along with the right one.
$topic->at_target('INSERT INTO plain SELECT * FROM plain WHERE id = -1');
$topic->write(q{UPDATE plain SET t = 'which'});
is($topic->{run}->finish, 4, 'two rows for one stop it');
like($topic->{run}->stderr, qr/UPDATE of "public"\."plain".*2 rows were affected instead of 1/, 'which is told');
my ($code, $err) = $topic->run_batch;
is($code, 4, 'and as a backlog') or diag($err);
$topic->answers(q{SELECT count(*) FROM plain WHERE t = 'which'}, 0, 'nothing has changed');
$topic->at_target('DELETE FROM plain WHERE ctid = (SELECT max(ctid) FROM plain WHERE id = -1)');
$topic->start;
$topic->arrives('with the right rows', @tables);

# A row that is missing is told as that, whatever follows it in the batch, and all goes on once it is there.
my @same = map { "same_$_" } 1 .. 5;
my $same = join '', map { "CREATE TABLE $_(id int PRIMARY KEY, t text);" } @same;
$topic->at_target($same . 'INSERT INTO whole VALUES (-5000, NULL)');
$topic->write($same . 'INSERT INTO whole VALUES (-5001, NULL)' . join '', map { "; INSERT INTO $_ SELECT n, 'a' FROM generate_series(1, 20) n" } @same);
$topic->arrives('more tables', @same);
$topic->at_target('DELETE FROM whole WHERE a = -5001');
$topic->write(q{UPDATE whole SET b = -5 WHERE a = -5001} . join '', map { "; INSERT INTO $_ VALUES (101, 'b'), (102, 'b'); UPDATE $_ SET t = 'c' WHERE id < 3; DELETE FROM $_ WHERE id = 5; UPDATE $_ SET id = 50 WHERE id = 6" } @same);
($code, $err) = $topic->run_batch;
is($code, 4, 'a missing row stops a batch') or diag($err);
like($err, qr/UPDATE of "public"\."whole".*0 rows were affected instead of 1/, 'and is told');
unlike($err, qr/already exists/, 'as what it is');
is($topic->{run}->finish, 4, 'while it happens, too');
$topic->answers('SELECT count(*) FROM same_5 WHERE id > 100', 0, 'nothing behind it is there');
$topic->at_target('UPDATE whole SET a = -5001 WHERE a = -5000');
$topic->start;
$topic->arrives('with the missing row', @tables, @same);

# ---- without an identity, changes are refused, and what was before stays ----

$topic->write(q{ALTER TABLE plain REPLICA IDENTITY NOTHING; INSERT INTO plain SELECT n FROM generate_series(10001, 10300) n; UPDATE plain SET t = 'nothing' WHERE id = 10001});
is($topic->{run}->finish, 4, 'an update without an identity is refused');
like($topic->{run}->stderr, qr/public\.plain has no replica identity/, 'with the table');
($code, $err) = $topic->run_batch;
is($code, 4, 'and as a backlog') or diag($err);
is($target->safe_psql($topic->live, 'SELECT count(*) FROM plain WHERE id > 10000'), 300, 'the inserts before it are there');
$topic->answers('SELECT count(*) % 300 FROM plain WHERE id > 10000', 0, 'all of them or, with the batch, none');

$source->stop;
$target->stop;
done_testing();
