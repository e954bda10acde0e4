# A role with LOGIN and REPLICATION and no other right: it can read a stream, and through the plugin's
# options neither run anything, nor exhaust the server, nor bring it down.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes 'time';

my $source = source_node('source', log_statement => 'none', max_connections => 50);
my $tmp = $PostgreSQL::Test::Utils::tmp_check;

my $filters = $source->safe_psql('postgres', q{SELECT current_setting('server_version_num')::int}) >= 150000;

# Names as long as they can be, for patterns that nearly match
my @long_names = map { 'a' x 40 . "_$_" . 'a' x 20 } 1 .. 20;
$source->safe_psql('postgres', join ';', q{
	CREATE ROLE reader LOGIN REPLICATION;
	CREATE ROLE owner LOGIN; CREATE SCHEMA private AUTHORIZATION owner;
	GRANT CREATE ON DATABASE postgres TO owner;
	REVOKE ALL ON SCHEMA public FROM PUBLIC;
	CREATE TABLE private.t(id int PRIMARY KEY, name text, secret text); CREATE TABLE private.log(what text);
	CREATE FUNCTION private.noted(what text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN INSERT INTO private.log VALUES (what); RETURN true; END';
	ALTER TABLE private.t OWNER TO owner},
	$filters ? q{CREATE PUBLICATION filtered FOR TABLE private.t (id, name) WHERE (id > 1 AND name <> 'hidden') WITH (publish = 'insert')}
	: 'CREATE PUBLICATION filtered FOR TABLE private.t',
	map { qq{CREATE TABLE private."$_"(id int PRIMARY KEY, "$_" text)} } @long_names);

my $connstr = $source->connstr('postgres') . ' user=reader';
my @reader = ('pg_recvlogical', '-d', $connstr, '--slot', 'reader');

sub options_of { return map { ('--option', $_) } @_; }

# Stream what there is, as the role: (success, standard output, standard error).
sub stream
{
	my (@options) = @_;
	my $end = $source->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	$source->safe_psql('postgres', 'CHECKPOINT');
	my ($out, $err) = ('', '');
	my $good = IPC::Run::run([ @reader, '--start', '--no-loop', '--endpos', $end, '--file', '-', options_of(@options) ], '<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(60));
	return ($good, $out, $err);
}

sub is_refused
{
	my ($name, $pattern, @options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($good, $out, $err) = stream(@options);
	ok(!$good, "$name is refused");
	return like($err, $pattern, "$name: that is told");
}

# ---- what it can do ----

command_ok([ @reader, '--create-slot', '--plugin', 'penstock' ], 'the role creates a slot');
is($source->safe_psql('postgres', q{SELECT has_schema_privilege('reader', 'private', 'USAGE')}), 'f', 'it has no right in the schema');
$source->safe_psql('postgres', q{INSERT INTO private.t VALUES (1, 'a', 's'), (2, 'b', 's'), (3, 'hidden', 's')});
my ($good, $out, $err) = stream('format=json', 'publications=filtered');
is($err, '', 'a publication of somebody else just filters');
is_deeply([ $out =~ /"new":(\{.*?\})/g ], [ '{"id":2,"name":"b"}' ], 'rows and columns') if $filters;
$source->safe_psql('postgres', q{INSERT INTO private.t VALUES (4, 'd', 's')});
($good, $out, $err) = stream('format=json', 'publications=filtered,no_such');
like($err, qr/publication "no_such" does not exist/, 'one that does not exist lets nothing through');
like($out, qr/"id":4/, 'and does not stop the others');

# ---- running something ----

# Neither when the value is read nor when a name is looked up is anything called.
my $dangerous = q{private.noted('x')};
for my $option ("publications=$dangerous", "publications=x'; SELECT private.noted('x'); --", "include_tables=$dangerous", "origin=$dangerous",
	"include_tables=*.*; SELECT private.noted('x')", qq{publications="x"";SELECT private.noted('x');--"}, 'publications=$(touch /tmp/x)', "include_columns=*.*.$dangerous",
	"message_prefixes=$dangerous", "origin=x' OR private.noted('x')", 'include_tables=pg_read_file.*', "format=json'), (SELECT private.noted('x')", 'include_tables=%n%n%s%s.%s', 'publications=%n%s')
{
	$source->safe_psql('postgres', q{INSERT INTO private.t VALUES (100, 'x', ''); DELETE FROM private.t WHERE id = 100});
	($good, $out, $err) = stream('messages=on', 'format=json', $option);
	unlike($err, qr/server closed|terminat|internal/, "no harm in $option");
}
is($source->safe_psql('postgres', 'SELECT count(*) FROM private.log'), 0, 'nothing was called');

SKIP:
{
	skip 'row filters are of PostgreSQL 15', 7 unless $filters;

	# A row filter can hold only built-in immutable functions, whoever writes it.
	my ($ret, $stdout, $stderr) = $source->psql('postgres', q{SET ROLE owner; CREATE PUBLICATION trick FOR TABLE private.t WHERE (private.noted(name)) WITH (publish = 'insert')});
	isnt($ret, 0, 'a row filter with a function of its own cannot be made');
	# Its errors are those of the reader's session only, and can be got around by the owner.
	$source->safe_psql('postgres', q{CREATE PUBLICATION divides FOR TABLE private.t WHERE (10 / (id - 5) > 0) WITH (publish = 'insert'); INSERT INTO private.t VALUES (5, 'e', '')});
	is_refused('a filter that fails', qr/division by zero/, 'publications=divides');
	($good, $out) = stream('format=json', 'publications=filtered');
	like($out, qr/"id":5/, 'the slot goes on without it');
	# Objects that carry the names of built-in ones are not taken for them.
	$source->safe_psql('postgres', q{CREATE FUNCTION private.int4gt(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT private.noted($$shadow$$)';
		ALTER ROLE reader SET search_path = private, pg_catalog; INSERT INTO private.t VALUES (6, 'f', '')});
	($good, $out) = stream('format=json', 'publications=filtered');
	like($out, qr/"id":6/, 'a search_path does not matter');
	is($source->safe_psql('postgres', 'SELECT count(*) FROM private.log'), 0, 'and still nothing was called');
	$source->safe_psql('postgres', 'ALTER ROLE reader RESET search_path');
}

# ---- exhausting the server ----

# A session with such options is looked at while it is connected: kB by name of memory context.
sub contexts_kb
{
	my (@options) = @_;
	my $err = "$tmp/reader.err";    # a file: nobody empties a pipe meanwhile
	my $reader = IPC::Run::start([ @reader, '--start', '--no-loop', '--status-interval', '1', '--fsync-interval', '1', '--file', '/dev/null', options_of(@options) ], '2>', $err);
	$source->safe_psql('postgres', join ';', map { qq{INSERT INTO private."$_" VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 1} } @long_names);
	my $started = time;
	ok(wait_confirmed($source, 'reader'), 'it is read') or diag(slurp_file($err));
	my $seconds = time - $started;
	my $offset = -s $source->logfile;
	$source->safe_psql('postgres', q{SELECT pg_log_backend_memory_contexts(active_pid) FROM pg_replication_slots WHERE slot_name = 'reader'});
	my $log = '';
	# more WAL, so that the walsender comes by
	ok(wait_until(sub { $source->safe_psql('postgres', 'SELECT pg_current_xact_id()'); $log = slurp_file($source->logfile, $offset); $log =~ /Grand total: \d+/ }), 'its memory is told');
	$reader->signal('INT');
	$reader->finish;
	my %kb;
	$kb{$2} += $3 / 1024 while $log =~ /level: (\d+); ([^:]+): (\d+) total/g;
	$kb{all} = ($log =~ /Grand total: (\d+)/)[0] / 1024;
	return (\%kb, $seconds);
}

my ($plain) = contexts_kb();
# 64 kB each: many short ones, many stars, and names that match all but the end
my $short = join(',', ('a.a') x 1000);
my $stars = substr(join(',', map { 'private.' . 'a*' x 27 . 'b' } 1 .. 1000), 0, 65536) =~ s/,[^,]*$//r;
my $one = 'private.' . '*a' x 32760;
my $columns = substr(join(',', ('*a*a*a*a.*a*a*a*a*a*a*a*b.*a*a*a*a*a*a*a*b') x 1000), 0, 65536) =~ s/,[^,]*$//r;
for my $case ([ 'many short patterns', "include_tables=$short,*.*", "exclude_tables=$short" ],
	[ 'a thousand with stars', "include_tables=$stars" ],
	[ 'one of 64 kB', "exclude_tables=$one" ],
	[ 'of everything that there is', "include_tables=$stars", "exclude_tables=$one", "include_columns=$columns", "exclude_columns=$columns", 'messages=on', 'message_prefixes=' . join(',', ('*a*b') x 1000) ])
{
	my ($name, @options) = @$case;
	$options[0] = "include_tables=$short" if $name eq 'many short patterns';
	# the longest argument that a program can be given is 128 kB
	my ($kb, $seconds) = contexts_kb(@options);
	my $more = int($kb->{all} - $plain->{all});
	cmp_ok($more, '<', 3000, "$name: less than 3 MB more") or diag(explain($kb));
	note(sprintf "%s: %d kB more, %.1f s", $name, $more, $seconds);
}
my ($kb) = contexts_kb('publications=' . join(',', map { "none$_" } 1 .. 1000));
cmp_ok($kb->{all} - $plain->{all}, '<', 3000, 'a thousand publications: less than 3 MB more');

is_refused('a value of more than 64 kB', qr/Allowed are at most 65536 bytes/, 'include_tables=' . 'a' x 70000);
is_refused('more than a thousand patterns', qr/more than 1000 patterns/, "include_tables=$short,a.a");
is_refused('more than a thousand publications', qr/at most 1000 names/, 'publications=' . join(',', map { "p$_" } 1 .. 1001));
is_refused('an option twice', qr/is given twice/, 'format=json', 'format=json');
is_refused('an option two thousand times', qr/is given twice/, ('format=json') x 2000);
is_refused('a batch of more than 16 MB', qr/Allowed is a number from 0 to 16777216/, 'batch_bytes=16777217');
is_refused('a name of 60 kB', qr/unrecognized option/, 'x' x 60000 . '=1');
is_refused('a message of half a character', qr/invalid value "x\xc3\xa9/, 'format=x' . "\xc3\xa9" x 100);

# ---- bringing it down ----

for my $option ('', '=', '=on', 'format', 'format=', "include_tables=\\", "include_tables=.", "include_tables=..", "include_tables=,", 'include_columns=*.*', 'publications="', 'publications=""', 'publications=,',
	'actions=,', 'actions=insert,', 'origin= ', "batch_bytes=\x{7f}", 'batch_bytes=0x1', 'protocol_max=999999999999999999999', "include_tables=\xff.\xfe", "origin=\xff")
{
	($good, $out, $err) = stream($option);
	unlike($err, qr/server closed the connection|SSL|lost/, "the server lives after option '" . ($option =~ s/[^ -~]/?/gr) . "'");
}
$source->safe_psql('postgres', q{INSERT INTO private.t VALUES (7, 'g', '')});
($good, $out, $err) = stream('format=json');
like($out, qr/"id":7/, 'and the slot works');
unlike(slurp_file($source->logfile), qr/PANIC|terminated by signal|XX000/, 'nothing ever went down');

$source->stop;
done_testing();
