# --origin=none leaves out what was itself replicated to the source.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source', logical_decoding_work_mem => '64kB');
my $follower = destination_node('follower');
$_->safe_psql('postgres', 'CREATE TABLE t (id int PRIMARY KEY)') for $source, $follower;
my @from = ('--source', uri($source));
my @until = ('--until', 'current');
is((penstock('slot', 'create', @from, '--slot', $_))[0], 0, "slot $_") for qw(any none);

$source->safe_psql('postgres', q{
	INSERT INTO t VALUES (1);
	SELECT pg_replication_origin_create('elsewhere');
	SELECT pg_replication_origin_session_setup('elsewhere');
	INSERT INTO t VALUES (2);
	INSERT INTO t SELECT generate_series(1000, 3000);
	SELECT pg_replication_origin_session_reset();
	INSERT INTO t SELECT generate_series(4000, 6000);});

refuses('another word', 2, qr/option origin: "some"/, 'run', @from, '--slot', 'any', '--origin', 'some', '--to', uri($follower));
my ($code, undef, $err) = penstock('run', @from, '--slot', 'any', '--to', uri($follower), @until);
is($code, 0, 'any') or diag($err);
same_rows($source, 'postgres', $follower, 'postgres', 't');
$follower->safe_psql('postgres', 'TRUNCATE t');
($code, undef, $err) = penstock('run', @from, '--slot', 'none', '--origin', 'none', '--to', uri($follower), @until);
is($code, 0, 'none') or diag($err);
is($follower->safe_psql('postgres', 'SELECT count(*), min(id), max(id) FROM t WHERE id <> 1'),
	'2001|4000|6000', 'only what the source has written itself');
refuses('a changed origin is a changed filter', 4, qr/list of tables has changed, or --origin/,
	'run', @from, '--slot', 'none', '--to', uri($follower), @until);

done_testing();
