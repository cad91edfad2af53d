// SPDX-License-Identifier: Apache-2.0
/* The option tables of the shared settings; see settings.h. Names, meaning and defaults are the
 * Collector's (confighttp, configgrpc, configtls, configauth, configretry, exporterhelper); what it
 * has and this server has no use for is named here with the reason, so that files are accepted. */
#include "settings/settings.h"

#define IGNORED(name_, why_) \
    { \
        .name = (name_), .type = OPTION_IGNORED, .help = (why_) \
    }

#define PLAIN_ROW(name_, type_, offset_, help_) \
    { \
        .name = (name_), .type = (type_), .offset = (offset_), .help = (help_) \
    }
#define TEXT_ROW(name_, offset_, help_)   PLAIN_ROW(name_, OPTION_TEXT, offset_, help_)
#define SECRET_ROW(name_, offset_, help_) PLAIN_ROW(name_, OPTION_SECRET, offset_, help_)

static const char *const tls_versions[] = { "1.2", "1.3", NULL };

#define WHY_SYSTEM   "OpenSSL's own defaults are used"
#define WHY_BUFFERS  "buffers are sized by the server itself"
#define WHY_METADATA "request headers are not carried along with items"
#define WHY_MIDDLE   "no extension stands in the path of requests; auth and limits are options"
#define WHY_LIMITS   "the server's own limits hold (docs/cli.md)"

/* ---- listening ---- */

#define AT(member) offsetof(tls_server_settings, member)
static const option tls_server_rows[] = {
    TEXT_ROW("cert_file", AT(cert_file),
             "certificate chain, PEM; read again when the file changes"),
    TEXT_ROW("key_file", AT(key_file), "private key of cert_file, PEM"),
    TEXT_ROW("cert_pem", AT(cert_pem), "certificate chain as text, instead of cert_file"),
    SECRET_ROW("key_pem", AT(key_pem), "private key as text, instead of key_file"),
    TEXT_ROW("client_ca_file", AT(client_ca_file),
             "authorities, PEM: clients must show a certificate that one of them signed"),
    { .name = "min_version",
      .type = OPTION_TEXT,
      .offset = AT(min_version),
      .fallback = "1.2",
      .choices = tls_versions,
      .help = "oldest version of TLS that is accepted" },
    IGNORED("max_version", "the newest version that both sides have is used"),
    IGNORED("cipher_suites", WHY_SYSTEM),
    IGNORED("curve_preferences", WHY_SYSTEM),
    IGNORED("ca_file", "a listener asks clients for certificates by client_ca_file"),
    IGNORED("ca_pem", "a listener asks clients for certificates by client_ca_file"),
    IGNORED("include_system_ca_certs_pool", "only client_ca_file says whom a listener trusts"),
    IGNORED("reload_interval", "files are read again when they change"),
    IGNORED("client_ca_file_reload", "files are read again when they change"),
};
#undef AT
const option_table tls_server_options = OPTION_TABLE(tls_server_rows, tls_server_settings);

#define AT(member) offsetof(cors_settings, member)
static const option cors_rows[] = {
    { .name = "allowed_origins",
      .type = OPTION_TEXTS,
      .offset = AT(allowed_origins),
      .help = "origins of web pages that may send; \"*\" in one stands for any text" },
    { .name = "allowed_headers",
      .type = OPTION_TEXTS,
      .offset = AT(allowed_headers),
      .help = "request headers that those pages may set beside the simple ones; \"*\": any" },
    { .name = "max_age",
      .type = OPTION_INT,
      .offset = AT(max_age),
      .min = 0,
      .max = 864000,
      .help = "seconds that a browser may remember the answer; 0: it decides" },
    IGNORED("exposed_headers", "answers have no headers that a page would need"),
};
#undef AT
const option_table cors_options = OPTION_TABLE(cors_rows, cors_settings);

static const option auth_rows[] = {
    { .name = "authenticator",
      .type = OPTION_TEXT,
      .offset = offsetof(auth_settings, authenticator),
      .required = true,
      .help = "id of an extension that service.extensions names" },
    IGNORED("request_params", "extensions look at headers only"),
};
const option_table auth_options = OPTION_TABLE(auth_rows, auth_settings);

#define AT(member) offsetof(server_settings, member)
static const option server_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .offset = AT(endpoint),
      .address = true,
      .help = "address to listen on: HOST:PORT; components may share one" },
    { .name = "tls",
      .type = OPTION_SECTION,
      .offset = AT(tls),
      .table = &tls_server_options,
      .present = OPTION_PRESENT(server_settings, has_tls),
      .help = "encrypts connections; absent: plain text" },
    { .name = "cors",
      .type = OPTION_SECTION,
      .offset = AT(cors),
      .table = &cors_options,
      .present = OPTION_PRESENT(server_settings, has_cors),
      .help = "lets web pages of other origins send; absent: none" },
    { .name = "auth",
      .type = OPTION_SECTION,
      .offset = AT(auth),
      .table = &auth_options,
      .present = OPTION_PRESENT(server_settings, has_auth),
      .help = "who may send; absent: everyone who reaches the address" },
    { .name = "max_request_body_size",
      .type = OPTION_INT,
      .offset = AT(max_request_body_size),
      .min = 0,
      .max = (double)GiB(1),
      .help = "bytes of a request, before and after decompression; 0: 64 MiB" },
    { .name = "max_recv_msg_size_mib",
      .type = OPTION_INT,
      .offset = AT(max_recv_msg_size_mib),
      .min = 0,
      .max = 1024,
      .help = "MiB of a gRPC message; 0: 64" },
    { .name = "rate_limit",
      .type = OPTION_NUMBER,
      .offset = AT(rate_limit),
      .min = 0,
      .max = 1e9,
      .help = "requests a second of one client address, beyond which it is told to wait; "
              "0: no limit (not an option of the Collector)" },
    { .name = "path_prefix",
      .type = OPTION_TEXT,
      .offset = AT(path_prefix),
      .help = "stands before all paths: \"/zipkin\" (not an option of the Collector)" },
    IGNORED("transport", "addresses are TCP"),
    IGNORED("include_metadata", WHY_METADATA),
    IGNORED("response_headers", "answers carry the protocol's own headers"),
    IGNORED("compression_algorithms", "gzip, deflate, zstd and snappy are always understood"),
    IGNORED("read_timeout", WHY_LIMITS),
    IGNORED("read_header_timeout", WHY_LIMITS),
    IGNORED("write_timeout", WHY_LIMITS),
    IGNORED("idle_timeout", WHY_LIMITS),
    IGNORED("keep_alives_enabled", "connections are kept until they are idle for 75 s"),
    IGNORED("keepalive", WHY_LIMITS),
    IGNORED("max_concurrent_streams", WHY_LIMITS),
    IGNORED("read_buffer_size", WHY_BUFFERS),
    IGNORED("write_buffer_size", WHY_BUFFERS),
    IGNORED("middlewares", WHY_MIDDLE),
};
#undef AT
const option_table server_options = OPTION_TABLE(server_rows, server_settings);

/* ---- connecting ---- */

#define AT(member) offsetof(tls_client_settings, member)
static const option tls_client_rows[] = {
    { .name = "insecure",
      .type = OPTION_BOOL,
      .offset = AT(insecure),
      .fallback = "false",
      .help = "gRPC without TLS; for HTTP the URL's scheme says it" },
    { .name = "insecure_skip_verify",
      .type = OPTION_BOOL,
      .offset = AT(insecure_skip_verify),
      .fallback = "false",
      .help = "TLS with whoever answers: the certificate is not checked" },
    TEXT_ROW("ca_file", AT(ca_file), "authorities that are trusted, PEM; empty: the system's"),
    { .name = "ca_pem", .type = OPTION_TEXT, .offset = AT(ca_pem), .help = "the same as text" },
    TEXT_ROW("cert_file", AT(cert_file), "certificate to show, PEM"),
    TEXT_ROW("key_file", AT(key_file), "private key of cert_file, PEM"),
    TEXT_ROW("cert_pem", AT(cert_pem), "certificate as text"),
    SECRET_ROW("key_pem", AT(key_pem), "private key as text"),
    TEXT_ROW("server_name_override", AT(server_name_override),
             "name that the server's certificate must have, instead of the endpoint's"),
    { .name = "min_version",
      .type = OPTION_TEXT,
      .offset = AT(min_version),
      .fallback = "1.2",
      .choices = tls_versions,
      .help = "oldest version of TLS that is accepted" },
    IGNORED("max_version", "the newest version that both sides have is used"),
    IGNORED("cipher_suites", WHY_SYSTEM),
    IGNORED("curve_preferences", WHY_SYSTEM),
    IGNORED("include_system_ca_certs_pool", "without ca_file the system's are used"),
    IGNORED("reload_interval", "files are read for each new connection"),
};
#undef AT
const option_table tls_client_options = OPTION_TABLE(tls_client_rows, tls_client_settings);

static const char *const compressions[] = { "default", "none",    "gzip", "zstd",
                                            "snappy",  "deflate", NULL };

#define AT(member) offsetof(client_settings, member)
static const option client_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .offset = AT(endpoint),
      .help = "where to send: a URL; for gRPC also HOST:PORT" },
    { .name = "tls",
      .type = OPTION_SECTION,
      .offset = AT(tls),
      .table = &tls_client_options,
      .help = "how the far side is trusted, and how this one shows who it is" },
    { .name = "auth",
      .type = OPTION_SECTION,
      .offset = AT(auth),
      .table = &auth_options,
      .present = OPTION_PRESENT(client_settings, has_auth),
      .help = "an extension that adds credentials to requests" },
    { .name = "headers",
      .type = OPTION_PAIRS,
      .offset = AT(headers),
      .help = "added to each request; their values are treated as secrets" },
    { .name = "timeout",
      .type = OPTION_DURATION,
      .offset = AT(timeout),
      .fallback = "30s",
      .min = 0,
      .max = 3600,
      .help = "of one request; 0: no limit" },
    { .name = "compression",
      .type = OPTION_CHOICE,
      .offset = AT(compression),
      .fallback = "default",
      .choices = compressions,
      .help = "of requests; default: what the exporter's protocol has by custom" },
    { .name = "proxy_url",
      .type = OPTION_TEXT,
      .offset = AT(proxy_url),
      .help = "HTTP proxy to go through; empty: as the environment says" },
    IGNORED("compression_params", "each compression has one level, which is fast"),
    IGNORED("read_buffer_size", WHY_BUFFERS),
    IGNORED("write_buffer_size", WHY_BUFFERS),
    IGNORED("max_idle_conns", "an exporter keeps one connection"),
    IGNORED("max_idle_conns_per_host", "an exporter keeps one connection"),
    IGNORED("max_conns_per_host", "an exporter keeps one connection"),
    IGNORED("idle_conn_timeout", "a connection that the far side closed is opened again"),
    IGNORED("disable_keep_alives", "an exporter keeps one connection"),
    IGNORED("http2_read_idle_timeout", "a request that stalls ends by timeout"),
    IGNORED("http2_ping_timeout", "a request that stalls ends by timeout"),
    IGNORED("force_attempt_http2", "HTTP/2 is used where TLS offers it"),
    IGNORED("cookies", "no protocol here needs them"),
    IGNORED("keepalive", "a request that stalls ends by timeout"),
    IGNORED("wait_for_ready", "a request that finds no connection is tried again"),
    IGNORED("balancer_name", "an exporter keeps one connection"),
    IGNORED("authority", "the endpoint's host is sent; tls.server_name_override for TLS"),
    IGNORED("middlewares", WHY_MIDDLE),
};
#undef AT
const option_table client_options = OPTION_TABLE(client_rows, client_settings);

#define AT(member) offsetof(retry_settings, member)
static const option retry_rows[] = {
    { .name = "enabled",
      .type = OPTION_BOOL,
      .offset = AT(enabled),
      .fallback = "true",
      .help = "false: what could not be sent at once is dropped and counted" },
    { .name = "initial_interval",
      .type = OPTION_DURATION,
      .offset = AT(initial_interval),
      .fallback = "5s",
      .min = 0.001,
      .max = 86400,
      .help = "pause before the second try" },
    { .name = "max_interval",
      .type = OPTION_DURATION,
      .offset = AT(max_interval),
      .fallback = "30s",
      .min = 0.001,
      .max = 86400,
      .help = "longest pause" },
    { .name = "max_elapsed_time",
      .type = OPTION_DURATION,
      .offset = AT(max_elapsed_time),
      .fallback = "0s",
      .min = 0,
      .max = 31536000,
      .help = "after so long a batch is dropped and counted; 0: never, it waits in the intake log "
              "(the Collector's default is 5m, because its queue is in memory)" },
    { .name = "multiplier",
      .type = OPTION_NUMBER,
      .offset = AT(multiplier),
      .fallback = "1.5",
      .min = 1,
      .max = 100,
      .help = "each pause is so many times the one before" },
    { .name = "randomization_factor",
      .type = OPTION_NUMBER,
      .offset = AT(randomization_factor),
      .fallback = "0.5",
      .min = 0,
      .max = 1,
      .help = "a pause is longer or shorter at random by up to this part of it" },
};
#undef AT
const option_table retry_options = OPTION_TABLE(retry_rows, retry_settings);

/* The rows of the `batch` processor and of sending_queue.batch differ in their names only. */
#define BATCH_ROW(name_, type_, member_, fallback_, max_, help_) \
    { \
        .name = (name_), .type = (type_), .offset = offsetof(batch_settings, member_), \
        .fallback = (fallback_), .min = 0, .max = (max_), .help = (help_) \
    }
#define HELP_TIMEOUT "an item waits so long at most for others to be sent with"
#define HELP_SIZE    "a request goes out when so many items are there"
#define HELP_MAX     "items in one request at most; 0: no limit"

static const option batch_rows[] = {
    BATCH_ROW("timeout", OPTION_DURATION, timeout, "200ms", 3600, HELP_TIMEOUT),
    BATCH_ROW("send_batch_size", OPTION_INT, send_batch_size, "8192", 10e6, HELP_SIZE),
    BATCH_ROW("send_batch_max_size", OPTION_INT, send_batch_max_size, "0", 10e6, HELP_MAX),
    IGNORED("metadata_keys", WHY_METADATA),
    IGNORED("metadata_cardinality_limit", WHY_METADATA),
};
const option_table batch_options = OPTION_TABLE(batch_rows, batch_settings);

static const option queue_batch_rows[] = {
    BATCH_ROW("flush_timeout", OPTION_DURATION, timeout, "200ms", 3600, HELP_TIMEOUT),
    BATCH_ROW("min_size", OPTION_INT, send_batch_size, "8192", 10e6, HELP_SIZE),
    BATCH_ROW("max_size", OPTION_INT, send_batch_max_size, "0", 10e6, HELP_MAX),
    IGNORED("sizer", "sizes are numbers of items"),
};
static const option_table queue_batch_options = OPTION_TABLE(queue_batch_rows, batch_settings);

#define WHY_LOG "every exporter reads the intake log, which is the queue, on disk"
static const option queue_rows[] = {
    { .name = "batch",
      .type = OPTION_SECTION,
      .offset = offsetof(exporter_settings, batch),
      .table = &queue_batch_options,
      .present = OPTION_PRESENT(exporter_settings, has_batch),
      .help = "how items are gathered into requests; absent: as the pipeline's batch processor "
              "says" },
    IGNORED("enabled", WHY_LOG),
    IGNORED("num_consumers", "an exporter sends one request at a time, in order"),
    IGNORED("queue_size", WHY_LOG),
    IGNORED("storage", WHY_LOG),
    IGNORED("sizer", WHY_LOG),
    IGNORED("block_on_overflow", "at the log's limit the senders are told to wait"),
    IGNORED("blocking", "at the log's limit the senders are told to wait"),
    IGNORED("wait_for_result", "a sender is answered when its items are durable"),
};
/* Of exporter_settings itself: sending_queue has no structure of its own. */
static const option_table queue_options = OPTION_TABLE(queue_rows, exporter_settings);

static const option exporter_rows[] = {
    { .name = "retry_on_failure",
      .type = OPTION_SECTION,
      .offset = offsetof(exporter_settings, retry),
      .table = &retry_options,
      .help = "when the far side is away or says \"later\"" },
    { .name = "sending_queue",
      .type = OPTION_SECTION,
      .offset = 0,
      .table = &queue_options,
      .help = "how what waits for this exporter is gathered" },
};
const option_table exporter_options = OPTION_TABLE(exporter_rows, exporter_settings);
