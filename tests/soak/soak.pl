#!/usr/bin/perl
# soak.pl URI LOG SECONDS SEED -- for so long, readers with different options follow a server on which everything
# happens at once; some of them are cut off again and again, the others must not grow. In the end
# every stream must give what the tables hold.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../fuzz/lib";
use IPC::Open3 ();
use POSIX ();
use Replay qw(actual_tables difference);
use Schema qw(pick chance);

my ($uri, $log, $seconds, $seed) = @ARGV;
my $tmp = "$ENV{TMPDIR}/soak";
my $start = time;
my $keys = 1500;
my $lag_max = 8 * 1024 * 1024;
my (@writers, %reader);
my $failed = 0;
$| = 1;
mkdir $tmp;

sub say_it { printf "soak: %3d s: %s\n", time - $start, join '', @_; return; }
sub complain { $failed++; say_it('FAILED: ', @_); return; }

sub slurp
{
	my ($path, $offset) = @_;
	open my $file, '<:raw', $path or die "$path: $!";
	seek $file, $offset, 0 if $offset;
	local $/ = undef;
	return scalar(<$file>) // '';
}

# psql's standard output. A writer's statements may fail, for they meet each other; ours may not.
sub sql
{
	my ($text, %options) = @_;
	my $script = "$tmp/script.$$";
	open my $file, '>:raw', $script or die "$script: $!";
	print $file $text;
	close $file;
	my $stop = $options{may_fail} ? '' : '-v ON_ERROR_STOP=1';
	my $status = system("psql -X -A -t -q $stop -d '$uri' -f '$script' >'$script.out' 2>'$script.err'");
	my $errors = slurp("$script.err");
	die "psql ended with $status: $errors" if $options{may_fail} ? $status != 0 && $errors =~ /server closed|starting up|recovery mode/ : $status != 0;
	return slurp("$script.out") =~ s/\n\z//r;
}

# ---- what happens on the server ----

my $setup = q{
	SET client_min_messages = error;
	CREATE SCHEMA soak;
	CREATE TYPE soak.mood AS ENUM ('sad', 'happy');
	CREATE TYPE soak.pair AS (a int, b text);
	CREATE TABLE soak.t1(k int PRIMARY KEY, v text, n numeric(12,2), a int[], m soak.mood);
	CREATE TABLE soak.t2(k int PRIMARY KEY, v text, p soak.pair, j jsonb, big text); ALTER TABLE soak.t2 REPLICA IDENTITY FULL;
	CREATE TABLE soak.t3(k int NOT NULL, v text NOT NULL, ts timestamptz, f float8); CREATE UNIQUE INDEX t3_key ON soak.t3(v, k);
	CREATE UNIQUE INDEX t3_k ON soak.t3(k); ALTER TABLE soak.t3 REPLICA IDENTITY USING INDEX t3_key;
	CREATE TABLE soak.filtered(k int PRIMARY KEY, v text, secret text);
	CREATE TABLE soak.part(k int PRIMARY KEY, v text, b bytea) PARTITION BY RANGE (k);
	CREATE TABLE soak.low PARTITION OF soak.part FOR VALUES FROM (MINVALUE) TO (700);
	CREATE TABLE soak.high(b bytea, gone int, v text, k int NOT NULL); ALTER TABLE soak.high DROP COLUMN gone;
	ALTER TABLE soak.part ATTACH PARTITION soak.high FOR VALUES FROM (700) TO (MAXVALUE);
	SELECT format('CREATE TABLE soak.many%s(k int PRIMARY KEY, v text, m soak.mood)', i) FROM generate_series(1, 100) i \gexec
	CREATE PUBLICATION soak_root FOR TABLE soak.part WITH (publish_via_partition_root);
	CREATE PUBLICATION soak_extra FOR TABLE soak.t1;};
my $row_filter = q{CREATE PUBLICATION soak_some FOR TABLE soak.filtered (k, v) WHERE (k % 2 = 0)};

my %values = (
	't1' => sub { "'v" . int(rand 1000) . "', " . int(rand 1000) . '.5, ARRAY[1, NULL, ' . int(rand 9) . "], 'happy'" },
	't2' => sub { "'é''" . int(rand 1000) . "', '(1,x)', '{\"a\": 1.50}', " . (chance(0.1) ? "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 100) i)" : "'small'") },
	't3' => sub { "'v" . int(rand 1000) . "', now(), random()" },
	'filtered' => sub { "'v" . int(rand 1000) . "', 'secret'" },
	'part' => sub { "'v" . int(rand 1000) . "', '\\x00ff'" });
my %columns = (t1 => 'k, v, n, a, m', t2 => 'k, v, p, j, big', t3 => 'k, v, ts, f', filtered => 'k, v, secret', part => 'k, v, b');
my $number = 0;

sub statement
{
	my $table = pick(sort keys %values);
	my $k = int rand $keys;
	my $kind = rand;
	return "INSERT INTO soak.$table($columns{$table}) VALUES ($k, " . $values{$table}->() . ") ON CONFLICT DO NOTHING;\n" if $kind < 0.4;
	return "UPDATE soak.$table SET v = 'u" . int(rand 1000) . "' WHERE k BETWEEN $k AND " . ($k + rand 5) . ";\n" if $kind < 0.6;
	return "UPDATE soak.$table SET k = " . int(rand $keys) . " WHERE k = $k;\n" if $kind < 0.7;
	return "DELETE FROM soak.$table WHERE k BETWEEN $k AND " . ($k + rand 3) . ";\n" if $kind < 0.85;
	return 'INSERT INTO soak.many' . int(1 + rand 100) . " VALUES ($k, 'x', 'sad') ON CONFLICT (k) DO UPDATE SET v = 'y';\n" if $kind < 0.95;
	# enough for a part of a stream
	return "INSERT INTO soak.$table($columns{$table}) SELECT i, " . $values{$table}->() . " FROM generate_series($k, $k + 200) i ON CONFLICT DO NOTHING;\n" if $kind < 0.98;
	return "SELECT pg_logical_emit_message(" . pick(qw(true false)) . ", 'soak', repeat('x', " . int(rand 2000) . ')) \g /dev/null' . "\n";
}

sub write_transaction
{
	my ($id) = @_;
	my $sql = "BEGIN;\n";
	my $depth = 0;
	for (1 .. 1 + rand 6)
	{
		my $kind = rand;
		if ($kind < 0.15) { $depth++; $sql .= "SAVEPOINT s$depth;\n"; }
		elsif ($kind < 0.25 && $depth) { $sql .= "ROLLBACK TO s$depth;\n"; }
		else { $sql .= statement(); }
	}
	my $end = rand;
	return "${sql}ROLLBACK;\n" if $end < 0.15;
	return "${sql}COMMIT;\n" if $end < 0.85;
	my $gid = "gid $id " . ++$number;
	return "${sql}PREPARE TRANSACTION '$gid';\n" . (chance(0.3) ? 'SELECT pg_sleep(0.01) \g /dev/null' . "\n" : '') . pick('COMMIT', 'COMMIT', 'ROLLBACK') . " PREPARED '$gid';\n";
}

# Changes to tables, and all rows of a changed one anew, since its new values do not come by themselves.
sub ddl_transaction
{
	my $table = pick(qw(t1 t2 t3 filtered));
	my $column = 'c' . ++$number;
	my $touch = "UPDATE soak.$table SET v = v;";
	my $many = int(1 + rand 100);
	return pick(
		"BEGIN; ALTER TABLE soak.$table ADD COLUMN $column int DEFAULT $number; $touch COMMIT;",
		"ALTER TABLE soak.$table ADD COLUMN $column text;",
		"SELECT format('ALTER TABLE soak.$table DROP COLUMN %I', attname) FROM pg_attribute WHERE attrelid = 'soak.$table'::regclass AND attname ~ '^c[0-9]' ORDER BY attnum LIMIT 2 \\gexec",
		"SELECT format('ALTER TABLE soak.$table DROP COLUMN %I', attname) FROM pg_attribute WHERE attrelid = 'soak.$table'::regclass AND attname ~ '^c[0-9]' ORDER BY attnum LIMIT 2 \\gexec",
		"BEGIN; ALTER TABLE soak.t1 ALTER COLUMN n TYPE numeric(" . int(12 + rand 5) . ",2); UPDATE soak.t1 SET v = v; COMMIT;",
		"BEGIN; ALTER TABLE soak.t2 ALTER COLUMN big TYPE " . pick('varchar', 'text') . "; UPDATE soak.t2 SET v = v; ROLLBACK;",
		"ALTER TYPE soak.mood ADD VALUE 'mood $number';",
		"ALTER TYPE soak.mood RENAME VALUE 'sad' TO 'sad';",
		"ALTER TABLE soak.t1 REPLICA IDENTITY " . pick('FULL', 'DEFAULT') . ';',
		"ALTER TABLE soak.t2 REPLICA IDENTITY " . pick('FULL', 'DEFAULT') . ';',
		"ALTER TABLE soak.t3 REPLICA IDENTITY " . pick('FULL', 'USING INDEX t3_key', 'USING INDEX t3_k') . ';',
		"BEGIN; CREATE TABLE soak.extra$number(k int PRIMARY KEY, v text); INSERT INTO soak.extra$number SELECT i, repeat('x', i % 50) FROM generate_series(1, 200) i; DELETE FROM soak.extra$number WHERE k % 3 = 0; COMMIT;",
		"BEGIN; CREATE TABLE soak.never(k int PRIMARY KEY); INSERT INTO soak.never SELECT generate_series(1, 2000); ROLLBACK;",
		q{SELECT format('DROP TABLE soak.%I', relname) FROM pg_class WHERE relname ~ '^extra' AND relkind = 'r' ORDER BY oid LIMIT 2 \gexec},
		"ALTER TABLE soak.many$many RENAME TO renamed; ALTER TABLE soak.renamed RENAME TO many$many;",
		"ALTER PUBLICATION soak_extra " . pick('ADD', 'DROP', 'SET') . ' TABLE soak.t3;',
		"ALTER PUBLICATION soak_extra SET (publish = '" . pick('insert', 'insert, update, delete, truncate') . "');",
		"BEGIN; DROP PUBLICATION soak_extra; CREATE PUBLICATION soak_extra FOR TABLE soak.t1; COMMIT;",
		"CREATE TYPE soak.other$number AS (a int); DROP TYPE soak.other$number;",
		'DO $$ BEGIN FOR i IN 1..100 LOOP EXECUTE format($q$ALTER TABLE soak.many%s SET (fillfactor = %s)$q$, i, 50 + i % 50); END LOOP; END $$;',
		'TRUNCATE soak.many' . $many . ', soak.part;',
		'VACUUM FULL soak.t1;',
		'REINDEX TABLE soak.t3; ANALYZE soak.t2;') . "\n";
}

# A process that writes until it is told to stop, and pauses while the readers are behind.
sub writer
{
	my ($id, $transaction, $batch) = @_;
	my $pid = fork // die "fork: $!";
	if ($pid) { push @writers, $pid; return; }
	srand $seed + $id;
	until (-e "$tmp/stop")
	{
		select undef, undef, undef, 0.3;
		next if -e "$tmp/pause";
		sql("SET lock_timeout = '2s';\n" . join('', map { $transaction->($id) } 1 .. $batch), may_fail => 1);
	}
	POSIX::_exit(0);
}

# ---- readers ----

my %options = (
	steady => [ 'streaming=on', 'two_phase=on', 'messages=on' ],
	cut => [ 'streaming=on', 'two_phase=on', 'messages=on' ],
	json => ['format=json'],
	small => [ 'batch_bytes=0', 'streaming=on' ],
	text => [ 'format=text', 'include_tables=soak.t*, soak.many*, soak.low', 'exclude_tables=soak.t3', 'exclude_columns=soak.t2.big, soak.*.c*', 'messages=on', 'actions=insert,update,delete' ],
	published => ['publications=soak_some,soak_root,soak_extra,soak_none']);
my @cut_off = qw(cut json);

sub start_reader
{
	my ($name) = @_;
	my @args = ('pg_recvlogical', '-d', $uri, '--slot', $name, '--start', '--status-interval', '1', '--fsync-interval', '1', '--file', "$tmp/$name", map { ('--option', $_) } @{ $options{$name} });
	open my $err, '>>', "$tmp/$name.err" or die $!;
	open my $null, '<', '/dev/null' or die $!;
	$reader{$name} = IPC::Open3::open3('<&' . fileno $null, '>&' . fileno $err, '>&' . fileno $err, @args);
	return;
}

# kB of a walsender by memory context, as its log tells. More WAL comes, so that it looks.
sub contexts
{
	my ($pid) = @_;
	my $offset = -s $log;
	sql("SELECT pg_log_backend_memory_contexts($pid) \\g /dev/null");
	for (1 .. 600)
	{
		sql('SELECT pg_logical_emit_message(true, $$wake$$, $$$$) \g /dev/null');
		select undef, undef, undef, 0.1;
		my $text = join "\n", grep { /\[$pid\]/ } split /\n/, slurp($log, $offset);
		next unless $text =~ /Grand total: (\d+)/;
		my %kb = (all => $1 / 1024, penstock => 0);
		$kb{top} = $1 / 1024 if $text =~ /TopMemoryContext: (\d+) total/;
		while ($text =~ /level: \d+; (penstock [^:]*): (\d+) total/g) { $kb{penstock} += $2 / 1024; $kb{$1} += $2 / 1024; }
		return \%kb;
	}
	die "walsender $pid does not tell its memory\n";
}

sub pids { return map { split /\|/ } split /\n/, sql('SELECT slot_name, active_pid FROM pg_replication_slots WHERE active'); }

sub memory
{
	my %pids = pids();
	return map { $_ => { pid => $pids{$_}, kb => contexts($pids{$_}) } } grep { my $name = $_; $pids{$name} && !grep { $name eq $_ } @cut_off } sort keys %options;
}

sub compare_memory
{
	my ($middle, $end) = @_;
	for my $name (sort keys %$end)
	{
		my ($before, $after) = ($middle->{$name}, $end->{$name});
		if (!$before || $before->{pid} != $after->{pid}) { complain("$name has lost its connection"); next; }
		say_it(sprintf 'memory of %-9s kB, middle to end: penstock %d to %d, TopMemoryContext %d to %d, all %d to %d', $name, map { ($before->{kb}->{$_}, $after->{kb}->{$_}) } qw(penstock top all));
		# PostgreSQL itself leaks some 50 bytes for each prepared transaction that is decoded
		my $leaked = $name eq 'steady' ? $seconds : 0;
		my %allowed = (penstock => 1.3 * $before->{kb}->{penstock} + 1024, top => 1.3 * $before->{kb}->{top} + 256 + $leaked, all => 1.3 * $before->{kb}->{all} + 8192 + $leaked);
		for (sort keys %allowed) { complain("$name grows: $_") if $after->{kb}->{$_} > $allowed{$_}; }
	}
	return;
}

# ---- the end ----

sub wait_for_readers
{
	my ($limit) = @_;
	my $lsn = sql('SELECT pg_logical_emit_message(true, $$end$$, $$$$) \g /dev/null' . "\nSELECT pg_current_wal_lsn()");
	my $until = time + $limit;
	while (time < $until)
	{
		return 1 if sql("SELECT count(*) FROM pg_replication_slots WHERE confirmed_flush_lsn < '$lsn'") eq '0';
		sleep 1;
	}
	complain('not all is read after ', $limit, ' s: ', sql('SELECT slot_name, active, confirmed_flush_lsn, pg_current_wal_lsn() FROM pg_replication_slots') =~ s/\n/, /gr);
	return 0;
}

sub replayed
{
	my ($name) = @_;
	# of the tables of soak_extra not all actions come
	my $replay = Replay->new(key => 'k', null_added => 1, only => $name eq 'published' ? qr/ s:(filtered|part)$/ : undef);
	my $handle;
	if ($name eq 'json') { open $handle, '<:raw', "$tmp/$name" or die "$name: $!"; }
	else { open $handle, '-|:raw', $ENV{PENSTOCK}, 'decode', '--schema', "$tmp/$name" or die "penstock: $!"; }
	$replay->handle($handle);
	close $handle or die "penstock decode ended with $?\n";
	return $replay;
}

sub compare
{
	my ($name, $tables, $roots) = @_;
	my $replay = replayed($name);
	my $compared = 0;
	for my $table ($name eq 'published' ? grep { $_->{name} =~ /\.(filtered|part)$/ } values %$roots : values %$tables)
	{
		my %mine = %$table;
		my $keep;
		if ($mine{name} eq 'soak.filtered' && $name eq 'published')
		{
			$mine{attnums} = [ 1, 2 ];
			$mine{lines} = [ map { /^(n:\d*[02468] \| .*?) \| / ? $1 : () } @{ $mine{lines} // [] } ];
		}
		my $difference = difference($replay, \%mine);
		complain("$name: $difference") if $difference;
		$compared += @{ $mine{lines} // [] };
	}
	say_it(sprintf '%-9s %d lines, %d transactions, %d cut off; %d rows of the tables are equal', $name, $replay->{line}, $replay->{transactions} // 0, $replay->{cut_off} // 0, $compared);
	return;
}

sub compare_text
{
	my $bad = 0;
	my $lines = 0;
	open my $file, '<:raw', "$tmp/text" or die "text: $!";
	while (<$file>)
	{
		$lines++;
		complain("text: line $lines: $_") if !/^(BEGIN|COMMIT|MESSAGE( transactional)? '|soak\.(t[12]|many\d+|low|renamed): (TABLE|INSERT|UPDATE|DELETE))/ && ++$bad <= 5;
		complain("text: line $lines has an excluded column: $_") if /[( ](big|c\d+)=/ && ++$bad <= 5;
	}
	say_it("text      $lines lines");
	return;
}

# Each in a process of its own, so many at a time; their complaints are ours.
sub in_parallel
{
	my ($at_once, @jobs) = @_;
	my %running;
	while (@jobs || %running)
	{
		while (@jobs && keys %running < $at_once)
		{
			my ($name, $job) = @{ shift @jobs };
			my $pid = fork // die "fork: $!";
			if ($pid) { $running{$pid} = $name; next; }
			$failed = 0;
			eval { $job->(); 1 } or complain("$name: $@");
			POSIX::_exit($failed ? 1 : 0);
		}
		my $pid = wait;
		$failed++ if delete $running{$pid} && $?;
	}
	return;
}

# ---- all of it ----

sub run
{
	my $version = sql('SHOW server_version_num');
	say_it("seed $seed, PostgreSQL $version, assertions ", sql('SHOW debug_assertions'));
	sql($setup);
	if ($version >= 150000) { sql($row_filter); }
	else { delete $options{published}; }
	sql(join '', map { "SELECT pg_create_logical_replication_slot('$_', 'penstock', false, " . (grep({ $_ eq 'two_phase=on' } @{ $options{$_} }) ? 'true' : 'false') . ") \\g /dev/null\n" } sort keys %options);
	start_reader($_) for sort keys %options;
	writer($_, \&write_transaction, 40) for 1 .. 2;
	writer(3, \&ddl_transaction, 3);

	my (%middle, $terminated);
	my $next_cut = time + 8;
	while (time < $start + $seconds)
	{
		sleep 1;
		my $lag = sql('SELECT max(pg_current_wal_lsn() - confirmed_flush_lsn) FROM pg_replication_slots');
		if ($lag > $lag_max) { open my $pause, '>', "$tmp/pause"; }
		else { unlink "$tmp/pause"; }
		if (time >= $next_cut)
		{
			my $name = pick(@cut_off);
			$terminated += sql("SELECT count(pg_terminate_backend(active_pid)) FROM pg_replication_slots WHERE slot_name = '$name' AND active");
			$next_cut = time + 6 + rand 10;
		}
		if (!%middle && time > $start + $seconds * 0.4)
		{
			%middle = memory();
			say_it('the middle: ', sql('SELECT pg_current_wal_lsn()'));
		}
	}
	my %end = memory();
	open my $stop, '>', "$tmp/stop";
	waitpid $_, 0 for @writers;
	@writers = ();
	say_it("$terminated walsenders were terminated; writing ends at ", sql('SELECT pg_current_wal_lsn()'));
	compare_memory(\%middle, \%end);
	wait_for_readers(120);
	kill 'INT', values %reader;
	waitpid $_, 0 for values %reader;
	%reader = ();
	say_it('all is read');
	my %tables = actual_tables(\&sql, 'soak', 0);
	my %roots = actual_tables(\&sql, 'soak', 1);
	in_parallel(2, map { my $name = $_; [ $name, sub { $name eq 'text' ? compare_text() : compare($name, \%tables, \%roots) } ] } sort keys %options);
	sql("SELECT pg_drop_replication_slot('$_')") for sort keys %options;
	return;
}

eval { run(); 1 } or complain($@);
kill 'KILL', @writers, values %reader;
say_it($failed ? "$failed complaints; seed $seed" : 'all is well');
exit($failed ? 1 : 0);
