// Package monitoring reads what ships for watching Writeback, the dashboards below
// deploy/grafana and the rules below deploy/prometheus, and says which metrics they ask
// for. Its tests compare that with the table of internal/metrics, with docs/runbook.md
// and docs/slo.md, and have promtool judge the rest.
//
// It is for tests only. It understands of PromQL what these files use: promtool, which
// understands all of it, judges whether they are well formed.
package monitoring
