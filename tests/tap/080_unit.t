# The unit tests that have more to show where PENSTOCK_TEST_SOURCE names a database to play in.
use strict;
use warnings;
use Penstock;
use Test::More;

my @programs = split ' ', `cd $ENV{PENSTOCK_SANDBOX}/tests/unit && grep -l PENSTOCK_TEST_SOURCE *.c`;
plan skip_all => 'no unit test asks for a server' unless @programs;

my $source = source_node('source');
local $ENV{PENSTOCK_TEST_SOURCE} = $source->connstr('postgres');
local $ENV{PENSTOCK_TEST_PLUGIN} = 'penstock';

for my $file (@programs)
{
	(my $name = $file) =~ s/\.c$//;
	my $output = `"$ENV{PENSTOCK_SANDBOX}/bin/unit/$name" 2>&1`;
	is($?, 0, $name) or diag($output);
	unlike($output, qr/SKIPPED/, "$name skips nothing") or diag($output);
}

done_testing();
