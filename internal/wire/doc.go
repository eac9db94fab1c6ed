// Package wire is the one place for partner-facing JSON: what a request may
// say, what an answer looks like, the cursors of the lists, and the OpenAPI
// document that describes all of it.
//
// It converts between bytes and domain values and decides nothing: it knows no
// partner, looks nothing up, does no I/O and writes no logs. The field table of
// package operation and the route table here drive both the decoder and the
// document, so that the two cannot drift apart.
package wire
