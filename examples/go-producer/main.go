// A producer in Go without a Kinesis SDK: it makes an event, has the sidecar add trace context to it
// with POST /envelope/v1/inject, and writes the envelope to standard output, for whatever carries it
// to Kinesis. Standard library only:
//
//	KINESCOPE_URL=http://127.0.0.1:4590 go run . orders ORDER_PLACED
//
// A producer that has an SDK needs none of this: it sets AWS_ENDPOINT_URL_KINESIS to the sidecar.
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

type event struct {
	ID        string         `json:"eventId"`
	Type      string         `json:"eventType"`
	Timestamp string         `json:"timestamp"`
	Payload   map[string]any `json:"payload"`
}

func randomHex(count int) string {
	random := make([]byte, count)
	if _, err := rand.Read(random); err != nil {
		panic(err) // there is no safe way to name a trace
	}
	return hex.EncodeToString(random)
}

// inject returns the envelope with context. Without the sidecar, or with one that refuses, the event
// goes out as it is: a trace is no reason to lose an order.
func inject(sidecar, stream, traceparent string, envelope []byte) []byte {
	where := sidecar + "/envelope/v1/inject?stream=" + url.QueryEscape(stream)
	request, err := http.NewRequest(http.MethodPost, where, bytes.NewReader(envelope))
	if err != nil {
		fmt.Fprintln(os.Stderr, "the sidecar's address is none:", err)
		return envelope
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Traceparent", traceparent)
	client := http.Client{Timeout: 2 * time.Second}
	answer, err := client.Do(request)
	if err != nil {
		fmt.Fprintln(os.Stderr, "the sidecar cannot be reached:", err)
		return envelope
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		fmt.Fprintln(os.Stderr, "the sidecar refused:", answer.Status, string(body))
		return envelope
	}
	fmt.Fprintln(os.Stderr, answer.Header.Get("X-Kinescope-Verdict"))
	return body
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: go-producer STREAM EVENT_TYPE")
		os.Exit(64)
	}
	sidecar := os.Getenv("KINESCOPE_URL")
	if sidecar == "" {
		sidecar = "http://127.0.0.1:4590"
	}
	// With OpenTelemetry this is the context of the producer's own span.
	traceparent := os.Getenv("TRACEPARENT")
	if traceparent == "" {
		traceparent = "00-" + randomHex(16) + "-" + randomHex(8) + "-01"
	}
	envelope, err := json.Marshal(event{
		ID:        randomHex(16),
		Type:      os.Args[2],
		Timestamp: time.Now().UTC().Format(time.RFC3339Nano),
		Payload:   map[string]any{"orderId": "order-1"},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Stdout.Write(inject(sidecar, os.Args[1], traceparent, envelope))
}
