/* latency.c -- how long after its COMMIT a row of the source is visible in a follower.
 *
 *     latency SOURCE FOLLOWER SAMPLES FIRST_ID
 *
 * Inserts one row at a time into events, and asks the follower for it until it is there. The clock
 * starts when COMMIT has returned. Prints "p50 p99 max", in milliseconds. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define GIVE_UP_MS 10000
#define PAUSE_US   5000 /* between samples: they shall not be the load themselves */

static double
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static PGconn *
connect_or_exit(const char *conninfo)
{
	PGconn *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) != CONNECTION_OK)
	{
		fprintf(stderr, "latency: %s", PQerrorMessage(conn));
		exit(1);
	}
	return conn;
}

/* Run a statement with the id as its one parameter: the number of rows it returned or touched. */
static int
run(PGconn *conn, const char *sql, long id)
{
	char text[24];
	const char *values[] = {text};
	PGresult *result;
	int rows;

	snprintf(text, sizeof(text), "%ld", id);
	result = PQexecParams(conn, sql, 1, NULL, values, NULL, NULL, 0);
	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
	{
		fprintf(stderr, "latency: %s", PQerrorMessage(conn));
		exit(1);
	}
	rows = PQntuples(result);
	PQclear(result);
	return rows;
}

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	PGconn *source, *follower;
	long samples, first_id;
	double *taken;

	if (argc != 5)
	{
		fprintf(stderr, "usage: latency SOURCE FOLLOWER SAMPLES FIRST_ID\n");
		return 2;
	}
	samples = atol(argv[3]);
	first_id = atol(argv[4]);
	taken = samples > 0 ? calloc((size_t) samples, sizeof(double)) : NULL;
	if (taken == NULL)
		return 2;
	source = connect_or_exit(argv[1]);
	follower = connect_or_exit(argv[2]);

	for (long i = 0; i < samples; i++)
	{
		double committed;

		run(source, "INSERT INTO events VALUES ($1, now(), '{\"kind\": \"latency\"}')",
			first_id + i);
		committed = now_ms();
		while (run(follower, "SELECT 1 FROM events WHERE id = $1", first_id + i) == 0)
		{
			if (now_ms() - committed > GIVE_UP_MS)
			{
				fprintf(stderr, "latency: event %ld is not in the follower after %d s\n",
						first_id + i, GIVE_UP_MS / 1000);
				return 1;
			}
		}
		taken[i] = now_ms() - committed;
		usleep(PAUSE_US);
	}
	qsort(taken, (size_t) samples, sizeof(double), compare_doubles);
	printf("%.2f %.2f %.2f\n", taken[samples / 2], taken[samples * 99 / 100], taken[samples - 1]);
	PQfinish(source);
	PQfinish(follower);
	free(taken);
	return 0;
}
