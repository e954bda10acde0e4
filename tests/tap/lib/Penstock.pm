# Penstock.pm -- what the TAP tests share: servers with the plugin, runs of the program with a
# time limit, and comparison of tables. Nothing here outlives the test file that uses it.
package Penstock;

use strict;
use warnings;
use Exporter 'import';
use File::Basename ();

# A folder for each test file: several run at once. PostgreSQL::Test reads these when it is loaded,
# TESTDIR up to 15, the other two from 16 on.
BEGIN
{
	$ENV{TESTDIR} = ($ENV{TESTDIR} // '.') . '/' . File::Basename::basename($0, '.t');
	$ENV{TESTDATADIR} = "$ENV{TESTDIR}/tmp_check";
	$ENV{TESTLOGDIR} = "$ENV{TESTDIR}/log";
	mkdir $ENV{TESTDIR};
}

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();
use Test::More;

our @EXPORT = qw(
  source_node destination_node uri
  penstock start_penstock refuses
  wait_confirmed wait_until released drop_slot rows same_rows same_dump
);

my $timeout_s = $ENV{PG_TEST_TIMEOUT_DEFAULT} || 60;
my @running;
my $run_count = 0;

# Servers before the minor releases of August 2026 have no such setting.
sub _server_knows
{
	my ($setting) = @_;
	my $known = `postgres --describe-config`;
	return $known =~ /^$setting\t/m;
}

sub _node
{
	my ($name, $conf, %init) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(extra => [ '--encoding=UTF8', '--no-locale' ], %init);
	$node->append_conf('postgresql.conf', "$_ = '$conf->{$_}'") for sort keys %$conf;
	$node->start;
	return $node;
}

# A running server that has the plugin and allows it. Further settings as pairs; those given win.
sub source_node
{
	my ($name, %conf) = @_;
	my %all = (
		max_wal_senders => 20,
		max_replication_slots => 20,
		max_prepared_transactions => 10,
		autovacuum => 'off',
		%conf);
	$all{output_plugin_libraries} //= 'pgoutput, test_decoding, penstock, decoderbufs'
	  if _server_knows('output_plugin_libraries');
	return _node($name, \%all, allows_streaming => 'logical');
}

# A running server of the ordinary kind.
sub destination_node
{
	my ($name, %conf) = @_;
	# What is committed is soon durable there, which the end of a run waits for.
	return _node($name, { max_prepared_transactions => 10, autovacuum => 'off', wal_writer_delay => '10ms', %conf });
}

# The node's database as a postgresql:// URI.
sub uri
{
	my ($node, $database) = @_;
	return sprintf('postgresql:///%s?host=%s&port=%d', $database // 'postgres', $node->host, $node->port);
}

# Wait until no walsender has a slot any more: one may outlive its client for a moment.
sub released
{
	my ($node, $slot) = @_;
	return $node->poll_query_until('postgres', "SELECT bool_and(active_pid IS NULL) FROM pg_replication_slots WHERE slot_name = '$slot'");
}

sub drop_slot
{
	my ($node, $slot) = @_;
	released($node, $slot);
	$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('$slot')");
	return;
}

# Run the program to its end: (exit code, stdout, stderr). A run past the limit is killed and fails
# the test; its exit code is then -1, as it is for a run that died of a signal.
sub penstock
{
	my (@args) = @_;
	my ($out, $err) = ('', '');
	my $limit = IPC::Run::timeout($timeout_s);
	my $handle = IPC::Run::start([ $ENV{PENSTOCK}, @args ], '<', \undef, '>', \$out, '2>', \$err, $limit);
	unless (eval { $handle->finish; 1 })
	{
		die $@ unless $limit->is_expired;
		$handle->kill_kill;
		fail("penstock $args[0] ends within $timeout_s s");
		diag($err);
		return (-1, $out, $err);
	}
	my $result = $handle->full_result(0);
	return ($result & 127 ? -1 : $result >> 8, $out, $err);
}

# One test: the program ends with this exit code, and its one complaint, on one line, matches. What
# it logs about its normal course does not count.
sub refuses
{
	my ($name, $code, $pattern, @args) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($got, $out, $err) = penstock(@args);
	my @complaints = grep { !/^penstock: info: / && !/^Try "/ } split /\n/, $err;
	my $good = $got == $code && @complaints == 1 && $complaints[0] =~ /^penstock/ && $complaints[0] =~ $pattern;
	return ok($good, $name) || diag("exit code $got\n$err");
}

# Start the program and let it run: an object with the methods below. It is killed when the test
# ends, if not before.
sub start_penstock
{
	my (@args) = @_;
	$run_count++;
	my $base = "$PostgreSQL::Test::Utils::tmp_check/penstock_$run_count";
	my $self = bless { out => "$base.out", err => "$base.err", args => \@args }, 'Penstock::Run';
	$self->{handle} =
	  IPC::Run::start([ $ENV{PENSTOCK}, @args ], '<', \undef, '>', $self->{out}, '2>', $self->{err});
	push @running, $self;
	return $self;
}

# Wait until the slot's confirmed LSN has reached lsn (the source's present one if not given).
sub wait_confirmed
{
	my ($source, $slot, $lsn) = @_;
	$lsn //= $source->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
	return $source->poll_query_until('postgres',
		"SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots WHERE slot_name = '$slot'");
}

# Call a function ten times a second until it is true; false after the time limit.
sub wait_until
{
	my ($condition) = @_;
	for (1 .. $timeout_s * 10)
	{
		return 1 if $condition->();
		select(undef, undef, undef, 0.1);
	}
	return 0;
}

# All rows of a table as text, in order.
sub rows
{
	my ($node, $database, $table) = @_;
	return $node->safe_psql($database, "SELECT whole_row::text FROM $table whole_row ORDER BY 1");
}

# One test: the table has the same rows in both databases.
sub same_rows
{
	my ($node_a, $database_a, $node_b, $database_b, $table, $name) = @_;
	return _same_lines(
		rows($node_b, $database_b, $table),
		rows($node_a, $database_a, $table),
		$name // "$table is equal in " . $node_a->name . ' and ' . $node_b->name);
}

# One test: the lines of a table in a file of `run --dump-tables` are the table's rows. PostgreSQL
# itself reads the JSON, each value by way of its text.
sub same_dump
{
	my ($node, $database, $file, $table, $name) = @_;
	my ($schema, $relname) = $table =~ /\./ ? split(/\./, $table, 2) : ('public', $table);
	my $values = $node->safe_psql($database, qq{
		SELECT string_agg(format('(line->''row''->>%L)::%s', attname,
			format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
		FROM pg_attribute
		WHERE attrelid = '$schema.$relname'::regclass AND attnum > 0 AND NOT attisdropped});
	my $dumped = $node->safe_psql($database, qq{
		CREATE TEMPORARY TABLE dump(line json);
		\\copy dump FROM '$file' WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')
		SELECT ROW($values)::text FROM dump
		WHERE line->>'schema' = '$schema' AND line->>'table' = '$relname' ORDER BY 1;});
	return _same_lines($dumped, rows($node, $database, $table), $name // "$table is equal in memory");
}

sub _same_lines
{
	my ($got, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 2;    # the test file's line
	my @got = split /\n/, $got;
	my @expected = split /\n/, $expected;
	my %count;
	$count{$_}++ for @expected;
	$count{$_}-- for @got;
	my @different = grep { $count{$_} } sort keys %count;
	return pass("$name (" . @expected . ' rows)') if !@different;

	fail($name);
	diag(scalar(@expected) . ' rows expected, ' . scalar(@got) . ' found');
	diag(($count{$_} > 0 ? 'missing:    ' : 'unexpected: ') . $_) for splice(@different, 0, 10);
	return 0;
}

END
{
	my $exit_code = $?;
	$_->kill9 for @running;
	$? = $exit_code;
}

package Penstock::Run;

use strict;
use warnings;
use PostgreSQL::Test::Utils ();

sub pid    { return $_[0]->{handle}->{KIDS}->[0]->{PID}; }
sub stdout { return PostgreSQL::Test::Utils::slurp_file($_[0]->{out}); }
sub stderr { return PostgreSQL::Test::Utils::slurp_file($_[0]->{err}); }

sub is_running
{
	my ($self) = @_;
	return !$self->{finished} && $self->{handle}->pumpable;
}

# Has the program itself ended, whether or not anybody has looked at its exit code?
sub has_ended
{
	my ($self) = @_;
	my $stat = eval { PostgreSQL::Test::Utils::slurp_file('/proc/' . $self->pid . '/stat') };
	return !defined $stat || $stat =~ /\) Z /;
}

sub signal
{
	my ($self, $signal) = @_;
	return kill $signal, $self->pid;
}

# End it at once, as the kernel would.
sub kill9
{
	my ($self) = @_;
	return if $self->{finished};
	$self->signal('KILL');
	eval { $self->{handle}->finish; };
	$self->{finished} = 1;
	return;
}

# Wait for its end (after sending a signal, if one is given); the exit code, or -1 if it died of a
# signal, or had to be killed at the time limit.
sub finish
{
	my ($self, $signal) = @_;
	$self->signal($signal) if $signal;
	if (!Penstock::wait_until(sub { $self->has_ended }))
	{
		$self->kill9;
		return -1;
	}
	$self->{handle}->finish;
	$self->{finished} = 1;
	my $result = $self->{handle}->full_result(0);
	return $result & 127 ? -1 : $result >> 8;
}

# Wait until a pattern stands in its standard error.
sub wait_for_stderr
{
	my ($self, $pattern) = @_;
	return Penstock::wait_until(sub { -e $self->{err} && $self->stderr =~ $pattern });
}

1;
