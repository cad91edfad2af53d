// SPDX-License-Identifier: Apache-2.0
/* The redaction rules of this process: key patterns for writers, value rules for what goes around
 * the recorder (error envelopes, /debug/config). The recorder's header carries both to readers. */
#ifndef SONDE_LIB_REDACT_H
#define SONDE_LIB_REDACT_H

#include "codec/redact.h"

/* Takes the lists as redact_rules_init does, and says on stderr what cannot be used. By
 * sonde_start, under its lock; calls in other threads meanwhile see the old or the new rules. */
void redact_configure(str values, str keys);
/* (S) The current rules: all of them before redact_configure. Valid for ever. */
const redact_rules *redact_current(void);

#endif
