// SPDX-License-Identifier: Apache-2.0
/* What the value rules and the key words take for secrets, and what they leave alone. */
#include "codec/redact.h"

#include "tests/support.h"

typedef struct {
    const char *in, *out; /* out NULL: unchanged */
} example;

static void check(const redact_rules *rules, const example *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        arena a;
        str got;
        buf b;
        const char *wanted = list[i].out ? list[i].out : list[i].in;
        arena_init(&a, MiB(1));
        buf_init(&b, MiB(1));
        bool changed = redact_text(rules, &a, str_c(list[i].in), &got);
        redact_to_buf(rules, str_c(list[i].in), &b);
        if (!str_is(got, wanted))
            fail_msg("%s\n  gives  %.*s\n  wanted %s", list[i].in, STR_ARG(got), wanted);
        assert_true(str_is(buf_view(&b), wanted));
        assert_int_equal(changed, list[i].out != NULL);
        /* What was redacted stays as it is. */
        str again;
        if (redact_text(rules, &a, got, &again))
            fail_msg("%.*s became %.*s", STR_ARG(got), STR_ARG(again));
        arena_done(&a);
        buf_done(&b);
    }
}

#define CHECK(rules, list) check((rules), (list), ARRAY_LEN(list))

static void tokens_after_bearer_and_basic_are_replaced(void **state)
{
    (void)state;
    static const example list[] = {
        { "Authorization sent: Bearer abc123", "Authorization sent: Bearer [REDACTED]" },
        { "got 'Bearer s3cr3t/x+y==' from", "got 'Bearer [REDACTED]' from" },
        { "Bearer mysecretword", "Bearer [REDACTED]" },
        { "bearer a8f5f167f44f4964", "bearer [REDACTED]" },
        { "BEARER  A8F5f167f44f4964e6c998dee827110c", "BEARER  [REDACTED]" },
        { "x Basic dXNlcjpwYXNzd29yZA== y", "x Basic [REDACTED] y" },
        { "the bearer of this letter", NULL },
        { "Bearer token missing", NULL },
        { "basic authentication failed for user", NULL },
        { "Basic information about things", NULL },
        { "bearer", NULL },
        { "Bearer ", NULL },
    };
    CHECK(redact_rules_all(), list);
}

static void json_web_tokens_are_replaced_whole_or_cut(void **state)
{
    (void)state;
    static const example list[] = {
        { "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P ok",
          "jwt [REDACTED] ok" },
        { " eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
          " [REDACTED]" },
        { "cut: eyJhbGciOiJIUzI1NiJ9.eyJzdW", "cut: [REDACTED]" },
        { "cut: eyJhbGciOiJIUzI1NiJ9", "cut: [REDACTED]" },
        { "cut: eyJhbGciOiJIUzI1NiJ9.", "cut: [REDACTED]" },
        { "heyJude.txt", NULL },
        { "eyJ is how they begin", NULL },
        { "keyJoin.lookup.table", NULL },
    };
    CHECK(redact_rules_all(), list);
}

static void card_numbers_are_told_from_ids_and_times(void **state)
{
    (void)state;
    static const example list[] = {
        { "card 4111111111111111", "card [REDACTED]" },
        { "4111 1111 1111 1111 declined", "[REDACTED] declined" },
        { "4111-1111-1111-1111", "[REDACTED]" },
        { "paid 12 4111 1111 1111 1111 7 times", "paid 12 [REDACTED] 7 times" },
        { "n=5555555555554444;", "n=[REDACTED];" },
        { "378282246310005 and 3782 822463 10005", "[REDACTED] and [REDACTED]" },
        { "4222222222222.", "[REDACTED]." },
        { "6011111111111117,3530111333300000", "[REDACTED],[REDACTED]" },
        { "4111111111111112", NULL },     /* Luhn */
        { "14111111111111111", NULL },    /* a longer number */
        { "41111111111111110000", NULL }, /* a longer number */
        { "id_4111111111111111", NULL },  /* part of a name */
        { "a4111111111111111", NULL },    /* hexadecimal */
        { "4111111111111111b", NULL },
        { "0.4111111111111111", NULL }, /* a fraction */
        { "4111111111111111.5", NULL },
        { "1700000000000000008", NULL },      /* ns since 1970, Luhn holds */
        { "1732300000000", NULL },            /* ms */
        { "1234-4111-1111-1111-1111", NULL }, /* a longer id */
        { "2024-01-01 10:11:12.123456789", NULL },
        { "4111  1111 1111 1111", NULL }, /* not as printed */
        { "0004111111111111111 7", NULL },
        { "10 20 30 40 50 60 70 80 90 100", NULL },
    };
    CHECK(redact_rules_all(), list);
    /* Times in nanoseconds are never taken for cards, whether Luhn holds or not. */
    for (uint64_t ns = 1732300000000000000u; ns < 1732300000000002000u; ns++) {
        char text[32];
        size_t begin, end;
        int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)ns);
        assert_false(redact_find(redact_rules_all(), str_n(text, (size_t)n), 0, &begin, &end));
    }
}

static void users_and_passwords_in_urls_are_replaced(void **state)
{
    (void)state;
    static const example list[] = {
        { "postgres://app:hunter2@db:5432/shop", "postgres://[REDACTED]@db:5432/shop" },
        { "connect https://u:p@h/x and amqp://a:b@c",
          "connect https://[REDACTED]@h/x and amqp://[REDACTED]@c" },
        { "redis://:s3cret@cache", "redis://[REDACTED]@cache" },
        { "https://ghs0123456789abcdefghij@github.com/x", "https://[REDACTED]@github.com/x" },
        { "mysql://u:p@ss@host/db", "mysql://[REDACTED]@host/db" },
        { "mysql://u:p/ss@host/db", "mysql://[REDACTED]@host/db" },
        { "mysql://user:passwor", "mysql://[REDACTED]" }, /* cut inside the password */
        { "ssh://git@github.com/x", NULL },
        { "http://localhost:4318/v1/logs", NULL },
        { "http://[::1]:4318/v1/logs", NULL },
        { "http://host/path@2x.png", NULL },
        { "see http://a.b/c?d=e#f", NULL },
        { "://u:p@h", NULL },
    };
    CHECK(redact_rules_all(), list);
}

static void values_of_secret_parameters_members_and_headers_are_replaced(void **state)
{
    (void)state;
    static const example list[] = {
        { "GET /x?token=abc&page=2&api_key=k HTTP",
          "GET /x?token=[REDACTED]&page=2&api_key=[REDACTED] HTTP" },
        { "host=db password=hunter2 port=1", "host=db password=[REDACTED] port=1" },
        { "password='hunter 2' x", "password='[REDACTED]' x" },
        { "Server=a;PWD=b;Port=c", "Server=a;PWD=[REDACTED];Port=c" },
        { "{\"user\":\"bob\",\"password\":\"hun\\\"ter2\"}",
          "{\"user\":\"bob\",\"password\":\"[REDACTED]\"}" },
        { "{\\\"api_key\\\": \\\"k\\\"}", "{\\\"api_key\\\": \\\"[REDACTED]\\\"}" },
        { "{'secret': 'x'}", "{'secret': '[REDACTED]'}" },
        { "{\"pwd\": 12345}", "{\"pwd\": [REDACTED]}" },
        { "Authorization: Token abc\r\nHost: x", "Authorization: [REDACTED]\r\nHost: x" },
        { "curl -H 'X-Api-Key: abc' http://x", "curl -H 'X-Api-Key: [REDACTED]' http://x" },
        { "Cookie: a=b; c=d", "Cookie: [REDACTED]" },
        { "password=Bearer abc", "password=[REDACTED]" },
        { "db_password: hunter2", "db_password: [REDACTED]" },
        { "--api-key=xyz end", "--api-key=[REDACTED] end" },
        { "tokens=5 token_count=7", NULL },
        { "token=", NULL },
        { "token==x", NULL },
        { "has_token=true token=present", NULL },
        { "invalid token: expected a number", NULL },
        { "a=b&c=d", NULL },
        { "{\"password\":null}", NULL },
    };
    CHECK(redact_rules_all(), list);
}

static void keys_with_known_prefixes_are_replaced(void **state)
{
    (void)state;
    static const example list[] = {
        { "key sk_live_4eC39HqLyjWDarjtT1zdp7dc.", "key sk_live_[REDACTED]" },
        { "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "ghp_[REDACTED]" },
        { "x xoxb-17653672481-19874698323 y", "x xoxb-[REDACTED] y" },
        { " AKIAIOSFODNN7EXAMPLE", " AKIA[REDACTED]" },
        { "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----\nx",
          "-----BEGIN RSA PRIVATE KEY-----[REDACTED]-----END RSA PRIVATE KEY-----\nx" },
        { "-----BEGIN PRIVATE KEY-----\nMIIE", "-----BEGIN PRIVATE KEY-----[REDACTED]" },
        { "-----BEGIN CERTIFICATE-----\nMIIE", NULL },
        { "task_live_x disk_free high-tech", NULL },
        { "ghp_short", NULL },
    };
    CHECK(redact_rules_all(), list);
}

static void rules_are_chosen_by_name_and_prefixes_added(void **state)
{
    (void)state;
    redact_rules *rules = malloc(sizeof(*rules));
    error err;
    static const example some[] = {
        { "acme_12 Bearer abc123", "acme_[REDACTED] Bearer [REDACTED]" },
        { "xacme_12 4111111111111111 token=abc", NULL },
        { "a acme_x", "a acme_[REDACTED]" },
    };
    static const example keys[] = {
        { "iban=DE02", "iban=[REDACTED]" },
        { "user_pin=1234", "user_pin=[REDACTED]" },
        { "other=1234", NULL },
    };
    static const example none[] = { { "Bearer abc123 4111111111111111", NULL } };
    assert_int_equal(redact_rules_init(rules, STR("bearer, prefix:acme_"), STR_EMPTY, &err),
                     STATUS_OK);
    CHECK(rules, some);
    assert_int_equal(redact_rules_init(rules, STR("all"), STR("iban,*_pin"), &err), STATUS_OK);
    CHECK(rules, keys);
    assert_int_equal(redact_rules_init(rules, STR("none"), STR_EMPTY, &err), STATUS_OK);
    CHECK(rules, none);
    /* What is not understood turns nothing off. */
    assert_int_equal(redact_rules_init(rules, STR("bearer,cards"), STR_EMPTY, &err),
                     STATUS_INVALID);
    assert_non_null(strstr(err.message, "cards"));
    static const example all[] = { { "4111111111111111", "[REDACTED]" } };
    CHECK(rules, all);
    free(rules);
}

static void users_key_patterns_are_compared_without_case_and_separators(void **state)
{
    (void)state;
    redact_keys keys;
    error err;
    assert_int_equal(redact_keys_init(&keys, STR("iban, *_pin,acme*,a*b*c"), &err), STATUS_OK);
    static const char *const secrets[] = { "IBAN", "user_pin", "userPin", "acme.thing",
                                           "acme", "a-b-c",    "aXbYbZc", "password" };
    static const char *const others[] = { "my_iban", "pin_code", "my_acme", "a_b_c_d", "" };
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
        if (!redact_key(&keys, str_c(secrets[i])))
            fail_msg("%s is a secret", secrets[i]);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (redact_key(&keys, str_c(others[i])))
            fail_msg("%s is no secret", others[i]);
    assert_false(redact_key(NULL, STR("iban")));
    assert_int_equal(redact_keys_init(&keys, STR("iban,*_*,x"), &err), STATUS_INVALID);
    assert_int_equal(keys.count, 2);
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* Both ways of replacing agree, ranges are in order and inside, at any alignment. */
static void any_bytes_are_read_within_their_bounds(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "Bearer ",
        "eyJhbGciOiJIUzI1NiJ9",
        ".",
        "4111",
        " ",
        "-",
        "1111111111111",
        "://",
        "u:p@",
        "token=",
        "\"password\":",
        "\"",
        "\\\"",
        "'",
        "=",
        ":",
        "sk_live_",
        "ghp_",
        "AKIA",
        "-----BEGIN ",
        "PRIVATE KEY-----",
        "Cookie: ",
        "\n",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "J",
        "\xff",
    };
    uint64_t random = 42;
    for (int round = 0; round < 20000; round++) {
        size_t n = 0, begin, end, from = 0, total = next_random(&random) % 120;
        char *text = malloc(total + 1);
        while (n < total) {
            const char *p = pieces[next_random(&random) % ARRAY_LEN(pieces)];
            size_t take = MIN(strlen(p), total - n);
            memcpy(text + n, p, take);
            n += take;
        }
        char *exact = malloc(n ? n : 1);
        memcpy(exact, text, n);
        while (redact_find(redact_rules_all(), str_n(exact, n), from, &begin, &end)) {
            assert_true(begin >= from && end > begin && end <= n);
            from = end;
        }
        arena a;
        arena_init(&a, MiB(1));
        str out;
        buf b;
        buf_init(&b, MiB(1));
        redact_text(redact_rules_all(), &a, str_n(exact, n), &out);
        redact_to_buf(redact_rules_all(), str_n(exact, n), &b);
        assert_true(str_eq(out, buf_view(&b)));
        buf_done(&b);
        arena_done(&a);
        free(exact);
        free(text);
    }
}

/* 64 KiB of what a rule stops at again and again; each took half a second when it looked on to the
 * end from every place. */
static void hostile_texts_cost_no_more_than_their_length(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "eyJ.",
        "=eyJ",
        "a://b:c/",
        "token=",
        "token:",
        "Bearer ",
        "4111 ",
        "1",
        "4111-1111-1111-1111 ",
        "x-token: [REDACTED]",
        "password=[REDACTED]",
        "\"token\":\"[REDACTED]",
        "-----BEGIN ",
        "a=",
    };
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        buf text, out;
        buf_init(&text, MiB(1));
        buf_init(&out, MiB(8));
        while (text.len < KiB(64))
            buf_str(&text, str_c(pieces[i]));
        int64_t start = clock_mono_ns();
        redact_to_buf(redact_rules_all(), buf_view(&text), &out);
        if (clock_mono_ns() - start > NS_PER_S)
            fail_msg("%s: %lld ms", pieces[i], (long long)((clock_mono_ns() - start) / NS_PER_MS));
        buf_done(&text);
        buf_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_after_bearer_and_basic_are_replaced),
        cmocka_unit_test(json_web_tokens_are_replaced_whole_or_cut),
        cmocka_unit_test(card_numbers_are_told_from_ids_and_times),
        cmocka_unit_test(users_and_passwords_in_urls_are_replaced),
        cmocka_unit_test(values_of_secret_parameters_members_and_headers_are_replaced),
        cmocka_unit_test(keys_with_known_prefixes_are_replaced),
        cmocka_unit_test(rules_are_chosen_by_name_and_prefixes_added),
        cmocka_unit_test(users_key_patterns_are_compared_without_case_and_separators),
        cmocka_unit_test(hostile_texts_cost_no_more_than_their_length),
        cmocka_unit_test(any_bytes_are_read_within_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
