// SPDX-License-Identifier: Apache-2.0

// The data of a run, all of it from one seed: counters with restarts, gauges with NaN and infinities,
// classic and native histograms, series that change between both, holes, staleness markers, series
// that begin late or end early. The same samples go into a teststorage and to servers by remote write.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand"
	"net/http"
	"strconv"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/util/teststorage"
)

const (
	baseMs = int64(1_750_000_200_000) // a multiple of five minutes
	spanMs = int64(50 * 60 * 1000)
	// Before this much has passed, windows have little in them.
	marginMs = int64(8 * 60 * 1000)
	oldMs    = int64(337) // how far samples are from whole seconds when ranges may be closed on the left
)

type point struct {
	t int64
	f float64
	h *histogram.FloatHistogram
	i *histogram.Histogram
}

type series struct {
	labels labels.Labels
	points []point
}

type world struct {
	rand   *rand.Rand
	old    bool
	series []series
}

// times of one series' scrapes: regular or not, with a hole, from a late start or to an early end.
func (w *world) times() (at []int64, stale []int64) {
	steps := []int64{15_000, 30_000, 30_000, 60_000, 20_000}
	step := steps[w.rand.Intn(len(steps))]
	from, to := int64(0), spanMs
	switch w.rand.Intn(6) {
	case 0:
		from = spanMs / 3 / 1000 * 1000
	case 1:
		to = spanMs / 2 / 1000 * 1000
	}
	jitter := w.rand.Intn(4) == 0
	hole := from + w.rand.Int63n(to-from)
	length := int64(0)
	if w.rand.Intn(3) == 0 {
		length = 60_000 + w.rand.Int63n(12*60_000)
	}
	marked := w.rand.Intn(2) == 0
	for t := from; t < to; t += step {
		if t >= hole && t < hole+length {
			if marked {
				stale = append(stale, t)
				marked = false
			}
			continue
		}
		at = append(at, w.shift(t, jitter))
	}
	for i := range stale {
		stale[i] = w.shift(stale[i], false)
	}
	if w.rand.Intn(3) == 0 && to < spanMs {
		stale = append(stale, w.shift(to, false))
	}
	return at, stale
}

func (w *world) shift(t int64, jitter bool) int64 {
	if jitter {
		t += w.rand.Int63n(9_000)
	}
	if w.old {
		return baseMs + t/1000*1000 + oldMs
	}
	return baseMs + t
}

// add makes a series whose points come from next, with its staleness markers in place.
func (w *world) add(next func() point, pairs ...string) {
	at, stale := w.times()
	w.addAt(at, stale, next, pairs...)
}

func (w *world) addAt(at, stale []int64, next func() point, pairs ...string) {
	s := series{labels: labels.FromStrings(pairs...)}
	histograms := false
	for len(at) > 0 || len(stale) > 0 {
		if len(stale) > 0 && (len(at) == 0 || stale[0] <= at[0]) {
			p := point{t: stale[0], f: math.Float64frombits(value.StaleNaN)}
			if histograms {
				p.h = &histogram.FloatHistogram{Sum: p.f}
			}
			if len(at) > 0 && stale[0] == at[0] {
				at = at[1:]
			}
			s.points = append(s.points, p)
			stale = stale[1:]
			continue
		}
		p := next()
		p.t = at[0]
		histograms = p.h != nil || p.i != nil
		s.points = append(s.points, p)
		at = at[1:]
	}
	w.series = append(w.series, s)
}

func (w *world) counter() func() point {
	v, whole, restart := 0.0, w.rand.Intn(2) == 0, 20+w.rand.Intn(60)
	if w.rand.Intn(3) == 0 {
		v = float64(w.rand.Intn(10_000))
	}
	return func() point {
		if w.rand.Intn(restart) == 0 {
			v = 0
		}
		switch {
		case w.rand.Intn(4) == 0:
		case whole:
			v += float64(w.rand.Intn(40))
		default:
			v += math.Round(w.rand.Float64()*1000) / 100
		}
		return point{f: v}
	}
}

// No -0: Go's remote write leaves out what equals 0, and with it the sign.
var odd = []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, 1e300, -1e300, 1e-300}

func (w *world) gauge(odds int) func() point {
	v, width := w.rand.NormFloat64()*50, []float64{1, 10, 0.01, 1000}[w.rand.Intn(4)]
	return func() point {
		v += w.rand.NormFloat64() * width
		if odds > 0 && w.rand.Intn(odds) == 0 {
			return point{f: odd[w.rand.Intn(len(odd))]}
		}
		return point{f: math.Round(v*1000) / 1000}
	}
}

func (w *world) small() func() point {
	return func() point { return point{f: float64(w.rand.Intn(7) - 2)} }
}

// classic adds the series of one classic histogram; kind 1 has a bucket that is not monotonic, kind 2 a
// bound that is no number, kind 3 no +Inf.
func (w *world) classic(kind int, pairs ...string) {
	bounds := []string{"0.1", "0.5", "1", "2.5", "10", "+Inf"}
	at, stale := w.times()
	n := len(at)
	totals := make([][]float64, len(bounds)+2)
	counts := make([]float64, len(bounds))
	sum := 0.0
	for i := 0; i < n; i++ {
		if w.rand.Intn(50) == 0 {
			clear(counts)
			sum = 0
		}
		for k := range counts {
			more := float64(w.rand.Intn(6))
			counts[k] += more
			sum += more * float64(k)
		}
		all := 0.0
		for k, c := range counts {
			all += c
			v := all
			if kind == 1 && k == 2 && i%3 == 0 {
				v -= 5
			}
			totals[k] = append(totals[k], v)
		}
		totals[len(bounds)] = append(totals[len(bounds)], all)
		totals[len(bounds)+1] = append(totals[len(bounds)+1], sum)
	}
	for k, values := range totals {
		next := func() point {
			p := point{f: values[0]}
			values = values[1:]
			return p
		}
		own := append([]string{}, pairs...)
		switch {
		case k == len(bounds):
			own = append(own, "__name__", "lat_count")
		case k > len(bounds):
			own = append(own, "__name__", "lat_sum")
		default:
			bound := bounds[k]
			if kind == 2 && k == 3 {
				bound = "much"
			}
			if kind == 3 && bound == "+Inf" {
				continue
			}
			own = append(own, "__name__", "lat_bucket", "le", bound)
		}
		w.addAt(append([]int64{}, at...), append([]int64{}, stale...), next, own...)
	}
}

// native makes exponential histograms that grow, restart and sometimes change their layout.
func (w *world) native(gauge, floats, negative bool) func() point {
	schema, width := int32(w.rand.Intn(4)-1), 3+w.rand.Intn(5)
	threshold := []float64{0, 0.001, 0.01}[w.rand.Intn(3)] // below all buckets
	offset := int32(w.rand.Intn(5) - 2)
	counts := make([]int64, 2*width)
	zero, sum := int64(0), 0.0
	restart := 25 + w.rand.Intn(30)
	hint := histogram.UnknownCounterReset
	if gauge {
		hint = histogram.GaugeType
	}
	return func() point {
		if w.rand.Intn(restart) == 0 {
			clear(counts)
			zero, sum = 0, 0
			if w.rand.Intn(3) == 0 {
				schema = int32(w.rand.Intn(4) - 1)
			}
		}
		for k := range counts {
			if k >= width && !negative {
				break
			}
			more := int64(w.rand.Intn(4))
			if gauge {
				more -= min(counts[k], int64(w.rand.Intn(4)))
			}
			counts[k] += more
			sum += float64(more) * float64(k%width)
		}
		zero += int64(w.rand.Intn(2))
		h := &histogram.Histogram{
			Schema: schema, ZeroThreshold: threshold, ZeroCount: uint64(zero), Sum: sum, CounterResetHint: hint,
		}
		h.PositiveSpans, h.PositiveBuckets = spansOf(offset, counts[:width])
		h.NegativeSpans, h.NegativeBuckets = spansOf(offset, counts[width:])
		h.Count = uint64(zero)
		for _, c := range counts {
			h.Count += uint64(c)
		}
		if floats {
			return point{h: scaled(h.ToFloat(nil))}
		}
		return point{i: h}
	}
}

func scaled(h *histogram.FloatHistogram) *histogram.FloatHistogram {
	return h.Mul(0.5)
}

// spansOf gives the filled buckets as spans and deltas; holes of more than two buckets divide spans.
func spansOf(offset int32, counts []int64) (spans []histogram.Span, deltas []int64) {
	last, end := int64(0), int32(0)
	for k, c := range counts {
		if c == 0 {
			continue
		}
		at := offset + int32(k)
		switch {
		case len(spans) == 0:
			spans = append(spans, histogram.Span{Offset: at, Length: 1})
		case at == end:
			spans[len(spans)-1].Length++
		default:
			spans = append(spans, histogram.Span{Offset: at - end, Length: 1})
		}
		end = at + 1
		deltas = append(deltas, c-last)
		last = c
	}
	return spans, deltas
}

// custom makes native histograms with the bounds of classic ones.
func (w *world) custom(bounds []float64, floats bool) func() point {
	counts, sum, restart := make([]int64, len(bounds)+1), 0.0, 25+w.rand.Intn(30)
	return func() point {
		if w.rand.Intn(restart) == 0 {
			clear(counts)
			sum = 0
		}
		for k := range counts {
			more := int64(w.rand.Intn(4))
			counts[k] += more
			sum += float64(more) * 0.7 * float64(k)
		}
		h := &histogram.Histogram{Schema: histogram.CustomBucketsSchema, Sum: sum, CustomValues: bounds}
		h.PositiveSpans, h.PositiveBuckets = spansOf(0, counts)
		for _, c := range counts {
			h.Count += uint64(c)
		}
		if floats {
			return point{h: scaled(h.ToFloat(nil))}
		}
		return point{i: h}
	}
}

// mixed changes between floats and histograms in runs.
func (w *world) mixed() func() point {
	float, native := w.counter(), w.native(false, false, false)
	now := w.rand.Intn(2) == 0
	return func() point {
		if w.rand.Intn(12) == 0 {
			now = !now
		}
		if now {
			return float()
		}
		return native()
	}
}

func makeWorld(seed int64, old bool) *world {
	w := &world{rand: rand.New(rand.NewSource(seed)), old: old}
	for _, job := range []string{"a", "b", "c"} {
		for n := 0; n < 3; n++ {
			instance := strconv.Itoa(n)
			own := func(name string, more ...string) []string {
				return append(more, "__name__", name, "job", job, "instance", instance)
			}
			for _, code := range []string{"200", "404", "500"} {
				w.add(w.counter(), own("reqs_total", "code", code)...)
			}
			w.add(w.gauge(0), own("temp", "zone", "z"+instance)...)
			w.add(w.gauge([]int{0, 6, 40}[n]), own("load")...)
			w.add(w.small(), own("small", "code", strconv.Itoa(200+w.rand.Intn(2)*204))...)
			w.add(func() point { return point{f: 1} }, own("target_info", "version", "v"+strconv.Itoa(w.rand.Intn(3)),
				"env", []string{"dev", "prod"}[w.rand.Intn(2)])...)
			if n < 2 {
				w.classic(w.rand.Intn(6), "job", job, "instance", instance)
			}
			if w.old {
				continue
			}
			w.add(w.native(false, n == 1, n == 2), own("nat")...)
			w.add(w.native(true, n == 1, n == 2), own("natgauge")...)
			bounds := [][]float64{{0.1, 1, 5}, {0.1, 0.5, 1, 5}, {1, 2}}[w.rand.Intn(3)]
			w.add(w.custom(bounds, n == 1), own("cust")...)
			w.add(w.mixed(), own("mix")...)
		}
	}
	w.add(w.gauge(20), "__name__", "lone")
	w.add(w.counter(), "__name__", "lone_total", "job", "a", "empty", "x")
	if !w.old {
		w.add(w.gauge(0), "__name__", "näme.dotted", "läbel.x", "ü", "job", "a")
	}
	return w
}

func (w *world) into(storage *teststorage.TestStorage) error {
	app := storage.Appender(context.Background())
	for _, s := range w.series {
		for _, p := range s.points {
			var err error
			if p.h != nil || p.i != nil {
				_, err = app.AppendHistogram(0, s.labels, p.t, copyInt(p.i), copyFloat(p.h))
			} else {
				_, err = app.Append(0, s.labels, p.t, p.f)
			}
			if err != nil {
				return fmt.Errorf("%s at %d: %w", s.labels, p.t, err)
			}
		}
	}
	return app.Commit()
}

func copyInt(h *histogram.Histogram) *histogram.Histogram {
	if h == nil {
		return nil
	}
	return h.Copy()
}

func copyFloat(h *histogram.FloatHistogram) *histogram.FloatHistogram {
	if h == nil {
		return nil
	}
	return h.Copy()
}

// send writes everything to a server by remote write 1.0, a hundred series a request.
func (w *world) send(url string) error {
	for at := 0; at < len(w.series); at += 100 {
		var request prompb.WriteRequest
		for _, s := range w.series[at:min(at+100, len(w.series))] {
			one := prompb.TimeSeries{Labels: prompb.FromLabels(s.labels, nil)}
			for _, p := range s.points {
				switch {
				case p.h != nil:
					one.Histograms = append(one.Histograms, prompb.FromFloatHistogram(p.t, p.h))
				case p.i != nil:
					one.Histograms = append(one.Histograms, prompb.FromIntHistogram(p.t, p.i))
				default:
					one.Samples = append(one.Samples, prompb.Sample{Timestamp: p.t, Value: p.f})
				}
			}
			request.Timeseries = append(request.Timeseries, one)
		}
		body, err := request.Marshal()
		if err != nil {
			return err
		}
		post, err := http.NewRequest("POST", url+"/api/v1/write", bytes.NewReader(snappy.Encode(nil, body)))
		if err != nil {
			return err
		}
		post.Header.Set("Content-Type", "application/x-protobuf")
		post.Header.Set("Content-Encoding", "snappy")
		post.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
		answer, err := http.DefaultClient.Do(post)
		if err != nil {
			return err
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode/100 != 2 {
			return fmt.Errorf("remote write to %s: %s %s", url, answer.Status, text)
		}
	}
	return nil
}
