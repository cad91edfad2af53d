// SPDX-License-Identifier: Apache-2.0
/* The extension basicauth (RFC 7617): callers show a user and a password that an htpasswd text or
 * file knows; exporters send those of client_auth. */
#include "codec/json.h"
#include "pipeline/component.h"
#include "pipeline/extensions/credential.h"
#include "pipeline/extensions/htpasswd.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

enum { PASSED_MAX = 256 };

typedef struct {
    str file, text;
} htpasswd_settings;

typedef struct {
    str username, password, username_file, password_file;
} client_auth_settings;

typedef struct {
    htpasswd_settings htpasswd;
    client_auth_settings client;
    bool has_htpasswd, has_client;
} basic_settings;

static const option htpasswd_rows[] = {
    { .name = "file",
      .type = OPTION_TEXT,
      .offset = offsetof(htpasswd_settings, file),
      .help = "a file of USER:HASH lines as htpasswd -B makes them, read again when it changes" },
    { .name = "inline",
      .type = OPTION_SECRET,
      .offset = offsetof(htpasswd_settings, text),
      .help =
          "lines as text, beside those of the file; hashes are full of $, which is written $$" },
};
static const option_table htpasswd_options = OPTION_TABLE(htpasswd_rows, htpasswd_settings);

static const option client_rows[] = {
    { .name = "username",
      .type = OPTION_TEXT,
      .offset = offsetof(client_auth_settings, username),
      .help = "user that an exporter sends" },
    { .name = "password",
      .type = OPTION_SECRET,
      .offset = offsetof(client_auth_settings, password),
      .help = "its password" },
    { .name = "username_file",
      .type = OPTION_TEXT,
      .offset = offsetof(client_auth_settings, username_file),
      .help = "a file with the user, instead of username; read again when it changes" },
    { .name = "password_file",
      .type = OPTION_TEXT,
      .offset = offsetof(client_auth_settings, password_file),
      .help = "a file with the password, instead of password; read again when it changes" },
};
static const option_table client_auth_options = OPTION_TABLE(client_rows, client_auth_settings);

static const option basic_rows[] = {
    { .name = "htpasswd",
      .type = OPTION_SECTION,
      .offset = offsetof(basic_settings, htpasswd),
      .table = &htpasswd_options,
      .present = OPTION_PRESENT(basic_settings, has_htpasswd),
      .help = "who may call: for receivers and the web port" },
    { .name = "client_auth",
      .type = OPTION_SECTION,
      .offset = offsetof(basic_settings, client),
      .table = &client_auth_options,
      .present = OPTION_PRESENT(basic_settings, has_client),
      .help = "what exporters send" },
};

/* Users, and digests of credentials that were right: bcrypt takes tens of milliseconds, which a
 * sender must not pay for each request. The key is random, and new when the file changes. */
typedef struct {
    htpasswd *users;
    pthread_mutex_t lock;
    pthread_mutex_t slow; /* held while a password is hashed: one at a time */
    uint8_t key[32];
    credential passed[PASSED_MAX]; /* under the lock, as the next two */
    uint32_t count, next;
} user_set;

typedef struct {
    const basic_settings *settings;
    credential_source *users, *more_users; /* of the file and inline, or of the one there is */
    credential_source *username, *password;
} basic;

/* ---- who calls ---- */

static void free_users(void *parsed)
{
    user_set *u = parsed;
    htpasswd_free(u->users);
    pthread_mutex_destroy(&u->lock);
    pthread_mutex_destroy(&u->slow);
    free(u);
}

static status parse_users(str text, void **ret, error *err)
{
    user_set *u = calloc(1, sizeof(*u));
    if (!u)
        return fail(err, STATUS_NO_MEMORY, "no memory for users");
    pthread_mutex_init(&u->lock, NULL);
    pthread_mutex_init(&u->slow, NULL);
    status st = htpasswd_parse(text, &u->users, err);
    if (st == STATUS_OK && RAND_bytes(u->key, sizeof(u->key)) != 1)
        st = fail(err, STATUS_IO, "no random bytes");
    if (st == STATUS_OK)
        *ret = u;
    else
        free_users(u);
    return st;
}

static const credential_parser user_parser = { parse_users, free_users };

static credential keyed(const user_set *u, str shown)
{
    credential parts[2] = { credential_of(shown) };
    memcpy(parts[1].bytes, u->key, sizeof(u->key));
    return credential_of(str_n(parts, sizeof(parts)));
}

static bool has_passed(user_set *u, const credential *shown)
{
    bool found = false;
    pthread_mutex_lock(&u->lock);
    for (uint32_t i = 0; i < u->count; i++)
        found |= credential_equal(&u->passed[i], shown);
    pthread_mutex_unlock(&u->lock);
    return found;
}

static void remember(user_set *u, const credential *shown)
{
    pthread_mutex_lock(&u->lock);
    u->passed[u->next] = *shown;
    u->next = (u->next + 1) % PASSED_MAX;
    u->count = MIN(u->count + 1, (uint32_t)PASSED_MAX);
    pthread_mutex_unlock(&u->lock);
}

static bool verify(user_set *u, str shown)
{
    credential c = keyed(u, shown);
    str password, user = str_cut(shown, ':', &password);
    if (has_passed(u, &c))
        return true;
    pthread_mutex_lock(&u->slow);
    bool good = has_passed(u, &c) || htpasswd_verify(u->users, user, password);
    pthread_mutex_unlock(&u->slow);
    if (good)
        remember(u, &c);
    return good;
}

static status refuse(http_exchange *x, error *err, const char *why)
{
    http_set_header(x, "WWW-Authenticate", STR("Basic realm=\"sonde\", charset=\"UTF-8\""));
    return fail(err, STATUS_INVALID, "%s", why);
}

/* The set is locked for reading, by as many callers as there are. */
static bool knows(credential_source *users, str shown)
{
    bool good = verify((user_set *)credential_source_use(users), shown);
    credential_source_release(users);
    return good;
}

static status basic_authenticate(void *self, http_exchange *x, error *err)
{
    basic *b = self;
    str shown, value = str_trim(http_header(x, "authorization"));
    if (!b->users)
        return fail(err, STATUS_INVALID, "the extension has no htpasswd: nobody may call");
    if (!str_eq_nocase(str_slice(value, 0, 6), STR("basic ")))
        return refuse(x, err, "user and password are wanted (basic authentication)");
    if (!base64_decode(http_arena(x), str_trim(str_slice(value, 6, value.len)), &shown) ||
        str_find_char(shown, ':') == SIZE_MAX)
        return refuse(x, err,
                      "the header Authorization must be \"Basic \" and base64 of "
                      "USER:PASSWORD");
    bool good = knows(b->users, shown) || (b->more_users && knows(b->more_users, shown));
    return good ? STATUS_OK : refuse(x, err, "user or password is wrong");
}

/* ---- what is sent ---- */

static status parse_line(str text, void **ret, error *err)
{
    text = str_trim(text);
    char *line = strndup(text.len ? text.ptr : "", text.len);
    if (!line)
        return fail(err, STATUS_NO_MEMORY, "no memory for credentials");
    *ret = line;
    return STATUS_OK;
}

static void free_line(void *parsed)
{
    OPENSSL_cleanse(parsed, strlen(parsed));
    free(parsed);
}

static const credential_parser line_parser = { parse_line, free_line };

static str copy_line(credential_source *s, arena *a)
{
    str copy = arena_str(a, str_c(credential_source_use(s)));
    credential_source_release(s);
    return copy;
}

static status basic_authorize(void *self, arena *a, pair_list *headers, error *err)
{
    basic *b = self;
    if (!b->username)
        return fail(err, STATUS_INVALID,
                    "the extension has no client_auth: there is nothing to send");
    str user = copy_line(b->username, a), password = copy_line(b->password, a);
    text_pair *items = arena_grow(a, headers->items, headers->count * sizeof(*items),
                                  (headers->count + 1) * sizeof(*items));
    if (!user.ptr || !password.ptr || !items)
        return fail(err, STATUS_NO_MEMORY, "no memory for a request's credentials");
    str both = arena_fmt(a, "%s:%s", user.ptr, password.ptr);
    buf text;
    buf_init(&text, MiB(4));
    json_writer w = json_write(&text);
    json_base64(&w, both.ptr ? both : STR_EMPTY);
    str quoted = buf_view(&text);
    str value = arena_fmt(a, "Basic %.*s", STR_ARG(str_slice(quoted, 1, quoted.len - 1)));
    bool failed = text.failed || !both.ptr || !value.ptr;
    buf_done(&text);
    if (failed)
        return fail(err, STATUS_NO_MEMORY, "no memory for a request's credentials");
    items[headers->count] = (text_pair){ STR("Authorization"), value };
    headers->items = items;
    headers->count++;
    return STATUS_OK;
}

/* ---- the component ---- */

static status basic_check(const void *settings, char *where, size_t where_size, error *err)
{
    const basic_settings *s = settings;
    htpasswd *users = NULL;
    if (!s->has_htpasswd && !s->has_client)
        return fail(err, STATUS_INVALID,
                    "wants htpasswd (who may call) or client_auth (what is sent)");
    if (s->has_htpasswd && !s->htpasswd.file.len && !s->htpasswd.text.len) {
        str_copy_c(where, where_size, STR("htpasswd"));
        return fail(err, STATUS_INVALID, "wants file or inline");
    }
    if (s->has_client && !s->client.username.len && !s->client.username_file.len) {
        str_copy_c(where, where_size, STR("client_auth"));
        return fail(err, STATUS_INVALID, "wants username or username_file");
    }
    if (s->htpasswd.text.len) {
        str_copy_c(where, where_size, STR("htpasswd.inline"));
        status st = htpasswd_parse(s->htpasswd.text, &users, err);
        htpasswd_free(users);
        return st;
    }
    return STATUS_OK;
}

static void basic_close(void *self)
{
    basic *b = self;
    credential_source_close(b->users);
    credential_source_close(b->more_users);
    credential_source_close(b->username);
    credential_source_close(b->password);
    free(b);
}

static status basic_open(void **ret_self, component *c, error *err)
{
    const basic_settings *s = c->settings;
    status st = STATUS_OK;
    basic *b = calloc(1, sizeof(*b));
    if (!b)
        return fail(err, STATUS_NO_MEMORY, "no memory for %s", c->id);
    b->settings = s;
    if (s->has_htpasswd)
        st = credential_source_open(&b->users, s->htpasswd.file, s->htpasswd.text, &user_parser,
                                    err);
    if (st == STATUS_OK && s->htpasswd.file.len && s->htpasswd.text.len)
        st = credential_source_open(&b->more_users, STR_EMPTY, s->htpasswd.text, &user_parser, err);
    if (st == STATUS_OK && s->has_client)
        st = credential_source_open(&b->username, s->client.username_file, s->client.username,
                                    &line_parser, err);
    if (st == STATUS_OK && s->has_client)
        st = credential_source_open(&b->password, s->client.password_file, s->client.password,
                                    &line_parser, err);
    if (st == STATUS_OK)
        *ret_self = b;
    else
        basic_close(b);
    return st;
}

const component_type basicauth_extension = {
    .type = "basicauth",
    .kind = COMPONENT_EXTENSION,
    .help = "Asks callers for a user and a password, or adds them to what an exporter sends.",
    .options = OPTION_TABLE(basic_rows, basic_settings),
    .check = basic_check,
    .open = basic_open,
    .close = basic_close,
    .authenticate = basic_authenticate,
    .authorize = basic_authorize,
};
