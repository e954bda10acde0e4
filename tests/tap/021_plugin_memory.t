# The memory of a decoding session does not follow the number of tables there have been, how often
# they were invalidated, or how many changes there were. By hand at full size, about ten minutes:
# PENSTOCK_MEMORY_TABLES=10000 PENSTOCK_MEMORY_CHANGES=10000000 make check-tap PROVE_TESTS=tests/tap/021*
use strict;
use warnings;
use Penstock;
use Test::More;

my $tables = $ENV{PENSTOCK_MEMORY_TABLES} || 500;
my $changes = $ENV{PENSTOCK_MEMORY_CHANGES} || 300000;
$PostgreSQL::Test::Utils::timeout_default = 600 if $changes > 1000000 || $tables > 1000;
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
	drop_slot($source, 'w');
	cmp_ok($kb, '<', $limit_kb, "$name: the walsender has less than $limit_kb kB");
	diag("$name: $kb kB");
	return $kb;
}

SKIP:
{
	skip 'no /proc', 14 unless -r '/proc/self/status';
	my $columns = join ', ', map { "c$_ numeric" } 1 .. 100;
	walsender_kb('4000 dropped tables', qq{DO \$\$ BEGIN FOR i IN 1..4000 LOOP
		CREATE TABLE gone($columns); INSERT INTO gone VALUES (i); DROP TABLE gone; COMMIT; END LOOP; END \$\$}, 35000);
	# the schema's row is one that all descriptions were made from
	$source->safe_psql('postgres', "CREATE SCHEMA many; DO \$\$ BEGIN FOR i IN 1..$tables LOOP
		EXECUTE format('CREATE TABLE many.t%s(id int PRIMARY KEY, a int[], n numeric)', i); COMMIT; END LOOP; END \$\$");
	my $rounds = sub {
		my ($from, $to) = @_;
		return "DO \$\$ BEGIN FOR j IN $from..$to LOOP
			EXECUTE 'ALTER SCHEMA many OWNER TO ' || CASE j % 2 WHEN 0 THEN 'CURRENT_USER' ELSE 'pg_database_owner' END;
			FOR i IN 1..$tables LOOP
				EXECUTE format('INSERT INTO many.t%s VALUES (%s, %L, 1)', i, j, '{1,2}');
				IF i % 500 = 0 THEN COMMIT; END IF;
			END LOOP;
		END LOOP; END \$\$";
	};
	my $few = walsender_kb("$tables tables, invalidated 5 times", $rounds->(1, 5), 50000 + 40 * $tables);
	my $often = walsender_kb("$tables tables, invalidated 50 times", $rounds->(6, 55), 50000 + 40 * $tables);
	cmp_ok($often, '<', $few * 1.1 + 2000, 'invalidations leave nothing behind');
	$source->safe_psql('postgres', 'CREATE TABLE big(id int PRIMARY KEY, t text)');
	my $inserts = sub { "INSERT INTO big SELECT i, 'row ' || i FROM generate_series($_[0], $_[1]) i" };
	walsender_kb('a transaction of 300000 changes', $inserts->(1, 300000), 150000);
	$few = walsender_kb('300000 changes in small transactions', "DO \$\$ BEGIN FOR i IN 1..300 LOOP UPDATE big SET t = t || '.' WHERE id BETWEEN i * 1000 AND i * 1000 + 999; COMMIT; END LOOP; END \$\$", 150000);
	$often = walsender_kb("$changes changes in transactions of 10000", "DO \$\$ BEGIN FOR i IN 1..$changes / 10000 LOOP
		UPDATE big SET t = 'row' WHERE id BETWEEN i % 30 * 10000 AND i % 30 * 10000 + 9999; COMMIT; END LOOP; END \$\$", 150000);
	cmp_ok($often, '<', $few * 1.1 + 5000, 'nor do changes');
}

$source->stop;
done_testing();
