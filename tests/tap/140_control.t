# The control socket: who may use it, what it says, what it withstands; and what is asked by it: a
# destination pauses and goes on, also after it has stopped for good.
use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP ();
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = source_node('source');
my $target = destination_node('target');
my $table = 'CREATE TABLE t(id int PRIMARY KEY, v text)';
my $state = "$ENV{TMPDIR}/140_control";
my $socket = "$state/s/control.sock";
$source->safe_psql('postgres', $table);
for my $database ('f1', 'f2')
{
	$target->safe_psql('postgres', "CREATE DATABASE $database");
	$target->safe_psql($database, $table);
}
my @run = (
	'run', '--source', uri($source), '--slot', 's', '--state-dir', $state, '--progress-interval', '200ms',
	'--status-interval', '100ms',
	map { ('--to', "$_=" . uri($target, $_)) } 'f1', 'f2');

sub start
{
	my $run = start_penstock(@run, '--create-slot');
	$run->wait_for_stderr(qr/streaming from/) or BAIL_OUT('it does not start: ' . $run->stderr);
	return $run;
}

# Send bytes as they are; everything that comes back until the other side closes, or `seconds`.
sub raw
{
	my ($bytes, $seconds) = @_;
	my $connection = IO::Socket::UNIX->new(Peer => $socket) or return "could not connect: $!";
	local $SIG{PIPE} = 'IGNORE';
	my $answer = '';
	eval {
		local $SIG{ALRM} = sub { die "alarm\n" };
		alarm($seconds // 5);
		for (my $sent = 0; $sent < length $bytes;)
		{
			my $wrote = syswrite($connection, $bytes, 65536, $sent) or last;
			$sent += $wrote;
		}
		while (sysread($connection, my $part, 65536)) { $answer .= $part; }
		alarm(0);
	};
	alarm(0);
	return $answer;
}

# One request: (HTTP status, decoded body, headers).
sub request
{
	my ($method, $path, $body) = @_;
	$body //= '';
	my $answer = raw("$method $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " . length($body) . "\r\n\r\n$body");
	my ($head, $json) = split /\r\n\r\n/, $answer, 2;
	my ($status) = ($head // '') =~ m{^HTTP/1\.1 (\d+)};
	return ($status // 0, $json ? eval { JSON::PP->new->utf8->decode($json) } : undef, $head);
}

sub destination
{
	my ($name) = @_;
	my ($status, $body) = request('GET', '/v1/status');
	my ($found) = grep { $_->{name} eq $name } @{ $body->{destinations} };
	return $found;
}

sub ask { return penstock(@_, '--state-dir', $state); }

sub sessions
{
	my ($database) = @_;
	return $target->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE datname = '$database'");
}

sub insert { return $source->safe_psql('postgres', "INSERT INTO t SELECT i, 'row ' || i FROM generate_series($_[0], $_[1]) i"); }

# Wait until a destination has as many rows.
sub wait_rows
{
	my ($database, $count) = @_;
	return $target->poll_query_until($database, "SELECT count(*) = $count FROM t");
}

my ($code, $out, $err);

# ---- nobody there ----

($code, $out, $err) = ask('status');
is($code, 3, 'without a state directory nobody answers');
mkdir $state;
chmod 0700, $state;
($code, $out, $err) = ask('status');
is($code, 3, 'nor in an empty one');
like($err, qr/^penstock status: nothing runs with state directory /, 'and that is said');
($code, $out, $err) = penstock('pause');
is($code, 2, 'no state directory is a mistake');

# ---- who may use it ----

my $run = start();
is(sprintf('%o', (stat $socket)[2] & 07777), '600', 'the socket is its owner\'s');
is(sprintf('%o', (stat "$state/s")[2] & 07777), '700', 'and so is its directory');

my ($status, $body, $head) = request('GET', '/v1/status');
is($status, 200, 'status');
like($head, qr{^Content-Type: application/json}m, 'is JSON');
is($body->{source}{slot}, 's', 'of this slot');
ok($body->{source}{connected}, 'which is connected');
is_deeply([ map { "$_->{name} $_->{kind}" } @{ $body->{destinations} } ], [ 'f1 postgresql', 'f2 postgresql' ], 'with its destinations');
ok(wait_until(sub { (request('GET', '/v1/status'))[1]{ready} }), 'and it gets ready');

refuses('a second consumer with this state directory and slot', 4, qr/another penstock/, @run, '--until', 'current');
is((request('GET', '/v1/status'))[0], 200, 'the first one still answers');

# ---- what it withstands ----

my $long = 'x' x 100_000;
my @hostile = (
	[ 'garbage', "\x00\xff\x16\x03\x01\r\n\r\n", qr{^(HTTP/1\.[01] 4\d\d|$)} ],
	[ 'a path of 100 kB', "GET /$long HTTP/1.1\r\nHost: x\r\n\r\n", qr{^(HTTP/1\.[01] 4\d\d|$)} ],
	[ 'a header of 100 kB', "GET /v1/status HTTP/1.1\r\nHost: x\r\nX: $long\r\n\r\n", qr{^(HTTP/1\.[01] 4\d\d|$)} ],
	[ 'a body that is announced as too large', "POST /v1/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", qr{^HTTP/1\.1 413 .*"status":413}s ],
	[ 'a negative length', "POST /v1/pause HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", qr{^(HTTP/1\.[01] 4\d\d|$)} ],
	[ 'a body that turns out to be too large', "POST /v1/nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n$long\r\n0\r\n\r\n", qr{^(HTTP/1\.[01] 4\d\d|$)} ],
	[ 'the same where there is something', "POST /v1/destinations/nobody/pause HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n$long\r\n0\r\n\r\n", qr{^(HTTP/1\.[01] 4\d\d|$)} ],
	[ 'a name that is a path', "POST /v1/destinations/..%2f..%2fetc/pause HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", qr{^HTTP/1\.1 404 } ],
	[ 'a name with a NUL', "POST /v1/destinations/f1%00/pause HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", qr{^HTTP/1\.1 404 } ],
	[ 'a name that is no UTF-8', "POST /v1/destinations/%ff%c3/pause HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", qr{^HTTP/1\.1 404 .*"error":}s ],
	[ 'a name without end', "POST /v1/destinations/" . ('n' x 500) . "/pause HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", qr{^HTTP/1\.1 404 } ],
	[ 'a name that is formatted', "POST /v1/destinations/%25s%25n/pause HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", qr{^HTTP/1\.1 404 .*%s%n}s ],
	[ 'another method', "DELETE /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", qr{^HTTP/1\.1 405 .*^Allow: GET\r}ms ],
	[ 'HEAD', "HEAD /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", qr{^HTTP/1\.1 200 .*\r\n\r\n$}s ],
	[ 'a path that does not exist', "GET /v2/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", qr{^HTTP/1\.1 404 .*"status":404}s ],
);
like(raw($_->[1], 1), $_->[2], $_->[0]) for @hostile;
my @half = map { IO::Socket::UNIX->new(Peer => $socket) } 1 .. 10;
syswrite($_, 'GET /v1/sta') for @half;
is((request('GET', '/v1/status'))[0], 200, 'it answers while ten others have not finished asking');
close $_ for @half;
ok($run->is_running && destination('f1')->{state} eq 'streaming' && destination('f2')->{state} eq 'streaming', 'nothing of all that had an effect');

# ---- pausing ----

insert(1, 100);
ok(wait_rows('f1', 100) && wait_rows('f2', 100), 'both have what was written');
($code, $out, $err) = ask('pause', 'f1');
is($code, 0, 'pause') or diag($err);
like($out, qr{^f1 +paused +at [0-9A-F]+/[0-9A-F]+\n$}, 'tells how it is');
is(destination('f1')->{state}, 'paused', 'and so does the status');
is(sessions('f1'), 0, 'its connections were given back');
ok((request('GET', '/v1/status'))[1]{ready}, 'somebody wants it so: that is ready');
insert(101, 200);
ok(wait_rows('f2', 200), 'the other goes on');
is($target->safe_psql('f1', 'SELECT count(*) FROM t'), 100, 'and the paused one stays as it is');
my $before = $source->safe_psql('postgres', q{SELECT confirmed_flush_lsn FROM pg_replication_slots});
ok( $source->safe_psql('postgres', "SELECT '$before'::pg_lsn <= '" . destination('f1')->{durable_lsn} . "'::pg_lsn") eq 't',
	'the slot waits for the paused one');
($code, $out, $err) = ask('pause', 'f1');
is($code, 0, 'a pause is paused already');
($code, $out, $err) = ask('resume', 'f1');
is($code, 0, 'resume') or diag($err);
insert(201, 300);
ok(wait_rows('f1', 300), 'it has what it missed, and what came then');
same_rows($source, 'postgres', $target, $_, 't', "$_ is like the source") for 'f1', 'f2';

# All at once, while transactions go on.
my $writer = IPC::Run::start(
	[ 'psql', '-X', '-q', '-d', $source->connstr('postgres'), '-c', q{DO $$ BEGIN FOR i IN 1001 .. 3000 LOOP INSERT INTO t VALUES (i, 'w'); COMMIT; END LOOP; END $$} ],
	'<', \undef);
for my $round (1 .. 3)
{
	($code, $out, $err) = ask('pause');
	is($code, 0, "round $round: pause all") or diag("$out$err");
	is(sessions('f1') + sessions('f2'), 0, "round $round: all connections were given back");
	($code, $out, $err) = ask('resume');
	is($code, 0, "round $round: resume all") or diag("$out$err");
}
$writer->finish;
wait_confirmed($source, 's');
same_rows($source, 'postgres', $target, $_, 't', "$_ is like the source after three pauses") for 'f1', 'f2';

($code, $out, $err) = ask('pause', 'f3');
is($code, 2, 'a destination that there is not');
is($err, qq{penstock pause: there is no destination "f3"\n}, 'and that is said');
($status, $body) = request('POST', '/v1/destinations/f3/resume');
is($status, 404, 'by HTTP too');
is($body->{status}, 404, 'and in its body');

# ---- stopped for good, and mended ----

$target->safe_psql('f1', q{INSERT INTO t VALUES (5000, 'in the way')});
insert(5000, 5010);
ok(wait_until(sub { destination('f1')->{state} eq 'stopped' }), 'a row that is rejected stops a destination');
like(destination('f1')->{last_error}, qr/duplicate key/, 'and the status says why');
ok(wait_rows('f2', 2311), 'the other goes on');
($status, $body) = request('GET', '/v1/status');
ok(!$body->{ready}, 'that is not ready');
is_deeply($body->{reasons}, ['destination f1 is stopped'], 'for this reason');
($code, $out, $err) = ask('status');
is($code, 0, 'penstock status');
like($out, qr{^not ready\n  destination f1 is stopped\nslot s: .*\nf1 +stopped +at .*duplicate key.*\nf2 +streaming +at .*\n$}, 'is for people');
unlike($out . $err . JSON::PP->new->encode($body), qr/in the way|5000/, 'no row is shown');
ask('resume', 'f1');
ok(wait_until(sub { destination('f1')->{state} eq 'stopped' }), 'what was not mended stops again');
$target->safe_psql('f1', 'DELETE FROM t WHERE id = 5000');
($code, $out, $err) = ask('resume', 'f1');
is($code, 0, 'resume after mending') or diag("$out$err");
ok(wait_rows('f1', 2311), 'it goes on');
wait_confirmed($source, 's');
same_rows($source, 'postgres', $target, $_, 't', "$_ is like the source") for 'f1', 'f2';

($code, $out, $err) = ask('tables', 'list');
is($code, 0, 'tables list');
like($out, qr/^public\.t +f1 +streaming +\d+ .*\npublic\.t +f2 +streaming +\d+ /m, 'has each table at each destination');

# ---- ends ----

ask('pause', 'f1');
is($run->finish('TERM'), 0, 'a paused one does not hold back the end');
ok(!-e $socket, 'the socket is gone');
$run = start();
$run->kill9;
ok(-S $socket, 'a kill leaves the socket');
($code, $out, $err) = ask('status');
is($code, 3, 'to which nobody listens');
$run = start();
is((ask('status'))[0], 0, 'the next run replaces it');
is($run->finish('TERM'), 0, 'and ends well');
append_to_file($socket, 'mine');
refuses('something else of that name', 2, qr/there is something else of that name/, @run);
is(slurp_file($socket), 'mine', 'is left alone');

# ---- while it is starting ----

my $mute = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or BAIL_OUT("listen: $!");
unlink $socket;
$run = start_penstock('run', '--source', 'host=127.0.0.1 port=' . $mute->sockport, '--slot', 's', '--state-dir', $state, '--to', 'stdout:');
ok(wait_until(sub { -S $socket && (request('GET', '/v1/status'))[0] == 200 }), 'it can be asked while its source does not answer');
($status, $body) = request('GET', '/v1/status');
ok(!$body->{ready} && !$body->{source}{connected}, 'and is not ready');
like($body->{reasons}[0], qr/^it is starting/, 'for this reason');
($code, $out, $err) = ask('status');
is($code, 0, 'penstock status') or diag($err);
like($out, qr/^not ready\n  it is starting/, 'says so too');
$run->kill9;

# ---- a path longer than the address of a socket ----

my $deep = "$state/" . join('/', ('d' x 60) x 3);
system('mkdir', '-p', $deep) == 0 or BAIL_OUT('mkdir');
$run = start_penstock('run', '--source', uri($source), '--slot', 's', '--state-dir', $deep, '--to', 'f1=' . uri($target, 'f1'), '--to', 'f2=' . uri($target, 'f2'));
ok(wait_until(sub { (penstock('status', '--state-dir', $deep, '--slot', 's'))[0] == 0 }), 'a long path');
is($run->finish('TERM'), 0, 'ends well too');

done_testing();
