/* await.c -- wait until a query returns a row, on one connection, and say when that was.
 *
 *     await CONNINFO QUERY SECONDS
 *
 * Prints the time as `date +%s.%N` does; exit 1 when it did not happen in time. It rests between
 * two looks, so that the waiting is no load of its own, and holds no snapshot meanwhile. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_US 3000

static double
now_s(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

/* -1: the query failed. */
static int
rows_of(PGconn *conn, const char *query)
{
	PGresult *result = PQexec(conn, query);
	int rows = PQresultStatus(result) == PGRES_TUPLES_OK ? PQntuples(result) : -1;

	PQclear(result);
	return rows;
}

int
main(int argc, char **argv)
{
	PGconn *conn;
	double deadline;
	int rows;

	if (argc != 4)
	{
		fprintf(stderr, "usage: await CONNINFO QUERY SECONDS\n");
		return 2;
	}
	deadline = now_s(CLOCK_MONOTONIC) + atof(argv[3]);
	conn = PQconnectdb(argv[1]);
	if (PQstatus(conn) != CONNECTION_OK)
	{
		fprintf(stderr, "await: %s", PQerrorMessage(conn));
		return 2;
	}
	while ((rows = rows_of(conn, argv[2])) == 0 && now_s(CLOCK_MONOTONIC) < deadline)
		usleep(PAUSE_US);
	if (rows > 0)
		printf("%.6f\n", now_s(CLOCK_REALTIME));
	else if (rows < 0)
		fprintf(stderr, "await: %s", PQerrorMessage(conn));
	PQfinish(conn);
	return rows > 0 ? 0 : rows < 0 ? 2 : 1;
}
