/* control.h -- the control socket of a run, where there is a state directory. */
#ifndef PEN_CLI_CONTROL_H
#define PEN_CLI_CONTROL_H

#include "penstock/penstock.h"

typedef struct pen_server pen_server;

/* Before penstock_open, so that it can be asked while it opens. *server is NULL where there is no
 * state directory, or no slot that would name its part. On failure p's error tells. */
extern penstock_status pen_cli_control_start(penstock *p, pen_server **server);

#endif
