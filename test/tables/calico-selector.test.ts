import { describe, expect, it } from "vitest";
import { peerSelectorText } from "../../src/tables/calico-selector.ts";
import { selectorId, setName } from "../../src/tables/names.ts";
import { pods } from "./cluster.ts";

const K8S = 'projectcalico.org/orchestrator == "k8s"';
const OWN = 'projectcalico.org/namespace == "default"';

function text(podText?: string, namespaceText?: string): string {
  const peer = pods(podText, namespaceText);
  if (peer.kind !== "pods") throw new Error("not a pods peer");
  const { selector } = peer;
  return peerSelectorText(
    namespaceText === undefined ? { ...selector, namespace: "default" } : selector,
  );
}

describe("peerSelectorText", () => {
  it.each([
    ["role=frontend", undefined, `(${OWN} && (${K8S} && role == "frontend"))`],
    ["", undefined, `(${OWN} && ${K8S})`],
    ["", "", `(has(projectcalico.org/namespace) && ${K8S})`],
    ["", "team=a", `(pcns.team == "a" && ${K8S})`],
    // Cluster-wide policies choose namespaces alone, and of what is in them only the pods.
    [undefined, "team=a", `(pcns.team == "a" && ${K8S})`],
    [undefined, "team=a;env=p", `((pcns.env == "p" && pcns.team == "a") && ${K8S})`],
    [undefined, "", `(has(projectcalico.org/namespace) && ${K8S})`],
    ["x", "team=a;env=p", `((pcns.env == "p" && pcns.team == "a") && (${K8S} && has(x)))`],
    ["!x", undefined, `(${OWN} && (${K8S} && !has(x)))`],
    ["a in (c,b,c)", undefined, `(${OWN} && (${K8S} && a in {"b", "c"}))`],
    ["a notin (b)", undefined, `(${OWN} && (${K8S} && a not in {"b"}))`],
  ])("writes pods %s in namespaces %s", (podText, namespaceText, expected) => {
    expect(text(podText, namespaceText)).toBe(expected);
  });

  it("sorts matchLabels by key and keeps the order of expressions", () => {
    expect(text("b=1;a=2;z;y")).toBe(
      `(${OWN} && (${K8S} && a == "2" && b == "1" && has(z) && has(y)))`,
    );
    expect(text("a=2;b=1;z;y")).toBe(text("b=1;a=2;z;y"));
  });

  it("quotes with the other quote where needed", () => {
    expect(text('a="')).toBe(`(${OWN} && (${K8S} && a == '"'))`);
  });

  it("gives the set name of a real node", () => {
    expect(setName(4, selectorId(text("role=frontend")))).toBe("cali40s:8e8v9b88qXpwDYA2DUkLaK6");
  });
});
