/* test_endpoints.c -- which path goes where. The program's own module, without what serves it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "serve/endpoints.c"

static void
answer_a(const pen_request *request, pen_response *response)
{
	(void) request;
	(void) response;
}

static void
answer_b(const pen_request *request, pen_response *response)
{
	(void) request;
	(void) response;
}

static const pen_endpoint table[] = {
	{"GET", "/v1/things", answer_a},
	{"POST", "/v1/things", answer_b},
	{"POST", "/v1/things/{name}/stop", answer_a},
	{"GET", "/v1/things/{name}", answer_b},
	{NULL, NULL, NULL},
};

static char name[PEN_ENDPOINT_NAME_MAX];
static char allow[32];

static const pen_endpoint *
find(const char *method, const char *path)
{
	return pen_endpoint_find(table, method, path, name, allow, sizeof(allow));
}

static void
test_method_and_path_both_count(void **state)
{
	(void) state;
	assert_ptr_equal(find("GET", "/v1/things"), &table[0]);
	assert_ptr_equal(find("HEAD", "/v1/things"), &table[0]);
	assert_ptr_equal(find("POST", "/v1/things"), &table[1]);
	assert_string_equal(name, "");
	assert_null(find("DELETE", "/v1/things"));
	assert_string_equal(allow, "GET, POST");
	assert_null(find("get", "/v1/things"));
	assert_null(find("GET", "/v1/things/x/stop"));
	assert_string_equal(allow, "POST");
}

static void
test_a_part_of_the_path_is_a_name(void **state)
{
	(void) state;
	assert_ptr_equal(find("POST", "/v1/things/crm/stop"), &table[2]);
	assert_string_equal(name, "crm");
	assert_ptr_equal(find("GET", "/v1/things/a{b}c"), &table[3]);
	assert_string_equal(name, "a{b}c");
	assert_null(find("POST", "/v1/things//stop"));
	assert_null(find("POST", "/v1/things/a/b/stop"));
	assert_null(find("POST", "/v1/things/a/stop/"));
	assert_null(find("POST", "/v1/things/a/stopped"));
	assert_null(find("POST", "/v1/things/a/sto"));
	assert_null(find("GET", "/v1/things/"));
	assert_string_equal(name, "");
	assert_string_equal(allow, "");
}

static void
test_a_name_fits_or_is_none(void **state)
{
	char path[200];

	(void) state;
	snprintf(path, sizeof(path), "/v1/things/%063d", 7);
	assert_ptr_equal(find("GET", path), &table[3]);
	assert_int_equal(strlen(name), 63);
	snprintf(path, sizeof(path), "/v1/things/%064d", 7);
	assert_null(find("GET", path));
}

static void
test_no_prefix_of_a_path_is_the_path(void **state)
{
	const char *whole = "/v1/things/crm/stop";
	char part[32];

	(void) state;
	for (size_t length = 0; length < strlen(whole); length++)
	{
		snprintf(part, sizeof(part), "%.*s", (int) length, whole);
		assert_null(find("POST", strcmp(part, "/v1/things") == 0 ? "" : part));
	}
	assert_null(find("POST", "v1/things"));
	assert_null(find("POST", ""));
}

static void
test_allow_is_cut_and_never_overrun(void **state)
{
	char little[6];

	(void) state;
	assert_null(pen_endpoint_find(table, "PUT", "/v1/things", name, little, sizeof(little)));
	assert_string_equal(little, "GET, ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_method_and_path_both_count),
									   cmocka_unit_test(test_a_part_of_the_path_is_a_name),
									   cmocka_unit_test(test_a_name_fits_or_is_none),
									   cmocka_unit_test(test_no_prefix_of_a_path_is_the_path),
									   cmocka_unit_test(test_allow_is_cut_and_never_overrun)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
