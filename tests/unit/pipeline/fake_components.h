// SPDX-License-Identifier: Apache-2.0
/* A table of components that do nothing, in place of components.c: every type of option, both kinds
 * of connectors, extensions that can and cannot say who calls. */
#ifndef TESTS_FAKE_COMPONENTS_H
#define TESTS_FAKE_COMPONENTS_H

#include "pipeline/component.h"

typedef struct {
    str key;
    int action;
} fake_action;

typedef struct {
    str name;
    int64_t port;
    bool secure;
} fake_target;

typedef struct {
    server_settings grpc, http;
    bool has_grpc, has_http;
} fake_protocols;

typedef struct {
    fake_protocols protocols;
} fake_otlp_settings;

typedef struct {
    str text, secret;
    bool truth;
    int64_t integer, duration;
    double number;
    int choice;
    text_list texts;
    pair_list pairs;
    value any;
    fake_target section;
    bool has_section;
    section_list actions, targets;
} fake_all_settings;

typedef struct {
    client_settings client;
    exporter_settings exporter;
} fake_exporter_settings;

#define OPT(s_, name_, type_, member_, ...) \
    { \
        .name = (name_), .type = (type_), .offset = offsetof(s_, member_), .help = "help", \
        __VA_ARGS__ \
    }

static const option fake_grpc_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .offset = offsetof(server_settings, endpoint),
      .fallback = "localhost:4317",
      .help = "where to listen" },
    { .name = "server", .type = OPTION_INLINE, .offset = 0, .table = &server_options },
};
static const option_table fake_grpc_options = OPTION_TABLE(fake_grpc_rows, server_settings);

static const option fake_protocols_rows[] = {
    OPT(fake_protocols, "grpc", OPTION_SECTION, grpc, .table = &fake_grpc_options,
        .present = OPTION_PRESENT(fake_protocols, has_grpc)),
    OPT(fake_protocols, "http", OPTION_SECTION, http, .table = &server_options,
        .present = OPTION_PRESENT(fake_protocols, has_http)),
};
static const option_table fake_protocols_options =
    OPTION_TABLE(fake_protocols_rows, fake_protocols);

static const option fake_otlp_rows[] = {
    OPT(fake_otlp_settings, "protocols", OPTION_SECTION, protocols,
        .table = &fake_protocols_options),
};

static const char *const fake_actions[] = { "insert", "update", "upsert", "delete", NULL };
static const option fake_action_rows[] = {
    OPT(fake_action, "key", OPTION_TEXT, key, .required = true),
    OPT(fake_action, "action", OPTION_CHOICE, action, .choices = fake_actions,
        .fallback = "upsert"),
};
static const option_table fake_action_options = OPTION_TABLE(fake_action_rows, fake_action);

static const option fake_target_rows[] = {
    OPT(fake_target, "port", OPTION_INT, port, .fallback = "80", .min = 1, .max = 65535),
    OPT(fake_target, "secure", OPTION_BOOL, secure),
};
static const option_table fake_target_options = OPTION_TABLE(fake_target_rows, fake_target);

#define ALL(name_, type_, member_, ...) OPT(fake_all_settings, name_, type_, member_, __VA_ARGS__)
static const option fake_all_rows[] = {
    ALL("text", OPTION_TEXT, text, .fallback = "standard"),
    ALL("secret", OPTION_SECRET, secret),
    ALL("truth", OPTION_BOOL, truth, .fallback = "true"),
    ALL("integer", OPTION_INT, integer, .fallback = "7", .min = 0, .max = 1e9),
    ALL("duration", OPTION_DURATION, duration, .fallback = "1m30s", .min = 0, .max = 3600),
    ALL("number", OPTION_NUMBER, number, .fallback = "0.5", .min = 0, .max = 1),
    ALL("choice", OPTION_CHOICE, choice, .choices = fake_actions, .fallback = "delete"),
    ALL("texts", OPTION_TEXTS, texts, .fallback = "[a, b]"),
    ALL("pairs", OPTION_PAIRS, pairs),
    ALL("any", OPTION_VALUE, any),
    ALL("section", OPTION_SECTION, section, .table = &fake_target_options,
        .present = OPTION_PRESENT(fake_all_settings, has_section)),
    ALL("actions", OPTION_SECTIONS, actions, .table = &fake_action_options),
    ALL("targets", OPTION_NAMED, targets, .table = &fake_target_options),
    { .name = "storage", .type = OPTION_IGNORED, .help = "nothing is kept in memory" },
};

static const option fake_exporter_rows[] = {
    OPT(fake_exporter_settings, "endpoint", OPTION_TEXT, client.endpoint, .required = true),
    OPT(fake_exporter_settings, "client", OPTION_INLINE, client, .table = &client_options),
    OPT(fake_exporter_settings, "exporter", OPTION_INLINE, exporter, .table = &exporter_options),
};

static status fake_check(const void *settings, char *where, size_t size, error *err)
{
    const fake_all_settings *s = settings;
    const fake_action *actions = s->actions.items;
    for (uint32_t i = 0; i < s->actions.count; i++) {
        if (!str_is(actions[i].key, "forbidden"))
            continue;
        str_copy_c(where, size, STR("actions[1].key"));
        return fail(err, STATUS_INVALID, "the key is forbidden");
    }
    return STATUS_OK;
}

static status fake_produce(void *self, const batch *in, batch *out, error *err)
{
    (void)self;
    (void)in;
    (void)out;
    return fail(err, STATUS_UNSUPPORTED, "a fake");
}

static status fake_authenticate(void *self, http_exchange *x, error *err)
{
    (void)self;
    (void)x;
    return fail(err, STATUS_UNSUPPORTED, "a fake");
}

#define FAKE(type_, kind_, signals_, ...) \
    { \
        .type = (type_), .kind = COMPONENT_##kind_, .signals = (signals_), .help = "a fake", \
        __VA_ARGS__ \
    }
#define WITH(rows_, settings_) .options = OPTION_TABLE(rows_, settings_)

static const component_type fakes[] = {
    FAKE("otlp", RECEIVER, SIGNALS_ALL, WITH(fake_otlp_rows, fake_otlp_settings)),
    FAKE("loki", RECEIVER, SIGNALS_LOGS),
    FAKE("batch", PROCESSOR, SIGNALS_ALL, .options = OPTION_TABLE(fake_target_rows, fake_target)),
    FAKE("all", PROCESSOR, SIGNALS_ALL, WITH(fake_all_rows, fake_all_settings),
         .check = fake_check),
    FAKE("tail_sampling", PROCESSOR, SIGNALS_TRACES),
    FAKE("forward", CONNECTOR, SIGNALS_ALL),
    FAKE("count", CONNECTOR, SIGNALS_LOGS | SIGNALS_TRACES, .produce = fake_produce,
         .produces = SIGNAL_METRICS),
    FAKE("sonde", EXPORTER, SIGNALS_ALL, .is_store = true),
    FAKE("otlp", EXPORTER, SIGNALS_ALL, WITH(fake_exporter_rows, fake_exporter_settings)),
    FAKE("prometheus", EXPORTER, SIGNALS_METRICS),
    FAKE("health_check", EXTENSION, 0),
    FAKE("bearertokenauth", EXTENSION, 0, .authenticate = fake_authenticate),
};
static const component_type *fake_list[ARRAY_LEN(fakes)];

const char *component_kind_name(component_kind k)
{
    static const char *const names[] = { "receiver", "processor", "connector", "exporter",
                                         "extension" };
    return names[k];
}

const component_type *const *component_all(size_t *ret_count)
{
    for (size_t i = 0; i < ARRAY_LEN(fakes); i++)
        fake_list[i] = &fakes[i];
    *ret_count = ARRAY_LEN(fakes);
    return fake_list;
}

const component_type *component_find(component_kind k, str type)
{
    for (size_t i = 0; i < ARRAY_LEN(fakes); i++)
        if (fakes[i].kind == k && str_is(type, fakes[i].type))
            return &fakes[i];
    return NULL;
}

#endif
