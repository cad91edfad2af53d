// SPDX-License-Identifier: Apache-2.0
/* Settings that several components share, with the Collector's names (confighttp, configgrpc,
 * configtls, configretry, exporterhelper); a component's own structure holds them and its table
 * names them by OPTION_INLINE or OPTION_SECTION. */
#ifndef SONDE_SETTINGS_SETTINGS_H
#define SONDE_SETTINGS_SETTINGS_H

#include "settings/option.h"

/* ---- listening ---- */

typedef struct {
    str cert_file, key_file, cert_pem, key_pem;
    str client_ca_file; /* clients must show a certificate that it signed */
    str min_version;    /* "1.2" (default), "1.3" */
} tls_server_settings;
extern const option_table tls_server_options;

typedef struct {
    text_list allowed_origins; /* "*", or with one in it: any text */
    text_list allowed_headers;
    int64_t max_age; /* seconds */
} cors_settings;
extern const option_table cors_options;

typedef struct {
    str authenticator; /* id of an extension of service.extensions */
} auth_settings;
extern const option_table auth_options;

/* One listening address. Components that name the same endpoint share a listener; their TLS must be
 * the same then. */
typedef struct {
    str endpoint;
    bool has_tls, has_cors, has_auth;
    tls_server_settings tls;
    cors_settings cors;
    auth_settings auth;
    int64_t max_request_body_size; /* bytes; 0: 64 MiB */
    int64_t max_recv_msg_size_mib; /* gRPC's name for it; 0: 64 */
    double rate_limit;             /* requests a second of one client address; 0: none */
    str path_prefix;               /* before all paths: "/zipkin"; "" */
} server_settings;
/* HTTP and gRPC; `endpoint` has no default here: the component's own row says it. */
extern const option_table server_options;

/* ---- connecting ---- */

typedef struct {
    bool insecure; /* no TLS (gRPC; for HTTP the URL's scheme says it) */
    bool insecure_skip_verify;
    str ca_file, cert_file, key_file, ca_pem, cert_pem, key_pem;
    str server_name_override;
    str min_version;
} tls_client_settings;
extern const option_table tls_client_options;

typedef enum {
    COMPRESSION_DEFAULT,
    COMPRESSION_NONE,
    COMPRESSION_GZIP,
    COMPRESSION_ZSTD,
    COMPRESSION_SNAPPY,
    COMPRESSION_DEFLATE
} compression;

typedef struct {
    str endpoint; /* URL for HTTP; HOST:PORT or URL for gRPC */
    tls_client_settings tls;
    bool has_auth;
    auth_settings auth;
    pair_list headers;
    int64_t timeout; /* of one request, ns */
    int compression; /* choice; index as in `compression` */
    str proxy_url;
} client_settings;
extern const option_table client_options;

/* exporterhelper's: when the far side is away or says "later". */
typedef struct {
    bool enabled;
    int64_t initial_interval, max_interval; /* ns */
    int64_t max_elapsed_time; /* ns; then the batch is dropped and counted; 0 (default): never */
    double multiplier, randomization_factor;
} retry_settings;
extern const option_table retry_options; /* for a section named retry_on_failure */

/* What the `batch` processor, or sending_queue.batch, asks of an exporter's reader. */
typedef struct {
    int64_t timeout;             /* ns that items wait for others at most */
    int64_t send_batch_size;     /* items at which a request goes out */
    int64_t send_batch_max_size; /* 0: none */
} batch_settings;
extern const option_table batch_options;

/* All that every exporter has beside its own options: retry_on_failure, sending_queue. */
typedef struct {
    retry_settings retry;
    bool has_batch;
    batch_settings batch; /* sending_queue.batch */
} exporter_settings;
/* A row of OPTION_INLINE in an exporter's own table: by it the exporter's reader of the log finds
 * them. */
extern const option_table exporter_options;

#endif
