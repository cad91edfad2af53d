// SPDX-License-Identifier: Apache-2.0

// Random PromQL over random data: what a server answers over HTTP beside what Prometheus's own engine
// answers on the same samples, or, with --prometheus, beside another server that runs an old Prometheus.
// Prints each difference, made as small as is cheap, and at the end one line of JSON with the counts.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/teststorage"
)

type run struct {
	parser       parser.Parser
	engine       *engine
	theirs, ours source
	compare      tolerance
	old          bool
	seed         int64
	show         int
	refuse       string

	lock      sync.Mutex
	passed    int
	failed    int
	compared  int // answers, and how many of them were errors, empty or had warnings and infos
	errors    int
	empty     int
	texts     int
	explained map[string]int
	made      made
}

func main() {
	seed := flag.Int64("seed", 1, "of data and expressions")
	count := flag.Int("count", 500, "expressions")
	sonde := flag.String("sonde", "", "URL of the server that is tested")
	old := flag.String("prometheus", "", "URL of a Prometheus 2.42 to compare with, instead of the engine in here")
	delayed := flag.Bool("delayed-name-removal", false, "the server has the feature of this name")
	only := flag.Int("only", -1, "the one expression of this number")
	expr := flag.String("expr", "", "this expression instead of random ones")
	relative := flag.Float64("tolerance", 1e-9, "how much numbers may differ, relative to the greater one")
	complete := flag.Bool("complete", false, "fail when a part of the language did not occur, or 15 % of answers are empty")
	refuse := flag.String("refuse", "", "the explanation of this name does not count")
	show := flag.Int("show", 20, "differences that are printed at most")
	flag.Parse()
	r, err := prepare(*seed, *sonde, *old, *delayed)
	if err != nil {
		fmt.Fprintln(os.Stderr, "promql_diff:", err)
		os.Exit(2)
	}
	r.show, r.compare.relative, r.refuse = *show, *relative, *refuse
	begin := time.Now()
	if err := r.all(*count, *only, *expr); err != nil {
		fmt.Fprintln(os.Stderr, "promql_diff:", err)
		os.Exit(2)
	}
	share := float64(r.empty) / float64(max(r.compared, 1))
	if *complete && share >= 0.15 {
		fmt.Printf("%.1f %% of the answers are empty\n", 100*share)
		r.failed++
	}
	if missing := r.made.missing(); *complete && len(missing) > 0 {
		fmt.Printf("no expression had: %s\n", strings.Join(missing, ", "))
		r.failed++
	}
	summary, _ := json.Marshal(map[string]any{
		"passed": r.passed, "failed": r.failed, "explained": r.explained, "compared": r.compared, "errors": r.errors,
		"empty": r.empty, "annotated": r.texts, "seconds": time.Since(begin).Seconds(), "made": r.made,
		"missing": r.made.missing(),
	})
	fmt.Println(string(summary))
	if r.failed > 0 {
		os.Exit(1)
	}
}

// prepare writes the data everywhere and waits until the server has all of it.
func prepare(seed int64, sonde, old string, delayed bool) (*run, error) {
	r := &run{
		ours: &server{sonde}, old: old != "", seed: seed, explained: map[string]int{}, made: made{},
		compare: tolerance{relative: 1e-9, texts: old == ""},
	}
	r.parser = parser.NewParser(parser.Options{EnableExperimentalFunctions: true, EnableBinopFillModifiers: true})
	w := makeWorld(seed, r.old)
	s, err := teststorage.NewWithError()
	if err != nil {
		return nil, err
	}
	if err := w.into(s); err != nil {
		return nil, err
	}
	r.engine = &engine{storage: sorted{s}, parser: r.parser, delayed: delayed}
	r.theirs = r.engine
	if r.old {
		r.theirs = &server{old}
		if err := w.send(old); err != nil {
			return nil, err
		}
	}
	if err := w.send(sonde); err != nil {
		return nil, err
	}
	return r, r.waitForAll()
}

func (r *run) waitForAll() error {
	query := ""
	for i, name := range strings.Fields("reqs_total temp load small lat_bucket lat_sum nat natgauge cust mix lone target_info") {
		if i > 0 {
			query += " or "
		}
		query += fmt.Sprintf(`label_replace(sum(count_over_time(%s[1h])), "name", "%s", "", "")`, name, name)
	}
	when := moment{start: baseMs + spanMs + 60_000}
	want, err := r.theirs.ask(query, when)
	if err != nil {
		return err
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got, err := r.ours.ask(query, when)
		if err != nil {
			return err
		}
		text := tolerance{}.differ(want, got)
		if text == "" && want.points() > 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("the server has not all samples after 30 s: %s\n%s%s", text, want.show(""), got.show(""))
		}
	}
}

// moments are one instant and one range; mostly where samples lie, for an old Prometheus never there.
func (r *run) moments(random *rand.Rand) []moment {
	at := func() int64 {
		t := baseMs + marginMs + random.Int63n(spanMs-marginMs+2*60_000)
		if random.Intn(8) == 0 {
			t = baseMs + random.Int63n(spanMs+6*60_000)
		}
		switch {
		case r.old:
			return t/1000*1000 + 500
		case random.Intn(4) > 0:
			return t / 15_000 * 15_000
		}
		return t
	}
	steps := []int64{1000, 15_000, 15_000, 30_000, 30_000, 60_000, 60_000, 60_000, 77_000, 300_000, 600_000}
	step, start := steps[random.Intn(len(steps))], at()
	return []moment{{start: at()}, {start, start + step*int64(random.Intn(25)), step}}
}

func (r *run) all(count, only int, expr string) error {
	numbers := make(chan int)
	failure := make(chan error, 4)
	var workers sync.WaitGroup
	for i := 0; i < 2; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for n := range numbers {
				if err := r.one(n, expr); err != nil {
					select {
					case failure <- fmt.Errorf("expression %d: %w", n, err):
					default:
					}
				}
			}
		}()
	}
	for n := 0; n < count && len(failure) == 0; n++ {
		if only < 0 || only == n {
			numbers <- n
		}
	}
	close(numbers)
	workers.Wait()
	if len(failure) > 0 {
		return <-failure
	}
	return nil
}

// draw makes an expression, and takes another one while the answers say nothing.
func (r *run) draw(n int, expr string) (tree *node, at []moment, want []*answer, err error) {
	g := &generator{rand: rand.New(rand.NewSource(r.seed*1_000_003 + int64(n))), old: r.old}
	depth := 1 + g.rand.Intn(5) // of all that are drawn, or what is kept would be simpler
	for tries := 0; ; tries++ {
		if tree = g.expression(depth); expr != "" {
			tree = leaf('v', expr)
		}
		at, want = r.moments(g.rand), nil
		telling := true
		for _, when := range at {
			a, err := r.theirs.ask(tree.String(), when)
			if err != nil {
				return nil, nil, nil, err
			}
			want = append(want, a)
			telling = telling && a.err == "" && len(a.rows) > 0
		}
		if telling || tries == 12 || g.often(8) {
			return tree, at, want, nil
		}
	}
}

func (r *run) one(n int, expr string) error {
	tree, at, want, err := r.draw(n, expr)
	if err != nil {
		return err
	}
	failed, why := false, ""
	for i, when := range at {
		d, err := r.differs(tree, when, want[i])
		if err != nil {
			return fmt.Errorf("%s: %w", tree, err)
		}
		if d == nil {
			continue
		}
		if name := explain(d); name != "" {
			why = name
			continue
		}
		failed = true
		r.report(n, tree, when, d)
		break
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	for _, a := range want {
		r.count(a)
	}
	if parsed, err := r.parser.ParseExpr(tree.String()); err == nil {
		r.made.add(parsed)
	}
	switch {
	case failed:
		r.failed++
	case why != "":
		r.explained[why]++
	default:
		r.passed++
	}
	return nil
}

// differs asks for what is not given.
func (r *run) differs(tree *node, when moment, want *answer) (*difference, error) {
	text := tree.String()
	if want == nil {
		var err error
		if want, err = r.theirs.ask(text, when); err != nil {
			return nil, err
		}
	}
	if when.step != 0 { // so that the whole range has a part that is known already
		part := moment{when.start, when.start + (when.end-when.start)/when.step/2*when.step, when.step}
		if _, err := r.ours.ask(text, part); err != nil {
			return nil, err
		}
	}
	got, err := r.ours.ask(text, when)
	if err != nil {
		return nil, err
	}
	what := r.compare.differ(want, got)
	parsed, parseErr := r.parser.ParseExpr(text)
	if what == "" && parseErr == nil && when.step == 0 {
		what = r.compare.differOrder(parsed, want, got)
	}
	if what == "" {
		return nil, nil
	}
	return &difference{parsed, text, when, what, want, got, r}, nil
}

func (r *run) count(want *answer) {
	r.compared++
	switch {
	case want.err != "":
		r.errors++
	case len(want.rows) == 0:
		r.empty++
	}
	if len(want.warnings)+len(want.infos) > 0 {
		r.texts++
	}
}

// smaller lists trees with a part in the place of what it is part of, the smallest first.
func smaller(root *node) (out []*node) {
	var below func(n *node, visit func(*node))
	below = func(n *node, visit func(*node)) {
		for _, kid := range n.kids {
			visit(kid)
			below(kid, visit)
		}
	}
	below(root, func(n *node) {
		if n.kind != 'm' {
			out = append(out, n)
		}
	})
	var replace func(n *node, rebuild func(*node) *node)
	replace = func(n *node, rebuild func(*node) *node) {
		if n != root {
			below(n, func(part *node) {
				if part.kind == n.kind {
					out = append(out, rebuild(part))
				}
			})
		}
		for i, kid := range n.kids {
			replace(kid, func(part *node) *node {
				kids := append([]*node{}, n.kids...)
				kids[i] = part
				return rebuild(&node{n.kind, n.text, kids})
			})
		}
	}
	replace(root, func(n *node) *node { return n })
	return out
}

func (r *run) report(n int, tree *node, when moment, d *difference) {
	r.lock.Lock()
	quiet := r.show <= 0
	r.show--
	r.lock.Unlock()
	if quiet {
		return
	}
	whole := tree.String()
	for tries, found := 0, true; found && tries < 200; {
		found = false
		for _, less := range smaller(tree) {
			tries++
			next, err := r.differs(less, when, nil)
			if err == nil && next != nil && less.size() < tree.size() && explain(next) == "" {
				tree, d, found = less, next, true
				break
			}
		}
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	fmt.Printf("---- seed %d, expression %d, %s: %s\n%s\n", r.seed, n, when, d.what, tree)
	if text := tree.String(); text != whole {
		fmt.Printf("(smaller than: %s)\n", whole)
	}
	fmt.Printf("want:\n%sgot:\n%s", d.want.show(d.what), d.got.show(d.what))
}
