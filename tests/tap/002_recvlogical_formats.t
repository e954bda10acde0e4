# What pg_recvlogical makes of every format: files that hold the same events, errors that leave the
# slot usable, reconnects that lose nothing, and progress where nothing is sent.
use strict;
use warnings;
use JSON::PP ();
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source', logical_decoding_work_mem => '64kB', wal_sender_timeout => '20s');
my $connstr = $source->connstr('postgres');
my $tmp = $PostgreSQL::Test::Utils::tmp_check;
my $version = $source->safe_psql('postgres', q{SELECT current_setting('server_version_num')::int});

sub recvlogical
{
	my ($slot, @args) = @_;
	return [ 'pg_recvlogical', '-d', $connstr, '--slot', $slot, @args ];
}

sub create_slot
{
	my ($slot, @args) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return command_ok(recvlogical($slot, '--create-slot', '--plugin', 'penstock', @args), "slot $slot is created");
}

sub end_slot
{
	my ($slot) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($source->poll_query_until('postgres', "SELECT NOT active FROM pg_replication_slots WHERE slot_name = '$slot'"), "slot $slot is free");
	return command_ok(recvlogical($slot, '--drop-slot'), "slot $slot is dropped");
}

# A position up to which all there is will be read, since there is something beyond.
sub end_of_wal
{
	my $end = $source->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	$source->safe_psql('postgres', 'CHECKPOINT');
	return $end;
}

sub options_of { return map { ('--option', $_) } @_; }

# Stream a slot to a file up to a position: the file.
sub capture
{
	my ($slot, $end, @options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $file = "$tmp/" . join('_', $slot, map { s/\W+/-/gr } @options);
	unlink $file;
	command_ok(recvlogical($slot, '--start', '--no-loop', '--endpos', $end, '--file', $file, options_of(@options)), "$slot is streamed: @options");
	return $file;
}

sub decoded
{
	my ($file) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($code, $out, $err) = penstock('decode', '--schema', $file);
	is("$code $err", '0 ', "$file decodes");
	return $out;
}

# Every line of a json file is one object: the list of them.
sub objects
{
	my ($file) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $json = JSON::PP->new->utf8;
	my $text = slurp_file($file);
	my @objects = map { eval { $json->decode($_) } // $_ } split /\n/, $text;
	is(scalar(grep { ref ne 'HASH' || !defined $_->{op} } @objects), 0, 'every line is an object');
	is(substr($text, -1), "\n", 'the last line is whole') if length $text;
	return @objects;
}

# One test: two texts of many lines are the same; only the first difference is shown.
sub same_text
{
	my ($got, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return pass($name) if $got eq $expected;
	my @got = split /\n/, $got;
	my @expected = split /\n/, $expected;
	fail($name);
	for my $i (0 .. ($#got > $#expected ? $#got : $#expected))
	{
		next if ($got[$i] // '') eq ($expected[$i] // '');
		diag("line $i: got " . ($got[$i] // '(none)') . "\nexpected " . ($expected[$i] // '(none)'));
		last;
	}
	return 0;
}

# ---- the same events in every format ----

my @streamed = ('streaming=on', 'messages=on');
create_slot($_) for qw(native json text binary native_streamed json_streamed text_streamed);

$source->safe_psql('postgres', $_) for (
	q{CREATE TYPE mood AS ENUM ('sad', 'so "so"'); CREATE TYPE pair AS (a int, b text)},
	q{CREATE TABLE "Odd ""Name"(id int PRIMARY KEY, "T\t" text, n numeric(12,2), f float8, ts timestamptz, d date, u uuid, j jsonb,
		b bytea, a text[], m mood, p pair, r int4range, i interval, doubled int GENERATED ALWAYS AS (id * 2) STORED);
	CREATE TABLE whole(a int, b text); ALTER TABLE whole REPLICA IDENTITY FULL; CREATE TABLE none(a int);
	CREATE TABLE toasted(id int PRIMARY KEY, big text, small text)},
	q{INSERT INTO "Odd ""Name" VALUES (1, E'a\nb\t"\\\\ é 😀', 12.50, 0.1, '2026-01-02 03:04:05.6+02', 'infinity',
		'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": [1, null]}', '\x00ff', '{a,NULL,"b c"}', 'so "so"', '(1,"x,y")', '[1,5)', '1 mon 2 days'),
		(2, '', 'NaN', '-Infinity', '-infinity', '0044-03-15 BC', NULL, 'null', '', '{}', 'sad', '(,)', 'empty', '-1s')},
	q{BEGIN; UPDATE "Odd ""Name" SET id = 3 WHERE id = 1; SAVEPOINT a; DELETE FROM "Odd ""Name" WHERE id = 2; ROLLBACK TO a;
		INSERT INTO whole VALUES (1, 'x'), (2, NULL); UPDATE whole SET b = 'y'; DELETE FROM whole WHERE a = 1; INSERT INTO none VALUES (1); DELETE FROM none; COMMIT},
	q{INSERT INTO toasted SELECT 1, string_agg(md5(i::text), ''), 'a' FROM generate_series(1, 1000) i},
	q{UPDATE toasted SET small = 'b'},
	q{SELECT pg_logical_emit_message(true, 'pre', 'tx'), pg_logical_emit_message(false, 'pre', '\x00ff'::bytea)},
	q{BEGIN; INSERT INTO whole VALUES (9, 'gone'); ROLLBACK},
	q{ALTER TABLE whole ADD COLUMN c int DEFAULT 7; UPDATE whole SET a = a + 1; TRUNCATE none, whole RESTART IDENTITY},
	q{BEGIN; INSERT INTO toasted SELECT i, 's', 'row ' || i FROM generate_series(2, 2000) i; SAVEPOINT a; UPDATE toasted SET small = 'undone'; ROLLBACK TO a;
		SAVEPOINT b; UPDATE toasted SET small = small || '!' WHERE id < 1500; RELEASE b; COMMIT},
	q{BEGIN; INSERT INTO toasted SELECT i, 's', 'never' FROM generate_series(5000, 7000) i; ROLLBACK},
	q{DELETE FROM toasted WHERE id < 1000});
my $end = end_of_wal();

my $native = decoded(capture('native', $end, 'messages=on'));
my $json_file = capture('json', $end, 'format=json', 'messages=on');
same_text($native, slurp_file($json_file), 'native, decoded, is what json says');
my @objects = objects($json_file);
my %ops;
$ops{ $_->{op} }++ for @objects;
is($ops{begin}, $ops{commit}, 'transactions are whole');
cmp_ok($ops{$_} // 0, '>', 0, "there is $_") for qw(insert update delete truncate message relation);
my ($row) = grep { $_->{op} eq 'insert' && $_->{new}->{id} == 1 } @objects;
is($row->{new}->{"T\\t"}, "a\nb\t\"\\ \x{e9} \x{1f600}", 'texts are themselves') or diag(explain($row));
my $text = slurp_file(capture('text', $end, 'format=text', 'messages=on'));
my @text = split /\n/, $text;
is(scalar @text, scalar @objects, 'text has a line for each of them');
is(scalar(grep { !/^(BEGIN|COMMIT|MESSAGE|TRUNCATE|public\.(.*): (TABLE|INSERT|UPDATE|DELETE))/ } @text), 0, 'of a known kind');
is(scalar(grep { / INSERT / } @text), $ops{insert}, 'inserts are inserts');

# decoderbufs, whose bytes are looked at elsewhere
my $debug = slurp_file(capture('binary', $end, 'format=decoderbufs', 'debug-mode=on'));
is(scalar(() = $debug =~ /^txid\[\d+\], .*, op\[0\]$/mg), $ops{insert}, 'decoderbufs has as many inserts');
$source->safe_psql('postgres', q{INSERT INTO toasted VALUES (9000)});
like(slurp_file(capture('binary', end_of_wal(), 'format=decoderbufs')), qr/^\x08.*public\.toasted/s, 'its first message begins with the transaction');
end_slot('binary');

my $streamed = decoded(capture('native_streamed', $end, @streamed));
$json_file = capture('json_streamed', $end, @streamed, 'format=json');
same_text($streamed, slurp_file($json_file), 'the same of streamed transactions');
%ops = ();
$ops{ $_->{op} }++ for objects($json_file);
cmp_ok($ops{$_} // 0, '>', 0, "there is $_") for qw(stream_start stream_stop stream_abort stream_commit);
$text = slurp_file(capture('text_streamed', $end, @streamed, 'format=text'));
like($text, qr/^STREAM START first$/m, 'and as text');
like($text, qr/^STREAM COMMIT$/m, 'to its end');
end_slot($_) for qw(native_streamed json_streamed text_streamed);

# ---- the end in the middle of a backlog ----

my @positions;
for my $i (1 .. 6)
{
	$source->safe_psql('postgres', "INSERT INTO none VALUES ($i)");
	push @positions, $source->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
}
$end = end_of_wal();
for my $slot (qw(native json text))
{
	my @options = $slot eq 'native' ? () : ("format=$slot");
	my $first = slurp_file(capture($slot, $positions[2], @options));
	my $rest = slurp_file(capture($slot, $end, @options));
	($first, $rest) = map { append_to_file("$tmp/part", ''); unlink "$tmp/part"; append_to_file("$tmp/part", $_); decoded("$tmp/part") } $first, $rest
	  if $slot eq 'native';
	is_deeply([ sort { $a <=> $b } "$first$rest" =~ /(?:"a":|\(a=)(\d)/g ], [ 1 .. 6 ], "$slot: both parts together are all, once");
	is_deeply([ "$first" =~ /(?:"a":|\(a=)(\d)/g ], [ 1 .. 3 ], "$slot: the first part ends where it shall");
}

# ---- mistakes ----

my @mistakes = (
	[ qr/unrecognized option "nonsense" of output plugin penstock/, 'nonsense=1' ],
	[ qr/unrecognized option "Format"/, 'Format=json' ],
	[ qr/invalid value "jsonb" for option "format".*\n.*native, json, text/, 'format=jsonb' ],
	[ qr/invalid value "-1" for option "batch_bytes"/, 'batch_bytes=-1' ],
	[ qr/invalid value "maybe" for option "streaming"/, 'streaming=maybe' ],
	[ qr/invalid value "public" for option "include_tables".*\n.*too few names/, 'include_tables=public' ],
	[ qr/invalid value "a.b.c" for option "include_tables".*\n.*too many names/, 'include_tables=a.b.c' ],
	[ qr/invalid value "a,,b" for option "publications"/, 'publications=a,,b' ],
	[ qr/invalid value "" for option "origin"/, 'origin=' ],
	[ qr/client reads protocol versions 3 to 1000/, 'protocol_min=3', 'protocol_max=1000' ],
	[ qr/"protocol_min" \(2\) is greater than "protocol_max" \(1\)/, 'protocol_min=2', 'protocol_max=1' ],
	[ qr/needs protocol version 2, but 1 is agreed on/, 'protocol_max=1', 'streaming=on' ],
	[ qr/option "two_phase" is on, but replication slot/, 'two_phase=on' ],
	[ qr/"message_prefixes" is given, but "messages" is not on/, 'message_prefixes=a' ],
	[ qr/option "batch_bytes" of output plugin penstock is given twice/, 'batch_bytes=1', 'batch_bytes=1' ]);
for my $mistake (@mistakes)
{
	my ($pattern, @options) = @$mistake;
	command_fails_like(recvlogical('native', '--start', '--no-loop', '--file', '-', options_of(@options)), $pattern, "refused: @options");
}
$source->safe_psql('postgres', q{INSERT INTO none VALUES (7)});
like(decoded(capture('native', end_of_wal())), qr/"new":\{"a":7\}/, 'the slot is as usable as before');
unlike(slurp_file($source->logfile), qr/PANIC|terminated by signal/, 'and the server never went down');

# ---- prepared transactions ----

SKIP:
{
	skip 'pg_recvlogical --two-phase is of PostgreSQL 15', 10 if $version < 150000;
	create_slot($_, '--two-phase') for 'native_2pc', 'json_2pc';
	$source->safe_psql('postgres', $_) for (
		q{BEGIN; INSERT INTO none VALUES (10); PREPARE TRANSACTION 'kept "é"'},
		q{BEGIN; INSERT INTO none SELECT generate_series(20, 3000); SAVEPOINT a; INSERT INTO whole VALUES (1); ROLLBACK TO a; PREPARE TRANSACTION 'large'},
		q{BEGIN; INSERT INTO none VALUES (11); PREPARE TRANSACTION 'undone'},
		q{ROLLBACK PREPARED 'undone'}, q{COMMIT PREPARED 'kept "é"'}, q{INSERT INTO none VALUES (12)}, q{COMMIT PREPARED 'large'});
	$end = end_of_wal();
	my $json_2pc = capture('json_2pc', $end, 'two_phase=on', 'streaming=on', 'format=json');
	same_text(decoded(capture('native_2pc', $end, 'two_phase=on', 'streaming=on')), slurp_file($json_2pc), 'native, decoded, is what json says of prepared transactions');
	is_deeply([ map { $_->{op} . (defined $_->{gid} ? " $_->{gid}" : '') } grep { $_->{op} =~ /prepare|^(begin|commit)$/ } objects($json_2pc) ],
		[ "begin_prepare kept \"\x{e9}\"", "prepare kept \"\x{e9}\"", 'stream_prepare large', 'begin_prepare undone', 'prepare undone',
			'rollback_prepared undone', "commit_prepared kept \"\x{e9}\"", 'begin', 'commit', 'commit_prepared large' ],
		'their parts come in order');
	end_slot($_) for 'native_2pc', 'json_2pc';
}

# ---- messages ----

$source->safe_psql('postgres', q{SELECT pg_logical_emit_message(i % 2 = 0, CASE WHEN i < 4 THEN 'mine.' ELSE 'theirs.' END || i, 'content ' || i) FROM generate_series(1, 6) i});
$end = end_of_wal();
is_deeply([ slurp_file(capture('text', $end, 'format=text', 'messages=on', 'message_prefixes=mine\\.*')) =~ /^MESSAGE.*/gm ],
	[ q{MESSAGE 'mine.1' 'content 1'}, q{MESSAGE 'mine.3' 'content 3'}, q{MESSAGE transactional 'mine.2' 'content 2'} ], 'messages by prefix');
unlike(slurp_file(capture('json', $end, 'format=json')), qr/"op":"message"/, 'no messages unless asked for');
is(slurp_file(capture('native', $end)) =~ /content/, '', 'nor in native');

# ---- a walsender that ends in the middle ----

# It stops while pg_recvlogical does, which keeps it from sending all: so it is in the middle.
my %reader;
for my $slot (qw(native json))
{
	my $file = "$tmp/reconnect_$slot";
	my $err = "$file.err";
	$reader{$slot} = { file => $file, handle => IPC::Run::start(
			recvlogical($slot, '--start', '--status-interval', '1', '--fsync-interval', '1', '--file', $file,
				options_of($slot eq 'native' ? 'batch_bytes=1000' : 'format=json')), '>', "$file.out", '2>', $err) };
}
$source->safe_psql('postgres', q{CREATE TABLE counted(id int PRIMARY KEY, filler text); INSERT INTO counted SELECT i, repeat('x', 20) FROM generate_series(1, 1000) i});
for my $slot (keys %reader)
{
	ok(wait_until(sub { -s $reader{$slot}->{file} }), "$slot: the reader has begun");
	kill 'STOP', $reader{$slot}->{handle}->{KIDS}->[0]->{PID};
}
$source->safe_psql('postgres', q{INSERT INTO counted SELECT i, repeat('x', 100) FROM generate_series(1001, 60000) i});
$source->safe_psql('postgres', qq{INSERT INTO counted VALUES ($_, '')}) for 60001 .. 60010;
for my $slot (keys %reader)
{
	ok($source->poll_query_until('postgres', q{SELECT wait_event = 'WalSenderWriteData' FROM pg_replication_slots JOIN pg_stat_activity ON pid = active_pid WHERE slot_name = '} . $slot . q{'}),
		"$slot: the walsender waits in the middle of a transaction");
	$source->safe_psql('postgres', "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '$slot'");
	kill 'CONT', $reader{$slot}->{handle}->{KIDS}->[0]->{PID};
}
$source->safe_psql('postgres', q{INSERT INTO counted VALUES (60011, 'last')});
my $last = $source->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
for my $slot (keys %reader)
{
	ok(wait_confirmed($source, $slot, $last), "$slot: the reader has come back and read all");
	$reader{$slot}->{handle}->signal('INT');
	$reader{$slot}->{handle}->finish;
	like(slurp_file("$reader{$slot}->{file}.err"), qr/disconnected; waiting/, "$slot: there was a disconnection");
	my $content = $slot eq 'native' ? decoded($reader{$slot}->{file}) : slurp_file($reader{$slot}->{file});
	my (%committed, @pending);
	my $broken = 0;
	for my $line (split /\n/, $content)
	{
		if ($line =~ /^\{"op":"begin"/) { $broken++ if @pending; @pending = (); }
		elsif ($line =~ /^\{"op":"insert".*"table":"counted","new":\{"id":(\d+)/) { push @pending, $1; }
		elsif ($line =~ /^\{"op":"commit"/) { $committed{$_}++ for @pending; @pending = (); }
		else { JSON::PP->new->utf8->decode($line); }
	}
	is($broken, 1, "$slot: one transaction was cut off, and begins anew");
	is(scalar keys %committed, 60011, "$slot: every row of a committed transaction is there");
}
end_slot($_) for qw(native json text);

# ---- progress where nothing is sent ----

create_slot($_) for qw(filtered empty);
my %idle = (filtered => [ 'include_tables=public.other' ], empty => [ 'format=json', 'streaming=on', 'include_tables=public.other' ]);
for my $slot (keys %idle)
{
	my $file = "$tmp/idle_$slot";
	$idle{$slot} = { file => $file, handle => IPC::Run::start(
			recvlogical($slot, '--start', '--no-loop', '--status-interval', '1', '--fsync-interval', '1', '--file', $file, options_of(@{ $idle{$slot} })), '2>', "$file.err") };
}

sub pids { return $source->safe_psql('postgres', q{SELECT string_agg(active_pid::text, ',' ORDER BY slot_name) FROM pg_replication_slots}); }

sub progresses
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $lsn = $source->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
	for my $slot (sort keys %idle)
	{
		ok(wait_confirmed($source, $slot, $lsn), "$name: $slot moves on");
		is(-s $idle{$slot}->{file} // 0, 0, "$name: $slot is sent nothing");
	}
}

ok($source->poll_query_until('postgres', 'SELECT count(active_pid) = 2 FROM pg_replication_slots'), 'both are connected');
$source->safe_psql('postgres', q{ALTER SYSTEM SET wal_sender_timeout = '1s'; SELECT pg_reload_conf()});
my $pids = pids();
$source->safe_psql('postgres', qq{INSERT INTO none VALUES ($_)}) for 1 .. 20;
progresses('filtered transactions');
$source->safe_psql('postgres', 'SELECT pg_current_xact_id(); CREATE TABLE x(); DROP TABLE x; BEGIN; INSERT INTO none VALUES (1); ROLLBACK');
progresses('empty transactions');
$source->safe_psql('postgres', q{CREATE TABLE long(id int PRIMARY KEY, t text); INSERT INTO long SELECT i, repeat('x', 50) FROM generate_series(1, 300000) i});
progresses('a transaction of 300000 filtered changes');
is(pids(), $pids, 'all of that in the same connections');
unlike(slurp_file($source->logfile), qr/due to replication timeout/, 'no connection timed out');
$_->{handle}->signal('INT'), $_->{handle}->finish for values %idle;
end_slot($_) for qw(filtered empty);

$source->stop;
done_testing();
