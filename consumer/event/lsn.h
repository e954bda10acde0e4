/* lsn.h -- how LSNs are printed in messages: printf("at " LSN_FORMAT, LSN_ARGS(lsn)). */
#ifndef PEN_LSN_H
#define PEN_LSN_H

#define LSN_FORMAT    "%X/%X"
#define LSN_ARGS(lsn) (unsigned int) ((lsn) >> 32), (unsigned int) (lsn)

#endif
