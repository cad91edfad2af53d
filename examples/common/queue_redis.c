// SPDX-License-Identifier: Apache-2.0
/* A queue as lists in Redis: NAME has the jobs that wait; NAME:processing:CONSUMER the one that a
 * consumer works on; the hash NAME:consumers when each consumer last said that it lives.
 *
 * Two connections: one that all threads share for short commands, and the popping thread's, which
 * waits in BLMOVE. Each is opened when it is needed and closed when a command failed on it. */
#include "examples/common/queue_engine.h"

#include "examples/common/config.h"

#include <hiredis/hiredis.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    pthread_mutex_t lock;
    redisContext *context; /* NULL: not connected */
    int64_t failed_at;
    char why[QUEUE_TEXT]; /* it failed */
} redis_link;

typedef struct {
    char host[256], user[128], password[256];
    int port, number;
    char name[64];
    redis_link shared, popping;
} redis;

/* KEYS: the queue; ARGV: this consumer, and the lease in ms or 0. Returns the jobs put back. */
static const char keep_script[] =
    "local t = redis.call('TIME') "
    "local now = t[1] * 1000 + math.floor(t[2] / 1000) "
    "local all, back = KEYS[1] .. ':consumers', 0 "
    "redis.call('HSET', all, ARGV[1], string.format('%d', now)) "
    "if ARGV[2] == '0' then return 0 end "
    "local seen = redis.call('HGETALL', all) "
    "for i = 1, #seen, 2 do "
    "  if now - seen[i + 1] > tonumber(ARGV[2]) then "
    "    while redis.call('LMOVE', KEYS[1] .. ':processing:' .. seen[i], KEYS[1], 'LEFT', 'RIGHT') "
    "    do back = back + 1 end "
    "    redis.call('HDEL', all, seen[i]) "
    "  end "
    "end "
    "return back";

/* ---- connections ---- */

/* %XX of a URL's part, in place. */
static void decode(char *text)
{
    char *to = text;
    for (const char *at = text; *at; to++) {
        unsigned byte;
        if (*at == '%' && sscanf(at + 1, "%2x", &byte) == 1 && at[1] && at[2]) {
            *to = (char)byte;
            at += 3;
        } else {
            *to = *at++;
        }
    }
    *to = 0;
}

/* "redis://[[user]:password@]host[:port][/number]" */
static bool parse_url(redis *r, const char *url)
{
    static const char scheme[] = "redis://";
    const char *at = url + sizeof(scheme) - 1, *end;
    r->port = 6379;
    if (strncmp(url, scheme, sizeof(scheme) - 1) != 0)
        return false;
    if ((end = strchr(at, '@')) != NULL) {
        size_t user = strcspn(at, ":@");
        snprintf(r->user, sizeof(r->user), "%.*s", (int)user, at);
        if (at[user] == ':')
            snprintf(r->password, sizeof(r->password), "%.*s", (int)(end - at - (long)user - 1),
                     at + user + 1);
        decode(r->user);
        decode(r->password);
        at = end + 1;
    }
    size_t host = strcspn(at, ":/");
    snprintf(r->host, sizeof(r->host), "%.*s", (int)host, at);
    at += host;
    char *rest = (char *)at;
    if (*at == ':')
        r->port = (int)strtol(at + 1, &rest, 10);
    if (*rest == '/' && rest[1])
        r->number = (int)strtol(rest + 1, &rest, 10);
    return host && host < sizeof(r->host) && r->port > 0 && r->port < 65536 &&
           (!*rest || strcmp(rest, "/") == 0);
}

static void *open_redis(const queue_options *options)
{
    redis *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    if (!parse_url(r, options->url)) {
        fprintf(stderr, "REDIS_URL must look like redis://127.0.0.1:6379/0, or with "
                        "user:password@ before the host\n");
        free(r);
        return NULL;
    }
    snprintf(r->name, sizeof(r->name), "%s", options->name);
    pthread_mutex_init(&r->shared.lock, NULL);
    return r;
}

static bool fail(const redis *r, redis_link *l, const char *text, char why[QUEUE_TEXT])
{
    /* hiredis tells of a time limit as of an operation that would have waited. */
    bool late = l->context && l->context->err == REDIS_ERR_IO &&
                strstr(text, "Resource temporarily unavailable");
    snprintf(why, QUEUE_TEXT, "redis at %.120s:%d: %.100s", r->host, r->port,
             late ? "no answer in time" : text);
    if (l->context)
        redisFree(l->context);
    l->context = NULL;
    l->failed_at = config_now_ms();
    memcpy(l->why, why, sizeof(l->why));
    return false;
}

/* Runs one command on the connection; NULL after a failure. A reply that is an error fails too. */
static redisReply *command(const redis *r, redis_link *l, int count, const char *const *words,
                           char why[QUEUE_TEXT])
{
    redisReply *reply = redisCommandArgv(l->context, count, (const char **)words, NULL);
    if (reply && reply->type != REDIS_REPLY_ERROR)
        return reply;
    fail(r, l, reply ? reply->str : l->context->errstr, why);
    freeReplyObject(reply);
    return NULL;
}

static bool told(const redis *r, redis_link *l, int count, const char *const *words,
                 char why[QUEUE_TEXT])
{
    redisReply *reply = command(r, l, count, words, why);
    freeReplyObject(reply);
    return reply != NULL;
}

static bool connect_link(const redis *r, redis_link *l, char why[QUEUE_TEXT])
{
    struct timeval limit = { .tv_sec = QUEUE_LIMIT_MS / 1000 };
    char number[16];
    snprintf(number, sizeof(number), "%d", r->number);
    l->context = redisConnectWithTimeout(r->host, r->port, limit);
    if (!l->context || l->context->err)
        return fail(r, l, l->context ? l->context->errstr : "out of memory", why);
    redisSetTimeout(l->context, limit);
    const char *plain[] = { "AUTH", r->password }, *named[] = { "AUTH", r->user, r->password };
    if (*r->password && !told(r, l, *r->user ? 3 : 2, *r->user ? named : plain, why))
        return false;
    return told(r, l, 2, (const char *[]){ "SELECT", number }, why);
}

/* An idle connection has nothing to read, unless it has ended. */
static bool connected(const redis *r, redis_link *l, char why[QUEUE_TEXT])
{
    struct pollfd p = { .fd = l->context ? l->context->fd : -1, .events = POLLIN };
    if (l->context && poll(&p, 1, 0) != 0) {
        redisFree(l->context);
        l->context = NULL;
    }
    return l->context || connect_link(r, l, why);
}

/* A short command of any thread. Whoever waited for one that failed fails with it: a Redis that is
 * away holds nobody longer than the limit. */
static redisReply *ask(redis *r, int count, const char *const *words, char why[QUEUE_TEXT])
{
    redis_link *l = &r->shared;
    redisReply *reply = NULL;
    int64_t begun = config_now_ms();
    pthread_mutex_lock(&l->lock);
    if (l->failed_at > begun)
        memcpy(why, l->why, sizeof(l->why));
    else if (connected(r, l, why))
        reply = command(r, l, count, words, why);
    pthread_mutex_unlock(&l->lock);
    return reply;
}

static bool ask_number(redis *r, int count, const char *const *words, long *ret,
                       char why[QUEUE_TEXT])
{
    redisReply *reply = ask(r, count, words, why);
    if (reply && ret && reply->type == REDIS_REPLY_INTEGER)
        *ret = (long)reply->integer;
    freeReplyObject(reply);
    return reply != NULL;
}

/* ---- the queue ---- */

static bool push(void *state, const char *job, char why[QUEUE_TEXT])
{
    redis *r = state;
    return ask_number(r, 3, (const char *[]){ "LPUSH", r->name, job }, NULL, why);
}

static bool length(void *state, long *ret, char why[QUEUE_TEXT])
{
    redis *r = state;
    return ask_number(r, 2, (const char *[]){ "LLEN", r->name }, ret, why);
}

static bool ping(void *state, char why[QUEUE_TEXT])
{
    return ask_number(state, 1, (const char *[]){ "PING" }, NULL, why);
}

static bool keep(void *state, const queue_consumer *c, int64_t lease_ms, long *ret_back,
                 char why[QUEUE_TEXT])
{
    redis *r = state;
    char lease[24];
    snprintf(lease, sizeof(lease), "%lld", (long long)lease_ms);
    return ask_number(r, 6, (const char *[]){ "EVAL", keep_script, "1", r->name, c->id, lease },
                      ret_back, why);
}

typedef struct {
    char name[128];
} redis_key;

static redis_key processing(const redis *r, const queue_consumer *c)
{
    redis_key key;
    snprintf(key.name, sizeof(key.name), "%s:processing:%s", r->name, c->id);
    return key;
}

static bool pop(void *state, const queue_consumer *c, int timeout_ms, char **ret,
                char why[QUEUE_TEXT])
{
    redis *r = state;
    redis_link *l = &r->popping;
    redis_key key = processing(r, c);
    char seconds[24];
    if (!connected(r, l, why))
        return false;
    timeout_ms = timeout_ms > 10 ? timeout_ms : 10; /* 0 would be for ever */
    snprintf(seconds, sizeof(seconds), "%d.%03d", timeout_ms / 1000, timeout_ms % 1000);
    int limit_ms = timeout_ms + QUEUE_LIMIT_MS;
    redisSetTimeout(l->context, (struct timeval){ limit_ms / 1000, limit_ms % 1000 * 1000 });
    redisReply *reply = command(
        r, l, 6, (const char *[]){ "BLMOVE", r->name, key.name, "RIGHT", "LEFT", seconds }, why);
    if (reply && reply->type == REDIS_REPLY_STRING)
        *ret = strdup(reply->str);
    freeReplyObject(reply);
    return reply != NULL;
}

static bool done(void *state, const queue_consumer *c, char why[QUEUE_TEXT])
{
    redis *r = state;
    redis_key key = processing(r, c);
    return ask_number(r, 2, (const char *[]){ "DEL", key.name }, NULL, why);
}

static bool put_back(void *state, const queue_consumer *c, char why[QUEUE_TEXT])
{
    redis *r = state;
    redis_key key = processing(r, c);
    return ask_number(r, 5, (const char *[]){ "LMOVE", key.name, r->name, "LEFT", "LEFT" }, NULL,
                      why);
}

static void leave(void *state, const queue_consumer *c)
{
    redis *r = state;
    redis_key key;
    char why[QUEUE_TEXT];
    snprintf(key.name, sizeof(key.name), "%s:consumers", r->name);
    ask_number(r, 3, (const char *[]){ "HDEL", key.name, c->id }, NULL, why);
}

static void close_redis(void *state)
{
    redis *r = state;
    if (r->popping.context)
        redisFree(r->popping.context);
    if (r->shared.context)
        redisFree(r->shared.context);
    pthread_mutex_destroy(&r->shared.lock);
    free(r);
}

const queue_engine queue_redis = { .system = "redis",
                                   .open = open_redis,
                                   .close = close_redis,
                                   .leave = leave,
                                   .prepare = ping,
                                   .push = push,
                                   .pop = pop,
                                   .done = done,
                                   .put_back = put_back,
                                   .keep = keep,
                                   .length = length,
                                   .ping = ping };
