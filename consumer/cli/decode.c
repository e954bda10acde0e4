/* decode.c -- penstock decode: a saved stream as lines of JSON.
 * Whatever stands whole before a damage is printed before the damage is reported. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/output.h"
#include "cli/cli.h"
#include "decode/capture.h"
#include "decode/decode.h"
#include "event/line.h"
#include "narrate.h"

static const char help[] =
	"penstock decode: print a saved stream as lines of JSON\n"
	"\n"
	"Usage: penstock decode [--schema | --strip] [FILE]\n"
	"\n"
	"FILE is what pg_recvlogical wrote from a slot of the plugin penstock, or any of\n"
	"its batches one after another; standard input if it is missing or -.\n"
	"\n"
	"      --schema also a line for each table before its first change, with the types\n"
	"               of its columns\n"
	"  -s, --strip  write the events as they are, without pg_recvlogical's newlines:\n"
	"               a Batch of penstock.proto, for any protobuf library\n"
	"  -h, --help   print this and exit\n"
	"\n"
	"Exit code: 0 done; 1 could not read or write; 2 wrong usage; 4 the input is\n"
	"damaged or cut off (all that stands before has been printed).\n";

static int
exit_code(penstock_status status)
{
	return status >= 0 ? 0 : status == PENSTOCK_E_DATA ? 4 : 1;
}

typedef enum print_mode
{
	PRINT_CHANGES,
	PRINT_SCHEMA, /* relations too */
	PRINT_STRIPPED
} print_mode;

/* The event's line. A Session has none. */
static penstock_status
print_event(pen_decoder *decoder, const uint8_t *bytes, size_t len, print_mode mode,
			pen_output *output, pen_error *error)
{
	pen_narrator *narrator = pen_decoder_narrator(decoder);
	size_t start = output->buf.len;
	pen_wire_reader reader;
	pen_decoded decoded;
	penstock_status status;
	const char *wrong;

	pen_wire_reader_init(&reader, bytes, len);
	status = pen_decode_event(decoder, &reader, &decoded, error);
	if (status < 0 || (decoded.kind == PEN_EVENT_RELATION && mode != PRINT_SCHEMA))
		return status;
	if (decoded.kind <= PEN_EVENT_TRUNCATE && decoded.kind != PEN_EVENT_SESSION &&
		decoded.kind != PEN_EVENT_RELATION)
		return pen_event_json_under(&decoded.event, &narrator->head, &output->buf, error);
	wrong = pen_narrate_json(narrator, &decoded.wire, &output->buf);
	if (wrong == NULL && output->buf.len > start)
		pen_wire_append(&output->buf, "\n", 1);
	if (output->buf.failed)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for an event");
	if (wrong == NULL)
		return PENSTOCK_OK;
	output->buf.len = start;
	return pen_error_set(error, PENSTOCK_E_DATA, "damaged input: %s", wrong);
}

static penstock_status
copy_event(const uint8_t *bytes, size_t len, pen_output *output, pen_error *error)
{
	pen_wire_append(&output->buf, bytes, len);
	if (output->buf.failed)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for an event");
	return PENSTOCK_OK;
}

/* From the open input to the end, or to the first error. */
static penstock_status
decode_all(int fd, print_mode mode, pen_output *output, pen_error *error)
{
	pen_decoder *decoder = pen_decoder_new();
	pen_capture capture;
	penstock_status status = PENSTOCK_OK;

	if (decoder == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	pen_capture_init(&capture, fd);
	while (status >= 0)
	{
		const uint8_t *bytes;
		size_t len;
		uint64_t offset;

		status = pen_capture_next(&capture, &bytes, &len, &offset, error);
		if (status != PENSTOCK_OK)
			break;
		status = mode == PRINT_STRIPPED ? copy_event(bytes, len, output, error)
										: print_event(decoder, bytes, len, mode, output, error);
		if (status < 0)
			pen_error_context(error, "at byte %llu", (unsigned long long) offset);
		else if (pen_capture_drained(&capture)) /* of a live pipe, show what came */
			status = pen_output_flush(output, error);
		else
			status = pen_output_full(output, error);
	}
	if (status == PENSTOCK_DONE && mode != PRINT_STRIPPED && pen_decoder_in_transaction(decoder))
		status = pen_error_set(error, PENSTOCK_E_DATA,
							   "at byte %llu: the input ends inside of a transaction",
							   (unsigned long long) capture.offset);
	pen_capture_reset(&capture);
	pen_decoder_free(decoder);
	return status;
}

static int
decode_file(const char *name, print_mode mode)
{
	bool is_stdin = strcmp(name, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	pen_output output;
	pen_error error;
	pen_error write_error;
	penstock_status status;
	int code;

	if (fd < 0)
	{
		fprintf(stderr, "penstock decode: could not open %s: %s\n", name, strerror(errno));
		return 1;
	}
	pen_error_clear(&error);
	pen_error_clear(&write_error);
	pen_output_init(&output, STDOUT_FILENO, "standard output");
	status = decode_all(fd, mode, &output, &error);
	code = exit_code(status);
	/* Of output that cannot be written we have heard already. */
	if (status != PENSTOCK_E_REFUSED && pen_output_flush(&output, &write_error) < 0)
	{
		fprintf(stderr, "penstock decode: %s\n", write_error.text);
		code = 1;
	}
	if (status < 0)
		fprintf(stderr, "penstock decode: %s: %s\n", is_stdin ? "standard input" : name,
				error.text);
	pen_output_reset(&output);
	if (!is_stdin)
		close(fd);
	return code;
}

int
pen_cli_decode(int argc, char **argv)
{
	static const struct option options[] = {{"strip", no_argument, NULL, 's'},
											{"schema", no_argument, NULL, 'S'},
											{"help", no_argument, NULL, 'h'},
											{NULL, 0, NULL, 0}};
	print_mode mode = PRINT_CHANGES;
	int c;

	while ((c = getopt_long(argc, argv, "sh", options, NULL)) != -1)
		switch (c)
		{
			case 's':
				mode = PRINT_STRIPPED;
				break;
			case 'S':
				mode = PRINT_SCHEMA;
				break;
			case 'h':
				fputs(help, stdout);
				return 0;
			default:
				fputs("Try \"penstock decode --help\".\n", stderr);
				return 2;
		}
	if (argc - optind > 1)
	{
		fputs("penstock decode: more than one file\nTry \"penstock decode --help\".\n", stderr);
		return 2;
	}
	return decode_file(optind < argc ? argv[optind] : "-", mode);
}
