// SPDX-License-Identifier: Apache-2.0
/* The command line of `sonde serve`: a row for each option. */
#include "cmd/serve.h"

#include "base/clock.h"

#include <stdio.h>

typedef struct {
    const char *name;
    const char *takes; /* what it takes, for the help; NULL: nothing */
    bool of_builtin;   /* a value of the built-in configuration: a file says it itself */
    status (*set)(serve_options *o, const char *text, error *err);
    const char *help;
} serve_option;

static status set_data(serve_options *o, const char *text, error *err)
{
    if (!*text)
        return fail(err, STATUS_INVALID, "--data wants a directory");
    o->data = text;
    return STATUS_OK;
}

static status set_address(const char **ret, const char *text, error *err)
{
    bool loopback;
    *ret = text;
    return http_address_is_loopback(text, &loopback, err);
}

static status set_http(serve_options *o, const char *text, error *err)
{
    return set_address(&o->http, text, err);
}

static status set_otlp_grpc(serve_options *o, const char *text, error *err)
{
    return set_address(&o->otlp_grpc, text, err);
}

static status set_otlp_http(serve_options *o, const char *text, error *err)
{
    return set_address(&o->otlp_http, text, err);
}

static status set_config(serve_options *o, const char *text, error *err)
{
    if (!*text)
        return fail(err, STATUS_INVALID, "--config wants a file");
    o->config = text;
    return STATUS_OK;
}

static status set_retention(serve_options *o, const char *text, error *err)
{
    int64_t ns = 0;
    o->retention = text;
    if (!str_is(str_c(text), "0") && (!clock_parse_duration(str_c(text), &ns) || ns < 0))
        return fail(err, STATUS_INVALID,
                    "--retention %s is no duration; write 30d, 12h or 0 to keep everything", text);
    return STATUS_OK;
}

static status set_seal_after(serve_options *o, const char *text, error *err)
{
    int64_t ns;
    o->seal_after = text;
    if (!clock_parse_duration(str_c(text), &ns) || ns < NS_PER_MS || ns > 3600 * NS_PER_S)
        return fail(err, STATUS_INVALID,
                    "--seal-after %s is no duration from 1ms to 1h; write 60s, 5m", text);
    return STATUS_OK;
}

static status set_intake_limit(serve_options *o, const char *text, error *err)
{
    static const struct {
        const char *suffix;
        unsigned shift;
    } units[] = { { "GiB", 30 }, { "MiB", 20 }, { "KiB", 10 }, { "", 0 } };
    uint64_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        str number = str_c(text);
        if (!str_ends(number, str_c(units[i].suffix)))
            continue;
        number.len -= strlen(units[i].suffix);
        if (!str_to_u64(number, &n) || n == 0 || n > (UINT64_MAX >> units[i].shift) / 4 ||
            n << units[i].shift < MiB(1))
            break;
        o->intake_limit = (size_t)(n << units[i].shift);
        return STATUS_OK;
    }
    return fail(err, STATUS_INVALID,
                "--intake-limit %s is no size from 1MiB on; write 1GiB, 512MiB", text);
}

/* One more of a repeatable option. */
static status add_text(const char **list, unsigned *count, unsigned max, const char *option,
                       const char *text, error *err)
{
    if (!*text)
        return fail(err, STATUS_INVALID, "%s wants a value", option);
    if (*count == max)
        return fail(err, STATUS_INVALID, "%s %s: at most %u of these", option, text, max);
    list[(*count)++] = text;
    return STATUS_OK;
}

static status set_recorder(serve_options *o, const char *text, error *err)
{
    return add_text(o->recorders, &o->recorder_count, SERVE_RECORDERS_MAX, "--recorder", text, err);
}

static status set_recorder_metrics(serve_options *o, const char *text, error *err)
{
    int64_t ns;
    o->recorder_metrics = text;
    if (!clock_parse_duration(str_c(text), &ns) || ns < 100 * NS_PER_MS || ns > 3600 * NS_PER_S)
        return fail(err, STATUS_INVALID,
                    "--recorder-metrics %s is no duration from 100ms to 1h; write 15s, 1m", text);
    return STATUS_OK;
}

static status set_rules(serve_options *o, const char *text, error *err)
{
    return add_text(o->rules, &o->rule_count, SERVE_RULES_MAX, "--rules", text, err);
}

static status check_url(const char *option, const char *text, error *err)
{
    if (str_starts(str_c(text), STR("http://")) || str_starts(str_c(text), STR("https://")))
        return STATUS_OK;
    return fail(err, STATUS_INVALID, "%s %s: wants http://… or https://…", option, text);
}

static status set_alertmanager(serve_options *o, const char *text, error *err)
{
    status st = check_url("--alertmanager", text, err);
    return st == STATUS_OK ? add_text(o->alertmanagers, &o->alertmanager_count,
                                      SERVE_ALERTMANAGERS_MAX, "--alertmanager", text, err)
                           : st;
}

static status set_alertmanager_config(serve_options *o, const char *text, error *err)
{
    if (!*text)
        return fail(err, STATUS_INVALID, "--alertmanager-config wants a file");
    o->alertmanager_config = text;
    return STATUS_OK;
}

static status set_external_url(serve_options *o, const char *text, error *err)
{
    o->external_url = text;
    return check_url("--external-url", text, err);
}

static status set_evaluation_interval(serve_options *o, const char *text, error *err)
{
    int64_t ns;
    o->evaluation_interval = text;
    if (!clock_parse_duration(str_c(text), &ns) || ns < 100 * NS_PER_MS)
        return fail(err, STATUS_INVALID,
                    "--evaluation-interval %s is no duration from 100ms on; write 15s, 1m", text);
    return STATUS_OK;
}

static status set_no_auth(serve_options *o, const char *text, error *err)
{
    (void)text;
    (void)err;
    o->no_auth = true;
    return STATUS_OK;
}

static status set_features(serve_options *o, const char *text, error *err)
{
    (void)err;
    o->features = text;
    return STATUS_OK;
}

static status set_log_level(serve_options *o, const char *text, error *err)
{
    static const struct {
        const char *name;
        sonde_level level;
    } levels[] = {
        { "debug", SONDE_DEBUG },
        { "info", SONDE_INFO },
        { "warn", SONDE_WARN },
        { "error", SONDE_ERROR },
    };
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        if (str_is(str_c(text), levels[i].name)) {
            o->log_level = levels[i].level;
            return STATUS_OK;
        }
    }
    return fail(err, STATUS_INVALID, "--log-level %s: use debug, info, warn or error", text);
}

static status set_help(serve_options *o, const char *text, error *err)
{
    (void)text;
    (void)err;
    o->help = true;
    return STATUS_OK;
}

static const serve_option rows[] = {
    { "--config", "FILE", false, set_config,
      "run this collector configuration instead of the built-in one" },
    { "--data", "DIR", false, set_data, "where everything is stored (./data)" },
    { "--http", "ADDR", true, set_http, "web UI, queries, other ingest (127.0.0.1:4319)" },
    { "--otlp-grpc", "ADDR", true, set_otlp_grpc, "OTLP over gRPC (127.0.0.1:4317)" },
    { "--otlp-http", "ADDR", true, set_otlp_http, "OTLP over HTTP (127.0.0.1:4318)" },
    { "--recorder", "DIR", true, set_recorder,
      "read the recorders of programs in this directory; may be repeated" },
    { "--recorder-metrics", "TIME", true, set_recorder_metrics,
      "how often their metrics are read (15s)" },
    { "--retention", "TIME", true, set_retention, "how long rows are kept; 0: for ever (30d)" },
    { "--seal-after", "TIME", true, set_seal_after,
      "how long rows stay in memory before they go into a part (60s)" },
    { "--intake-limit", "SIZE", false, set_intake_limit,
      "bytes of the log that holds what is not stored or sent yet; then senders wait (1GiB)" },
    { "--rules", "PATH", true, set_rules,
      "evaluate the rules of this file, folder or glob; may be repeated" },
    { "--evaluation-interval", "TIME", true, set_evaluation_interval,
      "how often groups of rules are evaluated that do not say it (1m)" },
    { "--alertmanager-config", "FILE", true, set_alertmanager_config,
      "whom the built-in alertmanager notifies, in Alertmanager's format" },
    { "--alertmanager", "URL", true, set_alertmanager,
      "tell alerts to this Alertmanager as well; may be repeated" },
    { "--external-url", "URL", true, set_external_url,
      "of this server for others, for links in notifications" },
    { "--no-auth", NULL, false, set_no_auth, "let --http be an address that other machines reach" },
    { "--enable-feature", "LIST", false, set_features,
      "names that Prometheus has, separated by commas" },
    { "--log-level", "LEVEL", false, set_log_level, "debug, info, warn or error (info)" },
    { "--help", NULL, false, set_help, "print this" },
};

void serve_print_help(void)
{
    puts("usage: sonde serve [OPTION]...\n\n"
         "Receives, stores and queries telemetry until it gets SIGTERM or SIGINT.\n"
         "ADDR is HOST:PORT; port 0 takes a free one, a missing host means all addresses.\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        printf("  %-21s %-6s %s\n", rows[i].name, rows[i].takes ? rows[i].takes : "", rows[i].help);
}

static void note_overridden(serve_options *o, const serve_option *given)
{
    size_t n = 0;
    while (o->overridden[n])
        n++;
    if (given->of_builtin && n + 1 < ARRAY_LEN(o->overridden))
        o->overridden[n] = given->name;
}

/* "--name value" and "--name=value". */
static status parse_one(serve_options *o, char **argv, int *at, error *err)
{
    str text, name = str_cut(str_c(argv[*at]), '=', &text);
    bool has_value = name.len < strlen(argv[*at]);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!str_is(name, rows[i].name))
            continue;
        if (!rows[i].takes && has_value)
            return fail(err, STATUS_INVALID, "%s takes no value", rows[i].name);
        if (rows[i].takes && !has_value) {
            if (!argv[*at + 1])
                return fail(err, STATUS_INVALID, "%s wants a value: %s %s", rows[i].name,
                            rows[i].name, rows[i].takes);
            text = str_c(argv[++*at]);
        }
        note_overridden(o, &rows[i]);
        return rows[i].set(o, text.ptr, err);
    }
    return fail(err, STATUS_INVALID, "\"%s\" is no option; `sonde serve --help` lists them",
                argv[*at]);
}

status serve_parse(serve_options *ret, int argc, char **argv, error *err)
{
    *ret = (serve_options){
        .data = "./data",
        .http = "127.0.0.1:4319",
        .otlp_grpc = "127.0.0.1:4317",
        .otlp_http = "127.0.0.1:4318",
        .retention = "30d",
        .seal_after = "60s",
        .recorder_metrics = "15s",
        .alertmanager_config = "",
        .external_url = "",
        .evaluation_interval = "1m",
        .log_level = SONDE_INFO,
    };
    for (int i = 1; i < argc; i++) {
        status st = parse_one(ret, argv, &i, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

/* ---- as they are ---- */

/* What stands between "://" and "@" may be a password. */
static void put_value(buf *out, const char *value)
{
    str all = str_c(value ? value : "");
    size_t scheme = str_find(all, STR("://")), end = scheme + 3, user = 0;
    for (; scheme < all.len && end < all.len && !strchr("/?#", all.ptr[end]); end++)
        if (all.ptr[end] == '@')
            user = end;
    if (user)
        buf_fmt(out, "%.*s<secret>%.*s", (int)scheme + 3, all.ptr, (int)(all.len - user),
                all.ptr + user);
    else
        buf_str(out, all);
}

static void put_list(buf *out, const char *const *items, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (i)
            buf_char(out, ',');
        put_value(out, items[i]);
    }
}

uint32_t serve_flags(const serve_options *o, text_pair ret[SERVE_FLAGS_MAX], buf *text)
{
    static const char *const levels[] = { "debug", "info", "warn", "error" };
    const struct {
        const char *name;
        const char *const *items; /* of repeatable ones, or one */
        unsigned count;
    } flags[] = {
        { "config", &o->config, 1 },
        { "data", &o->data, 1 },
        { "http", &o->http, 1 },
        { "otlp-grpc", &o->otlp_grpc, 1 },
        { "otlp-http", &o->otlp_http, 1 },
        { "recorder", o->recorders, o->recorder_count },
        { "recorder-metrics", &o->recorder_metrics, 1 },
        { "retention", &o->retention, 1 },
        { "seal-after", &o->seal_after, 1 },
        { "rules", o->rules, o->rule_count },
        { "evaluation-interval", &o->evaluation_interval, 1 },
        { "alertmanager-config", &o->alertmanager_config, 1 },
        { "alertmanager", o->alertmanagers, o->alertmanager_count },
        { "external-url", &o->external_url, 1 },
        { "enable-feature", &o->features, 1 },
    };
    size_t ends[ARRAY_LEN(flags) + 3];
    uint32_t n = 0;
    buf_init(text, MiB(1));
    for (; n < ARRAY_LEN(flags); n++) {
        ret[n].name = str_c(flags[n].name);
        put_list(text, flags[n].items, flags[n].count);
        ends[n] = text->len;
    }
    ret[n].name = STR("intake-limit");
    buf_u64(text, o->intake_limit ? o->intake_limit : GiB(1));
    ends[n++] = text->len;
    ret[n].name = STR("no-auth");
    buf_str(text, o->no_auth ? STR("true") : STR("false"));
    ends[n++] = text->len;
    ret[n].name = STR("log-level");
    buf_str(text, str_c(levels[MIN((unsigned)(o->log_level - SONDE_DEBUG) / 4, 3u)]));
    ends[n++] = text->len;
    for (uint32_t i = 0; i < n; i++) /* now that the text stays where it is */
        ret[i].value = str_slice(buf_view(text), i ? ends[i - 1] : 0, ends[i]);
    return n;
}
