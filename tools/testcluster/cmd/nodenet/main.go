// Command nodenet is the pod network of the test cluster: on its own node it writes the configuration of the bridge
// plugin, and for every other node it keeps a route to that node's pods. It watches the nodes and never polls.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// settings come from the environment; in a pod the defaults are right.
type settings struct {
	node, podSubnet, cniDir, server, credentials string
}

// node is the part of a Node object that matters here.
type node struct {
	Metadata struct{ Name string }
	Spec     struct{ PodCIDR string }
	Status   struct {
		Addresses []struct{ Type, Address string }
	}
}

func main() {
	log.SetFlags(log.Ltime)
	inCluster := "https://" + net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	s := settings{
		node:        os.Getenv("NODE"),
		podSubnet:   os.Getenv("POD_SUBNET"),
		cniDir:      or(os.Getenv("CNI_DIR"), "/etc/cni/net.d"),
		server:      or(os.Getenv("SERVER"), inCluster),
		credentials: or(os.Getenv("CREDENTIALS"), "/var/run/secrets/kubernetes.io/serviceaccount"),
	}
	for {
		if err := s.follow(context.Background()); err != nil {
			log.Print(err)
		}
		time.Sleep(time.Second / 2)
	}
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// follow reads one watch to its end. Without a resourceVersion the server first sends every node there is.
func (s settings) follow(ctx context.Context) error {
	body, err := s.watch(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	events := json.NewDecoder(body)
	for {
		var event struct {
			Type   string
			Object node
		}
		if err := events.Decode(&event); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.apply(event.Type, event.Object); err != nil {
			return err // the next watch tells of it again
		}
	}
}

func (s settings) watch(ctx context.Context) (io.ReadCloser, error) {
	token, err := os.ReadFile(filepath.Join(s.credentials, "token")) // anew each time: it is rotated
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(s.credentials, "ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	// Short: a first packet sent before kube-proxy knows the service's address is lost, and so are its repetitions.
	dialer := net.Dialer{Timeout: 2 * time.Second}
	client := http.Client{Transport: &http.Transport{
		TLSClientConfig:       &tls.Config{RootCAs: pool},
		DialContext:           dialer.DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: 10 * time.Second,
		DisableKeepAlives:     true,
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server+"/api/v1/nodes?watch=1&timeoutSeconds=1800", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("watching nodes: %s", response.Status)
	}
	return response.Body, nil
}

func (s settings) apply(kind string, n node) error {
	pods, address := n.Spec.PodCIDR, n.address()
	switch {
	case pods == "" || address == "":
		return nil // not admitted yet; an event will say so
	case n.Metadata.Name == s.node:
		return s.own(pods)
	case kind == "DELETED":
		return command("ip", "route", "delete", pods, "via", address)
	default:
		return command("ip", "route", "replace", pods, "via", address)
	}
}

func (n node) address() string {
	for _, a := range n.Status.Addresses {
		if a.Type == "InternalIP" {
			return a.Address
		}
	}
	return ""
}

// own sets up this node: pods that leave the pod network do so under the node's address.
func (s settings) own(pods string) error {
	rule := []string{"POSTROUTING", "-s", pods, "!", "-d", s.podSubnet, "-j", "MASQUERADE"}
	if command("iptables", append([]string{"-w", "-t", "nat", "-C"}, rule...)...) != nil {
		if err := command("iptables", append([]string{"-w", "-t", "nat", "-A"}, rule...)...); err != nil {
			return err
		}
	}
	target := filepath.Join(s.cniDir, "10-nodenet.conflist")
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	content, err := json.Marshal(conflist(pods))
	if err != nil {
		return err
	}
	draft := filepath.Join(s.cniDir, ".nodenet")
	if err := os.WriteFile(draft, content, 0o644); err != nil {
		return err
	}
	log.Printf("pods of this node: %s", pods)
	return os.Rename(draft, target) // kubelet is ready the moment it sees the file
}

func conflist(pods string) any {
	type object = map[string]any
	return object{
		"cniVersion": "1.0.0",
		"name":       "nodenet",
		"plugins": []object{
			{
				"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
				"ipam": object{
					"type":   "host-local",
					"ranges": [][]object{{{"subnet": pods}}},
					"routes": []object{{"dst": "0.0.0.0/0"}},
				},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}
}

func command(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	output, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}
