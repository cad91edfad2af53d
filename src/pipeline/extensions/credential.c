// SPDX-License-Identifier: Apache-2.0
/* Secrets from files and texts; see credential.h. */
#include "pipeline/extensions/credential.h"

#include "base/clock.h"
#include "base/file.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

/* A file is looked at that often at most. */
static const int64_t check_every_ns = NS_PER_S / 2;

/* When the file was changed, as far as stat tells. */
typedef struct {
    struct timespec changed, status_changed;
    off_t size;
    ino_t inode;
} file_stamp;

struct credential_source {
    const credential_parser *parser;
    char *path; /* NULL: a text that never changes */
    pthread_rwlock_t lock;
    void *parsed;     /* under the lock */
    file_stamp stamp; /* under the lock */
    atomic_int_fast64_t checked_ns;
};

credential credential_of(str secret)
{
    credential c;
    SHA256((const uint8_t *)(secret.len ? secret.ptr : ""), secret.len, c.bytes);
    return c;
}

bool credential_equal(const credential *a, const credential *b)
{
    return CRYPTO_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool stamp_of(const char *path, file_stamp *ret)
{
    struct stat st;
    memset(ret, 0, sizeof(*ret));
    if (stat(path, &st) != 0)
        return false;
    ret->changed = st.st_mtim;
    ret->status_changed = st.st_ctim;
    ret->size = st.st_size;
    ret->inode = st.st_ino;
    return true;
}

/* The stamp is taken first: a change while reading is seen the next time. */
static status read_file(credential_source *s, error *err)
{
    buf text;
    file_stamp stamp;
    void *parsed = NULL;
    (void)stamp_of(s->path, &stamp);
    buf_init(&text, CREDENTIAL_FILE_MAX);
    status st = file_read(s->path, &text, err);
    if (st == STATUS_OK)
        st = s->parser->parse(buf_view(&text), &parsed, err);
    if (text.cap)
        OPENSSL_cleanse(text.ptr, text.cap);
    buf_done(&text);
    pthread_rwlock_wrlock(&s->lock);
    s->stamp = stamp;
    if (st == STATUS_OK) {
        void *old = s->parsed;
        s->parsed = parsed;
        parsed = old;
    }
    pthread_rwlock_unlock(&s->lock);
    if (parsed)
        s->parser->free(parsed);
    return st;
}

status credential_source_open(credential_source **ret, str path, str text,
                              const credential_parser *parser, error *err)
{
    credential_source *s = calloc(1, sizeof(*s));
    if (!s || (path.len && !(s->path = strndup(path.ptr, path.len)))) {
        free(s);
        return fail(err, STATUS_NO_MEMORY, "no memory for credentials");
    }
    s->parser = parser;
    pthread_rwlock_init(&s->lock, NULL);
    atomic_init(&s->checked_ns, clock_mono_ns());
    status st = s->path ? read_file(s, err) : parser->parse(text, &s->parsed, err);
    if (st == STATUS_OK)
        *ret = s;
    else
        credential_source_close(s);
    return st;
}

void credential_source_close(credential_source *s)
{
    if (!s)
        return;
    if (s->parsed)
        s->parser->free(s->parsed);
    pthread_rwlock_destroy(&s->lock);
    free(s->path);
    free(s);
}

/* One caller at a time looks at the file. A file that cannot be read leaves what was there. */
static void check_file(credential_source *s)
{
    file_stamp now;
    int_fast64_t last = atomic_load(&s->checked_ns), time = clock_mono_ns();
    if (time - last < check_every_ns ||
        !atomic_compare_exchange_strong(&s->checked_ns, &last, time) || !stamp_of(s->path, &now))
        return;
    pthread_rwlock_rdlock(&s->lock);
    bool same = memcmp(&now, &s->stamp, sizeof(now)) == 0;
    pthread_rwlock_unlock(&s->lock);
    if (!same)
        (void)read_file(s, NULL);
}

const void *credential_source_use(credential_source *s)
{
    if (s->path)
        check_file(s);
    pthread_rwlock_rdlock(&s->lock);
    return s->parsed;
}

void credential_source_release(credential_source *s)
{
    pthread_rwlock_unlock(&s->lock);
}
