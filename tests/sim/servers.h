/* servers.h -- the three clusters, which run.sh has made: a source and two destinations.
 * What goes wrong here is no fault of Penstock's: the program ends. */
#ifndef SIM_SERVERS_H
#define SIM_SERVERS_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum sim_server
{
	SIM_SOURCE,
	SIM_SETS,    /* a destination that is fed in sets */
	SIM_ORDERED, /* one that is fed in order, as its tables have triggers */
	SIM_SERVERS
} sim_server;

#define SIM_DESTINATIONS_FROM SIM_SETS

extern const char *const sim_server_names[SIM_SERVERS];

/* Where the clusters are, each in a folder of its name. */
extern void sim_servers_in(const char *folder);

/* The socket's folder, and a connection string, in a buffer of the caller's. */
extern const char *sim_server_folder(sim_server server);
extern void sim_server_conninfo(sim_server server, const char *database, char *into, size_t size);

extern PGconn *sim_connect(sim_server server, const char *database);

/* Statements that must work. */
extern void sim_execute(PGconn *conn, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* One value; "" for NULL or no row. For free(). */
extern char *sim_value_of(PGconn *conn, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

extern uint64_t sim_lsn_parse(const char *text);

#define SIM_LSN_FORMAT    "%X/%X"
#define SIM_LSN_ARGS(lsn) (unsigned int) ((lsn) >> 32), (unsigned int) (lsn)

typedef enum sim_stop
{
	SIM_STOP_FAST,
	SIM_STOP_IMMEDIATE,
	SIM_STOP_KILL /* every process at once, as when the machine loses power but for its disk */
} sim_stop;

/* False when a fast stop takes too long: then it was stopped at once. */
extern bool sim_server_stop(sim_server server, sim_stop how);
extern void sim_server_start(sim_server server);

#endif
