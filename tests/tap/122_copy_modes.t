# What a copy does about rows and tables that are there, or not: it refuses, truncates, appends or
# creates, as told, and says exactly what does not fit before it touches anything.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source', max_replication_slots => 40);
my $target = destination_node('target');
my $number = 0;

$source->safe_psql('postgres', q{
	CREATE TABLE events(id bigint PRIMARY KEY, at timestamptz, event jsonb);
	INSERT INTO events SELECT g * 2, '2026-11-21 10:00Z'::timestamptz + g * interval '1 s', jsonb_build_object('n', g) FROM generate_series(1, 500) g;
	CREATE TABLE texts(id text PRIMARY KEY); INSERT INTO texts VALUES ('a');
	CREATE TABLE pairs(a int, b int, PRIMARY KEY (a, b)); INSERT INTO pairs VALUES (1, 1)});
my $events = 'CREATE TABLE events(id bigint PRIMARY KEY, at timestamptz, event jsonb)';

sub database
{
	my ($tables) = @_;
	my $name = 'd' . ++$number;
	$target->safe_psql('postgres', "CREATE DATABASE $name");
	$target->safe_psql($name, $tables) if defined $tables;
	return $name;
}

# The slot has the first database's name.
sub arguments
{
	my ($tables, @databases) = @_;
	return ('run', '--source', uri($source), '--slot', $databases[0], '--tables', $tables, '--copy', '--until', 'current', '--quiet',
		map { ('--to', "$_=" . uri($target, $_)) } @databases);
}

sub copies
{
	my ($name, $tables, $databases, @more) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($code, $out, $err) = penstock(arguments($tables, @$databases), @more);
	return is("$code $err", '0 ', $name);
}

sub count
{
	my ($database, $table) = @_;
	return $target->safe_psql($database, "SELECT count(*) FROM $table");
}

# ---- empty, truncate ----

my $d = database("$events; INSERT INTO events VALUES (7)");
refuses('rows that are there are refused', 4, qr/destination $d: table "public"."events" has rows already; TRUNCATE it, or choose --copy-mode/, arguments('public.events', $d));
is(count($d, 'events'), 1, 'and stay');
is($target->safe_psql($d, 'SELECT count(*) FROM penstock.progress'), 0, 'nothing was begun');
copies('truncate', 'public.events', [$d], '--copy-mode', 'truncate');
same_rows($source, 'postgres', $target, $d, 'events');

$d = database("$events; CREATE TABLE refers(id bigint REFERENCES events); INSERT INTO events VALUES (7); INSERT INTO refers VALUES (7)");
copies('a table that others refer to', 'public.events', [$d], '--copy-mode', 'truncate', '--copy-split', '64kB');
same_rows($source, 'postgres', $target, $d, 'events');

my ($one, $two) = (database("$events; INSERT INTO events VALUES (7)"), database($events));
my ($code, $out, $err) = penstock(arguments('public.events', $one, $two));
like("$code $err", qr/^4 .*$one: table "public"."events" has rows already/s, 'rows at one of two destinations');
same_rows($source, 'postgres', $target, $two, 'events', 'the other one has its copy');
is(count($one, 'events'), 1, 'and that one what it had');

# ---- append ----

sub with_events
{
	my ($condition, $more) = @_;
	my $name = database($events);
	my $rows = $source->safe_psql('postgres', "SELECT string_agg(format('(%s, %L, %L)', id, at, event), ',') FROM events WHERE $condition");
	$target->safe_psql($name, "INSERT INTO events VALUES $rows") if $rows ne '';
	$target->safe_psql($name, $more) if defined $more;
	return $name;
}

sub appends_not
{
	my ($name, $database, $pattern, $status) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $before = rows($target, $database, 'events');
	refuses($name, $status // 4, $pattern, arguments('public.events', $database), '--copy-mode', 'append');
	is(rows($target, $database, 'events'), $before, "$name: nothing was changed");
	return;
}

($one, $two) = (with_events('id <= 300'), with_events('false'));
my $xmin = $target->safe_psql($one, 'SELECT min(xmin::text::bigint), max(xmin::text::bigint) FROM events WHERE id <= 300');
copies('append to some rows, and to none', 'public.events', [ $one, $two ], '--copy-mode', 'append');
same_rows($source, 'postgres', $target, $_, 'events') for $one, $two;
is($target->safe_psql($one, 'SELECT min(xmin::text::bigint), max(xmin::text::bigint) FROM events WHERE id <= 300'), $xmin, 'rows that were there stayed');
$source->safe_psql('postgres', q{INSERT INTO events VALUES (1, now(), '{"late": 1}'), (1001, now(), NULL)});
copies('then the stream', 'public.events', [ $one, $two ], '--copy-mode', 'append');
same_rows($source, 'postgres', $target, $_, 'events', "streamed to $_") for $one, $two;
copies('append where nothing is new', 'public.events', [ with_events('true') ], '--copy-mode', 'append');

appends_not('another first row', with_events('id <= 300', q{UPDATE events SET event = '{"n": 0}' WHERE id = 1}), qr/its first row \(by id\) is not the source's/);
appends_not('a row too few', with_events('id <= 300', 'DELETE FROM events WHERE id = 100'), qr/it has \d+ rows, and the source \d+ up to the same id/);
appends_not('a row too many', with_events('id <= 300', 'INSERT INTO events VALUES (99)'), qr/it has \d+ rows, and the source \d+/);
appends_not('a greatest key that the source has not', with_events('id <= 300', 'INSERT INTO events VALUES (301)'), qr/the source has no row with its greatest id/);
appends_not('a greater key than any', with_events('true', 'INSERT INTO events VALUES (5000)'), qr/the source has no row with its greatest id/);
appends_not('a key of another type', with_events('id <= 300', 'ALTER TABLE events ALTER id TYPE text'), qr/needs a primary key of one column, of the same type/, 2);
refuses('append with a text key', 2, qr/"texts" cannot be appended to: it needs a primary key of one column/,
	arguments('public.texts', database('CREATE TABLE texts(id text PRIMARY KEY)')), '--copy-mode', 'append');
refuses('append with a key of two columns', 2, qr/"pairs" cannot be appended to: it needs a primary key of one column/,
	arguments('public.pairs', database('CREATE TABLE pairs(a int, b int, PRIMARY KEY (a, b))')), '--copy-mode', 'append');
$source->safe_psql('postgres', 'CREATE TABLE hollow(id int PRIMARY KEY)');
refuses('an empty source, and rows here', 4, qr/its first row \(by id\) is not the source's/,
	arguments('public.hollow', database('CREATE TABLE hollow(id int PRIMARY KEY); INSERT INTO hollow VALUES (1)')), '--copy-mode', 'append');

# ---- create tables, and sequences ----

$source->safe_psql('postgres', q{
	CREATE SCHEMA shop; CREATE TYPE shop.mood AS ENUM ('calm', 'wild'); CREATE DOMAIN shop.positive AS int CHECK (VALUE > 0);
	CREATE FUNCTION shop.is_even(int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 % 2 = 0';
	CREATE SEQUENCE shop.free START 100;
	CREATE TABLE shop.customers(id serial PRIMARY KEY, name text UNIQUE, mood shop.mood DEFAULT 'calm', n shop.positive);
	CREATE TABLE shop.orders(id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int REFERENCES shop.customers, number int DEFAULT nextval('shop.free'),
		even int CHECK (shop.is_even(even)), twice int GENERATED ALWAYS AS (even * 2) STORED);
	CREATE INDEX orders_customer ON shop.orders(customer);
	CREATE TABLE shop.parts(id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
	CREATE TABLE shop.parts_eu PARTITION OF shop.parts FOR VALUES IN ('eu'); CREATE TABLE shop."parts of us" PARTITION OF shop.parts FOR VALUES IN ('us');
	CREATE TABLE shop.logged(id int, what text); ALTER TABLE shop.logged REPLICA IDENTITY FULL;
	CREATE TABLE shop.by_index(a int NOT NULL, b text); CREATE UNIQUE INDEX by_index_a ON shop.by_index(a); ALTER TABLE shop.by_index REPLICA IDENTITY USING INDEX by_index_a;
	CREATE FUNCTION shop.touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
	CREATE TRIGGER touch BEFORE UPDATE ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.touched();
	CREATE TABLE shop.other(id int PRIMARY KEY); CREATE TYPE shop.unused AS (a int);
	INSERT INTO shop.customers(name, n) SELECT 'c' || g, g FROM generate_series(1, 50) g;
	INSERT INTO shop.orders(customer, even) SELECT g, g * 2 FROM generate_series(1, 50) g;
	INSERT INTO shop.parts SELECT g, CASE g % 2 WHEN 0 THEN 'eu' ELSE 'us' END FROM generate_series(1, 50) g;
	INSERT INTO shop.logged VALUES (1, 'x'), (1, 'x'); INSERT INTO shop.by_index VALUES (1, 'b')});
my @shop = ('shop.customers', 'shop.orders', 'shop.parts', 'shop."parts of us"', 'shop.logged', 'shop.by_index');
my $wanted = 'shop.customers,shop.orders,shop.parts*,shop.logged,shop.by_index';

sub definitions
{
	my ($node, $database) = @_;
	return $node->safe_psql($database, q{
		SELECT 'index', indexdef FROM pg_indexes WHERE schemaname = 'shop' AND tablename <> 'other'
		UNION ALL SELECT 'constraint', conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'shop'::regnamespace AND conrelid <> 0 AND conrelid <> coalesce(to_regclass('shop.other'), 0)
		UNION ALL SELECT 'column', attrelid::regclass || ' ' || attname || ' ' || format_type(atttypid, atttypmod) || attidentity::text || attgenerated::text || attnotnull || coalesce(pg_get_expr(adbin, adrelid), '')
			FROM pg_attribute LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum) JOIN pg_class c ON c.oid = attrelid
			WHERE relnamespace = 'shop'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'other' AND attnum > 0
		UNION ALL SELECT 'identity', relname || relreplident::text FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r' AND relname <> 'other'
		UNION ALL SELECT 'trigger', pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
		ORDER BY 1, 2});
}

refuses('tables that are missing', 2, qr/there is no table "shop"."\w+" here; create it .* --create-tables/, arguments($wanted, database()));
($one, $two) = (database(), database(q{CREATE SCHEMA shop; CREATE TABLE shop.logged(id int, what text, mine int DEFAULT 5)}));
copies('tables are created', $wanted, [ $one, $two ], '--create-tables', '--sequences');
same_rows($source, 'postgres', $target, $one, $_, "created: $_") for @shop;
same_rows($source, 'postgres', $target, $two, $_, "created: $_ beside one that was there") for grep { !/logged/ } @shop;
is(definitions($target, $one), definitions($source, 'postgres'), 'with columns, defaults, indexes, constraints, triggers and replica identities');
is($target->safe_psql($two, 'SELECT count(*), min(mine) FROM shop.logged'), '2|5', 'the one that was there is as it was, with its rows');
is($target->safe_psql($one, q{SELECT to_regclass('shop.other') IS NULL AND to_regtype('shop.unused') IS NULL}), 't', 'what nobody needs is not created');
is($target->safe_psql($one, q{SELECT count(*) FROM penstock.tables WHERE state <> 'ready' OR created}), 0, 'all is recorded as ready');

sub sequences
{
	my ($node, $database) = @_;
	return $node->safe_psql($database, q{
		SELECT 'free', last_value, is_called FROM shop.free UNION ALL SELECT 'customers', last_value, is_called FROM shop.customers_id_seq
		UNION ALL SELECT 'orders', last_value, is_called FROM shop.orders_id_seq ORDER BY 1});
}
is(sequences($target, $one), sequences($source, 'postgres'), 'sequences are set');
$source->safe_psql('postgres', q{INSERT INTO shop.orders(customer, even) VALUES (1, 2); UPDATE shop.by_index SET b = 'c'; DELETE FROM shop.customers WHERE id = 50 AND false});
copies('the stream goes on', $wanted, [ $one, $two ]);
same_rows($source, 'postgres', $target, $_, 'shop.orders', "streamed to $_") for $one, $two;
my @to = ('--source', uri($source), '--tables', $wanted, '--to', "one=" . uri($target, $one), '--to', "two=" . uri($target, $two));
($code, $out, $err) = penstock('sequences', @to);
is("$code $out$err", "0 6 sequences set\n", 'sequences, on request');
is(sequences($target, $_), sequences($source, 'postgres'), "of $_") for $one, $two;
$target->safe_psql($two, 'DROP SEQUENCE shop.free CASCADE');
($code, $out, $err) = penstock('sequences', @to);
like("$code $out$err", qr/^0 5 sequences set\n.*warning: two: there is no sequence shop.free here/s, 'one that is not there is left out');
refuses('the source itself', 2, qr/this is the source database itself/, 'sequences', '--source', uri($source), '--to', uri($source));

# A copy that cannot get its indexes at first: rows that contradict a constraint of the destination.
$d = database();
{
	local $ENV{PATH} = "$PostgreSQL::Test::Utils::tmp_check/none";
	refuses('without pg_dump', 2, qr/there is no program pg_dump in the PATH; install/, arguments($wanted, $d), '--create-tables');
}
copies('with it again', $wanted, [$d], '--create-tables');
is(definitions($target, $d), definitions($source, 'postgres'), 'everything is there');

# ---- what does not fit ----

refuses('a column that is missing', 2, qr/table "public"."events" has no column "event" here \(of type pg_catalog.jsonb at the source\)/,
	arguments('public.events', database('CREATE TABLE events(id bigint PRIMARY KEY, at timestamptz)')));
refuses('a view', 2, qr/"public"."events" is not a table here/, arguments('public.events', database('CREATE VIEW events AS SELECT 1 AS id')));
refuses('a wrong mode', 2, qr/option copy-mode: "twice" is not one of: empty, truncate, append/, arguments('public.events', 'nowhere'), '--copy-mode', 'twice');
my $rules = "$PostgreSQL::Test::Utils::tmp_check/rules.ini";
append_to_file($rules, "[table public.events]\nto = public.elsewhere\n");
refuses('a table that is renamed', 2, qr/there is no table "public"."elsewhere" here/,
	arguments('public.events', database($events)), '--config', $rules);
refuses('no jobs', 2, qr/option copy-jobs: 0 is out of range; 1 to 64/, arguments('public.events', 'nowhere'), '--copy-jobs', '0');
refuses('jobs in words', 2, qr/option copy-jobs: "two" is not a number/, arguments('public.events', 'nowhere'), '--copy-jobs', 'two');
refuses('parts of a copy without it', 2, qr/--sequences is part of a copy: add --copy/, 'run', '--source', uri($source), '--sequences');
refuses('a copy into memory', 2, qr/--copy needs a database as destination/, 'run', '--source', uri($source), '--copy', '--to', 'memory:');
refuses('a copy into the source', 2, qr/this is the source database itself/, 'run', '--source', uri($source), '--slot', 'x', '--copy', '--copy-mode', 'truncate', '--to', uri($source));
is($source->safe_psql('postgres', 'SELECT count(*) > 500 FROM events'), 't', 'which has kept its rows');

# ---- what version 0.2.0 has left ----

$d = database("$events; " . q{
	CREATE SCHEMA penstock; CREATE TABLE penstock.meta (version integer NOT NULL); INSERT INTO penstock.meta VALUES (1);
	CREATE TABLE penstock.progress (slot text PRIMARY KEY, system_identifier text NOT NULL, source_database text NOT NULL, timeline bigint NOT NULL,
		fingerprint text NOT NULL, lsn pg_lsn NOT NULL, updated_at timestamptz NOT NULL DEFAULT now());
	CREATE TABLE penstock.tables (slot text NOT NULL, schema_name text NOT NULL, table_name text NOT NULL, source_oid bigint NOT NULL, columns text NOT NULL,
		PRIMARY KEY (slot, schema_name, table_name)); INSERT INTO penstock.tables VALUES ('another', 'public', 'events', 1, '')});
copies('beside what an older version has recorded', 'public.events', [$d]);
same_rows($source, 'postgres', $target, $d, 'events');
is($target->safe_psql($d, q{SELECT (SELECT version FROM penstock.meta), string_agg(slot || ' ' || state, ',' ORDER BY slot <> 'another') FROM penstock.tables}),
	"2|another ready,$d ready", 'which is brought up to date');

# ---- roles that may little ----

$source->safe_psql('postgres', q{CREATE ROLE reader LOGIN REPLICATION; GRANT SELECT ON events TO reader});
$target->safe_psql('postgres', 'CREATE ROLE writer LOGIN');
$d = database("$events; GRANT SELECT, INSERT ON events TO writer; GRANT CREATE ON DATABASE d" . ($number + 1) . ' TO writer');
my @little = ('run', '--source', uri($source) . '&user=reader', '--slot', $d, '--copy', '--until', 'current', '--quiet', '--to', "$d=" . uri($target, $d) . '&user=writer');
($code, $out, $err) = penstock(@little, '--tables', 'public.events');
is("$code $err", '0 ', 'roles that may only read and insert');
same_rows($source, 'postgres', $target, $d, 'events');
$little[4] = 'little';
refuses('a table that may not be read', 2, qr/table public.texts may not be read; GRANT SELECT/, @little, '--tables', 'public.texts');
$d = database(q{CREATE TABLE events(id bigint PRIMARY KEY, at timestamptz, event jsonb); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
	CREATE TRIGGER t BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION f(); GRANT SELECT, INSERT ON events TO writer; GRANT CREATE ON DATABASE d} . ($number + 1) . ' TO writer');
@little = ('run', '--source', uri($source), '--slot', $d, '--copy', '--until', 'current', '--quiet', '--tables', 'public.events', '--to', "$d=" . uri($target, $d) . '&user=writer');
refuses('triggers that the role cannot rest', 4, qr/has triggers or cascading foreign keys.*--allow-triggers/, @little);
($code, $out, $err) = penstock(@little, '--allow-triggers');
like("$code $err", qr/^4 .*copying table "public"."events": 0 rows arrived of \d+: a trigger/s, 'triggers that swallow rows are noticed');

$source->stop;
$target->stop;
done_testing();
