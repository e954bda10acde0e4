/* segment.h -- one file of a log: its name, its head, and its records. Private to store/. */
#ifndef PEN_STORE_SEGMENT_H
#define PEN_STORE_SEGMENT_H

#include "base/error.h"

#define SEGMENT_HEAD_BYTES ((uint64_t) 56)
#define RECORD_HEAD_BYTES  ((size_t) 24)
#define SEGMENT_NAME_SIZE  32

typedef struct segment_head
{
	uint64_t number;
	uint64_t previous_bytes;
	uint64_t previous_last;
	uint64_t first_position;
} segment_head;

/* From `synced`: everything in the segments before, and so many bytes of this one, is durable. */
typedef struct sync_mark
{
	uint64_t segment;
	uint64_t bytes;
} sync_mark;

extern void pen_segment_name(char name[SEGMENT_NAME_SIZE], uint64_t number);
/* The number of a segment of that name, or 0. */
extern uint64_t pen_segment_number(const char *name);

/* Write all of it. 0 or an errno. */
extern int pen_segment_write_at(int fd, const void *data, size_t len, uint64_t offset);

/* 0 or an errno. */
extern int pen_segment_write_head(int fd, const segment_head *head);
/* False: it is not whole, damaged, or not that of the segment number. */
extern bool pen_segment_read_head(int fd, uint64_t number, segment_head *head);

extern int pen_segment_write_mark(int fd, const sync_mark *mark);
/* All zero where there is no whole one. */
extern void pen_segment_read_mark(int fd, sync_mark *mark);

/*
 * Make a record of data in *buffer, which is grown to what is needed; its length, or 0 without
 * memory.
 */
extern size_t pen_segment_pack(const void *data, size_t len, uint64_t position, uint64_t number,
							   uint64_t offset, uint8_t **buffer, size_t *capacity);

/* Reads the records of one segment in order. All zero but fd, number and offset: at that offset. */
typedef struct segment_reader
{
	int fd;
	uint64_t number;
	uint64_t offset; /* of the next record */
	/* What has been read ahead: filled bytes of the file from `from` on. */
	uint8_t *buffer;
	size_t capacity;
	uint64_t from;
	size_t filled;
	/* The record that came last, unpacked. */
	uint8_t *data;
	size_t data_capacity;
	size_t len;
	uint64_t position;
} segment_reader;

extern void pen_segment_reader_reset(segment_reader *reader);

/*
 * The next record of a file of which end bytes count. PENSTOCK_OK; PENSTOCK_AGAIN at the end;
 * E_DATA: damaged there, *what says how; E_RETRY: could not read, errno in *code.
 */
extern penstock_status pen_segment_next(segment_reader *reader, uint64_t end, const char **what,
										int *code);

#endif
