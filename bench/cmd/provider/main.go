// Command provider is the telematics provider of the bench as a process.
package main

import (
	"flag"
	"log"
	"time"

	"github.com/valyala/fasthttp"

	"writeback/bench/provider"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "address to listen on")
	flag.Parse()
	p := &provider.Provider{}
	// Latency is slept in the handler, so there is a goroutine for each connection.
	server := &fasthttp.Server{Handler: p.Handle, Concurrency: 1 << 20, IdleTimeout: 10 * time.Minute, NoDefaultServerHeader: true}
	log.Fatal(server.ListenAndServe(*addr))
}
