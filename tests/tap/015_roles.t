# Nobody needs to be a superuser: the rights that the README names are enough, and what a role may
# not do is said.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $target = destination_node('target');
my $dump = "$PostgreSQL::Test::Utils::tmp_check/dump";

sub as_role
{
	my ($node, $database, $role) = @_;
	return uri($node, $database) . "&user=$role";
}

$source->safe_psql('postgres', q{
	CREATE ROLE reader LOGIN REPLICATION;
	CREATE ROLE blind LOGIN REPLICATION;
	CREATE TABLE t(id int PRIMARY KEY, parent int REFERENCES t ON DELETE CASCADE, name text);
	CREATE TABLE hidden(id int PRIMARY KEY);
	INSERT INTO t VALUES (1, NULL, 'a'); INSERT INTO hidden VALUES (1);
	GRANT SELECT ON t TO reader});
$target->safe_psql('postgres', $_) for 'CREATE ROLE writer LOGIN', 'CREATE ROLE guest LOGIN',
  'CREATE DATABASE mine', 'CREATE DATABASE theirs', 'GRANT CREATE ON DATABASE mine TO writer', 'CREATE DATABASE triggered OWNER writer';
my $table = q{CREATE TABLE t(id int PRIMARY KEY, parent int, name text)};
$target->safe_psql($_, "GRANT CREATE ON SCHEMA public TO writer") for 'mine', 'triggered', 'theirs';
$target->safe_psql($_, "SET ROLE writer; $table") for 'mine', 'triggered', 'theirs';

my @from = ('run', '--source', as_role($source, 'postgres', 'reader'), '--until', 'current', '--quiet', '--tables', 'public.t');

# ---- the source ----

my ($code, $out, $err) = penstock('slot', 'create', '--source', as_role($source, 'postgres', 'reader'), '--slot', 's');
is("$code $err", '0 ', 'LOGIN and REPLICATION are enough to create a slot');
penstock('slot', 'create', '--source', uri($source), '--slot', $_) for 'guest', 'triggered';
($code, $out, $err) = penstock('slot', 'list', '--source', as_role($source, 'postgres', 'reader'));
is("$code $err", '0 ', 'to list slots');
($code, $out, $err) = penstock(@from, '--dump-tables', $dump);
is("$code $err", '0 ', 'with SELECT, to load memory tables');
same_dump($source, 'postgres', $dump, 't');
refuses('without SELECT that is told', 2, qr/table public.hidden may not be read; GRANT SELECT on it/, 'run', '--source', as_role($source, 'postgres', 'reader'), '--until', 'current', '--quiet');
$source->safe_psql('postgres', q{INSERT INTO t VALUES (2, 1, 'b'), (3, NULL, 'c')});
penstock('slot', 'create', '--source', as_role($source, 'postgres', 'blind'), '--slot', 'lines');
$source->safe_psql('postgres', q{UPDATE t SET name = 'C' WHERE id = 3});
($code, $out, $err) = penstock('run', '--source', as_role($source, 'postgres', 'blind'), '--slot', 'lines', '--to', 'stdout:', '--until', 'current', '--quiet');
is("$code $err", '0 ', 'a stream needs no SELECT');
like($out, qr/"op":"update"/, 'and has the change');

# ---- the destination ----

$target->safe_psql('mine', q{INSERT INTO t VALUES (1, NULL, 'a')});
$target->safe_psql('triggered', q{INSERT INTO t VALUES (1, NULL, 'a')});
($code, $out, $err) = penstock(@from, '--slot', 's', '--to', as_role($target, 'mine', 'writer'));
is("$code $err", '0 ', 'a role that owns its tables and has CREATE on the database applies');
same_rows($source, 'postgres', $target, 'mine', 't');
is($target->safe_psql('mine', q{SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'penstock'}), 'writer', 'and made the schema for progress');
refuses('without CREATE on the database that is told', 2, qr/schema penstock, which keeps progress .*needs CREATE on the database.*permission denied/,
	@from, '--slot', 'guest', '--to', as_role($target, 'theirs', 'writer'));
$target->safe_psql('theirs', 'GRANT CREATE ON DATABASE theirs TO guest');
my $before = $source->safe_psql('postgres', q{SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'guest'});
($code, $out, $err) = penstock(@from, '--slot', 'guest', '--to', as_role($target, 'theirs', 'guest'));
is($code, 2, 'a role that may not write the table');
like($err, qr/^penstock run: .*permission denied for table t/m, 'is told so');
is($source->safe_psql('postgres', q{SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'guest'}), $before, 'and nothing is confirmed');

# ---- triggers, which such a role cannot put to sleep ----

$target->safe_psql('triggered', q{
	CREATE TABLE log(id int); ALTER TABLE log OWNER TO writer;
	CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.log VALUES (NEW.id); RETURN NEW; END';
	CREATE TRIGGER noted AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION note()});
my @triggered = (@from, '--slot', 'triggered', '--to', as_role($target, 'triggered', 'writer'));
($code, $out, $err) = penstock(@triggered);
is($code, 4, 'a table with triggers is refused');
like($err, qr/^penstock run: .*"t" has triggers .*GRANT SET ON PARAMETER session_replication_role .*--allow-triggers/m, 'with the remedies');
is($target->safe_psql('triggered', 'SELECT count(*) FROM t'), 1, 'and nothing is applied');

SKIP:
{
	skip 'GRANT SET ON PARAMETER is of PostgreSQL 15', 3 if $target->safe_psql('postgres', q{SELECT current_setting('server_version_num')::int}) < 150000;
	$target->safe_psql('triggered', 'GRANT SET ON PARAMETER session_replication_role TO writer');
	($code, $out, $err) = penstock(@triggered);
	is("$code $err", '0 ', 'the first remedy helps');
	same_rows($source, 'postgres', $target, 'triggered', 't', 'rows are equal');
	is($target->safe_psql('triggered', 'SELECT count(*) FROM log'), 0, 'the trigger did not run');
	$target->safe_psql('triggered', 'REVOKE SET ON PARAMETER session_replication_role FROM writer');
}
$source->safe_psql('postgres', q{INSERT INTO t VALUES (4, NULL, 'd')});
($code, $out, $err) = penstock(@triggered, '--allow-triggers');
is("$code $err", '0 ', 'with --allow-triggers it goes on');
is($target->safe_psql('triggered', 'SELECT count(*) FROM log WHERE id = 4'), 1, 'and the trigger runs');

$source->stop;
$target->stop;
done_testing();
