// SPDX-License-Identifier: Apache-2.0
// The slowest traces of a whole range out of an API that only gives the newest ones: asks again with
// a higher minimum duration until all that is left fits into one answer.
import { serviceOf, type Trace, type TraceSearch } from "./jaeger";

const MAX_ROUNDS = 8;

export interface Slowest {
  traces: Trace[];
  /**
   * Every trace with a matching span of at least this many microseconds is there; 0: every trace.
   */
  leastUs: number;
  /** Even so there were more than the limit. */
  cut: boolean;
}

/** The longest span that the search could have found the trace by. */
function longestSpan(trace: Trace, search: TraceSearch): number {
  let longest = 0;
  for (const span of trace.spans) {
    if (search.service && serviceOf(trace, span) !== search.service) continue;
    if (search.operation && span.operationName !== search.operation) continue;
    longest = Math.max(longest, span.duration);
  }
  return longest;
}

export async function findSlowest(
  search: TraceSearch,
  run: (search: TraceSearch) => Promise<Trace[]>,
): Promise<Slowest> {
  const newest = await run(search);
  let page = newest;
  let leastUs = 0;
  for (let round = 0; round < MAX_ROUNDS && page.length >= search.limit; round++) {
    const durations = page.map((t) => longestSpan(t, search)).sort((a, b) => b - a);
    // A quarter of the newest is a fair guess at what fits, and close to it after few rounds.
    const next = durations.find((d, i) => i >= Math.floor(search.limit / 4) && d > leastUs);
    const raised = next ?? durations[0]!;
    if (raised <= leastUs) break;
    leastUs = raised;
    page = await run({ ...search, minDuration: `${Math.floor(leastUs)}us` });
  }
  const byId = new Map([...newest, ...page].map((t) => [t.traceID, t]));
  return { traces: [...byId.values()], leastUs, cut: page.length >= search.limit };
}
