# The library for programs: a struct for a live table, rows that arrive as it, and the example
# program that keeps a cache.
use strict;
use warnings;
use Penstock;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = $PostgreSQL::Test::Utils::tmp_check;
local $ENV{LD_LIBRARY_PATH} = $ENV{PENSTOCK_LIBDIR};
my $source = source_node('source');
$source->safe_psql('postgres', q{
	CREATE TABLE people (
		id bigint PRIMARY KEY, "full name" text NOT NULL, age smallint, active boolean NOT NULL,
		score double precision, "int" integer, seen timestamptz, photo bytea, tags text[]);
	INSERT INTO people VALUES (1, 'Ada', 36, true, 1.5, NULL, NULL, '\x00ff', '{a,b}');});

my ($flags) = run_command([ 'pkg-config', '--cflags', '--libs', 'penstock' ]);

sub build
{
	my ($program, @sources) = @_;
	return command_ok([ 'cc', '-std=c11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', "-I$dir", '-o',
			$program, @sources, split(' ', $flags) ], 'it builds without a warning');
}

# ---- gen-struct ----

my ($code, $struct, $err) = penstock('gen-struct', '--source', uri($source), '--table', 'people');
is($code, 0, 'gen-struct prints a struct') or diag($err);
like($struct, qr/\bint64_t\s+id;/, 'a column has the type that holds it');
append_to_file("$dir/people.h", $struct);

my ($fields) = $struct =~ /penstock_field\s+(\w+)\[\]/;
my ($type) = $struct =~ /^(?:typedef )?struct (\w+)/m;
my $printer = q{
#include <inttypes.h>
#include <stdio.h>
#include <penstock/penstock.h>
#include "people.h"

static penstock_status
print_person(penstock *p, const penstock_event *event, void *context)
{
	struct TYPE person = {0};
	size_t bad;

	(void) p;
	(void) context;
	if (event->kind != PENSTOCK_INSERT)
		return PENSTOCK_OK;
	if (penstock_row_to_struct(&event->new_row, FIELDS, sizeof(FIELDS) / sizeof(FIELDS[0]), &person,
							   &bad) < 0)
	{
		printf("field %zu does not fit\n", bad);
		return PENSTOCK_OK;
	}
	printf("%" PRId64 " %d %d %s %.*s\n", person.id, person.age, person.active,
		   person.age_is_null ? "ageless" : "aged", (int) person.full_name.len, person.full_name.data);
	fflush(stdout);
	return PENSTOCK_OK;
}

int
main(int argc, char **argv)
{
	penstock *p = penstock_new();
	penstock_status status = PENSTOCK_OK;

	if (argc != 3 || penstock_set(p, "source", argv[1]) < 0 || penstock_set(p, "slot", argv[2]) < 0 ||
		penstock_set(p, "until", "current") < 0 ||
		penstock_on_change(p, "public.people", print_person, NULL) < 0 || penstock_open(p) < 0)
	{
		fprintf(stderr, "%s\n", penstock_error(p));
		return 1;
	}
	while (status >= 0 && status != PENSTOCK_DONE)
		status = penstock_step(p, 100);
	fprintf(stderr, "%s", status < 0 ? penstock_error(p) : "");
	penstock_free(p);
	return status < 0;
}
};
$printer =~ s/TYPE/$type/g;
$printer =~ s/FIELDS/$fields/g;
append_to_file("$dir/people.c", $printer);
build("$dir/people", "$dir/people.c");

my ($created) = penstock('slot', 'create', '--source', uri($source), '--slot', 'people');
is($created, 0, 'slot created');
$source->safe_psql('postgres', q{
	INSERT INTO people VALUES (2, 'Grace', NULL, false);
	INSERT INTO people VALUES (3, 'Edsger', 72, true);});
my ($out, $complaint) = run_command([ "$dir/people", uri($source), 'people' ]);
is($complaint, '', 'the program has nothing to complain of');
is($out, "2 0 0 ageless Grace\n3 72 1 aged Edsger", 'rows arrive as structs');
($out) = run_command([ "$dir/people", uri($source), 'people' ]);
is($out, '', 'and each arrives once: what was delivered is confirmed');

# ---- the cache ----

my $cache = "$dir/cache";
build($cache, "$ENV{PENSTOCK_SANDBOX}/examples/cache.c");
my ($in, $said, $cache_err) = ('', '', '');
my $limit = IPC::Run::timeout(60);
my $h = IPC::Run::start([ $cache, uri($source), 'public.people' ], \$in, \$said, \$cache_err, $limit);
$in .= "1\n";
$h->pump until $said =~ /Ada/;
like($said, qr/id=1/, 'the cache holds the rows that were there');
$said = '';
$source->safe_psql('postgres', "UPDATE people SET \"full name\" = 'Ada Lovelace' WHERE id = 1");
$h->pump until $said =~ /id=1/;
like($said, qr/xid \d+: .*id=1/s, 'it tells who changed what');
$said = '';
$in .= "1\n";
$h->pump until $said =~ /Lovelace/;
pass('and answers with the new row');
$in .= "4711\n";
$h->pump until $said =~ /no such row/;
pass('a key that is not there is told');
$h->signal('INT');
$h->finish;
is($h->full_result(0), 0, 'it stops when asked') or diag($cache_err);
is($source->safe_psql('postgres', "SELECT count(*) FROM pg_replication_slots WHERE slot_name <> 'people'"),
	0, 'and leaves no slot behind');

done_testing();
