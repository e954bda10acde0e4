# The initial copy brings what the stream would: the rows, columns and names that [table] sections
# say, for each destination its own, and a table copied anew while the stream goes on too.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $target = destination_node('target');
my $file = "$PostgreSQL::Test::Utils::tmp_check/penstock.ini";
my $state = "$ENV{TESTDIR}/state";

# crm.people of the source is not wanted: only its name is that of another one there.
$source->safe_psql('postgres', q{
	CREATE SCHEMA shop; CREATE SCHEMA crm;
	CREATE TYPE shop.mood AS ENUM ('calm', 'wild');
	CREATE TABLE shop.users(id int PRIMARY KEY, name text, note text, age int, born date, mood shop.mood, twice int GENERATED ALWAYS AS (age * 2) STORED);
	ALTER TABLE shop.users REPLICA IDENTITY FULL;
	CREATE TABLE shop.orders(id int, part int, "Total Sum" numeric, PRIMARY KEY (id, part));
	CREATE TABLE shop.events(id bigint PRIMARY KEY, kind text, body jsonb);
	CREATE TABLE shop.plain(id int PRIMARY KEY, t text);
	CREATE TABLE crm.people(id int PRIMARY KEY);
	INSERT INTO shop.users SELECT g, CASE WHEN g % 10 > 0 THEN 'n''' || g END, repeat('x', 100), NULLIF(g % 90, 7), '2000-01-01'::date + g, 'wild' FROM generate_series(1, 5000) g;
	INSERT INTO shop.orders SELECT g, g % 3, g / 7.0 FROM generate_series(1, 300) g;
	INSERT INTO shop.events SELECT g, 'k' || g % 4, '{"a": 1}' FROM generate_series(1, 400) g;
	INSERT INTO shop.plain SELECT g, 'p' FROM generate_series(1, 100) g;
	INSERT INTO crm.people VALUES (1)});
my @databases = ('crm', 'erp', 'dwh');
for my $database (@databases)
{
	$target->safe_psql('postgres', "CREATE DATABASE $database");
	$target->safe_psql($database, q{
		CREATE SCHEMA crm; CREATE SCHEMA shop;
		CREATE TABLE crm.people(id int PRIMARY KEY, full_name text, age int, mood text, loaded_at timestamptz DEFAULT now());
		CREATE TABLE shop.users(id int PRIMARY KEY, name text, note text, age int, born date, mood text, twice int);
		CREATE TABLE crm.orders(id int, part int, total numeric, PRIMARY KEY (id, part));
		CREATE TABLE shop.orders(id int, part int, "Total Sum" numeric, PRIMARY KEY (id, part));
		CREATE TABLE crm.log(number bigint PRIMARY KEY, kind text);
		CREATE TABLE shop.events(id bigint PRIMARY KEY, kind text, body jsonb);
		CREATE TABLE shop.plain(id int PRIMARY KEY, t text);});
}

my $mapping = q{
[table shop.users]
to = crm.people
columns = id, name, age, mood
rename.name = full_name
where = age >= 18 AND born IS NOT NULL OR name = 'n''3'
destination = crm

[table shop.users]
where = name <> 'n''4' OR name IS NULL
destination = erp

[table shop.users]
where = (name <> 'n''4') OR name IS NULL
destination = dwh

[table shop.orders]
to = crm.orders
rename.Total Sum = total
destination = crm

[table shop.events]
to = crm.log
columns = id, kind
rename.id = number
where = kind = 'k1'
destination = crm
};

sub write_ini
{
	my ($tables) = @_;
	unlink $file;
	append_to_file($file, "[source]\nconninfo = " . uri($source) . "\nslot = s\ntables = shop.*\nstate_dir = $state\n"
		  . join('', map { "[destination $_]\nto = " . uri($target, $_) . "\n" } @databases) . $tables);
	return;
}

sub same_query
{
	my ($database, $at_target, $at_source, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 2;
	return is($target->safe_psql($database, "$at_target ORDER BY 1, 2"), $source->safe_psql('postgres', "$at_source ORDER BY 1, 2"), $name);
}

sub in_step
{
	my ($name) = @_;
	same_query('crm', 'SELECT id, full_name, age, mood FROM crm.people',
		q{SELECT id, name, age, mood FROM shop.users WHERE age >= 18 AND born IS NOT NULL OR name = 'n''3'}, "$name: people");
	same_query('crm', 'SELECT * FROM crm.orders', 'SELECT * FROM shop.orders', "$name: orders under other names");
	same_query('crm', 'SELECT * FROM crm.log', q{SELECT id, kind FROM shop.events WHERE kind = 'k1'}, "$name: events");
	same_query('crm', "SELECT 'shop.users', count(*) FROM shop.users", "SELECT 'shop.users', 0", "$name: nothing under the old name");
	for my $database ('erp', 'dwh')
	{
		same_query($database, 'SELECT * FROM shop.users', q{SELECT * FROM shop.users WHERE name <> 'n''4' OR name IS NULL}, "$name: users in $database");
		same_query($database, "SELECT * FROM shop.$_", "SELECT * FROM shop.$_", "$name: $_ in $database") for 'orders', 'events';
	}
	same_query($_, 'SELECT * FROM shop.plain', 'SELECT * FROM shop.plain', "$name: plain in $_") for @databases;
	return;
}

my @run = ('run', '--config', $file, '--until', 'current');

sub passes
{
	my ($name, @more) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($code, $out, $err) = penstock(@run, @more);
	is($code, 0, $name) || diag($err);
	return $err;
}

# ---- copied, then followed ----

write_ini($mapping);
$source->safe_psql('postgres', q{ALTER SYSTEM SET log_statement = 'all'});
$source->reload;
passes('copied', '--copy', '--copy-split', '128kB');
$source->safe_psql('postgres', q{ALTER SYSTEM RESET log_statement});
$source->reload;
in_step('copied');
my @copies = grep { /COPY \(SELECT .* FROM ONLY "shop"."users"/ } split /\n/, slurp_file($source->logfile);
my $parts = grep { /'n''4'/ } @copies;
cmp_ok($parts, '>', 1, 'in parts');
is(scalar(@copies), 2 * $parts, 'one COPY of a part for those that want the same of it, one for the other');
is($target->safe_psql('crm', q{SELECT string_agg(schema_name || '.' || table_name || ' ' || state, ', ' ORDER BY 1) FROM (SELECT * FROM penstock.tables ORDER BY table_name) t}),
	'crm.log ready, crm.orders ready, crm.people ready, shop.plain ready', 'recorded by the names that they have there');

my $changes = q{
	UPDATE shop.users SET age = 18 WHERE id % 90 = 3;
	UPDATE shop.users SET age = 3, name = 'n''4' WHERE id BETWEEN 100 AND 120;
	UPDATE shop.users SET name = 'n''3' WHERE id = 101;
	DELETE FROM shop.users WHERE id % 50 = 1;
	INSERT INTO shop.users SELECT max(id) + 1, 'new', NULL, 44, '1999-09-09', 'calm' FROM shop.users;
	UPDATE shop.orders SET "Total Sum" = 1 WHERE part = 2;
	INSERT INTO shop.events SELECT max(id) + g, 'k' || g % 4, '{}' FROM shop.events, generate_series(1, 10) g GROUP BY g;
	UPDATE shop.plain SET t = t || 'c'};
$source->safe_psql('postgres', $changes);
unlike(passes('followed', '--copy'), qr/copying/, 'nothing is copied again');
in_step('followed');

# ---- a copy that was broken off goes on under the names that are recorded ----

$target->safe_psql('crm', q{UPDATE penstock.tables SET state = 'copying' WHERE table_name = 'people'; DELETE FROM crm.people WHERE id % 2 = 0});
like(passes('goes on', '--copy'), qr/copying 1 tables/, 'with the one table');
in_step('gone on');

# ---- a table anew while the stream goes on ----

$target->safe_psql('crm', q{UPDATE crm.people SET full_name = 'spoilt'; DELETE FROM crm.people WHERE id > 3000});
$target->safe_psql('erp', 'DELETE FROM shop.users WHERE id > 3000');
$target->safe_psql($_, q{UPDATE penstock.tables SET state = 'resync', lsn = NULL WHERE table_name IN ('people', 'users')}) for 'crm', 'erp';
my $following = start_penstock('run', '--config', $file, '--status-interval', '100ms');
ok($following->wait_for_stderr(qr/streaming/), 'a run follows');
$source->safe_psql('postgres', $changes);
ok($target->poll_query_until($_, q{SELECT bool_and(state = 'ready' AND lsn IS NOT NULL) FROM penstock.tables WHERE table_name IN ('people', 'users')}), "it is in step in $_")
  for @databases;
ok($following->wait_for_stderr(qr/crm: table crm.people is copied and in step again/), 'which is told by its name there');
is($following->finish('TERM'), 0, 'until told to stop');
passes('the rest');
in_step('anew');

# ---- append: what is there is the beginning of what passes ----

sub begin_anew
{
	my ($sql) = @_;
	drop_slot($source, 's');
	$target->safe_psql($_, 'DROP SCHEMA penstock CASCADE; TRUNCATE crm.people, shop.users, crm.orders, shop.orders, crm.log, shop.events, shop.plain') for @databases;
	$target->safe_psql('crm', $sql);
	return;
}

my @append = ('--copy', '--copy-mode', 'append', '--tables', 'shop.events');
begin_anew(q{INSERT INTO crm.log SELECT g, 'k1' FROM generate_series(1, 200, 4) g});
passes('appended', @append);
same_query('crm', 'SELECT * FROM crm.log', q{SELECT id, kind FROM shop.events WHERE kind = 'k1'}, 'appended: events');
same_query('erp', 'SELECT * FROM shop.events', 'SELECT * FROM shop.events', 'appended: all of them');
begin_anew(q{INSERT INTO crm.log SELECT g, 'k1' FROM generate_series(1, 200, 4) g WHERE g <> 101});
my ($code, $out, $err) = penstock(@run, @append);
like($err,
	qr/destination crm: table "crm"."log" cannot be appended to: it has 49 rows, and the source 50 up to the same number/, 'a row is missing');
same_query('erp', 'SELECT * FROM shop.events', 'SELECT * FROM shop.events', 'the others have all');

# ---- what is refused ----

my $for_one = $mapping =~ s{\[table [^\[]*destination = (?:erp|dwh)\n+}{}gr;
@databases = ('crm');
write_ini($for_one);
begin_anew('DROP TABLE crm.people');
refuses('a table that would have to be made differently', 2,
	qr/destination crm: there is no table crm.people here, and --create-tables makes tables only as they are at the source, .* shop.users.*: create it yourself/,
	@run, '--copy', '--create-tables');
is($target->safe_psql('crm', q{SELECT to_regclass('crm.people') IS NULL AND NOT EXISTS (SELECT FROM penstock.tables)}), 't', 'nothing is begun');
refuses('a table that is missing there', 2, qr/destination crm: there is no table "crm"."people" here/, @run, '--copy');
$target->safe_psql('crm', 'CREATE TABLE crm.people(id int PRIMARY KEY, age int, mood text)');
refuses('a column that is missing there', 2, qr/table "crm"."people" has no column "full_name" here \(of type pg_catalog.text at the source\)/, @run, '--copy');

$_->stop for $source, $target;
done_testing();
