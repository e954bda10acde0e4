# A destination is away for the length of two gigabytes: they go to disk, the source keeps nothing, and
# when it is back it gets them. PENSTOCK_LONG_MB is another size.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

my $megabytes = $ENV{PENSTOCK_LONG_MB} || 2048;
my $patience_s = 600;
my $state = "$ENV{TESTDIR}/state";
my $source = source_node('source', max_wal_size => '1GB');
my $near = destination_node('near', max_wal_size => '1GB');
my $far = destination_node('far', max_wal_size => '1GB');
my $ddl = 'CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, filler bytea NOT NULL); ALTER TABLE t ALTER filler SET STORAGE EXTERNAL;';
$_->safe_psql('postgres', $ddl) for $source, $near, $far;

# 8000 bytes in which there is nothing to compress.
$source->safe_psql('postgres', q{
	CREATE TABLE pool AS SELECT i, (SELECT string_agg(decode(md5(random()::text || i || j), 'hex'), '') FROM generate_series(1, 500) j) AS filler
	FROM generate_series(0, 255) i});
my $rows = int($megabytes * 1048576 / 8000);

sub since { return sprintf('%.1f', Time::HiRes::time() - $_[0]); }

sub until_true
{
	my ($condition) = @_;
	my $until = Time::HiRes::time() + $patience_s;
	while (Time::HiRes::time() < $until)
	{
		return 1 if $condition->();
		select(undef, undef, undef, 0.2);
	}
	return 0;
}

sub mb { return sprintf('%.0f', $_[0] / 1048576); }

sub bytes_in
{
	my $bytes = 0;
	$bytes += -s $_ // 0 for glob("$state/s/spool/far/*");
	return $bytes;
}

is((penstock('slot', 'create', '--source', uri($source), '--slot', 's'))[0], 0, 'slot created');
my $penstock = start_penstock(
	'run', '--source', uri($source), '--slot', 's', '--state-dir', $state, '--spool-bytes-max', '16GB',
	'--to', 'near=' . uri($near), '--to', 'far=' . uri($far));
ok($penstock->wait_for_stderr(qr/streaming from slot/), 'it runs');
$source->safe_psql('postgres', q{INSERT INTO t VALUES (0, 0, '')});
ok(until_true(sub { $far->safe_psql('postgres', 'SELECT count(*) FROM t') == 1 }), 'both take part');
$far->stop('fast');

my $began = Time::HiRes::time();
$source->safe_psql('postgres', qq{
	DO \$\$ BEGIN
		FOR part IN 0 .. $rows / 1000 LOOP
			INSERT INTO t SELECT g, part, filler FROM generate_series(part * 1000 + 1, least(part * 1000 + 1000, $rows)) g
			JOIN pool ON pool.i = g % 256 ORDER BY g;
			UPDATE t SET n = n + 1 WHERE id % 100 = 0 AND id BETWEEN part * 1000 - 5000 AND part * 1000;
			COMMIT;
		END LOOP;
	END \$\$}, timeout => $patience_s);
my $written = since($began);
my $lsn = $source->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
my $confirmed = "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots";
ok(until_true(sub { $source->safe_psql('postgres', $confirmed) eq 't' }), 'all of it is safe on disk');
my $spooled = since($began);
my $bytes = bytes_in();
cmp_ok($bytes, '>=', $megabytes * 1000000, mb($bytes) . ' MB are on disk');
$source->safe_psql('postgres', 'CHECKPOINT');
my $kept = $source->safe_psql('postgres', 'SELECT pg_current_wal_lsn() - restart_lsn FROM pg_replication_slots');
cmp_ok($kept, '<', 100 * 1048576, 'the source keeps ' . mb($kept) . ' MB for it');

# A new process takes up what the old one has left.
$penstock->kill9;
my $opened = Time::HiRes::time();
$far->start;
$penstock = start_penstock(
	'run', '--source', uri($source), '--slot', 's', '--state-dir', $state, '--spool-bytes-max', '16GB',
	'--to', 'near=' . uri($near), '--to', 'far=' . uri($far));
my $sum = 'SELECT count(*), sum(n), sum(hashtext(filler::text)::bigint) FROM t';
ok(until_true(sub { $far->safe_psql('postgres', 'SELECT count(*) FROM t') == $rows + 1 }), 'it has caught up');
my $caught_up = since($opened);
my ($peak_kb) = slurp_file('/proc/' . $penstock->pid . '/status') =~ /^VmHWM:\s+(\d+) kB/m;
my $expected = $source->safe_psql('postgres', $sum);
ok(until_true(sub { $far->safe_psql('postgres', $sum) eq $expected }), 'and is equal');
is($near->safe_psql('postgres', $sum), $expected, 'as is the one that was never away');
ok(until_true(sub { bytes_in() < 1048576 }), 'the disk is given back');
is($penstock->finish('TERM'), 0, 'it ends in order');
diag("$rows rows, $megabytes MB: written in $written s, all on disk after $spooled s (" . mb($bytes)
	  . " MB in the spool), caught up $caught_up s after the start (" . sprintf('%.0f', $bytes / 1048576 / $caught_up)
	  . " MB/s), peak memory " . sprintf('%.0f', $peak_kb / 1024) . ' MB');
done_testing();
