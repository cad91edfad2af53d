// SPDX-License-Identifier: Apache-2.0

// Random valid expressions. An expression is a tree of texts with places for parts, so that a
// difference can be made smaller by putting parts in the place of what they are part of.
package main

import (
	"fmt"
	"math/rand"
	"strings"
)

// kinds: 'v' instant vector, 's' scalar, 'm' range vector.
type node struct {
	kind byte
	text string // each ¤ is a part
	kids []*node
}

func (n *node) String() string {
	var b strings.Builder
	n.write(&b)
	return b.String()
}

func (n *node) write(b *strings.Builder) {
	pieces := strings.Split(n.text, "¤")
	for i, piece := range pieces {
		b.WriteString(piece)
		if i < len(n.kids) {
			n.kids[i].write(b)
		}
	}
}

func (n *node) size() int {
	size := 1
	for _, kid := range n.kids {
		size += kid.size()
	}
	return size
}

type generator struct {
	rand   *rand.Rand
	old    bool
	nested bool // in a subquery
}

func (g *generator) one(of ...string) string { return of[g.rand.Intn(len(of))] }

func (g *generator) often(percent int) bool { return g.rand.Intn(100) < percent }

func leaf(kind byte, text string) *node { return &node{kind: kind, text: text} }

func call(kind byte, name string, kids ...*node) *node {
	places := make([]string, len(kids))
	for i := range places {
		places[i] = "¤"
	}
	return &node{kind, name + "(" + strings.Join(places, ", ") + ")", kids}
}

// ---- selectors ----

var metricsOld = strings.Fields(`reqs_total reqs_total reqs_total temp temp load small small lat_bucket lat_count
	lat_sum lone lone_total`)
var metricsNew = strings.Fields(`reqs_total reqs_total reqs_total temp temp load load small small lat_bucket lat_count
	lat_sum nat nat natgauge cust mix lone lone_total`)

// Matchers that each find something, by the label that a metric must have for it.
var matchersOf = map[string][]string{
	"job":      {`job="a"`, `job!="a"`, `job=~"a|b"`, `job!~"b.*"`, `job=~".*"`, `job!="b"`, `job="c"`},
	"instance": {`instance="0"`, `instance=~"[12]"`, `instance!~"(0|1)"`, `instance!="2"`, `instance=~"0|1"`},
	"code":     {`code!=""`, `code=~"4..|5.."`, `code="200"`, `code!="200"`},
	"zone":     {`zone=~"z.+"`, `zone!="z1"`},
	"le":       {`le="1"`, `le=~"0.1|\\+Inf"`, `le!="10"`},
	"empty":    {`empty="x"`},
}
var labelsOf = map[string][]string{
	"reqs_total": {"job", "instance", "code"}, "temp": {"job", "instance", "zone"}, "load": {"job", "instance"},
	"small": {"job", "instance"}, "lat_bucket": {"job", "le"}, "lat_count": {"job"}, "lat_sum": {"job"},
	"nat": {"job", "instance"}, "natgauge": {"job", "instance"}, "cust": {"job", "instance"},
	"mix": {"job", "instance"}, "lone_total": {"empty"},
}

func (g *generator) matcher(metric string) string {
	own := labelsOf[metric]
	if len(own) == 0 || g.often(7) {
		return g.one(`nosuch=""`, `zone=""`, `code=""`, `nosuch!="x"`, `nosuch="x"`, `job=~".*"`)
	}
	return g.one(matchersOf[g.one(own...)]...)
}

func (g *generator) selector() string {
	if !g.old && g.often(3) {
		return g.one(`{"näme.dotted"}`, `{"näme.dotted", "läbel.x"="ü"}`, `{"reqs_total", job="a"}`)
	}
	if g.often(4) {
		return g.one(`{__name__=~"temp|load"}`, `{__name__=~"lat_.*", job="a"}`, `{__name__="small", job!="c"}`,
			`{__name__=~"lone.*"}`, `{__name__!~"n.*|cust|mix|lat.*", job="b", instance="1"}`)
	}
	if g.often(1) {
		return "absent_metric"
	}
	metrics := metricsNew
	if g.old {
		metrics = metricsOld
	}
	text := g.one(metrics...)
	matchers := []string{}
	for metric := text; g.often(25); {
		matchers = append(matchers, g.matcher(metric))
	}
	if len(matchers) > 0 {
		text += "{" + strings.Join(matchers, ", ") + "}"
	}
	return text
}

func (g *generator) span() string {
	if !g.old && g.often(6) {
		return g.one("2m * 2", "step() + 1m", "max_of(step(), 2m)", "min_of(range() + 1m, 5m)", "90s ^ 1", "(1m + 30s) * 2",
			"600 / 4", "7m % 4m", "-(-3m)")
	}
	return g.one("15s", "30s", "1m", "2m", "2m", "3m", "3m", "5m", "5m", "5m", "5m", "7m30s", "10m", "10m", "17m", "30m",
		"1h")
}

func (g *generator) shift() string {
	text := ""
	if g.often(12) {
		if !g.old && g.often(15) {
			text += " offset " + g.one("(1m * 2)", "step()", "-(30s + 30s)", "(step() * 2 - 1m)",
				"(range() / 10)")
		} else {
			text += " offset " + g.one("30s", "1m", "5m", "7m", "-1m", "-5m", "-30s", "10m", "20m")
		}
	}
	if g.often(10) {
		at := (baseMs + marginMs + g.rand.Int63n(spanMs-marginMs)) / 1000
		if g.often(50) {
			at = at / 15 * 15
		}
		time := fmt.Sprint(at)
		if g.old { // not where subqueries have their steps
			time += ".5"
		}
		text += " @ " + g.one("start()", "end()", time, time)
	}
	return text
}

func (g *generator) matrix(depth int) *node {
	// The steps of a subquery in a subquery lie on the edges of its windows, which an old Prometheus closes.
	if depth > 0 && g.often(25) && !(g.old && g.nested) {
		before := g.nested
		g.nested = true
		defer func() { g.nested = before }()
		step := g.one("", "15s", "30s", "1m", "1m", "2m", "77s")
		if !g.old && g.often(6) {
			step = g.one("step() + 10s", "30s * 2", "max_of(step(), 20s)")
		}
		return &node{'m', "¤[" + g.span() + ":" + step + "]" + g.shift(), []*node{g.vector(depth - 1)}}
	}
	return leaf('m', g.selector()+"["+g.span()+"]"+g.shift())
}

// ---- scalars ----

func (g *generator) number() string {
	return g.one("0", "1", "2", "3", "0.5", "-1", "10", "100", "1e3", "0x1F", "NaN", "Inf", "-Inf", "0.9", "5m", "-0.25",
		"1_000", "7")
}

func (g *generator) scalar(depth int) *node {
	if depth <= 0 || g.often(60) {
		switch g.rand.Intn(12) {
		case 0:
			return leaf('s', "time()")
		case 1:
			return leaf('s', "pi()")
		case 2:
			if !g.old {
				return leaf('s', g.one("start()", "end()", "step()", "range()"))
			}
		}
		number := g.number()
		if g.old {
			number = g.one("0", "1", "2", "3", "0.5", "-1", "10", "NaN", "Inf")
		}
		return leaf('s', number)
	}
	switch g.rand.Intn(7) {
	case 0, 1, 2:
		return call('s', "scalar", g.vector(depth-1))
	case 3:
		return &node{'s', "-¤", []*node{g.scalar(depth - 1)}}
	case 4:
		if !g.old {
			return call('s', g.one("min_of", "max_of"), g.scalar(depth-1), g.scalar(depth-1))
		}
	}
	op := g.one("+", "-", "*", "/", "%", "^", "atan2", "== bool", "< bool", ">= bool", "!= bool")
	return &node{'s', "(¤ " + op + " ¤)", []*node{g.scalar(depth - 1), g.scalar(depth - 1)}}
}

// ---- vectors ----

var windowed = strings.Fields(`rate rate rate increase increase delta irate idelta deriv avg_over_time min_over_time
	max_over_time sum_over_time count_over_time stddev_over_time stdvar_over_time last_over_time present_over_time
	absent_over_time changes resets`)
var windowedNew = strings.Fields(`first_over_time mad_over_time ts_of_first_over_time ts_of_last_over_time
	ts_of_max_over_time ts_of_min_over_time integral`)
var mathematical = strings.Fields(`abs acos acosh asin asinh atan atanh ceil cos cosh deg exp floor ln log10 log2 rad sgn
	sin sinh sqrt tan tanh round timestamp timestamp absent`)
var dates = strings.Fields(`days_in_month day_of_month day_of_week day_of_year hour minute month year`)
var ofHistograms = strings.Fields(`histogram_avg histogram_count histogram_sum histogram_stddev histogram_stdvar`)

func (g *generator) window(depth int) *node {
	if !g.old && g.often(12) {
		mode := g.one("anchored", "smoothed")
		name := g.one("rate", "increase", "delta")
		if mode == "anchored" {
			name = g.one("rate", "increase", "delta", "changes", "resets")
		}
		return call('v', name, leaf('m', g.selector()+"["+g.span()+"] "+mode+g.shift()))
	}
	switch g.rand.Intn(14) {
	case 0:
		return call('v', "quantile_over_time", g.scalar(depth-1), g.matrix(depth))
	case 1:
		return call('v', "predict_linear", g.matrix(depth), g.scalar(depth-1))
	case 2:
		if !g.old {
			return call('v', "double_exponential_smoothing", g.matrix(depth), leaf('s', g.one("0.1", "0.5", "0.9")),
				leaf('s', g.one("0.1", "0.5", "0.9")))
		}
	case 3, 4:
		if !g.old {
			return call('v', g.one(windowedNew...), g.matrix(depth))
		}
	}
	return call('v', g.one(windowed...), g.matrix(depth))
}

func (g *generator) labelFunction(depth int) *node {
	kid := g.vector(depth - 1)
	text := g.one(`label_replace(¤, "new", "x-$1", "job", "(.*)")`, `label_replace(¤, "job", "$1", "instance", "([01])")`,
		`label_replace(¤, "job", "", "job", ".*")`, `label_replace(¤, "__name__", "n_$2", "code", "(.)(.*)")`,
		`label_replace(¤, "new", "${who}", "job", "(?P<who>a|b)")`, `label_replace(¤, "instance", "$1$1", "nosuch", "")`,
		`label_join(¤, "new", "-", "job", "instance")`, `label_join(¤, "code", "", "code", "nosuch")`,
		`label_join(¤, "job", ",", "instance", "job", "code")`, `label_join(¤, "instance", ";")`)
	return &node{'v', text, []*node{kid}}
}

// buckets are what histogram_quantile and its like take.
func (g *generator) buckets(depth int) *node {
	switch {
	case g.old || g.often(45):
		inner := "rate(lat_bucket[" + g.one("1m", "5m", "10m") + "])"
		return leaf('v', g.one("lat_bucket", inner, "sum by (le) ("+inner+")", "sum by (job, le) ("+inner+")",
			"sum without (instance) ("+inner+")", `lat_bucket{job="a"}`, "increase(lat_bucket[5m] offset 3m)"))
	case g.often(75):
		name := g.one("nat", "cust", "natgauge", "mix")
		return leaf('v', g.one(name, "rate("+name+"[5m])", "sum(rate("+name+"[5m]))", "sum by (job) ("+name+")",
			"avg(increase("+name+"[10m]))", "sum_over_time("+name+"[5m])", "avg without (instance) (rate("+name+"[3m]))",
			"last_over_time("+name+"[10m])", "-"+name, "("+name+" * 2)", "("+name+" - "+name+" offset 2m)",
			`{__name__=~"nat|cust", job="a"}`, `{__name__=~"lat_bucket|nat", job="a"}`))
	}
	return g.vector(depth - 1)
}

func (g *generator) ofHistogram(depth int) *node {
	kid := g.buckets(depth)
	switch n := g.rand.Intn(8); {
	case n < 4 || g.old:
		return call('v', "histogram_quantile", g.scalar(depth-2), kid)
	case n == 4:
		return call('v', "histogram_fraction", g.scalar(depth-2), g.scalar(depth-2), kid)
	case n == 5:
		return &node{'v', `histogram_quantiles(¤, "q", 0.5, ¤)`, []*node{kid, g.scalar(depth - 2)}}
	}
	return call('v', g.one(ofHistograms...), kid)
}

func (g *generator) names() string {
	if g.often(50) {
		return g.one("(job)", "(job, instance)", "(instance)", "(instance, job)", "(job, code)")
	}
	all := []string{"job", "instance", "code", "zone", "le", "nosuch"}
	g.rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return "(" + strings.Join(all[:g.rand.Intn(4)], ", ") + ")"
}

func (g *generator) aggregation(depth int) *node {
	group := ""
	if g.often(75) {
		group = " " + g.one("by", "by", "without") + " " + g.names() + " "
	}
	kid := g.vector(depth - 1)
	switch g.rand.Intn(12) {
	case 0:
		return &node{'v', g.one("topk", "bottomk") + group + "(¤, ¤)", []*node{g.small(depth - 1), kid}}
	case 1:
		if !g.old { // What limitk takes of series that have no order is compared at the root alone.
			return &node{'v', "limitk" + group + "(¤, ¤)", []*node{g.small(depth - 1), g.vector(0)}}
		}
	case 2:
		return &node{'v', "quantile" + group + "(¤, ¤)", []*node{g.scalar(depth - 1), kid}}
	case 3:
		label := g.one("value", "job", "v")
		return &node{'v', "count_values" + group + `("` + label + `", ¤)`, []*node{kid}}
	case 4:
		if !g.old {
			for hasNumbersAsLabels(kid) { // It takes series by their labels, to the last digit.
				kid = g.vector(depth - 1)
			}
			ratio := leaf('s', g.one("0.5", "-0.5", "0.1", "1", "-0.9", "-1", "1.5", "0.33", "0.7", "0.9", "0"))
			if depth > 1 && g.often(10) {
				ratio = g.scalar(depth - 1)
			}
			return &node{'v', "limit_ratio" + group + "(¤, ¤)", []*node{ratio, kid}}
		}
	}
	return &node{'v', g.one("sum", "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar") + group + "(¤)",
		[]*node{kid}}
}

func hasNumbersAsLabels(n *node) bool {
	text := n.String()
	return strings.Contains(text, "count_values") || strings.Contains(text, "histogram_quantiles")
}

// small is a parameter that counts series.
func (g *generator) small(depth int) *node {
	if depth > 0 && g.often(10) {
		return g.scalar(depth)
	}
	return leaf('s', g.one("1", "1", "2", "2", "3", "3", "5", "100", "1.9", "0", "-1"))
}

func (g *generator) operator() (op string, comparison bool) {
	if g.often(35) {
		op = g.one("==", "!=", "<", "<=", ">", ">=")
		if g.often(40) {
			op += " bool"
		}
		return op, true
	}
	if !g.old && g.often(3) {
		return g.one("</", ">/"), false
	}
	return g.one("+", "-", "*", "/", "%", "^", "atan2"), false
}

func (g *generator) fill() string {
	if g.old || g.often(88) {
		return ""
	}
	return g.one(" fill(0)", " fill(1)", " fill_left(2)", " fill_right(-1)", " fill_left(1) fill_right(NaN)",
		" fill_right(Inf) fill_left(3)", " fill(-2.5)")
}

func (g *generator) binary(depth int) *node {
	if g.often(18) {
		op := g.one("and", "or", "unless")
		if g.often(50) {
			op += " " + g.one("on", "ignoring") + g.names()
		}
		return &node{'v', "(¤ " + op + " ¤)", []*node{g.vector(depth - 1), g.vector(depth - 1)}}
	}
	op, _ := g.operator()
	switch g.rand.Intn(11) {
	case 8: // histograms with their bounds cut, or put in relation
		if !g.old && g.often(50) {
			name := g.one("nat", "cust", "natgauge", "mix")
			if g.often(50) {
				return &node{'v', "(¤ " + g.one("</", ">/") + " ¤)",
					[]*node{leaf('v', g.one(name, "rate("+name+"[5m])", "sum by (job) ("+name+")")+g.one("", " * 2")),
						g.scalar(depth - 1)}}
			}
			return leaf('v', "("+name+g.shift()+" "+g.one("+", "-", "+", "-", "==", "!=", "/", "== bool", "*")+" "+
				g.one(name, "nat", "natgauge", "cust", "3")+g.shift()+")")
		}
	case 9, 10: // two metrics of the same targets
		pair := func() *node {
			of := g.one("load", "small", "target_info", "temp", "lat_count", "lat_sum")
			text := of + g.shift()
			if g.often(30) {
				text = g.one("rate", "increase", "avg_over_time", "max_over_time") + "(" + of + "[" + g.span() + "])"
			}
			return leaf('v', text)
		}
		if g.often(50) {
			return &node{'v', "(¤ " + op + " on(job, instance)" + g.fill() + " ¤)", []*node{pair(), pair()}}
		}
		return &node{'v', "(¤ " + op + " ignoring(zone, code, version, env)" + g.fill() + " ¤)", []*node{pair(), pair()}}
	case 0, 1:
		return &node{'v', "(¤ " + op + " ¤)", []*node{g.vector(depth - 1), g.scalar(depth - 1)}}
	case 2:
		return &node{'v', "(¤ " + op + " ¤)", []*node{g.scalar(depth - 1), g.vector(depth - 1)}}
	case 3: // both sides have the same labels
		kid := g.vector(depth - 1)
		other := &node{kid.kind, kid.text, kid.kids}
		if g.often(50) {
			other = &node{'v', g.one("abs(¤)", "-¤", "ceil(¤)", "(¤ > 1)", "sgn(¤)"), []*node{kid}}
		}
		return &node{'v', "(¤ " + op + g.fill() + " ¤)", []*node{kid, other}}
	case 4: // both sides have the same grouping
		names := g.names()
		side := func() *node {
			return &node{'v', g.one("sum", "avg", "max", "count") + " by " + names + " (¤)", []*node{g.vector(depth - 1)}}
		}
		return &node{'v', "(¤ " + op + g.fill() + " ¤)", []*node{side(), side()}}
	case 5: // many to one
		side := g.one("group_left", "group_right")
		if g.often(40) {
			side += g.one("(zone)", "(code)", "(version, env)", "(nosuch)", "()")
		}
		many := g.vector(depth - 1)
		one := leaf('v', g.one("temp", "load", "small", "target_info", "max by (job, instance) (reqs_total)"))
		if strings.HasPrefix(side, "group_right") {
			many, one = one, many
		}
		return &node{'v', "(¤ " + op + " on(job, instance) " + side + g.fill() + " ¤)", []*node{many, one}}
	case 6:
		return &node{'v', "(¤ " + op + " " + g.one("on", "ignoring") + g.names() + g.fill() + " ¤)",
			[]*node{g.vector(depth - 1), g.vector(depth - 1)}}
	}
	return &node{'v', "(¤ " + op + g.fill() + " ¤)", []*node{g.vector(depth - 1), g.vector(depth - 1)}}
}

func (g *generator) other(depth int) *node {
	switch g.rand.Intn(10) {
	case 0:
		if g.often(40) {
			return leaf('v', g.one(dates...)+"()")
		}
		return call('v', g.one(dates...), g.vector(depth-1))
	case 1:
		return call('v', "clamp", g.vector(depth-1), g.scalar(depth-1), g.scalar(depth-1))
	case 2:
		return call('v', g.one("clamp_min", "clamp_max", "round"), g.vector(depth-1), g.scalar(depth-1))
	case 3:
		return call('v', "vector", g.scalar(depth-1))
	case 4:
		return &node{'v', g.one("-¤", "-¤", "+¤"), []*node{g.vector(depth - 1)}}
	case 5:
		if !g.old {
			return &node{'v', g.one("info(¤)", `info(¤, {version=~".+"})`, `info(¤, {env="dev"})`,
				`info(¤, {__name__="target_info", env!=""})`, `info(¤, {version!="v0"})`,
				`info(¤, {__name__=~"target_.*"})`, `info(¤, {env=~"dev|"})`), []*node{g.vector(depth - 1)}}
		}
	case 6:
		if !g.old {
			return &node{'v', g.one("sort_by_label(¤, \"job\")", "sort_by_label_desc(¤, \"instance\", \"job\")"),
				[]*node{g.vector(depth - 1)}}
		}
	case 7:
		return call('v', g.one("sort", "sort_desc"), g.vector(depth-1))
	case 8:
		if !g.old && g.often(10) {
			return &node{'v', g.one("absent(start_timestamp(¤))", "start_timestamp(¤)"), []*node{g.vector(depth - 1)}}
		}
	}
	return call('v', g.one(mathematical...), g.vector(depth-1))
}

func (g *generator) vector(depth int) *node {
	if depth <= 0 {
		return leaf('v', g.selector()+g.shift())
	}
	switch n := g.rand.Intn(100); {
	case n < 10:
		return leaf('v', g.selector()+g.shift())
	case n < 35:
		return g.window(depth)
	case n < 55:
		return g.aggregation(depth)
	case n < 75:
		return g.binary(depth)
	case n < 83:
		return g.ofHistogram(depth)
	case n < 88:
		return g.labelFunction(depth)
	}
	return g.other(depth)
}

func (g *generator) expression(depth int) *node {
	switch {
	case g.often(2) && !g.old:
		kid := g.vector(depth)
		for strings.Contains(kid.String(), "__name__") { // alone, these may have the same labels
			kid = g.vector(depth)
		}
		return &node{'v', "limitk" + g.one("", " by "+g.names(), " without "+g.names()) + "(¤, ¤)",
			[]*node{g.small(depth), kid}}
	case g.often(2): // sorted, where the order can be seen
		if g.old {
			return call('v', g.one("sort", "sort_desc"), g.vector(depth))
		}
		return &node{'v', g.one("sort(¤)", "sort_desc(¤)", `sort_by_label(¤, "job")`, `sort_by_label_desc(¤, "code", "zone")`,
			`sort_by_label(¤, "instance", "job", "nosuch")`), []*node{g.vector(depth)}}
	case g.often(4):
		return g.scalar(depth)
	}
	return g.vector(depth)
}
