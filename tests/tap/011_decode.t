# `penstock decode`: what pg_recvlogical saved, with newlines between the messages, is what
# `run --to stdout:` says of the same changes; damage is told apart from data.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $dir = $PostgreSQL::Test::Utils::tmp_check;
my @connection = ('--dbname', $source->connstr('postgres'));

sub write_file
{
	my ($name, $bytes) = @_;
	open(my $file, '>:raw', "$dir/$name") or die $!;
	print $file $bytes;
	close($file) or die $!;
	return "$dir/$name";
}

sub read_bytes
{
	my ($name) = @_;
	open(my $file, '<:raw', $name) or die $!;
	local $/;
	return scalar <$file>;
}

# The end of the WAL, with something behind it, so that pg_recvlogical comes to its end.
sub end_lsn
{
	my $lsn = $source->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	$source->safe_psql('postgres', 'CHECKPOINT');
	return $lsn;
}

# Where each event of a plain Batch ends: tag 0x12, a length as varint, that many bytes.
sub event_ends
{
	my ($bytes) = @_;
	my ($at, @ends) = (0);
	while ($at < length $bytes)
	{
		die "no event at $at" unless ord(substr $bytes, $at++, 1) == 0x12;
		my ($size, $shift, $byte) = (0, 0);
		do
		{
			$byte = ord(substr $bytes, $at++, 1);
			$size |= ($byte & 127) << $shift;
			$shift += 7;
		} while ($byte & 128);
		push @ends, $at += $size;
	}
	return @ends;
}

# One test: exit code 4, one line that matches, and the output that stood before it.
sub damaged
{
	my ($bytes, $pattern, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($code, $out, $err) = penstock('decode', write_file('damaged', $bytes));
	my $good = $code == 4 && $err =~ /^penstock decode: [^\n]*damaged: [^\n]*\n\z/ && $err =~ $pattern
	  && (!defined $expected || $out eq $expected);
	ok($good, $name) or diag("exit code $code\n$err" . length($out) . ' bytes');
	return $out;
}

# ---- the same changes, two ways ----

$source->safe_psql('postgres', q{CREATE TABLE t(id int PRIMARY KEY, name text, raw bytea, n numeric);
	CREATE TABLE whole(a int, b text); ALTER TABLE whole REPLICA IDENTITY FULL});
penstock('slot', 'create', '--source', uri($source), '--slot', $_) for 'by_run', 'by_recvlogical', 'in_parts';

$source->safe_psql('postgres', q{
	INSERT INTO t SELECT i, repeat(chr(10), i % 7) || chr(18) || chr(10) || chr(18) || 'row ' || i,
		decode(repeat('0a12', i % 5), 'hex'), i / 10.0 FROM generate_series(1, 2000) i;
	INSERT INTO whole VALUES (10, chr(10)), (18, chr(18)), (NULL, NULL);
	UPDATE t SET name = NULL WHERE id % 10 = 0;});
my $middle = end_lsn();
$source->safe_psql('postgres', q{
	UPDATE t SET id = -id WHERE id < 20;
	DELETE FROM t WHERE id BETWEEN 100 AND 110;
	UPDATE whole SET b = chr(10) || chr(10);
	DELETE FROM whole;
	TRUNCATE t, whole;
	INSERT INTO t VALUES (10, E'\n', '\x0a', 10), (18, E'\x12', '\x12', 18);});
my $end = end_lsn();

my ($code, $lines, $err) = penstock('run', '--source', uri($source), '--slot', 'by_run', '--to', 'stdout:',
	'--until', $end, '--quiet');
is($code, 0, 'run to standard output') or diag($err);
cmp_ok(length $lines, '>', 100000, 'which says something');

my $piped = `pg_recvlogical --dbname '$connection[1]' --slot by_recvlogical --start --endpos $end --no-loop -f - | tee "$dir/whole" | $ENV{PENSTOCK} decode 2>"$dir/decode.err"`;
is(slurp_file("$dir/decode.err"), '', 'decode of a pipe has nothing to complain of');
ok($piped eq $lines, 'pg_recvlogical -f - | penstock decode equals run --to stdout:');
like(read_bytes("$dir/whole"), qr/\x0a\x12/, 'the capture has newlines before tags');

for my $until ($middle, $end)
{
	command_ok([ 'pg_recvlogical', @connection, '--slot', 'in_parts', '--start', '--endpos', $until,
			'--no-loop', '--file', "$dir/parts" ], "pg_recvlogical until $until");
}
($code, my $out, $err) = penstock('decode', "$dir/parts");
is("$code $err", '0 ', 'a file of two sessions is decoded');
ok($out eq $lines, 'and equals run --to stdout: too');

# ---- --strip ----

my ($stripped_out, $stripped_err) = run_command([ $ENV{PENSTOCK}, 'decode', '--strip', "$dir/parts" ]);
is($stripped_err, '', '--strip has nothing to complain of');
system("$ENV{PENSTOCK} decode --strip '$dir/parts' >'$dir/plain'");
my $plain = read_bytes("$dir/plain");
my @ends = eval { event_ends($plain) };
cmp_ok(scalar @ends, '>', 2000, 'the result is a Batch of events and nothing else');
($code, $out, $err) = penstock('decode', "$dir/plain");
is("$code $err", '0 ', 'it can be decoded');
ok($out eq $lines, 'to the same lines');
system("cat '$dir/plain' | $ENV{PENSTOCK} decode --strip - >'$dir/plain2'");
ok(read_bytes("$dir/plain2") eq $plain, 'stripping it again changes nothing');

# ---- a connection that broke inside of a transaction ----

my $third = substr($plain, 0, $ends[ $#ends / 3 ]);
my $broken = damaged($third, qr/inside of a transaction/, undef, 'a file that ends inside of a transaction');
ok(length $broken > 0 && index($lines, $broken) == 0, 'its whole events are printed');
($code, $out, $err) = penstock('decode', write_file('resumed', $third . $plain));
is("$code $err", '0 ', 'a new session behind a broken one is decoded');
ok($out eq $broken . $lines, 'and the transaction comes again');

# ---- damage ----

for my $cut (1, 2, $ends[0] - 1, $ends[0] + 1, $ends[5] - 1, $ends[-1] - 1)
{
	my $printed = damaged(substr($plain, 0, $cut), qr/at byte \d+: the input ends inside of an event/,
		undef, "cut off at byte $cut");
	ok(index($lines, $printed) == 0, 'what stood before is printed');
}
damaged('hello', qr/at byte 0: .*0x68/, '', 'something else altogether');
damaged(substr($plain, $ends[0]), qr/at byte 0: .*[Ss]ession/, '', 'no Session at the beginning');
damaged(substr($plain, 0, $ends[1]) . "\x00" . substr($plain, $ends[1]), qr/at byte $ends[1]: .*0x00/, undef,
	'a byte too many');
damaged(substr($plain, 0, $ends[1]) . "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", qr/at byte $ends[1]:/,
	undef, 'an endless length');
damaged(substr($plain, 0, $ends[1]) . "\x12\xff\xff\xff\xff\x7f", qr/at byte $ends[1]:/, undef,
	'a length of many GB');
damaged(substr($plain, 0, $ends[1]) . substr($plain, $ends[2]), qr/at byte/, undef, 'an event is missing');

# Any single bit may be wrong: an answer, never a crash.
my $small = substr($plain, 0, $ends[12]);
my ($crashes, $silent) = (0, 0);
for my $i (1 .. 40)
{
	my $bytes = $small;
	my $bit = $i * 7919 % (8 * length $bytes);
	vec($bytes, $bit, 1) ^= 1;
	my ($bad_code, $bad_out, $bad_err) = penstock('decode', write_file('flipped', $bytes));
	$crashes++ if $bad_code != 0 && $bad_code != 4;
	$silent++ if $bad_code == 4 && ($bad_err =~ tr/\n//) != 1;
}
is($crashes, 0, 'no flipped bit crashes it');
is($silent, 0, 'and each complaint is one line');

($code, $out, $err) = penstock('decode', write_file('nothing', ''));
is("$code $out$err", '0 ', 'an empty file is an empty capture');
($code, $out, $err) = penstock('decode', "$dir/does_not_exist");
is($code, 1, 'a file that is missing');
like($err, qr/^penstock decode: could not open .*No such file or directory\n\z/, 'and it says so');
($code, $out, $err) = penstock('decode', "$dir/plain", "$dir/plain");
is($code, 2, 'two files are too many');
($code, $out, $err) = penstock('decode', '--nonsense');
is($code, 2, 'an unknown option');
system("$ENV{PENSTOCK} decode '$dir/plain' >/dev/full 2>'$dir/full.err'");
is($? >> 8, 1, 'output that cannot be written');
like(slurp_file("$dir/full.err"), qr/^penstock decode: .*No space left on device\n\z/, 'is reported once');

$source->stop;
done_testing();
