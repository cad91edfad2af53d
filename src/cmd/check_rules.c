// SPDX-License-Identifier: Apache-2.0
/* sonde check rules: judges rule files as the server does that loads them. */
#include "base/file.h"
#include "cmd/check.h"
#include "cmd/cmd.h"
#include "cmd/feature.h"
#include "rules/file.h"
#include "settings/yaml.h"

#include <stdio.h>
#include <unistd.h>

enum { OUT_MAX = 64 << 20 };

static const char usage[] =
    "usage: sonde check rules [--print] [--lint-fatal] [--enable-feature LIST] FILE...|-\n"
    "\n"
    "Checks rule files as Prometheus has them (and groups with `type: logql`). Errors and "
    "warnings\n"
    "go to stderr as FILE:LINE:COLUMN.\n"
    "  --print                the rules in canonical form, instead of their number\n"
    "  --lint-fatal           warnings (rules that stand twice, values in labels) are problems\n"
    "  --enable-feature LIST  as of `sonde serve`; without it, expressions may use all of them\n"
    "Exit code 0: good; 3: there were problems.\n";

typedef struct {
    bool print, lint_fatal;
    uint32_t features;
    uint32_t warnings; /* of the file that is read */
    bool failed;       /* told that there are findings */
} checking;

static void tell(void *user, bool warning, const char *text)
{
    checking *c = user;
    c->warnings += warning;
    if (!c->failed && !warning) {
        fflush(stdout);
        fputs("  FAILED:\n", stderr);
        c->failed = true;
    }
    fprintf(stderr, "%s%s\n", warning ? "warning: " : "", text);
}

static status read_stdin(buf *text, error *err)
{
    char block[65536];
    ssize_t n;
    while ((n = read(STDIN_FILENO, block, sizeof(block))) > 0 && !text->failed)
        buf_add(text, block, (size_t)n);
    if (n < 0)
        return fail(err, STATUS_IO, "standard input cannot be read");
    return text->failed ? fail(err, STATUS_LIMIT, "standard input is larger than 4 MiB")
                        : STATUS_OK;
}

static int print_file(const rule_file *f)
{
    buf out;
    error err;
    buf_init(&out, OUT_MAX);
    rule_file_print(&out, f, true);
    status st = buf_check(&out, &err, "the output");
    fflush(stdout);
    if (st == STATUS_OK)
        st = file_write_all(STDOUT_FILENO, out.ptr, out.len, &err);
    buf_done(&out);
    if (st != STATUS_OK)
        fprintf(stderr, "sonde check: %s\n", err.message);
    return st == STATUS_OK ? EXIT_GOOD : EXIT_FAILED;
}

/* EXIT_FAILED only when it could not be read. */
static int check_one(checking *c, const char *path)
{
    rule_file f;
    buf text;
    error err;
    bool is_stdin = str_is(str_c(path), "-");
    if (!c->print)
        printf("Checking %s\n", is_stdin ? "standard input" : path);
    fflush(stdout);
    buf_init(&text, YAML_BYTES_MAX + 1);
    c->warnings = 0;
    c->failed = false;
    status st = is_stdin ? read_stdin(&text, &err) : file_read(path, &text, &err);
    if (st != STATUS_OK) {
        fprintf(stderr, "sonde check: %s\n", err.message);
        buf_done(&text);
        return EXIT_FAILED;
    }
    st = rule_file_parse(&f, path, buf_view(&text), c->features, tell, c, &err);
    buf_done(&text);
    if (st != STATUS_OK)
        return EXIT_PROBLEMS;
    int code = c->warnings && c->lint_fatal ? EXIT_PROBLEMS : EXIT_GOOD;
    if (c->print && code == EXIT_GOOD)
        code = print_file(&f);
    else if (!c->print)
        printf("  SUCCESS: %u rules found\n\n", f.rule_count);
    rule_file_done(&f);
    return code;
}

static int wrong_usage(const char *what)
{
    fprintf(stderr, "sonde check: %s; `sonde check rules --help` tells more\n", what);
    return EXIT_USAGE;
}

int check_rules(int argc, char **argv)
{
    checking c = { .features = UINT32_MAX };
    int code = EXIT_GOOD, files = 0;
    for (int i = 0; i < argc; i++) {
        if (str_is(str_c(argv[i]), "--help") || str_is(str_c(argv[i]), "-h")) {
            fputs(usage, stdout);
            return EXIT_GOOD;
        }
    }
    for (int i = 0; i < argc; i++) {
        str a = str_c(argv[i]);
        if (str_is(a, "--print")) {
            c.print = true;
        } else if (str_is(a, "--lint-fatal")) {
            c.lint_fatal = true;
        } else if (str_is(a, "--enable-feature")) {
            if (i + 1 == argc)
                return wrong_usage("--enable-feature wants a list of names");
            if (!feature_all_known(argv[i + 1]))
                return wrong_usage("--enable-feature has a name that is no feature");
            c.features = feature_bits(argv[++i]);
        } else if (a.len > 1 && a.ptr[0] == '-') {
            return wrong_usage("that is no option of rules");
        } else {
            int one = check_one(&c, argv[i]);
            code = one == EXIT_GOOD || code == EXIT_FAILED ? code : one;
            files++;
        }
    }
    return files ? code : wrong_usage("rules wants files, or - for standard input");
}
