# Whatever the database's encoding, the stream is UTF-8, or bytes where that cannot be; and a role
# needs no more than REPLICATION to read it.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $connstr = $source->connstr('postgres');

# The events as text, by the helpers of the SQL tests, in a UTF-8 database.
$source->command_ok([ 'psql', '-X', '-q', '-d', $connstr, '-v', 'ON_ERROR_STOP=1', '-f', "$ENV{PENSTOCK_SANDBOX}/tests/regress/sql/00_helpers.sql" ],
	'the helpers are loaded');

sub stream
{
	my ($database, $sql) = @_;
	$source->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$database' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
	$source->safe_psql($database, "SELECT pg_create_logical_replication_slot('$database', 'penstock')");
	$source->safe_psql($database, "SET client_encoding = SQL_ASCII; $sql");
	my $hex = $source->safe_psql($database,
		"SELECT string_agg(encode(data, 'hex'), '' ORDER BY n) FROM pg_logical_slot_get_binary_changes('$database', NULL, NULL) WITH ORDINALITY c(lsn, xid, data, n)");
	drop_slot($source, $database);
	return $source->safe_psql('postgres', "SELECT events(ARRAY['\\x$hex'::bytea])");
}

my $latin1 = stream('latin1', qq{CREATE TABLE "gr\xfcn"("\xe4" text, a text[], m bytea);
	INSERT INTO "gr\xfcn" VALUES ('\xdf ok', '{\xe9,e}', '\\xff'), (repeat('\xdf', 100), NULL, NULL);});
like($latin1, qr/^session protocol \d+ LATIN1:/m, 'the session names the encoding');
like($latin1, qr/^relation 1 public\."gr\xc3\xbcn" .*\("\xc3\xa4"\@1 text/m, 'LATIN1 names are UTF-8');
like($latin1, qr/^insert gr\xc3\xbcn \(\xc3\xa4='\xc3\x9f ok', a='\{\xc3\xa9,e\}', m=\\xff\)$/m, 'LATIN1 values are UTF-8');
like($latin1, qr/='(\xc3\x9f){100}'/, 'a value may grow');

my $ascii = stream('sql_ascii', qq{CREATE TYPE "t\xff" AS ENUM ('\xe9');
	CREATE TABLE "gr\xfcn"("a\xff" text, "a\xfe" text, "\xc3\xa4" text, e "t\xff");
	INSERT INTO "gr\xfcn" VALUES ('\xff', '\xc3\xa4', 'ascii', '\xe9');});
like($ascii, qr/^relation 1 public\."gr\\xfcn" .*\("a\\xff"\@1 text TEXT, "a\\xfe"\@2 text TEXT, "\xc3\xa4"\@3 .*public\."?t\\xff/m,
	'names that are not UTF-8 are made so, and stay different');
like($ascii, qr/\(a\\xff=\\xff, a\\xfe='\xc3\xa4', \xc3\xa4='ascii', e=\\xe9\)/, 'values that are not UTF-8 travel as bytes');

# a role that may do nothing else
$source->safe_psql('postgres', "CREATE ROLE reader LOGIN REPLICATION; CREATE TABLE private(id int PRIMARY KEY, v numeric[]); REVOKE ALL ON private FROM PUBLIC;
	CREATE TYPE secret AS ENUM ('x'); ALTER TABLE private ADD COLUMN s secret; CREATE SCHEMA hidden; REVOKE ALL ON SCHEMA hidden FROM PUBLIC; CREATE TABLE hidden.t(id int);");
my $capture = "$PostgreSQL::Test::Utils::tmp_check/capture";
my @reader = ('pg_recvlogical', '-d', "$connstr user=reader", '--slot', 'reader');
command_ok([ @reader, '--create-slot', '--plugin', 'penstock' ], 'a REPLICATION role creates a slot');
$source->safe_psql('postgres', "INSERT INTO private VALUES (1, '{1.5}', 'x'); INSERT INTO hidden.t VALUES (1)");
# prepared: it comes when it is committed, and not at all if it is not
$source->safe_psql('postgres', "BEGIN; INSERT INTO hidden.t VALUES (2); PREPARE TRANSACTION 'a'; BEGIN; INSERT INTO hidden.t VALUES (3); PREPARE TRANSACTION 'b'; ROLLBACK PREPARED 'b'; COMMIT PREPARED 'a'");
my $end = $source->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
$source->safe_psql('postgres', 'CHECKPOINT');
command_ok([ @reader, '--start', '--endpos', $end, '--no-loop', '--file', $capture, '--option', 'batch_bytes=1' ], 'and reads it');
my $hex = unpack('H*', slurp_file($capture));
my @rows = grep { /^(insert|commit)/ } split /\n/, decode_lines($hex);
is_deeply(\@rows, [ "insert private (id=1, v='{1.5}', s='x')", 'commit', 'insert t (id=1)', 'commit', 'insert t (id=2)', 'commit' ],
	'rows of tables that it may not read, and of a prepared transaction once');

# pg_recvlogical writes a newline after each message: it stands before an event's tag or at the end
sub decode_lines
{
	my ($hex) = @_;
	my $bytes = pack('H*', $hex);
	my ($pos, $events) = (0, '');
	while ($pos < length $bytes)
	{
		if (ord(substr($bytes, $pos, 1)) == 0x0a) { $pos++; next; }
		my ($start, $len, $shift) = ($pos++, 0, 0);
		do { $len |= (ord(substr($bytes, $pos, 1)) & 127) << $shift; $shift += 7; } while (ord(substr($bytes, $pos++, 1)) & 128);
		$pos += $len;
		$events .= substr($bytes, $start, $pos - $start);
	}
	return $source->safe_psql('postgres', "SELECT events(ARRAY['\\x" . unpack('H*', $events) . "'::bytea])");
}
drop_slot($source, 'reader');

$source->stop;
done_testing();
