# Schema.pm -- random tables, values and statements. Everything comes from Perl's rand, so that a
# seed makes the same again.
package Schema;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(pick chance setup_types new_tables random_transaction);

sub pick { return $_[ rand @_ ]; }
sub chance { return rand() < $_[0]; }

sub _literal
{
	my ($text) = @_;
	return "'" . $text =~ s/'/''/gr . "'";
}

# ---- values ----

my @pieces = ('a', 'B', ' ', '  ', '"', "'", '\\', '{', '}', ',', '(', ')', "\n", "\t", "\x01", "\x7f", 'é', 'ß', '中', '😀', '0', '-', '.', 'NULL', 'null', '<', '&', '/', "\xe2\x80\xa8");

sub _text
{
	my ($max) = @_;
	return join '', map { pick(@pieces) } 1 .. rand($max + 1);
}

# Now and then one that is toasted, compressed or not.
sub _long_text
{
	return chance(0.9) ? _literal(_text(20)) : chance(0.5) ? 'repeat(' . _literal(_text(5) . 'x') . ', ' . int(rand 6000) . ')'
	  : "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, " . int(1 + rand 300) . ') i)';
}

sub _integer
{
	my ($bits) = @_;
	return pick(0, 1, -1, 2**($bits - 1) - 1 == 9.22337203685477581e18 ? '9223372036854775807' : 2**($bits - 1) - 1,
		$bits == 64 ? '-9223372036854775808' : -2**($bits - 1), int(rand(200)) - 100);
}

sub _numeric
{
	my ($digits, $scale) = @_;
	return join('', pick('', '-'), map { int rand 10 } 1 .. 1 + rand($digits - $scale)) . ($scale ? '.' . join('', map { int rand 10 } 1 .. 1 + rand $scale) : '');
}

my @floats = (0, '-0', 1, -1.5, 0.1, '1e15', '1e16', '123456789012345678', '1e-5', '0.0001', '1.17549435e-38', '3.4028235e38', 'NaN', 'Infinity', '-Infinity', '5e-324', '1.7976931348623157e308', '0.30000000000000004');
my @days = ('2026-11-21', 'infinity', '-infinity', '4713-01-01 BC', '0001-01-01 BC', '0001-01-01', '1999-12-31', '2000-01-01', '2000-02-29', '9999-12-31', '10000-01-01', '294276-12-31');
my @times = ('00:00:00', '24:00:00', '23:59:59.999999', '12:34:56.7', '00:00:00.000001', '04:05:06.789');
my @zones = ('', '+00', '-08', '+05:45', '+13', '-00:44:30');

# name => generator of an expression, without a cast
my %types = (
	boolean => sub { pick(qw('t' 'f')) },
	smallint => sub { _literal(_integer(16)) },
	integer => sub { _literal(_integer(32)) },
	bigint => sub { _literal(_integer(64)) },
	oid => sub { _literal(pick(0, 1, 4294967295, 16384)) },
	real => sub { _literal(pick(@floats[0 .. 14], rand)) },
	'double precision' => sub { _literal(pick(@floats, rand, exp(rand(1400) - 700))) },
	numeric => sub { _literal(pick('NaN', 'Infinity', '-Infinity', '0', '0.000', '1e100', '1e-100', _numeric(40, 20))) },
	'numeric(12,2)' => sub { _literal(_numeric(10, 2)) },
	'numeric(3,0)' => sub { _literal(_numeric(3, 0)) },
	text => \&_long_text,
	'varchar(30)' => sub { _literal(_text(10)) },
	'char(12)' => sub { _literal(_text(3)) },
	'"char"' => sub { _literal(pick('', 'x', '"', '\\')) },
	name => sub { _literal(_text(5)) },
	bytea => sub { chance(0.9) ? _literal('\\x' . join '', map { sprintf '%02x', rand 256 } 1 .. rand 20) : "decode(repeat('00ff7b', " . int(rand 3000) . "), 'hex')" },
	uuid => sub { _literal(join '', map { sprintf '%02x', rand 256 } 1 .. 16) },
	date => sub { _literal(pick(@days, '5874897-12-31')) },
	time => sub { _literal(pick(@times)) },
	'time(2) with time zone' => sub { _literal(pick(@times) . pick(@zones[1 .. 5])) },
	timestamp => sub { my $day = pick(@days); _literal($day =~ /inf/ ? $day : $day =~ s/( BC)?$/' ' . pick(@times) . ($1 || '')/er) },
	'timestamp(3) with time zone' => sub { my $day = pick(@days[0 .. 10]); _literal($day =~ /inf/ ? $day : $day =~ s/( BC)?$/' ' . pick(@times) . pick(@zones) . ($1 || '')/er) },
	interval => sub { _literal(pick('0', '1 mon -2 days 03:04:05.6', '-1 year -11 mons', '178000000 years', '00:00:00.000001')) },
	json => sub { _literal(pick('null', '{"a": 1, "a": [1e400, "\u0041"]}', '  [ 1,2 ] ', '"\u0000"', '"x"')) },
	jsonb => sub { _literal(pick('null', '{"a": 1, "b": [1.50, "é\""]}', '[]', '12345678901234567890.12', '"x"')) },
	inet => sub { _literal(pick('10.0.0.1/8', '::1', '192.168.1.1')) },
	cidr => sub { _literal(pick('10.0.0.0/8', '::/0')) },
	macaddr => sub { _literal('08:00:2b:01:02:03') },
	money => sub { _literal(pick('0', '-12.34', '92233720368547758.07')) },
	'bit(5)' => sub { _literal(pick('10101', '00000')) },
	'bit varying(9)' => sub { _literal(pick('', '1', '101010101')) },
	point => sub { _literal(pick('(1,2)', '(0.1,-1e300)', '(NaN,Infinity)')) },
	polygon => sub { _literal('((0,0),(1,1),(2,0.5))') },
	tsvector => sub { _literal(pick('', "a:1A b'c:2", "'x y':3")) },
	tsquery => sub { _literal(pick('a & !b', "'x y' | c:*A")) },
	jsonpath => sub { _literal('$.a[*] ? (@ > 1)') },
	pg_lsn => sub { _literal('16/B374D848') },
	regclass => sub { _literal(pick('pg_class', 0, 4000000000, 'information_schema.tables')) },
	regtype => sub { _literal(pick('integer', 'pg_catalog.text', 'char(3)')) },
	int4range => sub { _literal(pick('empty', '[1,5)', '(,)', '[3,]')) },
	numrange => sub { _literal(pick('empty', '(1.50,2.0]', '[,"7"]')) },
	tstzrange => sub { _literal('["2026-01-02 03:04:05+02",infinity)') },
	int8multirange => sub { _literal(pick('{}', '{[1,3),[7,9)}')) },
	'fz.mood' => sub { _literal(pick('sad', 'so "so"', 'happy, é')) },
	'fz.pair' => sub { _literal(pick('(1,x)', '(,)', '(-5,"a ""b"", \\\\ é")')) },
	'fz.nested' => sub { _literal(pick('("(1,x)",sad,"{1,2}")', '(,,)')) },
	'fz.positive' => sub { _literal(int(1 + rand 1000)) },
	'fz.label' => sub { _literal('l' . _text(5)) },
	'fz.feeling' => sub { _literal(pick('sad', 'so "so"')) },
	'fz.few' => sub { _literal(pick('{}', '{1,2,3}')) },
	'fz.span' => sub { _literal(pick('[1.5,2.5)', 'empty')) });
my @type_names = sort keys %types;
my $long_types = qr/text|bytea|json/;

my $types_sql = q{
	CREATE TYPE fz.mood AS ENUM ('sad', 'so "so"', 'happy, é');
	CREATE TYPE fz.pair AS (a int, b text);
	CREATE TYPE fz.nested AS (p fz.pair, m fz.mood, l int[]);
	CREATE DOMAIN fz.positive AS int CHECK (VALUE > 0);
	CREATE DOMAIN fz.label AS varchar(40) NOT NULL DEFAULT 'l';
	CREATE DOMAIN fz.feeling AS fz.mood;
	CREATE DOMAIN fz.few AS int[];
	CREATE TYPE fz.span AS RANGE (subtype = float8);};

sub setup_types { return $types_sql; }

# The domain with NOT NULL has no nulls.
sub _value
{
	my ($type) = @_;
	return 'NULL' if $type ne 'fz.label' && chance(0.15);
	if ($type =~ /^(.*)\[\]$/)
	{
		my $element = $1;
		return "'{}'::$type" if chance(0.2);
		my $values = join ', ', map { chance(0.2) ? 'NULL' : $types{$element}->() . "::$element" } 1 .. 1 + rand 3;
		return chance(0.9) ? "ARRAY[$values]::$type" : "('[0:0]=' || ARRAY[(ARRAY[$values])[1]]::$type\::text)::$type";
	}
	return $types{$type}->() . "::$type";
}

sub _type
{
	my ($table) = @_;
	my $type = pick(@type_names);
	return 'integer' if $table && $table->{short} && $type =~ /$long_types/;
	return $type !~ /^(fz\.label|fz\.few)$/ && chance(0.2) ? "$type\[]" : $type;
}

# ---- tables ----

my $count = 0;

sub _name
{
	my ($base) = @_;
	return $base . ++$count . pick('', '', '', ' "odd"', 'É', 'UPPER', ' with \\ and \'', '中文');
}

sub _quoted { return '"' . $_[0] =~ s/"/""/gr . '"'; }

# As a publication may name it: some columns, some rows. Undef: not at all. Where a row enters the
# filter by an update, unchanged values that are toasted do not come but with a whole old row.
sub _published
{
	my ($name, $identity, $short, $columns) = @_;
	return undef if $identity eq 'none' || chance(0.2);
	my @columns = ('k', ($identity =~ /wide|index/ || chance(0.5) ? 'k2' : ()), grep { chance(0.6) } sort keys %$columns);
	my $list = $identity ne 'full' && chance(0.4) ? '(' . join(', ', @columns) . ')' : '';
	my @filters = ('k % 3 = 1', 'k % 3 = 1', 'k BETWEEN 5 AND 150', 'k > 10 AND NOT (k % 2 = 0)');
	push @filters, "k2 > 'a' COLLATE \"C\"", "k % 2 = 0 OR length(k2) < 3" if $identity =~ /full|wide|index/;
	for (sort keys %$columns)
	{
		next if $identity ne 'full';
		push @filters, "$_ IS NULL OR k < 20", "$_ > '5' COLLATE \"C\"" if $columns->{$_} =~ /^(text|varchar[^\[]*)$/;
		push @filters, "$_ < 5", "$_ IS NOT NULL" if $columns->{$_} =~ /^(numeric[^\[]*|integer|double precision)$/;
	}
	my $filter = ($identity eq 'full' || $short) && chance(0.7) ? ' WHERE (' . pick(@filters) . ')' : '';
	return "$name$list$filter";
}

# { sql, name (quoted), columns => { quoted name => type }, changes (has updates and deletes), leaf }
sub _table
{
	my ($schema) = @_;
	my %columns = map { _quoted(_name('c')) => _type() } 1 .. 1 + rand 6;
	my $name = "$schema." . _quoted(_name('t'));
	my $identity = pick(qw(key key key wide index full full none));
	my $partitioned = $identity ne 'index' && chance(0.25);
	my @definitions = ('k int NOT NULL', 'k2 text NOT NULL DEFAULT \'é "\'', map { "$_ $columns{$_}" } sort keys %columns);
	# some were there once
	splice @definitions, rand @definitions, 0, 'gone1 int' if chance(0.3);
	my $dropped = grep { /^gone1/ } @definitions;
	push @definitions, 'doubled bigint GENERATED ALWAYS AS (k::bigint * 2) STORED' if chance(0.3);
	push @definitions, 'PRIMARY KEY (k)' if $identity eq 'key' && !$partitioned || $identity eq 'full' && chance(0.5);
	push @definitions, 'PRIMARY KEY (k2, k)' if $identity eq 'wide';
	push @definitions, 'PRIMARY KEY (k)' if $identity eq 'key' && $partitioned;
	my $sql = "CREATE TABLE $name(" . join(', ', @definitions) . ')' . ($partitioned ? ' PARTITION BY RANGE (k)' : '') . ";\n";
	my @leaves = ($name);
	if ($partitioned)
	{
		@leaves = map { "$schema." . _quoted(_name('p')) } 1 .. 2;
		my $deeper = chance(0.4);
		$sql .= "CREATE TABLE $leaves[0] PARTITION OF $name FOR VALUES FROM (MINVALUE) TO (100)" . ($deeper ? ' PARTITION BY RANGE (k)' : '') . ";\n";
		if ($deeper)
		{
			push @leaves, map { "$schema." . _quoted(_name('d')) } 1 .. 2;
			$sql .= "CREATE TABLE $leaves[2] PARTITION OF $leaves[0] FOR VALUES FROM (MINVALUE) TO (10);\nCREATE TABLE $leaves[3] PARTITION OF $leaves[0] DEFAULT;\n";
		}
		# one with its columns in another order, and more that are gone
		my @own = ('k2 text NOT NULL DEFAULT \'\'', 'gone2 text', (map { "$_ $columns{$_}" } reverse sort keys %columns), 'k int NOT NULL');
		push @own, grep { /^(gone1|doubled)/ } @definitions;
		$sql .= "CREATE TABLE $leaves[1](" . join(', ', @own) . ");\nALTER TABLE $leaves[1] DROP COLUMN gone2;\nALTER TABLE $name ATTACH PARTITION $leaves[1] FOR VALUES FROM (100) TO (MAXVALUE);\n";
	}
	$sql .= "ALTER TABLE $name DROP COLUMN gone1;\n" if $dropped;
	$sql .= "CREATE UNIQUE INDEX i$count ON $name(k2, k); ALTER TABLE $name REPLICA IDENTITY USING INDEX i$count;\n" if $identity eq 'index';
	# of a partition the leaf's own identity counts
	if ($identity eq 'full') { $sql .= "ALTER TABLE $_ REPLICA IDENTITY FULL;\n" for $name, @leaves; }
	$sql .= "ALTER TABLE $name REPLICA IDENTITY NOTHING;\n" if $identity eq 'none' && chance(0.5);
	my $short = !grep { /$long_types/ } values %columns;
	return { sql => $sql, name => $name, columns => \%columns, changes => $identity ne 'none', partitioned => $partitioned, next => 1,
		short => $short, published => _published($name, $identity, $short, \%columns) };
}

sub new_tables
{
	my ($schema, $how_many) = @_;
	return map { _table($schema) } 1 .. $how_many;
}

# ---- statements ----

sub _insert
{
	my ($table) = @_;
	my @columns = sort keys %{ $table->{columns} };
	my $rows = 1 + int rand 5;
	my $first = $table->{next};
	$table->{next} += $rows;
	# many rows make a part of a stream
	my $many = chance(0.08) ? 300 : 0;
	my $sql = "INSERT INTO $table->{name}(" . join(', ', 'k', 'k2', @columns) . ') VALUES '
	  . join(', ', map { '(' . join(', ', $first + $_, _literal(_text(5)), map { _value($table->{columns}->{$_}) } @columns) . ')' } 0 .. $rows - 1) . ';';
	return $sql unless $many;
	$table->{next} += $many;
	return "$sql\nINSERT INTO $table->{name}(" . join(', ', 'k', 'k2', @columns) . ") SELECT $table->{next} - $many + i, 'k' || i, "
	  . join(', ', map { _value($table->{columns}->{$_}) } @columns) . " FROM generate_series(1, $many - 1) i;";
}

sub _where
{
	my ($table) = @_;
	return pick('k % ' . int(2 + rand 5) . ' = 0', 'k < ' . int(rand $table->{next}), 'k = ' . int(rand $table->{next}), 'true');
}

sub _statement
{
	my ($table) = @_;
	my @columns = sort keys %{ $table->{columns} };
	my $kind = rand;
	return _insert($table) if !$table->{changes} || $kind < 0.4;
	return "DELETE FROM $table->{name} WHERE " . _where($table) . ';' if $kind < 0.5;
	if ($kind < 0.6)
	{
		# move the keys: up, where nothing is
		my $by = $table->{next};
		$table->{next} = 2 * $by + 10;
		return $by > 100000 ? '' : "UPDATE $table->{name} SET k = k + $by WHERE k < $by AND " . _where($table) . ';';
	}
	my @set = ('k2 = k2');
	push @set, 'k2 = ' . _literal(_text(4)) if chance(0.2);
	shift @set if @set > 1;
	push @set, map { "$_ = " . _value($table->{columns}->{$_}) } grep { chance(0.3) } @columns;
	return "UPDATE $table->{name} SET " . join(', ', @set) . ' WHERE ' . _where($table) . ';';
}

# A change to a table, and then all its rows once more: what is new in them does not come by itself.
sub _ddl
{
	my ($table) = @_;
	my @columns = sort keys %{ $table->{columns} };
	my $touch = $table->{changes} ? "UPDATE $table->{name} SET k2 = k2;" : '';
	my $kind = rand;
	if ($kind < 0.35 && $table->{changes})
	{
		my $type = _type($table);
		my $column = _quoted(_name('c'));
		my $default = chance(0.5) ? ' DEFAULT ' . _value($type) =~ s/\(SELECT.*\)/'toasted'/r : '';
		$default = '' if $type eq 'fz.label' && $default =~ /NULL/;
		$table->{columns}->{$column} = $type;
		return "ALTER TABLE $table->{name} ADD COLUMN $column $type$default;\n$touch";
	}
	if ($kind < 0.6 && @columns > 1)
	{
		my $column = pick(@columns);
		delete $table->{columns}->{$column};
		return "ALTER TABLE $table->{name} DROP COLUMN $column;";
	}
	if ($kind < 0.75 && @columns)
	{
		my $column = pick(@columns);
		my $new = _quoted(_name('r'));
		$table->{columns}->{$new} = delete $table->{columns}->{$column};
		return "ALTER TABLE $table->{name} RENAME COLUMN $column TO $new;";
	}
	if ($kind < 0.85 && @columns && $table->{changes} && !$table->{partitioned} && !$table->{short})
	{
		my $column = pick(@columns);
		$table->{columns}->{$column} = 'text';
		return "ALTER TABLE $table->{name} ALTER COLUMN $column TYPE text USING format('%s', $column);\n$touch";
	}
	if ($kind < 0.95)
	{
		my ($schema) = split /\./, $table->{name};
		my $new = _quoted(_name('n'));
		my $sql = "ALTER TABLE $table->{name} RENAME TO $new;";
		$table->{name} = "$schema.$new";
		return $sql;
	}
	return "ALTER TYPE fz.mood ADD VALUE IF NOT EXISTS 'mood $count' BEFORE 'sad';";
}

# Changes to a table within a transaction, of which later statements need not know.
sub _inner_ddl
{
	my ($table) = @_;
	my $touch = $table->{changes} ? "UPDATE $table->{name} SET k2 = k2;" : '';
	my $column = 'x' . ++$count;
	my $default = $table->{changes} ? pick('', ' DEFAULT 7', ' DEFAULT (random() * 10)::int') : '';
	my $add = "ALTER TABLE $table->{name} ADD COLUMN $column int$default;\n$touch\n" . _insert($table);
	return pick(
		$add,
		"SAVEPOINT ddl;\n$add\nROLLBACK TO ddl;",
		"SAVEPOINT ddl;\n$add\nRELEASE ddl;",
		"SAVEPOINT ddl;\nCREATE TABLE fz.inner$count(k int PRIMARY KEY, v text);\nINSERT INTO fz.inner$count SELECT i, repeat('x', 50) FROM generate_series(1, 400) i;\nROLLBACK TO ddl;",
		"CREATE TABLE fz.inner$count(k int PRIMARY KEY, v fz.mood);\nINSERT INTO fz.inner$count SELECT i, 'sad' FROM generate_series(1, 5) i;\nUPDATE fz.inner$count SET k = k + 10; ALTER TABLE fz.inner$count ALTER v TYPE text; UPDATE fz.inner$count SET v = 'é';",
		"SAVEPOINT ddl;\nALTER TABLE $table->{name} RENAME COLUMN k2 TO other; ALTER TABLE $table->{name} RENAME TO other;\nROLLBACK TO ddl;",
		"ALTER TABLE $table->{name} REPLICA IDENTITY " . ($table->{primary} && !$table->{partitioned} ? pick('FULL', 'DEFAULT') : 'FULL') . ';',
		"ALTER TYPE fz.pair RENAME TO couple; " . _insert($table) . ' ALTER TYPE fz.couple RENAME TO pair;');
}

# A transaction's statements.
sub random_transaction
{
	my ($prepared_allowed, @tables) = @_;
	my $sql = "BEGIN;\n";
	my $depth = 0;
	my $ddl = '';

	return _ddl(pick(@tables)) . "\n" if chance(0.15);
	my $prepared = $prepared_allowed && chance(0.2);
	for (1 .. 1 + rand 8)
	{
		my $kind = rand;
		if ($kind < 0.12) { $depth++; $sql .= "SAVEPOINT s$depth;\n"; }
		elsif ($kind < 0.2 && $depth) { $sql .= "ROLLBACK TO s$depth;\n"; }
		elsif ($kind < 0.25 && $depth) { $sql .= "RELEASE s$depth;\n"; $depth--; }
		elsif ($kind < 0.28)
		{
			# PostgreSQL cannot decode a sub-transaction's new files once the prepared transaction is
			# rolled back and pg_class is pruned: "could not map filenode", with any plugin
			next if $prepared && $depth;
			$sql .= 'TRUNCATE ' . join(', ', map { $_->{name} } $tables[0], grep { chance(0.5) } @tables[1 .. $#tables]) . pick('', ' CASCADE', ' RESTART IDENTITY') . ";\n";
		}
		elsif ($kind < 0.3 && !$prepared) { $sql .= _inner_ddl(pick(@tables)) . "\n"; }
		elsif ($kind < 0.31) { $sql .= "SELECT pg_logical_emit_message(" . pick(qw(true false)) . ", 'p', " . _literal(_text(10)) . ") \\g /dev/null\n"; }
		elsif ($kind < 0.32) { $sql .= "SELECT 1 / 0;\n"; }
		else { $sql .= _statement(pick(@tables)) . "\n"; }
	}
	return $sql . pick('COMMIT', 'COMMIT', 'COMMIT', 'COMMIT', 'COMMIT', 'COMMIT', 'ROLLBACK') . ";\n" unless $prepared;
	my $gid = _literal('gid' . ++$count . pick('', ' é "', '\\'));
	return "${sql}PREPARE TRANSACTION $gid;\nCOMMIT PREPARED $gid;\n" if chance(0.5);
	return "${sql}PREPARE TRANSACTION $gid;\nROLLBACK PREPARED $gid;\n";
}

1;
