// SPDX-License-Identifier: Apache-2.0

// What the expressions of a run have been made of: each function, aggregation, operator and modifier of
// the language is counted in what was compared, so that a gap in the generator is seen.
package main

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

var aggregations = strings.Fields(`sum avg count min max group stddev stdvar topk bottomk count_values quantile limitk
	limit_ratio`)

var features = []string{
	"+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", "<=", ">", ">=", "</", ">/", "and", "or", "unless", "unary -",
	"unary +", "bool", "on", "ignoring", "group_left", "group_right", "group_left of labels", "group_right of labels", "fill",
	"fill_left", "fill_right", "by", "without", "offset", "negative offset", "offset of a duration expression", "@ time",
	"@ start()", "@ end()", "anchored", "smoothed", "range of a duration expression", "subquery", "subquery without step",
	"subquery with offset", "subquery with @", "subquery in a subquery", "step of a duration expression", "info of matchers",
	"name in braces", "UTF-8 name", "matcher =", "matcher !=", "matcher =~", "matcher !~", "number", "string",
}

// made counts what occurs in one expression.
type made map[string]int

func (m made) add(expr parser.Expr) {
	parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
		switch of := n.(type) {
		case *parser.Call:
			m[of.Func.Name+"()"]++
			if of.Func.Name == "info" && len(of.Args) > 1 {
				m["info of matchers"]++
			}
		case *parser.AggregateExpr:
			m[of.Op.String()+" of series"]++
			m.addIf("without", of.Without)
			m.addIf("by", !of.Without && len(of.Grouping) > 0)
		case *parser.UnaryExpr:
			m["unary "+of.Op.String()]++
		case *parser.BinaryExpr:
			m.addBinary(of)
		case *parser.VectorSelector:
			m.addSelector(of)
		case *parser.MatrixSelector:
			m.addIf("range of a duration expression", of.RangeExpr != nil)
		case *parser.SubqueryExpr:
			m.addSubquery(of, path)
		case *parser.NumberLiteral:
			m["number"]++
		case *parser.StringLiteral:
			m["string"]++
		}
		return nil
	})
}

func (m made) addIf(name string, is bool) {
	if is {
		m[name]++
	}
}

func (m made) addBinary(b *parser.BinaryExpr) {
	m[b.Op.String()]++
	m.addIf("bool", b.ReturnBool)
	match := b.VectorMatching
	if match == nil {
		return
	}
	m.addIf("on", match.On)
	m.addIf("ignoring", !match.On && len(match.MatchingLabels) > 0)
	m.addIf("group_left", match.Card == parser.CardManyToOne)
	m.addIf("group_right", match.Card == parser.CardOneToMany)
	m.addIf("group_left of labels", match.Card == parser.CardManyToOne && len(match.Include) > 0)
	m.addIf("group_right of labels", match.Card == parser.CardOneToMany && len(match.Include) > 0)
	left, right := match.FillValues.LHS, match.FillValues.RHS
	m.addIf("fill", left != nil && right != nil && (*left == *right))
	m.addIf("fill_left", left != nil && (right == nil || *left != *right))
	m.addIf("fill_right", right != nil && (left == nil || *left != *right))
}

func (m made) addSelector(s *parser.VectorSelector) {
	m.addIf("offset", s.OriginalOffset > 0)
	m.addIf("negative offset", s.OriginalOffset < 0)
	m.addIf("offset of a duration expression", s.OriginalOffsetExpr != nil)
	m.addIf("@ time", s.Timestamp != nil)
	m.addIf("@ start()", s.StartOrEnd == parser.START)
	m.addIf("@ end()", s.StartOrEnd == parser.END)
	m.addIf("anchored", s.Anchored)
	m.addIf("smoothed", s.Smoothed)
	for _, matcher := range s.LabelMatchers {
		if matcher.Name == labels.MetricName && matcher.Type == labels.MatchEqual {
			m.addIf("name in braces", s.Name == "")
		} else {
			m["matcher "+matcher.Type.String()]++
		}
		m.addIf("UTF-8 name", strings.ContainsFunc(matcher.Name+matcher.Value, func(r rune) bool { return r > unicode.MaxASCII }))
	}
}

func (m made) addSubquery(s *parser.SubqueryExpr, path []parser.Node) {
	m["subquery"]++
	m.addIf("subquery without step", s.Step == 0 && s.StepExpr == nil)
	m.addIf("step of a duration expression", s.StepExpr != nil)
	m.addIf("range of a duration expression", s.RangeExpr != nil)
	m.addIf("subquery with offset", s.OriginalOffset != 0 || s.OriginalOffsetExpr != nil)
	m.addIf("subquery with @", s.Timestamp != nil || s.StartOrEnd != 0)
	m.addIf("subquery in a subquery", slices.ContainsFunc(path, func(n parser.Node) bool {
		_, is := n.(*parser.SubqueryExpr)
		return is
	}))
}

// missing lists what the language has and no expression had.
func (m made) missing() []string {
	wanted := slices.Clone(features)
	for _, name := range aggregations {
		wanted = append(wanted, name+" of series")
	}
	for name := range maps.Keys(parser.Functions) {
		wanted = append(wanted, name+"()")
	}
	slices.Sort(wanted)
	return slices.DeleteFunc(wanted, func(name string) bool { return m[name] > 0 })
}
