/* SPDX-License-Identifier: Apache-2.0 */
/* Redaction: secrets do not leave the program.
 *
 * By key: an attribute whose key names a secret is recorded as "[REDACTED]"; its value is never
 * written, not even into the recorder. Built in: access key, api key, authorization, card number,
 * cookie, credential, credit card, passphrase, passwd, password, private key and secret anywhere in
 * a key; bearer, cvv, jwt, pwd, ssn and token at its end. Letters are compared without case, and
 * what is no letter or digit does not count: "X-Api-Key" is "apikey". More keys:
 * sonde_options.redact_keys, or SONDE_REDACT_KEYS: patterns with commas between them, '*' standing
 * for any characters, compared in the same way with the whole key: "iban,*_pin,acme*". At most 64
 * patterns, 1 KiB in all. The same holds for logs, spans, events, the context and baggage, and the
 * resource's attributes.
 *
 * By value: texts are searched for secrets by whoever reads the recorder (the library's thread,
 * `sonde recover`, a server), before they go anywhere. Only the secret is replaced by "[REDACTED]".
 * sonde_options.redact_values, or SONDE_REDACT_VALUES: "all" (default), "none", or a list of
 *
 *     bearer       the token after Bearer or Basic
 *     jwt          JSON Web Tokens
 *     card         card numbers: 13 to 19 digits of a known network that pass Luhn
 *     url          user:password in URLs
 *     param        ?token=…, password=…, "api_key": "…", Cookie: …
 *     key          sk_live_…, ghp_…, xoxb-…, AKIA… and PEM private keys
 *     prefix:TEXT  tokens that begin with TEXT (3 to 64 bytes; at most 16 of them)
 *
 * A name in a list that is not known is said on stderr, and all rules hold then. */
#ifndef SONDE_REDACT_H
#define SONDE_REDACT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* Whether the value of an attribute with this key is redacted: by what is built in, and the
 * patterns given to sonde_start (before it: what is built in). At most the first 255 letters and
 * digits of the key count. NULL is no secret. Any thread; safe in signal handlers and after fork.
 */
bool sonde_redact_key(const char *key);

/* Copies `len` bytes of `text` into `buffer`, of `size` bytes, with the secrets in them replaced by
 * "[REDACTED]", by the rules given to sonde_start (before it: all). For texts that the program
 * itself sends somewhere. Like snprintf: the result is always terminated when size is not 0, is cut
 * when it does not fit, and its whole length without the terminator is returned; it may be longer
 * than `text`. `buffer` may be NULL when size is 0, and must not overlap `text`; `text` may be NULL
 * and hold any bytes. Any thread; after fork; not for signal handlers. */
size_t sonde_redact_text(const char *text, size_t len, char *buffer, size_t size);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
