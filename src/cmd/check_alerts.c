// SPDX-License-Identifier: Apache-2.0
/* sonde check alerts: judges Alertmanager's configuration files as the server does that loads them.
 */
#include "cmd/check.h"
#include "cmd/cmd.h"
#include "rules/notify/notify.h"

#include <stdio.h>

enum { OUT_MAX = 16 << 20 };

static const char usage[] =
    "usage: sonde check alerts FILE...\n"
    "\n"
    "Checks configuration files of Alertmanager, as `sonde serve --alertmanager-config` reads "
    "them,\n"
    "with the templates that they name. Errors and warnings go to stderr as FILE:LINE:COLUMN.\n"
    "Prints the routes and receivers of a good file. Exit code 0: good; 3: there were problems.\n";

static void tell(void *user, bool warning, const char *text)
{
    (void)user;
    fprintf(stderr, "%s%s\n", warning ? "warning: " : "", text);
}

static int check_one(const char *path)
{
    error err;
    buf out;
    buf_init(&out, OUT_MAX);
    status st = alertmanager_check(path, tell, NULL, &out, &err);
    if (st == STATUS_OK)
        printf("%s: good\n%.*s", path, STR_ARG(buf_view(&out)));
    else if (st != STATUS_INVALID)
        fprintf(stderr, "sonde check: %s\n", err.message);
    buf_done(&out);
    return st == STATUS_OK ? EXIT_GOOD : st == STATUS_INVALID ? EXIT_PROBLEMS : EXIT_FAILED;
}

int check_alerts(int argc, char **argv)
{
    int worst = EXIT_GOOD;
    for (int i = 0; i < argc; i++) {
        str name = str_c(argv[i]);
        if (str_is(name, "--help") || str_is(name, "-h")) {
            fputs(usage, stdout);
            return EXIT_GOOD;
        }
        if (str_starts(name, STR("-"))) {
            fprintf(stderr, "sonde check: \"%s\" is no option of alerts\n%s", argv[i], usage);
            return EXIT_USAGE;
        }
    }
    if (argc < 1) {
        fprintf(stderr, "sonde check: alerts wants a file\n%s", usage);
        return EXIT_USAGE;
    }
    for (int i = 0; i < argc; i++) {
        int code = check_one(argv[i]);
        worst = MAX(worst, code);
    }
    return worst;
}
