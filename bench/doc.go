// Package bench measures what docs/performance.md reports: fairness, throughput,
// waiting operations and the cost of an accept, on a real NATS and a real Redis of
// its own. `make bench` runs it; with BENCH_FLAGS=-short it uses fewer operations.
//
// Its benchmarks run once and end by themselves. Where a promise has a bound, a
// benchmark that finds it broken fails.
package bench
