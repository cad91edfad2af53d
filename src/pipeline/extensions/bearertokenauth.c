// SPDX-License-Identifier: Apache-2.0
/* The extension bearertokenauth: who calls shows one of some tokens; what is sent carries the first
 * of them. Tokens are compared by their digests, all of them every time. */
#include "pipeline/component.h"
#include "pipeline/extensions/credential.h"

#include <openssl/crypto.h>
#include <stdlib.h>

enum { TOKENS_MAX = 1000 };

typedef struct {
    str header, scheme, token, filename;
    text_list tokens;
} bearer_settings;

static const option bearer_rows[] = {
    { .name = "token",
      .type = OPTION_SECRET,
      .offset = offsetof(bearer_settings, token),
      .help = "the token; write ${env:NAME} to take it from the environment" },
    { .name = "tokens",
      .type = OPTION_TEXTS,
      .offset = offsetof(bearer_settings, tokens),
      .help = "several: any of them may call, the first one is sent" },
    { .name = "filename",
      .type = OPTION_TEXT,
      .offset = offsetof(bearer_settings, filename),
      .help =
          "a file with a token on each line, read again when it changes; wins over the others" },
    { .name = "scheme",
      .type = OPTION_TEXT,
      .offset = offsetof(bearer_settings, scheme),
      .fallback = "Bearer",
      .help = "stands before the token; \"\": the token stands alone" },
    { .name = "header",
      .type = OPTION_TEXT,
      .offset = offsetof(bearer_settings, header),
      .fallback = "Authorization",
      .help = "the request header that carries it" },
};

typedef struct {
    credential digests[TOKENS_MAX];
    uint32_t count;
    char *first; /* what is sent */
} token_set;

typedef struct {
    const bearer_settings *settings;
    credential_source *source;
} bearer;

static void free_tokens(void *parsed)
{
    token_set *set = parsed;
    if (set->first)
        OPENSSL_cleanse(set->first, strlen(set->first));
    free(set->first);
    free(set);
}

static status parse_tokens(str text, void **ret, error *err)
{
    token_set *set = calloc(1, sizeof(*set));
    if (!set)
        return fail(err, STATUS_NO_MEMORY, "no memory for tokens");
    while (text.len && set->count < TOKENS_MAX) {
        str line = str_trim(str_cut(text, '\n', &text));
        if (line.len == 0)
            continue;
        if (!set->first)
            set->first = strndup(line.ptr, line.len);
        set->digests[set->count++] = credential_of(line);
    }
    if (set->count && set->first && !text.len) {
        *ret = set;
        return STATUS_OK;
    }
    bool many = text.len;
    free_tokens(set);
    return many ? fail(err, STATUS_LIMIT, "more than %d tokens", TOKENS_MAX)
                : fail(err, STATUS_INVALID,
                       "there is no token: token, tokens and filename give "
                       "nothing but empty text");
}

static const credential_parser token_parser = { parse_tokens, free_tokens };

static status bearer_check(const void *settings, char *where, size_t where_size, error *err)
{
    const bearer_settings *s = settings;
    if (s->header.len == 0) {
        str_copy_c(where, where_size, STR("header"));
        return fail(err, STATUS_INVALID, "wants the name of a request header");
    }
    if (s->token.len == 0 && s->tokens.count == 0 && s->filename.len == 0)
        return fail(err, STATUS_INVALID,
                    "wants token, tokens or filename, and it must not be empty");
    for (uint32_t i = 0; i < s->tokens.count; i++) {
        if (s->tokens.items[i].len == 0) {
            str_copy_c(where, where_size, STR("tokens"));
            return fail(err, STATUS_INVALID, "has an empty token");
        }
    }
    return STATUS_OK;
}

static void bearer_close(void *self)
{
    bearer *b = self;
    credential_source_close(b->source);
    free(b);
}

static status bearer_open(void **ret_self, component *c, error *err)
{
    const bearer_settings *s = c->settings;
    buf all;
    bearer *b = calloc(1, sizeof(*b));
    if (!b)
        return fail(err, STATUS_NO_MEMORY, "no memory for %s", c->id);
    b->settings = s;
    buf_init(&all, CREDENTIAL_FILE_MAX);
    buf_str(&all, s->token);
    for (uint32_t i = 0; i < s->tokens.count; i++) {
        buf_char(&all, '\n');
        buf_str(&all, s->tokens.items[i]);
    }
    status st = buf_check(&all, err, c->id);
    if (st == STATUS_OK)
        st = credential_source_open(&b->source, s->filename, buf_view(&all), &token_parser, err);
    if (all.cap)
        OPENSSL_cleanse(all.ptr, all.cap);
    buf_done(&all);
    if (st == STATUS_OK)
        *ret_self = b;
    else
        free(b);
    return st;
}

/* What follows the scheme; schemes are compared without regard to case (RFC 9110, 11.1). */
static bool cut_scheme(str scheme, str *value)
{
    if (scheme.len == 0)
        return value->len > 0;
    if (value->len <= scheme.len || value->ptr[scheme.len] != ' ' ||
        !str_eq_nocase(str_slice(*value, 0, scheme.len), scheme))
        return false;
    *value = str_trim(str_slice(*value, scheme.len + 1, value->len));
    return true;
}

static status bearer_authenticate(void *self, http_exchange *x, error *err)
{
    bearer *b = self;
    bool found = false;
    const bearer_settings *s = b->settings;
    str value = str_trim(http_header(x, s->header.ptr));
    if (value.len == 0)
        return fail(err, STATUS_INVALID, "a token is wanted in the header %s", s->header.ptr);
    if (!cut_scheme(s->scheme, &value))
        return fail(err, STATUS_INVALID, "the header %s must be \"%s TOKEN\"", s->header.ptr,
                    s->scheme.ptr);
    credential shown = credential_of(value);
    const token_set *set = credential_source_use(b->source);
    for (uint32_t i = 0; i < set->count; i++)
        found |= credential_equal(&shown, &set->digests[i]);
    credential_source_release(b->source);
    return found ? STATUS_OK : fail(err, STATUS_INVALID, "the token is not known");
}

static status bearer_authorize(void *self, arena *a, pair_list *headers, error *err)
{
    bearer *b = self;
    const bearer_settings *s = b->settings;
    text_pair *items = arena_grow(a, headers->items, headers->count * sizeof(*items),
                                  (headers->count + 1) * sizeof(*items));
    const token_set *set = credential_source_use(b->source);
    str value = arena_fmt(a, "%s%s%s", s->scheme.ptr, s->scheme.len ? " " : "", set->first);
    credential_source_release(b->source);
    if (!items || !value.ptr)
        return fail(err, STATUS_NO_MEMORY, "no memory for a request's token");
    items[headers->count] = (text_pair){ s->header, value };
    headers->items = items;
    headers->count++;
    return STATUS_OK;
}

const component_type bearertokenauth_extension = {
    .type = "bearertokenauth",
    .kind = COMPONENT_EXTENSION,
    .help = "Asks callers for a token, or adds one to what an exporter sends.",
    .options = OPTION_TABLE(bearer_rows, bearer_settings),
    .check = bearer_check,
    .open = bearer_open,
    .close = bearer_close,
    .authenticate = bearer_authenticate,
    .authorize = bearer_authorize,
};
