// SPDX-License-Identifier: Apache-2.0

// Reads pages by Prometheus's own parsers: each on standard input as "t" or "o", its length, a line end
// and its bytes; prints the samples as exposition_dump.c does.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

func dump(out *bufio.Writer, openmetrics bool, page []byte) {
	var p textparse.Parser
	st := labels.NewSymbolTable()
	if openmetrics {
		p = textparse.NewOpenMetricsParser(page, st)
	} else {
		p = textparse.NewPromParser(page, st, false)
	}
	lines := []string{}
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fmt.Fprintf(out, "refused %q\n", err.Error())
			return
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, ts, v := p.Series()
		var l labels.Labels
		var e exemplar.Exemplar
		p.Labels(&l)
		if name, twice := l.HasDuplicateLabelNames(); twice {
			fmt.Fprintf(out, "refused %q\n", "twice: "+name)
			return
		}
		line := ""
		l.Range(func(l labels.Label) { line += fmt.Sprintf("%x=%x ", l.Name, l.Value) })
		bits := math.Float64bits(v)
		if math.IsNaN(v) {
			bits = 1
		}
		line += fmt.Sprintf("%x", bits)
		if ts != nil {
			line += fmt.Sprintf(" @%d", *ts)
		}
		if openmetrics && p.Exemplar(&e) {
			line += fmt.Sprintf(" #%x", math.Float64bits(e.Value))
		}
		lines = append(lines, line)
	}
	fmt.Fprintf(out, "%d\n", len(lines))
	for _, line := range lines {
		fmt.Fprintln(out, line)
	}
}

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for {
		var kind string
		var n int
		if _, err := fmt.Fscanf(in, "%s %d\n", &kind, &n); err != nil {
			return
		}
		page := make([]byte, n)
		if _, err := io.ReadFull(in, page); err != nil {
			return
		}
		dump(out, kind == "o", page)
	}
}
