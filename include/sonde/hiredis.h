/* SPDX-License-Identifier: Apache-2.0 */
/* hiredis, observed: the same functions with sonde_ in front. Each command, and each pipeline, is a
 * client span with Redis' attributes and a sample of db.client.operation.duration (db.h). Of a
 * command only its name and the number of arguments are recorded: "SET ? ?".
 *
 *     redisReply *reply = sonde_redisCommand(context, "SET %s %s", key, value);
 *
 *     sonde_redis_pipeline pipeline = { 0 };
 *     sonde_redisAppendCommand(context, &pipeline, "INCR hits");
 *     sonde_redisAppendCommand(context, &pipeline, "EXPIRE hits 60");
 *     sonde_redisGetReply(context, &pipeline, &reply);      // as often as commands were appended
 *
 * Arguments, replies and ownership are hiredis'. An error reply fails the span, with its first word
 * ("WRONGTYPE") as status code. Include this where <hiredis/hiredis.h> is to be had. */
#ifndef SONDE_HIREDIS_H
#define SONDE_HIREDIS_H

#include <sonde/db.h>

#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Commands that were appended and not yet answered; {0} to begin with. Belongs to one context. */
typedef struct {
    sonde_db_call call; /* from the first reply that is asked for to the last */
    char operation[24]; /* of the first command; "" when they differ */
    char error[24];     /* of the first error reply */
    int appended, answered;
    bool mixed, running;
} sonde_redis_pipeline;

/* The first word of `text` in upper case. */
static inline void sonde_redis_word_(const char *text, size_t len, char *ret, size_t size)
{
    size_t n = 0, at = 0;
    while (at < len && text[at] == ' ')
        at++;
    for (; at < len && text[at] != ' ' && text[at] && n + 1 < size; at++)
        ret[n++] = text[at] >= 'a' && text[at] <= 'z' ? (char)(text[at] - 'a' + 'A') : text[at];
    ret[n] = 0;
}

/* Words after the first of a command's format. */
static inline int sonde_redis_arguments_(const char *format)
{
    int words = 0;
    for (const char *p = format; *p; p++)
        words += *p != ' ' && (p == format || p[-1] == ' ');
    return words > 0 ? words - 1 : 0;
}

static inline sonde_db_call sonde_redis_begin_(const redisContext *c, const char *operation,
                                               int arguments, int batch)
{
    char text[96];
    size_t n = (size_t)snprintf(text, sizeof(text), "%s", operation);
    for (int i = 0; i < arguments && n + 3 < sizeof(text); i++, n += 2)
        memcpy(text + n, " ?", 3);
    sonde_db_query q;
    memset(&q, 0, sizeof(q));
    q.system = "redis";
    q.operation = operation;
    q.text = batch ? NULL : text;
    q.text_is_clean = true;
    q.batch_size = batch;
    if (c && c->connection_type == REDIS_CONN_TCP) {
        q.server_address = c->tcp.host;
        q.server_port = c->tcp.port;
    } else if (c && c->connection_type == REDIS_CONN_UNIX) {
        q.server_address = c->unix_sock.path;
    }
    return sonde_db_begin(&q);
}

static inline void sonde_redis_end_(sonde_db_call *call, const redisContext *c,
                                    const redisReply *reply)
{
    char code[24] = "";
    sonde_db_result end;
    memset(&end, 0, sizeof(end));
    if (!reply) {
        end.failed = true;
        end.error_type = "connection";
        end.message = c && c->err ? c->errstr : NULL;
    } else if (reply->type == REDIS_REPLY_ERROR) {
        sonde_redis_word_(reply->str, reply->len, code, sizeof(code));
        end.failed = true;
        end.status_code = code;
    }
    sonde_db_end(call, &end);
}

static inline void *sonde_redisvCommand(redisContext *c, const char *format, va_list arguments)
{
    char operation[24];
    sonde_redis_word_(format, strlen(format), operation, sizeof(operation));
    sonde_db_call call = sonde_redis_begin_(c, operation, sonde_redis_arguments_(format), 0);
    void *reply = redisvCommand(c, format, arguments);
    sonde_redis_end_(&call, c, (const redisReply *)reply);
    return reply;
}

static inline void *sonde_redisCommand(redisContext *c, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    void *reply = sonde_redisvCommand(c, format, arguments);
    va_end(arguments);
    return reply;
}

static inline void *sonde_redisCommandArgv(redisContext *c, int count, const char **arguments,
                                           const size_t *lengths)
{
    char operation[24] = "";
    if (count > 0)
        sonde_redis_word_(arguments[0], lengths ? lengths[0] : strlen(arguments[0]), operation,
                          sizeof(operation));
    sonde_db_call call = sonde_redis_begin_(c, operation, count - 1, 0);
    void *reply = redisCommandArgv(c, count, arguments, lengths);
    sonde_redis_end_(&call, c, (const redisReply *)reply);
    return reply;
}

/* ---- pipelines ---- */

static inline void sonde_redis_appended_(sonde_redis_pipeline *p, const char *text, size_t len)
{
    char operation[24];
    sonde_redis_word_(text, len, operation, sizeof(operation));
    if (p->appended == 0)
        memcpy(p->operation, operation, sizeof(operation));
    p->mixed = p->mixed || strcmp(p->operation, operation) != 0;
    p->appended++;
}

static inline int sonde_redisAppendCommand(redisContext *c, sonde_redis_pipeline *p,
                                           const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = redisvAppendCommand(c, format, arguments);
    va_end(arguments);
    if (result == REDIS_OK)
        sonde_redis_appended_(p, format, strlen(format));
    return result;
}

static inline int sonde_redisAppendCommandArgv(redisContext *c, sonde_redis_pipeline *p, int count,
                                               const char **arguments, const size_t *lengths)
{
    int result = redisAppendCommandArgv(c, count, arguments, lengths);
    if (result == REDIS_OK && count > 0)
        sonde_redis_appended_(p, arguments[0], lengths ? lengths[0] : strlen(arguments[0]));
    return result;
}

/* `reply` as redisGetReply's: not NULL. */
static inline int sonde_redisGetReply(redisContext *c, sonde_redis_pipeline *p, void **reply)
{
    if (!p->running && p->appended > 0) {
        char operation[40];
        snprintf(operation, sizeof(operation), "PIPELINE%s%s", p->mixed ? "" : " ",
                 p->mixed ? "" : p->operation);
        p->call = sonde_redis_begin_(c, operation, 0, p->appended);
        p->running = true;
    }
    int result = redisGetReply(c, reply);
    const redisReply *r = result == REDIS_OK ? (const redisReply *)*reply : NULL;
    p->answered++;
    if (r && r->type == REDIS_REPLY_ERROR && !p->error[0])
        sonde_redis_word_(r->str, r->len, p->error, sizeof(p->error));
    if (p->running && (!r || p->answered >= p->appended)) {
        if (!r || !p->error[0]) {
            sonde_redis_end_(&p->call, c, r);
        } else {
            sonde_db_result end;
            memset(&end, 0, sizeof(end));
            end.failed = true;
            end.status_code = p->error;
            sonde_db_end(&p->call, &end);
        }
        memset(p, 0, sizeof(*p));
    }
    return result;
}

#ifdef __cplusplus
}
#endif
#endif
