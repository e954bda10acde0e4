# Constraints and triggers of a destination see what those of the source saw: nothing is done twice,
# and nothing that was allowed there in the end fails here on the way.
use strict;
use warnings;
use Penstock;
use Topic;
use Test::More;

my @servers = Topic::servers();
my (undef, $source, undef, $target) = @servers;

# ---- foreign keys with every action, which are rows of their own in the stream ----

my @actions = ('NO ACTION', 'RESTRICT', 'CASCADE', 'SET NULL', 'SET DEFAULT');
my $schema = 'CREATE TABLE parent(id int PRIMARY KEY, t text);';
for my $i (0 .. $#actions)
{
	$schema .= "CREATE TABLE child_$i(id int PRIMARY KEY, p int DEFAULT 0 REFERENCES parent ON DELETE $actions[$i] ON UPDATE $actions[$i]);";
}
$schema .= q{
	CREATE TABLE tree(id int PRIMARY KEY, up int REFERENCES tree ON DELETE CASCADE ON UPDATE CASCADE DEFERRABLE);
	CREATE TABLE ring_a(id int PRIMARY KEY, b int);
	CREATE TABLE ring_b(id int PRIMARY KEY, a int REFERENCES ring_a DEFERRABLE INITIALLY DEFERRED);
	ALTER TABLE ring_a ADD FOREIGN KEY (b) REFERENCES ring_b DEFERRABLE INITIALLY DEFERRED;
};
my @children = map { "child_$_" } 0 .. $#actions;
my $insert = join '; ', map { "INSERT INTO child_$_ SELECT n, n FROM generate_series(1, 20) n" } 0 .. $#actions;
my $topic = Topic->new(@servers, name => 'keys', schema => $schema);
$topic->write(qq{
	INSERT INTO parent SELECT n, 'p' FROM generate_series(0, 30) n; $insert;
	DELETE FROM child_0 WHERE p <= 10; DELETE FROM child_1 WHERE p <= 10;
	DELETE FROM parent WHERE id IN (1, 2, 3);
	UPDATE parent SET id = id + 1000 WHERE id BETWEEN 4 AND 6;
	BEGIN; UPDATE parent SET id = 2000 WHERE id = 7; UPDATE parent SET t = 'again' WHERE id = 2000; DELETE FROM parent WHERE id = 2000; INSERT INTO parent VALUES (7); COMMIT;
	INSERT INTO tree SELECT n, nullif(n / 2, 0) FROM generate_series(1, 40) n;
	DELETE FROM tree WHERE id = 3;
	UPDATE tree SET id = 100 WHERE id = 2;
	BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO tree VALUES (202, 201), (201, 200), (200, NULL); COMMIT;
	BEGIN; INSERT INTO ring_a VALUES (1, 1), (2, 1); INSERT INTO ring_b VALUES (1, 2); COMMIT;
	BEGIN; DELETE FROM ring_a; INSERT INTO ring_a VALUES (2, 1); COMMIT;
});
$topic->arrives('foreign keys', 'parent', @children, 'tree', 'ring_a', 'ring_b');
$topic->write_mix(200, q{
	INSERT INTO parent VALUES (5000 + i, 'mix');
	INSERT INTO child_2 VALUES (5000 + i, 5000 + i), (9000 + i, 5000 + i); INSERT INTO child_3 VALUES (5000 + i, 5000 + i);
	INSERT INTO tree VALUES (5000 + i, CASE WHEN i % 7 > 0 AND i > 1 THEN (SELECT max(id) FROM tree WHERE id > 4999) END);
	IF i % 3 = 0 THEN DELETE FROM parent WHERE id = 5000 + i - 1; INSERT INTO parent VALUES (5000 + i - 1, 'back'); END IF;
	IF i % 4 = 0 THEN UPDATE parent SET id = 7000 + i WHERE id = 5000 + i; UPDATE child_2 SET p = 0 WHERE id = 5000 + i; END IF;
	IF i % 20 = 0 THEN DELETE FROM tree WHERE id BETWEEN 5000 + i - 5 AND 5000 + i - 3; END IF});
$topic->arrives('foreign keys, mixed', 'parent', @children, 'tree', 'ring_a', 'ring_b');
$topic->stop;

# ---- unique and exclusion constraints, also deferred ones ----

$schema = q{
	CREATE TABLE shop(id int PRIMARY KEY, u int UNIQUE, d int UNIQUE DEFERRABLE, e int UNIQUE DEFERRABLE INITIALLY DEFERRED, x int4range,
		part int, live bool, word text NOT NULL DEFAULT 'w', n int CHECK (n >= 0), EXCLUDE USING gist (x WITH &&), CHECK (word <> 'forbidden'));
	CREATE UNIQUE INDEX ON shop(part) WHERE live;
	CREATE UNIQUE INDEX ON shop(lower(word)) WHERE id < 100;
};
my $pass_on = q{
	BEGIN; SET CONSTRAINTS ALL DEFERRED; UPDATE shop SET d = 2 WHERE id = 1; UPDATE shop SET d = 1 WHERE id = 2; COMMIT;
	UPDATE shop SET d = d + 1, e = e + 1;
	BEGIN; UPDATE shop SET e = 4 WHERE id = 1; UPDATE shop SET e = 5 WHERE id = 2; UPDATE shop SET e = 2 WHERE id = 3; UPDATE shop SET e = 3 WHERE id = 4; COMMIT;
	BEGIN; UPDATE shop SET u = -1 WHERE id = 1; UPDATE shop SET u = 1 WHERE id = 2; UPDATE shop SET u = 2 WHERE id = 1; COMMIT;
	BEGIN; DELETE FROM shop WHERE id = 5; INSERT INTO shop(id, u, d, e, x, word) VALUES (50, 5, 6, 6, '[50,60)', 'w5'); UPDATE shop SET u = 6 WHERE id = 50; COMMIT;
	BEGIN; UPDATE shop SET x = 'empty' WHERE id = 1; UPDATE shop SET x = '[10,20)' WHERE id = 2; UPDATE shop SET x = '[20,30)' WHERE id = 1; COMMIT;
	BEGIN; UPDATE shop SET live = false WHERE id = 3; UPDATE shop SET part = 3, live = true WHERE id = 4; COMMIT;
	BEGIN; UPDATE shop SET word = 'spare' WHERE id = 3; UPDATE shop SET word = 'W3' WHERE id = 4; UPDATE shop SET word = 'w4' WHERE id = 3; COMMIT;
	DELETE FROM shop;
};
my $fill = q{INSERT INTO shop SELECT i, i, i, i, int4range(i * 10, i * 10 + 10), i, true, 'w' || i, 0 FROM generate_series(1, 5) i;};
$topic = Topic->new(@servers, name => 'unique', schema => $schema);
$topic->write($fill . $pass_on =~ s/DELETE FROM shop;\s*$//r);
$topic->arrives('passing unique values on', 'shop');
$topic->write("DELETE FROM shop; $fill $pass_on $fill $pass_on INSERT INTO shop(id, u) VALUES (1, 1)");
$topic->arrives('all of it again', 'shop');
$topic->write_mix(300, q{
	DELETE FROM shop WHERE id = i % 17 OR u = i % 13 OR part = i % 11 OR x && int4range(i % 19, i % 19 + 2) OR lower(word) = 'm' || i % 23;
	INSERT INTO shop(id, u, part, live, x, word, n) VALUES (i % 17, i % 13, i % 11, true, int4range(i % 19, i % 19 + 2), 'M' || i % 23, i);
	UPDATE shop SET u = NULL, x = NULL, live = false WHERE id = (i - 1) % 17; UPDATE shop SET u = (i - 1) % 13, n = n + 1 WHERE id = i % 17 AND NOT EXISTS (SELECT FROM shop WHERE u = (i - 1) % 13)});
$topic->arrives('unique values that wander', 'shop');
$topic->stop;

# ---- a role without session_replication_role: the constraints are checked ----

$target->safe_psql('postgres', 'CREATE ROLE writer LOGIN');
my $mine = q{GRANT CREATE ON SCHEMA public TO writer;
	SELECT format('GRANT CREATE ON DATABASE %I TO writer', current_database()) \gexec
	SET ROLE writer;
};
$schema = q{
	CREATE TABLE parent(id int PRIMARY KEY, t text);
	CREATE TABLE child(id int PRIMARY KEY, p int REFERENCES parent);
	CREATE TABLE late(id int PRIMARY KEY, p int REFERENCES parent DEFERRABLE INITIALLY DEFERRED, u int UNIQUE);
	CREATE TABLE soon(id int PRIMARY KEY, p int REFERENCES parent DEFERRABLE, u int UNIQUE DEFERRABLE);
};
$topic = Topic->new(@servers, name => 'checked', source_schema => 'CREATE SCHEMA checked; SET search_path = checked;' . $schema,
	target_schema => $mine . "CREATE SCHEMA checked; SET search_path = checked; $schema", to => '&user=writer', options => [ '--tables', 'checked.*' ]);
my @checked = map { "checked.$_" } 'parent', 'child', 'late', 'soon';
$topic->write('SET search_path = checked;' . q{
	INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (1, 1), (2, 2);
	BEGIN; INSERT INTO late VALUES (1, 10), (2, 11); INSERT INTO parent VALUES (10), (11); COMMIT;
	BEGIN; INSERT INTO parent VALUES (3); UPDATE child SET p = 3 WHERE id = 1; DELETE FROM parent WHERE id = 1; COMMIT;
	BEGIN; DELETE FROM parent WHERE id = 10; INSERT INTO parent VALUES (10, 'again'); COMMIT;
	BEGIN; DELETE FROM child; DELETE FROM late; DELETE FROM parent; INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1); COMMIT});
$topic->arrives('foreign keys that are checked', @checked);
$topic->write('SET search_path = checked;' . q{
	BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO soon VALUES (1, 20, 1), (2, 21, 2); INSERT INTO parent VALUES (20), (21); COMMIT;
	BEGIN; SET CONSTRAINTS ALL DEFERRED; UPDATE soon SET u = 2 WHERE id = 1; UPDATE soon SET u = 1 WHERE id = 2; COMMIT; UPDATE soon SET u = u + 1;
	BEGIN; SET CONSTRAINTS ALL DEFERRED; DELETE FROM parent WHERE id = 20; UPDATE soon SET p = 21 WHERE p = 20; COMMIT});
$topic->arrives('deferred by the transaction', @checked);
$topic->write_mix(200, q{
	INSERT INTO checked.parent VALUES (100 + i); INSERT INTO checked.child VALUES (100 + i, 100 + i);
	INSERT INTO checked.late VALUES (100 + i, 100 + i, i);
	IF i % 3 = 0 THEN UPDATE checked.child SET p = 100 + i WHERE p = 100 + i - 1; UPDATE checked.late SET u = -i, p = 100 + i WHERE p = 100 + i - 1; DELETE FROM checked.parent WHERE id = 100 + i - 1; END IF;
	IF i % 9 = 0 THEN DELETE FROM checked.child WHERE id = 100 + i; DELETE FROM checked.late WHERE id = 100 + i;
		INSERT INTO checked.child VALUES (100 + i, 1); UPDATE checked.parent SET t = 'x' WHERE id = 100 + i; END IF});
$topic->arrives('foreign keys that are checked, mixed', @checked);
$topic->stop;

# ---- triggers ----

# Those of the source and those that the destination fires write the same log, in the same order.
$schema = q{
	CREATE %s TABLE log(seq int GENERATED ALWAYS AS IDENTITY, t text);
	CREATE TABLE noted(id int PRIMARY KEY, t text);
	CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO public.log(t) VALUES (concat_ws(' ', TG_TABLE_NAME, TG_NAME, TG_OP, to_json(OLD), to_json(NEW))); RETURN NULL; END $$;
	CREATE TABLE noted_not(id int PRIMARY KEY, t text);
	CREATE TRIGGER always AFTER INSERT OR UPDATE OR DELETE ON noted FOR EACH ROW EXECUTE FUNCTION note();
	CREATE TRIGGER replica AFTER INSERT OR UPDATE OR DELETE ON noted FOR EACH ROW EXECUTE FUNCTION note();
	CREATE TRIGGER origin AFTER INSERT OR UPDATE OR DELETE ON noted FOR EACH ROW EXECUTE FUNCTION note();
	CREATE TRIGGER origin AFTER INSERT OR UPDATE OR DELETE ON noted_not FOR EACH ROW EXECUTE FUNCTION note();
};
$source->safe_psql('postgres', 'CREATE DATABASE triggers');
$topic = Topic->new(@servers, name => 'triggers', database => 'triggers', source_schema => sprintf($schema, 'UNLOGGED'),
	target_schema => sprintf($schema, '') . q{ALTER TABLE noted ENABLE REPLICA TRIGGER replica, ENABLE ALWAYS TRIGGER always;
	CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.t := upper(NEW.t); RAISE NOTICE 'row %', NEW; RETURN NEW; END $$;
	CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON noted_not FOR EACH ROW EXECUTE FUNCTION shout();
	ALTER TABLE noted_not ENABLE ALWAYS TRIGGER shout});
my @noted = ('noted', '(SELECT id, upper(t) FROM noted_not)', q{(SELECT row_number() OVER (ORDER BY seq), t FROM log WHERE t NOT LIKE '% origin %')});
$topic->write(q{INSERT INTO noted VALUES (1, 'a'), (2, 'b'); UPDATE noted SET t = t || 'x'; UPDATE noted SET id = 3 WHERE id = 1; DELETE FROM noted WHERE id = 2; INSERT INTO noted VALUES (2);
	INSERT INTO noted_not VALUES (1, 'a'), (2, 'b'); UPDATE noted_not SET t = t || 'x'; DELETE FROM noted_not WHERE id = 2});
$topic->arrives('triggers', @noted);
$topic->write_mix(200, q{INSERT INTO noted VALUES (10 + i, 'a'); UPDATE noted SET t = 'b' || i WHERE id % 50 = i % 50; INSERT INTO noted_not VALUES (10 + i, 'a');
	IF i % 3 = 0 THEN DELETE FROM noted WHERE id = 10 + i - 1; INSERT INTO noted VALUES (10 + i - 1, 'again'); UPDATE noted_not SET t = 'c', id = -id WHERE id = 10 + i; END IF});
$topic->arrives('triggers, mixed', @noted);
$topic->answers(q{SELECT count(*) FROM log WHERE t LIKE '% origin %'}, 0, 'those of the source alone stay quiet');
unlike($topic->{run}->stderr, qr/NOTICE|\(1,A\)/, 'what triggers say is not repeated');

# One that keeps a row out: then rows differ, and that is not passed over.
$topic->at_target(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
	CREATE TRIGGER refuse BEFORE INSERT ON noted_not FOR EACH ROW WHEN (NEW.id = 5007) EXECUTE FUNCTION refuse(); ALTER TABLE noted_not ENABLE ALWAYS TRIGGER refuse});
$topic->write('INSERT INTO noted_not SELECT n FROM generate_series(5001, 5200) n');
is($topic->{run}->finish, 4, 'a row that a trigger keeps out stops it') or diag($topic->{run}->stderr);
like($topic->{run}->stderr, qr/INSERT into "public"\."noted_not".*LSN.*0 rows/, 'which is told');
my ($code, $err) = $topic->run_batch;
is($code, 4, 'and as a backlog') or diag($err);
$topic->answers('SELECT count(*) FROM noted_not WHERE id > 5000', 0, 'nothing of that transaction is there');
$topic->at_target('ALTER TABLE noted_not DISABLE TRIGGER refuse');
$topic->start;
$topic->arrives('without the trigger', @noted);
$topic->stop;

$source->stop;
$target->stop;
done_testing();
