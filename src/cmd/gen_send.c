// SPDX-License-Identifier: Apache-2.0
/* OTLP/HTTP with protobuf and without compression, over libcurl's easy interface. */
#include "cmd/gen_send.h"

#include "base/clock.h"
#include "codec/otlp.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct gen_sender {
    CURL *curl;
    struct curl_slist *headers;
    buf answer;
    signal_kind signal;
    bool answered; /* a server that never did is given up on sooner */
    char problem[CURL_ERROR_SIZE];
};

static size_t take_answer(char *bytes, size_t one, size_t n, void *user)
{
    buf_add(user, bytes, one * n);
    return one * n;
}

status gen_sender_open(gen_sender **ret, const char *endpoint, signal_kind signal, error *err)
{
    gen_sender *s = calloc(1, sizeof(*s));
    if (!s)
        return fail(err, STATUS_NO_MEMORY, "no memory for a connection");
    buf_init(&s->answer, KiB(64));
    s->signal = signal;
    s->curl = curl_easy_init();
    s->headers = curl_slist_append(NULL, "Content-Type: application/x-protobuf");
    if (s->headers)
        curl_slist_append(s->headers, "Expect:");
    size_t n = strlen(endpoint);
    while (n > 0 && endpoint[n - 1] == '/')
        n--;
    char url[1024];
    int length = snprintf(url, sizeof(url), "%.*s/v1/%s", (int)n, endpoint, signal_name(signal));
    if (!s->curl || !s->headers || length < 0 || (size_t)length >= sizeof(url)) {
        gen_sender_close(s);
        return fail(err, STATUS_INVALID, "the endpoint cannot be used: %s", endpoint);
    }
    curl_easy_setopt(s->curl, CURLOPT_URL, url);
    curl_easy_setopt(s->curl, CURLOPT_HTTPHEADER, s->headers);
    curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(s->curl, CURLOPT_WRITEDATA, &s->answer);
    curl_easy_setopt(s->curl, CURLOPT_ERRORBUFFER, s->problem);
    curl_easy_setopt(s->curl, CURLOPT_TIMEOUT_MS, 30000L);
    curl_easy_setopt(s->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(s->curl, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(s->curl, CURLOPT_UPLOAD_BUFFERSIZE, 524288L);
    *ret = s;
    return STATUS_OK;
}

void gen_sender_close(gen_sender *s)
{
    if (!s)
        return;
    if (s->curl)
        curl_easy_cleanup(s->curl);
    curl_slist_free_all(s->headers);
    buf_done(&s->answer);
    free(s);
}

static void note(gen_result *result, const char *what, str detail)
{
    if (result->reason[0] == '\0')
        (void)snprintf(result->reason, sizeof(result->reason), "%s%s%.*s", what,
                       detail.len > 0 ? ": " : "", (int)MIN(detail.len, 180), detail.ptr);
}

/* A 200: all were taken but those of a partial success. */
static void take_success(gen_sender *s, uint32_t items, gen_result *result)
{
    otlp_partial partial = { 0 };
    error err;
    if (otlp_decode_response(OTLP_PROTOBUF, s->signal, buf_view(&s->answer), &partial, &err) !=
        STATUS_OK) {
        result->failed += items;
        note(result, "an answer that is no OTLP", str_c(err.message));
        return;
    }
    uint64_t rejected = MIN(partial.rejected, items);
    result->refused += rejected;
    result->accepted += items - rejected;
    if (rejected > 0)
        note(result, "partial success", str_c(partial.message));
}

/* Why an answer other than 200 came. */
static void note_status(gen_sender *s, long code, gen_result *result)
{
    char what[64], message[200] = "";
    int grpc;
    error err;
    (void)snprintf(what, sizeof(what), "HTTP status %ld", code);
    if (otlp_decode_status(OTLP_PROTOBUF, buf_view(&s->answer), &grpc, message, sizeof(message),
                           &err) != STATUS_OK)
        message[0] = '\0';
    note(result, what, str_c(message));
}

static void sleep_until(int64_t mono_ns)
{
    struct timespec at = { mono_ns / NS_PER_S, mono_ns % NS_PER_S };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
        ;
}

void gen_send(gen_sender *s, str body, uint32_t items, int64_t give_up_mono_ns, gen_result *result)
{
    int64_t pause = 100 * NS_PER_MS;
    if (!s->answered)
        give_up_mono_ns = MIN(give_up_mono_ns, clock_mono_ns() + 2 * NS_PER_S);
    curl_easy_setopt(s->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    curl_easy_setopt(s->curl, CURLOPT_POSTFIELDS, body.ptr);
    result->bytes += body.len;
    for (;;) {
        long code = 0;
        curl_off_t wanted = 0;
        buf_clear(&s->answer);
        s->problem[0] = '\0';
        CURLcode sent = curl_easy_perform(s->curl);
        curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &code);
        curl_easy_getinfo(s->curl, CURLINFO_RETRY_AFTER, &wanted);
        s->answered = s->answered || sent == CURLE_OK;
        if (sent == CURLE_OK && code == 200) {
            take_success(s, items, result);
            return;
        }
        bool later = sent != CURLE_OK || code == 429 || (code >= 502 && code <= 504);
        int64_t next = clock_mono_ns() + (wanted > 0 ? wanted * NS_PER_S : pause);
        if (!later || next > give_up_mono_ns) {
            if (sent != CURLE_OK)
                note(result, "no answer",
                     str_c(s->problem[0] ? s->problem : curl_easy_strerror(sent)));
            else
                note_status(s, code, result);
            *(later ? &result->failed : &result->refused) += items;
            return;
        }
        result->retries++;
        sleep_until(next);
        pause = MIN(pause * 2, 5 * NS_PER_S);
    }
}
