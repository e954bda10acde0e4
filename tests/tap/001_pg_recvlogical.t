# The plugin as pg_recvlogical sees it: it streams Batches, and only where the server allows it.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my @connection = ('--dbname', $source->connstr('postgres'), '--slot', 'tap');
my $capture = "$PostgreSQL::Test::Utils::tmp_check/capture";

$source->safe_psql('postgres', 'CREATE TABLE t(id int PRIMARY KEY, name text)');
command_ok([ 'pg_recvlogical', @connection, '--create-slot', '--plugin', 'penstock' ], 'the slot is created');

$source->safe_psql('postgres', "INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 100) i");
my $end = $source->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
$source->safe_psql('postgres', 'CHECKPOINT');    # something beyond the end, so that it is reached

command_ok([ 'pg_recvlogical', @connection, '--start', '--endpos', $end, '--no-loop', '--file', $capture ],
	'the slot is streamed');
my $bytes = slurp_file($capture);
cmp_ok(length $bytes, '>', 1000, 'the capture holds the rows');
is(ord $bytes, 0x12, 'a capture begins with the tag of Batch.events');
like($bytes, qr/row 100/, 'text values travel as they are');

command_ok([ 'pg_recvlogical', @connection, '--drop-slot' ], 'the slot is dropped');

SKIP:
{
	skip 'the server has no output_plugin_libraries', 1
	  unless `postgres --describe-config` =~ /^output_plugin_libraries\t/m;
	$source->append_conf('postgresql.conf', "output_plugin_libraries = 'pgoutput, test_decoding'");
	$source->restart;
	command_fails_like(
		[ 'pg_recvlogical', @connection, '--create-slot', '--plugin', 'penstock' ],
		qr/may not be used as an output plugin/,
		'a server that does not list the plugin says so');
}

$source->stop;
done_testing();
