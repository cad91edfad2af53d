// SPDX-License-Identifier: Apache-2.0
/* Options and environment become `settings`. Every variable is a row of a table: its name, how its
 * value is parsed, where it goes, and what a user is told when it does not parse. The OTLP
 * variables exist four times (for all signals and for each), so their table holds suffixes. */
#include "lib/env_internal.h"

#include "codec/recorder_format.h"

#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What OTEL_LOG_LEVEL lets through: a severity number. */
static _Atomic uint8_t library_severity = SONDE_INFO;

PRINTF_LIKE(2, 0) static void say(uint8_t severity, const char *format, va_list args)
{
    char line[512] = "sonde: ";
    size_t at = strlen(line);
    if (severity < atomic_load_explicit(&library_severity, memory_order_relaxed))
        return;
    int n = vsnprintf(line + at, sizeof(line) - at - 1, format, args);
    if (n < 0)
        return;
    at = MIN(at + (size_t)n, sizeof(line) - 2);
    line[at++] = '\n';
    ssize_t ignored UNUSED = write(STDERR_FILENO, line, at);
}

void lib_warn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(SONDE_WARN, format, args);
    va_end(args);
}

void lib_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(SONDE_ERROR, format, args);
    va_end(args);
}

/* Beside the names of log levels: "none", and those that other languages' SDKs take for it. */
bool env_set_library_level(settings *s, void *field UNUSED, str text)
{
    static const struct {
        const char *name;
        uint8_t severity;
    } more[] = {
        { "none", UINT8_MAX }, { "off", UINT8_MAX }, { "all", 1 }, { "trace", 1 }, { "verbose", 1 }
    };
    uint8_t severity = 0;
    for (size_t i = 0; i < ARRAY_LEN(more); i++)
        if (str_eq_nocase(text, str_c(more[i].name)))
            severity = more[i].severity;
    if (!severity && !env_set_level(s, &severity, text))
        return false;
    atomic_store_explicit(&library_severity, severity, memory_order_relaxed);
    return true;
}

void env_given(settings *s, const char *variable, setting_origin from, str text)
{
    given_setting one = { str_c(variable), text, from };
    for (uint32_t i = 0; i < s->given_count; i++)
        if (str_eq(s->given[i].variable, one.variable)) {
            s->given[i].text = arena_str(&s->arena, text);
            s->given[i].from = from;
            return;
        }
    if (s->given_count == s->given_capacity) {
        uint32_t capacity = s->given_capacity ? 2 * s->given_capacity : 32;
        given_setting *larger = arena_alloc(&s->arena, capacity * sizeof(*larger));
        if (!larger)
            return;
        if (s->given_count)
            memcpy(larger, s->given, s->given_count * sizeof(*larger));
        s->given = larger;
        s->given_capacity = capacity;
    }
    one.variable = arena_str(&s->arena, one.variable);
    one.text = arena_str(&s->arena, text);
    s->given[s->given_count++] = one;
}

const given_setting *settings_given(const settings *s, str variable)
{
    for (uint32_t i = 0; i < s->given_count; i++)
        if (str_eq(s->given[i].variable, variable))
            return &s->given[i];
    return NULL;
}

str env_get(const char *name)
{
    return str_trim(str_c(getenv(name)));
}

void env_warn_value(const char *name, str text, const char *expected)
{
    lib_warn("%s=\"%.*s\" is ignored: it must be %s", name, (int)MIN(text.len, 100), text.ptr,
             expected);
}

/* ---- resource attributes ---- */

/* Of what the header of a recorder has room for. */
#define RESOURCE_VALUE_MAX 1024u
#define RESOURCE_ITEMS_MAX 128u

static size_t resource_bytes(const attrs *a)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < a->count; i++)
        sum += 8 + a->items[i].key.len + a->items[i].value.s.len;
    return sum;
}

void env_resource_put(settings *s, str key, str text)
{
    key = str_slice(key, 0, 255);
    text = str_slice(text, 0, RESOURCE_VALUE_MAX);
    value v = VALUE_S(arena_str(&s->arena, text));
    for (uint32_t i = 0; i < s->resource.count; i++)
        if (str_eq(s->resource.items[i].key, key)) {
            s->resource.items[i].value = v;
            return;
        }
    if (s->resource.count == RESOURCE_ITEMS_MAX ||
        resource_bytes(&s->resource) + key.len + text.len + 512 > RECORDER_RESOURCE_MAX) {
        lib_warn("the resource attribute \"%.*s\" is left out: there is room for %u bytes",
                 (int)MIN(key.len, (size_t)60), key.ptr, (unsigned)RECORDER_RESOURCE_MAX);
        return;
    }
    attrs_append(&s->arena, &s->resource, &s->resource_capacity, arena_str(&s->arena, key), v);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Baggage octets: %XX stands for a byte. False when a % is not followed by two digits. */
bool env_percent_decode(arena *a, str in, str *ret)
{
    char *out = arena_alloc(a, in.len + 1);
    if (!out)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        if (in.ptr[i] != '%') {
            out[n++] = in.ptr[i];
            continue;
        }
        int high = i + 2 < in.len ? hex_digit(in.ptr[i + 1]) : -1;
        int low = i + 2 < in.len ? hex_digit(in.ptr[i + 2]) : -1;
        if (high < 0 || low < 0)
            return false;
        out[n++] = (char)(high * 16 + low);
        i += 2;
    }
    *ret = str_n(out, n);
    return true;
}

/* key=value,key=value with percent-encoding. As the specification says, one bad item discards the
 * whole text. With `put` false it only checks. */
static bool each_pair(settings *s, str list, void (*put)(settings *, str, str))
{
    while (list.len) {
        str item = str_trim(str_cut(list, ',', &list)), encoded, key, text;
        if (item.len == 0)
            continue;
        size_t equals = str_find_char(item, '=');
        if (equals == SIZE_MAX)
            return false;
        key = str_trim(str_slice(item, 0, equals));
        encoded = str_trim(str_slice(item, equals + 1, item.len));
        if (key.len == 0 || !env_percent_decode(&s->arena, key, &key) ||
            !env_percent_decode(&s->arena, encoded, &text))
            return false;
        if (put)
            put(s, key, text);
    }
    return true;
}

static bool set_resource(settings *s, void *field UNUSED, str text)
{
    return each_pair(s, text, NULL) && each_pair(s, text, env_resource_put);
}

static bool set_service(settings *s, void *field UNUSED, str text)
{
    env_resource_put(s, STR("service.name"), text);
    return true;
}

/* ---- the table ---- */

#define FIELD(member) offsetof(settings, member)
#define MS            "a number of milliseconds"
#define COUNT         "a positive number"
#define LIMIT         "a number"
#define LEVEL         "debug, info, warn, error or fatal"
#define BYTES         "a number of bytes such as 16MiB"

/* The fallback of a row that only sets others: shown where it was given. */
#define ALIAS "-"

/* A later row of the same meaning wins. */
const env_row env_rows[] = {
    { "OTEL_LOG_LEVEL", env_set_library_level, 0, LEVEL " or none", "info" },
    { "OTEL_SDK_DISABLED", env_set_bool, FIELD(disabled), "true or false" },
    { "OTEL_ENTITIES", env_set_entities, 0, "type{key=value}[key=value]@schema;…", "" },
    { "OTEL_RESOURCE_ATTRIBUTES", set_resource, 0, "key=value,key=value, percent-encoded", "" },
    { "OTEL_SERVICE_NAME", set_service, FIELD(service), "a name" },
    { "OTEL_PROPAGATORS", env_set_propagators, 0,
      "tracecontext, baggage, b3, b3multi, xray, jaeger or none", "tracecontext,baggage" },
    { "OTEL_TRACES_SAMPLER", env_set_sampler, 0,
      "always_on, always_off, traceidratio, ratelimited, or one of them after parentbased_",
      "parentbased_always_on" },
    { "OTEL_TRACES_SAMPLER_ARG", env_set_sampler_arg, 0,
      "a ratio from 0 to 1, or traces per second for ratelimited", "1" },
    { "SONDE_TRACES_ALWAYS_ON_ERROR", env_set_bool, FIELD(always_on_error), "true or false" },
    { "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", env_set_both_lengths, 0, LIMIT, ALIAS },
    { "OTEL_ATTRIBUTE_COUNT_LIMIT", env_set_both_counts, 0, LIMIT, ALIAS },
    { "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", env_set_u32,
      FIELD(attribute_length_max[SIGNAL_TRACES]), LIMIT },
    { "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", env_set_u32, FIELD(attribute_count_max[SIGNAL_TRACES]),
      LIMIT },
    { "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", env_set_u32,
      FIELD(attribute_length_max[SIGNAL_LOGS]), LIMIT },
    { "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", env_set_u32, FIELD(attribute_count_max[SIGNAL_LOGS]),
      LIMIT },
    { "OTEL_SPAN_EVENT_COUNT_LIMIT", env_set_u32, FIELD(span_event_max), LIMIT },
    { "OTEL_SPAN_LINK_COUNT_LIMIT", env_set_u32, FIELD(span_link_max), LIMIT },
    { "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", env_set_u32, FIELD(event_attribute_max), LIMIT },
    { "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", env_set_u32, FIELD(link_attribute_max), LIMIT },
    { "OTEL_BSP_SCHEDULE_DELAY", env_set_u32, FIELD(signal[SIGNAL_TRACES].schedule_ms), MS },
    { "OTEL_BSP_EXPORT_TIMEOUT", env_set_positive, FIELD(signal[SIGNAL_TRACES].export_timeout_ms),
      MS },
    { "OTEL_BSP_MAX_QUEUE_SIZE", env_set_positive, FIELD(signal[SIGNAL_TRACES].queue_max), COUNT },
    { "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", env_set_positive, FIELD(signal[SIGNAL_TRACES].batch_max),
      COUNT },
    { "OTEL_BLRP_SCHEDULE_DELAY", env_set_u32, FIELD(signal[SIGNAL_LOGS].schedule_ms), MS },
    { "OTEL_BLRP_EXPORT_TIMEOUT", env_set_positive, FIELD(signal[SIGNAL_LOGS].export_timeout_ms),
      MS },
    { "OTEL_BLRP_MAX_QUEUE_SIZE", env_set_positive, FIELD(signal[SIGNAL_LOGS].queue_max), COUNT },
    { "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", env_set_positive, FIELD(signal[SIGNAL_LOGS].batch_max),
      COUNT },
    { "OTEL_METRIC_EXPORT_INTERVAL", env_set_positive, FIELD(metric_interval_ms), MS },
    { "OTEL_METRIC_EXPORT_TIMEOUT", env_set_positive,
      FIELD(signal[SIGNAL_METRICS].export_timeout_ms), MS },
    { "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", env_set_temporality, 0,
      "cumulative, delta or lowmemory", "cumulative" },
    { "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", env_set_aggregation, 0,
      "explicit_bucket_histogram or base2_exponential_bucket_histogram",
      "explicit_bucket_histogram" },
    { "OTEL_METRICS_EXEMPLAR_FILTER", env_set_exemplars, 0, "trace_based, always_on or always_off",
      "trace_based" },
    { "OTEL_SEMCONV_STABILITY_OPT_IN", env_set_semconv, 0, "http, http/dup, database/dup", "" },
    { "LOG_LEVEL", env_set_levels, FIELD(log_severity), LEVEL, ALIAS },
    { "SONDE_LOG_LEVEL", env_set_levels, FIELD(log_severity), LEVEL, "info" },
    { "SONDE_LOG_FORMAT", env_set_text, FIELD(log_format), "json, console or a schema" },
    { "SONDE_LOG_OUTPUT", env_set_log_output, 0, "stdout, stderr, file:PATH or none", "stdout" },
    { "SONDE_LOG_ROTATE_BYTES", env_set_bytes, FIELD(log_rotate_bytes), BYTES },
    { "SONDE_LOG_ROTATE_KEEP", env_set_u32, FIELD(log_rotate_keep), COUNT },
    { "SONDE_LOG_ROTATE_SECONDS", env_set_u32, FIELD(log_rotate_age_s), "a number of seconds" },
    { "SONDE_REDACT_KEYS", env_set_text, FIELD(redact_keys), "a list of key patterns" },
    { "SONDE_REDACT_VALUES", env_set_text, FIELD(redact_values), "all, none or a list" },
    { "SONDE_FULL_WAIT_MS", env_set_u32, FIELD(full_wait_ms), MS },
    { "SONDE_DRAIN", env_set_drain, 0, "auto, thread or server", "auto" },
    { "SONDE_SPOOL_DIR", env_set_text, FIELD(spool_dir), "a directory" },
    { "SONDE_SPOOL_BYTES", env_set_bytes, FIELD(spool_bytes), BYTES },
    { "SONDE_RECORDER_DIR", env_set_text, FIELD(recorder_dir), "a directory" },
    { "SONDE_RECORDER_BYTES", env_set_bytes, FIELD(recorder_bytes), BYTES },
    { "SONDE_ADMIN_ADDR", env_set_text, FIELD(admin_addr), "an address, or several with commas" },
    { "SONDE_ADMIN_TOKEN", env_set_text, FIELD(admin_token), "a token" },
};

const size_t env_row_count = ARRAY_LEN(env_rows);

static void row_load(settings *s, const env_row *row)
{
    str text = env_get(row->name);
    if (text.len && row->set(s, (char *)s + row->field, text))
        env_given(s, row->name, FROM_ENVIRONMENT, text);
    else if (text.len)
        env_warn_value(row->name, text, row->expected);
}

/* The first row, which decides whether the rest may warn, has been loaded. */
static void environment_load(settings *s)
{
    for (size_t i = 1; i < ARRAY_LEN(env_rows); i++)
        row_load(s, &env_rows[i]);
    if (env_get("OTEL_CONFIG_FILE").len)
        lib_warn("OTEL_CONFIG_FILE is not supported by this library; the other variables count");
}

/* What is known of the process without being told. The recorder adds process.pid and
 * service.instance.id. */
static void resource_defaults(settings *s)
{
    char path[PATH_MAX], host[256] = "";
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path));
    str program = STR_EMPTY;
    for (str rest = str_n(path, n > 0 ? (size_t)n : 0); rest.len;)
        program = str_cut(rest, '/', &rest);
    env_resource_put(s, STR("service.name"),
                     arena_fmt(&s->arena, "unknown_service:%.*s", STR_ARG(program)));
    env_resource_put(s, STR("telemetry.sdk.name"), STR("sonde"));
    env_resource_put(s, STR("telemetry.sdk.language"), STR("c"));
    env_resource_put(s, STR("telemetry.sdk.version"), STR(SONDE_VERSION));
    if (program.len)
        env_resource_put(s, STR("process.executable.name"), program);
    if (gethostname(host, sizeof(host) - 1) == 0 && host[0])
        env_resource_put(s, STR("host.name"), str_c(host));
}

static void defaults_set(settings *s)
{
    s->log_severity = 9;
    s->log_rotate_keep = 5;
    s->recorder_bytes = MiB(16);
    s->propagators = 1u << PROPAGATE_TRACECONTEXT | 1u << PROPAGATE_BAGGAGE;
    s->sampler = SAMPLER_ALWAYS_ON;
    s->sampler_parent_based = true;
    s->sampler_ratio = 1.0;
    s->sampler_rate = 1.0;
    s->span_event_max = s->span_link_max = 128;
    s->event_attribute_max = s->link_attribute_max = 128;
    s->spool_bytes = MiB(64);
    s->metric_interval_ms = 60000;
    s->stop_timeout_ms = 5000;
    s->recorder_dir = s->spool_dir = s->admin_addr = s->admin_token = STR_EMPTY;
    s->log_path = s->log_format = s->log_levels = s->redact_keys = s->redact_values = STR_EMPTY;
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        s->attribute_count_max[i] = 128;
        s->attribute_length_max[i] = UINT32_MAX;
        signal_settings *one = &s->signal[i];
        one->headers = one->ca_file = one->client_certificate = one->client_key = STR_EMPTY;
        one->timeout_ms = 10000;
        one->export_timeout_ms = 30000;
        one->schedule_ms = i == SIGNAL_TRACES ? 5000 : 1000;
        one->batch_max = 512;
    }
}

/* Options that are parsed like a variable. */
static void option_texts_load(settings *s, const sonde_options *o)
{
    static const struct {
        const char *name, *variable;
        size_t option;
        env_setter *set;
        size_t field;
        const char *expected;
    } texts[] = {
#define OPTION(member, variable) "sonde_options." #member, variable, offsetof(sonde_options, member)
        { OPTION(log_output, "SONDE_LOG_OUTPUT"), env_set_log_output, 0,
          "stdout, stderr, file:PATH or none" },
        { OPTION(log_levels, "sonde_options.log_levels"), env_set_text, FIELD(log_levels), "" },
        { OPTION(log_format, "SONDE_LOG_FORMAT"), env_set_text, FIELD(log_format), "" },
        { OPTION(redact_keys, "SONDE_REDACT_KEYS"), env_set_text, FIELD(redact_keys), "" },
        { OPTION(redact_values, "SONDE_REDACT_VALUES"), env_set_text, FIELD(redact_values), "" },
        { OPTION(recorder_dir, "SONDE_RECORDER_DIR"), env_set_text, FIELD(recorder_dir), "" },
        { OPTION(drain, "SONDE_DRAIN"), env_set_drain, 0, "auto, thread or server" },
        { OPTION(spool_dir, "SONDE_SPOOL_DIR"), env_set_text, FIELD(spool_dir), "" },
        { OPTION(sampler, "OTEL_TRACES_SAMPLER"), env_set_sampler, 0,
          "a name as in OTEL_TRACES_SAMPLER" },
        { OPTION(sampler_arg, "OTEL_TRACES_SAMPLER_ARG"), env_set_sampler_arg, 0,
          "a ratio, or traces per second" },
        { OPTION(admin_addr, "SONDE_ADMIN_ADDR"), env_set_text, FIELD(admin_addr), "" },
        { OPTION(admin_token, "SONDE_ADMIN_TOKEN"), env_set_text, FIELD(admin_token), "" },
#undef OPTION
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        str text = str_c(*(const char *const *)((const char *)o + texts[i].option));
        if (text.len && texts[i].set(s, (char *)s + texts[i].field, text))
            env_given(s, texts[i].variable, FROM_OPTION, text);
        else if (text.len)
            env_warn_value(texts[i].name, text, texts[i].expected);
    }
}

/* 0 leaves the default. */
static void option_numbers_load(settings *s, const sonde_options *o)
{
#define NUMBER(member, variable) \
    do { \
        if (o->member) { \
            s->member = o->member; \
            env_given(s, variable, FROM_OPTION, STR_EMPTY); \
        } \
    } while (0)
    NUMBER(log_rotate_bytes, "SONDE_LOG_ROTATE_BYTES");
    NUMBER(log_rotate_age_s, "SONDE_LOG_ROTATE_SECONDS");
    NUMBER(log_rotate_keep, "SONDE_LOG_ROTATE_KEEP");
    NUMBER(recorder_bytes, "SONDE_RECORDER_BYTES");
    NUMBER(full_wait_ms, "SONDE_FULL_WAIT_MS");
    NUMBER(spool_bytes, "SONDE_SPOOL_BYTES");
    NUMBER(metric_interval_ms, "OTEL_METRIC_EXPORT_INTERVAL");
    NUMBER(stop_timeout_ms, "sonde_options.stop_timeout_ms");
    NUMBER(always_on_error, "SONDE_TRACES_ALWAYS_ON_ERROR");
#undef NUMBER
}

static void options_load(settings *s, const sonde_options *o)
{
    static const struct {
        const char *key;
        size_t field;
    } attributes[] = {
        { "service.name", offsetof(sonde_options, service) },
        { "service.version", offsetof(sonde_options, version) },
        { "deployment.environment.name", offsetof(sonde_options, environment) },
    };
    for (const char *const *pair = o->resource; pair && pair[0] && pair[1]; pair += 2)
        env_resource_put(s, str_c(pair[0]), str_c(pair[1]));
    for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
        const char *text = *(const char *const *)((const char *)o + attributes[i].field);
        if (text && text[0]) {
            env_resource_put(s, str_c(attributes[i].key), str_c(text));
            if (i == 0)
                env_given(s, "OTEL_SERVICE_NAME", FROM_OPTION, str_c(text));
        }
    }
    if (o->log_level) {
        s->log_severity = (uint8_t)o->log_level;
        env_given(s, "SONDE_LOG_LEVEL", FROM_OPTION, str_c(env_level_name((uint8_t)o->log_level)));
    }
    option_texts_load(s, o);
    option_numbers_load(s, o);
}

status settings_load(settings *ret, const sonde_options *options, error *err)
{
    memset(ret, 0, sizeof(*ret));
    arena_init(&ret->arena, MiB(1));
    defaults_set(ret);
    resource_defaults(ret);
    bool environment = !options || !options->ignore_environment;
    (void)env_set_library_level(ret, NULL, STR("info"));
    if (environment)
        row_load(ret, &env_rows[0]);
    if (options)
        options_load(ret, options);
    if (environment)
        environment_load(ret);
    env_otlp_load(ret, options, environment);
    env_exporters_load(ret, environment);
    ret->service = attrs_get_str(&ret->resource, STR("service.name"));
    ret->version = attrs_get_str(&ret->resource, STR("service.version"));
    ret->environment = attrs_get_str(&ret->resource, STR("deployment.environment.name"));
    if (ret->service.len == 0) {
        settings_done(ret);
        return fail(err, STATUS_NO_MEMORY, "no memory for the settings");
    }
    return STATUS_OK;
}

void settings_done(settings *s)
{
    arena_done(&s->arena);
    memset(s, 0, sizeof(*s));
}
