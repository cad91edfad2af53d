// SPDX-License-Identifier: Apache-2.0
/* TLS of outgoing connections; see client_tls.h. */
#include "net/client_tls.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

const char *client_tls_reason(char *text, size_t size)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(code);
    if (code && reason)
        str_copy_c(text, size, str_c(reason));
    else if (code)
        ERR_error_string_n(code, text, size);
    else
        str_copy_c(text, size, STR("no reason given"));
    ERR_clear_error();
    return text;
}

static status fail_tls(error *err, const char *what, const char *path)
{
    char reason[160];
    client_tls_reason(reason, sizeof(reason));
    return fail(err, STATUS_INVALID, "tls: %s%s%s%s: %s", what, path ? " \"" : "", path ? path : "",
                path ? "\"" : "", reason);
}

/* ---- from memory ---- */

static BIO *pem_bio(const char *pem)
{
    size_t n = strlen(pem);
    return n > INT_MAX ? NULL : BIO_new_mem_buf(pem, (int)n);
}

static bool add_ca_pem(SSL_CTX *context, const char *pem)
{
    BIO *in = pem_bio(pem);
    unsigned found = 0;
    X509 *one;
    while (in && (one = PEM_read_bio_X509(in, NULL, NULL, NULL))) {
        found += X509_STORE_add_cert(SSL_CTX_get_cert_store(context), one) == 1;
        X509_free(one);
    }
    BIO_free(in);
    return found > 0;
}

/* The client's certificate, and those that lead from it to its authority. */
static bool use_cert_pem(SSL_CTX *context, const char *pem)
{
    BIO *in = pem_bio(pem);
    X509 *one = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    bool good = one && SSL_CTX_use_certificate(context, one) == 1;
    X509_free(one);
    while (good && (one = PEM_read_bio_X509(in, NULL, NULL, NULL))) {
        good = SSL_CTX_add0_chain_cert(context, one) == 1;
        if (!good)
            X509_free(one);
    }
    BIO_free(in);
    return good;
}

static bool use_key_pem(SSL_CTX *context, const char *pem)
{
    BIO *in = pem_bio(pem);
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, NULL) : NULL;
    bool good = key && SSL_CTX_use_PrivateKey(context, key) == 1;
    EVP_PKEY_free(key);
    BIO_free(in);
    return good;
}

/* ---- the context ---- */

static status set_version(SSL_CTX *context, const char *version, error *err)
{
    static const struct {
        const char *name;
        int version;
    } versions[] = { { "1.0", TLS1_VERSION },
                     { "1.1", TLS1_1_VERSION },
                     { "1.2", TLS1_2_VERSION },
                     { "1.3", TLS1_3_VERSION } };
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        if (str_is(str_c(version && *version ? version : "1.2"), versions[i].name)) {
            SSL_CTX_set_min_proto_version(context, versions[i].version);
            return STATUS_OK;
        }
    }
    return fail(err, STATUS_INVALID, "tls: min_version \"%s\" is none of 1.0, 1.1, 1.2 and 1.3",
                version);
}

static status set_trusted(SSL_CTX *context, const tls_client *t, bool system, error *err)
{
    if (t->ca_file && SSL_CTX_load_verify_file(context, t->ca_file) != 1)
        return fail_tls(err, "no certificate authority can be read from", t->ca_file);
    if (t->ca_pem && !add_ca_pem(context, t->ca_pem))
        return fail_tls(err, "ca_pem has no certificate", NULL);
    if (!t->ca_file && !t->ca_pem && system)
        SSL_CTX_set_default_verify_paths(context);
    SSL_CTX_set_verify(context, t->skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    return STATUS_OK;
}

static status set_own(SSL_CTX *context, const tls_client *t, error *err)
{
    bool cert = t->cert_file || t->cert_pem, key = t->key_file || t->key_pem;
    if (cert != key)
        return fail(err, STATUS_INVALID,
                    "tls: a client's certificate needs its key, and a key its "
                    "certificate; only the %s was given",
                    cert ? "certificate" : "key");
    if (t->cert_file && SSL_CTX_use_certificate_chain_file(context, t->cert_file) != 1)
        return fail_tls(err, "no certificate can be read from", t->cert_file);
    if (!t->cert_file && t->cert_pem && !use_cert_pem(context, t->cert_pem))
        return fail_tls(err, "cert_pem has no certificate", NULL);
    if (t->key_file && SSL_CTX_use_PrivateKey_file(context, t->key_file, SSL_FILETYPE_PEM) != 1)
        return fail_tls(err, "no key for the certificate can be read from", t->key_file);
    if (!t->key_file && t->key_pem && !use_key_pem(context, t->key_pem))
        return fail_tls(err, "key_pem has no key for the certificate", NULL);
    return STATUS_OK;
}

static status make_context(SSL_CTX **ret, const tls_client *t, bool system, error *err)
{
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context)
        return fail(err, STATUS_NO_MEMORY, "no memory for TLS");
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    status st = set_version(context, t->min_version, err);
    if (st == STATUS_OK)
        st = set_trusted(context, t, system, err);
    if (st == STATUS_OK)
        st = set_own(context, t, err);
    if (st != STATUS_OK) {
        SSL_CTX_free(context);
        return st;
    }
    *ret = context;
    return STATUS_OK;
}

status client_tls_context(SSL_CTX **ret, const tls_client *t, error *err)
{
    return make_context(ret, t, true, err);
}

status client_tls_check(const tls_client *t, error *err)
{
    SSL_CTX *context = NULL;
    status st = make_context(&context, t, false, err);
    SSL_CTX_free(context);
    return st;
}

/* ---- a connection ---- */

/* A name is sent and checked as a name, an address only checked, as RFC 6066 wants. */
static bool set_name(SSL *ssl, const char *name)
{
    uint8_t address[16];
    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

status client_tls_new(SSL **ret, SSL_CTX *context, const tls_client *t, const char *host, int fd,
                      str alpn, error *err)
{
    const char *name = t->server_name ? t->server_name : host;
    SSL *ssl = SSL_new(context);
    bool good = ssl && SSL_set_fd(ssl, fd) == 1 && set_name(ssl, name);
    if (good && alpn.len)
        good = SSL_set_alpn_protos(ssl, (const uint8_t *)alpn.ptr, (unsigned)alpn.len) == 0;
    if (!good) {
        SSL_free(ssl);
        return fail_tls(err, "this name cannot be asked for", name);
    }
    SSL_set_connect_state(ssl);
    *ret = ssl;
    return STATUS_OK;
}
