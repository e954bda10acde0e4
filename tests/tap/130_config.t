# penstock.ini: a run from a file, the command line over it, secrets from the environment, and every
# mistake in it told at once, without a value.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $target = destination_node('target');
my $file = "$PostgreSQL::Test::Utils::tmp_check/penstock.ini";

$source->safe_psql('postgres', q{
	CREATE SCHEMA shop;
	CREATE TABLE shop.users(id int PRIMARY KEY, name text);
	CREATE TABLE shop.orders(id int PRIMARY KEY);
	CREATE TABLE other(id int PRIMARY KEY);});
for my $database ('one', 'two')
{
	$target->safe_psql('postgres', "CREATE DATABASE $database");
	$target->safe_psql($database, q{
		CREATE SCHEMA shop;
		CREATE TABLE shop.users(id int PRIMARY KEY, name text);
		CREATE TABLE shop.orders(id int PRIMARY KEY);
		CREATE TABLE other(id int PRIMARY KEY);});
}

sub write_ini
{
	my ($text) = @_;
	unlink $file;
	append_to_file($file, $text);
	chmod 0600, $file;
	return;
}

sub count_of
{
	my ($database, $table) = @_;
	return $target->safe_psql($database, "SELECT count(*) FROM $table");
}

# ---- a run from a file ----

my ($host, $source_port, $target_port) = ($source->host, $source->port, $target->port);
$ENV{PENSTOCK_TEST_HOST} = $host;
write_ini(qq{
; everything but how long it runs
[source]
conninfo = host=\${PENSTOCK_TEST_HOST} port=$source_port dbname=postgres
slot = s
create_slot = on
status_interval = 100ms
batch_ms = 7

[destination one]
to = postgresql:///one?host=\${PENSTOCK_TEST_HOST}&port=$target_port
tables = shop.*
connect_timeout_ms = 5000

[destination two]
to = postgresql:///two?host=\${PENSTOCK_TEST_HOST}&port=$target_port
tables = shop.users, other
batch_bytes_max = 0

[table shop.users]
where = id < 100
destination = two
});
my @run = ('run', '--config', $file, '--until', 'current');
my ($code, $out, $err) = penstock(@run);
is($code, 0, 'a run from a file') or diag($err);
$source->safe_psql('postgres', q{
	INSERT INTO shop.users VALUES (1, 'Ada'), (200, 'Grace');
	INSERT INTO shop.orders VALUES (1), (2);
	INSERT INTO other VALUES (1), (2), (3);});
($code, $out, $err) = penstock('run', '-c', $file, '--until=current');
is($code, 0, 'with -c') or diag($err);
is(join(' ', map { count_of('one', $_) } 'shop.users', 'shop.orders', 'other'), '2 2 0', 'one destination has its tables');
is(join(' ', map { count_of('two', $_) } 'shop.users', 'shop.orders', 'other'), '1 0 3', 'the other its own');

# ---- the command line wins ----

$source->safe_psql('postgres', 'INSERT INTO shop.orders VALUES (3); INSERT INTO other VALUES (4)');
refuses('a file\'s slot can be overruled', 2, qr/slot "elsewhere" does not exist/, @run, '--slot', 'elsewhere', '--create-slot=off');
($code, $out, $err) = penstock('run', '--to', 'two=stdout:', '--until', 'current', '--config', $file);
is($code, 0, 'a destination of the file goes elsewhere, whatever comes first') or diag($err);
like($out, qr/"table":"other"/, 'to standard output');
unlike($out, qr/"table":"orders"/, 'with the tables that the file has for it');
is(count_of('one', 'shop.orders'), 3, 'the others are as in the file');
is(count_of('two', 'other'), 3, 'and where it was, nothing comes');
# The slot has gone on without it.
$target->safe_psql('two', 'INSERT INTO other VALUES (4)');
$target->safe_psql('two', q{DELETE FROM penstock.progress});
($code, $out, $err) = penstock(@run);
is($code, 0, 'back where it was') or diag($err);

# ---- what is recorded ----

my $text = slurp_file($file);
(my $changed = $text) =~ s/id < 100/id < 1000/;
write_ini($changed);
refuses('a changed mapping', 4, qr/list of tables has changed.*UPDATE penstock.progress SET fingerprint/, @run);
($changed = $text) =~ s/tables = shop.users, other/tables = shop.users/;
write_ini($changed);
refuses('a changed list of one destination', 4, qr/two.*has changed/, @run);
# The same in another order and other words.
$changed = join('', (split /(?=^\[)/m, $text)[ 0, 1, 4, 3, 2 ]);
$changed =~ s/tables = shop.users, other/tables = other , shop.users/;
$changed =~ s/id < 100/( ID<100 )/;
write_ini($changed);
$source->safe_psql('postgres', 'INSERT INTO other VALUES (5)');
($code, $out, $err) = penstock(@run);
is($code, 0, 'the same in another order') or diag($err);
is(count_of('two', 'other'), 5, 'goes on');

# ---- mistakes ----

sub is_told
{
	my ($name, $ini, @expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	write_ini($ini);
	my ($got, undef, $complaints) = penstock(@run);
	is($got, 2, "$name: exit code");
	my @lines = split /\n/, $complaints;
	is(scalar @lines, scalar @expected, "$name: as many complaints as mistakes") or diag($complaints);
	like($lines[$_] // '', qr/^penstock run: \Q$file\E:$expected[$_]/, "$name: complaint " . ($_ + 1)) for 0 .. $#expected;
	unlike($complaints, qr/s3cret/, "$name: no value is told");
	return;
}

delete $ENV{PENSTOCK_TEST_NONE};
is_told('mistakes',
	q{[source]
conninfo = host=h password=s3cret
slots = s3cret
batch_ms = s3cret
[destination a]
to = postgresql://u:s3cret@h/d
tables = a.b.c
slot = s3cret
[destination b]
to = postgresql://u:s3cret@h/d
batch_bytes_max = ${PENSTOCK_TEST_NONE}
[tables x.y]
[table x.y]
where = name = 's3cret
columns = a,,b
rename.a = b
rename.c = b
s3cret
},
	'18: equal sign is missing', '3: there is no key "slots"; is slot meant\?',
	'4: option batch-ms: its value is not a time', '7: table pattern "a.b.c" is not schema.table',
	'8: slot is an option of the whole run', '11: the environment variable PENSTOCK_TEST_NONE is not set',
	'9: destination b is the same as destination a', '12: there is no kind of section "tables"; is table meant\?',
	'14: where: at character 8: a quote is not closed', '15: columns: the name of a column is empty',
	'17: rename.a and rename.c give two columns one name');
is_told('contradictions',
	q{[table shop.users]
to = crm.people
[table shop.*]
to = crm.users
[table shop.clients]
to = crm.people
},
	'3: to is something else at .*:1, for a table that both sections mean',
	'5: to sends a second table to crm.people, as the section at .*:1 does', '5: to is something else at .*:3');

write_ini("[destination a]\nbatch_ms = 5\n");
refuses('a destination without a place', 2, qr/destination a: .*`to`/, @run, '--source', uri($source));
write_ini("[table a.b]\ndestination = nobody\n");
refuses('a destination that is not there', 2, qr/penstock.ini:1: there is no destination nobody/,
	@run, '--source', uri($source), '--to', 'memory:');
unlink $file;
refuses('a file that is not there', 2, qr/could not open .*penstock.ini: No such file/, @run);

# ---- who may read it ----

write_ini("[source]\nconninfo = host=$host port=$source_port dbname=postgres password=s3cret\n");
chmod 0644, $file;
($code, $out, $err) = penstock(@run, '--to', 'stdout:');
is($code, 0, 'a file that everybody may read') or diag($err);
like($err, qr/warning: .*penstock.ini holds a password and everybody may read it/, 'is warned of');
unlike($err, qr/s3cret/, 'without saying it');
chmod 0600, $file;
($code, $out, $err) = penstock(@run, '--to', 'stdout:');
unlike($err, qr/warning/, 'one that only we may read is not');

$_->stop for $source, $target;
done_testing();
