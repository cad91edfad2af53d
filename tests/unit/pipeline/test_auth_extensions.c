// SPDX-License-Identifier: Apache-2.0
/* bearertokenauth and basicauth: who is let in, what is sent, files that change while they run. */
#include "support.h"

#include "base/file.h"
#include "pipeline/config.h"

#include <crypt.h>
#include <stdio.h>

/* ---- a table of the two and what a file needs beside them ---- */

extern const component_type bearertokenauth_extension, basicauth_extension;
static const component_type receiver = { .type = "in",
                                         .kind = COMPONENT_RECEIVER,
                                         .signals = SIGNALS_ALL };
static const component_type exporter = { .type = "sonde",
                                         .kind = COMPONENT_EXPORTER,
                                         .signals = SIGNALS_ALL };
static const component_type *const table[] = { &receiver, &exporter, &bearertokenauth_extension,
                                               &basicauth_extension };

const char *component_kind_name(component_kind k)
{
    (void)k;
    return "component";
}

const component_type *const *component_all(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(table);
    return table;
}

const component_type *component_find(component_kind k, str type)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i]->kind == k && str_is(type, table[i]->type))
            return table[i];
    return NULL;
}

/* ---- requests ---- */

struct http_exchange {
    const char *name, *value; /* the one header it has */
    char asked[200];          /* WWW-Authenticate */
    arena arena;
};

str http_header(const http_exchange *x, const char *name)
{
    return x->name && str_eq_nocase(str_c(name), str_c(x->name)) ? str_c(x->value) : STR_EMPTY;
}

void http_set_header(http_exchange *x, const char *name, str value)
{
    if (str_is(str_c(name), "WWW-Authenticate"))
        str_copy_c(x->asked, sizeof(x->asked), value);
}

arena *http_arena(http_exchange *x)
{
    return &x->arena;
}

/* ---- one extension ---- */

typedef struct {
    config file;
    component c;
    error err;
    char asked[200];
} extension;

static void tell(void *user, bool warning, const char *text)
{
    if (!warning)
        str_copy_c(user, 448, str_c(text));
}

static status open_it(extension *e, const char *type, const char *options)
{
    char text[4000], said[448] = "";
    snprintf(text, sizeof(text),
             "receivers: {in: }\nexporters: {sonde: }\nextensions:\n  %s: {%s}\n"
             "service: {extensions: [%s], pipelines: {logs: {receivers: [in], exporters: "
             "[sonde]}}}\n",
             type, options, type);
    memset(e, 0, sizeof(*e));
    status st = config_parse(&e->file, "f", str_c(text), NULL, tell, said, &e->err);
    if (st != STATUS_OK) {
        str_copy_c(e->err.message, sizeof(e->err.message), str_c(said));
        return st;
    }
    for (uint32_t i = 0; i < e->file.component_count; i++)
        if (e->file.components[i].kind == COMPONENT_EXTENSION)
            e->c = (component){ .type = e->file.components[i].type,
                                .id = e->file.components[i].id,
                                .settings = e->file.components[i].settings };
    st = e->c.type->open(&e->c.self, &e->c, &e->err);
    if (st != STATUS_OK)
        config_done(&e->file);
    return st;
}

static void close_it(extension *e)
{
    e->c.type->close(e->c.self);
    config_done(&e->file);
}

static bool lets_in(extension *e, const char *name, const char *value)
{
    http_exchange x = { .name = name, .value = value };
    arena_init(&x.arena, MiB(1));
    status st = e->c.type->authenticate(e->c.self, &x, &e->err);
    str_copy_c(e->asked, sizeof(e->asked), str_c(x.asked));
    arena_done(&x.arena);
    assert_true(st == STATUS_OK || !strstr(e->err.message, "hunter2"));
    return st == STATUS_OK;
}

static void assert_sends(extension *e, const char *name, const char *value)
{
    arena a;
    pair_list headers = { 0 };
    arena_init(&a, MiB(1));
    assert_int_equal(e->c.type->authorize(e->c.self, &a, &headers, &e->err), STATUS_OK);
    assert_int_equal(headers.count, 1);
    assert_str(headers.items[0].name, str_c(name));
    assert_str(headers.items[0].value, str_c(value));
    arena_done(&a);
}

#define AUTH "Authorization"

static void a_token_opens_the_door(void **state)
{
    extension e;
    (void)state;
    assert_int_equal(open_it(&e, "bearertokenauth", "token: hunter2, tokens: [second, third]"),
                     STATUS_OK);
    assert_true(lets_in(&e, AUTH, "Bearer hunter2"));
    assert_true(lets_in(&e, AUTH, "bearer  third"));
    assert_false(lets_in(&e, AUTH, "Bearer hunter"));
    assert_false(lets_in(&e, AUTH, "Bearer hunter22"));
    assert_false(lets_in(&e, AUTH, "Bearer "));
    assert_false(lets_in(&e, AUTH, "Bearer"));
    assert_false(lets_in(&e, AUTH, "hunter2"));
    assert_false(lets_in(&e, AUTH, "Basic hunter2"));
    assert_false(lets_in(&e, "X-Token", "Bearer hunter2"));
    assert_false(lets_in(&e, NULL, NULL));
    assert_sends(&e, AUTH, "Bearer hunter2");
    close_it(&e);
}

static void header_and_scheme_can_be_chosen(void **state)
{
    extension e;
    (void)state;
    assert_int_equal(open_it(&e, "bearertokenauth", "token: abc, header: X-API-Key, scheme: ''"),
                     STATUS_OK);
    assert_true(lets_in(&e, "x-api-key", "abc"));
    assert_false(lets_in(&e, "x-api-key", "Bearer abc"));
    assert_false(lets_in(&e, AUTH, "abc"));
    assert_sends(&e, "X-API-Key", "abc");
    close_it(&e);
}

static void an_extension_without_a_secret_is_refused(void **state)
{
    extension e;
    (void)state;
    assert_int_equal(open_it(&e, "bearertokenauth", ""), STATUS_INVALID);
    assert_int_equal(open_it(&e, "bearertokenauth", "token: ''"), STATUS_INVALID);
    assert_int_equal(open_it(&e, "bearertokenauth", "tokens: [a, '']"), STATUS_INVALID);
    assert_int_equal(open_it(&e, "bearertokenauth", "token: '${env:SONDE_TEST_UNSET}'"),
                     STATUS_INVALID);
    assert_int_equal(open_it(&e, "bearertokenauth", "token: '   '"), STATUS_INVALID);
    assert_int_equal(open_it(&e, "bearertokenauth", "filename: /nonexistent/token"),
                     STATUS_NOT_FOUND);
    assert_int_equal(open_it(&e, "basicauth", ""), STATUS_INVALID);
    assert_int_equal(open_it(&e, "basicauth", "htpasswd: {}"), STATUS_INVALID);
    assert_int_equal(open_it(&e, "basicauth", "htpasswd: {inline: 'hunter2'}"), STATUS_INVALID);
    assert_string_equal(e.err.message, "f:4:34: component basicauth: htpasswd.inline: htpasswd "
                                       "line 1 is not USER:HASH");
    assert_int_equal(open_it(&e, "basicauth", "htpasswd: {inline: 'a:$$apr1$$x$$y'}"),
                     STATUS_INVALID);
    assert_int_equal(open_it(&e, "basicauth", "client_auth: {password: x}"), STATUS_INVALID);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void a_file_of_tokens_is_read_again(void **state)
{
    extension e;
    char dir[64], path[100], options[200];
    (void)state;
    test_make_dir(dir);
    snprintf(path, sizeof(path), "%s/tokens", dir);
    snprintf(options, sizeof(options), "filename: %s", path);
    write_file(path, "one\n\n  two \n");
    assert_int_equal(open_it(&e, "bearertokenauth", options), STATUS_OK);
    assert_true(lets_in(&e, AUTH, "Bearer one"));
    assert_true(lets_in(&e, AUTH, "Bearer two"));
    write_file(path, "three\n");
    wait_until(lets_in(&e, AUTH, "Bearer three"), 20);
    assert_false(lets_in(&e, AUTH, "Bearer one"));
    assert_sends(&e, AUTH, "Bearer three");
    /* What cannot be used leaves what was there. */
    write_file(path, "\n");
    int64_t end = clock_mono_ns() + NS_PER_S;
    wait_until(clock_mono_ns() > end, 10);
    assert_true(lets_in(&e, AUTH, "Bearer three"));
    unlink(path);
    assert_true(lets_in(&e, AUTH, "Bearer three"));
    write_file(path, "four\n");
    wait_until(lets_in(&e, AUTH, "Bearer four"), 20);
    close_it(&e);
    test_remove_dir(dir);
}

/* "amy:hunter2" and others in base64. */
#define AMY   "Basic YW15Omh1bnRlcjI="
#define WRONG "Basic YW15Omh1bnRlcjM="
#define BOB   "Basic Ym9iOmh1bnRlcjI="

static void check_users(extension *e)
{
    assert_true(lets_in(e, AUTH, AMY));
    assert_true(lets_in(e, AUTH, AMY)); /* remembered */
    assert_false(lets_in(e, AUTH, WRONG));
    assert_false(lets_in(e, AUTH, BOB));
    assert_true(strstr(e->asked, "Basic realm="));
    assert_false(lets_in(e, AUTH, "Basic !!!"));
    assert_false(lets_in(e, AUTH, "Basic YW15"));
    assert_false(lets_in(e, AUTH, "Bearer hunter2"));
    assert_false(lets_in(e, NULL, NULL));
}

static void every_kind_of_hash_is_verified(void **state)
{
    static const char *const prefixes[] = { "$2y$", "$2b$", "$5$", "$6$", "$y$" };
    static const char *const fixed[] = { "{SHA}87u9ZqY9S/F0eUBXjsPQEDUw4h0=",
                                         "{SSHA}gK+fFFujqnweTpwCQ7Sp02gQxCJzYWx0", "hunter2" };
    extension e;
    char salt[CRYPT_GENSALT_OUTPUT_SIZE], options[400];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        buf doubled;
        assert_non_null(crypt_gensalt_rn(prefixes[i], i < 2 ? 4 : 0, "0123456789abcdef", 16, salt,
                                         sizeof(salt)));
        buf_init(&doubled, KiB(1));
        for (const char *c = crypt("hunter2", salt); *c; c++) {
            if (*c == '$')
                buf_char(&doubled, '$');
            buf_char(&doubled, *c);
        }
        snprintf(options, sizeof(options), "htpasswd: {inline: 'amy:%.*s'}",
                 STR_ARG(buf_view(&doubled)));
        buf_done(&doubled);
        assert_int_equal(open_it(&e, "basicauth", options), STATUS_OK);
        check_users(&e);
        close_it(&e);
    }
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        snprintf(options, sizeof(options), "htpasswd: {inline: 'amy:%s'}", fixed[i]);
        assert_int_equal(open_it(&e, "basicauth", options), STATUS_OK);
        check_users(&e);
        close_it(&e);
    }
}

static void basic_credentials_are_sent(void **state)
{
    extension e;
    (void)state;
    assert_int_equal(open_it(&e, "basicauth", "client_auth: {username: amy, password: hunter2}"),
                     STATUS_OK);
    assert_sends(&e, AUTH, AMY);
    /* Without htpasswd nobody is let in. */
    assert_false(lets_in(&e, AUTH, AMY));
    close_it(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_opens_the_door),
        cmocka_unit_test(header_and_scheme_can_be_chosen),
        cmocka_unit_test(an_extension_without_a_secret_is_refused),
        cmocka_unit_test(a_file_of_tokens_is_read_again),
        cmocka_unit_test(every_kind_of_hash_is_verified),
        cmocka_unit_test(basic_credentials_are_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
