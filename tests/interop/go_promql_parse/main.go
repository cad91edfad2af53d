// SPDX-License-Identifier: Apache-2.0

// Reads lines that are JSON strings, each a PromQL expression; answers a line of JSON for each:
// Prometheus's error, or the expression printed on one line and prettily.
package main

import (
	"bufio"
	"encoding/json"
	"os"

	"github.com/prometheus/prometheus/promql/parser"
)

type answer struct {
	Error  string `json:"error,omitempty"`
	Text   string `json:"text,omitempty"`
	Pretty string `json:"pretty,omitempty"`
}

func main() {
	p := parser.NewParser(parser.Options{
		EnableExperimentalFunctions: true,
		EnableBinopFillModifiers:    true,
	})
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<24)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for in.Scan() {
		var text string
		if err := json.Unmarshal(in.Bytes(), &text); err != nil {
			panic(err)
		}
		var a answer
		if expr, err := p.ParseExpr(text); err != nil {
			a.Error = err.Error()
		} else {
			a.Text, a.Pretty = expr.String(), parser.Prettify(expr)
		}
		if err := encoder.Encode(a); err != nil {
			panic(err)
		}
	}
}
