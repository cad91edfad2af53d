// SPDX-License-Identifier: Apache-2.0

// Differences that are none of ours. Each row says why, and holds for no more than that.
package main

import (
	"cmp"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

type difference struct {
	expr      parser.Expr
	text      string
	when      moment
	what      string
	want, got *answer
	run       *run
}

type explanation struct {
	name, why string
	holds     func(d *difference) bool
}

var explanations = []explanation{
	{"monotonicity-count",
		"an annotation that is merged with itself doubles its number of samples in Prometheus",
		func(d *difference) bool {
			return d.what == "infos" && d.run.compare.differTexts("", without(samplesOver, d.want.infos),
				without(samplesOver, d.got.infos)) == ""
		}},
	{"histogram-stats",
		"under histogram_count, _sum and _avg Prometheus does not decode buckets: it sees neither " +
			"different bounds nor a bucket of a gauge that fell, but restarts that no chunk notes, and those conflict",
		func(d *difference) bool {
			if !uses(d.expr, isStats) {
				return false
			}
			if d.what == "infos" || d.what == "warnings" {
				return d.run.compare.differTexts("", without(ofBuckets, d.want.infos), without(ofBuckets, d.got.infos)) == "" &&
					d.run.compare.differTexts("", without(ofBuckets, d.want.warnings), without(ofBuckets, d.got.warnings)) == ""
			}
			return slices.ContainsFunc(d.want.warnings, func(text string) bool {
				return strings.Contains(text, "this native histogram metric is not a counter") ||
					strings.Contains(text, "conflicting counter resets")
			})
		}},
	{"digits-as-labels",
		"count_values and histogram_quantiles make labels of numbers, whose last digit depends on the order of " +
			"sums and on the library of mathematics",
		func(d *difference) bool {
			return (uses(d.expr, isAggregation(parser.COUNT_VALUES)) || uses(d.expr, isCall("histogram_quantiles"))) &&
				d.run.compare.sameButDigits(d.want, d.got)
		}},
	{"at-in-parameter",
		"in a range query Prometheus does not hold the time of @ in a parameter of an aggregation",
		func(d *difference) bool { return d.when.step != 0 && uses(d.expr, atInParameter) }},
	{"many-annotations",
		"of more than 50 different warnings and infos the server keeps 50",
		func(d *difference) bool {
			return (d.what == "warnings" || d.what == "infos") && len(d.want.warnings)+len(d.want.infos) > 50
		}},
	{"cancellation",
		"sums that cancel keep the rounding of their parts: the answers differ by less than 1e-14 of the " +
			"greatest number that occurs within",
		func(d *difference) bool { return strings.HasPrefix(d.what, "value of") && d.cancels() }},
	{"restart-by-rounding",
		"in a counter of computed values a fall in the last digit is a restart, or a change",
		func(d *difference) bool {
			return strings.HasPrefix(d.what, "value of") && uses(d.expr, isCounterOfComputed)
		}},
	{"digits-sampled",
		"limit_ratio takes series by their labels, also by those that count_values makes of numbers",
		func(d *difference) bool {
			return uses(d.expr, func(n parser.Node) bool {
				a, ok := n.(*parser.AggregateExpr)
				return ok && a.Op == parser.LIMIT_RATIO && uses(a.Expr, isAggregation(parser.COUNT_VALUES))
			})
		}},
	{"order-open",
		"which of several series limitk, topk and bottomk take, or which of several equal ones, is open: " +
			"these have the same values, or as many where limitk is of what is no selector",
		func(d *difference) bool {
			if !uses(d.expr, isAggregation(parser.LIMITK, parser.TOPK, parser.BOTTOMK)) {
				return false
			}
			if d.run.compare.differ(d.want.withoutLabels(), d.got.withoutLabels()) == "" {
				return true
			}
			if uses(d.expr, isLimitOfMore) && d.want.sameCounts(d.got) {
				return true
			}
			return false
		}},
	{"not-repeatable",
		"Prometheus's own answers differ from one evaluation to the next: results of operators have no order, and " +
			"sums of histograms and what is taken of several equal ones depend on it",
		func(d *difference) bool {
			for n := 0; n < 30; n++ {
				again, err := d.run.theirs.ask(d.text, d.when)
				if err == nil && d.run.compare.differ(d.want, again) != "" {
					return true
				}
			}
			return false
		}},
}

// Of Debian's prometheus, 2.42.
var oldExplanations = []explanation{
	{"atan2-name", "atan2 kept the metric's name", func(d *difference) bool {
		return uses(d.expr, func(n parser.Node) bool {
			b, ok := n.(*parser.BinaryExpr)
			return ok && b.Op == parser.ATAN2
		})
	}},
	{"count-values", "count_values lost labels of its grouping, and its labels are sums that were not compensated",
		func(d *difference) bool { return uses(d.expr, isAggregation(parser.COUNT_VALUES)) }},
	{"extrapolation", "rates looked for the counter's zero before the half interval past a gap, not after it",
		func(d *difference) bool {
			return strings.HasPrefix(d.what, "value of") && uses(d.expr, isCall("rate", "increase"))
		}},
	{"at-beside-scalar", "a window with @ beside a scalar that changes was another one at each step of a range",
		func(d *difference) bool {
			return d.when.step != 0 && uses(d.expr, isCall("predict_linear", "quantile_over_time"))
		}},
	{"deviation-of-infinity", "the deviation or the slope of infinities or of one of them was not NaN or +Inf but 0 or NaN",
		func(d *difference) bool {
			return (uses(d.expr, isCall("stddev_over_time", "stdvar_over_time", "predict_linear", "deriv")) ||
				uses(d.expr, isAggregation(parser.STDDEV, parser.STDVAR))) &&
				(d.got.hasUnordinary() || uses(d.expr, isAggregation(parser.COUNT_VALUES)))
		}},
}

var (
	samplesOver = regexp.MustCompile(`over \d+ samples`)
	ofBuckets   = regexp.MustCompile(`.*(mismatched custom buckets were reconciled|conflicting counter resets).*`)
)

func explain(d *difference) string {
	table := explanations
	if d.run.old {
		table = append(oldExplanations, table...)
	}
	for _, e := range table {
		if e.holds(d) {
			return e.name
		}
	}
	return ""
}

// uses says whether a node for which is true stands anywhere in the expression.
func uses(expr parser.Expr, is func(parser.Node) bool) bool {
	found := false
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if n != nil && is(n) {
			found = true
		}
		return nil
	})
	return found
}

func isStats(n parser.Node) bool {
	return isCall("histogram_count", "histogram_sum", "histogram_avg")(n)
}

func isCall(of ...string) func(parser.Node) bool {
	return func(n parser.Node) bool {
		call, ok := n.(*parser.Call)
		return ok && slices.Contains(of, call.Func.Name)
	}
}

func isAggregation(of ...parser.ItemType) func(parser.Node) bool {
	return func(n parser.Node) bool {
		a, ok := n.(*parser.AggregateExpr)
		return ok && slices.Contains(of, a.Op)
	}
}

// without takes out what matches, and texts that were nothing else.
func without(what *regexp.Regexp, texts []string) (left []string) {
	for _, text := range texts {
		if text = what.ReplaceAllString(text, ""); text != "" {
			left = append(left, text)
		}
	}
	return left
}

// sameButDigits: the same counts, when labels that differ in their last digits are one.
func (c tolerance) sameButDigits(want, got *answer) bool {
	return want.err == got.err && c.differ(want.withRoundLabels(), got.withRoundLabels()) == ""
}

func (a *answer) withRoundLabels() *answer {
	counts := map[string]map[float64]float64{}
	for _, r := range a.rows {
		labels := numeral.ReplaceAllStringFunc(r.labels, func(text string) string {
			v, _ := strconv.ParseFloat(text, 64)
			return strconv.FormatFloat(v, 'g', 9, 64)
		})
		if counts[labels] == nil {
			counts[labels] = map[float64]float64{}
		}
		for _, c := range r.cells {
			counts[labels][c.t] += c.f
		}
	}
	b := &answer{kind: a.kind, warnings: a.warnings, infos: without(samplesOver, a.infos)}
	for labels, values := range counts {
		r := row{labels: labels}
		for t, f := range values {
			r.cells = append(r.cells, cell{t: t, f: f})
		}
		b.rows = append(b.rows, r)
	}
	b.finish()
	return b
}

// atInParameter: a parameter of an aggregation that selects with @.
func atInParameter(n parser.Node) bool {
	a, ok := n.(*parser.AggregateExpr)
	return ok && a.Param != nil && uses(a.Param, func(n parser.Node) bool {
		switch of := n.(type) {
		case *parser.VectorSelector:
			return of.Timestamp != nil || of.StartOrEnd != 0
		case *parser.SubqueryExpr:
			return of.Timestamp != nil || of.StartOrEnd != 0
		}
		return false
	})
}

// withoutLabels gives the values of each time in their order, as one row.
func (a *answer) withoutLabels() *answer {
	all := row{}
	for _, r := range a.rows {
		all.cells = append(all.cells, r.cells...)
	}
	slices.SortFunc(all.cells, func(x, y cell) int { return cmp.Or(cmp.Compare(x.t, y.t), cmp.Compare(x.f, y.f)) })
	return &answer{kind: a.kind, err: a.err, rows: []row{all}, warnings: a.warnings, infos: a.infos}
}

// cancels looks for the greatest number among the answers to all parts of the expression.
func (d *difference) cancels() bool {
	greatest, most := 0.0, 0.0
	parser.Inspect(d.expr, func(n parser.Node, _ []parser.Node) error {
		part, ok := n.(parser.Expr)
		if !ok || part.Type() != parser.ValueTypeVector && part.Type() != parser.ValueTypeScalar {
			return nil
		}
		if a, err := d.run.theirs.ask(part.String(), d.when); err == nil {
			a.each(func(c cell) {
				if size := math.Abs(c.f); size < 1e18 || d.run.old && !math.IsInf(size, 0) {
					greatest = math.Max(greatest, size)
				}
			})
		}
		return nil
	})
	if len(d.want.rows) != len(d.got.rows) {
		return false
	}
	for i, r := range d.want.rows {
		other := d.got.rows[i]
		if r.labels != other.labels || len(r.cells) != len(other.cells) {
			return false
		}
		for k, c := range r.cells {
			if !d.run.compare.same(c.f, other.cells[k].f) {
				most = math.Max(most, math.Abs(c.f-other.cells[k].f))
			}
		}
	}
	if d.run.old { // its slopes have no compensated sums
		greatest *= 100
	}
	return most <= 1e-14*greatest
}

func (a *answer) each(see func(cell)) {
	for _, r := range a.rows {
		for _, c := range r.cells {
			see(c)
		}
	}
}

func (a *answer) hasUnordinary() bool {
	found := false
	a.each(func(c cell) { found = found || math.IsNaN(c.f) || math.IsInf(c.f, 0) })
	return found
}

// isCounterOfComputed: rate and its like of a subquery over more than a selector.
func isCounterOfComputed(n parser.Node) bool {
	call, ok := n.(*parser.Call)
	if !ok || !isCall("rate", "increase", "irate", "resets", "changes")(n) {
		return false
	}
	window, ok := call.Args[0].(*parser.SubqueryExpr)
	if !ok {
		return false
	}
	_, plain := window.Expr.(*parser.VectorSelector)
	return !plain
}

// isLimitOfMore: limitk of something whose series have no order of their own.
func isLimitOfMore(n parser.Node) bool {
	a, ok := n.(*parser.AggregateExpr)
	return ok && a.Op == parser.LIMITK && uses(a.Expr, func(n parser.Node) bool {
		switch n.(type) {
		case *parser.AggregateExpr, *parser.BinaryExpr, *parser.Call:
			return true
		}
		return false
	})
}

// sameCounts: as many values at each time.
func (a *answer) sameCounts(b *answer) bool {
	counts := map[float64]int{}
	a.each(func(c cell) { counts[c.t]++ })
	b.each(func(c cell) { counts[c.t]-- })
	for _, n := range counts {
		if n != 0 {
			return false
		}
	}
	return true
}
