// SPDX-License-Identifier: Apache-2.0
/* Lanes on libcurl's multi interface; see export.h. One thread, except exporter_wake and
 * exporter_report. A lane owns its easy handle and the body until the request has ended for good.
 */
#include "lib/export_internal.h"

#if SONDE_EXPORT
#include "base/clock.h"
#include "base/random.h"
#include "lib/curl_api.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { WARN_EVERY_S = 60 };

typedef struct {
    lane_id id;
    signal_settings how;
    const export_protocol *protocol;
    lane_state state;
    CURL *easy;
    bool fresh; /* a connection for each request */
    struct curl_slist *headers;
    buf body;
    export_answer answer;
    uint64_t rows;
    uint32_t attempt; /* failures of this body so far */
    int64_t due_ns;   /* LANE_WAITING: monotonic */
    int64_t warned_ns;
    lane_report report; /* under the exporter's lock */
} lane;

struct exporter {
    CURLM *multi;
    lane lanes[LANE_COUNT];
    export_done_fn *done;
    void *user;
    random_state random;
    pthread_mutex_t lock; /* the reports */
};

/* ---- one request ---- */

/* A warning at most once a minute and lane, so that an absent collector costs one line. */
static bool may_warn(lane *l)
{
    int64_t now = clock_mono_ns();
    if (l->warned_ns && now - l->warned_ns < WARN_EVERY_S * NS_PER_S)
        return false;
    l->warned_ns = now;
    return true;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *user)
{
    lane *l = user;
    size_t n = size * count;
    buf_add(&l->answer.body, bytes, MIN(n, RESPONSE_MAX - l->answer.body.len));
    return n;
}

/* Headers, and with HTTP/2 the trailers too. */
static size_t on_header(char *bytes, size_t size, size_t count, void *user)
{
    static const char *const fields[ANSWER_FIELDS] = {
        [ANSWER_RETRY_AFTER] = "retry-after",
        [ANSWER_GRPC_STATUS] = "grpc-status",
        [ANSWER_GRPC_MESSAGE] = "grpc-message",
        [ANSWER_GRPC_DETAILS] = "grpc-status-details-bin",
    };
    lane *l = user;
    str rest = str_n(bytes, size * count);
    str name = str_cut(rest, ':', &rest);
    for (size_t i = 0; i < ANSWER_FIELDS; i++)
        if (str_eq_nocase(name, str_c(fields[i])))
            str_copy_c(l->answer.field[i], sizeof(l->answer.field[i]), str_trim(rest));
    return size * count;
}

static bool lane_add_header(lane *l, const char *line)
{
    struct curl_slist *longer = curl_slist_append(l->headers, line);
    if (longer)
        l->headers = longer;
    return longer != NULL;
}

static bool lane_headers(lane *l, long timeout_ms)
{
    char line[64];
    const export_protocol *p = l->protocol;
    /* No "Expect: 100-continue": it costs a round trip and some receivers ignore it. */
    bool good =
        lane_add_header(l, "Expect:") && (!l->how.gzip || lane_add_header(l, p->gzip_header));
    for (size_t i = 0; i < ARRAY_LEN(p->headers) && p->headers[i] && good; i++)
        good = lane_add_header(l, p->headers[i]);
    if (p->grpc_timeout && good) {
        snprintf(line, sizeof(line), "grpc-timeout: %ldm", MIN(timeout_ms, 99999999L));
        good = lane_add_header(l, line);
    }
    for (str rest = l->how.headers; rest.len && good;) {
        str one = str_cut(rest, '\n', &rest);
        char *copy = strndup(one.ptr, one.len);
        good = copy && lane_add_header(l, copy);
        free(copy);
    }
    return good;
}

static void set_text(CURL *easy, CURLoption option, str text)
{
    char path[4096];
    if (text.len && text.len < sizeof(path)) {
        str_copy_c(path, sizeof(path), text);
        curl_easy_setopt(easy, option, path);
    }
}

/* libcurl 7.88 cannot use a connection again that began as HTTP/2 without TLS (curl issue 10634):
 * "Error in the HTTP2 framing layer". */
static bool needs_new_connections(const lane *l)
{
    unsigned version = curl_version_info(CURLVERSION_NOW)->version_num;
    return l->protocol->http2 && version >= 0x075800 && version < 0x080000;
}

static long http_version(const lane *l)
{
    if (!l->protocol->http2)
        return CURL_HTTP_VERSION_1_1;
    return str_starts(l->how.url, STR("https:")) ? CURL_HTTP_VERSION_2TLS
                                                 : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
}

static bool lane_open(lane *l)
{
    const signal_settings *s = &l->how;
    long timeout_ms = (long)MIN(s->timeout_ms, s->export_timeout_ms);
    l->easy = curl_easy_init();
    if (!l->easy || !lane_headers(l, timeout_ms))
        return false;
    CURL *easy = l->easy;
    set_text(easy, CURLOPT_URL, s->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, http_version(l));
    l->fresh = http_version(l) == CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE && needs_new_connections(l);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, l->fresh ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, l->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "OTel-OTLP-Exporter-Sonde/" SONDE_VERSION);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* The end of a request does not wait for a resolver that hangs. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, l);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, l);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, l);
    set_text(easy, CURLOPT_CAINFO, s->ca_file);
    set_text(easy, CURLOPT_SSLCERT, s->client_certificate);
    set_text(easy, CURLOPT_SSLKEY, s->client_key);
    return true;
}

static void lane_start(exporter *e, lane *l)
{
    buf_clear(&l->answer.body);
    for (size_t i = 0; i < ANSWER_FIELDS; i++)
        l->answer.field[i][0] = '\0';
    /* A connection on which a request failed may be half dead. */
    curl_easy_setopt(l->easy, CURLOPT_FRESH_CONNECT, l->fresh || l->attempt ? 1L : 0L);
    curl_easy_setopt(l->easy, CURLOPT_POSTFIELDS, buf_view(&l->body).ptr);
    curl_easy_setopt(l->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)l->body.len);
    if (curl_multi_add_handle(e->multi, l->easy) == CURLM_OK)
        l->state = LANE_SENDING;
}

/* ---- how it ended ---- */

static void report_failure(exporter *e, lane *l, const char *why)
{
    lane_report *r = &l->report;
    pthread_mutex_lock(&e->lock);
    r->failed_ns = clock_now_ns();
    r->waiting_ns = r->waiting_ns ? r->waiting_ns : r->failed_ns;
    str_copy_c(r->failure, sizeof(r->failure), str_c(why));
    pthread_mutex_unlock(&e->lock);
}

static void lane_end(exporter *e, lane *l, bool taken, uint64_t rejected)
{
    export_result result = { .taken = taken, .rows = l->rows, .rejected = rejected };
    lane_report *r = &l->report;
    pthread_mutex_lock(&e->lock);
    r->taken_ns = taken ? clock_now_ns() : r->taken_ns;
    r->waiting_ns = 0;
    r->rows_taken += l->rows - rejected;
    r->rows_refused += rejected;
    pthread_mutex_unlock(&e->lock);
    buf_clear(&l->body);
    l->state = LANE_IDLE;
    l->attempt = 0;
    e->done(e->user, l->id, &result);
}

static void lane_accepted(exporter *e, lane *l, const export_verdict *v)
{
    if (v->rejected && may_warn(l))
        lib_warn("%s took a batch of %s only in part, %llu rejected: %s", l->report.url,
                 signal_name(lane_signal(l->id)), (unsigned long long)v->rejected, v->why);
    lane_end(e, l, true, MIN(v->rejected, l->rows));
}

static void lane_retry(exporter *e, lane *l, const export_verdict *v)
{
    l->attempt++;
    int64_t wait_ms = v->wait_ms >= 0
                          ? v->wait_ms
                          : (int64_t)export_backoff_ms(l->attempt, random_next(&e->random));
    l->due_ns = clock_mono_ns() + wait_ms * NS_PER_MS;
    l->state = LANE_WAITING;
    pthread_mutex_lock(&e->lock);
    l->report.retries++;
    pthread_mutex_unlock(&e->lock);
    report_failure(e, l, v->why);
    if (may_warn(l))
        lib_warn("%s cannot be sent to %s now (%s); trying again", signal_name(lane_signal(l->id)),
                 l->report.url, v->why);
}

static void lane_finished(exporter *e, lane *l, CURLcode code)
{
    export_verdict v = { .kind = VERDICT_AGAIN, .wait_ms = -1 };
    curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &l->answer.http);
    curl_multi_remove_handle(e->multi, l->easy);
    if (code == CURLE_OK)
        l->protocol->judge(&l->answer, lane_signal(l->id), &v);
    else
        str_copy_c(v.why, sizeof(v.why), str_c(curl_easy_strerror(code)));
    if (v.kind == VERDICT_TAKEN) {
        lane_accepted(e, l, &v);
    } else if (v.kind == VERDICT_AGAIN) {
        lane_retry(e, l, &v);
    } else {
        report_failure(e, l, v.why);
        if (may_warn(l))
            lib_warn("%s refused a batch of %s (%s); it is dropped", l->report.url,
                     signal_name(lane_signal(l->id)), v.why);
        lane_end(e, l, false, l->rows);
    }
}

/* ---- the exporter ---- */

/* OpenSSL's exit handler frees what the drainer's thread may still be using: a call that does not
 * come back in time (a slow disk under the file with the authorities) must not crash the end of the
 * program. Where somebody else prepared OpenSSL before, it has no effect. */
static void keep_openssl_to_the_end(void)
{
    typedef int init_function(uint64_t options, const void *settings);
    const uint64_t no_atexit = 0x00080000;
    init_function *init;
    *(void **)&init = curl_library_symbol("OPENSSL_init_crypto");
    if (init)
        init(no_atexit, NULL);
}

status export_prepare(error *err)
{
    status st = curl_load(err);
    if (st != STATUS_OK)
        return st;
    keep_openssl_to_the_end();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    return STATUS_OK;
}

/* The URL for people: without "user:password@". */
static void url_without_credentials(char *ret, size_t size, str url)
{
    size_t scheme = str_find(url, STR("://"));
    size_t host = scheme == SIZE_MAX ? 0 : scheme + 3;
    size_t at = str_find_char(str_slice(url, host, url.len), '@');
    snprintf(ret, size, "%.*s%.*s", STR_ARG(str_slice(url, 0, host)),
             STR_ARG(str_slice(url, at == SIZE_MAX ? host : host + at + 1, url.len)));
}

static void lane_configure(lane *l, const settings *s, lane_id id)
{
    l->id = id;
    l->how = s->signal[lane_signal(id)];
    l->protocol = l->how.grpc                  ? &export_grpc
                  : l->how.format == OTLP_JSON ? &export_http_json
                                               : &export_http_protobuf;
    if (id == LANE_ZIPKIN) {
        l->protocol = &export_zipkin;
        l->how.url = s->zipkin_url;
        l->how.timeout_ms = s->zipkin_timeout_ms;
        l->how.headers = l->how.ca_file = STR_EMPTY;
        l->how.client_certificate = l->how.client_key = STR_EMPTY;
        l->how.gzip = false;
    }
    l->report.protocol = l->protocol->name;
    url_without_credentials(l->report.url, sizeof(l->report.url), l->how.url);
    buf_init(&l->body, BODY_MAX);
    buf_init(&l->answer.body, RESPONSE_MAX);
}

static bool can_http2(void)
{
    return curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_HTTP2;
}

status exporter_new(exporter **ret, const settings *s, export_done_fn *done, void *user, error *err)
{
    uint64_t seed;
    status st = curl_load(err);
    if (st != STATUS_OK)
        return st;
    exporter *e = calloc(1, sizeof(*e));
    if (!e)
        return fail(err, STATUS_NO_MEMORY, "no memory for the exporter");
    random_seed(&seed, sizeof(seed));
    random_init(&e->random, seed);
    pthread_mutex_init(&e->lock, NULL);
    e->done = done;
    e->user = user;
    bool good = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    e->multi = good ? curl_multi_init() : NULL;
    good = e->multi != NULL;
    for (lane_id i = 0; i < LANE_COUNT; i++) {
        lane *l = &e->lanes[i];
        lane_configure(l, s, i);
        if (lane_wanted(s, i) && l->protocol->http2 && !can_http2())
            lib_warn("%s are not sent: this libcurl has no HTTP/2, which gRPC needs", lane_name(i));
        else if (lane_wanted(s, i) && good)
            good = lane_open(l);
    }
    if (!good) {
        exporter_free(e);
        return fail(err, STATUS_NO_MEMORY, "no memory for requests to receivers");
    }
    *ret = e;
    return STATUS_OK;
}

void exporter_free(exporter *e)
{
    if (!e)
        return;
    for (int i = 0; i < LANE_COUNT; i++) {
        lane *l = &e->lanes[i];
        if (l->easy) {
            curl_multi_remove_handle(e->multi, l->easy);
            curl_easy_cleanup(l->easy);
        }
        curl_slist_free_all(l->headers);
        buf_done(&l->body);
        buf_done(&l->answer.body);
    }
    if (e->multi)
        curl_multi_cleanup(e->multi);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

lane_state exporter_state(const exporter *e, lane_id lane)
{
    return e->lanes[lane].state;
}

status exporter_encode(const exporter *e, lane_id lane, const batch *b, buf *out, error *err)
{
    return e->lanes[lane].protocol->encode(b, out, err);
}

bool exporter_encodes_protobuf(const exporter *e, lane_id lane)
{
    return e->lanes[lane].protocol->encode == otlp_encode;
}

status exporter_send(exporter *e, lane_id id, str body, uint64_t rows, error *err)
{
    lane *l = &e->lanes[id];
    if (!l->easy || l->state == LANE_SENDING)
        return fail(err, STATUS_BUSY, "a request with %s is under way", lane_name(id));
    buf_clear(&l->body);
    if (!l->protocol->pack(&l->body, body, l->how.gzip))
        return fail(err, STATUS_LIMIT, "a request of %zu bytes is too large", body.len);
    l->rows = rows;
    if (l->state == LANE_IDLE) {
        l->attempt = 0;
        lane_start(e, l);
        if (l->state != LANE_SENDING)
            return fail(err, STATUS_NO_MEMORY, "the request could not be started");
    }
    return STATUS_OK;
}

void exporter_step(exporter *e)
{
    int running, left;
    int64_t now = clock_mono_ns();
    for (int i = 0; i < LANE_COUNT; i++)
        if (e->lanes[i].state == LANE_WAITING && e->lanes[i].due_ns <= now)
            lane_start(e, &e->lanes[i]);
    curl_multi_perform(e->multi, &running);
    CURLMsg *message;
    while ((message = curl_multi_info_read(e->multi, &left))) {
        lane *l = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&l);
        lane_finished(e, l, code);
    }
}

void exporter_wait(exporter *e, int timeout_ms)
{
    curl_multi_poll(e->multi, NULL, 0, timeout_ms, NULL);
}

void exporter_wake(exporter *e)
{
    curl_multi_wakeup(e->multi);
}

int exporter_next_ms(const exporter *e)
{
    int64_t now = clock_mono_ns(), least = -1;
    for (int i = 0; i < LANE_COUNT; i++)
        if (e->lanes[i].state == LANE_WAITING) {
            int64_t wait = MAX(e->lanes[i].due_ns - now, 0) / NS_PER_MS;
            least = least < 0 ? wait : MIN(least, wait);
        }
    return (int)least;
}

void exporter_report(exporter *e, lane_id lane, lane_report *ret)
{
    pthread_mutex_lock(&e->lock);
    *ret = e->lanes[lane].report;
    pthread_mutex_unlock(&e->lock);
    ret->state = ret->waiting_ns ? LANE_WAITING : LANE_IDLE;
}
#endif
