// Package archtest holds the import rules of the module as a test: which room
// may know which. It has no code for programs and nothing imports it.
package archtest
