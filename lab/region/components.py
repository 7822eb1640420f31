"""The processes that make a region: their command lines, their files and how each shows that it is well. Pure but for `write_files`."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab.machine import namespaces
from lab.machine.files import write
from lab.machine.health import Endpoint, accepts
from lab.machine.processes import Daemon
from lab.place import Lab, Region
from lab.region.certificates import Authority, api_hosts

RUNTIME_SOCKET = "/run/containerd/containerd.sock"
AFTER_API = ("relay", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")


def runtime_socket(holder: int) -> Path:
    """containerd's socket, seen from outside the region's mount namespace."""
    return Path(f"/proc/{holder}/root{RUNTIME_SOCKET}")


def components(
    lab: Lab, region: Region, tools: Mapping[str, Path], *, relay_port: int, through: Sequence[str], holder: int
) -> list[Daemon]:
    """All processes of a region but its holder.

    Args:
        lab: which lab the region belongs to.
        region: which.
        tools: the programs, by name.
        relay_port: the loopback port that leads to its API server.
        through: the prefix that executes a command in the region's namespaces.
        holder: the process that keeps these.
    """
    logs, python = lab.logs / region.name, lab.virtual_environment / "bin" / "python"
    pki, home = region.directory / "pki", region.directory
    node, namespace = str(region.node_address), namespaces.path(region.namespace)
    admin = (pki / "ca.crt", pki / "admin.crt", pki / "admin.key")

    def page(port: int, path: str, *, tls: bool = False) -> Callable[[], bool]:
        return Endpoint(namespace, "127.0.0.1", port, path, unverified_tls=tls).answers

    def inside(name: str, answers: Callable[[], bool], *flags: str, program: str = "") -> Daemon:
        command = (program or str(tools[name]), *flags)
        return Daemon(region.name, name, command, region.processes_cgroup, logs, answers, through)

    def kubeconfig(user: str) -> str:
        return f"--kubeconfig={home / 'kubeconfigs' / user}"

    return [
        inside(
            "containerd",
            lambda: accepts(runtime_socket(holder)),
            "--config",
            str(home / "containerd.toml"),
            program=shutil.which("containerd") or "containerd",
        ),
        inside(
            "etcd",
            page(2379, "/health"),
            f"--data-dir={home / 'etcd'}",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--unsafe-no-fsync",  # the kernel keeps what a killed etcd wrote; a machine that dies takes the lab with it
            "--log-level=warn",
        ),
        inside(
            "kube-apiserver",
            Endpoint(namespace, node, 6443, "/readyz", client=admin).answers,
            "--etcd-servers=http://127.0.0.1:2379",
            f"--advertise-address={node}",
            f"--service-cluster-ip-range={region.service_network}",
            f"--tls-cert-file={pki / 'apiserver.crt'}",
            f"--tls-private-key-file={pki / 'apiserver.key'}",
            f"--client-ca-file={pki / 'ca.crt'}",
            f"--kubelet-certificate-authority={pki / 'ca.crt'}",
            f"--kubelet-client-certificate={pki / 'apiserver-kubelet-client.crt'}",
            f"--kubelet-client-key={pki / 'apiserver-kubelet-client.key'}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki / 'sa.pub'}",
            f"--service-account-signing-key-file={pki / 'sa.key'}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--anonymous-auth=false",
            "--allow-privileged=true",  # istio-init asks for NET_ADMIN
            "--profiling=false",
        ),
        inside(
            "kube-controller-manager",
            page(10257, "/healthz", tls=True),
            kubeconfig("kube-controller-manager"),
            f"--service-account-private-key-file={pki / 'sa.key'}",
            f"--root-ca-file={pki / 'ca.crt'}",
            f"--cluster-signing-cert-file={pki / 'ca.crt'}",
            f"--cluster-signing-key-file={pki / 'ca.key'}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ),
        inside(
            "kube-scheduler",
            page(10259, "/healthz", tls=True),
            kubeconfig("kube-scheduler"),
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ),
        inside(
            "kubelet",
            page(10248, "/healthz"),
            kubeconfig("kubelet"),
            f"--config={home / 'kubelet.json'}",
            f"--hostname-override={region.name}",
            f"--node-ip={node}",
        ),
        inside(
            "kube-proxy",
            page(10256, "/healthz"),
            kubeconfig("kube-proxy"),
            f"--hostname-override={region.name}",
            f"--cluster-cidr={region.pod_network}",
            "--proxy-mode=nftables",
            "--conntrack-max-per-core=0",  # these three leave the machine's own settings alone
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ),
        Daemon(
            region.name,
            "relay",
            (str(python), "-m", "lab.machine.relay", str(relay_port), str(namespace), node, "6443"),
            region.processes_cgroup,
            logs,
            Endpoint(Path("/proc/self/ns/net"), "127.0.0.1", relay_port, "/readyz", client=admin).answers,
            directory=lab.checkout,
        ),
    ]


def write_files(region: Region) -> None:
    """Make the region's certificates and the files that its components read, as far as they are missing or differ."""
    home = region.directory
    authority = Authority(home / "pki", region.name)
    authority.ensure()
    # the Service `kubernetes` has the first address of the range
    authority.issue("apiserver", "kube-apiserver", hosts=api_hosts(region.node_address, region.service_network[1]))
    authority.issue("apiserver-kubelet-client", "kube-apiserver-kubelet-client")
    authority.issue("kubelet-server", region.name, hosts=[region.name, str(region.node_address)])
    for directory in ("kubelet", "run", "var-log", "etcd", "kubeconfigs", "cni"):
        (home / directory).mkdir(parents=True, exist_ok=True)
    (home / "etcd").chmod(0o700)
    inside = f"https://{region.node_address}:6443"
    for user in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
        authority.issue(user, f"system:{user}")
    authority.issue("kubelet", f"system:node:{region.name}", groups=["system:nodes"])
    for user in ("kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"):
        write(home / "kubeconfigs" / user, _dump(kubeconfig({region: inside}, user)))
    authority.issue("admin", "lab-admin", groups=["system:masters"])
    write(home / "containerd.toml", _containerd(region))
    write(home / "cni" / "10-lab.conflist", _dump(_network_configuration(region)))
    write(home / "kubelet.json", _dump(_kubelet(region)))


def kubeconfig(servers: Mapping[Region, str], user: str) -> dict[str, object]:
    """A kubeconfig with one context a region, certificates within.

    Args:
        servers: the API server's address by region.
        user: name of the client certificate's files.
    """

    def data(region: Region, file: str) -> str:
        return base64.b64encode((region.directory / "pki" / file).read_bytes()).decode()

    names = [region.name for region in servers]
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": region.name, "cluster": {"server": server, "certificate-authority-data": data(region, "ca.crt")}}
            for region, server in servers.items()
        ],
        "users": [
            {
                "name": region.name,
                "user": {
                    "client-certificate-data": data(region, f"{user}.crt"),
                    "client-key-data": data(region, f"{user}.key"),
                },
            }
            for region in servers
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in names],
        "current-context": names[0],
    }


def _containerd(region: Region) -> str:
    home = region.directory
    return f"""version = 2
root = "{home}/containerd"
state = "/run/containerd/state"
oom_score = 0
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "{RUNTIME_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:lab"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    # said outright: where it is not, containerd 2 tells kubelet `systemd` on a machine that systemd runs, whatever runc does
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{home}/cni"
"""


def _network_configuration(region: Region) -> dict[str, object]:
    # routed, as in kind: replies over a bridge miss the Services' translation where br_netfilter is not loaded
    link = {
        "type": "ptp",
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": str(region.directory / "ipam"),
            "ranges": [[{"subnet": str(region.pod_network)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    port_map = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": region.name, "plugins": [link, port_map]}


def _kubelet(region: Region) -> dict[str, object]:
    home = region.directory
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(home / "pki" / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(home / "pki" / "kubelet-server.crt"),
        "tlsPrivateKeyFile": str(home / "pki" / "kubelet-server.key"),
        "containerRuntimeEndpoint": f"unix://{RUNTIME_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{region.cgroup}",
        "enforceNodeAllocatable": [],
        "clusterDNS": [str(region.dns_address)],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "failSwapOn": False,
        # since 1.35 it refuses version 1, which the machine may have; an older one takes back the readiness of all pods at its start
        "failCgroupV1": False,
        # the machine's disk is shared with everything else: its owner, not kubelet, says when it is full
        "evictionHard": {"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "5s",
    }


def _dump(value: Mapping[str, object]) -> str:
    return json.dumps(value, indent=1) + "\n"  # JSON is YAML
