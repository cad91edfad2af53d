// SPDX-License-Identifier: Apache-2.0
// One box for every id: pasted, Enter, and the trace is open.
import { useState } from "preact/hooks";
import { findTraces, logsQueryFor } from "../lib/find";
import { go, href } from "../lib/url";
import { Icon } from "./parts";

interface Outcome {
  id: string;
  traces: string[];
  error?: string;
}

export function FindBox() {
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  const submit = (e: Event) => {
    e.preventDefault();
    const input = (e.currentTarget as HTMLFormElement).elements.namedItem("id") as HTMLInputElement;
    const id = input.value.trim();
    if (!id) return;
    findTraces(id).then(
      (traces) => {
        if (traces.length !== 1) return setOutcome({ id, traces });
        setOutcome(null);
        input.value = "";
        input.blur();
        go(href(`/trace/${encodeURIComponent(traces[0]!)}`));
      },
      (error: Error) => setOutcome({ id, traces: [], error: error.message }),
    );
  };
  const close = () => setOutcome(null);
  return (
    <form class="find" role="search" onSubmit={submit}>
      <Icon name="search" />
      <input
        id="find"
        name="id"
        autocomplete="off"
        spellcheck={false}
        placeholder="Trace, request or job id"
        aria-label="Find a trace, request or job id"
        onInput={close}
        onKeyDown={(e) => e.key === "Escape" && close()}
      />
      <kbd aria-hidden="true">/</kbd>
      {outcome && (
        <div class="popover" role="status">
          {outcome.error ? (
            <p>{outcome.error}</p>
          ) : outcome.traces.length ? (
            <>
              <p>{outcome.traces.length} traces belong to this id:</p>
              <ul class="plain">
                {outcome.traces.slice(0, 20).map((t) => (
                  <li key={t}>
                    <a class="mono" href={href(`/trace/${t}`)} onClick={close}>
                      {t}
                    </a>
                  </li>
                ))}
              </ul>
            </>
          ) : (
            <p>
              No trace belongs to <code>{outcome.id}</code>.{" "}
              <a href={href("/logs", { query: logsQueryFor(outcome.id) })} onClick={close}>
                Search the logs for it
              </a>
            </p>
          )}
        </div>
      )}
    </form>
  );
}
