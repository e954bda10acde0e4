# The extension: the same by update, afresh and from a dump; of use to roles without rights; and
# check() names each thing that stands in the way.
use strict;
use warnings;
use Penstock;
use PostgreSQL::Test::Utils;
use Test::More;

my $tmp = $PostgreSQL::Test::Utils::tmp_check;
my $source = source_node('source', max_slot_wal_keep_size => '1GB');

# Everything that makes up the extension in a database, as text.
sub definition
{
	my ($database) = @_;
	return $source->safe_psql($database, q{
		SELECT extversion FROM pg_extension WHERE extname = 'penstock';
		SELECT pg_describe_object(classid, objid, 0), obj_description(objid, classid::regclass::name) FROM pg_depend
		WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
			AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'penstock') ORDER BY 1;
		SELECT pg_get_functiondef(oid), proacl, proowner::regrole FROM pg_proc WHERE pronamespace = 'penstock'::regnamespace ORDER BY 1;
		SELECT pg_get_viewdef(oid), reloptions, relacl, relowner::regrole FROM pg_class
		WHERE relnamespace = 'penstock'::regnamespace AND relkind = 'v' AND relname = 'slots';
		SELECT attnum, attname, atttypid::regtype, col_description(attrelid, attnum) FROM pg_attribute
		WHERE attrelid = 'penstock.slots'::regclass AND attnum > 0 ORDER BY 1});
}

# What check() says of an item, as the lines "level|item|found|remedy".
sub findings
{
	my ($node, $item, $database, $argument) = @_;
	$argument //= '';
	return $node->safe_psql($database // 'postgres', "SELECT * FROM penstock.check($argument) WHERE item = '$item'");
}

sub wait_for_sql
{
	my ($node, $query, $name) = @_;
	return ok($node->poll_query_until('postgres', $query), $name);
}

# ---- one extension, three ways to it ----

$source->safe_psql('postgres', "CREATE DATABASE $_") for qw(updated restored);
$source->safe_psql('postgres', 'CREATE EXTENSION penstock');
my $fresh = definition('postgres');
like($fresh, qr/^0\.2\.0\n/, 'CREATE EXTENSION gives the newest version');

$source->safe_psql('updated', q{CREATE EXTENSION penstock VERSION '0.1.0'; CREATE VIEW mine AS SELECT slot_name, lag_bytes FROM penstock.slots});
$source->safe_psql('updated', 'ALTER EXTENSION penstock UPDATE');
is(definition('updated'), $fresh, 'an update gives the same');
is($source->safe_psql('updated', 'SELECT count(*) FROM mine'), '0', 'and leaves views alone that were made over slots');

my ($dump, $err) = run_command([ 'pg_dump', '--dbname', $source->connstr('updated') ]);
is($err, '', 'it can be dumped');
like($dump, qr/^CREATE EXTENSION IF NOT EXISTS penstock WITH SCHEMA penstock;$/m, 'as an extension');
unlike($dump, qr/CREATE (FUNCTION|VIEW) penstock\.|(GRANT|REVOKE) .* penstock\./, 'and not object by object');
append_to_file("$tmp/dump.sql", $dump);
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '--file', "$tmp/dump.sql", $source->connstr('restored') ], 'and restored');
is(definition('restored'), $fresh, 'which gives the same');
$source->safe_psql('restored', 'DROP VIEW mine; DROP EXTENSION penstock');
is($source->safe_psql('restored', q{SELECT count(*) FROM pg_proc WHERE pronamespace = 'penstock'::regnamespace}), '0', 'it can be dropped');

$source->safe_psql('restored', 'CREATE TABLE penstock.progress(id int)');
$source->safe_psql('restored', 'CREATE EXTENSION penstock');
is(definition('restored'), $fresh, 'beside what a destination keeps in the schema there is room');
$source->safe_psql('restored', 'DROP EXTENSION penstock');
is($source->safe_psql('restored', 'SELECT count(*) FROM penstock.progress'), '0', 'and it stays');

# ---- roles without rights ----

$source->safe_psql('postgres', q{
	CREATE ROLE owner LOGIN; CREATE ROLE guest LOGIN; CREATE ROLE reader LOGIN REPLICATION;
	GRANT USAGE ON SCHEMA penstock TO guest, reader;
	CREATE TABLE secret(id int PRIMARY KEY)});
$source->safe_psql('postgres', 'CREATE DATABASE owned OWNER owner');

sub psql_as
{
	my ($role, $database, $sql) = @_;
	my ($out, $err);
	my $code = $source->psql($database, $sql, stdout => \$out, stderr => \$err, extra_params => [ '-U', $role ]);
	return ($code, $out, $err);
}

my ($code, $out);
($code, $out, $err) = psql_as('guest', 'owned', 'CREATE EXTENSION penstock');
like($err, qr/permission denied (for database owned|to create extension)/, 'without CREATE on the database there is no extension');
($code, $out, $err) = psql_as('owner', 'owned', q{CREATE EXTENSION penstock VERSION '0.1.0'});
is($err, '', "a database's owner may create it");
($code, $out, $err) = psql_as('owner', 'owned', q{ALTER EXTENSION penstock UPDATE; SELECT count(*) FROM penstock.slots});
is("$out$err", '0', 'update it and use it');
is(definition('owned'), $fresh, 'and it is the same one');
($code, $out, $err) = psql_as('owner', 'owned', q{GRANT USAGE ON SCHEMA penstock TO guest});
is($err, '', 'let others use it');
($code, $out, $err) = psql_as('owner', 'owned', q{CREATE OR REPLACE FUNCTION penstock.heartbeat() RETURNS pg_lsn LANGUAGE sql AS 'SELECT NULL::pg_lsn'});
like($err, qr/must be owner/, 'but not change it');
($code, $out, $err) = psql_as('guest', 'owned', 'SELECT count(*) FROM penstock.slots');
is("$out$err", '0', 'whom they let, may');
($code, $out, $err) = psql_as('owner', 'owned', 'DROP EXTENSION penstock');
is($err, '', 'and drop it');

$source->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('live', 'penstock')});
($code, $out, $err) = psql_as('guest', 'postgres', 'SELECT slot_name, lag_bytes >= 0 FROM penstock.slots');
is("$out$err", 'live|t', 'a guest sees slots');
($code, $out, $err) = psql_as('guest', 'postgres', q{SELECT penstock.emit('p', '1'::jsonb) < penstock.heartbeat()});
is("$out$err", 't', 'may write messages, as PostgreSQL lets everyone');
for my $function ('peek', 'get')
{
	($code, $out, $err) = psql_as('guest', 'postgres', "SELECT * FROM penstock.$function('live')");
	like($err, qr/permission denied to use replication slots|must be superuser or replication role/, "but not $function");
}
($code, $out, $err) = psql_as('guest', 'postgres', 'SELECT level, item, found, remedy FROM penstock.check()');
is($err, '', 'check() works for a guest');
like($out, qr/^info\|role guest\|has no REPLICATION, so may not read slots\|ALTER ROLE guest REPLICATION/m, 'and says what the guest lacks');
like($out, qr/^info\|transactions\|those of other roles are hidden from guest\|GRANT pg_read_all_stats TO guest$/m, 'and cannot see');
like($out, qr/^warning\|slot live\|inactive/m, 'and the rest');
$source->safe_psql('postgres', 'REVOKE SELECT ON pg_stat_activity FROM PUBLIC');
($code, $out, $err) = psql_as('guest', 'postgres', 'SELECT level, item, found FROM penstock.check()');
like("$out$err", qr/^info\|transactions\|could not be looked at: permission denied for view pg_stat_activity$/m, 'a closed catalog costs that part only');
like($out, qr/^warning\|slot live\|inactive/m, 'not the others');
$source->safe_psql('postgres', 'GRANT SELECT ON pg_stat_activity TO PUBLIC');
($code, $out, $err) = psql_as('reader', 'postgres', 'SELECT item FROM penstock.check()');
unlike("$out$err", qr/role reader/, 'a role with REPLICATION lacks nothing');
like(findings($source, 'replication roles'), qr/^info\|replication roles\|.*\breader\b/, 'and is named among those who read everything');

# ---- slots ----

my $recvlogical = IPC::Run::start([ 'pg_recvlogical', '--dbname', $source->connstr('postgres'), '--slot', 'live', '--start',
	'--no-loop', '--status-interval', '1', '--fsync-interval', '1', '--file', '/dev/null' ]);
wait_for_sql($source, q{SELECT active AND active_pid IS NOT NULL FROM penstock.slots}, 'a slot in use is active');
is(findings($source, 'slot live'), '', 'and no finding');
$source->safe_psql('postgres', q{ALTER SYSTEM SET logical_decoding_work_mem = '64kB'});
$source->reload;
wait_for_sql($source, q{SELECT count(*) = 1 FROM penstock.check_server() WHERE item = 'logical_decoding_work_mem'}, 'the reload is seen');
$source->safe_psql('postgres', 'CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 20000)');
my $lsn = $source->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
wait_for_sql($source, qq{SELECT confirmed_flush_lsn >= '$lsn' FROM penstock.slots}, 'its client confirms');
wait_for_sql($source, q{SELECT spill_txns > 0 AND spill_count > 0 AND spill_bytes > 0 AND total_txns > 0 AND total_bytes > 0
	AND stream_txns = 0 FROM penstock.slots}, 'what was spilled is counted');
$source->safe_psql('postgres', 'INSERT INTO t VALUES (0)');
wait_for_sql($source, q{SELECT lag_time IS NOT NULL FROM penstock.slots}, 'a lag in time is known');
is($source->safe_psql('postgres', q{SELECT temporary, two_phase, wal_status, safe_wal_size > 0, retained_bytes >= lag_bytes FROM penstock.slots}),
	'f|f|reserved|t|t', 'and the rest');
my $version = $source->safe_psql('postgres', 'SHOW server_version_num');
is($source->safe_psql('postgres', 'SELECT conflicting, failover, synced, invalidation_reason, inactive_since FROM penstock.slots'),
	$version < 160000 ? '||||' : $version < 170000 ? 'f||||' : 'f|f|f||', 'newer columns, where the server has them');
$source->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('other', 'test_decoding')});
is($source->safe_psql('postgres', 'SELECT slot_name FROM penstock.slots'), 'live', 'only slots of our plugin are there');

# ---- messages ----

$source->safe_psql('postgres', q{
	SELECT penstock.emit('json', '{"b": "é", "a": [1.50]}'::jsonb);
	SELECT penstock.emit('bytes', '\x6162'::bytea, false);
	BEGIN; SELECT penstock.emit('rolled back', '1'::jsonb); SELECT penstock.emit('stays', '2'::jsonb, false); ROLLBACK;
	SELECT penstock.heartbeat()});
# what is not of a transaction reaches the disk, and so decoding, when the WAL writer gets to it
wait_for_sql($source, q{SELECT count(*) = 4 FROM pg_logical_slot_peek_changes('other', NULL, NULL, 'skip-empty-xacts', 'on') WHERE data ~ '^message'},
	'messages are readable');
is($source->safe_psql('postgres', q{SELECT data FROM pg_logical_slot_get_changes('other', NULL, NULL, 'skip-empty-xacts', 'on') WHERE data ~ '^message'}),
	join("\n",
		'message: transactional: 1 prefix: json, sz: 24 content:{"a": [1.50], "b": "é"}',
		'message: transactional: 0 prefix: bytes, sz: 2 content:ab',
		'message: transactional: 0 prefix: stays, sz: 1 content:2',
		'message: transactional: 0 prefix: penstock.heartbeat, sz: 0 content:'),
	'messages come with their transaction, or at once');
drop_slot($source, 'other');

$source->safe_psql('updated', 'CREATE TABLE busy(id int); INSERT INTO busy SELECT generate_series(1, 10000)');
$lsn = $source->safe_psql('postgres', 'SELECT penstock.heartbeat()');
wait_for_sql($source, qq{SELECT confirmed_flush_lsn >= '$lsn' FROM penstock.slots}, 'a heartbeat moves the slot of an idle database beside a busy one');
$recvlogical->kill_kill;
wait_for_sql($source, q{SELECT NOT active FROM penstock.slots}, 'the client is gone');

# ---- what check() finds: settings ----

is(findings($source, 'logical_decoding_work_mem'), 'warning|logical_decoding_work_mem|64 kB: larger transactions are decoded by way of the disk'
	  . '|Set logical_decoding_work_mem to 64MB, the default, or more, and reload.', 'little memory for decoding');
$source->safe_psql('postgres', 'ALTER SYSTEM RESET logical_decoding_work_mem');
$source->safe_psql('postgres', 'ALTER SYSTEM SET wal_sender_timeout = 0');
$source->safe_psql('postgres', 'ALTER SYSTEM SET max_slot_wal_keep_size = -1');
$source->reload;
wait_for_sql($source, q{SELECT count(*) = 1 FROM penstock.check() WHERE item = 'wal_sender_timeout' AND level = 'warning' AND found ~ '^0: a dead client'
	AND remedy ~ '60s'}, 'wal_sender_timeout 0');
like(findings($source, 'max_slot_wal_keep_size'), qr/^warning\|.*\|no limit: .* fills the disk\|Set max_slot_wal_keep_size/, 'no limit to what slots retain');
$source->safe_psql('postgres', 'ALTER SYSTEM RESET wal_sender_timeout');
$source->reload;
wait_for_sql($source, q{SELECT count(*) = 0 FROM penstock.check_server() WHERE item ~ 'timeout|work_mem'}, 'findings go with their cause');

SKIP:
{
	skip 'the server has no output_plugin_libraries', 4
	  unless $source->safe_psql('postgres', q{SELECT count(*) FROM pg_settings WHERE name = 'output_plugin_libraries'});
	for my $value (q{pgoutput, test_decoding}, q{penstock2, "pen stock", "/x/penstock"})
	{
		$source->safe_psql('postgres', "ALTER SYSTEM SET output_plugin_libraries = $value");
		$source->reload;
		wait_for_sql($source, q{SELECT count(*) = 1 FROM penstock.check() WHERE item = 'output_plugin_libraries' AND level = 'error'
			AND remedy = 'Add penstock to output_plugin_libraries and reload.'}, "not let in by $value");
	}
	for my $value (q{penstock}, q{pgoutput, "penstock" , test_decoding})
	{
		$source->safe_psql('postgres', "ALTER SYSTEM SET output_plugin_libraries = $value");
		$source->reload;
		wait_for_sql($source, q{SELECT count(*) = 0 FROM penstock.check() WHERE item = 'output_plugin_libraries'}, "let in by $value");
	}
}

# ---- slots ----

like(findings($source, 'slot live'), qr/^warning\|slot live\|inactive( since 2.*)?, retains .*\|Start its client, or drop the slot/, 'a slot that nobody reads');
$source->safe_psql('postgres', q{ALTER SYSTEM SET min_wal_size = '32MB'});
$source->safe_psql('postgres', q{ALTER SYSTEM SET max_wal_size = '32MB'});
$source->reload;
$source->safe_psql('postgres', 'CREATE TABLE filler(id int PRIMARY KEY)');
sub fill_wal
{
	my ($segments) = @_;
	$source->safe_psql('postgres', 'INSERT INTO filler SELECT coalesce(max(id), 0) + 1 FROM filler; SELECT pg_switch_wal()') for 1 .. $segments;
}
fill_wal(4);
wait_for_sql($source, q{SELECT count(*) = 1 FROM penstock.check() WHERE item = 'slot live' AND level = 'warning'
	AND found ~ '^retains \d+ MB of WAL, more than max_wal_size$'}, 'a slot that retains a lot');
$source->safe_psql('postgres', q{ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'});
$source->reload;
wait_for_sql($source, q{SELECT count(*) = 0 FROM penstock.check_server() WHERE item = 'max_slot_wal_keep_size'}, 'a limit is set');
$source->safe_psql('postgres', q{ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'});
$source->reload;
wait_for_sql($source, q{SELECT count(*) = 1 FROM penstock.check() WHERE item = 'slot live' AND level = 'error'
	AND found ~ '^unreserved: ' AND remedy ~ 'max_slot_wal_keep_size'}, 'a slot that is about to be lost');
$source->safe_psql('postgres', 'CHECKPOINT');
wait_for_sql($source, q{SELECT count(*) = 1 AND bool_and(level = 'error' AND found ~ '^lost' AND remedy ~ 'drop the slot')
	FROM penstock.check() WHERE item = 'slot live'}, 'a slot that is lost');
drop_slot($source, 'live');
$source->safe_psql('postgres', "ALTER SYSTEM RESET $_") for qw(min_wal_size max_wal_size max_slot_wal_keep_size);

# ---- transactions ----

my $open = IPC::Run::start([ 'psql', '-X', '-q', $source->connstr('postgres'), '-c', 'INSERT INTO t VALUES (-1); SELECT pg_sleep(600)' ],
	'>', "$tmp/open.out", '2>', "$tmp/open.err");
wait_for_sql($source, q{SELECT count(*) = 1 FROM penstock.check('0') WHERE item ~ '^transaction of process \d+$' AND level = 'warning'
	AND found ~ '^active since .* in postgres: holds back every slot$'}, 'an open transaction');
is($source->safe_psql('postgres', q{SELECT count(*) FROM penstock.check('1 hour') WHERE item ~ '^transaction'}), '0', 'only an old one counts');
$source->safe_psql('postgres', q{SELECT pg_terminate_backend(substring(item from '\d+')::int) FROM penstock.check('0') WHERE item ~ '^transaction of'});
$open->finish;
wait_for_sql($source, q{SELECT count(*) = 0 FROM penstock.check('0') WHERE item ~ '^transaction'}, 'it is gone');
$source->safe_psql('postgres', q{BEGIN; INSERT INTO t VALUES (-1); PREPARE TRANSACTION 'it''s'});
my $prepared = $source->safe_psql('postgres', q{SELECT * FROM penstock.check('0') WHERE item ~ '^prepared'});
like($prepared, qr/^warning\|prepared transaction 'it''s'\|prepared at 2.* in postgres: holds back every slot\|In database postgres: COMMIT PREPARED 'it''s' or (ROLLBACK PREPARED 'it''s')$/,
	'a prepared transaction');
$source->safe_psql('postgres', $1) if $prepared =~ /(ROLLBACK .*)/;
is($source->safe_psql('postgres', q{SELECT count(*) FROM penstock.check('0') WHERE item ~ '^prepared'}), '0', 'its remedy helps');

# ---- changes as JSON ----

$source->safe_psql('postgres', q{CREATE TABLE j(id int PRIMARY KEY, name text); SELECT pg_create_logical_replication_slot('json', 'penstock')});
$source->safe_psql('postgres', q{INSERT INTO j VALUES (1, 'é'); SELECT penstock.emit('p', '{"a": 1}'::jsonb)});
($code, $out, $err) = psql_as('reader', 'postgres', q{SELECT change->>'op', change->'columns'->1->>'name' FROM penstock.peek('json')});
is("$out$err", "begin|\nrelation|name\ninsert|\ncommit|", 'a role with REPLICATION peeks, and has the schema first');
is($source->safe_psql('postgres', q{SELECT change->>'content' FROM penstock.peek('json', NULL, NULL, 'messages', 'on') WHERE change->>'op' = 'message'}),
	'{"a": 1}', 'an emitted message is there on request');

# two callers are never given the same rows
my $first = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', $source->connstr('postgres'), '-c', 'BEGIN', '-c', q{SELECT count(*) FROM penstock.get('json')},
	'-c', 'SELECT pg_sleep(600)' ], '>', "$tmp/first.out", '2>', "$tmp/first.err");
wait_for_sql($source, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'}, 'one has the rows');
my ($second_out, $second_err);
$source->psql('postgres', q{SELECT count(*) FROM penstock.get('json')}, stdout => \$second_out, stderr => \$second_err);
like($second_err, qr/replication slot "json" is read by penstock\.get\(\) in another transaction/, 'another is told to wait for its end');
$first->kill_kill;
$source->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'});
wait_for_sql($source, q{SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory'}, 'it has ended');
is($source->safe_psql('postgres', q{SELECT count(*) FROM penstock.get('json')}), '0', 'and its rows are consumed, whatever became of it');

# many calls beside many writers, in parts of every kind: each row once
$source->safe_psql('postgres', 'CREATE SEQUENCE s; CREATE UNLOGGED TABLE got(id int)');
append_to_file("$tmp/insert.sql", "\\set n random(1, 3)\nINSERT INTO j SELECT nextval('s') + 1 FROM generate_series(1, :n);\n");
my $writers = IPC::Run::start([ 'pgbench', '--no-vacuum', '--file', "$tmp/insert.sql", '--client', '4', '--time', '4', $source->connstr('postgres') ],
	'>', "$tmp/pgbench.out", '2>', "$tmp/pgbench.err");
my @parts = (q{'json', NULL, 7}, q{'json', pg_current_wal_lsn() - (random() * 3000)::int}, q{'json'}, q{'json', pg_current_wal_insert_lsn() + 1000, 1});
my $calls = 0;
while ($calls < 1000 && $writers->pumpable)
{
	my $part = $parts[ $calls++ % @parts ];
	$source->safe_psql('postgres', "INSERT INTO got SELECT (change->'new'->>'id')::int FROM penstock.get($part) WHERE change->>'op' = 'insert'");
}
$writers->finish;
$source->safe_psql('postgres', q{INSERT INTO got SELECT (change->'new'->>'id')::int FROM penstock.get('json') WHERE change->>'op' = 'insert'});
cmp_ok($calls, '>', 10, 'get was called often');
is($source->safe_psql('postgres', 'SELECT count(*) = count(DISTINCT id) AND count(*) = (SELECT count(*) - 1 FROM j) FROM got'), 't', 'and gave each row once');
drop_slot($source, 'json');

# ---- a database of another encoding ----

$source->safe_psql('postgres', q{CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'});
$source->safe_psql('latin', 'CREATE EXTENSION penstock');
like(findings($source, 'encoding', 'latin'), qr/^info\|encoding\|LATIN1: texts are converted to UTF-8/, 'an encoding other than UTF-8');
is(findings($source, 'encoding'), '', 'UTF-8 is none');
$source->safe_psql('latin', q{SELECT pg_create_logical_replication_slot('latin', 'test_decoding')});
$source->safe_psql('latin', q{SELECT penstock.emit('p', to_jsonb(chr(233)))});
is($source->safe_psql('latin', q{SELECT encode(data, 'escape') FROM pg_logical_slot_get_binary_changes('latin', NULL, NULL) WHERE position('message' in encode(data, 'escape')) = 1}),
	'message: transactional: 1 prefix: p, sz: 4 content:"\303\251"', 'JSON in a message is UTF-8 all the same');
drop_slot($source, 'latin');

# what jsonb cannot hold in that encoding is an error, and is not consumed
$source->safe_psql('latin', q{CREATE TABLE l(id int PRIMARY KEY, name text); SELECT pg_create_logical_replication_slot('latin', 'penstock')});
$source->safe_psql('latin', q{INSERT INTO l VALUES (1, chr(233)); SELECT pg_logical_emit_message(true, 'p', '\xe282ac'::bytea)});
my $latin = q{SELECT change->'new'->>'name' = chr(233) FROM penstock.get('latin', NULL, NULL, 'messages', '%s') WHERE change->>'op' = 'insert'};
my ($latin_out, $latin_err);
$source->psql('latin', sprintf($latin, 'on'), stdout => \$latin_out, stderr => \$latin_err);
like($latin_err, qr/has no equivalent in encoding "LATIN1"|could not be translated to the server's encoding LATIN1/, 'a message that is not LATIN1');
is($source->safe_psql('latin', sprintf($latin, 'off')), 't', 'nothing was consumed, and texts are converted');
drop_slot($source, 'latin');

# ---- everything is well ----

$source->reload;
wait_for_sql($source, q{SELECT string_agg(level || ' ' || item, ', ') = 'info replication roles, ok penstock' FROM penstock.check()},
	'with nothing in the way there is one row that says so');

# ---- a standby ----

$source->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($source, 'base', has_streaming => 1);
$standby->start;
my ($standby_out, $standby_err);
isnt($standby->psql('postgres', 'SELECT penstock.heartbeat()', stderr => \$standby_err), 0, 'a standby has no heartbeat');
like($standby_err, qr/a standby cannot write a heartbeat into the WAL\nHINT:  Call penstock\.heartbeat\(\) at the primary/, 'and says where there is one');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM penstock.slots'), '0', 'slots can be looked at');
like($standby->safe_psql('postgres', 'SELECT level, item FROM penstock.check()'),
	$version < 160000 ? qr/^error\|standby$/m : qr/^warning\|hot_standby_feedback$/m, 'check() knows what a standby lacks');
$standby->stop;

# ---- settings that need a restart ----

$source->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('both', 'penstock', false, true)});
$source->safe_psql('postgres', "ALTER SYSTEM SET $_->[0] = $_->[1]")
  for [ max_prepared_transactions => 0 ], [ max_replication_slots => 1 ], [ max_wal_senders => 1 ];
$source->restart;
$recvlogical = IPC::Run::start([ 'pg_recvlogical', '--dbname', $source->connstr('postgres'), '--slot', 'both', '--start', '--no-loop', '--file', '/dev/null' ]);
wait_for_sql($source, q{SELECT count(*) = 1 FROM penstock.check() WHERE item = 'max_wal_senders' AND found = 'all 1 in use' AND level = 'warning'},
	'no walsender is left');
like(findings($source, 'max_replication_slots'), qr/^warning\|max_replication_slots\|all 1 in use\|Raise max_replication_slots/, 'no slot is left');
like(findings($source, 'max_prepared_transactions'), qr/^warning\|max_prepared_transactions\|0, but two-phase slots: both\|/, 'a two-phase slot where nothing can be prepared');
$recvlogical->kill_kill;
wait_for_sql($source, q{SELECT NOT active FROM penstock.slots}, 'the client is gone');
drop_slot($source, 'both');
$source->safe_psql('postgres', 'ALTER SYSTEM SET wal_level = replica');
$source->restart;
is(findings($source, 'wal_level'), 'error|wal_level|replica|Set wal_level = logical and restart the server.', 'wal_level');
is($source->safe_psql('postgres', q{SELECT item FROM penstock.check() LIMIT 1}), 'wal_level', 'the worst comes first');

$source->stop;
done_testing();
