// SPDX-License-Identifier: Apache-2.0
/* What sonde_start and sonde_stop do for the HTTP side; see sonde/http.h. */
#ifndef SONDE_LIB_HTTP_H
#define SONDE_LIB_HTTP_H

#include "sonde/http.h"
#include "sonde/start.h"

/* Makes the metrics. old_names: http.method and http.status_code on spans, too. */
void http_configure(const sonde_http_options *options, bool old_names);

/* An error envelope was made on this thread: the current request's answer is an error. False when
 * that was said before for the same request. True without a request. */
bool http_note_error(void);

/* Waits until nobody reads metrics out of the recorder, which is about to close. */
void http_release(void);
/* In the child of a fork. */
void http_forked(void);

#endif
