// SPDX-License-Identifier: Apache-2.0

// The engine evaluates an operation on what the server answers to its parts, so that a difference of the
// operation itself is told from what it makes of last digits.
package main

import (
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

// feed is one part in the place of which the server's answers stand.
type feed struct {
	of     *feeding
	text   string
	known  map[int64]promql.Vector
	bad    bool // the two do not agree on it, or it has histograms, which come without their layout
	digits bool // they agree, but not to the last digit
}

// feeding is what stands in one expression.
type feeding struct {
	theirs, ours source
	compare      tolerance
	all          []*feed
	ids          []int64
}

func newFeeding(theirs, ours source, compare tolerance) *feeding {
	compare.texts = false
	return &feeding{theirs: theirs, ours: ours, compare: compare}
}

func (b *feeding) close() {
	for _, id := range b.ids {
		feeds.Delete(id)
	}
}

func (b *feeding) bad() bool {
	return slices.ContainsFunc(b.all, func(f *feed) bool { return f.bad })
}

// replace gives what stands for a part; one in a subquery is asked for when its times are known.
func (b *feeding) replace(part parser.Expr, inWindow bool, when moment) parser.Expr {
	switch bare(part).(type) {
	case *parser.VectorSelector, *parser.MatrixSelector, *parser.NumberLiteral, *parser.StringLiteral, nil:
		return part
	}
	f := &feed{of: b, text: part.String(), known: map[int64]promql.Vector{}}
	if !inWindow {
		f.learn(when)
	}
	name, kind := fedVector, parser.ValueTypeVector
	if part.Type() == parser.ValueTypeScalar {
		name, kind = fedScalar, parser.ValueTypeScalar
	}
	id := lastFeed.Add(1)
	feeds.Store(id, f)
	b.all, b.ids = append(b.all, f), append(b.ids, id)
	return &parser.Call{
		Func: &parser.Function{Name: name, ArgTypes: []parser.ValueType{parser.ValueTypeScalar}, ReturnType: kind},
		Args: parser.Expressions{&parser.NumberLiteral{Val: float64(id)}}, PosRange: part.PositionRange(),
	}
}

var (
	feeds    sync.Map
	lastFeed atomic.Int64
)

const (
	fedVector = "answers_of_the_server"
	fedScalar = "answer_of_the_server"
)

func init() {
	for _, name := range []string{fedVector, fedScalar} {
		promql.FunctionCalls[name] = func(_ []promql.Vector, _ promql.Matrix, args parser.Expressions,
			enh *promql.EvalNodeHelper) (promql.Vector, annotations.Annotations) {
			f, _ := feeds.Load(int64(args[0].(*parser.NumberLiteral).Val))
			return append(enh.Out, f.(*feed).at(enh.Ts)...), nil
		}
		promql.AtModifierUnsafeFunctions[name] = struct{}{}
	}
}

// learn asks both for the part. The order of the series is the engine's.
func (f *feed) learn(when moment) {
	theirs, err := f.of.theirs.ask(f.text, when)
	if err != nil || theirs.err != "" {
		f.bad = true
		return
	}
	ours, err := f.of.ours.ask(f.text, when)
	if err != nil || f.of.compare.differ(theirs, ours) != "" {
		f.bad = true
		return
	}
	f.digits = f.digits || tolerance{}.differ(theirs, ours) != ""
	for t := when.start; t <= max(when.end, when.start); t += max(when.step, 1) {
		f.known[t] = nil
		if when.step == 0 {
			break
		}
	}
	for _, name := range theirs.order {
		at := slices.IndexFunc(ours.rows, func(r row) bool { return r.labels == name })
		for _, c := range ours.rows[at].cells {
			f.bad = f.bad || c.h != nil
			t := int64(math.Round(c.t * 1000))
			f.known[t] = append(f.known[t], promql.Sample{Metric: ours.rows[at].set, T: t, F: c.f})
		}
	}
}

func (f *feed) at(t int64) promql.Vector {
	if _, known := f.known[t]; !known {
		f.learn(moment{start: t})
	}
	return f.known[t]
}

// followsFromDigits: the parts of the outermost operation agree but for last digits, and with the server's
// digits the engine gives the server's answer.
func (d *difference) followsFromDigits() bool {
	if d.run.old || strings.HasPrefix(d.what, "only") || d.got.err != "" {
		return false
	}
	bench := newFeeding(d.run.engine, d.run.ours, d.run.compare)
	defer bench.close()
	answer, err := d.run.engine.askChanged(d.text, d.when, func(expr parser.Expr) {
		replaceParts(bare(expr), func(part parser.Expr, inWindow bool) parser.Expr {
			return bench.replace(part, inWindow, d.when)
		})
	})
	return err == nil && bench.compare.differ(answer, d.got) == "" && !bench.bad() &&
		slices.ContainsFunc(bench.all, func(f *feed) bool { return f.digits })
}

func replaceParts(of parser.Expr, replace func(part parser.Expr, inWindow bool) parser.Expr) {
	switch n := of.(type) {
	case *parser.Call:
		for i, part := range n.Args {
			if window, ok := bare(part).(*parser.SubqueryExpr); ok {
				window.Expr = replace(window.Expr, true)
			} else {
				n.Args[i] = replace(part, false)
			}
		}
	case *parser.BinaryExpr:
		n.LHS, n.RHS = replace(n.LHS, false), replace(n.RHS, false)
	case *parser.AggregateExpr:
		n.Expr = replace(n.Expr, false)
		if n.Param != nil {
			n.Param = replace(n.Param, false)
		}
	case *parser.UnaryExpr:
		n.Expr = replace(n.Expr, false)
	}
}
