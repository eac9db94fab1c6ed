// Package test checks the whole: what ships beside the code, and the programs
// as they are built. It has no code for programs.
package test

//go:generate go test -run TestProvidersPage_IsWhatTheAdaptersSay|TestConfigurationPage_IsWhatTheStructsSay . -args -update
