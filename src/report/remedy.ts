/** How a user supplies the fact that an undecided verdict lacks. */
import { formatAddress } from "../net/address.ts";
import type { Judgement, Tuple } from "../engine/verdict.ts";
import { generic } from "../policy/dialect-generic.ts";
import type { OpenQuestion, RuleOrigin } from "../tables/model.ts";
import type { CaptureNature } from "./reason.ts";

/** Says what to do about a missing fact; undefined when there is nothing to do. */
export function remedyFor(flow: Tuple & Judgement, nature: CaptureNature): string | undefined {
  switch (flow.reason) {
    case "missing-source":
    case "missing-destination": {
      const route = flow.reason === "missing-source" ? flow.sourceRoute : flow.destinationRoute;
      if (route?.perhapsLocal === true) {
        return "where the node's interface has the address, give the Node it as an InternalIP too";
      }
      const address = flow.reason === "missing-source" ? flow.source : flow.translated?.address;
      const text = addressText(address ?? flow.destination);
      return `take the manifests at the time of the capture, or name the pod: --endpoint ${text}=NAMESPACE/NAME`;
    }
    case "no-endpoint":
      return `add the manifests of its pods (-f), or name one: --endpoint ${addressText(flow.source)}=NAMESPACE/NAME`;
    case "unresolved-source":
    case "unresolved-destination":
      return 'give --hosts FILE with lines "ADDRESS NAME", or capture with tcpdump -n';
    case "no-address":
    case "no-protocol":
    case "no-ports":
    case "no-tcp-flags":
    case "no-chunks":
    case "no-icmp":
    case "no-payload":
    case "no-header":
      return nature === "frames"
        ? "capture whole packets: tcpdump -s 0"
        : "capture bytes instead of text: tcpdump -w FILE";
    case "no-fragments":
      return "capture all fragments: with -v where it is text, from before the datagram to behind it";
    case "bridge-calls":
      return "give the node's switches: --sysctl FILE with the output of sysctl -a, or --sysctl net.bridge.bridge-nf-call-iptables=0 where the module br_netfilter is not loaded";
    case "astray":
      return "give the node's interfaces in detail: --addresses FILE with the output of ip -d -j addr, or capture on the interface that takes its frames";
    case "segments":
      return "capture bytes instead of text, on a node that puts nothing together: ethtool -K INTERFACE gro off tso off gso off";
    case "link-type":
      return "capture on an Ethernet, raw IP or the any interface";
    case "backend":
      return "capture where the packet has its backend's address: on the pods' interfaces, or -i any";
    case "conntrack-full":
      return "give the flow table more room: --conntrack-max N";
    case "no-backends":
      return "give the Service's EndpointSlices, or its pods with their addresses (kubectl get -o yaml)";
    case "outgoing":
      return "give Calico's IPPools (ippools.crd.projectcalico.org), or capture on the node of the backend, and judge from there: --node NAME";
    case "by-node":
      return "capture on the node of the backend, and judge from there: --node NAME";
    case "no-node":
      return "give the pods with spec.nodeName (kubectl get -o yaml), and the Node objects";
    case "no-time":
      return "if the times are missing or of a zone: take the text with its times since 1970 (tcpdump -tt), or capture bytes: tcpdump -w FILE; the node's zone (--kerneltz) and its clock's ticks no capture tells";
    case "no-mac":
      return "capture on the Ethernet interface itself, not on any";
    case "no-in-interface":
      return "name it: --in-interface NAME, or capture pcapng, which names interfaces";
    case "no-routes":
      return "give the node's routes: --routes FILE with the output of ip -j route show table all";
    case "no-way":
      return "capture pcapng or with -i any, which name interfaces, or give what tells: interfaceName and expectedIPs of host endpoints, IPPools, and Nodes with Calico's annotations";
    case "no-group":
      return "give the node's interfaces: --addresses FILE with the output of ip -d -j addr";
    case "no-tables":
      return "give the tables of both families: --iptables FILE, --ip6tables FILE";
    case "ttl-left":
      return "capture with -i any, which shows directions, or at the interface where it is sent or arrives";
    case "masqueraded":
      return "capture bytes, which show the TTL (or print it: tcpdump -v), and on all interfaces (-i any), which shows the client's packet, too";
    case "nat-port":
      return "capture on the outgoing interface, too: the packets there show the port";
    case "window":
      return "start the capture before the connection";
    case "not-modelled":
      return remedyForRule(flow.undecidedRule?.rule?.origin);
    case "no-forwarding":
    case "connection":
    case "no-socket":
    case "random":
    case "state":
    case "multipath":
    case "queue":
    case "no-set":
    case "multicast":
    case "table-order":
    case "out-interface":
    case "deadline":
    case "answered":
    case "bridged":
    case "no-vlan":
    case "too-long":
    case "options":
    case "options-unknown":
    case "martian":
    case "martian-destination":
    case "ttl":
    case "blackhole":
    case "bad-fragments":
    case "incomplete":
    case "many-fragments":
    case "nat-failed":
    case "rule":
    case "chain-policy":
    case "not-ip":
    case "other-host":
    case "same-endpoint":
    case "bad-header":
    case "no-route":
    case "too-many-paths":
    case "too-many-rules":
      return undefined;
  }
}

function remedyForRule(origin: RuleOrigin | undefined): string | undefined {
  if (origin?.kind === "tie") return "give the policies different priorities";
  if (origin?.kind === "dialect") return remedyForOpen(origin.about);
  if (origin?.kind === "pod-range-unknown")
    return "where kube-proxy has a range that holds all pods, give it here, too: --cluster-cidr CIDR";
  if (origin?.kind === "policy-rule" && origin.open !== undefined)
    return remedyForOpen(origin.open);
  if (origin?.kind !== "policy-rule" || origin.missing === undefined) return undefined;
  if (origin.missing.startsWith("the endpoints of ")) {
    return "give the EndpointSlices too (kubectl get endpointslices -A -o yaml)";
  }
  // Answers count where no packet of a pod goes to the address before its own, or after that is over.
  return origin.missing.startsWith("the addresses of ")
    ? 'give --dns FILE with lines "ADDRESS NAME", of a "*.NAME" too when there are no other addresses, or a capture with each pod\'s lookup before it connects'
    : "give the Node objects too (kubectl get nodes -o yaml)";
}

/** What the API leaves open, implementations answer. */
function remedyForOpen({ dialect }: OpenQuestion): string | undefined {
  return dialect === generic.title ? "say who enforces the policies: --dialect NAME" : undefined;
}

function addressText(address: Tuple["source"]): string {
  return address === undefined ? "ADDRESS" : formatAddress(address);
}
