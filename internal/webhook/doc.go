// Package webhook tells partners what happened to their operations: subscriptions,
// who gets which event, one delivery attempt, and when an endpoint is given up.
//
// A delivery has the form of an operation and an endpoint that of a lane, so that
// the store, the scripts and the dispatcher of operations serve deliveries too: a
// waiting delivery holds no goroutine and no unacknowledged message, and one dead
// endpoint does not slow another. Subscriptions are kept by the package registry,
// metrics, logs and dead letters by the package journal.
//
// It refuses to promise an order or exactly one delivery, and it never shows what an
// endpoint answered.
package webhook
