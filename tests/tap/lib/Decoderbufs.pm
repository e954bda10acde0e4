# Decoderbufs.pm -- reads what format decoderbufs sends, for tests: written from the protocol's
# definition, knowing nothing of the plugin.
package Decoderbufs;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(decode_row_message);

my @ops = ('INSERT', 'UPDATE', 'DELETE', 'BEGIN', 'COMMIT');
my @datum_kinds =
  (undef, undef, undef, 'int32', 'int64', 'float', 'double', 'bool', 'string', 'bytes', 'point', 'missing');

# The fields of a message in their order: [number, value].
sub _fields
{
	my ($bytes) = @_;
	my ($pos, @fields) = (0);
	my $varint = sub {
		my ($value, $shift, $byte) = (0, 0);
		do
		{
			die "a message is cut off\n" if $pos >= length $bytes;
			$byte = ord substr($bytes, $pos++, 1);
			$value |= ($byte & 0x7F) << $shift;
			$shift += 7;
		} while ($byte & 0x80);
		return unpack('q', pack('Q', $value));
	};
	my $take = sub {
		my ($len) = @_;
		die "a message is cut off\n" if $len < 0 || $pos + $len > length $bytes;
		$pos += $len;
		return substr($bytes, $pos - $len, $len);
	};
	while ($pos < length $bytes)
	{
		my $tag = $varint->();
		my ($number, $type) = ($tag >> 3, $tag & 7);
		push @fields, [ $number,
			  $type == 0 ? $varint->()
			: $type == 1 ? unpack('d<', $take->(8))
			: $type == 2 ? $take->($varint->())
			: $type == 5 ? unpack('f<', $take->(4))
			:              die "wire type $type\n" ];
	}
	return @fields;
}

# { name, type, kind, value }: kind undef is NULL, 'missing' a value that was not touched.
sub _datum
{
	my %datum;
	foreach my $field (_fields(@_))
	{
		my ($number, $value) = @$field;
		if ($number == 1) { $datum{name} = $value; }
		elsif ($number == 2) { $datum{type} = $value; }
		else
		{
			my $kind = $datum_kinds[$number] // die "datum field $number\n";
			$datum{kind} = $kind;
			$datum{value} = $kind eq 'point' ? [ map { $_->[1] } _fields($value) ] : $value;
		}
	}
	return \%datum;
}

# { xid, time, table, op, new => [datum...], old => [...], info => [[modifier, optional]...] }
sub decode_row_message
{
	my %row = (new => [], old => [], info => []);
	foreach my $field (_fields(@_))
	{
		my ($number, $value) = @$field;
		if ($number == 1) { $row{xid} = $value; }
		elsif ($number == 2) { $row{time} = $value; }
		elsif ($number == 3) { $row{table} = $value; }
		elsif ($number == 4) { $row{op} = $ops[$value]; }
		elsif ($number == 5) { push @{ $row{new} }, _datum($value); }
		elsif ($number == 6) { push @{ $row{old} }, _datum($value); }
		elsif ($number == 7) { push @{ $row{info} }, [ map { $_->[1] } _fields($value) ]; }
		else { die "row field $number\n"; }
	}
	return \%row;
}

1;
