// SPDX-License-Identifier: Apache-2.0
/* Puts secrets into everything that leaves a program: values of keys that name secrets (each begins
 * with "PLANTEDKEY") and secrets inside of texts (the test knows them). argv[1]: "stop",
 * or "die" for a death with all of it undrained. */
#include <sonde/sonde.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define BEARER "Bearer pl4nt3d-bearer-0001"
#define BASIC  "Basic cGw0bnQzZDpiYXNpYy0wMDAy"
#define JWT    "eyJhbGciOiJIUzI1NiJ9.cGw0bnQzZC1qd3QtMDAwMw.cGw0bnQzZC1zaWduYXR1cmU"
#define CARD   "4111 1111 1111 1111"
#define URL    "postgres://app:pl4nt3d-url-0005@db/shop"
#define QUERY  "GET /x?page=1&access_token=pl4nt3d-query-0006&n=2"
#define JSON   "{\"user\":\"bob\",\"password\":\"pl4nt3d-json-0007\"}"
#define STRIPE "sk_live_pl4nt3dkey0008abcdef"
#define PEM    "-----BEGIN PRIVATE KEY-----\npl4nt3d-pem-0009\n-----END PRIVATE KEY-----"
#define MINE   "acme_pl4nt3dprefix0010"

static const char *header(void *user, const char *name)
{
    (void)user;
    if (strcasecmp(name, "traceparent") == 0)
        return "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    if (strcasecmp(name, "baggage") == 0)
        return "session_token=PLANTEDKEY-baggage-11,plan=pl4n,note=acme_pl4nt3dbaggage0012";
    return NULL;
}

static void log_all(void)
{
    static const char *const texts[] = { BEARER, BASIC,  JWT,  CARD, URL,
                                         QUERY,  STRIPE, JSON, PEM,  MINE };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        sonde_info("text", sonde_kv("text", texts[i]), sonde_kv("number", (int)i));
        sonde_info("bytes", sonde_kv_bytes("raw", texts[i], strlen(texts[i])));
        sonde_log(SONDE_INFO, (sonde_str){ texts[i], strlen(texts[i]) }, NULL, 0);
        sonde_span_set(sonde_kv("attribute", texts[i]), sonde_kv("n", (int)i));
        sonde_span_event("event", sonde_kv("text", texts[i]));
    }
    sonde_info("formatted", sonde_kv_fmt("detail", "sent %s to %s", BEARER, URL));
    sonde_info("keyed", sonde_kv("password", "PLANTEDKEY-01"), sonde_kv("apiKey", "PLANTEDKEY-02"),
               sonde_kv("iban", "PLANTEDKEY-03"), sonde_kv("card_pin", "PLANTEDKEY-04"));
    char key[] = "X-Auth-Token";
    sonde_attr dynamic = sonde_kv(key, "PLANTEDKEY-05");
    sonde_log(SONDE_INFO, (sonde_str){ "dynamic", 7 }, &dynamic, 1);
    sonde_span_set(sonde_kv("db.password", "PLANTEDKEY-06"));
    sonde_span_event("keyed", sonde_kv("cookie", "PLANTEDKEY-07"));
    sonde_span_error("refused", JSON, sonde_kv("credential", "PLANTEDKEY-13"));
    sonde_span_fail(STRIPE " was refused for " URL);
}

int main(int argc, char **argv)
{
    bool die = argc > 1 && strcmp(argv[1], "die") == 0;
    static const char *const resource[] = { "deploy.secret", "PLANTEDKEY-08", "build.url", URL,
                                            NULL };
    if (sonde_start(&(sonde_options){
            .service = "planted", .resource = resource, .redact_keys = "iban,*_pin" }) != 0)
        return 1;
    sonde_counter *c =
        sonde_counter_new("planted_total", "Items.", SONDE_LABELS("text", "api_key"));
    sonde_counter_add(c, 1, BEARER, "PLANTEDKEY-10");
    sonde_context remote = sonde_extract(header, NULL);
    SONDE_WITH (remote) {
        SONDE_CONTEXT (sonde_kv("user_secret", "PLANTEDKEY-09"), sonde_kv("note", MINE)) {
            SONDE_SPAN ("work", sonde_kv("url", URL)) {
                log_all();
            }
            sonde_span *open = sonde_span_start("open", NULL);
            sonde_span_set_on(open, sonde_kv("open_text", BEARER),
                              sonde_kv("passwd", "PLANTEDKEY-12"));
            if (die)
                _exit(0);
            sonde_span_end(open);
        }
    }
    sonde_stop();
    return 0;
}
