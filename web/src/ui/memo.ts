// SPDX-License-Identifier: Apache-2.0
// A component that draws again only when one of its properties is another value: rows of long
// lists, which would otherwise all be drawn for every step of scrolling.
import { Component, type ComponentChild, type ComponentType } from "preact";

export function memo<P extends object>(draw: (props: P) => ComponentChild): ComponentType<P> {
  return class extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      const before = this.props as P;
      return (Object.keys({ ...next, ...before }) as (keyof P)[]).some(
        (key) => key !== ("children" as keyof P) && next[key] !== before[key],
      );
    }
    override render(props: P): ComponentChild {
      return draw(props);
    }
  };
}
