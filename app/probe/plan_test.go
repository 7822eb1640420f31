package main

import (
	"errors"
	"flag"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// arguments are valid ones of attack, with flags replaced by pairs of name and value; an empty value leaves a flag out.
func arguments(url string, pairs ...string) []string {
	flags := [][2]string{{"--url", url}, {"--rate", "5000"}, {"--requests", "100"}, {"--workers", "4"}}
	for i := 0; i < len(pairs); i += 2 {
		flags = slices.DeleteFunc(flags, func(f [2]string) bool { return f[0] == pairs[i] })
		if pairs[i+1] != "" {
			flags = append(flags, [2]string{pairs[i], pairs[i+1]})
		}
	}
	var args []string
	for _, f := range flags {
		args = append(args, f[0], f[1])
	}
	return args
}

func TestPlanHoldsWhatTheArgumentsSay(t *testing.T) {
	got, err := parsePlan([]string{"--url", "https://echo/a", "--rate", "1", "--requests", "2", "--workers", "3", "--timeout", "4s",
		"--ignore-stdin", "--connect-to", "10.0.0.1:443", "--version-header", "x-rollout-version",
		"--request", `{"path":"/b?c=d#5","headers":{"host":"e"}}`, "--request", `{"method":"POST","body":"f","weight":9}`})
	if err != nil {
		t.Fatal(err)
	}
	agent := "probe/" + release
	want := plan{rate: 1, requests: 2, workers: 3, timeout: 4 * time.Second, ignoreStdin: true,
		connectTo: "10.0.0.1:443", versionHeader: "x-rollout-version", kinds: []kind{
			{vegeta.Target{Method: "GET", URL: "https://echo/b?c=d#0", Body: []byte{}, Header: http.Header{"Host": {"e"}, "User-Agent": {agent}}}, 1},
			{vegeta.Target{Method: "POST", URL: "https://echo/a#1", Body: []byte("f"), Header: http.Header{"User-Agent": {agent}}}, 9},
		}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTimeoutIsFiveSecondsByDefault(t *testing.T) {
	got, err := parsePlan(arguments("http://echo/"))
	if err != nil {
		t.Fatal(err)
	}
	if got.timeout != 5*time.Second {
		t.Errorf("got %s", got.timeout)
	}
}

func TestBoundsThemselvesAreAllowed(t *testing.T) {
	for _, pairs := range [][]string{
		{"--rate", "1", "--requests", "1", "--workers", "1", "--timeout", "1ms"},
		{"--rate", "20000", "--requests", "1000000", "--workers", "1000", "--timeout", "1m"},
		{"--request", `{"weight":1}`, "--connect-to", "[::1]:1"},
		{"--request", `{"weight":1000}`, "--connect-to", "gateway:65535"},
	} {
		if _, err := parsePlan(arguments("http://echo/", pairs...)); err != nil {
			t.Errorf("%v: %v", pairs, err)
		}
	}
}

func TestArgumentsOutOfBoundsAreRefusedByName(t *testing.T) {
	cases := map[string]struct{ name, value, message string }{
		"no url":               {"--url", "", "--url is missing"},
		"url without a scheme": {"--url", "echo.echo.svc", `--url "echo.echo.svc"`},
		"url with tls":         {"--url", "https://echo/", `--url "https://echo/"`},
		"url without a host":   {"--url", "http://:80/", `--url "http://:80/"`},
		"a request of no JSON": {"--request", "GET /", "--request GET / cannot be sent"},
		"a request and more":   {"--request", "{} {}", "something follows"},
		"an unknown field":     {"--request", `{"verb":"GET"}`, `unknown field "verb"`},
		"a field's wrong type": {"--request", `{"weight":"1"}`, "cannot unmarshal string"},
		"weight zero":          {"--request", `{"weight":0}`, "its weight is not in 1..1000"},
		"weight too high":      {"--request", `{"weight":1001}`, "its weight is not in 1..1000"},
		"method no token":      {"--request", `{"method":"G T"}`, `invalid method "G T"`},
		"path without a slash": {"--request", `{"path":"a"}`, "its path is none on the host"},
		"path of another host": {"--request", `{"path":"//other/a"}`, "its path is none on the host"},
		"path with an escape":  {"--request", `{"path":"/%zz"}`, "its path is none on the host"},
		"header no token":      {"--request", `{"headers":{"a b":"c"}}`, `"a b: c" is no header`},
		"header of two lines":  {"--request", `{"headers":{"a":"b\nc"}}`, "is no header"},
		"header's name wrong":  {"--version-header", "a b", `--version-header "a b"`},
		"connect to a host":    {"--connect-to", "gateway", `--connect-to "gateway"`},
		"connect to port 0":    {"--connect-to", "gateway:0", `--connect-to "gateway:0"`},
		"connect to a name":    {"--connect-to", "gateway:http", `--connect-to "gateway:http"`},
		"connect to no host":   {"--connect-to", ":80", `--connect-to ":80"`},
		"no rate":              {"--rate", "", "--rate is missing or 0"},
		"rate zero":            {"--rate", "0", "--rate is missing or 0"},
		"rate too high":        {"--rate", "20001", "--rate 20001"},
		"rate no number":       {"--rate", "fast", `"fast"`},
		"no requests":          {"--requests", "", "--requests is missing or 0"},
		"requests negative":    {"--requests", "-1", "--requests -1"},
		"requests too many":    {"--requests", "1000001", "--requests 1000001"},
		"no workers":           {"--workers", "", "--workers is missing or 0"},
		"workers zero":         {"--workers", "0", "--workers is missing or 0"},
		"workers too many":     {"--workers", "1001", "--workers 1001"},
		"timeout too short":    {"--timeout", "999us", "--timeout 999"},
		"timeout too long":     {"--timeout", "61s", "--timeout 1m1s"},
		"timeout no duration":  {"--timeout", "5", `"5"`},
		"an unknown flag":      {"--body", "x", "body"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := execute(t, strings.NewReader(""), arguments("http://127.0.0.1:1/", c.name, c.value)...)
			if code != exitUsage || !strings.Contains(stderr, c.message) {
				t.Errorf("exit code %d with message %q, want %d and %q", code, stderr, exitUsage, c.message)
			}
		})
	}
}

func TestStrayArgumentIsRefused(t *testing.T) {
	if _, err := parsePlan(append(arguments("http://echo/"), "now")); err == nil || !strings.Contains(err.Error(), `"now"`) {
		t.Errorf("got %v", err)
	}
}

func TestAllProblemsAreReportedTogether(t *testing.T) {
	_, err := parsePlan([]string{"--timeout", "0s", "--request", "{"})
	if got := len(strings.Split(err.Error(), "\n")); got != 6 {
		t.Errorf("got %d problems, want 6: %v", got, err)
	}
}

func TestHelpIsNoProblem(t *testing.T) {
	if _, err := parsePlan([]string{"--help"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got %v", err)
	}
}
