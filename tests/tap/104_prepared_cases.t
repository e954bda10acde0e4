# Prepared transactions at a destination where somebody else interferes, or that has no room for them.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $target = destination_node('target');
my $poor = destination_node('poor', max_prepared_transactions => 0);
$_->safe_psql('postgres', 'CREATE TABLE t(id int PRIMARY KEY, v text)') for $source, $target, $poor;

sub arguments
{
	my ($slot, $node) = @_;
	return ('run', '--source', uri($source), '--slot', $slot, '--two-phase', '--to', uri($node), '--until', 'current', '--quiet');
}
sub stops
{
	my ($name, $expected, $pattern, @run) = @_;
	my ($code, $out, $err) = penstock(@run);
	is($code, $expected, $name);
	like($err, $pattern, "$name: with the remedy");
	return;
}

for my $slot ('one', 'two')
{
	my ($code, $out, $err) = penstock('slot', 'create', '--source', uri($source), '--slot', $slot, '--two-phase');
	is($code, 0, "slot $slot") or diag($err);
}

$source->safe_psql('postgres', q{BEGIN; INSERT INTO t VALUES (1, 'a'); PREPARE TRANSACTION 'a'; BEGIN; INSERT INTO t VALUES (2, 'b'); PREPARE TRANSACTION 'b'; INSERT INTO t VALUES (3, 'c')});
my ($code, $out, $err) = penstock(arguments('one', $target));
is($code, 0, 'two are prepared') or diag($err);
is($target->safe_psql('postgres', q{SELECT count(*) FROM pg_prepared_xacts WHERE gid ~ '^penstock_one_\d+_\d+$'}), 2, 'under names of ours');
is($target->safe_psql('postgres', 'SELECT count(*) FROM t'), 1, 'and not seen');

# Committed by hand: that is what was to come. Rolled back by hand: its rows would be lost.
my ($a, $b) = split /\n/, $target->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts ORDER BY prepared');
$target->safe_psql('postgres', "COMMIT PREPARED '$a'");
$source->safe_psql('postgres', q{COMMIT PREPARED 'a'});
($code, $out, $err) = penstock(arguments('one', $target));
is($code, 0, 'what was committed there by hand goes on') or diag($err);
$target->safe_psql('postgres', "ROLLBACK PREPARED '$b'");
$source->safe_psql('postgres', q{COMMIT PREPARED 'b'; INSERT INTO t VALUES (4, 'd')});
stops('what was rolled back there by hand', 4, qr/"\Q$b\E" is not there any more.*DELETE FROM penstock.prepared/, arguments('one', $target));
is($target->safe_psql('postgres', 'SELECT count(*) FROM t WHERE id = 4'), 0, 'nothing behind it is applied');
$target->safe_psql('postgres', "INSERT INTO t VALUES (2, 'b'); DELETE FROM penstock.prepared WHERE name = '$b'");
($code, $out, $err) = penstock(arguments('one', $target));
is($code, 0, 'once mended it goes on') or diag($err);
same_rows($source, 'postgres', $target, 'postgres', 't');
is($target->safe_psql('postgres', 'SELECT count(*) FROM penstock.prepared'), 0, 'nothing is left behind');

stops('a server without room for them', 2, qr/could not prepare.*prepared transactions are disabled.*max_prepared_transactions/, arguments('two', $poor));
is($poor->safe_psql('postgres', 'SELECT count(*) FROM t'), 0, 'nothing was applied');

$_->stop for $source, $target, $poor;
done_testing();
