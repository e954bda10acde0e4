# How changes are applied: in sets wherever that comes to the same, in source order where it might
# not, and always with the source's rows as the result.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $target = destination_node('target');
$source->safe_psql('postgres', 'CREATE DATABASE here');
$target->safe_psql('postgres', 'CREATE DATABASE there');
our @arguments = ('run', '--source', uri($source, 'here'), '--slot', 'cases', '--to', uri($target, 'there'), '--until', 'current', '--verbose',
	'--batch-ms', '60s');    # or what is gathered is sent when the stream falters
my ($code, $out, $err) = penstock('slot', 'create', '--source', uri($source, 'here'), '--slot', 'cases');
is($code, 0, 'a slot') or diag($err);

# Make the table at both ends, and have what is there at the source come over.
sub prepare
{
	my ($table, $columns, $columns_there, $rows) = @_;
	$source->safe_psql('here', "CREATE TABLE $table($columns); " . ($rows // ''));
	$target->safe_psql('there', "CREATE TABLE $table(" . ($columns_there // $columns) . ')');
	($code, $out, $err) = penstock(@arguments);
	is($code, 0, "$table is there") or diag($err);
	return;
}

# One transaction of changes: the destination has the source's rows, and the run said this of how.
sub comes_over
{
	my ($name, $table, $changes, @patterns) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $lsn = $source->safe_psql('here', 'SELECT pg_current_wal_lsn()');
	$source->safe_psql('here', "BEGIN; $changes; COMMIT");
	($code, $out, $err) = penstock(@arguments);
	is($code, 0, $name) or diag($err);
	same_rows($source, 'here', $target, 'there', $table, "$name: the rows");
	like($err, $_, "$name: $_") for @patterns;
	is($target->safe_psql('there', "SELECT lsn > '$lsn' FROM penstock.progress"), 't', "$name: progress");
	return;
}

my $many = 'generate_series(1, 500) i';
my $sets = qr/sets of [1-9]/;
my $copy = qr/[1-9]\d* rows by [1-9]\d* COPY/;
my $in_order = sub { my ($reason) = @_; return $reason =~ /^\d/ ? qr/in order: .*\b$reason\b/ : qr/in order: .*[1-9]\d* $reason\b/ };

# ---- in sets ----

prepare('plain', 'id int PRIMARY KEY, a int, t text');
comes_over('inserts', 'plain', "INSERT INTO plain SELECT i, i, 'text ' || i FROM $many", qr/ 500 rows by 1 COPY, 0 replayed$/m);
comes_over('updates', 'plain', 'UPDATE plain SET a = a + 1 WHERE id <= 400', qr/sets of 400 rows in 1 statements, 0 rows by 0 COPY, 0 replayed$/m);
comes_over('deletes', 'plain', 'DELETE FROM plain WHERE id % 2 = 0', qr/sets of 250 rows in 1 statements, 0 rows by 0 COPY, 0 replayed$/m);
comes_over('some of each', 'plain', 'INSERT INTO plain SELECT -i FROM generate_series(1, 50) i; UPDATE plain SET t = NULL WHERE id < 100; DELETE FROM plain WHERE id > 400',
	qr/sets of 150 rows in 3 statements, 0 rows by 0 COPY, 0 replayed$/m);
comes_over('what comes to nothing', 'plain', "INSERT INTO plain SELECT 1000 + i FROM $many; DELETE FROM plain WHERE id > 1000", qr/sets of 0 rows in 0 statements, 0 rows by 0 COPY, 0 replayed$/m);
comes_over('a row again and again', 'plain', join(';', map { "UPDATE plain SET a = $_ WHERE id = 1" } 1 .. 40), qr/sets of 0 rows .*in order: 1 small$/m);
comes_over('few changes', 'plain', 'INSERT INTO plain VALUES (2000); UPDATE plain SET a = 7 WHERE id = 1', qr/in order: 2 small$/m);

prepare('pair', 'a int, b text, n int, PRIMARY KEY (a, b)', undef, "INSERT INTO pair SELECT i, 'b' || i, 0 FROM $many");
comes_over('a key of two columns', 'pair', q{UPDATE pair SET n = n + 1 WHERE a > 100; DELETE FROM pair WHERE a <= 100}, qr/sets of 500 rows in 2 statements, 0 rows by 0 COPY, 0 replayed$/m);
prepare('caught', 'id int PRIMARY KEY, big text, n int', undef, "INSERT INTO caught SELECT i, 'small' FROM $many");
$source->safe_psql('here', 'ALTER TABLE caught ALTER big SET STORAGE EXTERNAL');
comes_over('large values', 'caught', q{UPDATE caught SET big = repeat('x', 9000) WHERE id <= 100; INSERT INTO caught SELECT i, repeat('y', 9000) FROM generate_series(1001, 1100) i; UPDATE caught SET n = 1 WHERE id > 50}, $sets, qr/0 replayed$/m);
comes_over('large values that stay', 'caught', 'UPDATE caught SET n = n + 1', qr/sets of 600 rows in \d+ statements, 0 rows by 0 COPY, 0 replayed$/m);

prepare('lists', 'id int PRIMARY KEY, l int[], h inet, n numeric(9,2), b bit(3), d date', undef, "INSERT INTO lists SELECT i, ARRAY[i, NULL], '10.0.0.1', i / 3.0, B'101', '2026-11-21' FROM $many");
comes_over('types without a binary form of ours', 'lists', q{UPDATE lists SET l = l || 7, h = '::1', n = n + 1, b = B'010' WHERE id < 300; INSERT INTO lists SELECT 500 + i, '{}', NULL, 'NaN' FROM generate_series(1, 200) i}, $sets, $copy, qr/0 replayed$/m);
prepare('parted', 'id int PRIMARY KEY, t text', 'id int PRIMARY KEY, t text) PARTITION BY HASH (id');
$target->safe_psql('there', "CREATE TABLE parted_$_ PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER $_)") for 0, 1;
comes_over('into partitions', 'parted', "INSERT INTO parted SELECT i, 'a' FROM $many; UPDATE parted SET t = 'b' WHERE id < 100", $copy, qr/0 replayed$/m);
comes_over('in partitions', 'parted', "UPDATE parted SET t = 'c'; DELETE FROM parted WHERE id > 250", qr/sets of 500 rows in 2 statements, 0 rows by 0 COPY, 0 replayed$/m);

prepare('wider', 'id int PRIMARY KEY, n int2, v varchar(5)', 'id bigint PRIMARY KEY, n int, v text');
comes_over('wider types', 'wider', "INSERT INTO wider SELECT i, i, 'v' FROM $many; UPDATE wider SET n = -1 WHERE id = 1", $copy, qr/0 replayed$/m);
comes_over('wider types: a key', 'wider', "UPDATE wider SET v = 'w'", qr/sets of 500 rows in 1 statements, 0 rows by 0 COPY, 0 replayed$/m);
prepare('casted', 'id int PRIMARY KEY, n int, d date', 'id int PRIMARY KEY, n numeric, d timestamp');
$source->safe_psql('here', "INSERT INTO casted SELECT i, i, '2026-11-21' FROM $many");
($code, $out, $err) = penstock(@arguments);
is($code, 0, 'types that are cast');
like($err, qr/sets of 500 rows in 1 statements, 0 rows by 0 COPY, 0 replayed$/m, 'are not COPYed');
same_rows($source, 'here', $target, 'there', '(SELECT id, n, d::date FROM casted)');

prepare('owned', 'id int PRIMARY KEY, t text', q{id int PRIMARY KEY, t text, mine text DEFAULT 'mine'}, "INSERT INTO owned SELECT i, 'a' FROM $many");
$target->safe_psql('there', q{UPDATE owned SET mine = 'kept'});
$source->safe_psql('here', q{BEGIN; UPDATE owned SET t = 'b'; DELETE FROM owned WHERE id > 250; INSERT INTO owned SELECT i, 'c' FROM generate_series(400, 450) i; COMMIT});
($code, $out, $err) = penstock(@arguments);
is($code, 0, 'a column of the destination alone') or diag($err);
like($err, qr/0 replayed$/m, 'does not prevent sets');
same_rows($source, 'here', $target, 'there', '(SELECT id, t FROM owned)');
is($target->safe_psql('there', 'SELECT mine, count(*) FROM owned GROUP BY 1 ORDER BY 1'), "kept|250\nmine|51", 'is kept by an update, and begins anew with a new row');

# ---- in source order ----

comes_over('changed keys', 'plain', 'UPDATE plain SET id = id + 5000 WHERE id < 50', $in_order->('key_changed'), qr/0 replayed/);
comes_over('a chain of keys', 'plain', 'UPDATE plain SET id = -i FROM generate_series(1, 1) i WHERE id = 101; UPDATE plain SET a = 1; ' . join(';', map { "UPDATE plain SET id = id - 2 WHERE id = $_" } map { 2 * $_ + 101 } 1 .. 20), $in_order->('key_changed'), qr/0 replayed/);
comes_over('keys that change places', 'plain', 'UPDATE plain SET id = -7 WHERE id = 201; UPDATE plain SET id = 201 WHERE id = 203; UPDATE plain SET id = 203 WHERE id = -7; UPDATE plain SET a = a', $sets, $in_order->('key_changed'));
comes_over('a key that changes and a large value that stays', 'caught', q{UPDATE caught SET n = 0; UPDATE caught SET id = id + 10000 WHERE id > 1050; UPDATE caught SET n = 3}, $sets, $in_order->('key_changed'));
comes_over('a truncate between', 'plain', "INSERT INTO plain SELECT 9000 + i FROM generate_series(1, 200) i; TRUNCATE plain; INSERT INTO plain SELECT i FROM $many", $copy, $in_order->('truncate'));

prepare('numbered', 'n numeric PRIMARY KEY, t text', undef, "INSERT INTO numbered SELECT i FROM $many");
comes_over('a numeric key', 'numbered', q{UPDATE numbered SET t = 'x' WHERE n < 100; DELETE FROM numbered WHERE n > 400; INSERT INTO numbered SELECT i FROM generate_series(600, 800) i}, $copy, $in_order->('key_type'));
prepare('whole', 'a int, b text', undef, "ALTER TABLE whole REPLICA IDENTITY FULL; INSERT INTO whole SELECT i % 7, NULL FROM $many");
comes_over('whole rows', 'whole', q{INSERT INTO whole SELECT 9, 'same' FROM generate_series(1, 150); DELETE FROM whole WHERE a = 3; UPDATE whole SET b = 'x' WHERE a = 9}, $copy, $in_order->('no_key'));
prepare('indexless', 'id int PRIMARY KEY, t text', 'id int, t text', "INSERT INTO indexless SELECT i FROM $many");
comes_over('no index there', 'indexless', q{UPDATE indexless SET t = 'x' WHERE id < 30}, $in_order->('no_index'));
prepare('deferred', 'id int PRIMARY KEY, p int UNIQUE DEFERRABLE', undef, "INSERT INTO deferred SELECT i, i FROM $many");
comes_over('a deferrable constraint', 'deferred', 'UPDATE deferred SET p = p + 1', $in_order->('deferrable'), qr/0 replayed/);
prepare('ranged', 'id int PRIMARY KEY, r int4range, EXCLUDE USING gist (r WITH &&)', undef, "INSERT INTO ranged SELECT i, int4range(i * 10, i * 10 + 5) FROM $many");
comes_over('an exclusion constraint', 'ranged', q{UPDATE ranged SET r = int4range(lower(r) + 1, upper(r) + 1) WHERE id < 100}, $in_order->('exclusion'), qr/0 replayed/);
prepare('watched', 'id int PRIMARY KEY, t text');
$target->safe_psql('there', q{CREATE FUNCTION stop_that() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER w BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION stop_that(); ALTER TABLE watched ENABLE ALWAYS TRIGGER w});
comes_over('a trigger that fires here too', 'watched', 'INSERT INTO watched SELECT i FROM generate_series(1, 50) i', $in_order->('50 effects'));

# A foreign key acts where the session may not be a replica.
$target->safe_psql('postgres', 'CREATE ROLE modest LOGIN; GRANT CREATE ON DATABASE there TO modest');
$target->safe_psql('there', 'CREATE TABLE upper(id int PRIMARY KEY); CREATE TABLE lower(id int PRIMARY KEY, u int REFERENCES upper); ALTER TABLE upper OWNER TO modest; ALTER TABLE lower OWNER TO modest; GRANT ALL ON SCHEMA penstock TO modest; GRANT ALL ON ALL TABLES IN SCHEMA penstock TO modest');
$source->safe_psql('here', 'CREATE TABLE upper(id int PRIMARY KEY); CREATE TABLE lower(id int PRIMARY KEY, u int REFERENCES upper)');
{
	local $arguments[6] = uri($target, 'there') . '&user=modest';
	comes_over('foreign keys', 'lower', 'INSERT INTO upper SELECT i FROM generate_series(1, 100) i; INSERT INTO lower SELECT i, i FROM generate_series(1, 100) i; DELETE FROM lower WHERE id > 50; DELETE FROM upper WHERE id > 50',
		$in_order->('300 effects'), qr/the role may not set up a replication origin/);
	same_rows($source, 'here', $target, 'there', 'upper');
}

# ---- identity columns that nobody may set ----

prepare('counted', 'id int PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, t text', q{id int PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, t text, mine text DEFAULT 'mine'}, "INSERT INTO counted(id, t) SELECT i, 'a' FROM $many");
$target->safe_psql('there', q{UPDATE counted SET mine = 'kept'});
sub counted_is
{
	my ($name, $changes, $pattern) = @_;
	$source->safe_psql('here', "BEGIN; $changes; COMMIT");
	($code, $out, $err) = penstock(@arguments);
	is($code, 0, $name) or diag($err);
	like($err, $pattern, "$name: $pattern");
	same_rows($source, 'here', $target, 'there', '(SELECT id, n, t FROM counted)', "$name: the rows");
	is($target->safe_psql('there', q{SELECT DISTINCT mine FROM counted}), 'kept', "$name: own columns keep their values");
	return;
}
counted_is('beside a GENERATED ALWAYS column', q{UPDATE counted SET t = 'b'}, qr/sets of 500 rows in 1 statements, 0 rows by 0 COPY, 0 replayed$/m);
counted_is('a GENERATED ALWAYS column', 'UPDATE counted SET n = DEFAULT WHERE id < 10', qr/in order: 9 small$/m);
counted_is('many of them', 'UPDATE counted SET n = DEFAULT WHERE id > 400', qr/1 replayed; in order: 100 failed$/m);
prepare('counted_key', 'id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t text', undef, 'INSERT INTO counted_key(t) SELECT i FROM generate_series(1, 30) i');
comes_over('one that is the key', 'counted_key', 'UPDATE counted_key SET id = DEFAULT WHERE id < 25', $in_order->('24 key_changed'), qr/0 replayed/);

# ---- what sets cannot do is rolled back and replayed ----

prepare('swapped', 'id int PRIMARY KEY, u int UNIQUE', undef, "INSERT INTO swapped SELECT i, i FROM $many");
comes_over('unique values that change places', 'swapped', 'UPDATE swapped SET u = -u WHERE id <= 20; UPDATE swapped SET u = 21 - id WHERE id <= 20', $in_order->('failed'), qr/1 replayed/);
comes_over('deleted and inserted elsewhere', 'swapped', 'DELETE FROM swapped WHERE id <= 100; INSERT INTO swapped SELECT 1000 + i, i FROM generate_series(1, 100) i', $sets, $copy, qr/0 replayed$/m);
{
	# Part by part, of one transaction: one fails when the next has been gathered, in sets or in order.
	prepare('emptied', 'id int PRIMARY KEY');
	prepare('renamed', 'id int PRIMARY KEY', undef, "INSERT INTO renamed SELECT i FROM $many");
	local @arguments = (@arguments, '--batch-rows-max', 40);
	my $swap = 'UPDATE swapped SET u = -u WHERE id BETWEEN 101 AND 120; UPDATE swapped SET u = u + 221 WHERE id BETWEEN 101 AND 120';
	my $rest = 'UPDATE swapped SET u = u + 100000 WHERE id > 200';
	comes_over('parts that fail, first', 'swapped', "$swap; $rest", qr/1 replayed/, $sets);
	comes_over('last', 'swapped', "$rest; $swap", qr/1 replayed/, $sets);
	comes_over('in between', 'swapped', "$rest; $swap; INSERT INTO swapped VALUES (9001, -9001); DELETE FROM swapped WHERE id BETWEEN 201 AND 240", qr/1 replayed/, $sets);
	comes_over('before a key that changes', 'swapped', "$swap; UPDATE swapped SET id = -id WHERE id = 300; $rest", qr/[1-9] replayed/);
	comes_over('when changes of a row are merged already', 'swapped',
		"UPDATE renamed SET id = id WHERE id = 499; $swap; UPDATE swapped SET u = u + 1000000 WHERE id = 150; UPDATE renamed SET id = -id WHERE id <= 20; UPDATE swapped SET u = u + 1000000 WHERE id = 150; $rest", qr/1 replayed/);
	comes_over('before a truncate', 'swapped', "$swap; TRUNCATE emptied; $rest", qr/1 replayed/);
	$target->safe_psql('there', 'DELETE FROM swapped WHERE id = 401');
	my $before = $target->safe_psql('there', 'SELECT sum(u) FROM swapped');
	$source->safe_psql('here', "BEGIN; $rest; $swap; COMMIT");
	($code, $out, $err) = penstock(@arguments);
	is($code, 4, 'a row that is missing stops it, parts before and after or not');
	like($err, qr/swapped.*LSN/, 'and is told');
	is($target->safe_psql('there', 'SELECT sum(u) FROM swapped'), $before, 'nothing of that transaction is there');
	$target->safe_psql('there', 'INSERT INTO swapped SELECT 401, 401');
	comes_over('it goes on when that is there', 'swapped', $rest, $sets);
}

# ---- a table that a copy has brought further than the rest ----

{
	# As a copy leaves it: the first transaction is in the rows of one table, and the second is in none.
	# Of the part that is sent in the middle of the second, what the first inserted goes last. Both
	# wait in the queue behind a large one, and are gathered together.
	prepare('brought', 'id int PRIMARY KEY, n int', undef, 'INSERT INTO brought SELECT i, 0 FROM generate_series(1, 10) i');
	local @arguments = (@arguments, '--batch-rows-max', 40);
	$source->safe_psql('here', 'INSERT INTO renamed SELECT i FROM generate_series(1000, 20000) i');
	$source->safe_psql('here', 'BEGIN; INSERT INTO plain SELECT 7000 + i FROM generate_series(1, 3) i; INSERT INTO brought VALUES (11, 0); COMMIT');
	$target->safe_psql('there', 'INSERT INTO brought VALUES (11, 0); UPDATE penstock.tables SET lsn = ' .
		  $source->safe_psql('here', 'SELECT quote_literal(pg_current_wal_lsn())') . q{ WHERE table_name = 'brought'});
	comes_over('a part sent in the middle', 'brought', 'UPDATE plain SET a = a + 1 WHERE id <= 100; UPDATE brought SET n = 1; DELETE FROM brought WHERE id = 5', $sets);
	same_rows($source, 'here', $target, 'there', 'plain', 'and the rows of the other table');
}

# ---- a large value that is kept, in a row that changes again and again: gathered whole, behind a
# ---- large transaction, it is merged until it is too much

prepare('large', 'id int PRIMARY KEY, a int, t text');
$source->safe_psql('here', 'INSERT INTO renamed SELECT i FROM generate_series(30000, 50000) i');
comes_over('a large value that is kept, in a row again and again', 'large', join(';', q{INSERT INTO large VALUES (1, 0, repeat('x', 3000000)), (2, 0, 'y')}, map { "UPDATE large SET a = $_ WHERE id = 1" } 1 .. 40), qr/ 0 replayed\b/);

# ---- a table that is altered in the middle of a transaction ----

comes_over('a new column between', 'pair', q{UPDATE pair SET n = 5; SELECT 1}, $sets);
$target->safe_psql('there', 'ALTER TABLE pair ADD more int');
comes_over('and after it', 'pair', 'UPDATE pair SET n = 6; ALTER TABLE pair ADD more int; UPDATE pair SET more = a; INSERT INTO pair SELECT i, i::text, 1, 2 FROM generate_series(1, 200) i', $sets, $copy);

# ---- whose changes they are ----

is($target->safe_psql('there', q{SELECT roname FROM pg_replication_origin}), 'penstock_cases', 'they carry an origin');
$target->append_conf('postgresql.conf', q{wal_level = logical});
$target->restart;
$target->safe_psql('there', q{SELECT pg_create_logical_replication_slot('back', 'test_decoding')});
comes_over('changes of ours', 'plain', "UPDATE plain SET a = 77", $sets);
is($target->safe_psql('there', q{SELECT count(*) FROM pg_logical_slot_peek_changes('back', NULL, NULL, 'only-local', 'on') WHERE data LIKE 'table public.plain%'}), 0, 'are not local ones');
isnt($target->safe_psql('there', q{SELECT count(*) FROM pg_logical_slot_peek_changes('back', NULL, NULL) WHERE data LIKE 'table public.plain%'}), 0, 'but are there');

$source->stop;
$target->stop;
done_testing();
