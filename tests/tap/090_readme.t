# What the README says of embedding: its program builds against the installed library.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;

my $readme = slurp_file("$ENV{PENSTOCK_SANDBOX}/README.md");
my ($program) = $readme =~ /^```c\n(.*?)^```/ms;
ok($program, 'the README has a program');

my $base = "$PostgreSQL::Test::Utils::tmp_check/readme";
append_to_file("$base.c", $program);
my ($flags, $err) = run_command([ 'pkg-config', '--cflags', '--libs', 'penstock' ]);
is($err, '', 'pkg-config knows penstock');
command_ok([ 'cc', '-std=c11', '-Wall', '-Wextra', '-Werror', '-o', $base, "$base.c", split(' ', $flags) ],
	'it builds without a warning');

my ($version) = run_command([ $ENV{PENSTOCK}, '--version' ]);
my ($pc_version) = run_command([ 'pkg-config', '--modversion', 'penstock' ]);
like($version, qr/\Q$pc_version\E/, 'the program, and what pkg-config says of it, have one version');

done_testing();
