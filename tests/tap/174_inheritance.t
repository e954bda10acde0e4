# A table and those that inherit from it hold rows of their own: what happens to one happens there to
# no other, whatever the other holds.
use strict;
use warnings;
use Penstock;
use Topic;
use Test::More;

my @servers = Topic::servers();
my (undef, $source, undef, $target) = @servers;

my $topic = Topic->new(@servers, name => 'inherited', schema => q{
	CREATE TABLE up(id int PRIMARY KEY, t text); CREATE TABLE down(extra int, PRIMARY KEY (id)) INHERITS (up); CREATE TABLE deeper(PRIMARY KEY (id)) INHERITS (down);
	CREATE TABLE whole(a int, t text); CREATE TABLE whole_down() INHERITS (whole); ALTER TABLE whole REPLICA IDENTITY FULL; ALTER TABLE whole_down REPLICA IDENTITY FULL;
	CREATE TABLE alone(id int PRIMARY KEY, t text);
});
$topic->at_target(q{CREATE TABLE of_its_own(mine text DEFAULT 'mine') INHERITS (alone); INSERT INTO of_its_own VALUES (1, 'own'), (2, 'own')});
my @tables = map { "(SELECT * FROM ONLY $_)" } 'up', 'down', 'deeper', 'whole', 'whole_down', 'alone';
my $changes = q{
	INSERT INTO up SELECT n, 'up' FROM generate_series(1, 40) n; INSERT INTO down SELECT n, 'down' FROM generate_series(1, 40) n; INSERT INTO deeper SELECT n, 'deeper' FROM generate_series(1, 40) n;
	UPDATE ONLY up SET t = 'up!' WHERE id % 2 = 0; DELETE FROM ONLY up WHERE id % 3 = 0; UPDATE up SET t = t || '?' WHERE id % 5 = 0; UPDATE ONLY down SET id = id + 100 WHERE id < 5; DELETE FROM up WHERE id = 7;
	INSERT INTO whole SELECT n % 5, 'w' FROM generate_series(1, 40) n; INSERT INTO whole_down SELECT n % 5, 'w' FROM generate_series(1, 40) n; UPDATE ONLY whole SET t = 'x' WHERE a = 1; DELETE FROM ONLY whole WHERE a = 2; UPDATE whole_down SET t = 'y' WHERE a = 3; DELETE FROM whole_down WHERE a = 1;
	INSERT INTO alone SELECT n, 'a' FROM generate_series(1, 40) n; UPDATE alone SET t = 'b' WHERE id < 10; DELETE FROM alone WHERE id > 30; UPDATE alone SET id = id + 100 WHERE id < 3;
};
$topic->write($changes);
$topic->arrives('who inherits', @tables);
$topic->write('TRUNCATE ONLY up; TRUNCATE ONLY whole; DELETE FROM alone; DELETE FROM down; DELETE FROM whole_down; INSERT INTO deeper VALUES (1000); ' . $changes =~ s/INSERT INTO deeper[^;]*;/DELETE FROM deeper;/r);
$topic->arrives('emptied and filled again', @tables);
$topic->write('TRUNCATE up, whole, alone');
$topic->arrives('emptied with who inherits', @tables);
$topic->answers('SELECT count(*) FROM of_its_own', 2, 'what only the destination has is its own');
$topic->stop;

$source->stop;
$target->stop;
done_testing();
