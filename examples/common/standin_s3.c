// SPDX-License-Identifier: Apache-2.0
/* S3 as the stand-in has it: objects in memory, by presigned URLs of the account that s3.h reads
 * from the environment.
 *
 *   PUT, GET, HEAD /BUCKET/KEY   403 when the signature does not fit
 *   HEAD /BUCKET                 200, needs no signature; what a health check asks
 *
 * At most 4096 objects of 64 MiB together; the oldest go first. */
#include "examples/common/s3.h"
#include "examples/common/standin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OBJECTS = 4096, MAX_BYTES = 64 << 20 };

typedef struct {
    char path[512];
    char *bytes;
    size_t size;
} object;

/* A ring: objects `first` to `next`, each at its number modulo the size. */
static object objects[MAX_OBJECTS];
static unsigned first, next;
static size_t total_bytes;

static void fail(standin_request *r, unsigned status, const char *code, const char *message)
{
    char text[1024];
    int n =
        snprintf(text, sizeof(text),
                 "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                 "<Error><Code>%s</Code><Message>%s</Message><Resource>%.512s</Resource></Error>",
                 code, message, r->path);
    standin_answer_bytes(r, status, "application/xml", text, (size_t)n);
}

static object *find_object(const char *path)
{
    for (unsigned i = first; i != next; i++)
        if (strcmp(objects[i % MAX_OBJECTS].path, path) == 0)
            return &objects[i % MAX_OBJECTS];
    return NULL;
}

static void empty(object *o)
{
    total_bytes -= o->size;
    free(o->bytes);
    *o = (object){ 0 };
}

static void put_object(standin_request *r)
{
    object *o = find_object(r->path);
    if (o)
        empty(o); /* its place stays empty until it is the oldest */
    while (next - first == MAX_OBJECTS || (first != next && total_bytes + r->size > MAX_BYTES))
        empty(&objects[first++ % MAX_OBJECTS]);
    o = &objects[next++ % MAX_OBJECTS];
    total_bytes += r->size;
    snprintf(o->path, sizeof(o->path), "%s", r->path);
    o->bytes = r->bytes;
    o->size = r->size;
    r->bytes = NULL;
    standin_answer_bytes(r, 200, "text/plain", "", 0);
}

static void get_object(standin_request *r)
{
    const object *o = find_object(r->path);
    if (o)
        standin_answer_bytes(r, 200, "image/jpeg", o->bytes, o->size);
    else
        fail(r, 404, "NoSuchKey", "The specified key does not exist.");
}

static bool names_bucket_only(const char *path)
{
    const char *slash = path[1] ? strchr(path + 1, '/') : NULL;
    return path[1] && (!slash || !slash[1]);
}

void standin_s3(standin_request *r)
{
    static s3_account account;
    const char *why, *host = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "Host");
    if (!account.endpoint)
        account = s3_account_from_environment("example");
    if (standin_fails(r))
        fail(r, 500, "InternalError", "We encountered an internal error. Please try again.");
    else if (names_bucket_only(r->path) && strcmp(r->method, "HEAD") == 0)
        standin_answer_bytes(r, 200, "application/xml", "", 0);
    else if (!s3_check(&account, r->method, host ? host : "", r->target, time(NULL), &why))
        fail(r, 403, "SignatureDoesNotMatch", why);
    else if (strcmp(r->method, "PUT") == 0)
        put_object(r);
    else if (strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0)
        get_object(r);
    else
        fail(r, 405, "MethodNotAllowed", "PUT, GET and HEAD are what this stand-in knows.");
}
