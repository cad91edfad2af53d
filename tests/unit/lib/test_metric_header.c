// SPDX-License-Identifier: Apache-2.0
/* sonde/metric.h for compilers: strict C11, C++11 and C++20 without a warning, and what must not
 * compile. */
#include "tests/support.h"

#include "base/file.h"

/* Means the same in C and in C++. */
static const char program[] =
    "#include <sonde/metric.h>\n"
    "int use(sonde_histogram *h, sonde_bound_histogram *bh, sonde_gauge *g, int x);\n"
    "int use(sonde_histogram *h, sonde_bound_histogram *bh, sonde_gauge *g, int x)\n"
    "{\n"
    "    sonde_counter *c = sonde_counter_new(\"a\", \"b\", SONDE_LABELS(\"x\", \"y\"));\n"
    "    sonde_bound_counter *b = sonde_counter_bind(c, \"1\", \"2\");\n"
    "    sonde_counter_add(c, 1, \"a\", \"b\");\n"
    "    sonde_counter_add(c, 1.5, \"a\", \"b\");\n"
    "    sonde_counter_add(b, x);\n"
    "    sonde_counter_add(b, 1.5f);\n"
    "    sonde_counter_add(b, 7ul);\n"
    "    sonde_gauge_set(g, x, \"1\", \"2\", \"3\", \"4\", \"5\", \"6\");\n"
    "    sonde_gauge_add(sonde_gauge_bind(g), 0.5);\n"
    "    sonde_histogram_record(h, 1, \"a\");\n"
    "    sonde_histogram_record(bh, 0.1);\n"
    "    SONDE_TIMER(h, \"a\") { if (x) return 3; }\n"
    "    SONDE_TIMER(bh) { if (x) break; SONDE_TIMER(h) { x++; } }\n"
    "    return x;\n"
    "}\n";

static error err;

static bool compiles(const char *compiler, const char *name, const char *text)
{
    char dir[64], command[512];
    test_make_dir(dir);
    assert_ok(file_replace(dir, name, str_c(text), &err));
    (void)snprintf(command, sizeof(command),
                   "%s -pedantic -Wall -Wextra -Wshadow -Werror -fsyntax-only -I%s/include %s/%s "
                   ">%s/out 2>&1",
                   compiler, SOURCE_DIR, dir, name, dir);
    bool ok = system(command) == 0;
    test_remove_dir(dir);
    return ok;
}

static bool is_there(const char *compiler)
{
    char command[64];
    (void)snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", compiler);
    return system(command) == 0;
}

static void strict_c_takes_the_header(void **state)
{
    (void)state;
    assert_true(compiles("cc -std=c11", "a.c", program));
    if (is_there("clang"))
        assert_true(compiles("clang -std=c11", "a.c", program));
}

static void cxx_means_the_same(void **state)
{
    (void)state;
    if (!is_there("g++"))
        skip();
    assert_true(compiles("g++ -std=c++11", "a.cc", program));
    assert_true(compiles("g++ -std=c++20", "a.cc", program));
}

static void write_program(char ret[static 256], const char *more)
{
    (void)snprintf(ret, 256,
                   "#include <sonde/metric.h>\n"
                   "void use(sonde_bound_counter *b);\n"
                   "void use(sonde_bound_counter *b) { sonde_counter_add(b, 1%s); }\n",
                   more);
}

static void labels_for_a_bound_handle_do_not_compile(void **state)
{
    (void)state;
    char text[256];
    write_program(text, "");
    assert_true(compiles("cc -std=c11", "a.c", text));
    write_program(text, ", \"EUR\"");
    assert_false(compiles("cc -std=c11", "a.c", text));
    if (is_there("g++"))
        assert_false(compiles("g++ -std=c++11", "a.cc", text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strict_c_takes_the_header),
        cmocka_unit_test(cxx_means_the_same),
        cmocka_unit_test(labels_for_a_bound_handle_do_not_compile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
