// SPDX-License-Identifier: Apache-2.0
/* OTLP/HTTP on libcurl's multi interface; see export.h. One thread, except exporter_wake.
 * A lane owns its easy handle and the body until the request has ended for good. */
#include "lib/export.h"

#include "base/clock.h"
#include "base/random.h"

#include <stdlib.h>

#if SONDE_EXPORT
#include <curl/curl.h>
#include <zlib.h>

enum { RESPONSE_MAX = 64 << 10, BODY_MAX = 64 << 20, WARN_EVERY_S = 60 };

typedef struct {
    const signal_settings *settings;
    signal_kind signal;
    lane_state state;
    CURL *easy;
    struct curl_slist *headers;
    buf body;
    buf response;
    char retry_after[64];
    uint64_t rows;
    uint32_t attempt; /* failures of this body so far */
    int64_t due_ns;   /* LANE_WAITING: monotonic */
    int64_t warned_ns;
} lane;

struct exporter {
    CURLM *multi;
    lane lanes[SIGNAL_COUNT];
    export_done_fn *done;
    void *user;
    random_state random;
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
    buf_add(&l->response, bytes, MIN(n, RESPONSE_MAX - l->response.len));
    return n;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *user)
{
    lane *l = user;
    str rest = str_n(bytes, size * count);
    str name = str_cut(rest, ':', &rest);
    if (str_eq_nocase(name, STR("retry-after")))
        str_copy_c(l->retry_after, sizeof(l->retry_after), str_trim(rest));
    return size * count;
}

static bool lane_add_header(lane *l, const char *line)
{
    struct curl_slist *longer = curl_slist_append(l->headers, line);
    if (longer)
        l->headers = longer;
    return longer != NULL;
}

static bool lane_headers(lane *l)
{
    char line[512];
    str_copy_c(line, sizeof(line), STR("Content-Type: "));
    str_copy_c(line + 14, sizeof(line) - 14, str_c(otlp_content_type(l->settings->format)));
    /* No "Expect: 100-continue": it costs a round trip and some receivers ignore it. */
    bool good = lane_add_header(l, line) && lane_add_header(l, "Expect:") &&
                (!l->settings->gzip || lane_add_header(l, "Content-Encoding: gzip"));
    for (str rest = l->settings->headers; rest.len && good;) {
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

static bool lane_open(lane *l)
{
    const signal_settings *s = l->settings;
    long timeout_ms = (long)MIN(s->timeout_ms, s->export_timeout_ms);
    l->easy = curl_easy_init();
    if (!l->easy || !lane_headers(l))
        return false;
    CURL *easy = l->easy;
    set_text(easy, CURLOPT_URL, s->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, l->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "OTel-OTLP-Exporter-Sonde/" SONDE_VERSION);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
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
    buf_clear(&l->response);
    l->retry_after[0] = '\0';
    curl_easy_setopt(l->easy, CURLOPT_POSTFIELDS, buf_view(&l->body).ptr);
    curl_easy_setopt(l->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)l->body.len);
    if (curl_multi_add_handle(e->multi, l->easy) == CURLM_OK)
        l->state = LANE_SENDING;
}

static void lane_end(exporter *e, lane *l, bool taken, uint64_t rejected)
{
    export_result result = { .taken = taken, .rows = l->rows, .rejected = rejected };
    buf_clear(&l->body);
    l->state = LANE_IDLE;
    l->attempt = 0;
    e->done(e->user, l->signal, &result);
}

static void lane_accepted(exporter *e, lane *l)
{
    otlp_partial partial = { 0 };
    str answer = buf_view(&l->response);
    error err;
    if (answer.len == 0 ||
        otlp_decode_response(l->settings->format, l->signal, answer, &partial, &err) != STATUS_OK)
        partial = (otlp_partial){ 0 };
    if (partial.rejected && may_warn(l))
        lib_warn("%.*s took a batch of %s only in part, %llu rejected: %s",
                 STR_ARG(l->settings->url), signal_name(l->signal),
                 (unsigned long long)partial.rejected, partial.message);
    lane_end(e, l, true, MIN(partial.rejected, l->rows));
}

static void lane_retry(exporter *e, lane *l, const char *why)
{
    int64_t wait_ms = export_retry_after_ms(str_c(l->retry_after), clock_now_ns());
    l->attempt++;
    if (!l->retry_after[0] || wait_ms < 0)
        wait_ms = export_backoff_ms(l->attempt, random_next(&e->random));
    l->due_ns = clock_mono_ns() + wait_ms * NS_PER_MS;
    l->state = LANE_WAITING;
    if (may_warn(l))
        lib_warn("%s cannot be sent to %.*s now (%s); trying again", signal_name(l->signal),
                 STR_ARG(l->settings->url), why);
}

static void lane_finished(exporter *e, lane *l, CURLcode code)
{
    char why[64];
    long http = 0;
    curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &http);
    curl_multi_remove_handle(e->multi, l->easy);
    if (code != CURLE_OK) {
        lane_retry(e, l, curl_easy_strerror(code));
    } else if (http >= 200 && http < 300) {
        lane_accepted(e, l);
    } else if (export_status_is_retryable(http)) {
        str_copy_c(why, sizeof(why), STR("HTTP "));
        buf number = { .ptr = why + 5, .cap = sizeof(why) - 6, .limit = sizeof(why) - 6 };
        buf_i64(&number, http);
        why[5 + number.len] = '\0';
        lane_retry(e, l, why);
    } else {
        if (may_warn(l))
            lib_warn("%.*s refused a batch of %s with HTTP %ld; it is dropped",
                     STR_ARG(l->settings->url), signal_name(l->signal), http);
        lane_end(e, l, false, l->rows);
    }
}

/* ---- the exporter ---- */

void export_prepare(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

status exporter_new(exporter **ret, const settings *s, export_done_fn *done, void *user, error *err)
{
    uint64_t seed;
    exporter *e = calloc(1, sizeof(*e));
    if (!e)
        return fail(err, STATUS_NO_MEMORY, "no memory for the exporter");
    random_seed(&seed, sizeof(seed));
    random_init(&e->random, seed);
    e->done = done;
    e->user = user;
    bool good = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    e->multi = good ? curl_multi_init() : NULL;
    good = e->multi != NULL;
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        lane *l = &e->lanes[i];
        l->settings = &s->signal[i];
        l->signal = (signal_kind)i;
        buf_init(&l->body, BODY_MAX);
        buf_init(&l->response, RESPONSE_MAX);
        if (good && s->signal[i].otlp)
            good = lane_open(l);
    }
    if (!good) {
        exporter_free(e);
        return fail(err, STATUS_NO_MEMORY, "no memory for OTLP/HTTP requests");
    }
    *ret = e;
    return STATUS_OK;
}

void exporter_free(exporter *e)
{
    if (!e)
        return;
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        lane *l = &e->lanes[i];
        if (l->easy) {
            curl_multi_remove_handle(e->multi, l->easy);
            curl_easy_cleanup(l->easy);
        }
        curl_slist_free_all(l->headers);
        buf_done(&l->body);
        buf_done(&l->response);
    }
    if (e->multi)
        curl_multi_cleanup(e->multi);
    free(e);
}

lane_state exporter_state(const exporter *e, signal_kind signal)
{
    return e->lanes[signal].state;
}

static bool gzip_into(buf *out, str in)
{
    z_stream z = { 0 };
    if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    bool good = buf_reserve(out, deflateBound(&z, in.len));
    if (good) {
        z.next_in = (Bytef *)(uintptr_t)in.ptr;
        z.avail_in = (uInt)in.len;
        z.next_out = (Bytef *)out->ptr;
        z.avail_out = (uInt)out->cap;
        good = deflate(&z, Z_FINISH) == Z_STREAM_END;
        out->len = z.total_out;
    }
    deflateEnd(&z);
    return good;
}

status exporter_send(exporter *e, signal_kind signal, str body, uint64_t rows, error *err)
{
    lane *l = &e->lanes[signal];
    if (!l->easy || l->state == LANE_SENDING)
        return fail(err, STATUS_BUSY, "a request with %s is under way", signal_name(signal));
    buf_clear(&l->body);
    if (l->settings->gzip ? !gzip_into(&l->body, body) : (buf_str(&l->body, body), l->body.failed))
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

void exporter_abandon(exporter *e, signal_kind signal)
{
    lane *l = &e->lanes[signal];
    if (l->state == LANE_WAITING)
        lane_end(e, l, false, l->rows);
}

void exporter_step(exporter *e)
{
    int running, left;
    int64_t now = clock_mono_ns();
    for (int i = 0; i < SIGNAL_COUNT; i++)
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
    for (int i = 0; i < SIGNAL_COUNT; i++)
        if (e->lanes[i].state == LANE_WAITING) {
            int64_t wait = MAX(e->lanes[i].due_ns - now, 0) / NS_PER_MS;
            least = least < 0 ? wait : MIN(least, wait);
        }
    return (int)least;
}

#else /* a library without libcurl */

status exporter_new(exporter **ret UNUSED, const settings *s UNUSED, export_done_fn *done UNUSED,
                    void *user UNUSED, error *err)
{
    return fail(err, STATUS_UNSUPPORTED, "this build of libsonde has no OTLP export");
}

void exporter_free(exporter *e UNUSED)
{
}

void export_prepare(void)
{
}

lane_state exporter_state(const exporter *e UNUSED, signal_kind signal UNUSED)
{
    return LANE_IDLE;
}

status exporter_send(exporter *e UNUSED, signal_kind signal UNUSED, str body UNUSED,
                     uint64_t rows UNUSED, error *err)
{
    return fail(err, STATUS_UNSUPPORTED, "this build of libsonde has no OTLP export");
}

void exporter_abandon(exporter *e UNUSED, signal_kind signal UNUSED)
{
}

void exporter_step(exporter *e UNUSED)
{
}

void exporter_wait(exporter *e UNUSED, int timeout_ms UNUSED)
{
}

void exporter_wake(exporter *e UNUSED)
{
}

int exporter_next_ms(const exporter *e UNUSED)
{
    return -1;
}
#endif
