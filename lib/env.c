// SPDX-License-Identifier: Apache-2.0
/* Options and environment become `settings`. Every variable is a row of a table: its name, how its
 * value is parsed, where it goes, and what a user is told when it does not parse. The OTLP
 * variables exist four times (for all signals and for each), so their table holds suffixes. */
#include "lib/env.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef bool env_setter(settings *s, void *field, str text);

typedef struct {
    const char *name;
    env_setter *set;
    size_t field; /* offset in settings */
    const char *expected;
} env_row;

void lib_warn(const char *format, ...)
{
    char line[512] = "sonde: ";
    size_t at = strlen(line);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line + at, sizeof(line) - at - 1, format, args);
    va_end(args);
    if (n < 0)
        return;
    at = MIN(at + (size_t)n, sizeof(line) - 2);
    line[at++] = '\n';
    ssize_t ignored UNUSED = write(STDERR_FILENO, line, at);
}

str env_get(const char *name)
{
    return str_trim(str_c(getenv(name)));
}

/* ---- parsers of one value ---- */

static bool set_bool(settings *s UNUSED, void *field, str text)
{
    bool yes = str_eq_nocase(text, STR("true"));
    if (!yes && !str_eq_nocase(text, STR("false")))
        return false;
    *(bool *)field = yes;
    return true;
}

static bool set_u32(settings *s UNUSED, void *field, str text)
{
    uint64_t n;
    if (!str_to_u64(text, &n) || n > INT32_MAX)
        return false;
    *(uint32_t *)field = (uint32_t)n;
    return true;
}

static bool set_positive(settings *s, void *field, str text)
{
    uint32_t n;
    if (!set_u32(s, &n, text) || n == 0)
        return false;
    *(uint32_t *)field = n;
    return true;
}

static bool set_text(settings *s, void *field, str text)
{
    *(str *)field = arena_str(&s->arena, text);
    return true;
}

/* "16777216", "16MiB", "16M", "64k". */
static bool set_bytes(settings *s UNUSED, void *field, str text)
{
    static const struct {
        const char *suffix;
        unsigned shift;
    } units[] = { { "kib", 10 }, { "mib", 20 }, { "gib", 30 }, { "kb", 10 }, { "mb", 20 },
                  { "gb", 30 },  { "k", 10 },   { "m", 20 },   { "g", 30 },  { "b", 0 } };
    unsigned shift = 0;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        str unit = str_c(units[i].suffix);
        if (text.len > unit.len &&
            str_eq_nocase(str_slice(text, text.len - unit.len, text.len), unit)) {
            text = str_trim(str_slice(text, 0, text.len - unit.len));
            shift = units[i].shift;
            break;
        }
    }
    uint64_t n;
    if (!str_to_u64(text, &n) || n > (UINT64_MAX >> 1 >> shift))
        return false;
    *(uint64_t *)field = n << shift;
    return true;
}

static bool set_level(settings *s UNUSED, void *field, str text)
{
    static const struct {
        const char *name;
        uint8_t severity;
    } levels[] = { { "debug", 5 },    { "info", 9 },   { "warn", 13 },
                   { "warning", 13 }, { "error", 17 }, { "fatal", 21 } };
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (str_eq_nocase(text, str_c(levels[i].name))) {
            *(uint8_t *)field = levels[i].severity;
            return true;
        }
    return false;
}

static bool set_log_output(settings *s, void *field UNUSED, str text)
{
    if (str_is(text, "stdout"))
        s->log_output = LOG_TO_STDOUT;
    else if (str_is(text, "stderr"))
        s->log_output = LOG_TO_STDERR;
    else if (str_is(text, "none"))
        s->log_output = LOG_TO_NONE;
    else if (str_starts(text, STR("file:")) && text.len > 5) {
        s->log_output = LOG_TO_FILE;
        s->log_path = arena_str(&s->arena, str_slice(text, 5, text.len));
    } else
        return false;
    return true;
}

static bool set_propagators(settings *s, void *field UNUSED, str text)
{
    bool tracecontext = false, baggage = false, good = true;
    while (text.len) {
        str name = str_trim(str_cut(text, ',', &text));
        if (str_is(name, "tracecontext"))
            tracecontext = true;
        else if (str_is(name, "baggage"))
            baggage = true;
        else if (!str_is(name, "none"))
            good = false;
    }
    if (!good && !tracecontext && !baggage)
        return false;
    s->tracecontext = tracecontext;
    s->baggage = baggage;
    return good;
}

static bool set_sampler(settings *s, void *field UNUSED, str text)
{
    static const struct {
        const char *name;
        sampler_kind kind;
        bool parent;
    } samplers[] = {
        { "always_on", SAMPLER_ALWAYS_ON, false },
        { "always_off", SAMPLER_ALWAYS_OFF, false },
        { "traceidratio", SAMPLER_RATIO, false },
        { "parentbased_always_on", SAMPLER_ALWAYS_ON, true },
        { "parentbased_always_off", SAMPLER_ALWAYS_OFF, true },
        { "parentbased_traceidratio", SAMPLER_RATIO, true },
    };
    for (size_t i = 0; i < ARRAY_LEN(samplers); i++)
        if (str_is(text, samplers[i].name)) {
            s->sampler = samplers[i].kind;
            s->sampler_parent_based = samplers[i].parent;
            return true;
        }
    return false;
}

static bool set_ratio(settings *s UNUSED, void *field, str text)
{
    double ratio;
    if (!str_to_f64(text, &ratio) || !(ratio >= 0 && ratio <= 1))
        return false;
    *(double *)field = ratio;
    return true;
}

static bool set_semconv(settings *s, void *field UNUSED, str text)
{
    while (text.len) {
        str item = str_trim(str_cut(text, ',', &text));
        if (str_is(item, "http/dup"))
            s->http_old_names = true;
        else if (str_is(item, "http"))
            s->http_old_names = s->http_old_names || false;
    }
    return true; /* other categories concern other libraries */
}

static bool set_both_lengths(settings *s, void *field UNUSED, str text)
{
    uint32_t n;
    if (!set_u32(s, &n, text))
        return false;
    s->attribute_length_max[SIGNAL_LOGS] = s->attribute_length_max[SIGNAL_TRACES] = n;
    return true;
}

static bool set_both_counts(settings *s, void *field UNUSED, str text)
{
    uint32_t n;
    if (!set_u32(s, &n, text))
        return false;
    s->attribute_count_max[SIGNAL_LOGS] = s->attribute_count_max[SIGNAL_TRACES] = n;
    return true;
}

/* ---- resource attributes ---- */

static void resource_put(settings *s, str key, str text)
{
    value v = VALUE_S(arena_str(&s->arena, text));
    for (uint32_t i = 0; i < s->resource.count; i++)
        if (str_eq(s->resource.items[i].key, key)) {
            s->resource.items[i].value = v;
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
static bool percent_decode(arena *a, str in, str *ret)
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
        if (key.len == 0 || !percent_decode(&s->arena, key, &key) ||
            !percent_decode(&s->arena, encoded, &text))
            return false;
        if (put)
            put(s, key, text);
    }
    return true;
}

static bool set_resource(settings *s, void *field UNUSED, str text)
{
    return each_pair(s, text, NULL) && each_pair(s, text, resource_put);
}

static bool set_service(settings *s, void *field UNUSED, str text)
{
    resource_put(s, STR("service.name"), text);
    return true;
}

/* ---- OTLP: one table for the general and the per-signal variables ---- */

typedef bool otlp_setter(settings *s, signal_settings *one, str text);

static bool otlp_protocol_set(settings *s UNUSED, signal_settings *one, str text)
{
    if (str_is(text, "http/json"))
        one->format = OTLP_JSON;
    else if (str_is(text, "http/protobuf"))
        one->format = OTLP_PROTOBUF;
    else
        return false;
    return true;
}

static bool otlp_compression_set(settings *s UNUSED, signal_settings *one, str text)
{
    if (!str_is(text, "gzip") && !str_is(text, "none"))
        return false;
    one->gzip = str_is(text, "gzip");
    return true;
}

static bool otlp_timeout_set(settings *s, signal_settings *one, str text)
{
    return set_positive(s, &one->timeout_ms, text);
}

static bool header_name_is_good(str name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (c <= ' ' || c >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", c))
            return false;
    }
    return name.len > 0;
}

/* Header lines from key=value pairs; a text with a control character is refused, so that nobody
 * injects a header. */
static bool otlp_headers_set(settings *s, signal_settings *one, str list)
{
    buf lines;
    buf_init(&lines, KiB(16));
    bool good = true;
    while (list.len && good) {
        str item = str_trim(str_cut(list, ',', &list)), text = STR_EMPTY;
        if (item.len == 0)
            continue;
        size_t equals = str_find_char(item, '=');
        str key = equals == SIZE_MAX ? STR_EMPTY : str_trim(str_slice(item, 0, equals));
        good = header_name_is_good(key) &&
               percent_decode(&s->arena, str_trim(str_slice(item, equals + 1, item.len)), &text);
        for (size_t i = 0; i < text.len && good; i++)
            good = (unsigned char)text.ptr[i] >= ' ' && text.ptr[i] != 0x7f;
        buf_fmt(&lines, "%.*s: %.*s\n", STR_ARG(key), STR_ARG(text));
    }
    good = good && !lines.failed;
    if (good)
        one->headers = arena_str(&s->arena, buf_view(&lines));
    buf_done(&lines);
    return good;
}

#define OTLP_TEXT_SETTER(field) \
    static bool otlp_##field##_set(settings *s, signal_settings *one, str text) \
    { \
        one->field = arena_str(&s->arena, text); \
        return true; \
    }
OTLP_TEXT_SETTER(ca_file)
OTLP_TEXT_SETTER(client_certificate)
OTLP_TEXT_SETTER(client_key)

static const struct {
    const char *suffix;
    otlp_setter *set;
    const char *expected;
} otlp_rows[] = {
    { "PROTOCOL", otlp_protocol_set, "http/protobuf or http/json" },
    { "COMPRESSION", otlp_compression_set, "gzip or none" },
    { "TIMEOUT", otlp_timeout_set, "a positive number of milliseconds" },
    { "HEADERS", otlp_headers_set, "key=value,key=value" },
    { "CERTIFICATE", otlp_ca_file_set, "a file" },
    { "CLIENT_CERTIFICATE", otlp_client_certificate_set, "a file" },
    { "CLIENT_KEY", otlp_client_key_set, "a file" },
};

static const char *const signal_names[SIGNAL_COUNT] = {
    [SIGNAL_LOGS] = "LOGS",
    [SIGNAL_METRICS] = "METRICS",
    [SIGNAL_TRACES] = "TRACES",
};

static bool endpoint_is_good(str url)
{
    return (str_starts(url, STR("http://")) && url.len > 7) ||
           (str_starts(url, STR("https://")) && url.len > 8);
}

static void endpoint_base(settings *s, str base)
{
    while (base.len && base.ptr[base.len - 1] == '/')
        base.len--;
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        s->signal[i].url =
            arena_fmt(&s->arena, "%.*s/v1/%s", STR_ARG(base), signal_name((signal_kind)i));
        s->signal[i].has_url = true;
    }
}

static void warn_value(const char *name, str text, const char *expected)
{
    lib_warn("%s=\"%.*s\" is ignored: it must be %s", name, (int)MIN(text.len, 100), text.ptr,
             expected);
}

static void otlp_row_load(settings *s, size_t row, const char *name, int from, int to)
{
    str text = env_get(name);
    if (text.len == 0)
        return;
    if (otlp_rows[row].set == otlp_protocol_set && str_is(text, "grpc")) {
        lib_warn("%s=grpc: this library speaks OTLP over HTTP; http/protobuf is used", name);
        text = STR("http/protobuf");
    }
    for (int i = from; i <= to; i++)
        if (!otlp_rows[row].set(s, &s->signal[i], text)) {
            warn_value(name, text, otlp_rows[row].expected);
            return;
        }
}

static void otlp_load(settings *s)
{
    char name[96];
    str base = env_get("OTEL_EXPORTER_OTLP_ENDPOINT");
    if (base.len && endpoint_is_good(base))
        endpoint_base(s, base);
    else if (base.len)
        warn_value("OTEL_EXPORTER_OTLP_ENDPOINT", base, "an http:// or https:// URL");
    for (size_t row = 0; row < ARRAY_LEN(otlp_rows); row++) {
        snprintf(name, sizeof(name), "OTEL_EXPORTER_OTLP_%s", otlp_rows[row].suffix);
        otlp_row_load(s, row, name, 0, SIGNAL_COUNT - 1);
    }
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        snprintf(name, sizeof(name), "OTEL_EXPORTER_OTLP_%s_ENDPOINT", signal_names[i]);
        str url = env_get(name);
        if (url.len && endpoint_is_good(url)) {
            s->signal[i].url = arena_str(&s->arena, url);
            s->signal[i].has_url = true;
        } else if (url.len)
            warn_value(name, url, "an http:// or https:// URL");
        for (size_t row = 0; row < ARRAY_LEN(otlp_rows); row++) {
            snprintf(name, sizeof(name), "OTEL_EXPORTER_OTLP_%s_%s", signal_names[i],
                     otlp_rows[row].suffix);
            otlp_row_load(s, row, name, i, i);
        }
    }
}

/* OTEL_<SIGNAL>_EXPORTER decides where it is set; else a named endpoint turns sending on. */
static void exporters_load(settings *s)
{
    char name[96];
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        signal_settings *one = &s->signal[i];
        one->otlp = one->has_url;
        snprintf(name, sizeof(name), "OTEL_%s_EXPORTER", signal_names[i]);
        str list = env_get(name), whole = list;
        bool otlp = false, console = false, prometheus = false, good = list.len > 0;
        while (list.len) {
            str item = str_trim(str_cut(list, ',', &list));
            if (str_is(item, "otlp"))
                otlp = true;
            else if (str_is(item, "console"))
                console = true;
            else if (str_is(item, "prometheus") && i == SIGNAL_METRICS)
                prometheus = true;
            else if (!str_is(item, "none")) {
                warn_value(name, whole, "otlp, console or none");
                good = false;
            }
        }
        if (!good)
            continue;
        one->set = true;
        one->otlp = otlp;
        one->console = console;
        if (prometheus && s->admin_addr.len == 0) {
            str host = env_get("OTEL_EXPORTER_PROMETHEUS_HOST");
            str port = env_get("OTEL_EXPORTER_PROMETHEUS_PORT");
            s->admin_addr =
                arena_fmt(&s->arena, "%.*s:%.*s", STR_ARG(host.len ? host : STR("localhost")),
                          STR_ARG(port.len ? port : STR("9464")));
        }
    }
}

/* ---- the table ---- */

#define FIELD(member) offsetof(settings, member)
#define MS            "a number of milliseconds"
#define COUNT         "a positive number"
#define LIMIT         "a number"
#define LEVEL         "debug, info, warn, error or fatal"
#define BYTES         "a number of bytes such as 16MiB"

/* A later row of the same meaning wins. */
static const env_row rows[] = {
    { "OTEL_SDK_DISABLED", set_bool, FIELD(disabled), "true or false" },
    { "OTEL_RESOURCE_ATTRIBUTES", set_resource, 0, "key=value,key=value, percent-encoded" },
    { "OTEL_SERVICE_NAME", set_service, 0, "a name" },
    { "OTEL_PROPAGATORS", set_propagators, 0, "tracecontext, baggage or none" },
    { "OTEL_TRACES_SAMPLER", set_sampler, 0,
      "always_on, always_off, traceidratio, or one of them after parentbased_" },
    { "OTEL_TRACES_SAMPLER_ARG", set_ratio, FIELD(sampler_ratio), "a ratio from 0 to 1" },
    { "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", set_both_lengths, 0, LIMIT },
    { "OTEL_ATTRIBUTE_COUNT_LIMIT", set_both_counts, 0, LIMIT },
    { "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", set_u32, FIELD(attribute_length_max[SIGNAL_TRACES]),
      LIMIT },
    { "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", set_u32, FIELD(attribute_count_max[SIGNAL_TRACES]),
      LIMIT },
    { "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", set_u32,
      FIELD(attribute_length_max[SIGNAL_LOGS]), LIMIT },
    { "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", set_u32, FIELD(attribute_count_max[SIGNAL_LOGS]),
      LIMIT },
    { "OTEL_BSP_SCHEDULE_DELAY", set_u32, FIELD(signal[SIGNAL_TRACES].schedule_ms), MS },
    { "OTEL_BSP_EXPORT_TIMEOUT", set_positive, FIELD(signal[SIGNAL_TRACES].export_timeout_ms), MS },
    { "OTEL_BSP_MAX_QUEUE_SIZE", set_positive, FIELD(signal[SIGNAL_TRACES].queue_max), COUNT },
    { "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", set_positive, FIELD(signal[SIGNAL_TRACES].batch_max),
      COUNT },
    { "OTEL_BLRP_SCHEDULE_DELAY", set_u32, FIELD(signal[SIGNAL_LOGS].schedule_ms), MS },
    { "OTEL_BLRP_EXPORT_TIMEOUT", set_positive, FIELD(signal[SIGNAL_LOGS].export_timeout_ms), MS },
    { "OTEL_BLRP_MAX_QUEUE_SIZE", set_positive, FIELD(signal[SIGNAL_LOGS].queue_max), COUNT },
    { "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", set_positive, FIELD(signal[SIGNAL_LOGS].batch_max),
      COUNT },
    { "OTEL_METRIC_EXPORT_INTERVAL", set_positive, FIELD(metric_interval_ms), MS },
    { "OTEL_METRIC_EXPORT_TIMEOUT", set_positive, FIELD(signal[SIGNAL_METRICS].export_timeout_ms),
      MS },
    { "OTEL_SEMCONV_STABILITY_OPT_IN", set_semconv, 0, "http or http/dup" },
    { "LOG_LEVEL", set_level, FIELD(log_severity), LEVEL },
    { "SONDE_LOG_LEVEL", set_level, FIELD(log_severity), LEVEL },
    { "SONDE_LOG_OUTPUT", set_log_output, 0, "stdout, stderr, file:PATH or none" },
    { "SONDE_LOG_ROTATE_BYTES", set_bytes, FIELD(log_rotate_bytes), BYTES },
    { "SONDE_LOG_ROTATE_KEEP", set_u32, FIELD(log_rotate_keep), COUNT },
    { "SONDE_RECORDER_DIR", set_text, FIELD(recorder_dir), "a directory" },
    { "SONDE_RECORDER_BYTES", set_bytes, FIELD(recorder_bytes), BYTES },
    { "SONDE_ADMIN_ADDR", set_text, FIELD(admin_addr), "an address" },
};

static void environment_load(settings *s)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        str text = env_get(rows[i].name);
        if (text.len && !rows[i].set(s, (char *)s + rows[i].field, text))
            warn_value(rows[i].name, text, rows[i].expected);
    }
    otlp_load(s);
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
    resource_put(s, STR("service.name"),
                 arena_fmt(&s->arena, "unknown_service:%.*s", STR_ARG(program)));
    resource_put(s, STR("telemetry.sdk.name"), STR("sonde"));
    resource_put(s, STR("telemetry.sdk.language"), STR("c"));
    resource_put(s, STR("telemetry.sdk.version"), STR(SONDE_VERSION));
    if (program.len)
        resource_put(s, STR("process.executable.name"), program);
    if (gethostname(host, sizeof(host) - 1) == 0 && host[0])
        resource_put(s, STR("host.name"), str_c(host));
}

static void defaults_set(settings *s)
{
    s->log_severity = 9;
    s->log_rotate_keep = 5;
    s->recorder_bytes = MiB(16);
    s->tracecontext = s->baggage = true;
    s->sampler = SAMPLER_ALWAYS_ON;
    s->sampler_parent_based = true;
    s->sampler_ratio = 1.0;
    s->metric_interval_ms = 60000;
    s->stop_timeout_ms = 5000;
    s->recorder_dir = s->admin_addr = s->log_path = STR_EMPTY;
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        s->attribute_count_max[i] = 128;
        s->attribute_length_max[i] = UINT32_MAX;
        signal_settings *one = &s->signal[i];
        one->headers = one->ca_file = one->client_certificate = one->client_key = STR_EMPTY;
        one->timeout_ms = 10000;
        one->export_timeout_ms = 30000;
        one->schedule_ms = i == SIGNAL_TRACES ? 5000 : 1000;
        one->batch_max = 2048;
    }
    endpoint_base(s, STR("http://localhost:4318"));
    for (int i = 0; i < SIGNAL_COUNT; i++)
        s->signal[i].has_url = false;
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
        resource_put(s, str_c(pair[0]), str_c(pair[1]));
    for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
        const char *text = *(const char *const *)((const char *)o + attributes[i].field);
        if (text && text[0])
            resource_put(s, str_c(attributes[i].key), str_c(text));
    }
    if (o->log_level)
        s->log_severity = (uint8_t)o->log_level;
    if (o->log_output && !set_log_output(s, NULL, str_c(o->log_output)))
        warn_value("sonde_options.log_output", str_c(o->log_output),
                   "stdout, stderr, file:PATH or none");
    if (o->log_rotate_bytes)
        s->log_rotate_bytes = o->log_rotate_bytes;
    if (o->log_rotate_keep)
        s->log_rotate_keep = o->log_rotate_keep;
    if (o->recorder_dir)
        s->recorder_dir = arena_str(&s->arena, str_c(o->recorder_dir));
    if (o->recorder_bytes)
        s->recorder_bytes = o->recorder_bytes;
    if (o->admin_addr)
        s->admin_addr = arena_str(&s->arena, str_c(o->admin_addr));
    if (o->metric_interval_ms)
        s->metric_interval_ms = o->metric_interval_ms;
    if (o->stop_timeout_ms)
        s->stop_timeout_ms = o->stop_timeout_ms;
    if (o->otlp_endpoint && endpoint_is_good(str_c(o->otlp_endpoint)))
        endpoint_base(s, str_c(o->otlp_endpoint));
    else if (o->otlp_endpoint && o->otlp_endpoint[0])
        warn_value("sonde_options.otlp_endpoint", str_c(o->otlp_endpoint),
                   "an http:// or https:// URL");
    for (int i = 0; o->otlp_headers && i < SIGNAL_COUNT; i++)
        if (!otlp_headers_set(s, &s->signal[i], str_c(o->otlp_headers))) {
            lib_warn("sonde_options.otlp_headers is ignored: it must be key=value,key=value");
            break;
        }
}

status settings_load(settings *ret, const sonde_options *options, error *err)
{
    memset(ret, 0, sizeof(*ret));
    arena_init(&ret->arena, MiB(1));
    defaults_set(ret);
    resource_defaults(ret);
    if (options)
        options_load(ret, options);
    if (!options || !options->ignore_environment)
        environment_load(ret);
    for (int i = 0; i < SIGNAL_COUNT; i++)
        ret->signal[i].otlp = ret->signal[i].has_url;
    if (!options || !options->ignore_environment)
        exporters_load(ret);
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
