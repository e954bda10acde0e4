#!/usr/bin/perl
# rows.pl URI SECONDS SEED -- random tables and changes; then every way to read the stream must give
# what the tables hold, and native and json the same lines.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Replay qw(actual_tables difference);
use Schema qw(pick chance setup_types new_tables random_transaction);

my ($uri, $seconds, $first_seed) = @ARGV;
my $end = time + $seconds;
my $failed = 0; # statements
my $tmp = "$ENV{TMPDIR}/fuzz-rows";
mkdir $tmp;

sub spew
{
	my ($name, $text) = @_;
	open my $file, '>:raw', "$tmp/$name" or die "$name: $!";
	print $file $text;
	close $file or die "$name: $!";
	return "$tmp/$name";
}

sub slurp
{
	my ($path) = @_;
	open my $file, '<:raw', $path or die "$path: $!";
	local $/ = undef;
	return scalar <$file>;
}

# psql's standard output; random statements may fail, anything else may not.
sub sql
{
	my ($text, %options) = @_;
	my $script = spew('script.sql', $text);
	my @stop = $options{may_fail} ? () : ('-v', 'ON_ERROR_STOP=1');
	my $status = system("psql -X -A -t -q @{[map { qq('$_') } @stop]} -d '$uri' -f '$script' >'$tmp/out' 2>'$tmp/err'");
	my $errors = slurp("$tmp/err");
	$failed += () = $errors =~ /ERROR:/g;
	die "psql ended with $status:\n" . substr($errors, -2000) if $status != 0 || $errors =~ /server closed the connection|PANIC|XX000/;
	return slurp("$tmp/out");
}

sub peek
{
	my ($format, @options) = @_;
	my $options = join '', map { ", '" . s/'/''/gr . "'" } @options;
	my $work_mem = "SET logical_decoding_work_mem = '64kB'; SET client_min_messages = error;";
	return sql("$work_mem SELECT data FROM pg_logical_slot_peek_changes('fuzz', NULL, NULL, 'format', '$format'$options);") if $format ne 'native';
	my $bytes = sql("$work_mem SELECT encode(data, 'hex') FROM pg_logical_slot_peek_binary_changes('fuzz', NULL, NULL$options);") =~ s/\n//gr;
	my $file = spew('native', pack 'H*', $bytes);
	my $decoded = `"$ENV{PENSTOCK}" decode --schema '$file' 2>'$tmp/err'`;
	die "penstock decode ended with $?: " . slurp("$tmp/err") if $? != 0;
	return $decoded;
}

sub compare
{
	my ($name, $text, $root, $publication) = @_;
	my $replay = Replay->new(key => 'k');
	$replay->text($text);
	die "$name: something was left open\n" if $replay->{current} || %{ $replay->{parts} } || %{ $replay->{prepared} };
	my %tables = actual_tables(\&sql, 'fz', $root, $publication);
	my ($stranger) = grep { !$tables{$_} && %{ $replay->{tables}->{$_} } } keys %{ $replay->{tables} };
	die "$name: rows of relation $stranger\n" if $stranger && $publication;
	for my $table (values %tables)
	{
		my $difference = difference($replay, $table);
		die "$name: $difference" if $difference;
	}
	return;
}

sub same_lines
{
	my ($name, $got, $expected) = @_;
	return if $got eq $expected;
	my @got = split /\n/, $got;
	my @expected = split /\n/, $expected;
	my $i = 0;
	$i++ while $i < @got && $i < @expected && $got[$i] eq $expected[$i];
	die "$name: line $i differs\nnative: " . ($got[$i] // '(none)') . "\njson:   " . ($expected[$i] // '(none)') . "\n";
}

sub round
{
	my ($seed) = @_;
	srand $seed;
	sql(q{SET client_min_messages = error; DROP SCHEMA IF EXISTS fz CASCADE; DROP PUBLICATION IF EXISTS everything, some_of_it; CREATE SCHEMA fz;} . setup_types());
	sql(q{SELECT pg_create_logical_replication_slot('fuzz', 'penstock', false, true) \g /dev/null
		CREATE PUBLICATION everything FOR ALL TABLES WITH (publish_via_partition_root)});
	my @tables = new_tables('fz', 1 + rand 4);
	my $history = join('', map { $_->{sql} } @tables);
	sql($history);
	my @published = map { $_->{published} // () } @tables;
	sql('CREATE PUBLICATION some_of_it' . (@published ? ' FOR TABLE ' . join(', ', @published) : '') . ' WITH (publish_via_partition_root)');
	for (1 .. 5 + rand 25)
	{
		my $transaction = random_transaction(1, @tables);
		$history .= $transaction;
		# numbers of a script's errors are of no interest
		sql("\\set VERBOSITY verbose\nSET client_min_messages = error;\n$transaction", may_fail => 1);
	}
	spew('history.sql', $history);
	# a commit, so that what aborted transactions have written is there for all readers
	sql(q{SELECT pg_logical_emit_message(true, 'end', '') \g /dev/null});

	my @batch = ('batch_bytes', pick(0, 1, 1000, 65536));
	my @more = ((chance(0.3) ? ('skip_empty', 'off') : ()), (chance(0.5) ? ('messages', 'on') : ()));
	my @streaming = ('streaming', 'on', chance(0.5) ? ('two_phase', 'on') : ());
	my $native = peek('native', @batch, @more);
	same_lines('native and json', $native, peek('json', @more));
	compare('native', $native);
	my $streamed = peek('native', @batch, @more, @streaming);
	same_lines('native and json, streamed', $streamed, peek('json', @more, @streaming));
	compare('streamed', $streamed);
	compare('via the root', peek('json', 'publications', 'everything'), 1);
	compare('published', peek('json', 'publications', 'some_of_it', @more), 1, 'some_of_it');
	compare('published, streamed', peek('native', 'publications', 'some_of_it', @more, @streaming), 1, 'some_of_it');
	my $text = peek('text', @more);
	my $lines = ($text =~ tr/\n//) - ($native =~ tr/\n//);
	die "text has $lines more lines than native\n" if $lines != 0;
	peek('native', 'values', 'binary', @streaming);
	sql(q{SELECT pg_drop_replication_slot('fuzz') \g /dev/null});
	return ($native =~ tr/\n//);
}

my ($rounds, $lines) = (0, 0);
for (my $seed = $first_seed; time < $end; $seed++)
{
	my $got = eval { round($seed) };
	if (!defined $got)
	{
		print "rows.pl: FAILED with seed $seed: $@";
		print "rows.pl: make fuzz SEED=$seed SECONDS=1 does it again; the last statements were:\n", substr(slurp("$tmp/history.sql"), -3000);
		exit 1;
	}
	$rounds++;
	$lines += $got;
}
print "rows.pl: $rounds rounds, $lines lines each way, $failed statements refused, seeds $first_seed to " . ($first_seed + $rounds - 1) . "\n";
