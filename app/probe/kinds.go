package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

const maxWeight = 1_000

var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// kind is one of the requests that an attack consists of. Its target's URL has the kind's number for a fragment, which no
// server gets: of what was sent, vegeta's results tell the URL and the method only.
type kind struct {
	target vegeta.Target
	weight int
}

// parseKind reads one value of --request.
func parseKind(text string, base *url.URL, number int) (kind, error) {
	asked := struct {
		Method  string            `json:"method"`
		Path    string            `json:"path"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
		Weight  int               `json:"weight"`
	}{Method: http.MethodGet, Weight: 1}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		return kind{}, unusable(text, err)
	}
	if decoder.More() {
		return kind{}, unusable(text, errors.New("something follows the object"))
	}
	if asked.Weight < 1 || asked.Weight > maxWeight {
		return kind{}, unusable(text, fmt.Errorf("its weight is not in 1..%d", maxWeight))
	}
	address, err := base.Parse(asked.Path)
	if err != nil || address.Host != base.Host || (asked.Path != "" && asked.Path[0] != '/') {
		return kind{}, unusable(text, errors.New("its path is none on the host of --url: it has to begin with one /"))
	}
	address.Fragment = strconv.Itoa(number)
	target := vegeta.Target{
		Method: asked.Method,
		URL:    address.String(),
		Body:   []byte(asked.Body),
		Header: http.Header{"User-Agent": {"probe/" + release}},
	}
	for name, value := range asked.Headers {
		if !headerName.MatchString(name) || strings.ContainsAny(value, "\r\n\x00") {
			return kind{}, unusable(text, fmt.Errorf("%q is no header", name+": "+value))
		}
		target.Header.Set(name, value)
	}
	if _, err := target.Request(); err != nil {
		return kind{}, unusable(text, err)
	}
	return kind{target, asked.Weight}, nil
}

func unusable(text string, why error) error {
	return fmt.Errorf("--request %s cannot be sent, because %w; "+
		`give JSON like {"method":"POST","path":"/","headers":{"name":"value"},"body":"...","weight":1}`, text, why)
}

// numberOf is the number of the kind whose target has this URL.
func numberOf(target string) int {
	_, fragment, _ := strings.Cut(target, "#")
	number, _ := strconv.Atoi(fragment)
	return number
}

// interleaved gives the kinds in proportion to their weights, each spread as evenly as can be (nginx's smooth weighted round
// robin). The order is no bias of a split, since an Envoy draws the version of each request at random.
func interleaved(kinds []kind) vegeta.Targeter {
	var lock sync.Mutex
	credits, total := make([]int, len(kinds)), 0
	for _, k := range kinds {
		total += k.weight
	}
	return func(next *vegeta.Target) error {
		lock.Lock()
		defer lock.Unlock()
		chosen := 0
		for i, k := range kinds {
			credits[i] += k.weight
			if credits[i] > credits[chosen] {
				chosen = i
			}
		}
		credits[chosen] -= total
		*next = kinds[chosen].target
		return nil
	}
}
