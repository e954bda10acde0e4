# Roles at both ends with no more than they need; what a role may not do is told, with the table, and
# nothing is passed over. (015_roles.t has the rights of whole databases.)
use strict;
use warnings;
use Penstock;
use Topic;
use Test::More;

my @servers = Topic::servers();
my (undef, $source, undef, $target) = @servers;
$source->safe_psql('postgres', 'CREATE ROLE reader LOGIN REPLICATION; CREATE SCHEMA closed');
$target->safe_psql('postgres', 'CREATE ROLE writer LOGIN; CREATE ROLE owner; CREATE ROLE inherits; GRANT inherits TO writer');

# The source's role may read no table and use no schema; the destination's role owns nothing.
my $schema = q{
	CREATE SCHEMA IF NOT EXISTS closed; REVOKE ALL ON SCHEMA closed FROM PUBLIC;
	CREATE TABLE closed.t(id int PRIMARY KEY, v text, n int DEFAULT 0); CREATE TABLE closed.other(id int PRIMARY KEY, v text, a int[]);
	CREATE TABLE closed.whole(a int, b text); ALTER TABLE closed.whole REPLICA IDENTITY FULL;
	CREATE TYPE closed.mood AS ENUM ('calm', 'wild'); CREATE TABLE closed.typed(id int PRIMARY KEY, m closed.mood, ms closed.mood[]);
};
my @tables = map { "closed.$_" } 't', 'other', 'whole', 'typed';
my $rights = q{
	SELECT format('GRANT CREATE ON DATABASE %1$I TO writer; REVOKE TEMPORARY ON DATABASE %1$I FROM PUBLIC', current_database()) \gexec
	GRANT USAGE ON SCHEMA closed TO inherits; GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA closed TO inherits;
};
my $topic = Topic->new(@servers, name => 'least', source_schema => $schema, target_schema => $schema . $rights, from => '&user=reader', to => '&user=writer', options => [ '--tables', 'closed.*' ]);
my $changes = join '', map { "INSERT INTO $_->[0] SELECT $_->[1] FROM generate_series(1, 100) n; UPDATE $_->[0] SET $_->[2]; DELETE FROM $_->[0] WHERE $_->[3] = 7;" }
  [ 'closed.t', 'n, n', "v = 'x' WHERE id % 3 = 0", 'id' ], [ 'closed.other', "n, n, ARRAY[n]", 'a = a || 1 WHERE id % 2 = 0', 'id' ], [ 'closed.whole', "n % 10, 'b'", "b = 'c' WHERE a = 3", 'a' ], [ 'closed.typed', "n, 'wild', '{calm}'", "m = 'calm' WHERE id % 2 = 0", 'id' ];
my $empty = join '', map { "DELETE FROM $_;" } @tables;
$topic->write($changes);
$topic->arrives('with the least rights', @tables);
$topic->write($empty . $changes . 'TRUNCATE closed.whole; ' . $empty . $changes);
$topic->write_mix(200, q{INSERT INTO closed.t VALUES (1000 + i); UPDATE closed.t SET v = i WHERE id % 20 = i % 20; UPDATE closed.t SET id = -id WHERE id = 1000 + i - 2; DELETE FROM closed.other WHERE id = i; INSERT INTO closed.other VALUES (1000 + i, 'x', ARRAY[i, NULL]);
	UPDATE closed.whole SET b = i WHERE ctid = (SELECT min(ctid) FROM closed.whole)});
$topic->arrives('with the least rights, mixed', @tables);
$topic->stop;

# ---- each right that is missing is told, and once it is there it goes on ----

my @missing = (
	[ 'INSERT', 'INSERT INTO closed.t VALUES (5001)' ],
	[ 'UPDATE', q{UPDATE closed.t SET v = 'right' WHERE id = 5001} ],
	[ 'DELETE', 'DELETE FROM closed.t WHERE id = 5001' ],
	[ 'TRUNCATE', 'TRUNCATE closed.t' ],
	[ 'SELECT', 'INSERT INTO closed.t SELECT generate_series(6001, 6200); UPDATE closed.t SET n = 1; DELETE FROM closed.t WHERE id < 6100' ],
);
for my $case (@missing)
{
	my ($right, $sql) = @$case;
	$topic->at_target("REVOKE $right ON closed.t FROM inherits");
	$topic->write($sql);
	my ($code, $err) = $topic->run_batch;
	is($code, 2, "without $right it ends") or diag($err);
	like($err, qr/permission denied for table t\b/, 'and says so');
	$topic->at_target("GRANT $right ON closed.t TO inherits");
	($code, $err) = $topic->run_batch;
	is("$code $err", '0 ', 'with it, it goes on');
}
$topic->at_target('REVOKE USAGE ON SCHEMA closed FROM inherits');
$topic->write('UPDATE closed.t SET n = 2');
my ($code, $err) = $topic->run_batch;
is($code, 2, 'without USAGE on the schema it ends') or diag($err);
like($err, qr/permission denied for schema closed/, 'and says so');
$topic->at_target('GRANT USAGE ON SCHEMA closed TO inherits');
$topic->start;
$topic->arrives('with all rights', @tables);

# A sequence belongs to the table's owner: only then it can begin again.
$topic->at_target('CREATE TABLE closed.numbered(id serial PRIMARY KEY, v int); GRANT ALL ON closed.numbered TO inherits');
$topic->write('CREATE TABLE closed.numbered(id serial PRIMARY KEY, v int); INSERT INTO closed.numbered(v) SELECT generate_series(1, 200)');
$topic->arrives('a sequence', 'closed.numbered');
$topic->write('TRUNCATE closed.numbered RESTART IDENTITY; INSERT INTO closed.numbered(v) VALUES (1)');
isnt($topic->{run}->finish, 0, 'a sequence of somebody else');
like($topic->{run}->stderr, qr/must be owner of sequence numbered_id_seq/, 'is told');
$topic->at_target('ALTER TABLE closed.numbered OWNER TO writer');
$topic->start;
$topic->arrives('with the table as its own', 'closed.numbered');

# ---- row security ----

my @secured = map { "closed.$_" } 'secured', 'part';
$schema = 'CREATE TABLE closed.secured(id int PRIMARY KEY, v text, a int[]); CREATE TABLE closed.part(id int PRIMARY KEY, v text); ALTER TABLE closed.part REPLICA IDENTITY FULL;';
$topic->at_target($schema . join '', map { "ALTER TABLE $_ ENABLE ROW LEVEL SECURITY; GRANT ALL ON $_ TO inherits; CREATE POLICY all_rows ON $_ TO inherits USING (true);" } @secured);
$topic->write($schema . q{INSERT INTO closed.secured SELECT n, 'v', '{1}' FROM generate_series(1, 300) n; UPDATE closed.secured SET v = 'w' WHERE id % 2 = 0; DELETE FROM closed.secured WHERE id % 3 = 0; INSERT INTO closed.part SELECT n FROM generate_series(1, 300) n; UPDATE closed.part SET v = id; DELETE FROM closed.part WHERE id < 10});
$topic->arrives('policies that let all rows through', @secured);
$topic->at_target('DROP POLICY all_rows ON closed.secured; CREATE POLICY few ON closed.secured TO inherits USING (id <> 100) WITH CHECK (id <> 1000)');
$topic->write(q{UPDATE closed.secured SET v = 'x' WHERE id BETWEEN 90 AND 110});
($code, $err) = $topic->run_batch;
is($code, 4, 'a row that a policy hides stops it') or diag($err);
like($err, qr/UPDATE of "closed"\."secured".*0 rows/, 'and is told');
is($topic->{run}->finish, 4, 'while it happens, too') or diag($topic->{run}->stderr);
$topic->answers(q{SELECT count(*) FROM closed.secured WHERE v = 'x'}, 0, 'nothing of that transaction is there');
$topic->at_target('DROP POLICY few ON closed.secured; CREATE POLICY few ON closed.secured TO inherits USING (true) WITH CHECK (id <> 1000)');
$topic->write('INSERT INTO closed.secured SELECT n FROM generate_series(900, 1100) n');
($code, $err) = $topic->run_batch;
isnt($code, 0, 'a row that a policy refuses, too');
like($err, qr/new row violates row-level security policy for table "secured"/, 'and is told');
$topic->answers('SELECT count(*) FROM closed.secured WHERE id >= 900', 0, 'nothing of that transaction is there');
$topic->at_target('ALTER TABLE closed.secured DISABLE ROW LEVEL SECURITY');
$topic->start;
$topic->arrives('without row security', @secured);
$topic->stop;

$source->stop;
$target->stop;
done_testing();
