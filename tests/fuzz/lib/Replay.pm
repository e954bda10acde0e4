# Replay.pm -- the lines of proto/FORMAT.md, read strictly and applied to tables in memory, so that
# what a stream says can be compared with what a table holds.
package Replay;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(parse actual_tables difference);

# ---- JSON ----

my %escaped = (b => "\b", f => "\f", n => "\n", r => "\r", t => "\t", '"' => '"', '\\' => '\\', '/' => '/');

sub _string
{
	my ($raw) = @_;
	return $raw if index($raw, '\\') < 0;
	$raw =~ s{\\u([dD][89abAB]..)\\u([dD][c-fC-F]..)|\\u(....)|\\(.)}
		{ my $code = defined $1 ? 0x10000 + ((hex($1) - 0xD800) << 10) + hex($2) - 0xDC00 : defined $3 ? hex($3) : undef;
		  my $text = defined $code ? chr $code : $escaped{$4} // die "bad escape \\$4\n";
		  utf8::encode($text) if defined $code; $text }gesx;
	return $raw;
}

# A value: { … } as hash, [ … ] as list, a string as "s:…", a number as "n:" and its digits, which a
# double would lose, the others as "l:true" and undef.
sub _value
{
	my ($text) = @_;
	if ($$text =~ /\G"((?:[^"\\\x00-\x1f]|\\.)*+)"/gc) { return 's:' . _string($1); }
	if ($$text =~ /\G(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)/gc) { return "n:$1"; }
	if ($$text =~ /\Gnull/gc) { return undef; }
	if ($$text =~ /\G(true|false)/gc) { return "l:$1"; }
	if ($$text =~ /\G\[/gc)
	{
		my @list;
		return \@list if $$text =~ /\G\]/gc;
		do { push @list, scalar _value($text); } while ($$text =~ /\G,/gc);
		$$text =~ /\G\]/gc or die "no ] at " . pos($$text) . "\n";
		return \@list;
	}
	if ($$text =~ /\G\{/gc)
	{
		my %object;
		return \%object if $$text =~ /\G\}/gc;
		do
		{
			$$text =~ /\G"((?:[^"\\\x00-\x1f]|\\.)*+)":/gc or die "no name at " . (pos($$text) // 0) . "\n";
			my $name = _string($1);
			die "$name comes twice\n" if exists $object{$name};
			$object{$name} = _value($text);
		} while ($$text =~ /\G,/gc);
		$$text =~ /\G\}/gc or die "no } at " . pos($$text) . "\n";
		return \%object;
	}
	die 'no value at ' . (pos($$text) // 0) . "\n";
}

# A line as a hash; dies of what is not JSON.
sub parse
{
	my ($line) = @_;
	pos($line) = 0;
	my $value = _value(\$line);
	die "something follows the value\n" if pos($line) != length $line;
	return $value;
}

# ---- tables ----

# key: the column that identifies a row in every table that has updates or deletes; only: a pattern
# of "s:schema s:table", if not all changes count.
sub new
{
	my ($class, %options) = @_;
	return bless { key => $options{key}, null_added => $options{null_added}, only => $options{only}, names => {}, tables => {}, parts => {}, prepared => {}, messages => [], line => 0 }, $class;
}

sub _fail
{
	my ($self, $message) = @_;
	die "line $self->{line}: $message\n";
}

# name => description: which oid it is, and the attnum of each column
sub _relation
{
	my ($self, $line) = @_;
	my $relation = { oid => substr($line->{oid}, 2), columns => {} };
	$relation->{columns}->{ substr($_->{name}, 2) } = substr($_->{attnum}, 2) for @{ $line->{columns} };
	$self->{names}->{"$line->{schema} $line->{table}"} = $relation;
	return;
}

sub _table
{
	my ($self, $line) = @_;
	return $self->{names}->{"$line->{schema} $line->{table}"} // $self->_fail("$line->{table} was not described");
}

# attnum => token, of a row by names
sub _by_attnum
{
	my ($self, $relation, $row) = @_;
	my %values;
	for my $name (keys %$row)
	{
		my $attnum = $relation->{columns}->{$name} // $self->_fail("column $name was not described");
		$values{$attnum} = $row->{$name};
	}
	return \%values;
}

sub _resolve
{
	my ($self, $line) = @_;
	my $change = { op => $line->{op}, at => $self->{line} };
	if ($line->{op} eq 'truncate')
	{
		$change->{oids} = [ map { $self->_table($_)->{oid} } @{ $line->{tables} } ];
		return $change;
	}
	my $relation = $self->_table($line);
	$change->{oid} = $relation->{oid};
	$change->{key_attnum} = $relation->{columns}->{ $self->{key} };
	for my $part (qw(new old key))
	{
		$change->{$part} = $self->_by_attnum($relation, $line->{$part}) if $line->{$part};
	}
	$change->{unchanged} = [ map { $relation->{columns}->{ substr($_, 2) } } @{ $line->{unchanged} // [] } ];
	return $change;
}

# What is not unique in a table without keys
my $anonymous = 0;

sub _apply
{
	my ($self, $change) = @_;
	if ($change->{op} eq 'truncate')
	{
		$self->{tables}->{$_} = {} for @{ $change->{oids} };
		return;
	}
	my $rows = $self->{tables}->{ $change->{oid} } //= {};
	my $key = $change->{key_attnum};
	my $at = sub { $_[0] && defined $_[0]->{$key} ? $_[0]->{$key} : undef };
	my $old_key = defined $key ? $at->($change->{old}) // $at->($change->{key}) // ($change->{op} eq 'update' ? $at->($change->{new}) : undef) : undef;
	my $before;

	if ($change->{op} ne 'insert')
	{
		$self->_fail("a $change->{op} on line $change->{at} has no key") unless defined $old_key;
		$before = delete $rows->{$old_key} // $self->_fail("no row $old_key in $change->{oid} for the $change->{op} on line $change->{at}");
	}
	return if $change->{op} eq 'delete';
	my $new = $change->{new};
	for my $attnum (@{ $change->{unchanged} })
	{
		$self->_fail("nothing is known of the unchanged column $attnum on line $change->{at}") unless exists $before->{$attnum};
		$new->{$attnum} = $before->{$attnum};
	}
	my $new_key = defined $key ? $new->{$key} : undef;
	$new_key //= 'anonymous ' . $anonymous++;
	$self->_fail("row $new_key is in $change->{oid} twice, by line $change->{at}") if exists $rows->{$new_key};
	$rows->{$new_key} = $new;
	return;
}

# A parsed line. Only what has been committed counts.
sub line
{
	my ($self, $line) = @_;
	my $op = $line->{op} // $self->_fail('no op');
	my $current = $self->{current};

	$self->{line}++;
	if ($op eq 's:relation') { $self->_relation($line); return; }
	$op = $line->{op} = substr($op, 2);
	if ($op =~ /^(begin|begin_prepare|stream_start)$/)
	{
		# after a reconnect the rest of a transaction does not come
		$self->{cut_off}++ if $current;
		if ($op eq 'stream_start' && $line->{first} eq 'l:true') { delete $self->{parts}->{ $line->{xid} }; }
		$self->_fail("a part of $line->{xid} is not its first") if $op eq 'stream_start' && $line->{first} ne 'l:true' && !$self->{parts}->{ $line->{xid} };
		$current = $op eq 'stream_start' ? ($self->{parts}->{ $line->{xid} } //= []) : [];
		$self->{current} = $current;
		$self->{current_op} = $op;
		return;
	}
	if ($op eq 'commit' || $op eq 'prepare' || $op eq 'stream_stop')
	{
		$self->_fail("$op outside of a transaction") unless $current;
		$self->{current} = undef;
		if ($op eq 'commit') { $self->_finish($line, $current); }
		elsif ($op eq 'prepare') { $self->{prepared}->{ $line->{gid} } = $current; }
	}
	elsif ($op eq 'stream_commit') { $self->_finish($line, delete $self->{parts}->{ $line->{xid} } // $self->_fail("nothing of $line->{xid} was streamed")); }
	elsif ($op eq 'stream_prepare') { $self->{prepared}->{ $line->{gid} } = delete $self->{parts}->{ $line->{xid} } // []; }
	elsif ($op eq 'commit_prepared') { $self->_finish($line, delete $self->{prepared}->{ $line->{gid} } // $self->_again($line)); }
	elsif ($op eq 'rollback_prepared') { delete $self->{prepared}->{ $line->{gid} }; }
	elsif ($op eq 'stream_abort')
	{
		if ($line->{xid} eq $line->{subxid}) { delete $self->{parts}->{ $line->{xid} }; }
		else { @{ $self->{parts}->{ $line->{xid} } } = grep { $_->{subxid} ne $line->{subxid} } @{ $self->{parts}->{ $line->{xid} } // [] }; }
	}
	elsif ($op =~ /^(insert|update|delete|truncate)$/)
	{
		$self->_fail("$op outside of a transaction") unless $current;
		return if $self->{only} && $op ne 'truncate' && "$line->{schema} $line->{table}" !~ $self->{only};
		my $change = $self->_resolve($line);
		$change->{subxid} = $line->{subxid} // $line->{xid};
		push @$current, $change;
	}
	elsif ($op !~ /^(message|origin)$/) { $self->_fail("unknown op $op"); }
	return;
}

# A transaction counts now, but not for the second time: after a reconnect some come again.
sub _finish
{
	my ($self, $line, $changes) = @_;
	return if $self->_is_applied($line);
	$self->_apply($_) for @$changes;
	$self->{applied} = _lsn($line->{end_lsn});
	$self->{transactions}++;
	return;
}

sub _is_applied
{
	my ($self, $line) = @_;
	return defined $self->{applied} && _lsn($line->{end_lsn}) <= $self->{applied};
}

# Nothing is there to commit: right only if it comes for the second time.
sub _again
{
	my ($self, $line) = @_;
	$self->_fail("nothing was prepared as $line->{gid}") unless $self->_is_applied($line);
	return [];
}

sub _lsn
{
	my ($text) = @_;
	my ($high, $low) = $text =~ m{^s:([0-9A-F]+)/([0-9A-F]+)$} or die "bad LSN $text\n";
	return (hex($high) << 32) + hex $low;
}

# All lines of a text.
sub text
{
	my ($self, $text) = @_;
	for my $line (split /\n/, $text)
	{
		my $parsed = eval { parse($line) };
		$self->_fail("$@$line") unless ref $parsed eq 'HASH';
		$self->line($parsed);
	}
	return $self;
}

# All lines of a file or pipe.
sub handle
{
	my ($self, $handle) = @_;
	while (my $line = <$handle>)
	{
		chomp $line;
		$self->text($line);
	}
	return $self;
}

# The rows of a table, each a list of the tokens of the given attnums, as sorted lines. A column that
# was added without a default, and never written, does not come: null_added takes it for null.
sub rows
{
	my ($self, $oid, @attnums) = @_;
	my $missing = $self->{null_added} ? 'null' : '(missing)';
	my $rows = $self->{tables}->{$oid} // {};
	return sort map { my $row = $_; join ' | ', map { exists $row->{$_} ? _printed($row->{$_}) : $missing } @attnums } values %$rows;
}

sub _printed
{
	my ($token) = @_;
	return 'null' unless defined $token;
	return ref $token eq 'HASH' ? join(' ', map { "{$_ $token->{$_}}" } keys %$token) : $token;
}

# ---- what a table itself says ----

# An SQL expression for the token of a column whose type, below all domains, is the given one.
sub _table_token
{
	my ($column, $type) = @_;
	my $text = "format('%s', $column)";
	my $token =
		$type eq 'boolean' ? "'l:' || $column\::text"
	  : $type =~ /^(smallint|integer|bigint|oid)$/ ? "'n:' || $text"
	  : $type =~ /^(numeric|real|double precision)$/ ? "CASE WHEN $text ~ '[0-9]' THEN 'n:' ELSE 's:' END || $text"
	  : $type =~ /^(date|time(stamp)? with(out)? time zone)$/ && $type ne 'time with time zone' ? "'s:' || (to_json($column) #>> '{}')"
	  : "'s:' || $text";
	return "CASE WHEN num_nulls($column) > 0 THEN 'null' ELSE $token END";
}

# The tables of a schema as they are: oid => { oid, name, attnums, lines }. sql runs statements and
# returns psql's output; root: partitioned tables instead of their partitions; publication: only what
# that one names.
sub actual_tables
{
	my ($sql, $schema, $root, $publication) = @_;
	my $published = $publication ? published($sql, $publication) : undef;
	my %tables;
	my $kinds = $root ? q{relkind IN ('r', 'p') AND NOT relispartition} : q{relkind = 'r'};
	my $columns = $sql->(qq{WITH RECURSIVE base(type, oid) AS (SELECT oid, oid FROM pg_type
			UNION ALL SELECT base.type, typbasetype FROM base JOIN pg_type t ON t.oid = base.oid WHERE typtype = 'd')
		SELECT c.oid, format('%I.%I', nspname, relname), attnum, quote_ident(attname), format_type(base.oid, NULL)
		FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace JOIN pg_attribute a ON attrelid = c.oid
			JOIN base ON base.type = atttypid JOIN pg_type t ON t.oid = base.oid AND typtype <> 'd'
		WHERE nspname = '$schema' AND attnum > 0 AND NOT attisdropped AND $kinds ORDER BY 1, 3});
	for (split /\n/, $columns)
	{
		my ($oid, $name, $attnum, $column, $type) = split /\|/;
		next if $published && (!$published->{$oid} || %{ $published->{$oid}->{attnums} } && !$published->{$oid}->{attnums}->{$attnum});
		my $table = $tables{$oid} //= { oid => $oid, name => $name, attnums => [], tokens => [] };
		push @{ $table->{attnums} }, $attnum;
		push @{ $table->{tokens} }, 'COALESCE(' . _table_token("t.$column", $type) . q{, 'null')};
	}
	my $text = $sql->(q{SET DateStyle = 'ISO, YMD'; SET IntervalStyle = postgres; SET TimeZone = 'UTC'; SET extra_float_digits = 1;
		SET bytea_output = hex; SET lc_monetary = 'C'; SET search_path = pg_catalog;} . join '', map {
		"SELECT to_json(ARRAY['$_', " . join(', ', @{ $tables{$_}->{tokens} }) . "]) FROM $tables{$_}->{name} t" . ($published ? " WHERE $published->{$_}->{filter}" : '') . ";\n"
	} sort keys %tables);
	for (split /\n/, $text)
	{
		my ($oid, @tokens) = map { substr($_, 2) } @{ parse($_) };
		push @{ $tables{$oid}->{lines} }, join ' | ', @tokens;
	}
	return %tables;
}

# oid => { attnums => { those of the list, or none }, filter }
sub published
{
	my ($sql, $publication) = @_;
	my %published;
	for (split /\n/, $sql->(qq{SELECT prrelid, COALESCE(prattrs::text, ''), COALESCE(pg_get_expr(prqual, prrelid), 'true')
		FROM pg_publication_rel WHERE prpubid = (SELECT oid FROM pg_publication WHERE pubname = '$publication')}))
	{
		my ($oid, $attnums, $filter) = split /\|/, $_, 3;
		$published{$oid} = { attnums => { map { $_ => 1 } split / /, $attnums }, filter => $filter };
	}
	return \%published;
}

# Undef if the table holds what the stream said; else what differs. keep: of the table's lines, only
# those for which it is true.
sub difference
{
	my ($replay, $table, $keep) = @_;
	my @expected = sort grep { !$keep || $keep->($_) } @{ $table->{lines} // [] };
	my @got = $replay->rows($table->{oid}, @{ $table->{attnums} });
	return undef if join("\n", @got) eq join("\n", @expected);
	my %count;
	$count{$_}++ for @expected;
	$count{$_}-- for @got;
	my @different = map { ($count{$_} > 0 ? 'in the table:  ' : 'in the stream: ') . substr($_, 0, 1000) } grep { $count{$_} } sort keys %count;
	return "$table->{name} differs in " . @different . " lines\n" . join("\n", splice @different, 0, 6) . "\n";
}

1;
