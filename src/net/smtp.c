// SPDX-License-Identifier: Apache-2.0
/* One mail by SMTP; see smtp.h. */
#include "net/smtp.h"

#include "net/client_curl.h"

#include <stdatomic.h>
#include <stdio.h>

enum { ANSWER_MAX = 200, CONNECT_MS = 10000 };
static const long default_timeout_ms = 60000;

typedef struct {
    const smtp_mail *mail;
    size_t read;
    char answer[ANSWER_MAX]; /* the server's newest line */
    char reason[CURL_ERROR_SIZE];
} conversation;

static size_t give_message(char *to, size_t size, size_t count, void *user)
{
    conversation *c = user;
    size_t n = MIN(size * count, c->mail->message.len - c->read);
    memcpy(to, c->mail->message.ptr + c->read, n);
    c->read += n;
    return n;
}

/* libcurl gives the server's lines to the header function. */
static size_t take_line(char *line, size_t size, size_t count, void *user)
{
    conversation *c = user;
    str s = str_trim(str_n(line, size * count));
    s.len = utf8_valid_prefix(str_slice(s, 0, ANSWER_MAX - 1));
    str_copy_c(c->answer, sizeof(c->answer), s);
    for (char *p = c->answer; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = ' ';
    return size * count;
}

static int is_canceled(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const conversation *talk = user;
    (void)a, (void)b, (void)c, (void)d;
    return talk->mail->canceled && atomic_load(talk->mail->canceled);
}

static void set_url(CURL *c, const smtp_mail *m)
{
    char url[600];
    bool implicit = str_ends(str_c(m->server), STR(":465"));
    snprintf(url, sizeof(url), "%s://%s/%s", implicit ? "smtps" : "smtp", m->server,
             m->hello ? m->hello : "localhost");
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(c, CURLOPT_USE_SSL,
                     (long)(m->require_tls || implicit ? CURLUSESSL_ALL : CURLUSESSL_NONE));
    curl_use_tls(c, &m->tls);
}

static void set_conversation(CURL *c, conversation *talk)
{
    const smtp_mail *m = talk->mail;
    set_url(c, m);
    if (m->name && *m->name) {
        curl_easy_setopt(c, CURLOPT_USERNAME, m->name);
        curl_easy_setopt(c, CURLOPT_PASSWORD, m->password ? m->password : "");
        if (m->identity && *m->identity)
            curl_easy_setopt(c, CURLOPT_SASL_AUTHZID, m->identity);
    }
    long ms = m->timeout_ns ? (long)(m->timeout_ns / NS_PER_MS) : default_timeout_ms;
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, MAX(ms, 1L));
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, talk->reason);
    curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(c, CURLOPT_READFUNCTION, give_message);
    curl_easy_setopt(c, CURLOPT_READDATA, talk);
    curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)m->message.len);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_line);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, talk);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, is_canceled);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, talk);
}

/* The answer to a mail is libcurl's response code: 250 is "taken". */
static status judge(CURL *c, const conversation *talk, CURLcode code, error *err)
{
    const char *server = talk->mail->server;
    long answer = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &answer);
    if (code == CURLE_OK)
        return STATUS_OK;
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return fail(err, STATUS_CANCELED, "%s: given up", server);
    const char *reason = talk->reason[0] ? talk->reason : curl_easy_strerror(code);
    bool answered = code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR ||
                    code == CURLE_LOGIN_DENIED || code == CURLE_WEIRD_SERVER_REPLY ||
                    code == CURLE_UPLOAD_FAILED || code == CURLE_REMOTE_ACCESS_DENIED;
    if (answered && answer >= 500)
        return fail(err, STATUS_INVALID, "%s: %s (%s)", server, reason, talk->answer);
    if (answered && answer >= 400)
        return fail(err, STATUS_BUSY, "%s: %s (%s)", server, reason, talk->answer);
    return fail(err, STATUS_IO, "%s: %s", server, reason);
}

status smtp_send(const smtp_mail *m, error *err)
{
    conversation talk = { .mail = m };
    struct curl_slist *to = NULL;
    curl_use_init();
    CURL *c = curl_easy_init();
    bool good = c != NULL;
    for (const char *const *r = m->to; good && *r; r++) {
        struct curl_slist *longer = curl_slist_append(to, *r);
        good = longer != NULL;
        to = longer ? longer : to;
    }
    status st;
    if (!good) {
        st = fail(err, STATUS_NO_MEMORY, "no memory for a mail");
    } else {
        set_conversation(c, &talk);
        curl_easy_setopt(c, CURLOPT_MAIL_FROM, m->from);
        curl_easy_setopt(c, CURLOPT_MAIL_RCPT, to);
        st = judge(c, &talk, curl_easy_perform(c), err);
    }
    curl_slist_free_all(to);
    curl_easy_cleanup(c);
    return st;
}
