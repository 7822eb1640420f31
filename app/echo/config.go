package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

const (
	defaultPort      = 8080
	defaultAdminPort = 8081
	defaultDrain     = 5
	maxPort          = 65535
	maxDrainSeconds  = 300
)

// lookupEnv has the shape of os.LookupEnv.
type lookupEnv func(key string) (value string, found bool)

// config is what the environment says about one server.
type config struct {
	region    string
	version   string
	port      int
	adminPort int
	drain     time.Duration
}

// labelValue is the syntax of a Kubernetes label value, which VERSION is taken from; it also keeps an answer on one line.
var labelValue = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)

// parseConfig reads the server's environment. The error joins every problem that was found.
func parseConfig(lookup lookupEnv) (config, error) {
	env := environment{lookup: lookup}
	cfg := config{
		region:    env.label("REGION"),
		version:   env.label("VERSION"),
		port:      env.integer("PORT", defaultPort, 1, maxPort),
		adminPort: env.adminPort(),
		drain:     time.Duration(env.integer("DRAIN_SECONDS", defaultDrain, 0, maxDrainSeconds)) * time.Second,
	}
	if cfg.port == cfg.adminPort {
		env.refuse("PORT and ADMIN_PORT are both %d, and one port cannot be listened on twice; set one of them to another port", cfg.port)
	}
	return cfg, errors.Join(env.problems...)
}

// environment reads single variables and collects what is wrong with them. An empty variable counts as not set.
type environment struct {
	lookup   lookupEnv
	problems []error
}

func (e *environment) refuse(format string, args ...any) {
	e.problems = append(e.problems, fmt.Errorf(format, args...))
}

func (e *environment) value(key string) (string, bool) {
	value, _ := e.lookup(key)
	return value, value != ""
}

func (e *environment) label(key string) string {
	value, found := e.value(key)
	switch {
	case !found:
		e.refuse("%s is not set, and every answer has to name it; set it in the container's environment", key)
	case !labelValue.MatchString(value):
		e.refuse("%s is %q, which cannot stand in a one-line answer; "+
			"use at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends", key, value)
	}
	return value
}

func (e *environment) integer(key string, fallback, low, high int) int {
	text, found := e.value(key)
	if !found {
		return fallback
	}
	number, err := strconv.Atoi(text)
	if err != nil || number < low || number > high {
		e.refuse("%s is %q, which the server cannot work with; set a whole number in %d..%d, or leave it out", key, text, low, high)
		return fallback
	}
	return number
}

func (e *environment) adminPort() int {
	return e.integer("ADMIN_PORT", defaultAdminPort, 1, maxPort)
}
