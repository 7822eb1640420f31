package main

import (
	"strings"
	"testing"
	"time"
)

// environ is a lookupEnv over REGION and VERSION, overridden by pairs of "KEY=value".
func environ(pairs ...string) lookupEnv {
	values := map[string]string{"REGION": "region-a", "VERSION": "v1"}
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		values[key] = value
	}
	return func(key string) (string, bool) {
		value, found := values[key]
		return value, found
	}
}

func TestDefaultsHoldWhenOnlyRegionAndVersionAreSet(t *testing.T) {
	got, err := parseConfig(environ())
	if err != nil {
		t.Fatal(err)
	}
	want := config{region: "region-a", version: "v1", port: 8080, adminPort: 8081, drain: 5 * time.Second}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEveryVariableIsRead(t *testing.T) {
	got, err := parseConfig(environ("REGION=region-b", "VERSION=v2", "PORT=1", "ADMIN_PORT=65535", "DRAIN_SECONDS=300"))
	if err != nil {
		t.Fatal(err)
	}
	want := config{region: "region-b", version: "v2", port: 1, adminPort: 65535, drain: 300 * time.Second}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestBadValuesAreRefusedByName(t *testing.T) {
	cases := map[string]struct{ pair, message string }{
		"region missing":      {"REGION=", "REGION is not set"},
		"version missing":     {"VERSION=", "VERSION is not set"},
		"region of two lines": {"REGION=a\nb", `REGION is "a\nb"`},
		"version too long":    {"VERSION=" + strings.Repeat("v", 64), "VERSION is"},
		"port zero":           {"PORT=0", `PORT is "0"`},
		"port too high":       {"PORT=65536", `PORT is "65536"`},
		"port no number":      {"PORT=http", `PORT is "http"`},
		"admin port too high": {"ADMIN_PORT=65536", `ADMIN_PORT is "65536"`},
		"both ports the same": {"ADMIN_PORT=8080", "PORT and ADMIN_PORT are both 8080"},
		"drain negative":      {"DRAIN_SECONDS=-1", `DRAIN_SECONDS is "-1"`},
		"drain too long":      {"DRAIN_SECONDS=301", `DRAIN_SECONDS is "301"`},
		"drain with a unit":   {"DRAIN_SECONDS=5s", `DRAIN_SECONDS is "5s"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := parseConfig(environ(c.pair))
			if err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got %v, want an error with %q", err, c.message)
			}
		})
	}
}

func TestAllProblemsAreReportedTogether(t *testing.T) {
	_, err := parseConfig(environ("REGION=", "VERSION=", "PORT=x", "DRAIN_SECONDS=x"))
	if got := len(problemsOf(err)); got != 4 {
		t.Errorf("got %d problems, want 4: %v", got, err)
	}
}
