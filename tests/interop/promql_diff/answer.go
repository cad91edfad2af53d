// SPDX-License-Identifier: Apache-2.0

// Answers to one query, from Prometheus's engine or from a server, in one form; and how two differ.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	jsoniter "github.com/json-iterator/go"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/jsonutil"
)

// moment is when an expression is evaluated: at start, or from start to end when there is a step; ms.
type moment struct {
	start, end, step int64
}

func (m moment) String() string {
	if m.step == 0 {
		return fmt.Sprintf("at %.3f", float64(m.start)/1000)
	}
	return fmt.Sprintf("from %.3f to %.3f every %g s", float64(m.start)/1000, float64(m.end)/1000, float64(m.step)/1000)
}

type bucket struct {
	code          int
	lower, higher float64
	count         float64
}

type native struct {
	count, sum float64
	buckets    []bucket
}

type cell struct {
	t float64
	f float64
	h *native
}

type row struct {
	labels string
	cells  []cell
	set    labels.Labels
}

type answer struct {
	err      string
	kind     string
	rows     []row // sorted by labels
	order    []string
	warnings []string
	infos    []string
}

func (a *answer) points() int {
	n := 0
	for _, r := range a.rows {
		n += len(r.cells)
	}
	return n
}

// ---- from Prometheus's engine ----

type source interface {
	ask(expr string, when moment) (*answer, error)
}

type engine struct {
	storage storage.Queryable
	parser  parser.Parser
	delayed bool
	whole   *promql.Engine
	once    sync.Once
}

func (e *engine) ask(expr string, when moment) (*answer, error) {
	e.once.Do(func() { e.whole = e.make(e.parser) })
	return e.askOf(e.whole, expr, when)
}

func (e *engine) make(p parser.Parser) *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		MaxSamples: 50_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute,
		NoStepSubqueryIntervalFn: func(int64) int64 { return 60_000 },
		EnableAtModifier:         true, EnableNegativeOffset: true,
		EnableDelayedNameRemoval: e.delayed, Parser: p,
	})
}

// changing is a parser whose expressions are changed before they are evaluated.
type changing struct {
	parser.Parser
	change func(parser.Expr)
}

func (c changing) ParseExpr(text string) (parser.Expr, error) {
	expr, err := c.Parser.ParseExpr(text)
	if err == nil {
		c.change(expr)
	}
	return expr, err
}

func (e *engine) askChanged(expr string, when moment, change func(parser.Expr)) (*answer, error) {
	return e.askOf(e.make(changing{e.parser, change}), expr, when)
}

func (e *engine) askOf(of *promql.Engine, expr string, when moment) (*answer, error) {
	var q promql.Query
	var err error
	ctx := context.Background()
	if when.step == 0 {
		q, err = of.NewInstantQuery(ctx, e.storage, nil, expr, time.UnixMilli(when.start))
	} else {
		q, err = of.NewRangeQuery(ctx, e.storage, nil, expr, time.UnixMilli(when.start), time.UnixMilli(when.end),
			time.Duration(when.step)*time.Millisecond)
	}
	if err != nil {
		return &answer{err: err.Error()}, nil
	}
	defer q.Close()
	result := q.Exec(ctx)
	if result.Err != nil {
		return &answer{err: result.Err.Error()}, nil
	}
	a := &answer{kind: string(result.Value.Type())}
	a.warnings, a.infos = result.Warnings.AsStrings(expr, 0, 0)
	switch v := result.Value.(type) {
	case promql.Vector:
		for _, s := range v {
			a.rows = append(a.rows, row{labels: s.Metric.String(), set: s.Metric,
				cells: []cell{pointOf(s.T, s.F, promql.HPoint{T: s.T, H: s.H})}})
		}
	case promql.Matrix:
		for _, s := range v {
			r := row{labels: s.Metric.String(), set: s.Metric}
			for _, p := range s.Floats {
				r.cells = append(r.cells, cell{t: float64(p.T) / 1000, f: p.F})
			}
			for _, p := range s.Histograms {
				r.cells = append(r.cells, pointOf(p.T, 0, p))
			}
			a.rows = append(a.rows, r)
		}
	case promql.Scalar:
		a.rows = []row{{cells: []cell{{t: float64(v.T) / 1000, f: v.V}}}}
	default:
		return nil, fmt.Errorf("a result of type %T", v)
	}
	a.finish()
	return a, nil
}

// sorted gives series in the order of their labels, as a server with blocks does; in the order of their
// arrival, limitk and ties of topk would depend on it.
type sorted struct{ storage.Queryable }

type sortedQuerier struct{ storage.Querier }

func (s sorted) Querier(from, to int64) (storage.Querier, error) {
	q, err := s.Queryable.Querier(from, to)
	return sortedQuerier{q}, err
}

func (q sortedQuerier) Select(ctx context.Context, _ bool, hints *storage.SelectHints,
	matchers ...*labels.Matcher) storage.SeriesSet {
	return compactSet{q.Querier.Select(ctx, true, hints, matchers...)}
}

// compact takes empty buckets out of histograms: a chunk of the head gives each of its histograms the
// buckets of all of them, which shows where an empty one becomes NaN or is the last.
type compactSet struct{ storage.SeriesSet }

type compactSeries struct{ storage.Series }

type compactIterator struct{ chunkenc.Iterator }

func (s compactSet) At() storage.Series { return compactSeries{s.SeriesSet.At()} }

func (s compactSeries) Iterator(chunkenc.Iterator) chunkenc.Iterator {
	return compactIterator{s.Series.Iterator(nil)}
}

func (i compactIterator) AtHistogram(h *histogram.Histogram) (int64, *histogram.Histogram) {
	t, h := i.Iterator.AtHistogram(h)
	return t, h.Copy().Compact(0)
}

func (i compactIterator) AtFloatHistogram(h *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	t, got := i.Iterator.AtFloatHistogram(nil)
	got = got.Copy().Compact(0)
	if h != nil {
		got.CopyTo(h)
		return t, h
	}
	return t, got
}

// pointOf reads a histogram by the way of the API's own JSON, so that both sides are the same numbers.
func pointOf(t int64, f float64, p promql.HPoint) cell {
	c := cell{t: float64(t) / 1000, f: f}
	if p.H != nil {
		stream := jsoniter.NewStream(jsoniter.ConfigDefault, nil, 512)
		jsonutil.MarshalHistogram(p.H, stream)
		var h jsonHistogram
		if err := json.Unmarshal(stream.Buffer(), &h); err != nil {
			panic(err)
		}
		c.f, c.h = 0, h.native()
	}
	return c
}

func (a *answer) finish() {
	for _, r := range a.rows {
		a.order = append(a.order, r.labels)
		sort.SliceStable(r.cells, func(i, j int) bool { return r.cells[i].t < r.cells[j].t })
	}
	sort.SliceStable(a.rows, func(i, j int) bool { return a.rows[i].labels < a.rows[j].labels })
	sort.Strings(a.warnings)
	sort.Strings(a.infos)
}

// ---- from a server ----

type server struct{ url string }

type number float64

func (n *number) UnmarshalJSON(text []byte) error {
	v, err := strconv.ParseFloat(strings.Trim(string(text), `"`), 64)
	*n = number(v)
	return err
}

type jsonHistogram struct {
	Count   number      `json:"count"`
	Sum     number      `json:"sum"`
	Buckets [][4]number `json:"buckets"`
}

func (h *jsonHistogram) native() *native {
	n := &native{count: float64(h.Count), sum: float64(h.Sum)}
	for _, b := range h.Buckets {
		n.buckets = append(n.buckets, bucket{int(b[0]), float64(b[1]), float64(b[2]), float64(b[3])})
	}
	return n
}

type jsonSeries struct {
	Metric     map[string]string    `json:"metric"`
	Value      []number             `json:"value"`
	Values     [][]number           `json:"values"`
	Histogram  []json.RawMessage    `json:"histogram"`
	Histograms [][2]json.RawMessage `json:"histograms"`
}

type jsonAnswer struct {
	Status   string   `json:"status"`
	Error    string   `json:"error"`
	Warnings []string `json:"warnings"`
	Infos    []string `json:"infos"`
	Data     struct {
		Type   string          `json:"resultType"`
		Result json.RawMessage `json:"result"`
	} `json:"data"`
}

var client = &http.Client{Timeout: 60 * time.Second}

func seconds(ms int64) string { return fmt.Sprintf("%.3f", float64(ms)/1000) }

func (s *server) ask(expr string, when moment) (*answer, error) {
	form := url.Values{"query": {expr}}
	path := "/api/v1/query"
	if when.step == 0 {
		form.Set("time", seconds(when.start))
	} else {
		path = "/api/v1/query_range"
		form.Set("start", seconds(when.start))
		form.Set("end", seconds(when.end))
		form.Set("step", seconds(when.step))
	}
	response, err := client.PostForm(s.url+path, form)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	var parsed jsonAnswer
	if err := json.Unmarshal(text, &parsed); err != nil {
		return nil, fmt.Errorf("%s answered %s, no JSON: %w: %.300s", s.url, response.Status, err, text)
	}
	if parsed.Status != "success" {
		return &answer{err: parsed.Error}, nil
	}
	a := &answer{kind: parsed.Data.Type, warnings: parsed.Warnings, infos: parsed.Infos}
	if err := a.read(parsed.Data.Result); err != nil {
		return nil, fmt.Errorf("%s answered %.300s: %w", s.url, text, err)
	}
	a.finish()
	return a, nil
}

func (a *answer) read(result json.RawMessage) error {
	if a.kind == "scalar" {
		var pair []number
		if err := json.Unmarshal(result, &pair); err != nil {
			return err
		}
		a.rows = []row{{cells: []cell{{t: float64(pair[0]), f: float64(pair[1])}}}}
		return nil
	}
	var all []jsonSeries
	if err := json.Unmarshal(result, &all); err != nil {
		return err
	}
	for _, s := range all {
		r := row{labels: labelsText(s.Metric), set: labels.FromMap(s.Metric)}
		if s.Value != nil {
			s.Values = append(s.Values, s.Value)
		}
		for _, v := range s.Values {
			r.cells = append(r.cells, cell{t: float64(v[0]), f: float64(v[1])})
		}
		if s.Histogram != nil {
			s.Histograms = append(s.Histograms, [2]json.RawMessage{s.Histogram[0], s.Histogram[1]})
		}
		for _, v := range s.Histograms {
			var t number
			var h jsonHistogram
			if err := json.Unmarshal(v[0], &t); err != nil {
				return err
			}
			if err := json.Unmarshal(v[1], &h); err != nil {
				return err
			}
			r.cells = append(r.cells, cell{t: float64(t), h: h.native()})
		}
		a.rows = append(a.rows, r)
	}
	return nil
}

var plainName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// labelsText is what labels.Labels prints.
func labelsText(metric map[string]string) string {
	names := make([]string, 0, len(metric))
	for name := range metric {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		shown := name
		if !plainName.MatchString(name) {
			shown = strconv.Quote(name)
		}
		names[i] = shown + "=" + strconv.Quote(metric[name])
	}
	return "{" + strings.Join(names, ", ") + "}"
}

// ---- comparing ----

type tolerance struct {
	relative float64
	texts    bool // compare warnings and infos
}

func (c tolerance) same(a, b float64) bool {
	if math.IsNaN(a) || math.IsNaN(b) {
		return math.IsNaN(a) && math.IsNaN(b)
	}
	if math.IsInf(a, 0) || math.IsInf(b, 0) || a == b {
		return a == b
	}
	// Next to zero, doubles have fewer digits than are compared.
	return math.Abs(a-b) <= math.Max(c.relative*math.Max(math.Abs(a), math.Abs(b)), c.relative*1e-300)
}

// differ says the first difference, or nothing.
func (c tolerance) differ(want, got *answer) string {
	switch {
	case (want.err == "") != (got.err == ""):
		return "only one fails"
	case want.err != "":
		return ""
	case want.kind != got.kind:
		return "result type"
	case len(want.rows) != len(got.rows):
		return "number of series"
	}
	for i, r := range want.rows {
		if text := c.differRow(r, got.rows[i]); text != "" {
			return text
		}
	}
	if c.texts {
		if text := c.differTexts("warnings", want.warnings, got.warnings); text != "" {
			return text
		}
		return c.differTexts("infos", want.infos, got.infos)
	}
	return ""
}

func (c tolerance) differRow(a, b row) string {
	if a.labels != b.labels {
		return "labels of " + a.labels
	}
	if len(a.cells) != len(b.cells) {
		return "times of " + a.labels
	}
	for k, x := range a.cells {
		y := b.cells[k]
		switch {
		case x.t != y.t:
			return "times of " + a.labels
		case (x.h == nil) != (y.h == nil):
			return "kind of a value of " + a.labels
		case x.h == nil && !c.sameCell(x, y):
			return "value of " + a.labels
		case !c.sameCell(x, y):
			return "histogram of " + a.labels
		}
	}
	return ""
}

func (c tolerance) sameCell(x, y cell) bool {
	if x.h == nil || y.h == nil {
		return x.h == y.h && c.same(x.f, y.f)
	}
	return c.sameHistogram(x.h, y.h)
}

func (c tolerance) sameHistogram(a, b *native) bool {
	if !c.same(a.count, b.count) || !c.same(a.sum, b.sum) || len(a.buckets) != len(b.buckets) {
		return false
	}
	for i, x := range a.buckets {
		y := b.buckets[i]
		if x.code != y.code || !c.same(x.lower, y.lower) || !c.same(x.higher, y.higher) || !c.same(x.count, y.count) {
			return false
		}
	}
	return true
}

var omitted = regexp.MustCompile(`^(\d+) more \w+ annotations omitted$`)

// differTexts: a server shows ten and says how many more there are. Numbers in texts are compared as
// numbers: Go's functions and C's differ in a last digit.
func (c tolerance) differTexts(what string, want, got []string) string {
	left := append([]string{}, want...)
	more := 0
	for _, text := range got {
		if m := omitted.FindStringSubmatch(text); m != nil {
			more, _ = strconv.Atoi(m[1])
			continue
		}
		at := slices.IndexFunc(left, func(other string) bool { return c.sameText(other, text) })
		if at < 0 {
			return what
		}
		left = slices.Delete(left, at, at+1)
	}
	if len(left) != more {
		return what
	}
	return ""
}

var numeral = regexp.MustCompile(`[-+]?\d+(\.\d+)?(e[-+]\d+)?`)

func (c tolerance) sameText(a, b string) bool {
	if a == b {
		return true
	}
	x, y := numeral.FindAllString(a, -1), numeral.FindAllString(b, -1)
	if len(x) != len(y) || numeral.ReplaceAllString(a, "0") != numeral.ReplaceAllString(b, "0") {
		return false
	}
	for i := range x {
		p, _ := strconv.ParseFloat(x[i], 64)
		q, _ := strconv.ParseFloat(y[i], 64)
		if !c.same(p, q) {
			return false
		}
	}
	return true
}

// differOrder: what sorts gives its values in the same order; which of two equal ones is first is open.
func (c tolerance) differOrder(expr parser.Expr, want, got *answer) string {
	call, ok := expr.(*parser.Call)
	if !ok || !strings.HasPrefix(call.Func.Name, "sort") || want.kind != "vector" || want.err != "" {
		return ""
	}
	if strings.HasPrefix(call.Func.Name, "sort_by_label") {
		for i := range want.order {
			if want.order[i] != got.order[i] {
				return "order"
			}
		}
		return ""
	}
	a, b := want.byLabels(), got.byLabels()
	for i := range want.order {
		if !c.same(a[want.order[i]], b[got.order[i]]) {
			return "order"
		}
	}
	return ""
}

func (a *answer) byLabels() map[string]float64 {
	values := map[string]float64{}
	for _, r := range a.rows {
		values[r.labels] = r.cells[0].f
	}
	return values
}

// show prints an answer as people read it, but not all of a long one.
func (a *answer) show(only string) string {
	if a.err != "" {
		return "  error: " + a.err + "\n"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "  %s, %d series\n", a.kind, len(a.rows))
	shown := 0
	for _, r := range a.rows {
		if only != "" && len(a.rows) > 6 && !strings.Contains(only, r.labels) {
			continue
		}
		if shown++; shown > 8 {
			b.WriteString("  ...\n")
			break
		}
		fmt.Fprintf(&b, "  %s", r.labels)
		for i, c := range r.cells {
			if i == 12 {
				b.WriteString(" ...")
				break
			}
			if c.h == nil {
				fmt.Fprintf(&b, " %v@%.3f", c.f, c.t)
			} else {
				fmt.Fprintf(&b, " {count %v sum %v %v}@%.3f", c.h.count, c.h.sum, c.h.buckets, c.t)
			}
		}
		b.WriteString("\n")
	}
	for _, text := range a.warnings {
		fmt.Fprintf(&b, "  warning: %s\n", text)
	}
	for _, text := range a.infos {
		fmt.Fprintf(&b, "  info: %s\n", text)
	}
	return b.String()
}
