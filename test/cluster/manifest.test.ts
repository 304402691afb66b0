import { describe, expect, it } from "vitest";

import { load } from "./load.ts";

const identities = (text: string): string[] =>
  load(text).objects.map(
    ({ kind, metadata: { namespace, name } }) => `${kind} ${namespace}/${name}`,
  );

describe("parseManifests", () => {
  it("unrolls documents, Lists, typed lists and lists in lists", () => {
    const text = `
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: a}}
- apiVersion: v1
  kind: PodList
  items:
  - metadata: {name: b, namespace: x}
---
apiVersion: v1
kind: NamespaceList
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: x}}
---
{apiVersion: v1, kind: List, items: []}
---
{apiVersion: v1, kind: List, items: null}
`;
    expect(identities(text)).toEqual(["Pod default/a", "Pod x/b", "Namespace /x"]);
    expect(load(text).said).toEqual([]);
  });

  it("reads JSON, and knows the places in it", () => {
    const text =
      '{"apiVersion": "v1", "kind": "PodList",\n "items": [\n  {"metadata": {"name": "a"}}]}';
    const [pod] = load(text).objects;
    expect(pod?.kind).toBe("Pod");
    expect(pod?.placeOf(["metadata", "name"])).toEqual({ file: "a.yaml", line: 3, column: 25 });
  });

  it.each([
    [
      "kind: List\nItems:\n- {}",
      '2:1: error: unknown field "Items" (did you mean "items"?) [UNKNOWN_FIELD]',
    ],
    [
      "kind: PodList\nitem: []",
      '2:1: error: unknown field "item" (did you mean "items"?) [UNKNOWN_FIELD]',
    ],
    ["kind: List\nitems: {a: b}", "2:8: error: items must be a list [BAD_VALUE]"],
    ["kind: PodList\nmetadata: {}", "1:1: error: the list has no items [MISSING_FIELD]"],
  ])("says what is wrong with the items of %j", (text, said) => {
    expect(load(`${text}\napiVersion: v1\n`).said).toEqual([`a.yaml:${said}`]);
  });

  it("takes a list of nothing as one", () => {
    const kinds = ["{kind: List}", "{kind: List, items: null}", "{kind: PodList, items: null}"];
    const text = kinds.map((kind) => kind.replace("}", ", apiVersion: v1}")).join("\n---\n");
    expect(identities(text)).toEqual([]);
  });

  it("takes a kind that ends in List but has no items as an object", () => {
    expect(identities("apiVersion: x.io/v1\nkind: AllowList\nmetadata: {name: a}\n")).toEqual([
      "AllowList default/a",
    ]);
  });

  it("keeps labels whatever their keys", () => {
    const labels = "{__proto__: a, constructor: b, toString: c, d: null}";
    const { objects } = load(`{apiVersion: v1, kind: Pod, metadata: {name: a, labels: ${labels}}}`);
    expect([...objects[0]!.metadata.labels]).toEqual([
      ["__proto__", "a"],
      ["constructor", "b"],
      ["toString", "c"],
      ["d", ""],
    ]);
  });

  const pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n";
  it.each([
    ["", "a.yaml: warning: the file has no objects [EMPTY_FILE]"],
    ["- a\n", "a.yaml:1:1: warning: not a Kubernetes object but a list: not read [FOREIGN_KIND]"],
    [
      "replicas: 3\n",
      "a.yaml:1:1: warning: not a Kubernetes object but a map with neither apiVersion nor kind: not read [FOREIGN_KIND]",
    ],
    [
      "hello\n",
      "a.yaml:1:1: error: a document must be a Kubernetes object: a map with apiVersion and kind [BAD_YAML]",
    ],
    [
      "apiVersion: v1\nkindt: PodList\nitems: []\n",
      'a.yaml:2:1: error: the object has no kind (did you mean "kind"?) [MISSING_FIELD]',
    ],
    [
      "kind: Pod\nmetadata: {name: a}\n",
      "a.yaml:1:1: error: the object has no apiVersion [MISSING_FIELD]",
    ],
    [
      "apiVersion: v1\nkind: 3\n",
      "a.yaml:2:7: error: kind must be a string that is not empty [BAD_VALUE]",
    ],
    [
      "apiVersion: v1\nkind: Pod\nmetadata: {}\n",
      "a.yaml:3:11: error: metadata.name: the object has no name [MISSING_FIELD]",
    ],
    [
      `${pod}  labels:\n    version: 1.0\n`,
      "a.yaml:6:14: error: metadata.labels.version: must be a string, not the number 1: put it in quotes [BAD_VALUE]",
    ],
    [
      `${pod}  namespace: on\n`,
      "a.yaml:5:14: error: metadata.namespace: must be a string, not the boolean true: put it in quotes [BAD_VALUE]",
    ],
    [
      `${pod}---\n${pod}  namespace: default\n`,
      "a.yaml:9:9: error: Pod default/a is already at a.yaml:1:1 [DUPLICATE_OBJECT]",
    ],
  ])("says of %j what is wrong", (text, sentence) => {
    expect(load(text).said).toEqual([sentence]);
  });

  it("finds duplicates across files", () => {
    expect(load({ "a.yaml": pod, "b.yaml": pod }).said).toEqual([
      "b.yaml:4:9: error: Pod default/a is already at a.yaml:1:1 [DUPLICATE_OBJECT]",
    ]);
  });

  it.each([
    ["GlobalNetworkPolicy a", "crd.projectcalico.org/v1", "projectcalico.org/v3"],
    ["Deployment default/a", "extensions/v1beta1", "apps/v1"],
  ])("takes %s of %s and of %s for one object", (what, ...versions) => {
    const [kind = ""] = what.split(" ");
    const texts = versions.map((one) => `{apiVersion: ${one}, kind: ${kind}, metadata: {name: a}}`);
    expect(load(texts.join("\n---\n")).said).toContainEqual(
      expect.stringContaining(`${what} is already at a.yaml:1:1 [DUPLICATE_OBJECT]`),
    );
  });

  describe("stored by Calico", () => {
    const stored = (annotation: string, kind = "GlobalNetworkSet"): string =>
      `{apiVersion: crd.projectcalico.org/v1, kind: ${kind}, metadata: {name: default.a, labels: {x: '1', y: '1'}, annotations: {projectcalico.org/metadata: '${annotation}'}}}`;

    it.each<[string, string, Record<string, string>]>([
      ['{"creationTimestamp":null}', "default.a", { x: "1", y: "1" }],
      ['{"labels":{"y":"2","z":null}}', "default.a", { x: "1", y: "2", z: "" }],
      ['{"name":"a"}', "a", { x: "1", y: "1" }],
      ['{"name":""}', "default.a", { x: "1", y: "1" }],
      ["null", "default.a", { x: "1", y: "1" }],
    ])("are named and labelled as the annotation %j tells", (annotation, name, labels) => {
      const { objects, said } = load(stored(annotation, "GlobalNetworkPolicy"));
      expect(said).toEqual([]);
      expect(objects[0]!.metadata.name).toBe(name);
      expect(Object.fromEntries(objects[0]!.metadata.labels)).toEqual(labels);
    });

    it.each([
      ["{", "[projectcalico.org/metadata]: is no metadata in JSON"],
      ["[]", "[projectcalico.org/metadata]: is no metadata in JSON"],
      ["", "[projectcalico.org/metadata]: is no metadata in JSON"],
      ['{"name":5}', "[projectcalico.org/metadata].name: must be a string"],
      ['{"labels":["a"]}', "[projectcalico.org/metadata].labels: must be a map"],
    ])("are refused with an annotation that Calico could not read: %j", (annotation, said) => {
      expect(load(stored(annotation)).said[0]).toContain(said);
      expect(load(stored(annotation)).objects).toEqual([]);
    });

    it("are refused with an annotation that is no text", () => {
      const text = stored("").replace("''", "{labels: {y: '2'}}");
      expect(load(text).said).toEqual([expect.stringContaining("must be a string, not a map")]);
    });

    it("are read as they stand where the API's group is another", () => {
      const text = stored('{"name":"b"}').replace(
        "crd.projectcalico.org/v1",
        "projectcalico.org/v3",
      );
      expect(identities(text)).toEqual(["GlobalNetworkSet /default.a"]);
    });
  });

  it("does not mind how kinds look that nobody reads", () => {
    const secret = "apiVersion: v1\nkind: Secret\nmetadata: {labels: {a: 1}}\n";
    expect(load(`${secret}---\n${secret}`).said).toEqual([
      "a.yaml:1:1: warning: 2 objects of kind Secret (v1) not read [FOREIGN_KIND]",
    ]);
  });
});
