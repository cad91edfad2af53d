// SPDX-License-Identifier: Apache-2.0
/* htpasswd files; see htpasswd.h. */
#include "pipeline/extensions/htpasswd.h"

#include "codec/json.h"
#include "pipeline/extensions/credential.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>

enum { USERS_MAX = 10000, NAME_MAX_BYTES = 255, PASSWORD_MAX = 1000 };

typedef bool verify_function(str hash, str password);

typedef struct {
    str user, hash;
    verify_function *verify;
} entry;

struct htpasswd {
    arena arena;
    entry *entries;
    uint32_t count, capacity;
};

/* ---- kinds of hashes ---- */

static bool verify_plain(str hash, str password)
{
    credential a = credential_of(hash), b = credential_of(password);
    return credential_equal(&a, &b);
}

/* `hash` is terminated. */
static bool verify_crypt(str hash, str password)
{
    struct crypt_data *data = calloc(1, sizeof(*data));
    char text[PASSWORD_MAX + 1];
    if (!data)
        return false;
    str_copy_c(text, sizeof(text), password);
    const char *made = crypt_r(text, hash.ptr, data);
    bool same = made && strlen(made) == hash.len && CRYPTO_memcmp(made, hash.ptr, hash.len) == 0;
    OPENSSL_cleanse(text, sizeof(text));
    OPENSSL_cleanse(data, sizeof(*data));
    free(data);
    return same;
}

/* {SHA}base64(sha1(password)); {SSHA}base64(sha1(password salt) salt) */
static bool verify_sha(str hash, str password)
{
    arena memory;
    str bytes;
    uint8_t digest[SHA_DIGEST_LENGTH];
    bool same = false;
    size_t prefix = str_find_char(hash, '}') + 1;
    arena_init(&memory, KiB(16));
    if (base64_decode(&memory, str_slice(hash, prefix, hash.len), &bytes) &&
        bytes.len >= sizeof(digest)) {
        str salt = str_slice(bytes, sizeof(digest), bytes.len);
        char *joined = arena_alloc(&memory, password.len + salt.len + 1);
        if (joined) {
            memcpy(joined, password.ptr, password.len);
            memcpy(joined + password.len, salt.ptr, salt.len);
            SHA1((const uint8_t *)joined, password.len + salt.len, digest);
            same = CRYPTO_memcmp(digest, bytes.ptr, sizeof(digest)) == 0;
            OPENSSL_cleanse(joined, password.len);
        }
    }
    arena_done(&memory);
    return same;
}

/* By what the hash begins with; verify NULL: known, and not supported. */
static const struct {
    const char *prefix;
    verify_function *verify;
} schemes[] = {
    { "$2a$", verify_crypt },
    { "$2b$", verify_crypt },
    { "$2y$", verify_crypt },
    { "$5$", verify_crypt },
    { "$6$", verify_crypt },
    { "$y$", verify_crypt },
    { "{SHA}", verify_sha },
    { "{SSHA}", verify_sha },
    { "$apr1$", NULL },
    { "$1$", NULL },
    { "$", NULL },
};

static verify_function *find_scheme(str hash)
{
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (str_starts(hash, str_c(schemes[i].prefix)))
            return schemes[i].verify;
    return verify_plain;
}

/* ---- parsing ---- */

static status add_line(htpasswd *h, unsigned number, str line, error *err)
{
    str hash, user = str_cut(line, ':', &hash);
    hash = str_trim(hash);
    if (user.len == 0 || user.len == line.len || user.len > NAME_MAX_BYTES || hash.len == 0 ||
        hash.len > PASSWORD_MAX)
        return fail(err, STATUS_INVALID, "htpasswd line %u is not USER:HASH", number);
    verify_function *verify = find_scheme(hash);
    if (!verify)
        return fail(err, STATUS_UNSUPPORTED,
                    "htpasswd line %u: this kind of hash is not supported; make it by htpasswd -B "
                    "(bcrypt)",
                    number);
    if (h->count == USERS_MAX)
        return fail(err, STATUS_LIMIT, "htpasswd has more than %d users", USERS_MAX);
    if (h->count == h->capacity) {
        uint32_t capacity = MAX(h->capacity * 2, 16u);
        entry *larger = arena_grow(&h->arena, h->entries, h->capacity * sizeof(*larger),
                                   capacity * sizeof(*larger));
        if (!larger)
            return fail(err, STATUS_NO_MEMORY, "no memory for users");
        h->entries = larger;
        h->capacity = capacity;
    }
    entry e = { arena_str(&h->arena, user), arena_str(&h->arena, hash), verify };
    if (!e.user.ptr || !e.hash.ptr)
        return fail(err, STATUS_NO_MEMORY, "no memory for users");
    h->entries[h->count++] = e;
    return STATUS_OK;
}

status htpasswd_parse(str text, htpasswd **ret, error *err)
{
    status st = STATUS_OK;
    htpasswd *h = calloc(1, sizeof(*h));
    if (!h)
        return fail(err, STATUS_NO_MEMORY, "no memory for users");
    arena_init(&h->arena, MiB(32));
    for (unsigned number = 1; text.len && st == STATUS_OK; number++) {
        str line = str_trim(str_cut(text, '\n', &text));
        if (line.len && line.ptr[0] != '#')
            st = add_line(h, number, line, err);
    }
    if (st == STATUS_OK && h->count == 0)
        st = fail(err, STATUS_INVALID, "htpasswd names no user");
    if (st == STATUS_OK)
        *ret = h;
    else
        htpasswd_free(h);
    return st;
}

void htpasswd_free(htpasswd *h)
{
    if (!h)
        return;
    arena_done(&h->arena);
    free(h);
}

bool htpasswd_verify(const htpasswd *h, str user, str password)
{
    const entry *found = NULL;
    if (user.len > NAME_MAX_BYTES || password.len > PASSWORD_MAX ||
        str_find_char(password, '\0') != SIZE_MAX)
        return false;
    for (uint32_t i = 0; i < h->count; i++)
        if (str_eq(h->entries[i].user, user))
            found = &h->entries[i];
    const entry *e = found ? found : &h->entries[0];
    return e->verify(e->hash, password) && found != NULL;
}
