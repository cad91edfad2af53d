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

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
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

// Where one says that the engine answers as we do when it is changed, that is tried with just this change.
var explanations = []explanation{
	{"monotonicity-count",
		"an annotation that is merged with itself doubles its number of samples in Prometheus; nothing else differs",
		func(d *difference) bool {
			return d.what == "infos" && d.run.compare.differTexts("", multiplied(d.want.infos, d.got.infos), d.got.infos) == ""
		}},
	{"histogram-stats",
		"under histogram_count, _sum, _avg, timestamp and absent Prometheus saves decoding buckets: it sees neither " +
			"different bounds nor a bucket that fell; where it decodes them it answers as we do",
		func(d *difference) bool { return d.holdsWhen(decodesBuckets) }},
	{"unprepared-parameter",
		"Prometheus does not prepare parameters of aggregations as it does all else: in a range query the time of @ " +
			"moves from step to step, and texts point to parentheses instead of what is within; prepared, it answers as we do",
		func(d *difference) bool { return d.holdsWhen(withoutParentheses) || d.holdsParameters() }},
	{"timestamp-offset",
		"of timestamp(x offset o @ t) Prometheus forgets the offset; given timestamp(x @ t-o), it answers as we do",
		func(d *difference) bool { return d.holdsWhen(d.keepsOffset) }},
	{"many-annotations",
		"of more than 50 different warnings and infos the server keeps 50, each of them one of Prometheus's",
		func(d *difference) bool {
			return (d.what == "warnings" || d.what == "infos") && len(d.want.warnings)+len(d.want.infos) > 50 &&
				shownOf(d.got.warnings, d.want.warnings) && shownOf(d.got.infos, d.want.infos)
		}},
	{"digits-in-texts",
		"the same number twice, with another last digit, is two texts: each text of ours is one of Prometheus's with " +
			"its numbers within 1e-9, and the other way round",
		func(d *difference) bool {
			return (d.what == "warnings" || d.what == "infos") &&
				d.run.compare.amongTexts(d.want.warnings, d.got.warnings) && d.run.compare.amongTexts(d.got.warnings, d.want.warnings) &&
				d.run.compare.amongTexts(d.want.infos, d.got.infos) && d.run.compare.amongTexts(d.got.infos, d.want.infos)
		}},
	{"digits",
		"what is given to an operation is the same within 1e-9, its last digits are the library's of mathematics or the " +
			"order's of a sum, and the operation makes them great: given our digits, the engine answers as we do",
		func(d *difference) bool { return d.followsFromDigits() }},
	{"cancellation",
		"sums that cancel keep the rounding of their parts: the answers differ by less than 1e-14 of the " +
			"greatest number that occurs within",
		func(d *difference) bool { return strings.HasPrefix(d.what, "value of") && d.cancels() }},
	{"limitk",
		"which series limitk takes is open where these have no order: ours are as many, each one of those it was given",
		func(d *difference) bool { return d.limits() }},
	{"ties",
		"which of several equal ones topk and bottomk take is open: at each step the values are the same",
		func(d *difference) bool {
			return uses(d.expr, isAggregation(parser.TOPK, parser.BOTTOMK)) &&
				d.run.compare.differ(d.want.withoutLabels(), d.got.withoutLabels()) == ""
		}},
	{"not-repeatable",
		"Prometheus's own answers differ from one evaluation to the next: results of operators have no order, and " +
			"sums of histograms and what is taken of several equal ones depend on it; each value of ours is one of its own",
		func(d *difference) bool { return d.isOneOf() }},
}

// Of Debian's prometheus, 2.42: each holds only where the engine of 3.x, on the same samples, answers as we do.
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
		func(d *difference) bool { return uses(d.expr, isCall("rate", "increase")) }},
	{"plain-sums", "sums were not compensated, and averages were running means: 1e300 - 1e300 + 1 was 0, and other last " +
		"digits decide at a border", func(d *difference) bool {
		return uses(d.expr, isCall("avg_over_time")) || uses(d.expr, isAggregation(parser.AVG, parser.SUM))
	}},
	{"quantile-of-infinity", "the quantile at an infinity was NaN", func(d *difference) bool {
		return uses(d.expr, isCall("quantile_over_time")) || uses(d.expr, isAggregation(parser.QUANTILE))
	}},
	{"at-beside-scalar", "a window with @ beside a scalar that changes was another one at each step of a range",
		func(d *difference) bool {
			return d.when.step != 0 && uses(d.expr, isCall("predict_linear", "quantile_over_time"))
		}},
	{"deviation-of-infinity", "the deviation or the slope of infinities or of one of them was not NaN or +Inf but 0 or NaN",
		func(d *difference) bool {
			return uses(d.expr, isCall("stddev_over_time", "stdvar_over_time", "predict_linear", "deriv")) ||
				uses(d.expr, isAggregation(parser.STDDEV, parser.STDVAR))
		}},
}

var samplesOver = regexp.MustCompile(`over (\d+) samples`)

func explain(d *difference) string {
	if d.run.old {
		if name := d.explainOld(); name != "" {
			return name
		}
	}
	if name := explainAlone(d); name != "" {
		return name
	}
	return d.within()
}

// explainOld names what was other in 2.42: the engine of 3.x answers as we do, or the difference from it is
// explained.
func (d *difference) explainOld() string {
	modern := &run{parser: d.run.parser, engine: d.run.engine, theirs: d.run.engine, ours: d.run.ours, refuse: d.run.refuse,
		compare: d.run.compare}
	want, err := modern.theirs.ask(d.text, d.when)
	if err != nil {
		return ""
	}
	more := ""
	if what := modern.compare.differ(want, d.got); what != "" {
		other := &difference{d.expr, d.text, d.when, what, want, d.got, modern}
		if more = explain(other); more == "" {
			return ""
		}
		more = " and " + more
	}
	for _, e := range oldExplanations {
		if e.name != d.run.refuse && e.holds(d) {
			return e.name + more
		}
	}
	return ""
}

func explainAlone(d *difference) string {
	for _, e := range explanations {
		if e.name != d.run.refuse && e.holds(d) {
			return e.name
		}
	}
	return ""
}

// within finds the smallest parts whose answers differ, at the times that they are evaluated at: when each of
// these is explained, so is the whole.
func (d *difference) within() string {
	differs := map[parser.Expr]*difference{}
	parser.Inspect(d.expr, func(n parser.Node, path []parser.Node) error {
		part, ok := n.(parser.Expr)
		if !ok || len(path) == 0 || part.Type() != parser.ValueTypeVector && part.Type() != parser.ValueTypeScalar {
			return nil
		}
		if other, err := d.run.differs(leaf('v', part.String()), momentWithin(d.when, path), nil); err == nil && other != nil {
			differs[part] = other
			for _, above := range path {
				if above, ok := above.(parser.Expr); ok && differs[above] != nil {
					differs[above] = nil // it is not the smallest
				}
			}
		}
		return nil
	})
	name := ""
	for _, other := range differs {
		if other == nil {
			continue
		}
		found := explainAlone(other)
		if found == "" {
			return ""
		}
		name = max(name, found+", within")
	}
	return name
}

// momentWithin: the times that subqueries above a part evaluate it at.
func momentWithin(when moment, path []parser.Node) moment {
	for _, above := range path {
		sub, ok := above.(*parser.SubqueryExpr)
		if !ok {
			continue
		}
		if sub.Timestamp != nil {
			when.start, when.end = *sub.Timestamp, *sub.Timestamp
		} else if when.step == 0 {
			when.end = when.start
		}
		step := max(sub.Step.Milliseconds(), 0)
		if step == 0 {
			step = 60_000
		}
		offset := sub.OriginalOffset.Milliseconds()
		when.start = (when.start-offset-sub.Range.Milliseconds())/step*step + step
		when.end = max(when.end-offset, when.start)
		when.step = step
	}
	return when
}

// holdsWhen: when expressions are changed so, the engine answers as we do. The change must have been one.
func (d *difference) holdsWhen(change func(parser.Expr) bool) bool {
	if d.run.old {
		plain, err := d.run.engine.ask(d.text, d.when)
		if err != nil || d.run.compare.differ(plain, d.got) == "" { // then it is not for this change
			return false
		}
	}
	changed := false
	other, err := d.run.engine.askChanged(d.text, d.when, func(expr parser.Expr) { changed = change(expr) })
	if err != nil || !changed || d.run.compare.differ(other, d.got) == "" {
		return changed && err == nil
	}
	// The same doubled number of samples, which is not what has been changed.
	return d.run.compare.differTexts("", other.warnings, d.got.warnings) == "" &&
		d.run.compare.differTexts("", multiplied(other.infos, d.got.infos), d.got.infos) == "" &&
		tolerance{relative: d.run.compare.relative}.differ(other, d.got) == ""
}

// Functions of these names are the same ones, but the engine does not know them as those that need no buckets.
const whole = "_of_all_buckets"

var withoutBuckets = []string{"histogram_count", "histogram_sum", "histogram_avg", "absent", "timestamp"}

// same gives its argument back, and is never taken for the same at all steps.
const same = "same_series"

func init() {
	for _, name := range withoutBuckets {
		promql.FunctionCalls[name+whole] = promql.FunctionCalls[name]
	}
	promql.FunctionCalls[same] = func(v []promql.Vector, _ promql.Matrix, _ parser.Expressions,
		enh *promql.EvalNodeHelper) (promql.Vector, annotations.Annotations) {
		return append(enh.Out, v[0]...), nil
	}
	promql.AtModifierUnsafeFunctions[same] = struct{}{}
}

func decodesBuckets(expr parser.Expr) bool {
	return uses(expr, func(n parser.Node) bool {
		call, ok := n.(*parser.Call)
		if !ok || !slices.Contains(withoutBuckets, call.Func.Name) {
			return false
		}
		if _, plain := call.Args[0].(*parser.VectorSelector); plain && call.Func.Name == "timestamp" {
			return false
		}
		function := *call.Func
		function.Name += whole
		call.Func = &function
		return true
	})
}

func (d *difference) keepsOffset(expr parser.Expr) bool {
	return uses(expr, func(n parser.Node) bool {
		if !isCall("timestamp")(n) {
			return false
		}
		of, ok := n.(*parser.Call).Args[0].(*parser.VectorSelector)
		if !ok || of.Timestamp == nil && of.StartOrEnd == 0 || of.OriginalOffset == 0 {
			return false
		}
		at := d.when.start
		switch {
		case of.Timestamp != nil:
			at = *of.Timestamp
		case of.StartOrEnd == parser.END && d.when.step > 0:
			at = d.when.end
		}
		at -= of.OriginalOffset.Milliseconds()
		of.Timestamp, of.StartOrEnd, of.OriginalOffset = &at, 0, 0
		return true
	})
}

// withoutParentheses takes them from around the arguments in parameters, as the engine does elsewhere.
func withoutParentheses(expr parser.Expr) bool {
	return uses(expr, func(n parser.Node) bool {
		a, ok := n.(*parser.AggregateExpr)
		return ok && a.Param != nil && uses(a.Param, func(n parser.Node) bool {
			switch of := n.(type) {
			case *parser.Call:
				for i := range of.Args {
					of.Args[i] = bare(of.Args[i])
				}
				return true
			case *parser.AggregateExpr:
				of.Expr = bare(of.Expr)
				return true
			}
			return false
		})
	})
}

// holdsParameters: where parameters are evaluated on their own, each at its times, the engine answers as we do.
func (d *difference) holdsParameters() bool {
	bench := newFeeding(d.run.engine, d.run.engine, d.run.compare)
	defer bench.close()
	answer, err := d.run.engine.askChanged(d.text, d.when, func(expr parser.Expr) {
		parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
			a, ok := n.(*parser.AggregateExpr)
			if ok && a.Param != nil && a.Param.Type() == parser.ValueTypeScalar {
				if uses(a.Param, selectsAt) {
					a.Param = bench.replace(a.Param, inWindow(path), d.when)
				}
				// The whole is not the same at all steps because what is not the parameter is.
				a.Expr = &parser.Call{
					Func: &parser.Function{Name: same, ArgTypes: []parser.ValueType{parser.ValueTypeVector},
						ReturnType: parser.ValueTypeVector},
					Args: parser.Expressions{a.Expr}, PosRange: a.Expr.PositionRange(),
				}
			}
			return nil
		})
	})
	return err == nil && !bench.bad() && tolerance{relative: d.run.compare.relative}.differ(answer, d.got) == ""
}

func inWindow(path []parser.Node) bool {
	return slices.ContainsFunc(path, func(n parser.Node) bool {
		_, is := n.(*parser.SubqueryExpr)
		return is
	})
}

func selectsAt(n parser.Node) bool {
	switch of := n.(type) {
	case *parser.VectorSelector:
		return of.Timestamp != nil || of.StartOrEnd != 0
	case *parser.SubqueryExpr:
		return of.Timestamp != nil || of.StartOrEnd != 0
	}
	return false
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

func bare(expr parser.Expr) parser.Expr {
	for {
		p, ok := expr.(*parser.ParenExpr)
		if !ok {
			return expr
		}
		expr = p.Expr
	}
}

// amongTexts: each text is one of those but for last digits.
func (c tolerance) amongTexts(texts, of []string) bool {
	return !slices.ContainsFunc(texts, func(text string) bool {
		return !omitted.MatchString(text) && !slices.ContainsFunc(of, func(other string) bool { return c.sameText(text, other) })
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

// multiplied puts numbers of samples into want that are those of got, where want has them many times.
func multiplied(want, got []string) (out []string) {
	left := slices.Clone(got)
	for _, text := range want {
		at := slices.IndexFunc(left, func(other string) bool {
			x, y := samplesOver.FindStringSubmatch(text), samplesOver.FindStringSubmatch(other)
			if x == nil || y == nil || samplesOver.ReplaceAllString(text, "") != samplesOver.ReplaceAllString(other, "") {
				return false
			}
			n, _ := strconv.Atoi(x[1])
			m, _ := strconv.Atoi(y[1])
			return n > m && m > 0
		})
		if at >= 0 {
			text = left[at]
			left = slices.Delete(left, at, at+1)
		}
		out = append(out, text)
	}
	return out
}

// shownOf: each text is one of those, but for the one that says how many more there are.
func shownOf(texts, of []string) bool {
	return !slices.ContainsFunc(texts, func(text string) bool {
		return !omitted.MatchString(text) && !slices.Contains(of, text)
	})
}

// isOneOf: in repeated evaluations the engine gives different answers, and each value of ours is among them.
func (d *difference) isOneOf() bool {
	type place struct {
		labels string
		t      float64
	}
	values, times, repeatable := map[place][]cell{}, map[place]int{}, true
	const evaluations = 40
	for n := 0; n < evaluations; n++ {
		again, err := d.run.theirs.ask(d.text, d.when)
		if err != nil || again.err != "" {
			return false
		}
		if d.run.compare.differ(again, d.got) == "" {
			return true
		}
		if d.run.compare.differ(d.want, again) != "" {
			repeatable = false
		}
		for _, r := range again.rows {
			for _, c := range r.cells {
				values[place{r.labels, c.t}] = append(values[place{r.labels, c.t}], c)
				times[place{r.labels, c.t}]++
			}
		}
	}
	if repeatable || d.what == "warnings" || d.what == "infos" {
		return false
	}
	for _, r := range d.got.rows {
		for _, c := range r.cells {
			at := place{r.labels, c.t}
			if !slices.ContainsFunc(values[at], func(other cell) bool { return d.run.compare.sameCell(other, c) }) {
				return false
			}
			delete(times, at)
		}
	}
	for _, n := range times { // what we do not have is not always there
		if n == evaluations {
			return false
		}
	}
	return true
}

// limits: the whole is limitk, and ours are of what it was given as many as there must be in each group.
func (d *difference) limits() bool {
	a, ok := d.expr.(*parser.AggregateExpr)
	if !ok || a.Op != parser.LIMITK || d.got.err != "" {
		return false
	}
	given, err := d.run.theirs.ask(a.Expr.String(), d.when)
	if err != nil {
		return false
	}
	limit, err := d.run.theirs.ask("vector("+a.Param.String()+")", d.when)
	if err != nil {
		return false
	}
	most := map[float64]float64{}
	limit.each(func(c cell) { most[c.t] = c.f })
	type group struct {
		labels string
		t      float64
	}
	groupOf := func(r row, c cell) group {
		b := labels.NewBuilder(r.set)
		if a.Without {
			b.Del(a.Grouping...).Del(labels.MetricName)
		} else {
			b.Keep(a.Grouping...)
		}
		return group{b.Labels().String(), c.t}
	}
	byLabels, sizes := map[string]row{}, map[group]float64{}
	for _, r := range given.rows {
		byLabels[r.labels] = r
		for _, c := range r.cells {
			sizes[groupOf(r, c)]++
		}
	}
	for at, size := range sizes {
		sizes[at] = math.Min(size, math.Max(math.Trunc(most[at.t]), 0))
	}
	for _, r := range d.got.rows {
		for _, c := range r.cells {
			if !slices.ContainsFunc(byLabels[r.labels].cells, func(other cell) bool {
				return other.t == c.t && d.run.compare.sameCell(other, c)
			}) {
				return false
			}
			sizes[groupOf(r, c)]--
		}
	}
	for _, left := range sizes {
		if left != 0 {
			return false
		}
	}
	return true
}
