package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

const okBody = "ok region=region-a version=v1"

// target is an HTTP server that counts requests.
type target struct {
	*httptest.Server
	requests atomic.Int64
}

func serve(t *testing.T, handler http.HandlerFunc) *target {
	t.Helper()
	s := new(target)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		handler(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func answerOK(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, okBody+"\n") }

// execute runs `probe attack` with the given arguments and returns its exit code, records and messages.
func execute(t *testing.T, stdin io.Reader, args ...string) (code int, records []record, messages string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"attack"}, args...), stdin, &stdout, &stderr)
	return code, parseRecords(t, stdout.String()), stderr.String()
}

func parseRecords(t *testing.T, output string) []record {
	t.Helper()
	var records []record
	for line := range strings.Lines(output) {
		records = append(records, parseRecord(t, line))
	}
	return records
}

func parseRecord(t *testing.T, line string) record {
	t.Helper()
	var r record
	decoder := json.NewDecoder(strings.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		t.Fatalf("the line %q is no record: %v", line, err)
	}
	return r
}

// openStdin is a standard input that does not end before the test does.
func openStdin(t *testing.T) *io.PipeReader {
	t.Helper()
	reader, writer := io.Pipe()
	t.Cleanup(func() { writer.Close() })
	return reader
}

func TestExactlyTheAskedNumberOfRequestsIsSent(t *testing.T) {
	for _, requests := range []int{1, 777} {
		server := serve(t, answerOK)
		code, records, messages := execute(t, openStdin(t), arguments(server.URL, "--requests", strconv.Itoa(requests))...)
		if code != exitOK {
			t.Fatalf("exit code %d: %s", code, messages)
		}
		if got := server.requests.Load(); got != int64(requests) {
			t.Errorf("the server got %d requests, want %d", got, requests)
		}
		numbers := map[uint64]bool{}
		for _, r := range records {
			numbers[r.Seq] = true
		}
		if len(records) != requests || len(numbers) != requests {
			t.Errorf("%d records with %d different numbers, want %d of both", len(records), len(numbers), requests)
		}
	}
}

func TestAnswerIsRecordedWithoutItsLineEnd(t *testing.T) {
	server := serve(t, answerOK)
	before := time.Now().UnixNano()
	_, records, _ := execute(t, openStdin(t), arguments(server.URL, "--requests", "1")...)
	after := time.Now().UnixNano()
	got := records[0]
	if got.LatencyNs <= 0 || got.AtNs < before || got.AtNs+got.LatencyNs > after {
		t.Errorf("the times of %+v are not between %d and %d", got, before, after)
	}
	got.LatencyNs, got.AtNs = 0, 0
	if want := (record{Code: http.StatusOK, Body: okBody}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestLineIsCompactAndOfTheAgreedShape(t *testing.T) {
	always := `"seq":0,"code":200,"body":"ok region=region-a version=v1","error":"","latency_ns":123,"at_ns":456`
	for want, r := range map[string]record{
		"{" + always + "}": {Code: 200, Body: okBody, LatencyNs: 123, AtNs: 456},
		"{" + always + `,"request":1,"subset":"v1","upstream":true}`: {Code: 200, Body: okBody, LatencyNs: 123, AtNs: 456,
			Request: 1, Subset: "v1", Upstream: true},
	} {
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if string(line) != want {
			t.Errorf("got %s, want %s", line, want)
		}
	}
}

func TestFailedAnswerIsRecordedWithItsBody(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "no healthy upstream")
	})
	code, records, _ := execute(t, openStdin(t), arguments(server.URL, "--requests", "1")...)
	if code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if r := records[0]; r.Code != http.StatusServiceUnavailable || r.Body != "no healthy upstream" || r.Error != "503 Service Unavailable" {
		t.Errorf("got %+v", r)
	}
}

func TestLongAnswerIsCut(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 2*maxBody))
	})
	_, records, _ := execute(t, openStdin(t), arguments(server.URL, "--requests", "1")...)
	if r := records[0]; len(r.Body) != maxBody || r.Code != http.StatusOK {
		t.Errorf("got code %d with %d bytes, want 200 with %d", r.Code, len(r.Body), maxBody)
	}
}

func TestEachKindIsSentAsAskedAndInProportionToItsWeight(t *testing.T) {
	type seen struct{ method, uri, host, accept, agent, body string }
	var lock sync.Mutex
	counts := map[seen]int{}
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		lock.Lock()
		defer lock.Unlock()
		counts[seen{r.Method, r.RequestURI, r.Host, r.Header.Get("Accept"), r.UserAgent(), string(body)}]++
		_, _ = io.WriteString(w, r.Method)
	})
	code, records, messages := execute(t, openStdin(t), append(arguments(server.URL+"/base", "--requests", "200"),
		"--request", `{"weight":3}`,
		"--request", `{"method":"POST","path":"/orders?dry=1","headers":{"accept":"text/html","host":"shop","user-agent":"me"},"body":"{}"}`)...)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, messages)
	}
	want := map[seen]int{
		{"GET", "/base", server.Listener.Addr().String(), "", "probe/" + release, ""}: 150,
		{"POST", "/orders?dry=1", "shop", "text/html", "me", "{}"}:                    50,
	}
	if !maps.Equal(counts, want) {
		t.Errorf("the server got %v, want %v", counts, want)
	}
	for _, r := range records {
		if want := map[string]int{"GET": 0, "POST": 1}[r.Body]; r.Request != want {
			t.Errorf("the answer to a %s is recorded as of kind %d", r.Body, r.Request)
		}
	}
}

func TestKindsAreSpreadEvenly(t *testing.T) {
	next := interleaved([]kind{
		{vegeta.Target{URL: "a"}, 5}, {vegeta.Target{URL: "b"}, 1}, {vegeta.Target{URL: "c"}, 1},
	})
	var order string
	for range 14 {
		var target vegeta.Target
		if err := next(&target); err != nil {
			t.Fatal(err)
		}
		order += target.URL
	}
	if want := "aabacaaaabacaa"; order != want {
		t.Errorf("got %s, want %s", order, want)
	}
}

func TestSubsetAndUpstreamAreThoseOfTheHeaders(t *testing.T) {
	long := strings.Repeat("x", 2*maxBody)
	for name, c := range map[string]struct {
		headers map[string]string
		asked   string
		want    record
	}{
		"an answer":          {map[string]string{"x-rollout-version": "v2", "x-envoy-upstream-service-time": "0"}, "x-rollout-version", record{Subset: "v2", Upstream: true}},
		"the proxy's own":    {map[string]string{"x-rollout-version": "v2"}, "X-Rollout-Version", record{Subset: "v2"}},
		"no version":         {map[string]string{"x-envoy-upstream-service-time": "7"}, "x-rollout-version", record{Upstream: true}},
		"another header":     {map[string]string{"x-rollout-version": "v2"}, "x-other", record{}},
		"no header asked of": {map[string]string{"x-rollout-version": "v2"}, "", record{}},
		"a long one":         {map[string]string{"x-rollout-version": long}, "x-rollout-version", record{Subset: long[:maxBody]}},
	} {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			for header, value := range c.headers {
				w.Header().Set(header, value)
			}
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		_, records, _ := execute(t, openStdin(t), arguments(server.URL, "--requests", "1", "--version-header", c.asked)...)
		if got := (record{Subset: records[0].Subset, Upstream: records[0].Upstream}); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func TestConnectToLeavesHostAndServerNameToTheURL(t *testing.T) {
	var host, serverName atomic.Value
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host.Store(r.Host)
		if r.TLS != nil {
			serverName.Store(r.TLS.ServerName)
		}
		answerOK(w, r)
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	for url, server := range map[string]*httptest.Server{"http://shop.example/": plain, "https://shop.example:8443/": secure} {
		_, records, _ := execute(t, openStdin(t), arguments(url, "--requests", "1", "--connect-to", server.Listener.Addr().String())...)
		if r := records[0]; r.Code != http.StatusOK {
			t.Fatalf("%s: got %+v", url, r)
		}
		if got := "//" + host.Load().(string) + "/"; !strings.HasSuffix(url, got) {
			t.Errorf("%s: the host was %s", url, got)
		}
	}
	if got := serverName.Load(); got != "shop.example" {
		t.Errorf("the server name was %v", got)
	}
}

func TestAttackThatFallsBehindItsRateSaysSo(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(300 * time.Millisecond)
		answerOK(w, r)
	})
	for workers, late := range map[string]bool{"1": true, "5": false} {
		code, records, messages := execute(t, openStdin(t), arguments(server.URL, "--requests", "5", "--rate", "1000", "--workers", workers)...)
		if code != exitOK || len(records) != 5 {
			t.Fatalf("exit code %d with %d records: %s", code, len(records), messages)
		}
		if got := strings.Contains(messages, "late, because all "+workers+" workers"); got != late {
			t.Errorf("with %s workers: the message is %q", workers, messages)
		}
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})
	_, records, _ := execute(t, openStdin(t), arguments(server.URL, "--requests", "1")...)
	if got := server.requests.Load(); got != 1 || records[0].Code != http.StatusFound {
		t.Errorf("%d requests were sent, the record is %+v", got, records[0])
	}
}

func TestRefusedConnectionsAreRecordedAsErrors(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	code, records, _ := execute(t, openStdin(t), arguments("http://"+free.Addr().String(), "--requests", "20")...)
	if code != exitOK || len(records) != 20 {
		t.Fatalf("exit code %d with %d records, want 0 with 20", code, len(records))
	}
	for _, r := range records {
		if r.Code != 0 || !strings.Contains(r.Error, "refused while connecting") {
			t.Errorf("got %+v", r)
		}
	}
}

func TestTimeoutIsRecordedAsAnError(t *testing.T) {
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	_, records, _ := execute(t, openStdin(t), arguments(server.URL, "--requests", "1", "--timeout", "20ms")...)
	if r := records[0]; r.Code != 0 || !strings.Contains(r.Error, "while waiting for the answer") {
		t.Errorf("got %+v", r)
	}
}

func TestConnectionsAreKeptAndNoMoreThanWorkers(t *testing.T) {
	var opened atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(answerOK))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	execute(t, openStdin(t), arguments(server.URL, "--requests", "500", "--workers", "3")...)
	if got := opened.Load(); got > 3 {
		t.Errorf("%d connections were opened for 3 workers", got)
	}
}

// mostUnderWay is the largest number of requests that the records show at one instant.
func mostUnderWay(records []record) int {
	type change struct {
		at   int64
		step int
	}
	var changes []change
	for _, r := range records {
		changes = append(changes, change{r.AtNs, 1}, change{r.AtNs + r.LatencyNs, -1})
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.step, b.step)) })
	now, most := 0, 0
	for _, c := range changes {
		now += c.step
		most = max(most, now)
	}
	return most
}

func TestNoMoreRequestsThanWorkersAreUnderWay(t *testing.T) {
	server := serve(t, answerOK)
	_, records, _ := execute(t, openStdin(t), arguments(server.URL, "--requests", "500", "--workers", "3", "--rate", "20000")...)
	if most := mostUnderWay(records); most > 3 {
		t.Errorf("%d requests were under way at once with 3 workers", most)
	}
}

func TestRateIsNotExceeded(t *testing.T) {
	server := serve(t, answerOK)
	_, records, _ := execute(t, openStdin(t), arguments(server.URL, "--requests", "100", "--rate", "500")...)
	var first, last int64
	for _, r := range records {
		if first == 0 || r.AtNs < first {
			first = r.AtNs
		}
		last = max(last, r.AtNs)
	}
	// 99 intervals of 2 ms, less what a late first request can take off.
	if took := time.Duration(last - first); took < 150*time.Millisecond {
		t.Errorf("100 requests at 500/s took %s", took)
	}
}

func TestLinesComeOutWhileTheAttackGoesOn(t *testing.T) {
	lineRead := make(chan struct{})
	var number atomic.Int64
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if number.Add(1) == 2 {
			select {
			case <-lineRead:
			case <-r.Context().Done():
			}
		}
		answerOK(w, r)
	})
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	stdin := openStdin(t)
	go func() {
		args := append([]string{"attack"}, arguments(server.URL, "--requests", "2", "--workers", "1")...)
		ended <- run(t.Context(), args, stdin, writer, io.Discard)
		writer.Close()
	}()
	lines := bufio.NewReader(reader)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	close(lineRead)
	second, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if r := parseRecord(t, second); r.Code != http.StatusOK {
		t.Errorf("the first line came out only after the second request had failed: %+v", r)
	}
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestEndOfStdinStopsTheAttack(t *testing.T) {
	stdin, keepOpen := io.Pipe()
	var once sync.Once
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { keepOpen.Close() })
		answerOK(w, r)
	})
	code, records, messages := execute(t, stdin, arguments(server.URL, "--rate", "10", "--requests", "1000")...)
	if code != exitStopped || !strings.Contains(messages, "of 1000 requests: standard input ended") {
		t.Errorf("exit code %d, message %q", code, messages)
	}
	if got := server.requests.Load(); int64(len(records)) != got || got >= 1000 {
		t.Errorf("%d records for %d requests", len(records), got)
	}
}

func TestStdinThatIsNotAttachedStopsTheAttackAtOnce(t *testing.T) {
	server := serve(t, answerOK)
	code, _, _ := execute(t, strings.NewReader(""), arguments(server.URL, "--rate", "1")...)
	if code != exitStopped {
		t.Errorf("exit code %d, want %d", code, exitStopped)
	}
}

func TestStdinIsIgnoredWhenAsked(t *testing.T) {
	server := serve(t, answerOK)
	code, records, messages := execute(t, strings.NewReader(""), append(arguments(server.URL), "--ignore-stdin")...)
	if code != exitOK || len(records) != 100 {
		t.Errorf("exit code %d with %d records: %s", code, len(records), messages)
	}
}

func TestBusyWorkersDoNotKeepAnAttackFromStopping(t *testing.T) {
	stdin, keepOpen := io.Pipe()
	var once sync.Once
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		once.Do(func() { keepOpen.Close() })
		<-r.Context().Done()
	})
	code, records, _ := execute(t, stdin, arguments(server.URL, "--workers", "2", "--timeout", "500ms")...)
	if code != exitStopped || len(records) > 2 {
		t.Errorf("exit code %d after %d requests", code, len(records))
	}
}

// brokenWriter is an output whose reader has gone away.
type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestOutputThatCannotBeWrittenStopsTheAttack(t *testing.T) {
	server := serve(t, answerOK)
	var stderr bytes.Buffer
	args := append([]string{"attack"}, arguments(server.URL, "--rate", "50", "--requests", "100000")...)
	code := run(t.Context(), args, openStdin(t), brokenWriter{}, &stderr)
	if code != exitStopped || !strings.Contains(stderr.String(), "broken pipe") {
		t.Errorf("exit code %d, message %q", code, stderr.String())
	}
}

func TestLostEndOfTheOutputIsAFailure(t *testing.T) {
	server := serve(t, answerOK)
	var stderr bytes.Buffer
	args := append([]string{"attack"}, arguments(server.URL, "--requests", "1")...)
	code := run(t.Context(), args, openStdin(t), brokenWriter{}, &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "broken pipe") {
		t.Errorf("exit code %d, message %q", code, stderr.String())
	}
}

func TestPacerEndsAnAttackThatIsBehindItsRate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, stop := newPacer(ctx, plan{rate: 1000, requests: 100}).Pace(time.Second, 0); !stop {
		t.Error("the attack goes on")
	}
}

func TestPacerEndsAnAttackThatWaits(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, stop := newPacer(ctx, plan{rate: 1, requests: 100}).Pace(0, 0); !stop {
		t.Error("the wait for the next request was not cut short")
	}
}
