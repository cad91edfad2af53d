// SPDX-License-Identifier: Apache-2.0
/* sonde check: judges files without running them. */
#include "cmd/check.h"

#include "base/file.h"
#include "cmd/cmd.h"
#include "pipeline/config.h"
#include "settings/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { OUT_MAX = 64 << 20 };

static const char usage[] =
    "usage: sonde check config FILE|-             a collector configuration\n"
    "       sonde check config --builtin          what `sonde serve` runs without a file\n"
    "       sonde check config --example          the same as a file to start from\n"
    "       sonde check config --components       the components there are\n"
    "       sonde check config --component TYPE   the options of one\n"
    "       sonde check config --reference        all of them as Markdown\n"
    "       sonde check rules FILE...|-           rule files; --help tells more\n"
    "       sonde check alerts FILE...            Alertmanager's configuration files\n"
    "\n"
    "Prints the pipelines of FILE as a picture; errors and warnings go to stderr, with line and\n"
    "column. Nothing is started, and no file is opened but FILE and those that it names by\n"
    "${file:…}. Exit code 0: good; 3: there were errors.\n";

/* What the variables of the built-in file are without options of `sonde serve`. */
static const text_pair builtin_values[] = {
    { STR_INIT("sonde:http"), STR_INIT("127.0.0.1:4319") },
    { STR_INIT("sonde:otlp_grpc"), STR_INIT("127.0.0.1:4317") },
    { STR_INIT("sonde:otlp_http"), STR_INIT("127.0.0.1:4318") },
    { STR_INIT("sonde:retention"), STR_INIT("30d") },
    { STR_INIT("sonde:seal_after"), STR_INIT("60s") },
    { STR_INIT("sonde:recorders"), STR_INIT("[]") },
    { STR_INIT("sonde:recorder_metrics"), STR_INIT("15s") },
    { STR_INIT("sonde:rules"), STR_INIT("[]") },
    { STR_INIT("sonde:evaluation_interval"), STR_INIT("1m") },
    { STR_INIT("sonde:external_url"), STR_INIT("") },
    { STR_INIT("sonde:alertmanagers"), STR_INIT("[]") },
    { STR_INIT("sonde:alertmanager_config"), STR_INIT("") },
};

static int put_out(buf *out)
{
    error err;
    status st = buf_check(out, &err, "the output");
    if (st == STATUS_OK)
        st = file_write_all(STDOUT_FILENO, out->ptr, out->len, &err);
    buf_done(out);
    if (st != STATUS_OK)
        fprintf(stderr, "sonde check: %s\n", err.message);
    return st == STATUS_OK ? EXIT_GOOD : EXIT_FAILED;
}

static int wrong_usage(const char *format, ...) PRINTF_LIKE(1, 2);
static int wrong_usage(const char *format, ...)
{
    va_list list;
    fputs("sonde check: ", stderr);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputs("; `sonde check --help` tells more\n", stderr);
    return EXIT_USAGE;
}

/* ---- configuration files ---- */

static void tell(void *user, bool warning, const char *text)
{
    (void)user;
    fprintf(stderr, "%s%s\n", warning ? "warning: " : "", text);
}

static int finish(config *c, status st, const char *path)
{
    buf out;
    if (st != STATUS_OK)
        return EXIT_PROBLEMS;
    buf_init(&out, OUT_MAX);
    config_draw(c, &out);
    buf_fmt(&out, "\n%s: good\n", path);
    config_done(c);
    return put_out(&out);
}

static int check_text(const char *path, str text, const pair_list *names)
{
    config c;
    return finish(&c, config_parse(&c, path, text, names, tell, NULL, NULL), path);
}

static int check_stdin(void)
{
    buf text;
    char block[65536];
    ssize_t n;
    buf_init(&text, YAML_BYTES_MAX + 1);
    while ((n = read(STDIN_FILENO, block, sizeof(block))) > 0 && !text.failed)
        buf_add(&text, block, (size_t)n);
    if (n < 0 || text.failed) {
        fprintf(stderr, "sonde check: standard input %s\n",
                n < 0 ? "cannot be read" : "is larger than 4 MiB");
        buf_done(&text);
        return EXIT_FAILED;
    }
    int code = check_text("-", buf_view(&text), NULL);
    buf_done(&text);
    return code;
}

static int check_file(const char *path)
{
    config c;
    error err;
    status st = config_read(&c, path, NULL, tell, NULL, &err);
    return st == STATUS_OK || st == STATUS_INVALID ? finish(&c, st, path) : EXIT_FAILED;
}

/* ---- what there is ---- */

static int builtin(void)
{
    text_pair values[ARRAY_LEN(builtin_values)];
    memcpy(values, builtin_values, sizeof(values));
    return check_text("built-in", config_builtin(), &(pair_list){ values, ARRAY_LEN(values) });
}

static int example(void)
{
    buf out;
    str text = config_builtin();
    buf_init(&out, OUT_MAX);
    while (text.len) {
        size_t i = 0, end = str_find_char(text, '}');
        while (i < ARRAY_LEN(builtin_values) &&
               !(str_starts(text, STR("${")) &&
                 str_eq(str_slice(text, 2, end), builtin_values[i].name)))
            i++;
        if (i < ARRAY_LEN(builtin_values)) {
            buf_str(&out, builtin_values[i].value);
            text = str_slice(text, end + 1, text.len);
        } else {
            buf_char(&out, text.ptr[0]);
            text = str_slice(text, 1, text.len);
        }
    }
    return put_out(&out);
}

static int components(void)
{
    buf out;
    buf_init(&out, OUT_MAX);
    check_list_components(&out);
    return put_out(&out);
}

static int reference(void)
{
    buf out;
    buf_init(&out, OUT_MAX);
    check_write_reference(&out);
    return put_out(&out);
}

static int component_help(const char *type)
{
    buf out;
    if (!type)
        return wrong_usage("--component wants the type of a component");
    buf_init(&out, OUT_MAX);
    if (check_describe(str_c(type), &out))
        return put_out(&out);
    buf_done(&out);
    fprintf(stderr,
            "sonde check: there is no component \"%s\"; "
            "`sonde check config --components` lists them\n",
            type);
    return EXIT_USAGE;
}

static int check_config(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } options[] = { { "--builtin", builtin },
                    { "--example", example },
                    { "--components", components },
                    { "--reference", reference },
                    { "-", check_stdin } };
    if (argc < 1)
        return wrong_usage("config wants a file, or - for standard input");
    if (str_is(str_c(argv[0]), "--component") && argc <= 2)
        return component_help(argv[1]);
    if (argc > 1)
        return wrong_usage("\"%s\" is not wanted here", argv[1]);
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (str_is(str_c(argv[0]), options[i].name))
            return options[i].run();
    if (argv[0][0] == '-')
        return wrong_usage("\"%s\" is no option of config", argv[0]);
    return check_file(argv[0]);
}

int cmd_check(int argc, char **argv)
{
    bool own_help =
        argc > 1 && (str_is(str_c(argv[1]), "rules") || str_is(str_c(argv[1]), "alerts"));
    for (int i = 1; i < argc && !own_help; i++) {
        if (str_is(str_c(argv[i]), "--help") || str_is(str_c(argv[i]), "-h")) {
            fputs(usage, stdout);
            return EXIT_GOOD;
        }
    }
    if (argc < 2)
        return wrong_usage("it wants to know what to check: config, rules or alerts");
    str what = str_c(argv[1]);
    if (str_is(what, "config"))
        return check_config(argc - 2, argv + 2);
    if (str_is(what, "rules"))
        return check_rules(argc - 2, argv + 2);
    if (str_is(what, "alerts"))
        return check_alerts(argc - 2, argv + 2);
    if (str_is(what, "metrics"))
        return wrong_usage("%s: this build cannot check that yet", argv[1]);
    return wrong_usage("\"%s\" is nothing to check; config, rules and alerts are", argv[1]);
}
