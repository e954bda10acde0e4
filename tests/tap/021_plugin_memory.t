# The memory of a decoding session does not follow the number of tables there have been, how often
# they were invalidated, or the size of a transaction.
use strict;
use warnings;
use Penstock;
use Test::More;

my $source = source_node('source', fsync => 'off', synchronous_commit => 'off', max_wal_size => '4GB', log_statement => 'none');

# A walsender's own memory after it has streamed what the SQL left in a slot.
sub walsender_kb
{
	my ($name, $sql, $limit_kb) = @_;
	$source->safe_psql('postgres', "SELECT pg_create_logical_replication_slot('w', 'penstock')");
	$source->safe_psql('postgres', $sql);
	my $end = $source->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	my $err = '';
	my $reader = IPC::Run::start([ 'pg_recvlogical', '-d', $source->connstr('postgres'), '--slot', 'w', '--start', '--no-loop',
		'--status-interval', '1', '--file', '/dev/null' ], '2>', \$err);
	ok(wait_confirmed($source, 'w', $end), "$name: all is read");
	my $kb = $source->safe_psql('postgres', q{SELECT substring(pg_read_file('/proc/' || active_pid || '/status') FROM 'RssAnon:\s*(\d+)')
		FROM pg_replication_slots WHERE slot_name = 'w'});
	$reader->signal('INT');
	$reader->finish;
	$source->safe_psql('postgres', "SELECT pg_drop_replication_slot('w')");
	cmp_ok($kb, '<', $limit_kb, "$name: the walsender has less than $limit_kb kB");
	diag("$name: $kb kB");
	return $kb;
}

SKIP:
{
	skip 'no /proc', 6 unless -r '/proc/self/status';
	my $columns = join ', ', map { "c$_ numeric" } 1 .. 100;
	walsender_kb('4000 dropped tables', qq{DO \$\$ BEGIN FOR i IN 1..4000 LOOP
		CREATE TABLE gone($columns); INSERT INTO gone VALUES (i); DROP TABLE gone; COMMIT; END LOOP; END \$\$}, 35000);
	walsender_kb('500 tables, all invalidated 50 times', q{DO $$ BEGIN
		FOR i IN 1..500 LOOP EXECUTE format('CREATE TABLE t%s(id int PRIMARY KEY, a int[], n numeric)', i); COMMIT; END LOOP;
		FOR j IN 1..50 LOOP
			EXECUTE format('CREATE TYPE e%s AS ENUM (%L)', j, 'a');
			FOR i IN 1..500 LOOP EXECUTE format('INSERT INTO t%s VALUES (%s, %L, 1)', i, j, '{1,2}'); END LOOP;
			COMMIT;
		END LOOP; END $$}, 35000);
	walsender_kb('a transaction of 300000 changes', q{CREATE TABLE big(id int PRIMARY KEY, t text);
		INSERT INTO big SELECT i, 'row ' || i FROM generate_series(1, 300000) i}, 150000);
}

$source->stop;
done_testing();
