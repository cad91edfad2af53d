// SPDX-License-Identifier: Apache-2.0
/* A service as the W3C trace-context test harness drives one: POST of a JSON array of {"url": …,
 * "arguments": […]}; each url is called with the arguments as body and the trace handed on. Prints
 * "port N" when it listens; ends when its standard input does. */
#include <sonde/sonde.h>

#include <curl/curl.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

enum { BODY_MAX = 65536 };

typedef struct {
    char body[BODY_MAX];
    size_t len;
} request;

typedef struct {
    const char *name;
    size_t n; /* which of its values is wanted */
    const char *found;
} lookup;

static enum MHD_Result each_header(void *user, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    lookup *l = user;
    (void)kind;
    if (strcasecmp(name, l->name) != 0 || l->n-- != 0)
        return MHD_YES;
    l->found = value ? value : "";
    return MHD_NO;
}

static const char *header_nth(void *connection, const char *name, size_t n)
{
    lookup l = { name, n, NULL };
    MHD_get_connection_values(connection, MHD_HEADER_KIND, each_header, &l);
    return l.found;
}

static void add_header(void *user, const char *name, const char *value)
{
    struct curl_slist **list = user;
    char line[4096];
    snprintf(line, sizeof(line), "%s: %s", name, value);
    *list = curl_slist_append(*list, line);
}

static size_t ignore_body(char *bytes, size_t size, size_t n, void *user)
{
    (void)bytes;
    (void)user;
    return size * n;
}

static void call(const char *url, const char *body, size_t len)
{
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    SONDE_SPAN_KIND (SONDE_CLIENT, "call", sonde_kv("url.full", url)) {
        sonde_inject(add_header, &headers);
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 5000L);
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)len);
        curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, body);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore_body);
        CURLcode code = curl_easy_perform(curl);
        if (code != CURLE_OK)
            sonde_span_error("curl", curl_easy_strerror(code));
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
}

/* Behind the JSON value at p: strings and brackets are enough for what a harness sends. */
static const char *skip_value(const char *p)
{
    int depth = 0;
    for (bool text = false; *p; p++) {
        if (text && *p == '\\' && p[1])
            p++;
        else if (*p == '"')
            text = !text;
        else if (!text && (*p == '[' || *p == '{'))
            depth++;
        else if (!text && (*p == ']' || *p == '}') && --depth <= 0)
            return p + 1;
    }
    return p;
}

static const char *member(const char *object, const char *end, const char *name)
{
    const char *at = strstr(object, name);
    if (!at || at >= end)
        return NULL;
    at += strlen(name);
    return at + strspn(at, " \t\r\n:");
}

static void call_all(const char *array)
{
    for (const char *p = strchr(array, '{'); p; p = strchr(p, '{')) {
        const char *end = skip_value(p);
        const char *url = member(p, end, "\"url\""), *arguments = member(p, end, "\"arguments\"");
        if (url && *url == '"' && arguments) {
            char text[1024];
            snprintf(text, sizeof(text), "%.*s", (int)strcspn(url + 1, "\""), url + 1);
            call(text, arguments, (size_t)(skip_value(arguments) - arguments));
        }
        p = end;
    }
}

static enum MHD_Result answer(struct MHD_Connection *connection)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(2, (void *)(uintptr_t) "{}", MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, "Content-Type", "application/json");
    enum MHD_Result result = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
    request *r = *state;
    (void)user;
    (void)url;
    (void)method;
    (void)version;
    if (!r) {
        *state = calloc(1, sizeof(*r));
        return *state ? MHD_YES : MHD_NO;
    }
    if (*upload_size) {
        size_t n = *upload_size < BODY_MAX - 1 - r->len ? *upload_size : BODY_MAX - 1 - r->len;
        memcpy(r->body + r->len, upload, n);
        r->len += n;
        *upload_size = 0;
        return MHD_YES;
    }
    sonde_context from = sonde_extract_all(header_nth, connection);
    SONDE_WITH (from) {
        SONDE_SPAN_KIND (SONDE_SERVER, "POST /test") {
            call_all(r->body);
        }
    }
    return answer(connection);
}

static void completed(void *user, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode code)
{
    (void)user;
    (void)connection;
    (void)code;
    free(*state);
}

int main(void)
{
    char end[64];
    curl_global_init(CURL_GLOBAL_ALL);
    if (sonde_start(&(sonde_options){ .service = "trace-context" }) != 0)
        return 1;
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, handle,
        NULL, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        daemon ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (!info)
        return 1;
    printf("port %u\n", info->port);
    fflush(stdout);
    while (read(0, end, sizeof(end)) > 0)
        ;
    MHD_stop_daemon(daemon);
    sonde_stop();
    return 0;
}
