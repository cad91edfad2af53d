// SPDX-License-Identifier: Apache-2.0
/* Mails: a message of text and HTML (multipart/alternative, quoted-printable), stored as it will be
 * sent, with its envelope in front: "FROM\nTO TO …\n". The Message-Id comes from the idempotency
 * key, so that a second copy can be known as one. */
#include "base/file.h"
#include "net/smtp.h"
#include "rules/notify/state.h"

#include <ctype.h>
#include <time.h>

enum { RECIPIENTS_MAX = 100, LINE = 74, HEADER_MAX = 8 << 10, PASSWORD_MAX = 4 << 10 };

/* ---- addresses and headers ---- */

/* "Name <user@host>" and "user@host" are the same to the server. */
static str bare_address(str s)
{
    size_t open = str_find_char(s, '<'), close = str_find_char(s, '>');
    if (open != SIZE_MAX && close != SIZE_MAX && close > open)
        s = str_slice(s, open + 1, close);
    return str_trim(s);
}

static bool is_address(str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] <= ' ' || strchr("<>,\x7f", s.ptr[i]))
            return false;
    return s.len > 0 && s.len < 320;
}

static status put_envelope(buf *out, str from, str to, error *err)
{
    unsigned n = 0;
    str sender = bare_address(from);
    if (!is_address(sender))
        return fail(err, STATUS_INVALID, "parse 'from' addresses: \"%.*s\" is none",
                    STR_ARG(str_slice(from, 0, 80)));
    buf_str(out, sender);
    buf_char(out, '\n');
    while (to.len) {
        str one = bare_address(str_cut(to, ',', &to));
        if (!one.len)
            continue;
        if (!is_address(one) || ++n > RECIPIENTS_MAX)
            return fail(err, STATUS_INVALID,
                        "parse 'to' addresses: \"%.*s\" is none, or there are more than %d",
                        STR_ARG(str_slice(one, 0, 80)), RECIPIENTS_MAX);
        buf_fmt(out, "%s%.*s", n > 1 ? " " : "", STR_ARG(one));
    }
    buf_char(out, '\n');
    return n ? STATUS_OK : fail(err, STATUS_INVALID, "the mail has no recipient");
}

/* RFC 2047 where the text is not plain; a line break ends no header. */
static void put_header(buf *out, str name, str value)
{
    bool plain = true;
    for (size_t i = 0; i < value.len; i++)
        plain = plain && (unsigned char)value.ptr[i] < 0x7f;
    buf_fmt(out, "%.*s: ", STR_ARG(name));
    value = str_slice(value, 0, HEADER_MAX);
    if (plain) {
        for (size_t i = 0; i < value.len; i++)
            buf_char(out, (unsigned char)value.ptr[i] < ' ' ? ' ' : value.ptr[i]);
        buf_lit(out, "\r\n");
        return;
    }
    while (value.len) { /* 45 bytes make an encoded word of 75 characters at most */
        size_t n = MIN(value.len, (size_t)42);
        n = n < value.len ? utf8_valid_prefix(str_slice(value, 0, n)) : n;
        n = n ? n : MIN(value.len, (size_t)42);
        buf word;
        buf_init(&word, 128);
        json_writer w = json_write(&word);
        json_base64(&w, str_slice(value, 0, n));
        value = str_slice(value, n, value.len);
        buf_fmt(out, "=?utf-8?B?%.*s?=%s", (int)(word.len - 2), word.ptr + 1,
                value.len ? "\r\n " : "");
        buf_done(&word);
    }
    buf_lit(out, "\r\n");
}

/* ---- bodies ---- */

static void put_quoted_printable(buf *out, str text)
{
    static const char hex[] = "0123456789ABCDEF";
    unsigned column = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        char next = i + 1 < text.len ? text.ptr[i + 1] : '\n';
        if (c == '\n' || (c == '\r' && next == '\n')) {
            if (c == '\n') {
                buf_lit(out, "\r\n");
                column = 0;
            }
            continue;
        }
        bool plain = (c > ' ' && c < 0x7f && c != '=') || (c == ' ' && next != '\n');
        /* A dot that begins a line would be doubled by SMTP, and some servers forget. */
        plain = plain && !(c == '.' && column == 0);
        if (column + (plain ? 1 : 3) > LINE) {
            buf_lit(out, "=\r\n");
            column = 0;
        }
        if (plain)
            buf_char(out, (char)c);
        else
            buf_add(out, (char[]){ '=', hex[c >> 4], hex[c & 15] }, 3);
        column += plain ? 1 : 3;
    }
    buf_lit(out, "\r\n");
}

static void put_part(buf *out, const char *boundary, const char *type, str text)
{
    if (!text.len)
        return;
    buf_fmt(out,
            "--%s\r\nContent-Type: %s; charset=UTF-8\r\n"
            "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
            boundary, type);
    put_quoted_printable(out, text);
}

static void put_date(buf *out, int64_t time_ms)
{
    static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    struct tm t;
    time_t seconds = (time_t)(time_ms / 1000);
    gmtime_r(&seconds, &t);
    buf_fmt(out, "Date: %s, %02d %s %d %02d:%02d:%02d +0000\r\n", days[t.tm_wday], t.tm_mday,
            months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

/* ---- the content ---- */

static bool has_header(const pair_list *headers, const char *name)
{
    for (uint32_t i = 0; i < headers->count; i++)
        if (str_eq_nocase(headers->items[i].name, str_c(name)))
            return true;
    return false;
}

static status put_headers(const notification *n, str from, str to, buf *out, error *err)
{
    const email_settings *s = n->integration->email;
    const struct {
        const char *name;
        str text;
    } defaults[] = { { "From", from },
                     { "To", to },
                     { "Subject", STR("{{ template \"email.default.subject\" . }}") } };
    str text;
    status st = STATUS_OK;
    for (size_t i = 0; i < ARRAY_LEN(defaults) && st == STATUS_OK; i++) {
        if (has_header(&s->headers, defaults[i].name))
            continue;
        st = content_expand(n, defaults[i].text, false, &text, err);
        if (st == STATUS_OK)
            put_header(out, str_c(defaults[i].name), text);
    }
    for (uint32_t i = 0; i < s->headers.count && st == STATUS_OK; i++) {
        st = content_expand(n, s->headers.items[i].value, false, &text, err);
        if (st == STATUS_OK)
            put_header(out, s->headers.items[i].name, text);
    }
    return st;
}

status email_content(const notification *n, buf *out, error *err)
{
    const email_settings *s = n->integration->email;
    str from, to, text, html;
    status st = content_expand(n, s->from, false, &from, err);
    if (st == STATUS_OK)
        st = content_expand(n, s->to, false, &to, err);
    if (st == STATUS_OK)
        st = content_expand(n, s->text, false, &text, err);
    if (st == STATUS_OK)
        st = content_expand(n, s->html, true, &html, err);
    if (st == STATUS_OK)
        st = put_envelope(out, from, to, err);
    if (st == STATUS_OK)
        st = put_headers(n, from, to, out, err);
    if (st != STATUS_OK)
        return st;
    if (!has_header(&s->headers, "Message-Id"))
        buf_fmt(out, "Message-Id: <%s@sonde>\r\n", n->key);
    put_date(out, n->now_ms);
    buf_fmt(out,
            "Idempotency-Key: %s\r\nMIME-Version: 1.0\r\n"
            "Content-Type: multipart/alternative; boundary=\"%s\"\r\n\r\n",
            n->key, n->key);
    put_part(out, n->key, "text/plain", text);
    put_part(out, n->key, "text/html", html);
    buf_fmt(out, "--%s--\r\n", n->key);
    return STATUS_OK;
}

/* ---- sending ---- */

static status read_password(const email_settings *s, buf *out, error *err)
{
    status st = STATUS_OK;
    if (s->auth_password.len)
        buf_str(out, s->auth_password);
    else if (s->auth_password_file.len)
        st = file_read(s->auth_password_file.ptr, out, err);
    else
        buf_str(out, s->auth_secret);
    while (out->len && isspace((unsigned char)out->ptr[out->len - 1]))
        out->len--;
    buf_char(out, '\0');
    return st == STATUS_OK ? buf_check(out, err, "the password") : st;
}

static status send_mail(const email_settings *s, str content, arena *a, const buf *password,
                        const _Atomic int *canceled, error *err)
{
    const char *to[RECIPIENTS_MAX + 1];
    unsigned n = 0;
    str message, from = str_cut(content, '\n', &message);
    str recipients = str_cut(message, '\n', &message);
    prometheus_http tls = { .tls = s->tls };
    http_client_options options;
    from = arena_str(a, from);
    while (recipients.len && n < RECIPIENTS_MAX) {
        str one = arena_str(a, str_cut(recipients, ' ', &recipients));
        if (!one.ptr || !from.ptr)
            return fail(err, STATUS_NO_MEMORY, "no memory for a mail");
        to[n++] = one.ptr;
    }
    to[n] = NULL;
    prometheus_http_client(&options, &tls);
    return smtp_send(&(smtp_mail){ .server = s->smarthost.ptr,
                                   .hello = s->hello.len ? s->hello.ptr : NULL,
                                   .name = s->auth_username.len ? s->auth_username.ptr : NULL,
                                   .password = password->ptr,
                                   .identity = s->auth_identity.len ? s->auth_identity.ptr : NULL,
                                   .require_tls = s->require_tls,
                                   .tls = options.tls,
                                   .from = from.ptr,
                                   .to = to,
                                   .message = message,
                                   .canceled = canceled },
                     err);
}

void email_send(const integration *g, str content, const char *key, const _Atomic int *canceled,
                send_outcome *ret)
{
    arena memory;
    buf password;
    error err;
    (void)key; /* it is in the message */
    arena_init(&memory, MiB(1));
    buf_init(&password, PASSWORD_MAX);
    status st = read_password(g->email, &password, &err);
    if (st == STATUS_OK)
        st = send_mail(g->email, content, &memory, &password, canceled, &err);
    ret->result = st == STATUS_OK ? SENT : st == STATUS_INVALID ? SEND_NEVER : SEND_LATER;
    if (st != STATUS_OK)
        str_copy_c(ret->reason, sizeof(ret->reason), str_c(err.message));
    buf_done(&password);
    arena_done(&memory);
}
