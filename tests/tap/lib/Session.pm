# Session.pm -- a psql that stays: a transaction that is open while a test goes on.
package Session;

use strict;
use warnings;
use IPC::Run ();

my $timeout_s = $ENV{PG_TEST_TIMEOUT_DEFAULT} || 60;

sub new
{
	my ($class, $node, $database) = @_;
	my $self = bless { in => '', out => '', err => '', count => 0 }, $class;
	$self->{timer} = IPC::Run::timer($timeout_s);
	$self->{psql} = IPC::Run::start(
		[ 'psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database) ],
		'<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err}, $self->{timer});
	return $self;
}

# Run statements to their end; what they print. Dies when one fails.
sub run
{
	my ($self, $sql) = @_;
	my $mark = 'done ' . ++$self->{count};
	$self->{out} = '';
	$self->{timer}->start($timeout_s);
	$self->{in} .= "$sql;\n\\echo $mark\n";
	while ($self->{out} !~ /^\Q$mark\E\n/m)
	{
		die "psql: $self->{err}" if $self->{timer}->is_expired || !$self->{psql}->pumpable;
		$self->{psql}->pump;
	}
	my $out = $self->{out};
	$out =~ s/^\Q$mark\E\n//m;
	chomp $out;
	return $out;
}

sub quit
{
	my ($self) = @_;
	$self->{in} .= "\\q\n";
	$self->{psql}->finish;
	return;
}

1;
