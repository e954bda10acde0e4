# [table PATTERN]: other names, fewer columns, fewer rows, for each destination its own; rows that
# enter and leave a condition as PostgreSQL's own row filters have it.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $target = destination_node('target');
my $file = "$PostgreSQL::Test::Utils::tmp_check/penstock.ini";

# ids, text, and everything that a condition can ask for; the identity is all of it.
$source->safe_psql('postgres', q{
	CREATE SCHEMA shop;
	CREATE TABLE shop.users(id int PRIMARY KEY, name text, note text, age int, born date);
	ALTER TABLE shop.users REPLICA IDENTITY FULL;
	CREATE TABLE shop.orders(id int, part int, "Total Sum" numeric, PRIMARY KEY (id, part));
	CREATE TABLE shop.big(id int PRIMARY KEY, body text);
	CREATE TABLE shop.asked(id int PRIMARY KEY, age int);
	ALTER TABLE shop.big ALTER body SET STORAGE EXTERNAL;
	INSERT INTO shop.users VALUES (1, 'Ada', 'first', 36, '1815-12-10'), (2, 'Alan', NULL, 41, '1912-06-23'), (3, 'Kid', 'x', 7, '2019-01-01');
	INSERT INTO shop.orders VALUES (1, 1, 9.50), (1, 2, 100);});
for my $database ('crm', 'erp')
{
	$target->safe_psql('postgres', "CREATE DATABASE $database");
	$target->safe_psql($database, q{
		CREATE SCHEMA crm; CREATE SCHEMA shop;
		CREATE TABLE crm.people(id int PRIMARY KEY, full_name text, age int);
		CREATE TABLE shop.users(id int PRIMARY KEY, name text, note text, age int, born date);
		CREATE TABLE crm.orders(id int, part int, total numeric, PRIMARY KEY (id, part));
		CREATE TABLE shop.orders(id int, part int, "Total Sum" numeric, PRIMARY KEY (id, part));
		CREATE TABLE crm.big(id int PRIMARY KEY, body text);
		CREATE TABLE shop.big(id int PRIMARY KEY, body text);
		CREATE TABLE crm.asked(id int PRIMARY KEY, age int);
		CREATE TABLE shop.asked(id int PRIMARY KEY, age int);});
}

sub write_ini
{
	my ($tables) = @_;
	unlink $file;
	append_to_file($file, "[source]\nconninfo = " . uri($source) . qq{
slot = s
create_slot = on
[destination crm]
to = } . uri($target, 'crm') . qq{
[destination erp]
to = } . uri($target, 'erp') . "\n$tables");
	return;
}

my $mapping = q{
[table shop.orders, shop.big]
to = crm.*
destination = crm

[table shop.users]
to = crm.people
columns = id, name, age
rename.name = full_name
where = age >= 18 AND born IS NOT NULL
destination = crm

[table shop.orders]
rename.Total Sum = total
destination = crm

[table shop.big]
where = id < 100

[table shop.users]
where = name <> 'Alan' OR name IS NULL
destination = erp
};
my @run = ('run', '--config', $file, '--until', 'current', '--quiet');

sub passes
{
	my ($name, @more) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($code, $out, $err) = penstock(@run, @more);
	return is($code, 0, $name) || diag($err);
}

# What the server itself says of the rows that should be there.
sub same_query
{
	my ($database, $at_target, $at_source, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($target->safe_psql($database, "$at_target ORDER BY 1, 2"),
		$source->safe_psql('postgres', "$at_source ORDER BY 1, 2"), $name);
}

sub in_step
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	passes($name);
	same_query('crm', 'SELECT id, full_name, age FROM crm.people',
		'SELECT id, name, age FROM shop.users WHERE age >= 18 AND born IS NOT NULL', "$name: people");
	same_query('erp', 'SELECT * FROM shop.users',
		q{SELECT * FROM shop.users WHERE name <> 'Alan' OR name IS NULL}, "$name: users");
	same_query('crm', 'SELECT * FROM crm.orders', 'SELECT * FROM shop.orders', "$name: orders there");
	same_query('erp', 'SELECT * FROM shop.orders', 'SELECT * FROM shop.orders', "$name: orders as they are");
	same_query('crm', 'SELECT id, md5(body) FROM crm.big', 'SELECT id, md5(body) FROM shop.big WHERE id < 100', "$name: big");
	return;
}

write_ini($mapping);
passes('the slot is created');
# What is there already, they have.
$target->safe_psql('crm', q{
	INSERT INTO crm.people VALUES (1, 'Ada', 36), (2, 'Alan', 41); INSERT INTO crm.orders VALUES (1, 1, 9.50), (1, 2, 100)});
$target->safe_psql('erp', q{
	INSERT INTO shop.users VALUES (1, 'Ada', 'first', 36, '1815-12-10'), (3, 'Kid', 'x', 7, '2019-01-01');
	INSERT INTO shop.orders VALUES (1, 1, 9.50), (1, 2, 100)});

$source->safe_psql('postgres', q{
	INSERT INTO shop.users VALUES (4, 'Grace', 'n', 60, '1906-12-09'), (5, 'Nobody', NULL, NULL, '2000-01-01'), (6, 'x', 'n', 18, NULL);
	INSERT INTO shop.orders VALUES (2, 1, 0), (2, 2, NULL);
	INSERT INTO shop.big VALUES (1, repeat('1', 9000)), (200, repeat('2', 9000));});
in_step('inserts');

# Rows enter and leave, by every way there is; the columns that are left out change too.
$source->safe_psql('postgres', q{
	UPDATE shop.users SET age = 18 WHERE id = 3;
	UPDATE shop.users SET age = 17 WHERE id = 1;
	UPDATE shop.users SET age = NULL WHERE id = 2;
	UPDATE shop.users SET note = 'only this' WHERE id = 4;
	UPDATE shop.users SET age = 40 WHERE id = 5;
	UPDATE shop.users SET born = '1999-09-09', name = 'y' WHERE id = 6;
	UPDATE shop.orders SET "Total Sum" = 1.25 WHERE part = 2;});
in_step('rows enter and leave');
$source->safe_psql('postgres', q{
	BEGIN;
	UPDATE shop.users SET age = 50;
	UPDATE shop.users SET name = 'Alan' WHERE id IN (1, 3);
	UPDATE shop.users SET name = 'not Alan' WHERE id = 2;
	UPDATE shop.users SET id = id + 10 WHERE id < 4;
	DELETE FROM shop.users WHERE id IN (4, 12);
	COMMIT;
	UPDATE shop.users SET age = 3 WHERE id = 13;
	DELETE FROM shop.users WHERE id = 13;
	DELETE FROM shop.orders WHERE part = 1;});
in_step('keys that change');

# A row enters by its key; what is stored apart came with the first change of it only.
$source->safe_psql('postgres', q{
	UPDATE shop.big SET id = 101 WHERE id = 1;
	INSERT INTO shop.big VALUES (300, repeat('3', 9000));
	UPDATE shop.big SET id = 3, body = repeat('4', 9000) WHERE id = 300;});
in_step('a key enters with all of its row');

$source->safe_psql('postgres', 'TRUNCATE shop.users, shop.orders');
in_step('truncate');

# ---- tables in memory ----

$source->safe_psql('postgres', q{
	INSERT INTO shop.users SELECT i, 'n' || i, repeat('t', 10), i, '2000-01-01' FROM generate_series(1, 40) i;
	INSERT INTO shop.big VALUES (7, 'seven');});
in_step('more rows');
my $memory = q{
[table shop.users]
to = crm.people
columns = id, name, age
rename.name = full_name
where = age >= 18 AND born IS NOT NULL
[table shop.big]
where = id < 100
[destination cache]
to = memory:
};
unlink $file;
append_to_file($file, "[source]\nconninfo = " . uri($source) . "\n$memory");
my $dump = "$PostgreSQL::Test::Utils::tmp_check/dump.jsonl";
passes('memory tables are mapped when they are loaded', '--dump-tables', $dump);
same_dump($target, 'crm', $dump, 'crm.people', 'loaded under other names');
my $run = start_penstock('run', '--config', $file, '--dump-tables', $dump, '--status-interval', '100ms');
ok($run->wait_for_stderr(qr/streaming/), 'and follow');
$source->safe_psql('postgres', q{
	UPDATE shop.users SET age = age + 5;
	UPDATE shop.users SET age = 1 WHERE id > 35;
	UPDATE shop.big SET body = 'changed' WHERE id = 7;
	DELETE FROM shop.users WHERE id = 20;});
my $end = $source->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
ok($source->poll_query_until('postgres', "SELECT confirmed_flush_lsn >= '$end' FROM pg_replication_slots WHERE temporary"), 'to the end');
is($run->finish('INT'), 0, 'until told to stop') or diag($run->stderr);
my $followed = "$dump.followed";
rename $dump, $followed;
write_ini($mapping);
in_step('the databases, too');
passes('both', '--to', 'cache=memory:', '--dump-tables', $dump);
unlink $file;
append_to_file($file, "[source]\nconninfo = " . uri($source) . "\n$memory");
passes('memory again', '--dump-tables', $dump);
same_dump($target, 'crm', $dump, 'crm.people', 'what was loaded is what the stream says');
same_dump($target, 'crm', $followed, 'crm.people', 'and what was followed');
unlike(slurp_file($dump), qr/"table":"users"|"note"/, 'and nothing else');

# ---- what is refused ----

# Two destinations: one is refused, the other goes on.
sub is_refused
{
	my ($name, $tables, $sql, $pattern, $code) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	drop_slot($source, 's');
	$target->safe_psql($_, 'DELETE FROM penstock.progress') for 'crm', 'erp';
	$target->safe_psql('crm', 'TRUNCATE crm.people, crm.big, crm.orders, crm.asked');
	$target->safe_psql('erp', 'TRUNCATE shop.users, shop.big, shop.orders, shop.asked');
	$source->safe_psql('postgres', 'TRUNCATE shop.users, shop.big, shop.orders, shop.asked');
	write_ini($tables);
	passes("$name: it begins");
	$source->safe_psql('postgres', $sql);
	my $started = start_penstock('run', '--config', $file, '--status-interval', '100ms');
	ok($started->wait_for_stderr($pattern), "$name: refused with the remedy") or diag($started->stderr);
	ok($target->poll_query_until('erp', q{SELECT count(*) = 1 FROM shop.asked WHERE id = 99}), "$name: the other destination has all");
	$started->kill9;
	my ($got, $out, $err) = penstock('run', '--config', $file, '--until', 'current');
	is($got, $code, "$name: exit code") or diag($err);
	unlike($err, qr/s3cret/, "$name: no data is told");
	return;
}

is_refused('where beyond the identity', "[table shop.*]\nto = crm.*\ndestination = crm\n[table shop.asked]\nwhere = age > 5\ndestination = crm\n",
	'INSERT INTO shop.asked VALUES (1, 7); UPDATE shop.asked SET age = 8; INSERT INTO shop.asked VALUES (99, 1)',
	qr/crm.*table shop.asked: column "age" is used in `where`, but not in the REPLICA IDENTITY.*ALTER TABLE shop.asked REPLICA IDENTITY FULL/, 4);
is_refused('a row that enters without all of it', "[table shop.*]\nto = crm.*\ndestination = crm\n[table shop.big]\nwhere = id < 100\ndestination = crm\n",
	q{INSERT INTO shop.big VALUES (101, repeat('s3cret', 2000)); UPDATE shop.big SET id = 1; INSERT INTO shop.asked VALUES (99, 1)},
	qr/column "body" did not come with an UPDATE that makes a row pass.*REPLICA IDENTITY FULL/, 4);
is_refused('a key that is left out', "[table shop.*]\nto = crm.*\ndestination = crm\n[table shop.orders]\ncolumns = id\ndestination = crm\n",
	'INSERT INTO shop.orders VALUES (1, 2, 3); INSERT INTO shop.asked VALUES (99, 1)',
	qr/table shop.orders: column "part" belongs to the key.*penstock.ini:\d+/, 2);

# ---- what is refused at the start, of all tables that there are ----

write_ini("[table shop.*]\nto = crm.big\ndestination = crm\n");
refuses('two tables in one', 2, qr/destination crm: tables shop.\w+ and shop.\w+ would both be crm.big there/, @run);
write_ini("[table *.b*]\nwhere = id = 1\n[table *.*g]\nwhere = id = 2\n");
refuses('two sections for one table', 2,
	qr/table shop.big is meant by two sections that say different things of it: where at .*:9 and at .*:11/, @run);

$_->stop for $source, $target;
done_testing();
