# Every value of every type arrives as it is: in columns, in arrays, as key, and in rows that are
# only found by all of their values.
use strict;
use warnings;
use Penstock;
use Topic;
use Test::More;

$ENV{PGCLIENTENCODING} = 'UTF8';
my @servers = Topic::servers();
my (undef, $source, undef, $target) = @servers;

my $long = join '', map { sprintf '%08x', $_ * 2654435761 % 2**32 } 1 .. 250;
my @texts = ('', 'a', 'NULL', 'null', '\N', '\.', '{}', '{a,b}', '"', q{'}, '\\', '\\\\"', ',', ' ', ' a ', "new\nline", "a\tb\rc", '()', '(,)',
	'ünïcödé 漢字 🐘', $long);
my @moments = ('infinity', '-infinity', '4714-11-25 BC', '0001-01-01', '1999-12-31', '2000-01-01');
my @times = (@moments, '294276-12-31 23:59:59.999999', '1999-12-31 23:59:59.999999', '2000-01-01 00:00:00.000001');
my @shapes = ('((1,2),(3,4))', '((0,0),(1e-300,1e+300))', '((-1.5,0.1),(2,2))', '((5,5),(-5,-5))');

# [type, values], different ones in the sense of the type's =; where it has none for an index: nokey. An array, where ARRAY[] makes none.
my @types = (
	[ bool => [ 't', 'f' ] ],
	[ int2 => [ -32768, 32767, 0, -1 ] ],
	[ int4 => [ -2147483648, 2147483647, 0, -1 ] ],
	[ int8 => [ '-9223372036854775808', '9223372036854775807', 0, -1 ] ],
	[ oid => [ 0, 1, 2147483648, 4294967295 ] ],
	[ float4 => [ 'NaN', 'Infinity', '-Infinity', '-0', '1e-45', '3.4028235e38', '0.1', '16777217' ] ],
	[ float8 => [ 'NaN', 'Infinity', '-Infinity', '-0', '5e-324', '1.7976931348623157e308', '0.1', '9007199254740993' ] ],
	[ numeric => [ 'NaN', 'Infinity', '-Infinity', '0.000', '1.10', '-1e-1000', '9' x 300 . '.' . '9' x 300, '12345678901234567890', '10000' ] ],
	[ 'numeric(20,5)' => [ 'NaN', '0', '1.5', '-123456789012345.12345' ] ],
	[ money => [ '-92233720368547758.08', '92233720368547758.07', '0', '-0.01' ] ],
	[ text => \@texts ],
	[ 'varchar(3000)' => \@texts ],
	[ 'char(20)' => [ '', 'a', '  b', 'NULL', '🐘🐘', '\.' ] ],
	[ bpchar => [ '', 'a', '  b', 'NULL', '\.' ] ],
	[ name => [ '', 'a', 'n' x 63, 'ü' x 31 ] ],
	[ '"char"' => [ 'a', '', '\\', ',' ] ],
	[ bytea => [ '', '\x00', '\x5c', '\x' . join('', map { sprintf '%02x', $_ } 0 .. 255) ] ],
	[ date => [ @moments, '5874897-12-31' ] ],
	[ time => [ '00:00', '24:00', '12:34:56.789012', '23:59:59.999999' ] ],
	[ 'time(2)' => [ '00:00', '24:00', '12:34:56.78' ] ],
	[ timetz => [ '00:00+15:59:59', '24:00-15:59:59', '12:34:56.789012+05:30', '12:00Z' ] ],
	[ timestamp => \@times ],
	[ timestamptz => \@times ],
	[ interval => [ '0', '1 mon', '-1 mon +1 day -00:00:00.000001', '178000000 years', '-178000000 years', '1 year 2 mons 3 days 04:05:06.789', '24:00:01' ] ],
	[ 'interval day to second(2)' => [ '0', '-1 day', '1 day 04:05:06.78' ] ],
	[ uuid => [ '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' ] ],
	[ json => [ '{"a": 1, "a":  2}', ' [ null ] ', '"\u0000"', '1e500', '{}', '"🐘"' ], 'nokey' ],
	[ jsonb => [ '{"a": [1.0, 1.00, null, {}]}', '"x\ny"', 'null', '1e500', '{}' ] ],
	[ xml => [ '<a b="c">d</a>', '<a/><b/>', 'only text', '' ], 'nokey' ],
	[ inet => [ '10.0.0.1/8', '10.0.0.1', '::1', '2001:db8::/32', '::ffff:1.2.3.4/128' ] ],
	[ cidr => [ '10.0.0.0/8', '10.0.0.1/32', '::/0', '2001:db8::/32' ] ],
	[ macaddr => [ '08:00:2b:01:02:03', '00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff' ] ],
	[ macaddr8 => [ '08:00:2b:01:02:03:04:05', '00:00:00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff:ff:ff' ] ],
	[ 'bit(5)' => [ '00000', '11111', '10101' ] ],
	[ 'bit varying' => [ '', '0', '00', '1' x 1000 ] ],
	[ point => [ '(1,2)', '(-0,Infinity)', '(NaN,1e-300)' ], 'nokey' ],
	[ box => \@shapes, 'nokey' ],
	[ lseg => \@shapes, 'nokey' ],
	[ path => [ @shapes, '[(1,2),(3,4),(5,6)]' ], 'nokey' ],
	[ polygon => [ @shapes, '((1,2))' ], 'nokey' ],
	[ circle => [ '<(1,2),3>', '<(0,0),0>', '<(1e300,0),0.1>' ], 'nokey' ],
	[ line => [ '{1,2,3}', '{0,-1,0.1}' ], 'nokey' ],
	[ int4range => [ 'empty', '[1,5)', '(,5)', '(,)' ] ],
	[ int8range => [ 'empty', '[1,9223372036854775807)', '[3,)' ] ],
	[ numrange => [ 'empty', '(1.0,2.00]', '[NaN,NaN]', '(,1e100)' ] ],
	[ daterange => [ 'empty', '[2026-01-01,infinity)', '[-infinity,infinity]' ] ],
	[ tsrange => [ 'empty', '["2026-01-01 01:02:03.5",infinity]', '(,)' ] ],
	[ tstzrange => [ 'empty', '[2026-01-01 00:00+05:30,infinity)', '(,)' ] ],
	[ int4multirange => [ '{}', '{[1,2),[5,6)}', '{(,)}' ] ],
	[ nummultirange => [ '{}', '{(1.0,2.00],[3,)}', '{(,1]}' ] ],
	[ tstzmultirange => [ '{}', '{[2026-01-01 00:00+00,2026-02-01 00:00+00),[2026-03-01 00:00+00,)}', '{(,)}' ] ],
	[ tsvector => [ '', 'a:1A b:2', q{'it''s':3 '\\\\':4}, 'x' ] ],
	[ tsquery => [ '', 'a & !b', q{'it''s' <-> c:*AB}, 'x' ] ],
	[ pg_lsn => [ '0/0', '0/16B3748', 'FFFFFFFF/FFFFFFFF' ] ],
	[ regclass => [ 'pg_class', '-', 'information_schema.tables', '99999999' ] ],
	[ regtype => [ 'integer', '-', 'timestamp with time zone', 'integer[]' ] ],
	[ regprocedure => [ 'now()', '-', 'substring(text,integer,integer)' ] ],
	[ jsonpath => [ '$.a[*]', 'strict $."it\"s" ? (@ > 1)', 'true' ], 'nokey' ],
	[ tid => [ '(0,1)', '(4294967295,65535)' ] ],
	[ xid => [ '1', '4294967295' ], 'nokey' ],
	[ xid8 => [ '1', '18446744073709551615' ] ],
	[ pg_snapshot => [ '10:20:10,14,15', '1:1:' ], 'nokey' ],
	[ oidvector => [ '', '1 2 3', '0' ] ],
	[ refcursor => [ 'a', '', 'NULL' ], 'nokey' ],
	[ mood => [ 'calm', 'wild', 'NULL', 'so, "so"' ] ],
	[ pair => [ '(1,a)', '(,)', '(,"")', '(-1,"x ""y"" \\\\ , (z)")' ] ],
	[ nested => [ '("(1,a)","{1,NULL}","{""(2,b)"",NULL}")', '(,,)', '("(,)",{},{})' ], 'nokey' ],
	[ small => [ '1', '99', '-5' ] ],
	[ smaller => [ '1', '9', '-5' ] ],
	[ whole_pair => [ '(1,a)', '(3,"")' ] ],
	[ ints => [ '{1,2}', '{}', '{NULL}', '[0:1]={3,4}' ], '', '{"{1,2}",NULL,"{}"}' ],
	[ floatrange => [ 'empty', '[0.1,Infinity)', '(-0,1]', '(,)' ] ],
	[ floatmultirange => [ '{}', '{[0.1,1),[2,Infinity)}' ] ],
	[ wordrange => [ 'empty', '[a,"b ,)"]', '["",)', '(,"\\\\")' ] ],
	[ citext => [ 'Aa', 'b', '', 'NULL', 'ÜBER' ] ],
	[ hstore => [ '', 'a=>NULL', '"a"=>"NULL", "b=>c"=>"\"x\\\\y\""' ] ],
	[ ltree => [ '', 'a', 'a.B.c1' ] ],
	[ cube => [ '(1,2,3)', '(0),(1)', '(1e-300)' ] ],
);

my $schema = q{
	CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION cube;
	CREATE TYPE mood AS ENUM ('calm', 'NULL', 'so, "so"', 'wild');
	CREATE TYPE pair AS (a int, b text);
	CREATE TYPE nested AS (p pair, i int[], ps pair[]);
	CREATE DOMAIN small AS int CHECK (VALUE < 100);
	CREATE DOMAIN smaller AS small CHECK (VALUE < 10);
	CREATE DOMAIN whole_pair AS pair CHECK (coalesce((VALUE).a, 1) > 0);
	CREATE DOMAIN ints AS int[];
	CREATE TYPE floatrange AS RANGE (subtype = float8, subtype_diff = float8mi);
	CREATE TYPE wordrange AS RANGE (subtype = text, collation = "C");
};
my (@tables, @setup, @changes, @many);
for my $i (0 .. $#types)
{
	my ($type, $values, $without, $array) = @{ $types[$i] };
	$without //= '';
	my ($keyed, $full) = ("k_$i", "f_$i");
	my @v = map { "\$v\$$_\$v\$::$type" } @$values;
	my $n = @v;
	my $v = sub { $v[ $_[0] % $n ] };
	my $a = sub { $array ? "'$array'::${type}[]" : "ARRAY[" . $v->($_[0]) . ", NULL, " . $v->($_[0] + 1) . "]::${type}[]" };
	my $by_id = $without =~ /nokey/;

	push @tables, $keyed, $full;
	$schema .= "CREATE TABLE $keyed(id int" . ($by_id ? ' PRIMARY KEY' : '') . ", k $type" . ($by_id ? '' : ' PRIMARY KEY') . ", v $type, a ${type}[]);
		CREATE TABLE $full(v $type, a ${type}[], n int); ALTER TABLE $full REPLICA IDENTITY FULL;\n";

	# All values but the last; then that one takes the first one's place, which takes the second's.
	push @setup, map { "INSERT INTO $keyed VALUES ($_, $v[$_], " . $v->($_ + 1) . ", " . $a->($_) . ")" } 0 .. $n - 2;
	push @setup, map { "INSERT INTO $full VALUES ($v[$_], " . $a->($_) . ", $_), ($v[$_], " . $a->($_) . ", $_)" } 0 .. $n - 1;
	push @setup, "INSERT INTO $full VALUES (NULL, NULL, NULL), (NULL, '{}', 1), (NULL, '{NULL}', 1)";
	# So many that they go in bulk.
	my $case = sub { my ($n_sql, $value) = @_; return "CASE ($n_sql) % $n " . join(' ', map { "WHEN $_ THEN " . $value->($_) } 0 .. $n - 1) . ' END' };
	push @tables, "m_$i";
	$schema .= "CREATE TABLE m_$i(id int PRIMARY KEY, v $type, a ${type}[]);\n";
	push @many, "INSERT INTO m_$i SELECT n, " . $case->('n', $v) . ", CASE WHEN n % 5 > 0 THEN " . $case->('n', $a) . " END FROM generate_series(1, 120) n", "UPDATE m_$i SET v = " . $case->('id + 1', $v) . ' WHERE id % 3 = 0',
	  "UPDATE m_$i SET a = '{}', v = NULL WHERE id % 4 = 1", "DELETE FROM m_$i WHERE id % 5 = 2", "UPDATE m_$i SET id = -id, a = NULL WHERE id % 7 = 0";

	push @changes, "UPDATE $keyed SET k = " . $v->(-1) . " WHERE id = 0", "UPDATE $keyed SET k = $v[0] WHERE id = 1",
	  "UPDATE $keyed SET v = NULL WHERE id % 2 = 0", "UPDATE $keyed SET v = $v[0], a = '{}' WHERE id % 3 = 0", "UPDATE $keyed SET a = NULL WHERE id = 1",
	  "DELETE FROM $keyed WHERE id = 2", "INSERT INTO $keyed(id, k, v) SELECT 2, " . $v->(2) . ", $v[1] WHERE $n > 3";
	push @changes, "UPDATE $full SET n = n + 100 WHERE ctid IN (SELECT min(ctid) FROM $full GROUP BY n)",
	  "DELETE FROM $full WHERE ctid IN (SELECT max(ctid) FROM $full WHERE n < 100 GROUP BY n)",
	  "UPDATE $full SET v = $v[0] WHERE v IS NULL", "UPDATE $full SET a = " . ($array ? "'{}'" : "array_fill($v[1], ARRAY[2,2], ARRAY[-1,2])") . ' WHERE n % 2 = 1',
	  "DELETE FROM $full WHERE n IS NULL";
}

# What the settings of a database could spoil.
my @settings = ("datestyle = 'SQL, DMY'", "intervalstyle = 'sql_standard'", 'extra_float_digits = -5', "bytea_output = 'escape'",
	"timezone = 'Asia/Kolkata'", 'quote_all_identifiers = on', "xmlbinary = 'hex'", 'array_nulls = off', 'xmloption = document', 'standard_conforming_strings = off');
my $settings = join '', map { "SELECT format('ALTER DATABASE %I SET %s', current_database(), \$\$$_\$\$) \\gexec\n" } @settings;

my $topic = Topic->new(@servers, name => 'types', schema => $schema . $settings,
	look => '-c datestyle=ISO -c timezone=UTC -c extra_float_digits=1 -c intervalstyle=postgres -c bytea_output=hex -c quote_all_identifiers=off');
my $ours = "SET array_nulls = on; SET xmloption = content; SET datestyle = ISO; SET timezone = UTC; SET standard_conforming_strings = on;\n";
$topic->write($ours . join(";\n", @setup));
$topic->arrives('values', @tables);
$topic->write($ours . join(";\n", @changes));
$topic->arrives('changes', @tables);
$topic->write("$ours BEGIN; TRUNCATE " . join(', ', @tables) . ";\n" . join(";\n", @setup, @changes) . '; COMMIT');
$topic->arrives('all in one transaction', @tables);
$topic->write($ours . join(";\n", @many));
$topic->arrives('many rows', @tables);
$topic->stop;

$source->stop;
$target->stop;
done_testing();
