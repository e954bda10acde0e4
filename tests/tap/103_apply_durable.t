# A position is durable when the destination's WAL is flushed up to it; also where that ends with a
# page, whose successor's header nobody writes before the next record.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $target = destination_node('target', full_page_writes => 'off', checkpoint_timeout => '1h', bgwriter_delay => '10s');
$_->safe_psql('postgres', 'CREATE TABLE t(id int PRIMARY KEY, n int)') for $source, $target;
$source->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('s', 'penstock')});
my $run = start_penstock('run', '--source', uri($source), '--slot', 's', '--to', uri($target), '--progress-interval', '60min');
ok($run->wait_for_stderr(qr/streaming from slot/), 'it runs') or BAIL_OUT($run->stderr);
my $id = 0;

# The destination's WAL in bytes from its beginning, where the next record would begin.
sub wal { return $target->safe_psql('postgres', q{SELECT pg_current_wal_insert_lsn() - '0/0'}); }

# One row, applied: how far the destination's WAL went with it.
sub apply
{
	$id++;
	$source->safe_psql('postgres', "INSERT INTO t VALUES ($id, 0)");
	wait_until(sub { $target->safe_psql('postgres', "SELECT count(*) FROM t WHERE id = $id") == 1 });
	return wal();
}

# Fill up a page so far that the next commit ends with it: found by trying, as a page may be pruned
# or split in between.
my $hit = 0;
apply() for 1 .. 3;
for my $try (1 .. 100)
{
	my $before = wal();
	my $takes = apply() - $before;
	my $room = (-wal() - $takes) % 8192;
	next if $takes > 4000 || $room < 100;
	$target->safe_psql('postgres', "SELECT pg_logical_emit_message(false, '', repeat('x', $room - 56 - " . $try % 8 . '))');
	$hit = apply() % 8192 == 24;
	last if $hit;
}
ok($hit, "a commit that ends with its page, after $id");
my $progress = $target->safe_psql('postgres', 'SELECT lsn FROM penstock.progress');
ok(wait_confirmed($source, 's', $progress), 'becomes durable by itself');
is($run->finish('TERM'), 0, 'and the run ends') or diag($run->stderr);
same_rows($source, 'postgres', $target, 'postgres', 't');

$source->stop;
$target->stop;
done_testing();
