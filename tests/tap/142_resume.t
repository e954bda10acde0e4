# A destination that is resumed is looked at as at the start: its position must fit the slot. Memory
# tables load anew. And the library can do what the socket can.
use strict;
use warnings;
use JSON::PP ();
use Penstock;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $target = destination_node('target');
my $state = "$ENV{TMPDIR}/142_resume";
my $dir = $PostgreSQL::Test::Utils::tmp_check;
my $table = 'CREATE TABLE t(id int PRIMARY KEY, v text)';
mkdir $state;
$source->safe_psql('postgres', $table);
for my $database ('f1', 'f2')
{
	$target->safe_psql('postgres', "CREATE DATABASE $database");
	$target->safe_psql($database, $table);
}

sub start
{
	my ($slot, @more) = @_;
	my $run = start_penstock(
		'run', '--source', uri($source), '--slot', $slot, '--create-slot', '--progress-interval', '200ms',
		'--status-interval', '100ms', '--state-dir', $state, @more);
	$run->wait_for_stderr(qr/streaming from/) or BAIL_OUT('it does not start: ' . $run->stderr);
	return $run;
}

sub ask { return penstock(@_, '--state-dir', $state); }

sub destination
{
	my ($name) = @_;
	my ($code, $out, $err) = ask('status', '--json');
	return {} if $code != 0;
	my ($found) = grep { $_->{name} eq $name } @{ JSON::PP->new->utf8->decode($out)->{destinations} };
	return $found;
}

sub insert { return $source->safe_psql('postgres', "INSERT INTO t SELECT i, 'row ' || i FROM generate_series($_[0], $_[1]) i"); }

sub has
{
	my ($database, $count) = @_;
	return $target->poll_query_until($database, "SELECT count(*) = $count FROM t");
}

# ---- a destination that lost what it had while it was paused ----

my $run = start('s', map { ('--to', "$_=" . uri($target, $_)) } 'f1', 'f2');
insert(1, 10);
ok(has('f1', 10) && has('f2', 10), 'both destinations follow');
is((ask('pause', 'f1'))[0], 0, 'one is paused');
my $position = $target->safe_psql('f1', q{SELECT lsn FROM penstock.progress WHERE slot = 's'});
$target->safe_psql('f1', q{UPDATE penstock.progress SET lsn = '0/1'});
my ($code, $out, $err) = ask('resume', 'f1');
ok(wait_until(sub { destination('f1')->{state} eq 'stopped' }), 'a position before the slot\'s is refused');
like(destination('f1')->{last_error}, qr/but the destination has only what was committed before 0\/1: what lies between is lost/, 'with the reason');
($code, $out, $err) = ask('resume', 'f1');
ok(wait_until(sub { destination('f1')->{state} eq 'stopped' }), 'each time');
is($target->safe_psql('f1', q{SELECT lsn FROM penstock.progress WHERE slot = 's'}), '0/1', 'and nothing moved');
insert(11, 20);
ok(has('f2', 20), 'the other goes on');
$target->safe_psql('f1', "UPDATE penstock.progress SET lsn = '$position'");
is((ask('resume', 'f1'))[0], 0, 'with its position back it is resumed');
ok(has('f1', 20), 'and goes on');
same_rows($source, 'postgres', $target, $_, 't', "$_ is like the source") for 'f1', 'f2';

# The last one that runs is what the process lives for; a paused one may run again.
is((ask('pause', 'f2'))[0], 0, 'one is paused');
$target->safe_psql('f1', q{INSERT INTO t VALUES (21, 'in the way')});
insert(21, 21);
ok(wait_until(sub { destination('f1')->{state} eq 'stopped' }), 'and the other stopped: the process lives');
is((ask('resume', 'f2'))[0], 0, 'until the paused one is resumed');
$target->safe_psql('f2', q{INSERT INTO t VALUES (22, 'in the way')});
insert(22, 22);
is($run->finish, 4, 'and is stopped too: then nothing is left to live for');

# ---- memory tables ----

$run = start('m', '--to', 'memory:', '--dump-tables', "$dir/dump");
insert(101, 110);
$source->safe_psql('postgres', 'DELETE FROM t WHERE id = 1');
is((ask('pause', 'memory'))[0], 0, 'memory tables are paused');
insert(111, 120);
$source->safe_psql('postgres', 'DELETE FROM t WHERE id IN (2, 101)');
is((ask('resume', 'memory'))[0], 0, 'and resumed');
insert(121, 130);
wait_confirmed($source, 'm');
is($run->finish('TERM'), 0, 'the end');
same_dump($source, 'postgres', "$dir/dump", 't');

# ---- the library ----

append_to_file("$dir/pauses.c", q{
#include <stdio.h>
#include <string.h>
#include <penstock/penstock.h>

static int paused;
static int rows;

static void
note(penstock_log_level level, const char *component, const char *text, void *context)
{
	(void) level;
	(void) context;
	if (strcmp(component, "f1") == 0 && strncmp(text, "paused; ", 8) == 0)
		paused = 1;
}

static penstock_status
count(penstock *p, const penstock_event *event, void *context)
{
	(void) context;
	rows += event->kind == PENSTOCK_INSERT;
	if (event->kind == PENSTOCK_INSERT && rows == 10 && penstock_resume(p, NULL) < 0)
		return PENSTOCK_E_BUG;
	return PENSTOCK_OK;
}

int
main(int argc, char **argv)
{
	penstock *p = penstock_new();
	penstock_status status = argc == 3 ? PENSTOCK_OK : PENSTOCK_E_CONFIG;

	penstock_on_log(p, note, NULL);
	if (status < 0 || penstock_set(p, "source", argv[1]) < 0 || penstock_set(p, "slot", "l") < 0 ||
		penstock_set(p, "create_slot", "on") < 0 || penstock_set(p, "to", argv[2]) < 0 ||
		penstock_on_change(p, "t", count, NULL) < 0 || penstock_open(p) < 0)
	{
		fprintf(stderr, "%s\n", penstock_error(p));
		return 1;
	}
	if (penstock_pause(p, "f2") != PENSTOCK_E_CONFIG)
		return 2;
	puts(penstock_error(p));
	if (penstock_pause(p, "f1") < 0)
		return 3;
	while (status >= 0 && !paused)
		status = penstock_step(p, 100);
	puts("paused");
	fflush(stdout);
	while (status >= 0 && status != PENSTOCK_DONE)
	{
		status = penstock_step(p, 100);
		if (rows == 11)
			penstock_stop(p);
	}
	printf("%d rows, %s\n", rows, status == PENSTOCK_DONE ? "done" : penstock_error(p));
	penstock_free(p);
	return 0;
}
});
my ($flags) = run_command([ 'pkg-config', '--cflags', '--libs', 'penstock' ]);
command_ok([ 'cc', '-std=c11', '-Wall', '-Wextra', '-Werror', '-o', "$dir/pauses", "$dir/pauses.c", split(' ', $flags) ],
	'a program that pauses builds without a warning');
local $ENV{LD_LIBRARY_PATH} = $ENV{PENSTOCK_LIBDIR};
$source->safe_psql('postgres', 'TRUNCATE t');
$target->safe_psql('f1', 'TRUNCATE t');
($out, $err) = ('', '');
my $limit = IPC::Run::timeout(60);
my $program = IPC::Run::start([ "$dir/pauses", uri($source), 'f1=' . uri($target, 'f1') ], '<', \undef, '>', \$out, '2>', \$err, $limit);
$program->pump until $out =~ /^paused$/m;
is($target->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'f1'}), 0, 'it has paused its destination');
insert(1, 9);
is($target->safe_psql('f1', 'SELECT count(*) FROM t'), 0, 'which gets nothing then');
insert(10, 10);
ok(has('f1', 10), 'and everything once it is resumed');
insert(11, 11);
$program->finish;
is($err . $out, qq{there is no destination "f2"\npaused\n11 rows, done\n}, 'the program ends well');
same_rows($source, 'postgres', $target, 'f1', 't');

done_testing();
