// SPDX-License-Identifier: Apache-2.0
/* Secrets in bodies, forms and URLs of requests, also where these are malformed or cut. */
#include "lib/request_redact.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef void redactor(buf *out, str text);

typedef struct {
    const char *in, *out;
} example;

static void check(redactor *redact, const example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf out;
        buf_init(&out, 0);
        redact(&out, str_c(examples[i].in));
        buf_char(&out, '\0');
        assert_string_equal(out.ptr, examples[i].out);
        buf_done(&out);
    }
}

static void json_members_lose_their_secrets_and_keep_their_form(void **state UNUSED)
{
    static const example examples[] = {
        { "", "" },
        { "{\"a\": 1, \"password\" : \"x\\\"y\",\"b\":[1]}",
          "{\"a\": 1, \"password\" : \"[REDACTED]\",\"b\":[1]}" },
        { "{\"apiKey\":{\"id\":\"}\",\"v\":[1,2]},\"z\":null}",
          "{\"apiKey\":\"[REDACTED]\",\"z\":null}" },
        { "{\"token\":12345,\"x\":\"password\"}", "{\"token\":\"[REDACTED]\",\"x\":\"password\"}" },
        { "[{\"user\":{\"Authorization\":true}}]",
          "[{\"user\":{\"Authorization\":\"[REDACTED]\"}}]" },
        { "{\"p\\u0061ssword\":\"s3cret\"}", "{\"p\\u0061ssword\":\"[REDACTED]\"}" },
        /* malformed and cut */
        { "{\"password\": \"s3c", "{\"password\": \"[REDACTED]\"" },
        { "{\"password\":", "{\"password\":" },
        { "{\"passw", "{\"passw" },
        { "{\"password\": {\"a\": \"s3c", "{\"password\": \"[REDACTED]\"" },
        { "{\"a\": oops, \"secret\": s3cret}", "{\"a\": oops, \"secret\": \"[REDACTED]\"}" },
        { "plain text: \"ok\"", "plain text: \"ok\"" },
        { "\\", "\\" },
        { "\"\\", "\"\\" },
    };
    check(redact_json_text, examples, ARRAY_LEN(examples));
}

static void form_fields_lose_their_secrets(void **state UNUSED)
{
    static const example examples[] = {
        { "", "" },
        { "a=1&password=s3cret&b=2", "a=1&password=[REDACTED]&b=2" },
        { "p%61ssword=s3cret", "p%61ssword=[REDACTED]" },
        { "X-Amz-Signature=s3cret&&c", "X-Amz-Signature=[REDACTED]&&c" },
        { "password", "password" },
        { "a=%", "a=%" },
    };
    check(redact_form_text, examples, ARRAY_LEN(examples));
}

static void urls_lose_users_passwords_and_fragments(void **state UNUSED)
{
    static const example examples[] = {
        { "https://me:s3cret@shop.example:8443/a@b?x=1&access_token=s3cret#frag",
          "https://shop.example:8443/a@b?x=1&access_token=[REDACTED]" },
        { "http://a@b@host/", "http://host/" },
        { "/only/path?sig=s3cret", "/only/path?sig=[REDACTED]" },
        { "", "" },
    };
    check(redact_url_text, examples, ARRAY_LEN(examples));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_members_lose_their_secrets_and_keep_their_form),
        cmocka_unit_test(form_fields_lose_their_secrets),
        cmocka_unit_test(urls_lose_users_passwords_and_fragments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
