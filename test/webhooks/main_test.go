// Package webhooks_test watches webhooks from outside: programs as they run in life, an
// endpoint that checks every request with code of its own, and workers that are killed.
package webhooks_test
