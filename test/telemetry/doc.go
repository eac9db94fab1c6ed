// Package telemetry looks at what api and worker send and show while they work: one
// connected trace of each write, at a receiver that speaks OTLP; every metric of the
// table, and no other, at the admin ports; and log lines without a key twice.
package telemetry
