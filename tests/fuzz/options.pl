#!/usr/bin/perl
# options.pl URI SECONDS SEED -- random options, in databases of several encodings: each outcome is
# rows, or an error of a kind that a client can make; never an internal error, never a dead session.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Schema qw(pick chance);

my ($uri, $seconds, $first_seed) = @ARGV;
my $end = time + $seconds;
my $batch = 100;
my $tmp = "$ENV{TMPDIR}/fuzz-options";
my %encodings = (fuzz_utf8 => 'UTF8', fuzz_latin1 => 'LATIN1', fuzz_ascii => 'SQL_ASCII');
mkdir $tmp;

# psql's standard output, and its status
sub run_sql
{
	my ($database, $text) = @_;
	open my $script, '>:raw', "$tmp/script.sql" or die $!;
	print $script $text;
	close $script;
	my $database_uri = $uri =~ s{///\w+}{///$database}r;
	my $status = system("psql -X -A -t -q -d '$database_uri' -f '$tmp/script.sql' >'$tmp/out' 2>'$tmp/err'");
	open my $out, '<:raw', "$tmp/out" or die $!;
	local $/ = undef;
	return (scalar <$out>, $status);
}

sub setup
{
	my ($database) = @_;
	my $odd = $database eq 'fuzz_utf8' ? "\xc3\xa4" : "\xe4";
	run_sql('postgres', "CREATE DATABASE $database ENCODING '$encodings{$database}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
	my ($out, $status) = run_sql($database, qq{\\set ON_ERROR_STOP on
		SET client_encoding = SQL_ASCII;
		CREATE TABLE t(id int PRIMARY KEY, name text, n numeric);
		CREATE TABLE "T$odd ""x"(id int PRIMARY KEY, "c$odd" text[], g int GENERATED ALWAYS AS (id + 1) STORED);
		CREATE TABLE p(id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
		CREATE TABLE f(a int, b text); ALTER TABLE f REPLICA IDENTITY FULL;
		CREATE PUBLICATION everything FOR ALL TABLES; CREATE PUBLICATION via_root FOR TABLE p WITH (publish_via_partition_root);
		CREATE PUBLICATION few FOR TABLE t (id, name) WHERE (id > 1), f WHERE (b <> 'x'); CREATE PUBLICATION "odd, $odd" FOR TABLE t (id);
		SELECT pg_create_logical_replication_slot('$database', 'penstock') \\g /dev/null
		SELECT pg_create_logical_replication_slot('${database}_2pc', 'penstock', false, true) \\g /dev/null
		INSERT INTO t VALUES (1, 'a$odd', 1.5), (2, NULL, 'NaN'); UPDATE t SET id = 3 WHERE id = 1; DELETE FROM t WHERE id = 2;
		INSERT INTO "T$odd ""x" VALUES (1, '{a,$odd}'); INSERT INTO p VALUES (1, 'x'); UPDATE p SET v = 'y';
		BEGIN; INSERT INTO f VALUES (1, 'x'); SAVEPOINT a; INSERT INTO f SELECT i, repeat('long', 50) FROM generate_series(1, 500) i; ROLLBACK TO a; UPDATE f SET b = 'y'; COMMIT;
		TRUNCATE f, t; SELECT pg_logical_emit_message(true, 'a$odd', 'b'), pg_logical_emit_message(false, '', '') \\g /dev/null
		BEGIN; INSERT INTO t VALUES (10, 'prepared', 0); PREPARE TRANSACTION 'gid $database'; COMMIT PREPARED 'gid $database';});
	die "could not set up $database\n" if $status;
	return;
}

my @names = qw(format protocol_min protocol_max batch_bytes values publications include_tables exclude_tables include_columns
  exclude_columns include_generated actions origin messages message_prefixes streaming two_phase skip_empty debug-mode);
my %valid = (
	format => [qw(native json text decoderbufs)],
	protocol_min => [qw(1 2 0 1000000 1000001)],
	protocol_max => [qw(1 2 3 1000000 01)],
	batch_bytes => [qw(0 1 65536 16777216 16777217 2147483648 -1)],
	values => [qw(text binary)],
	publications => [ 'everything', 'few', 'via_root', 'everything,few', '"odd, é"', 'missing', '"everything" , few', join(',', map { "p$_" } 1 .. 1000), join(',', map { "p$_" } 1 .. 1001), 'x' x 200 ],
	include_tables => [ '*.*', 'public.t', 'public.*, pg*.x', 'p*c.\\t', '*.T*', 'public.t,public.p1', 'no.such' ],
	exclude_tables => [ '*.*', 'public.f', 'public.t', '*.p*' ],
	include_columns => [ '*.*.*', 'public.t.id', 'public.t.name', '*.*.id, public.f.*', '*.*.nothing' ],
	exclude_columns => [ '*.*.name', 'public.f.b', '*.*.id', '*.*.*' ],
	include_generated => [qw(on off yes 0)],
	actions => [ 'insert', 'insert,update', 'truncate , delete', 'insert,insert', '' ],
	origin => [ 'any', 'none', 'nobody', 'x' x 600 ],
	message_prefixes => [ '*', 'a*', '\\*' ],
	map { $_ => [qw(on off true 1 maybe)] } qw(messages streaming two_phase skip_empty debug-mode));
my @bits = ('*', '\\', '"', "'", ',', '.', ' ', '%s', '%n', '$1', "\n", "\t", '(', ')', ';', '--', 'a', '0', '-', 'é', "\x01", ':x', '$$', 'pg_sleep(1)', '${x}', '*.*', '\\\\');

# Random bytes that stand for something in the encoding
sub odd_text
{
	my ($encoding, $max) = @_;
	my $text = join '', map { pick(@bits) } 1 .. rand $max;
	return $text if $encoding eq 'UTF8';
	$text =~ s/\xc3\xa9/\xe9/g if $encoding eq 'LATIN1' || chance(0.5);
	return $text;
}

sub mutated
{
	my ($text, $encoding) = @_;
	my $at = int rand(1 + length $text);
	my $kind = rand;
	return substr($text, 0, $at) if $kind < 0.2;
	return $text . $text if $kind < 0.3;
	return uc $text if $kind < 0.4;
	return $text x (1 + rand 3000) if $kind < 0.45;
	return substr($text, 0, $at) . odd_text($encoding, 5) . substr($text, $at);
}

sub random_name
{
	my ($encoding) = @_;
	my $kind = rand;
	return pick(@names) if $kind < 0.93;
	return mutated(pick(@names), $encoding) if $kind < 0.97;
	return odd_text($encoding, 50);
}

sub random_value
{
	my ($name, $encoding) = @_;
	my $kind = rand;
	my $valid = pick(@{ $valid{$name} // [ 'on', '' ] });
	return $valid if $kind < 0.75;
	return mutated($valid, $encoding) if $kind < 0.88;
	return odd_text($encoding, 30) if $kind < 0.95;
	return odd_text($encoding, 20000) if $kind < 0.97;
	return '' if $kind < 0.98;
	return '*' x 65536 if $kind < 0.99;
	return join ',', ('a*b*c.*x*') x (1 + rand 1500);
}

sub literal
{
	my ($text) = @_;
	# cutting may have left half of a character
	return "'" . $text =~ s/'/''/gr . "'";
}

sub valid_in
{
	my ($text, $encoding) = @_;
	return $encoding ne 'UTF8' || utf8::decode(my $copy = $text);
}

sub random_call
{
	my ($database, $encoding) = @_;
	my $function = pick(qw(pg_logical_slot_peek_changes pg_logical_slot_peek_binary_changes pg_logical_slot_peek_binary_changes));
	my @options;
	push @options, 'format', pick(qw(json text)) if $function !~ /binary/ && chance(0.8);
	for (1 .. rand(chance(0.9) ? 5 : 40))
	{
		my $name = random_name($encoding);
		my $value = random_value($name, $encoding);
		next unless valid_in($name, $encoding) && valid_in($value, $encoding);
		push @options, $name, $value;
	}
	my @literals = map { literal($_) } @options;
	push @literals, 'NULL' if chance(0.02);
	my $slot = $database . (chance(0.5) ? '_2pc' : '');
	return "SELECT count(*) FROM $function('$slot', NULL, NULL" . join('', map { ", $_" } @literals) . ');';
}

my %outcomes;

sub round
{
	my ($seed) = @_;
	srand $seed;
	my $database = pick(sort keys %encodings);
	my $encoding = $encodings{$database};
	my @calls = map { random_call($database, $encoding) } 1 .. $batch;
	# the client's encoding is the database's where the script holds bytes; errors are converted
	my $back = $encoding eq 'SQL_ASCII' ? 'SQL_ASCII' : pick('UTF8', 'LATIN1');
	my $script = "SET client_min_messages = error; SET logical_decoding_work_mem = '64kB';\n";
	for my $i (0 .. $#calls)
	{
		# a statement is converted before it is run, so the call is kept in a function's text
		$script .= "SET client_encoding = '$encoding';\nPREPARE c AS $calls[$i]\nSET client_encoding = '$back';\n"
		  . "EXECUTE c;\n\\echo outcome $i :SQLSTATE\nDEALLOCATE c;\n";
	}
	my ($out, $status) = run_sql($database, $script);
	my $seen = 0;
	while ($out =~ /^outcome (\d+) (\w+)$/mg)
	{
		my ($i, $state) = ($1, $2);
		die "outcome $i stands where $seen should\n" if $i != $seen;
		$seen++;
		$outcomes{ substr $state, 0, 2 }++;
		die "SQLSTATE $state of:\n" . substr($calls[$i], 0, 2000) . "\n" unless $state =~ /^(00000|22...|42...|0A...|55...)$/;
	}
	die "the session ended (status $status) in:\n" . substr($calls[$seen] // '', 0, 2000) . "\n" if $seen != @calls || $status;
	return;
}

setup($_) for sort keys %encodings;
my $rounds = 0;
for (my $seed = $first_seed; time < $end; $seed++)
{
	if (!eval { round($seed); 1 })
	{
		print "options.pl: FAILED with seed $seed: $@";
		print "options.pl: make fuzz SEED=$seed SECONDS=2 does it again\n";
		exit 1;
	}
	$rounds++;
}
print 'options.pl: ', $rounds * $batch, ' calls, by class of SQLSTATE: ', join(', ', map { "$_ $outcomes{$_}" } sort keys %outcomes), ", seeds $first_seed to ", $first_seed + $rounds - 1, "\n";
