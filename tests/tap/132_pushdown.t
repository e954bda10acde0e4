# The plugin is told which tables are wanted: what arrives is the same as when it sends all of them,
# for every name that a table can have; and it does not send the others.
use strict;
use warnings;
use utf8;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source', log_min_messages => 'warning', log_replication_commands => 'on');
my $file = "$PostgreSQL::Test::Utils::tmp_check/penstock.ini";

# Everything that means something in SQL, in a pattern, or in an option.
my @names = (
	'users', 'Users', 'u.sers', 'u,sers', 'u*sers', 'u\\sers', 'u"sers', "u'sers", 'u sers', ' users ', 'u%sers', 'u_sers',
	'üsers', '€', '*', '\\', '.', ',', "u\tsers", 'user', 'userss', "''", '$1', 'x' x 63);
my @schemas = ('public', 'Shop', 's.h,o*p"', "t\\'e n");

sub quoted
{
	my ($name) = @_;
	$name =~ s/"/""/g;
	return qq{"$name"};
}

# Perl's own strings are characters, those of psql's standard input bytes.
sub bytes
{
	my ($text) = @_;
	utf8::encode($text);
	return $text;
}

my @tables = map { my $schema = $_; map { [ $schema, $_ ] } @names } @schemas;
my @quoted = map { quoted($_->[0]) . '.' . quoted($_->[1]) } @tables;
$source->safe_psql('postgres', bytes(join(';',
	(map { 'CREATE SCHEMA IF NOT EXISTS ' . quoted($_) } @schemas),
	(map { "CREATE TABLE $_(id int PRIMARY KEY)" } @quoted),
	'CREATE TABLE parts(id int PRIMARY KEY) PARTITION BY RANGE (id)',
	'CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10)',
	'CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (20)',
	'CREATE TABLE later(id int PRIMARY KEY)')));

# A list of patterns, and which of @tables and the others it takes, told apart from the program.
my @all = ((map { $_->[0] . "\0" . $_->[1] } @tables), "public\0parts_low", "public\0parts_high", "public\0later");

sub literal
{
	my ($name) = @_;
	$name =~ s/([.,*\\ \t])/\\$1/g;
	return $name;
}
my @cases = (
	[ 'users', sub { $_[0] eq 'public' && $_[1] eq 'users' } ],
	[ 'Shop.*', sub { $_[0] eq 'Shop' } ],
	[ '*.u*sers', sub { $_[1] =~ /^u.*sers$/s } ],
	[ '*.u\\*sers', sub { $_[1] eq 'u*sers' } ],
	[ '*.*"*', sub { $_[1] =~ /"/ } ],
	[ '*\\\\*.*', sub { $_[0] =~ /\\/ } ],
	[ "*.*'*, Shop.€", sub { $_[1] =~ /'/ || ($_[0] eq 'Shop' && $_[1] eq '€') } ],
	[ '*.ü*', sub { $_[1] =~ /^ü/ } ],
	[ '*.\\*,*.\\\\,*.\\.,*.\\,', sub { $_[1] =~ /^[*\\.,]$/ } ],
	[ ' public . parts* , public.later', sub { $_[0] eq 'public' && $_[1] =~ /^(parts|later)/ } ],
	[ '*.*\\ ,nothing.x', sub { $_[1] =~ / $/ } ],
	[ '*.%,*.u%*,*.$1', sub { $_[1] =~ /^u%/ || $_[1] eq '$1' } ],
	[ 'nothing.*', sub { 0 } ],
	[ join(',', map { literal($_->[0]) . '.' . literal($_->[1]) } @tables), sub { $_[1] !~ /^(parts|later)/ } ]);

my $count = scalar @cases;
$source->safe_psql('postgres', join(';', map
	{ "SELECT pg_create_logical_replication_slot('told_$_', 'penstock'), pg_create_logical_replication_slot('all_$_', 'penstock')" }
	1 .. 8));
$source->safe_psql('postgres', bytes(join(';', 'BEGIN',
	(map { "INSERT INTO $_ VALUES (1)" } @quoted),
	'INSERT INTO parts VALUES (1), (11)',
	'INSERT INTO later VALUES (1)',
	'COMMIT')));
# A table that comes to be wanted, and one that no longer is, within a transaction and after it.
$source->safe_psql('postgres', q{
	BEGIN; ALTER TABLE later RENAME TO tmp; INSERT INTO tmp VALUES (2); ALTER TABLE tmp RENAME TO later; INSERT INTO later VALUES (3); COMMIT;
	ALTER TABLE later RENAME TO tmp; INSERT INTO tmp VALUES (4); ALTER TABLE tmp RENAME TO later; INSERT INTO later VALUES (5);
	TRUNCATE users, later, parts_low, "Users";});

# The changes that a run prints, all of them from the beginning: slots are used up, so each is a
# copy of one that is not.
sub changes
{
	my ($slot, $from, $patterns, @more) = @_;
	unlink $file;
	append_to_file($file, bytes("[destination out]\nto = stdout:\ntables = $patterns\n"));
	$source->safe_psql('postgres', "SELECT pg_copy_logical_replication_slot('$from', '$slot')");
	my ($code, $out, $err) = penstock('run', '--config', $file, '--source', uri($source), '--slot', $slot, '--until', 'current', @more);
	drop_slot($source, $slot);
	is($code, 0, "a run with $slot") or diag($err);
	$out =~ s/"seq":\d+,//g;    # counts what the stream has
	return join("\n", grep { !/^\{"op":"(begin|commit)"/ } split /\n/, $out);
}

my $log_at = -s $source->logfile;
for my $i (1 .. $count)
{
	my ($patterns, $takes) = @{ $cases[ $i - 1 ] };
	my $short = bytes(length $patterns > 40 ? substr($patterns, 0, 40) . '…' : $patterns);
	my $told = changes("run_told_$i", 'told_1', $patterns);
	my $all = changes("run_all_$i", 'all_1', $patterns, '--to', 'memory:');
	is($told, $all, "$short: the same changes");
	my $inserted = () = $told =~ /"op":"insert"[^\n]*"new":\{"id":1\}/g;
	$inserted += $told =~ /"table":"parts_high","new":\{"id":11\}/;
	is($inserted, scalar(grep { $takes->(split /\0/, $_) } @all), "$short: those of the tables that it means");
}

# What the server was asked for is what the plugin itself understands.
my $log = slurp_file($source->logfile, $log_at);
my %options;
for my $command ($log =~ /received replication command: (START_REPLICATION[^\n]*(?:\n\t[^\n]*)*)/g)
{
	my ($slot) = $command =~ /SLOT "(\w+)"/;
	($options{$slot}) = $command =~ /"include_tables" '((?:[^']|'')*)'/s if $slot;
}
is(scalar(grep { /^run_told_/ && defined $options{$_} } keys %options), $count, 'each list was passed on');
is(scalar(grep { /^run_all_/ && defined $options{$_} } keys %options), 0, 'but not where a destination wants everything');
like($options{run_told_1}, qr/^public\.users$/, 'as the plugin has it');
for my $i (1, 3, 6, 10)
{
	my $option = $options{"run_told_$i"};
	my $takes = $cases[ $i - 1 ][1];
	$option =~ s/\n\t/\n/g;
	my $sent = $source->safe_psql('postgres', "SELECT count(*) FROM pg_logical_slot_peek_changes('told_2', NULL, NULL,
		'format', 'json', 'include_tables', '$option') WHERE data LIKE '%\"op\":\"insert\"%' AND data LIKE '%\"id\":1}%'");
	is($sent, scalar(grep { $takes->(split /\0/, $_) && !/high/ } @all), "$i: no other table is sent");
}

# ---- all destinations together ----

unlink $file;
append_to_file($file, qq{
[destination a]
to = memory:
tables = Shop.*
[destination b]
to = stdout:
tables = later
});
my $dump = "$PostgreSQL::Test::Utils::tmp_check/dump.jsonl";
my ($code, $out, $err) = penstock('run', '--config', $file, '--source', uri($source), '--slot', 'told_3', '--until', 'current',
	'--dump-tables', $dump);
is($code, 0, 'two destinations') or diag($err);
$log = slurp_file($source->logfile, $log_at);
like($log, qr/SLOT "told_3" [^\n]*"include_tables" 'Shop\.\*,public\.later'/, 'get what either wants');
like(slurp_file($dump), qr/"table":"user"/, 'one its tables');
unlike(slurp_file($dump), qr/"table":"later"/, 'and not those of the other');
is(() = $out =~ /"op":"insert"[^\n]*"table":"later"/g, 3, 'which has its own');

# ---- another encoding: the plugin is told nothing, and the answer is the same ----

$source->safe_psql('postgres', q{CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'});
$source->safe_psql('latin', bytes(q{SET client_encoding = 'UTF8'; CREATE TABLE "büro"(id int PRIMARY KEY); CREATE TABLE other(id int PRIMARY KEY)}));
$source->safe_psql('latin', q{SELECT pg_create_logical_replication_slot('latin', 'penstock')});
$source->safe_psql('latin', bytes(q{SET client_encoding = 'UTF8'; INSERT INTO "büro" VALUES (1); INSERT INTO other VALUES (1)}));
($code, $out, $err) = penstock('run', '--source', uri($source, 'latin'), '--slot', 'latin', '--to', 'stdout:', '--until', 'current',
	'--tables', bytes('*.bü*'));
is($code, 0, 'a database in LATIN1') or diag($err);
is(() = $out =~ /"op":"insert"/g, 1, 'gives what was asked for');
unlike(slurp_file($source->logfile, $log_at), qr/SLOT "latin" [^\n]*include_tables/, 'and was told nothing');

$source->stop;
done_testing();
