// SPDX-License-Identifier: Apache-2.0
/* Which propagators are on (OTEL_PROPAGATORS); see sonde/propagate.h. */
#ifndef SONDE_LIB_PROPAGATE_H
#define SONDE_LIB_PROPAGATE_H

#include "sonde/propagate.h"

/* Called by sonde_start; both are on before. */
void propagate_configure(bool tracecontext, bool baggage);

#endif
