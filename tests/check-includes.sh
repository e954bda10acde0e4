#!/bin/bash
# check-includes.sh -- who may include whom, as CONTRIBUTING.md has it, told from #include lines.
# Prints each line that breaks a rule; exit 1 if there is one.
set -eu

cd "$(dirname "$0")/.."
broken=0

complain()
{
	echo "$1: $2"
	broken=1
}

# Rooms in the order in which data flows; a room may use none that stands later.
flow='source decode transaction route destination progress'

# position ROOM: its place in the flow from 1; 0 when it has none
position()
{
	local n=0 room
	for room in $flow; do
		n=$((n + 1))
		[ "$room" != "$1" ] || { echo $n; return; }
	done
	echo 0
}

# is_earlier A B: does room A stand before room B in the flow?
is_earlier()
{
	local a b
	a=$(position "$1")
	b=$(position "$2")
	[ "$a" -gt 0 ] && [ "$a" -lt "$b" ]
}

# may_include FILE HEADER: may this consumer file include that header (relative to consumer/)?
may_include()
{
	local file=${1#consumer/} header=$2
	local room=${file%/*} target=${header%/*}
	case $file in
	cli/* | examples/* | include/*) return 0 ;;
	*/*) ;;
	*) return 0 ;; # top-level files tie the rooms together
	esac
	case $target in
	penstock | base | "$header") return 0 ;; # public headers, the leaf, proto/ and the room's own
	esac
	[ "$room" != base ] || return 1
	case ${room%%/*}:$header in
	*:event/*) return 0 ;;
	source:pq/* | destination:pq/* | copy:pq/* | check:pq/* | diff:pq/* | load:pq/*) return 0 ;;
	config:route/*) return 0 ;; # the mapping of tables is configured
	transaction:route/route.h | transaction:route/amendments.h | destination:copy/*) return 0 ;;
	copy:route/*) return 0 ;; # the rows that exist are mapped as the stream's are
	transaction:store/* | destination:store/* | copy:store/*) return 0 ;; # a leaf: files on disk
	destination:destination/*/*) # a kind knows nothing of the other kinds
		[ "$room" = "$target" ] || [ "$room" = destination ]
		return
		;;
	esac
	[ "${room%%/*}" = "${target%%/*}" ] && return 0
	[ "${room%%/*}:$target" != destination:source ] || return 1
	is_earlier "${target%%/*}" "${room%%/*}"
}

while IFS=: read -r file line header; do
	may_include "$file" "$header" || complain "$file:$line" "may not include \"$header\""
done < <(grep -rn --include='*.[ch]' '^ *# *include *"' consumer | sed 's/:\( *# *include *"\)/:/; s/".*//')

while IFS=: read -r file line rest; do
	complain "$file:$line" "base/ includes only base/, penstock/ and wire.h: $rest"
done < <(grep -rnE --include='*.[ch]' '^ *# *include *"' consumer/base | grep -vE '"(base/|penstock/|wire\.h)' || true)

while IFS=: read -r file line rest; do
	complain "$file:$line" "the consumer includes no server header: $rest"
done < <(grep -rnE --include='*.[ch]' '^ *# *include *["<](postgres|postgres_fe|c|fmgr|pg_config)\.h|^ *# *include *["<](access|catalog|replication|utils|nodes|executor|storage|commands)/' consumer proto || true)

while IFS=: read -r file line rest; do
	complain "$file:$line" "libpq belongs in other rooms: $rest"
done < <(grep -rnE --include='*.[ch]' '\bPQ[a-z][A-Za-z]+ *\(|libpq-fe\.h' consumer |
	grep -vE '^consumer/(pq|source|destination/postgres|copy|check|diff|load)/' || true)

if [ -d plugin ]; then
	while IFS=: read -r file line rest; do
		complain "$file:$line" "the plugin includes nothing of the consumer: $rest"
	done < <(grep -rnE --include='*.[ch]' '^ *# *include *"(consumer/|\.\./consumer|base/|event/|penstock/)' plugin || true)
fi

exit $broken
