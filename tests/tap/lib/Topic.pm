# Topic.pm -- one subject of replication, applied in two ways: the database NAME_live is fed while
# changes happen, a destination transaction each; NAME_batch afterwards, with everything since the
# last look as one batch. Both must have what the source has.
package Topic;

use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils ();
use Test::More;

# A source and a target that do not keep one waiting for what is durable.
sub servers
{
	my %quick = (wal_writer_delay => '10ms', shared_buffers => '32MB', log_statement => 'none');
	return (source => source_node('source', %quick, max_connections => 50), target => destination_node('target', %quick));
}

# Arguments: name, source and target (nodes), schema (SQL for both sides) or source_schema and
# target_schema; database (of the source), create (options of CREATE DATABASE at the target),
# from and to (appended to the URIs), slot (options of slot create), options (of run), look (settings of the sessions that compare).
sub new
{
	my ($class, %with) = @_;
	my $self = bless {
		database => 'postgres', create => '', from => '', to => '', slot => [], options => [],
		source_schema => $with{schema}, target_schema => $with{schema}, %with
	}, $class;
	$self->write($self->{source_schema}) if $self->{source_schema};
	for my $database ($self->databases)
	{
		$self->{target}->safe_psql('postgres', qq{CREATE DATABASE "$database" $self->{create}});
		_execute($self->{target}, $database, $self->{target_schema}) if $self->{target_schema};
		my ($code, $out, $err) =
		  penstock('slot', 'create', '--source', $self->source_uri, '--slot', $database, @{ $self->{slot} });
		is("$code $err", '0 ', "slot $database") if $code != 0;
	}
	$self->start;
	return $self;
}

sub live       { return $_[0]->{name} . '_live'; }
sub batch      { return $_[0]->{name} . '_batch'; }
sub databases  { return ($_[0]->live, $_[0]->batch); }
sub source_uri { return uri($_[0]->{source}, $_[0]->{database}) . $_[0]->{from}; }

sub arguments
{
	my ($self, $database, @more) = @_;
	return ('run', '--source', $self->source_uri, '--slot', $database,
		'--to', uri($self->{target}, $database) . $self->{to}, @{ $self->{options} }, @more);
}

# Let the live one run (again).
sub start
{
	my ($self) = @_;
	$self->{run} = start_penstock($self->arguments($self->live, '--batch-bytes-max', '0',
		'--progress-interval', '100ms', '--status-interval', '100ms'));
	return $self->{run};
}

# SQL at the source, or at both databases of the target. By way of a file: of a long script through a
# pipe, psql's complaint would be lost.
sub write
{
	my ($self, $sql) = @_;
	return _execute($self->{source}, $self->{database}, $sql);
}

# A few hundred changes: statements of PL/pgSQL, for i up to last, five of these a transaction.
sub write_mix
{
	my ($self, $last, $statements, $first) = @_;
	$first //= 1;
	return $self->write("DO \$mix\$ BEGIN FOR i IN $first .. $last LOOP
		$statements;
		IF i % 5 = 0 THEN COMMIT; END IF; END LOOP; END \$mix\$;");
}

sub at_target
{
	my ($self, $sql) = @_;
	_execute($self->{target}, $_, $sql) for $self->databases;
	return;
}

sub _execute
{
	my ($node, $database, $sql) = @_;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/script.sql";
	unlink $file;
	PostgreSQL::Test::Utils::append_to_file($file, $sql);
	$node->safe_psql($database, "\\i $file");
	return;
}

# All that the source has now as one batch: (exit code, standard error).
sub run_batch
{
	my ($self) = @_;
	my $run = $self->_start_batch;
	return ($run->finish, $run->stderr);
}

sub _start_batch
{
	my ($self) = @_;
	return start_penstock($self->arguments($self->batch, '--until', 'current', '--quiet',
		'--batch-bytes-max', '1GB', '--batch-ms', '60s'));
}

# Has the live one all that the source has now? False once it has ended, too.
sub live_follows
{
	my ($self) = @_;
	my $lsn = $self->{source}->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	my $confirmed = sub {
		return $self->{source}->safe_psql('postgres', "SELECT confirmed_flush_lsn >= '$lsn'
			FROM pg_replication_slots WHERE slot_name = '" . $self->live . "'") eq 't';
	};
	my $follows = 0;
	wait_until(sub { ($follows = $confirmed->()) || $self->{run}->has_ended });
	return $follows;
}

# Tests: everything written has arrived both ways, and the tables (or sub-selects) are equal.
sub arrives
{
	my ($self, $name, @tables) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $batch = $self->_start_batch;
	ok($self->live_follows, "$name: arrives while it happens") or diag($self->{run}->stderr);
	my ($code, $err) = ($batch->finish, $batch->stderr);
	ok($code == 0 && $err eq '', "$name: arrives as a backlog") or diag("exit code $code\n$err");

	# One query for all: rows with the name of their table.
	local $ENV{PGOPTIONS} = $self->{look} // '';
	my $all = join ' UNION ALL ', map { "SELECT \$x\$$_\$x\$, x::text FROM $_ x" } @tables;
	for my $database ($self->databases)
	{
		same_rows($self->{source}, $self->{database}, $self->{target}, $database, "($all)", "$name: rows in $database");
	}
	return;
}

# Tests: both give the same answer to a query, this one.
sub answers
{
	my ($self, $sql, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($self->{target}->safe_psql($_, $sql), $expected, "$name in $_") for $self->databases;
	return;
}

# End the live one: a test that it ends in order. The databases stay.
sub stop
{
	my ($self) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($self->{run}->finish('TERM'), 0, "$self->{name}: the run ends in order") or diag($self->{run}->stderr);
	return;
}

1;
