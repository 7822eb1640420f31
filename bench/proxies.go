// Proxies that are no Envoys: they keep connections to an istiod by delta ADS as Envoys do, acknowledge all that they are sent, and
// do nothing with it. bench/proxies.py builds it with the lab's module of Istio and starts it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	structs "google.golang.org/protobuf/types/known/structpb"

	"istio.io/istio/pkg/adsc"
	"istio.io/istio/pkg/log"
)

const manager = "envoy.filters.network.http_connection_manager"

func main() {
	address := flag.String("address", "", "of istiod's plain port, host:port")
	namespace := flag.String("namespace", "", "of the proxies")
	number := flag.Int("number", 1, "of proxies: proxy-0, proxy-1, …")
	flag.Parse()
	for _, scope := range log.Scopes() {
		scope.SetOutputLevel(log.ErrorLevel)
	}
	until, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for i := range *number {
		client, err := proxy(*address, *namespace, i)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go client.Run(until)
		<-client.Synced()
	}
	fmt.Println("connected")
	<-until.Done()
}

func proxy(address, namespace string, i int) (*adsc.Client, error) {
	metadata, err := structs.NewStruct(map[string]any{
		"ISTIO_VERSION": "1.31.0",
		"NAMESPACE":     namespace,
		"CLUSTER_ID":    "Kubernetes",
		"LABELS":        map[string]any{"app": "proxy"},
	})
	if err != nil {
		return nil, err
	}
	config := &adsc.DeltaADSConfig{Config: adsc.Config{
		Namespace: namespace,
		Workload:  fmt.Sprintf("proxy-%d", i),
		IP:        fmt.Sprintf("10.255.%d.%d", i/250, 1+i%250),
		Meta:      metadata,
	}}
	return adsc.NewDelta(address, config,
		adsc.Register(func(to adsc.HandlerContext, _, _ string, found *cluster.Cluster, event adsc.Event) {
			if event == adsc.EventAdd && found.GetType() == cluster.Cluster_EDS {
				to.RegisterDependency("type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", found.GetName())
			}
		}),
		adsc.Register(func(adsc.HandlerContext, string, string, *endpoint.ClusterLoadAssignment, adsc.Event) {}),
		adsc.Register(func(to adsc.HandlerContext, _, _ string, found *listener.Listener, event adsc.Event) {
			if event == adsc.EventAdd {
				to.RegisterDependency("type.googleapis.com/envoy.config.route.v3.RouteConfiguration", routes(found)...)
			}
		}),
		adsc.Register(func(adsc.HandlerContext, string, string, *route.RouteConfiguration, adsc.Event) {}),
		adsc.Watch[*cluster.Cluster]("*"),
		adsc.Watch[*listener.Listener]("*"),
	), nil
}

func routes(found *listener.Listener) []string {
	var names []string
	for _, chain := range append(found.GetFilterChains(), found.GetDefaultFilterChain()) {
		for _, filter := range chain.GetFilters() {
			if filter.GetName() != manager {
				continue
			}
			var one hcm.HttpConnectionManager
			if filter.GetTypedConfig().UnmarshalTo(&one) == nil && one.GetRds() != nil {
				names = append(names, one.GetRds().GetRouteConfigName())
			}
		}
	}
	return names
}

