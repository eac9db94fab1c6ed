// Package testenv gives tests the real parts they run against: an embedded
// NATS server, and redis-server and nats-server as child processes that can be
// killed and brought back.
//
// It is for tests alone: nothing that ships imports it. It fakes nothing and
// shares nothing: every call gives a server of its own, on the loopback
// address, which ends with the test, and with the test process if that is
// killed (on Linux).
package testenv
