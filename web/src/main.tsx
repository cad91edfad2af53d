// SPDX-License-Identifier: Apache-2.0
import { render } from "preact";
import { App } from "./app";
import { followLinks } from "./lib/url";
import "./app.css";

followLinks();
render(<App />, document.getElementById("app")!);
