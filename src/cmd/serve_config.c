// SPDX-License-Identifier: Apache-2.0
/* The configuration of `sonde serve`: a collector file, or the built-in one with the command line's
 * values in it. */
#include "cmd/serve.h"

#include "pipeline/exporters/sonde.h"

#include <sonde/sonde.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- reading ---- */

static void tell_stderr(void *user, bool warning, const char *text)
{
    (void)user;
    fprintf(stderr, "sonde serve: %s%s\n", warning ? "warning: " : "", text);
}

static void tell_log(void *user, bool warning, const char *text)
{
    (void)user;
    if (warning)
        sonde_warn("configuration_warning", sonde_kv("detail", text));
    else
        sonde_error("configuration_error", sonde_kv("detail", text));
}

/* As YAML: ['/run/a', '/run/b'], or with a key [{url: 'http://a'}]. */
static str write_list(buf *out, const char *const *items, unsigned count, const char *key)
{
    buf_init(out, KiB(256));
    buf_char(out, '[');
    for (unsigned i = 0; i < count; i++) {
        buf_fmt(out, "%s%s%s'", i ? ", " : "", key ? "{" : "", key ? key : "");
        for (const char *c = items[i]; *c; c++) {
            if (*c == '\'')
                buf_char(out, '\'');
            buf_char(out, *c);
        }
        buf_str(out, key ? STR("'}") : STR("'"));
    }
    buf_char(out, ']');
    return buf_view(out);
}

static status read_builtin(config *ret, const serve_options *o, config_issue *tell, error *err)
{
    buf recorders, rules, alertmanagers;
    text_pair pairs[] = {
        { STR("sonde:http"), str_c(o->http) },
        { STR("sonde:otlp_grpc"), str_c(o->otlp_grpc) },
        { STR("sonde:otlp_http"), str_c(o->otlp_http) },
        { STR("sonde:retention"), str_c(o->retention) },
        { STR("sonde:seal_after"), str_c(o->seal_after) },
        { STR("sonde:recorders"), write_list(&recorders, o->recorders, o->recorder_count, NULL) },
        { STR("sonde:recorder_metrics"), str_c(o->recorder_metrics) },
        { STR("sonde:rules"), write_list(&rules, o->rules, o->rule_count, NULL) },
        { STR("sonde:alertmanagers"),
          write_list(&alertmanagers, o->alertmanagers, o->alertmanager_count, "url: ") },
        { STR("sonde:alertmanager_config"), str_c(o->alertmanager_config) },
        { STR("sonde:external_url"), str_c(o->external_url) },
        { STR("sonde:evaluation_interval"), str_c(o->evaluation_interval) },
    };
    pair_list names = { pairs, ARRAY_LEN(pairs) };
    status st = config_parse(ret, "built-in", config_builtin(), &names, tell, NULL, err);
    buf_done(&recorders);
    buf_done(&rules);
    buf_done(&alertmanagers);
    return st;
}

static void warn_overridden(const serve_options *o, config_issue *tell)
{
    char text[200];
    for (size_t i = 0; o->overridden[i]; i++) {
        /* Without an extension for it, the port of queries is the command line's. */
        if (str_is(str_c(o->overridden[i]), "--http"))
            continue;
        snprintf(text, sizeof(text), "%s has no effect: --config decides", o->overridden[i]);
        tell(NULL, true, text);
    }
}

status serve_read_config(config *ret, const serve_options *o, bool running, error *err)
{
    config_issue *tell = running ? tell_log : tell_stderr;
    if (!o->config)
        return read_builtin(ret, o, tell, err);
    status st = config_read(ret, o->config, NULL, tell, NULL, err);
    if (st == STATUS_INVALID) /* each finding was told */
        return fail(err, st, "%s cannot be run: %s", o->config,
                    running ? "the former configuration runs on" : "nothing was started");
    if (st == STATUS_OK && !running)
        warn_overridden(o, tell);
    return st;
}

bool serve_config_changed(const serve_options *o, file_mark *mark)
{
    struct stat info;
    if (!o->config || stat(o->config, &info) != 0)
        return false;
    file_mark now = { (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec,
                      (int64_t)info.st_size, (uint64_t)info.st_ino };
    bool changed =
        now.modified_ns != mark->modified_ns || now.size != mark->size || now.inode != mark->inode;
    *mark = now;
    return changed;
}

/* ---- the query and UI port ---- */

static const server_settings *configured_web(const config *file)
{
    for (uint32_t i = 0; i < file->extension_count; i++) {
        const config_component *c = &file->components[file->extensions[i]];
        if (strcmp(c->type->type, "sonde_web") == 0)
            return c->settings;
    }
    return NULL;
}

status serve_web_settings(server_settings *ret, const serve_options *o, const config *file,
                          error *err)
{
    bool loopback = true;
    const server_settings *s = configured_web(file);
    *ret = s ? *s : (server_settings){ .endpoint = str_c(o->http) };
    status st = http_address_is_loopback(ret->endpoint.ptr, &loopback, err);
    bool asks = ret->has_auth || (ret->has_tls && ret->tls.client_ca_file.len);
    if (st == STATUS_OK && !loopback && !asks && !o->no_auth)
        return fail(err, STATUS_INVALID,
                    "%.*s can be reached from other machines and nothing asks who they are: "
                    "use a loopback address, configure auth for it (the extension sonde_web), or "
                    "add --no-auth if that is meant",
                    STR_ARG(ret->endpoint));
    return st;
}
