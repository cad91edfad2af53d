// SPDX-License-Identifier: Apache-2.0
// One request per key: a new key aborts the old request, and the old data stays until the new is
// there, so that a refresh does not blink.
import { useEffect, useRef, useState } from "preact/hooks";

export interface QueryState<T> {
  data: T | undefined;
  error: Error | undefined;
  loading: boolean;
}

export function useQuery<T>(
  key: string | null,
  run: (abort: AbortSignal) => Promise<T>,
): QueryState<T> {
  const [state, setState] = useState<QueryState<T>>({
    data: undefined,
    error: undefined,
    loading: key !== null,
  });
  const latest = useRef(run);
  latest.current = run;
  useEffect(() => {
    if (key === null) {
      setState({ data: undefined, error: undefined, loading: false });
      return;
    }
    const abort = new AbortController();
    setState((s) => ({ ...s, loading: true }));
    latest.current(abort.signal).then(
      (data) => {
        if (!abort.signal.aborted) setState({ data, error: undefined, loading: false });
      },
      (error: Error) => {
        if (!abort.signal.aborted) setState({ data: undefined, error, loading: false });
      },
    );
    return () => abort.abort();
  }, [key]);
  return state;
}
