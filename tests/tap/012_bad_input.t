# What can be wrong from the start: one clear line that says what was found and what to do, the
# exit code that tells whose turn it is, nothing confirmed and nothing applied.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $target = destination_node('target');
my $dir = $PostgreSQL::Test::Utils::tmp_check;
my $name = qr/[0-9a-z_]+/;

sub with_port
{
	my ($node, $rest) = @_;
	return sprintf('host=%s port=%d %s', $node->host, $node->port, $rest);
}

# A server by another name: its socket's folder through a link.
sub other_name
{
	my ($node, $database) = @_;
	my $link = "$dir/" . $node->name;
	symlink($node->host, $link) unless -l $link;
	return sprintf('host=%s port=%d dbname=%s', $link, $node->port, $database);
}

$source->safe_psql('postgres', $_) for 'CREATE DATABASE second', 'CREATE DATABASE without',
  'CREATE TABLE t(id int PRIMARY KEY, name text)', q{CREATE ROLE guarded LOGIN REPLICATION PASSWORD 'right'},
  'CREATE ROLE reader LOGIN';
$target->safe_psql('postgres', $_) for 'CREATE DATABASE one', 'CREATE DATABASE two';
$target->safe_psql($_, 'CREATE TABLE t(id int PRIMARY KEY, name text)') for 'one', 'two';
my $hba = $source->data_dir . '/pg_hba.conf';
my $rules = slurp_file($hba);
unlink $hba;
append_to_file($hba, "local all guarded scram-sha-256\nlocal second reader reject\n$rules");
$source->reload;

my ($code, $out, $err) = penstock('slot', 'create', '--source', uri($source), '--slot', 'good');
is($code, 0, 'a slot to lose nothing from') or diag($err);
$source->safe_psql('postgres', q{
	SELECT pg_create_logical_replication_slot('foreign_plugin', 'test_decoding');
	SELECT pg_create_physical_replication_slot('physical', true);
	INSERT INTO t VALUES (1, 'waits')});
penstock('slot', 'create', '--source', uri($source, 'second'), '--slot', 'of_second');
my $confirmed_sql = q{SELECT slot_name, confirmed_flush_lsn, restart_lsn FROM pg_replication_slots ORDER BY 1};
my $confirmed = $source->safe_psql('postgres', $confirmed_sql);

my @from = ('run', '--source', uri($source), '--until', 'current');
my @run = (@from, '--slot', 'good');
my @one = ('--to', uri($target, 'one'));

# ---- the command line ----

refuses('an unknown option', 2, qr/unrecognized option '--frobnicate'/, 'run', '--frobnicate');
refuses('an option without its value', 2, qr/option '--slot' requires an argument/, 'run', '--slot');
refuses('an argument too many', 2, qr/unexpected argument "stray"/, @run, 'stray');
refuses('no source', 2, qr/no source: .*--source/, 'run');
refuses('an empty source', 2, qr/option source: /, 'run', '--source', '');
refuses('a number that is none', 2, qr/option memory-limit: "many" is not .*MB/, @run, '--memory-limit', 'many');
refuses('a number out of range', 2, qr/option memory-limit: 1kB is out of range; \d+ to \d+ bytes/, @run, '--memory-limit', '1kB');
refuses('a flag that is none', 2, qr/option create-slot: "maybe" is not on or off/, @run, '--create-slot=maybe');
refuses('--until nonsense', 2, qr/option until: "tomorrow" is neither current nor an LSN/, 'run', '--source', uri($source), '--until', 'tomorrow');
refuses('--tables nonsense', 2, qr/table/, @run, '--tables', 'a.b.c');
refuses('slot without a verb', 2, qr/^penstock slot|Usage/, 'slot', 'paint', '--source', uri($source));
refuses('slot create without a name', 2, qr/--slot=NAME/, 'slot', 'create', '--source', uri($source));
refuses('a database without a slot', 2, qr/needs a slot.*--slot NAME/, @from, @one);
refuses('a database, as a connection string, without a slot', 2, qr/needs a slot.*--slot NAME/, @from,
	'--to', $target->connstr('one'));
refuses('--create-slot without a name', 2, qr/--create-slot needs --slot/, @from, '--create-slot');
refuses('--dump-tables without memory', 2, qr/--dump-tables needs .*memory:/, @run, @one, '--dump-tables', "$dir/dump");
ok(!-e "$dir/dump", 'which creates no file');
refuses('--dump-tables to where one cannot write', 2, qr{could not create /nowhere/dump: No such file}, @from, '--quiet', '--dump-tables', '/nowhere/dump');
refuses('two destinations of one name', 2, qr/two destinations are called a/, @run, '--to', 'a=memory:', '--to', 'a=stdout:');

# ---- connection strings ----

refuses('an unknown scheme', 2, qr/unknown kind of URI "mysql/, @run, '--to', 'mysql://me:s3cret@host/db');
refuses('a word as destination', 2, qr/unknown kind of URI/, @run, '--to', 'elsewhere');
for my $bad ('postgresql://me:s3cret@[broken/db', 'postgresql://me:s3cret@host:port:port/db', 'postgresql://me:s3cret@host/db?nonsense=1',
	'postgresql://me:s3%zzcret@host/db', 'postgresql://me:s3@cret@host/db', 'postgresql://me:s3@x:cret@host/db', 'postgresql://host/db?password=s3cret&x', 'host=x password=\'s3cret', 'host=x passwort=s3cret')
{
	for my $where ([ @run, '--to', $bad ], [ 'run', '--source', $bad ], [ 'slot', 'list', '--source', $bad ])
	{
		($code, $out, $err) = penstock(@$where);
		ok($code == 2 && $err =~ /^penstock \w+: .*malformed connection string.*\n\z/ && $err !~ /cret/,
			"malformed, without its password: $bad") or diag("exit code $code\n$err");
	}
}
($code, $out, $err) = penstock(@run, '--to', 'mysql://me:s3cret@host/db');
unlike($err, qr/cret/, 'nor does an unknown scheme show its password');

# ---- the source ----

refuses('nobody answers', 1, qr/source: could not connect: /, 'run', '--source', "host=$dir port=1");
refuses('a database that is not there', 2, qr/source: could not connect: .*"nowhere" does not exist/, 'run', '--source', uri($source, 'nowhere'));
for my $user ('guarded', 'nobody_knows')
{
	local $ENV{PGPASSWORD} = 'wr0ng';
	refuses("wrong password or role: $user", 2, qr/source: could not connect: .*(password authentication failed|does not exist)/,
		'run', '--source', with_port($source, "dbname=postgres user=$user"));
}
refuses('pg_hba.conf says no', 2, qr/source: could not connect: .*pg_hba.conf rejects/, 'run', '--source', with_port($source, 'dbname=second user=reader'));
refuses('a role without REPLICATION', 2, qr/source: .*ALTER ROLE .* REPLICATION/, 'run', '--source', with_port($source, 'dbname=postgres user=reader'));

$target->append_conf('postgresql.conf', "wal_level = replica\nmax_wal_senders = 5\nmax_replication_slots = 5");
$target->restart;
refuses('wal_level is not logical', 2, qr/wal_level is replica; set wal_level = logical .*restart/, 'run', '--source', uri($target));
refuses('wal_level is not logical, for a slot', 2, qr/wal_level = logical/, 'slot', 'create', '--source', uri($target), '--slot', 'x');

# ---- the plugin ----

penstock('slot', 'create', '--source', uri($source, 'without'), '--slot', 'was_good');
$source->safe_psql('postgres', "ALTER DATABASE without SET dynamic_library_path = '$dir'");
my $without = uri($source, 'without');
refuses('a server without the plugin', 2, qr/"penstock".*; install the plugin on the source server: make install-plugin/,
	'run', '--source', $without, '--slot', 'was_good', '--to', 'stdout:');
refuses('a server without the plugin, for a slot', 2, qr/install the plugin/, 'slot', 'create', '--source', $without, '--slot', 'x');
refuses('a server without the plugin, for memory', 2, qr/install the plugin/, 'run', '--source', $without);

SKIP:
{
	skip 'the server has no output_plugin_libraries', 3 unless `postgres --describe-config` =~ /^output_plugin_libraries\t/m;
	my $before = $source->safe_psql('postgres', 'SHOW output_plugin_libraries');
	$source->append_conf('postgresql.conf', "output_plugin_libraries = 'pgoutput'");
	$source->restart;
	my $list = qr/may not be used as an output plugin.*; add penstock to output_plugin_libraries/;
	refuses('a plugin that is not allowed', 2, $list, @run, '--to', 'stdout:');
	refuses('a plugin that is not allowed, for a slot', 2, $list, 'slot', 'create', '--source', uri($source), '--slot', 'x');
	refuses('a plugin that is not allowed, for memory', 2, $list, 'run', '--source', uri($source));
	$source->append_conf('postgresql.conf', "output_plugin_libraries = '$before'");
	$source->restart;
}

# ---- the slot ----

my @nowhere = ('--to', 'stdout:');
refuses('a slot that is missing', 2, qr/slot "missing" does not exist; create it .*--create-slot/, @from, @nowhere, '--slot', 'missing');
refuses('a slot that is missing cannot be dropped', 2, qr/slot "missing"/, 'slot', 'drop', '--source', uri($source), '--slot', 'missing');
refuses('a slot of another plugin', 2, qr/slot "foreign_plugin" belongs to plugin test_decoding/, @from, @nowhere, '--slot', 'foreign_plugin');
refuses('a slot of another plugin, to create', 2, qr/slot "foreign_plugin" belongs to plugin test_decoding/, @from, @nowhere, '--slot', 'foreign_plugin', '--create-slot');
refuses('a physical slot', 2, qr/slot "physical" belongs to physical replication/, @from, @nowhere, '--slot', 'physical');
refuses('a slot of another database', 2, qr/slot "of_second" is of database "second", but this is "postgres"/, @from, @nowhere, '--slot', 'of_second');
refuses('a name that no slot can have', 2, qr/slot "Not-A-Name"/, @from, @nowhere, '--slot', 'Not-A-Name', '--create-slot');
refuses('a name that is too long', 2, qr/63/, @from, @nowhere, '--slot', 'x' x 64, '--create-slot');

is($source->safe_psql('postgres', $confirmed_sql . ' OFFSET 0'), $confirmed . $source->safe_psql('postgres', q{
	SELECT E'\n' || concat_ws('|', slot_name, confirmed_flush_lsn, restart_lsn) FROM pg_replication_slots WHERE slot_name = 'was_good'}),
	'no slot has moved, none was created');

my $reader = start_penstock('run', '--source', uri($source), '--slot', 'of_second_reader', '--create-slot', '--to', 'stdout:');
ok($reader->wait_for_stderr(qr/streaming/), 'somebody reads a slot');
refuses('a slot that is busy', 1, qr/slot "of_second_reader".*is active for PID \d+; another consumer reads it; stop/,
	@from, @nowhere, '--slot', 'of_second_reader');
refuses('a slot that is busy cannot be dropped', 1, qr/slot "of_second_reader".*is active for PID \d+/,
	'slot', 'drop', '--source', uri($source), '--slot', 'of_second_reader');
is($reader->finish('TERM'), 0, 'the reader was not disturbed');
is((penstock('slot', 'drop', '--source', uri($source), '--slot', 'of_second_reader'))[0], 0, 'then it can be dropped');

# ---- the destinations ----

refuses('a destination that does not answer', 1, qr/destination postgresql: could not connect: /, @run, '--to', "postgresql:///one?host=$dir&port=1");
refuses('a destination that is not there', 2, qr/destination far: could not connect: .*"nowhere" does not exist/, @run, @one, '--to', 'far=' . uri($target, 'nowhere'));
refuses('the same destination twice', 2, qr/already, under another name/, @run, @one, @one);
refuses('the same destination by another name', 2, qr/already, under another name/, @run, @one, '--to', other_name($target, 'one'));
refuses('the source as destination', 2, qr/this is the source database itself/, @run, @one, '--to', uri($source));
refuses('the source as destination by another name', 2, qr/this is the source database itself/, @run, '--to', other_name($source, 'postgres'));
refuses('the source by another name', 2, qr/this is the source database itself/, 'run', '--source', other_name($source, 'postgres'), '--slot', 'good', '--to', uri($source));


$target->safe_psql('one', 'UPDATE penstock.meta SET version = 1000');
refuses('progress of a newer version', 4, qr/version 1000, made by a newer Penstock.*upgrade/, @run, @one);
$target->safe_psql('one', 'UPDATE penstock.meta SET version = 1');

# ---- the protocol ----

for my $range ([ 99, 100 ], [ 0, 1 ], [ 2, 1 ], [ 'one', 2 ])
{
	my @words = ('pg_recvlogical', '--dbname', $source->connstr('postgres'), '--slot', 'good', '--start', '--no-loop',
		'-o', "protocol_min=$range->[0]", '-o', "protocol_max=$range->[1]", '--file', '-');
	command_fails_like(\@words, qr/protocol_min|client reads protocol versions 99 to 100, but this plugin writes 1 to \d/,
		"the plugin refuses protocol $range->[0] to $range->[1]");
}
append_to_file("$dir/newer", "\x12\x05\x0a\x03\x08\xe8\x07");
refuses('a capture in a newer protocol', 4, qr/version 1000/, 'decode', "$dir/newer");

# ---- and still ----

is($source->safe_psql('postgres', "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'good'"),
	($confirmed =~ m{^good\|([0-9A-F/]+)\|}m)[0], 'nothing was confirmed');
is($target->safe_psql($_, 'SELECT count(*) FROM t'), 0, "nothing was applied to $_") for 'one', 'two';
is((penstock(@run, @one))[0], 0, 'then the good slot is run');
same_rows($source, 'postgres', $target, 'one', 't', 'and nothing was lost');

$source->stop;
$target->stop;
done_testing();
